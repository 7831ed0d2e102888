//! What no single key can know to be wrong.

use std::net::SocketAddr;

use crate::kind::Anonymous;
use crate::load::Shown;
use crate::problem::{Origin, Problem};
use crate::schema::Settings;

/// Everything that is wrong with values that could be read one by one; `shown` knows where they come from.
pub(crate) fn judge(settings: &Settings, shown: &[Shown]) -> Vec<Problem> {
    let mut judge = Judge { shown, problems: Vec::new() };
    judge.listeners(settings);
    judge.zones(settings);
    judge.proxy_subscriptions(settings);
    judge.node_name(&settings.node.name);
    judge.problems
}

struct Judge<'a> {
    shown: &'a [Shown],
    problems: Vec<Problem>,
}

impl Judge<'_> {
    fn complain(&mut self, key: &str, message: impl Into<String>) {
        let found = self.shown.iter().find(|shown| shown.key == key);
        let origin = found.map_or(Origin::Default, |shown| shown.origin.clone());
        self.problems.push(Problem { origin, key: key.to_owned(), message: message.into() });
    }

    fn listeners(&mut self, settings: &Settings) {
        let anonymous = settings.mqtt.allow_anonymous;
        for address in &settings.mqtt.bind {
            self.address("mqtt.bind", *address, anonymous);
        }
        let listeners = settings.listeners.all();
        for (section, listener) in &listeners {
            let key = |name: &str| format!("{section}.{name}");
            match listener.bind {
                Some(address) => self.address(&key("bind"), address, anonymous),
                None => {
                    self.complain(&key("bind"), "is missing: the address and port to listen on, such as 127.0.0.1:1884")
                }
            }
            if !listener.zone.is_empty() && !settings.zones.contains_key(&listener.zone) {
                let message = format!("there is no section [zones.{}]", listener.zone);
                self.complain(&key("zone"), message);
            }
        }
        if settings.mqtt.bind.is_empty() && listeners.is_empty() {
            self.complain("mqtt.bind", "needs at least one address and port");
        }
    }

    fn address(&mut self, key: &str, address: SocketAddr, anonymous: Anonymous) {
        if !address.ip().is_loopback() && anonymous == Anonymous::Loopback {
            let message = format!(
                "{address} can be reached from the network, and clients cannot be authenticated yet, so everybody could connect; \
                 bind 127.0.0.1, or ask for it with mqtt.allow_anonymous = \"everywhere\""
            );
            self.complain(key, message);
        }
    }

    fn zones(&mut self, settings: &Settings) {
        if settings.zones.contains_key("default") {
            let is_its = |shown: &&Shown| shown.key.starts_with("zones.default.") && shown.origin != Origin::Default;
            let first = self.shown.iter().find(is_its).map_or("zones.default", |shown| shown.key.as_str()).to_owned();
            self.complain(&first, "default is the zone of listeners without one; write its keys into [mqtt]");
        }
    }

    fn proxy_subscriptions(&mut self, settings: &Settings) {
        let key = "mqtt.proxy_subscriptions";
        for (filter, qos) in &settings.mqtt.proxy_subscriptions.0 {
            if *qos > 2 {
                self.complain(key, format!("the QoS of {filter:?} is 0, 1 or 2, not {qos}"));
            }
            if let Err(error) = model::validate_filter(filter) {
                self.complain(key, format!("{filter:?}: {error}"));
            }
        }
    }

    fn node_name(&mut self, name: &str) {
        if name.is_empty() || name.contains(['/', '+', '#', '"']) || name.chars().any(char::is_control) {
            self.complain(
                "node.name",
                "must not be empty and must not contain / + # \" or control characters: it is part of topics",
            );
        }
    }
}
