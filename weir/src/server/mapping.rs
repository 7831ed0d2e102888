//! From the configuration to what each room calls its settings.

use broker::{Listener, ProxySubscription, QueueFull, RewriteRule, SharedStrategy};
use model::Qos;
use settings::{DropWhich, Rewrite, Settings, ShareBy};

/// The broker's settings.
pub(crate) fn broker(settings: &Settings) -> broker::Settings {
    let mqtt = &settings.mqtt;
    let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let secs = |duration: std::time::Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
    let listeners = mqtt.bind.iter().enumerate().map(|(index, address)| Listener {
        name: if index == 0 { "tcp".to_owned() } else { format!("tcp-{}", index + 1) },
        address: *address,
        setting: "mqtt.bind".to_owned(),
        backlog: mqtt.backlog,
    });
    let by_group = mqtt.shared_subscription_strategies.0.iter();
    let proxies = mqtt.proxy_subscriptions.0.iter();
    broker::Settings {
        listeners: listeners.collect(),
        node: settings.node.name.clone(),
        packet_bytes_max: mqtt.packet_bytes_max.as_usize(),
        connect_packet_bytes_max: mqtt.connect_packet_bytes_max.as_usize().min(mqtt.packet_bytes_max.as_usize()),
        connect_timeout_ms: millis(mqtt.connect_timeout),
        connections_max: mqtt.connections_max,
        sessions_max: mqtt.sessions_max,
        inflight_max: mqtt.inflight_max,
        receive_maximum: mqtt.receive_max,
        awaiting_rel_max: mqtt.awaiting_rel_max,
        queue_messages_max: mqtt.queue_messages_max,
        queue_bytes_max: mqtt.queue_bytes_max.as_usize(),
        queue_full: match mqtt.queue_full {
            DropWhich::Oldest => QueueFull::DropOldest,
            DropWhich::Newest => QueueFull::DropNewest,
        },
        queue_qos0_offline: mqtt.queue_qos0_offline,
        topic_levels_max: mqtt.topic_levels_max,
        client_id_bytes_max: mqtt.client_id_bytes_max,
        user_properties_max: mqtt.user_properties_max,
        retained_messages_max: mqtt.retained_messages_max,
        retained_bytes_max: mqtt.retained_bytes_max.as_usize(),
        retained_payload_bytes_max: mqtt.retained_payload_bytes_max.as_usize(),
        retained_expiry_secs: secs(mqtt.retained_expiry),
        retained_backlog_max: mqtt.retained_backlog_max,
        session_expiry_v3_secs: secs(mqtt.session_expiry_v3),
        session_expiry_max_secs: secs(mqtt.session_expiry_max),
        keepalive_max_secs: mqtt.keepalive_max_secs,
        topic_alias_max: mqtt.topic_alias_max,
        subscriptions_max: mqtt.subscriptions_max,
        filters_per_packet_max: mqtt.filters_per_packet_max,
        write_buffer_bytes: mqtt.write_buffer_bytes.as_usize(),
        write_stall_ms: millis(mqtt.write_stall),
        linger_ms: millis(mqtt.linger),
        match_visits_max: mqtt.match_visits_max,
        queue_priorities: mqtt.queue_priorities.0.iter().cloned().collect(),
        queue_priority_default: mqtt.queue_priority_default,
        ignore_loop_deliver: mqtt.ignore_loop_deliver,
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
