//! The topics that are published periodically, with what they say now.

use super::loads::WINDOWS;
use crate::node::Core;
use crate::numbers::{Metric, Stat};

/// A topic and what it says.
type Said = (String, String);

/// Every periodic topic.
pub(super) fn everything(core: &Core) -> Vec<Said> {
    let about = core.about();
    let mut all = heartbeat(core);
    all.push(("$SYS/brokers".to_owned(), about.node.to_string()));
    let mut say = |topic: &str, text: String| all.push((format!("$SYS/brokers/{}/{topic}", core.node), text));
    say("version", about.version.to_owned());
    say("sysdescr", about.description.to_owned());
    for stat in Stat::ALL {
        let (now, max) = core.stat(*stat);
        say(&format!("stats/{}", slashed(stat.count_name())), now.to_string());
        say(&format!("stats/{}", slashed(stat.max_name())), max.to_string());
    }
    let totals = core.counters.totals();
    for metric in Metric::ALL {
        say(&format!("metrics/{}", slashed(metric.name())), totals.get(*metric).to_string());
    }
    de_facto(core, &mut all);
    all
}

/// What is said more often: that the broker lives.
pub(super) fn heartbeat(core: &Core) -> Vec<Said> {
    let about = core.about();
    vec![
        (format!("$SYS/brokers/{}/uptime", core.node), about.uptime_text()),
        (format!("$SYS/brokers/{}/datetime", core.node), about.datetime),
    ]
}

fn slashed(name: &str) -> String {
    name.replace('.', "/")
}

/// The tree that mosquitto made common. Topics about memory are left out: the broker does not count its own.
fn de_facto(core: &Core, all: &mut Vec<Said>) {
    let mut say = |topic: &str, text: String| all.push((format!("$SYS/broker/{topic}"), text));
    let about = core.about();
    let totals = core.counters.totals();
    let (connected, connected_max) = core.stat(Stat::Connections);
    let (sessions, _) = core.stat(Stat::Sessions);
    say("version", format!("weir version {}", about.version));
    say("uptime", format!("{} seconds", about.uptime_ms / 1000));
    let away = sessions.saturating_sub(connected);
    for (topic, count) in [
        ("clients/total", sessions),
        ("clients/connected", connected),
        ("clients/active", connected),
        ("clients/disconnected", away),
        ("clients/inactive", away),
        ("clients/maximum", connected_max),
        ("messages/received", totals.get(Metric::PacketsReceived)),
        ("messages/sent", totals.get(Metric::PacketsSent)),
        ("publish/messages/received", totals.get(Metric::MessagesReceived)),
        ("publish/messages/sent", totals.get(Metric::MessagesSent)),
        ("publish/messages/dropped", totals.get(Metric::DeliveryDropped)),
        ("publish/bytes/received", totals.get(Metric::MessagesBytesReceived)),
        ("publish/bytes/sent", totals.get(Metric::MessagesBytesSent)),
        ("bytes/received", totals.get(Metric::BytesReceived)),
        ("bytes/sent", totals.get(Metric::BytesSent)),
        ("subscriptions/count", core.stat(Stat::Subscriptions).0),
        ("shared_subscriptions/count", core.stat(Stat::SharedSubscriptions).0),
        ("retained messages/count", core.stat(Stat::Retained).0),
    ] {
        say(topic, count.to_string());
    }
    for (name, averages) in core.sys.loads.lock().averages() {
        for (minutes, average) in WINDOWS.iter().zip(averages) {
            say(&format!("load/{name}/{minutes}min"), format!("{average:.2}"));
        }
    }
}
