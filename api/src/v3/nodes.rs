//! `/api/v3/nodes`, `/brokers`, `/listeners`, `/stats` and `/metrics` (manual §16.3, §16.10 to §16.12), with what this server
//! knows: nothing is shown that would only be a number of another runtime.

use axum::extract::{Path, State};
use model::manage::{ListenerView, Number};
use serde_json::{Map, Value as Json, json};

use crate::reply::{Data, Refusal, V3};
use crate::state::{Shared, State as Inner};

/// There is one node.
pub(super) fn here(state: &Inner, node: &str) -> Result<(), Refusal> {
    if node == state.node { Ok(()) } else { Err(Refusal::not_found("node", node)) }
}

pub(crate) async fn list(State(state): State<Shared>) -> V3 {
    Ok(Data::List { items: vec![node(&state)], meta: None })
}

pub(crate) async fn show(State(state): State<Shared>, Path(name): Path<String>) -> V3 {
    here(&state, &name)?;
    Ok(Data::Is(node(&state)))
}

pub(crate) async fn brokers(State(state): State<Shared>) -> V3 {
    Ok(Data::List { items: vec![broker(&state)], meta: None })
}

pub(crate) async fn show_broker(State(state): State<Shared>, Path(name): Path<String>) -> V3 {
    here(&state, &name)?;
    Ok(Data::Is(broker(&state)))
}

pub(crate) async fn listeners(State(state): State<Shared>) -> V3 {
    let listeners: Vec<Json> = state.manage.listeners().iter().map(listener).collect();
    Ok(Data::List { items: vec![json!({"node": state.node, "listeners": listeners})], meta: None })
}

pub(crate) async fn listeners_on(State(state): State<Shared>, Path(name): Path<String>) -> V3 {
    here(&state, &name)?;
    Ok(Data::List { items: state.manage.listeners().iter().map(listener).collect(), meta: None })
}

pub(crate) async fn stats(State(state): State<Shared>) -> V3 {
    let numbers = state.manage.stats();
    Ok(Data::List { items: vec![json!({"node": state.node, "stats": object(&numbers)})], meta: None })
}

pub(crate) async fn stats_on(State(state): State<Shared>, Path(name): Path<String>) -> V3 {
    here(&state, &name)?;
    Ok(Data::Is(object(&state.manage.stats())))
}

pub(crate) async fn metrics(State(state): State<Shared>) -> V3 {
    let numbers = state.manage.metrics();
    Ok(Data::List { items: vec![json!({"node": state.node, "metrics": object(&numbers)})], meta: None })
}

pub(crate) async fn metrics_on(State(state): State<Shared>, Path(name): Path<String>) -> V3 {
    here(&state, &name)?;
    Ok(Data::Is(object(&state.manage.metrics())))
}

/// Names as the manual writes them, with slashes.
fn object(numbers: &[Number]) -> Json {
    Json::Object(numbers.iter().map(|number| (number.slashed(), json!(number.value))).collect())
}

fn broker(state: &Inner) -> Json {
    let about = state.manage.about();
    json!({
        "node": about.node,
        "node_status": "Running",
        "version": about.version,
        "sysdescr": about.description,
        "uptime": about.uptime_text(),
        "datetime": about.datetime,
    })
}

fn node(state: &Inner) -> Json {
    let about = state.manage.about();
    let connections = state.manage.stats().iter().find(|stat| stat.name == "connections.count").map(|stat| stat.value);
    let mut node = Map::new();
    let mut put = |name: &str, value: Json| {
        // What the machine does not tell is left out.
        if !value.is_null() {
            node.insert(name.to_owned(), value);
        }
    };
    put("name", json!(about.node));
    put("node", json!(about.node));
    put("node_status", json!("Running"));
    put("version", json!(about.version));
    put("uptime", json!(about.uptime_text()));
    put("connections", json!(connections));
    let machine = (state.machine)();
    let megabytes = |bytes: Option<u64>| json!(bytes.map(|bytes| format!("{:.2}M", bytes as f64 / 1_048_576.0)));
    put("memory_total", megabytes(machine.memory_total_bytes));
    put("memory_used", megabytes(machine.process_bytes));
    put("max_fds", json!(machine.open_files_max));
    for (name, load) in ["load1", "load5", "load15"].iter().zip(machine.load.unwrap_or_default()) {
        if machine.load.is_some() {
            put(name, json!(format!("{load:.2}")));
        }
    }
    Json::Object(node)
}

fn listener(view: &ListenerView) -> Json {
    json!({
        "protocol": view.protocol,
        "listen_on": view.address.to_string(),
        "max_conns": view.connections_max,
        "current_conns": view.connection_count,
    })
}
