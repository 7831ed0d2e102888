//! From the configuration to what each room calls its settings.

use std::path::PathBuf;
use std::time::Duration;

use broker::{Listener, ProxySubscription, QueueFull, RetainedStorage, RewriteRule, SharedStrategy};
use model::Qos;
use model::ports::Flapping;
use settings::{Anonymous, DenyAction, DropWhich, NoMatch, Retained, Rewrite, Settings, ShareBy, Survives};

/// The broker's settings.
pub(crate) fn broker(settings: &Settings, trace_folder: PathBuf) -> broker::Settings {
    let mqtt = &settings.mqtt;
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
        topic_alias_to_client_max: mqtt.topic_alias_to_client_max,
        response_information: mqtt.response_information.clone(),
        server_reference: mqtt.server_reference.clone(),
        server_moved: mqtt.server_moved,
        reason_strings: mqtt.reason_strings,
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
        ..beside_mqtt(settings, trace_folder)
    }
}

/// Those that are not in the section `mqtt`.
fn beside_mqtt(settings: &Settings, trace_folder: PathBuf) -> broker::Settings {
    let auth = &settings.auth;
    broker::Settings {
        durable_sessions: settings.sessions.durable,
        retained_storage: match settings.sessions.retained {
            Retained::Ram => RetainedStorage::Ram,
            Retained::Disc => RetainedStorage::Disc,
        },
        log_bytes_max: settings.sessions.log_bytes_max.0,
        snapshot_bytes: settings.sessions.snapshot_bytes.0,
        log_pending_bytes_max: settings.sessions.pending_bytes_max.as_usize(),
        sys_interval_ms: millis(settings.broker.sys_interval),
        sys_heartbeat_ms: millis(settings.broker.sys_heartbeat),
        sysmon_long_schedule_ms: millis(settings.broker.long_schedule),
        alarm_history_max: settings.alarms.history_max,
        alarm_high_percent: settings.alarms.high_percent,
        alarm_low_percent: settings.alarms.low_percent,
        trace_folder: Some(trace_folder),
        trace_count_max: settings.trace.count_max,
        trace_bytes_max: settings.trace.bytes_max.0,
        trace_duration_max_secs: secs(settings.trace.duration_max),
        acl: auth.acl_enabled,
        ban: auth.ban_enabled,
        flapping: auth.flapping_detect.then(|| Flapping {
            changes_max: auth.flapping_changes_max,
            window_secs: secs(auth.flapping_window),
            ban_secs: secs(auth.flapping_ban),
        }),
        deny_disconnects: auth.acl_deny_action == DenyAction::Disconnect,
        rights_remembered_max: auth.acl_cache_max,
        rights_remembered_ms: millis(auth.acl_cache_ttl),
        ..broker::Settings::default()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn secs(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
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

/// The settings of the session log.
pub(crate) fn session_log(settings: &Settings) -> store::LogSettings {
    store::LogSettings {
        // A file is deleted when all of it is behind a snapshot: small ones go sooner.
        segment_bytes: 16 * 1024 * 1024,
        fsync: match settings.sessions.survives {
            Survives::Power => store::Fsync::Always,
            Survives::Process => store::Fsync::Never,
        },
        ..store::LogSettings::default()
    }
}

/// The settings of access control.
pub(crate) fn auth(settings: &Settings) -> auth::Settings {
    let given = &settings.auth;
    auth::Settings {
        acl: auth::AclSettings {
            file: (!given.acl_file.is_empty()).then(|| given.acl_file.clone().into()),
            nomatch: match given.acl_nomatch {
                NoMatch::Allow => auth::Permission::Allow,
                NoMatch::Deny => auth::Permission::Deny,
            },
            file_bytes_max: given.acl_file_bytes_max.0,
            rules_max: given.acl_rules_max,
        },
        anonymous: match settings.mqtt.allow_anonymous {
            Anonymous::Never => auth::AnonymousAccess::Never,
            Anonymous::Loopback => auth::AnonymousAccess::Loopback,
            Anonymous::Everywhere => auth::AnonymousAccess::Everywhere,
        },
        users: auth::UserSettings {
            count_max: given.users_max,
            // settings::load has refused less.
            iterations: std::num::NonZeroU32::new(given.password_iterations).unwrap_or(std::num::NonZeroU32::MAX),
        },
        banned_max: given.banned_max,
        flapping_clients_max: given.flapping_clients_max,
    }
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
