//! From the configuration to what each room calls its settings.

use std::time::Duration;

use broker::{Listener, ProxySubscription, QueueFull, RewriteRule, SharedStrategy};
use model::Qos;
use settings::{DropWhich, Rewrite, Settings, ShareBy};

/// The broker's settings.
pub(crate) fn broker(settings: &Settings) -> broker::Settings {
    let mqtt = &settings.mqtt;
    let short = mqtt.bind.iter().enumerate().map(|(index, address)| Listener {
        name: if index == 0 { "tcp".to_owned() } else { format!("tcp-{}", index + 1) },
        address: *address,
        setting: "mqtt.bind".to_owned(),
        zone: None,
        backlog: mqtt.backlog,
    });
    let named = settings.listeners.tcp.iter().filter_map(|(name, listener)| {
        Some(Listener {
            name: format!("tcp:{name}"),
            address: listener.bind?,
            setting: format!("listeners.tcp.{name}.bind"),
            zone: Some(listener.zone.clone()).filter(|zone| !zone.is_empty()),
            backlog: listener.backlog,
        })
    });
    let by_group = mqtt.shared_subscription_strategies.0.iter();
    let proxies = mqtt.proxy_subscriptions.0.iter();
    broker::Settings {
        listeners: short.chain(named).collect(),
        zone: zone("default", &settings.zone),
        zones: settings.zones.iter().map(|(name, given)| zone(name, given)).collect(),
        node: settings.node.name.clone(),
        connections_max: mqtt.connections_max,
        sessions_max: mqtt.sessions_max,
        retained_messages_max: mqtt.retained_messages_max,
        retained_bytes_max: mqtt.retained_bytes_max.as_usize(),
        match_visits_max: mqtt.match_visits_max,
        shared_strategy: strategy(mqtt.shared_subscription_strategy),
        shared_strategy_by_group: by_group.map(|(group, by)| (group.clone(), strategy(*by))).collect(),
        shared_dispatch_ack: mqtt.shared_dispatch_ack_enabled,
        delayed_messages_max: mqtt.delayed_messages_max,
        delayed_bytes_max: mqtt.delayed_bytes_max.as_usize(),
        delay_secs_max: secs(mqtt.delay_max),
        rewrite_publish: mqtt.rewrite_publish.iter().map(rewrite).collect(),
        rewrite_subscribe: mqtt.rewrite_subscribe.iter().map(rewrite).collect(),
        proxy_subscriptions: proxies.map(|(filter, qos)| proxy(filter, *qos)).collect(),
        ..broker::Settings::default()
    }
}

fn strategy(by: ShareBy) -> SharedStrategy {
    match by {
        ShareBy::Random => SharedStrategy::Random,
        ShareBy::RoundRobin => SharedStrategy::RoundRobin,
        ShareBy::Sticky => SharedStrategy::Sticky,
        ShareBy::Hash | ShareBy::HashClientId => SharedStrategy::HashClientId,
        ShareBy::HashTopic => SharedStrategy::HashTopic,
    }
}

fn rewrite(rule: &Rewrite) -> RewriteRule {
    RewriteRule { filter: rule.filter.clone(), expression: rule.expression.clone(), target: rule.target.clone() }
}

/// The settings room has refused any other QoS.
fn proxy(filter: &str, qos: u8) -> ProxySubscription {
    ProxySubscription { filter: filter.to_owned(), qos: Qos::from_u8(qos).unwrap_or(Qos::AtMostOnce) }
}

fn zone(name: &str, given: &settings::Zone) -> broker::Zone {
    broker::Zone {
        name: name.to_owned(),
        connect_timeout_ms: millis(given.connect_timeout),
        connect_packet_bytes_max: given.connect_packet_bytes_max.as_usize(),
        packet_bytes_max: given.packet_bytes_max.as_usize(),
        client_id_bytes_max: given.client_id_bytes_max,
        user_properties_max: given.user_properties_max,
        topic_levels_max: given.topic_levels_max,
        qos_max: given.qos_max,
        topic_alias_max: given.topic_alias_max,
        retain_available: given.retain_available,
        wildcard_subscriptions: given.wildcard_subscriptions,
        shared_subscriptions: given.shared_subscriptions,
        subscriptions_max: given.subscriptions_max,
        filters_per_packet_max: given.filters_per_packet_max,
        subscribe_refused_code: given.subscribe_refused_code,
        server_keepalive_secs: given.server_keepalive_secs,
        keepalive_max_secs: given.keepalive_max_secs,
        keepalive_backoff: given.keepalive_backoff,
        receive_maximum: given.receive_max,
        awaiting_rel_max: given.awaiting_rel_max,
        inflight_max: given.inflight_max,
        session_expiry_v3_secs: secs(given.session_expiry_v3),
        session_expiry_max_secs: secs(given.session_expiry_max),
        queue_messages_max: given.queue_messages_max,
        queue_bytes_max: given.queue_bytes_max.as_usize(),
        queue_full: match given.queue_full {
            DropWhich::Oldest => QueueFull::DropOldest,
            DropWhich::Newest => QueueFull::DropNewest,
        },
        queue_qos0_offline: given.queue_qos0_offline,
        retained_backlog_max: given.retained_backlog_max,
        write_buffer_bytes: given.write_buffer_bytes.as_usize(),
        write_stall_ms: millis(given.write_stall),
        linger_ms: millis(given.linger),
        ..broker::Zone::default()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn secs(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

/// The engine's settings.
pub(crate) fn engine(settings: &Settings) -> engine::Settings {
    let engine = &settings.engine;
    engine::Settings {
        workers: engine.workers,
        tap_queue_events_max: engine.tap_queue_events_max,
        tap_queue_bytes_max: engine.tap_queue_bytes_max.as_usize(),
        batch_events_max: engine.batch_events_max,
        failures_kept: engine.failures_kept,
        inspections_kept: engine.inspections_kept,
        republish_hops_max: engine.republish_hops_max,
    }
}

/// The resources' settings.
pub(crate) fn resources(settings: &Settings) -> resources::Settings {
    let given = &settings.resources;
    resources::Settings {
        health_interval: given.health_interval,
        check_timeout: given.check_timeout,
        close_timeout: given.close_timeout,
        count_max: given.count_max,
    }
}

/// The bounds of the dead letters.
pub(crate) fn dead_letters(settings: &Settings) -> connector::DeadLetterLimits {
    let given = &settings.dead_letters;
    connector::DeadLetterLimits { count_max: given.count_max, bytes_max: given.bytes_max.0 }
}
