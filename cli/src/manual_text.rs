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
