//! `mosquitto_pub` and `mosquitto_sub`: independent MQTT clients. Nothing runs in the background.

use super::Service;
use crate::apt;
use crate::project::which;

pub(super) const SERVICE: Service = Service {
    name: "mosquitto",
    install: || if programs().is_some() { Ok(()) } else { apt::install(&["mosquitto-clients"]) },
    start: None,
    healthy: |_| programs().is_some(),
    stop_signal: "TERM",
    env: |_| {
        programs().map_or_else(Vec::new, |(publish, subscribe)| {
            vec![("WEIR_TEST_MOSQUITTO_PUB", publish), ("WEIR_TEST_MOSQUITTO_SUB", subscribe)]
        })
    },
    data: |folder| folder.join("data"),
};

fn programs() -> Option<(String, String)> {
    let path = |program| which(program).map(|path| path.display().to_string());
    Some((path("mosquitto_pub")?, path("mosquitto_sub")?))
}
