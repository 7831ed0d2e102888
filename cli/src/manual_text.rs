//! The lines of the EMQ X 3.4.5 command line (manual §7.3.1), with its Erlang terms.

use serde_json::Value as Json;

use crate::output::printable;

fn field(json: &Json, key: &str) -> String {
    match json.get(key) {
        Some(Json::String(text)) => printable(text),
        None | Some(Json::Null) => String::new(),
        Some(other) => printable(&other.to_string()),
    }
}

/// `rule(id='rule:9a6a725d', for=['message.publish'], rawsql='…', actions=[…], metrics=…, enabled='true', description='…')`
pub(crate) fn rule(json: &Json) -> String {
    let events: Vec<String> = match json.get("for") {
        Some(Json::Array(events)) => {
            events.iter().filter_map(Json::as_str).map(|event| format!("'{}'", printable(event))).collect()
        }
        Some(Json::String(event)) => vec![format!("'{}'", printable(event))],
        _ => Vec::new(),
    };
    format!(
        "rule(id='{}', for=[{}], rawsql='{}', actions={}, metrics={}, enabled='{}', description='{}')",
        field(json, "id"),
        events.join(","),
        field(json, "rawsql"),
        field(json, "actions"),
        field(json, "metrics"),
        field(json, "enabled"),
        field(json, "description"),
    )
}

/// `resource(id='…', type='web_hook', config=#{<<"url">> => <<"…">>}, status=#{is_alive => false}, description='…')`
pub(crate) fn resource(json: &Json) -> String {
    format!(
        "resource(id='{}', type='{}', config={}, status=#{{is_alive => {}}}, description='{}')",
        field(json, "id"),
        field(json, "type"),
        term(json.get("config").unwrap_or(&Json::Null)),
        json.pointer("/status/is_alive").and_then(Json::as_bool).unwrap_or(false),
        field(json, "description"),
    )
}

/// `action(name='inspect', app='emqx_rule_engine', for='$any', types=[], title = '…', description='…')`
pub(crate) fn action(json: &Json) -> String {
    let types: Vec<&str> =
        json.get("types").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect();
    format!(
        "action(name='{}', app='{}', for='{}', types=[{}], title = '{}', description='{}')",
        field(json, "name"),
        field(json, "app"),
        field(json, "for"),
        types.join(","),
        field(json, "title"),
        field(json, "description"),
    )
}

/// `resource_type(name='backend_mysql', provider='emqx_backend_mysql', title = 'MySQL', description='…')`
pub(crate) fn resource_type(json: &Json) -> String {
    format!(
        "resource_type(name='{}', provider='{}', title = '{}', description='{}')",
        field(json, "name"),
        field(json, "provider"),
        field(json, "title"),
        field(json, "description"),
    )
}

/// `Connection(id, clean_start=true, username=test, peername=127.0.0.1:64896, connected_at=1452929113)` (§14.6.1)
pub(crate) fn client(json: &Json) -> String {
    format!(
        "Connection({}, clean_start={}, username={}, peername={}:{}, connected_at={})",
        field(json, "client_id"),
        field(json, "clean_start"),
        or_undefined(json, "username"),
        field(json, "address"),
        field(json, "port"),
        seconds(json, "connected_at_ms"),
    )
}

/// `Session(id, clean_start=true, expiry_interval=0, …, created_at=1553760799)` (§14.7.1)
pub(crate) fn session(json: &Json) -> String {
    let mut text = format!("Session({}, clean_start={}", field(json, "client_id"), field(json, "clean_start"));
    for (name, key) in [
        ("expiry_interval", "session_expiry_secs"),
        ("subscriptions_count", "subscription_count"),
        ("max_inflight", "inflight_max"),
        ("inflight", "inflight_count"),
        ("mqueue_len", "queue_message_count"),
        ("mqueue_dropped", "dropped_count"),
        ("awaiting_rel", "awaiting_rel_count"),
        ("deliver_msg", "sent_count"),
        ("enqueue_msg", "enqueued_count"),
    ] {
        text.push_str(&format!(", {name}={}", field(json, key)));
    }
    format!("{text}, created_at={})", seconds(json, "created_at_ms"))
}

/// `mosqsub/91042-airlee.lo -> t/y:1` (§14.9.1)
pub(crate) fn subscription(json: &Json) -> String {
    format!("{} -> {}:{}", field(json, "client_id"), field(json, "filter"), field(json, "qos"))
}

/// `t2/# -> emqx2@127.0.0.1` (§14.8.1)
pub(crate) fn route(json: &Json) -> String {
    format!("{} -> {}", field(json, "filter"), field(json, "node"))
}

/// `sysdescr   : …` and three more lines (§14.3)
pub(crate) fn broker(json: &Json) -> String {
    let line = |name: &str| format!("{name:<10} : {}", field(json, name));
    ["sysdescr", "version", "uptime", "datetime"].map(line).join("\n")
}

/// `connections/count     : 1` (§14.3.1)
pub(crate) fn number(json: &Json) -> String {
    format!("{:<21} : {}", field(json, "name").replace('.', "/"), field(json, "value"))
}

/// `listener on mqtt:tcp:0.0.0.0:1883` and its numbers (§14.16.1)
pub(crate) fn listener(json: &Json) -> String {
    format!(
        "listener on {}:{}\n  max_conns      : {}\n  current_conn   : {}",
        field(json, "protocol"),
        field(json, "address"),
        field(json, "connections_max"),
        field(json, "connection_count"),
    )
}

/// `Trace(topic=topic2, level=debug, destination="topic2_trace.log")` (§14.15.5)
pub(crate) fn trace(json: &Json) -> String {
    let kind = match field(json, "kind").as_str() {
        "client" => "client_id".to_owned(),
        other => other.to_owned(),
    };
    format!("Trace({kind}={}, level=debug, destination=\"{}.log\")", field(json, "target"), field(json, "name"))
}

fn or_undefined(json: &Json, key: &str) -> String {
    match json.get(key) {
        None | Some(Json::Null) => "undefined".to_owned(),
        Some(_) => field(json, key),
    }
}

fn seconds(json: &Json, key: &str) -> i64 {
    json.get(key).and_then(Json::as_i64).unwrap_or_default() / 1000
}

/// Version 3.4.5 has no such line: JSON.
pub(crate) fn json(json: &Json) -> String {
    json.to_string()
}

/// The name alone.
pub(crate) fn name(json: &Json) -> String {
    field(json, "name")
}

/// JSON as an Erlang term prints: maps `#{<<"k">> => v}`, text `<<"v">>`.
fn term(json: &Json) -> String {
    match json {
        Json::Object(map) => {
            let pairs: Vec<String> =
                map.iter().map(|(key, value)| format!("{} => {}", binary(key), term(value))).collect();
            format!("#{{{}}}", pairs.join(","))
        }
        Json::Array(items) => format!("[{}]", items.iter().map(term).collect::<Vec<_>>().join(",")),
        Json::String(text) => binary(text),
        other => other.to_string(),
    }
}

fn binary(text: &str) -> String {
    format!("<<\"{}\">>", printable(text).replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn manual_7_3_1_resources_list() {
        let given = json!({"id": "resource:a7a38187", "type": "web_hook", "config": {"url": "http://host-name/chats"},
            "status": {"is_alive": false}, "description": "forward msgs to host-name/chats"});
        assert_eq!(
            resource(&given),
            "resource(id='resource:a7a38187', type='web_hook', config=#{<<\"url\">> => <<\"http://host-name/chats\">>}, \
             status=#{is_alive => false}, description='forward msgs to host-name/chats')"
        );
    }

    #[test]
    fn manual_14_3_to_14_15_lines_of_the_broker() {
        let given = json!({"client_id": "mosqsub/43832-airlee.lo", "clean_start": true, "username": "test",
            "address": "127.0.0.1", "port": 64896, "connected_at_ms": 1_452_929_113_000_i64});
        assert_eq!(
            client(&given),
            "Connection(mosqsub/43832-airlee.lo, clean_start=true, username=test, peername=127.0.0.1:64896, connected_at=1452929113)"
        );
        let given = json!({"client_id": "clientid", "clean_start": true, "session_expiry_secs": 0, "subscription_count": 0,
            "inflight_max": 32, "inflight_count": 0, "queue_message_count": 0, "dropped_count": 0, "awaiting_rel_count": 0,
            "sent_count": 0, "enqueued_count": 0, "created_at_ms": 1_553_760_799_000_i64});
        assert_eq!(
            session(&given),
            "Session(clientid, clean_start=true, expiry_interval=0, subscriptions_count=0, max_inflight=32, inflight=0, \
             mqueue_len=0, mqueue_dropped=0, awaiting_rel=0, deliver_msg=0, enqueue_msg=0, created_at=1553760799)"
        );
        assert_eq!(subscription(&json!({"client_id": "c", "filter": "t/+/x", "qos": 2})), "c -> t/+/x:2");
        assert_eq!(route(&json!({"filter": "t2/#", "node": "emqx2@127.0.0.1"})), "t2/# -> emqx2@127.0.0.1");
        assert_eq!(number(&json!({"name": "connections.count", "value": 1})), "connections/count     : 1");
        let long = json!({"name": "sessions.persistent.count", "value": 0});
        assert_eq!(number(&long), "sessions/persistent/count : 0");
        let given = json!({"sysdescr": "EMQ X Broker", "version": "v3.1.0", "uptime": "25 seconds", "datetime": "2019-04-29 10:42:10"});
        assert_eq!(
            broker(&given),
            "sysdescr   : EMQ X Broker\nversion    : v3.1.0\nuptime     : 25 seconds\ndatetime   : 2019-04-29 10:42:10"
        );
        let given = json!({"kind": "client", "target": "clientid2", "name": "clientid2_trace"});
        assert_eq!(trace(&given), "Trace(client_id=clientid2, level=debug, destination=\"clientid2_trace.log\")");
    }

    #[test]
    fn manual_7_3_1_rules_list() {
        let given = json!({"id": "rule:9a6a725d", "for": ["message.publish"], "rawsql": "select * from \"message.publish\"",
            "actions": [{"metrics": [], "name": "inspect", "params": {"a": 1}}], "metrics": [], "enabled": true, "description": "Rule for debug"});
        assert_eq!(
            rule(&given),
            "rule(id='rule:9a6a725d', for=['message.publish'], rawsql='select * from \"message.publish\"', \
             actions=[{\"metrics\":[],\"name\":\"inspect\",\"params\":{\"a\":1}}], metrics=[], enabled='true', description='Rule for debug')"
        );
    }

    #[test]
    fn manual_7_3_1_rule_actions_and_resource_types() {
        let given = json!({"name": "inspect", "app": "emqx_rule_engine", "for": "$any", "types": [], "title": "Inspect (debug)", "description": "d"});
        assert_eq!(
            action(&given),
            "action(name='inspect', app='emqx_rule_engine', for='$any', types=[], title = 'Inspect (debug)', description='d')"
        );
        let given = json!({"name": "backend_mysql", "provider": "emqx_backend_mysql", "title": "MySQL", "description": "MySQL Database"});
        assert_eq!(
            resource_type(&given),
            "resource_type(name='backend_mysql', provider='emqx_backend_mysql', title = 'MySQL', description='MySQL Database')"
        );
    }
}
