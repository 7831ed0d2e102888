//! The broker's clients in the shape of version 3 of the API.

use api::Clients;
use async_trait::async_trait;
use broker::{ClientSummary, Handle};
use serde_json::{Value as Json, json};

/// Sessions taken from the broker at a time.
const PAGE_SESSIONS: usize = 1_000;

/// The broker as the API sees it.
pub(crate) struct BrokerClients {
    pub(crate) handle: Handle,
    pub(crate) node: String,
}

#[async_trait]
impl Clients for BrokerClients {
    fn list(&self, skip: usize, limit: usize) -> (Vec<Json>, usize) {
        let mut found = Vec::new();
        let mut count = 0_usize;
        let mut after = None;
        loop {
            let page = self.handle.clients(after.as_deref(), PAGE_SESSIONS);
            for client in page.iter().filter(|client| client.is_connected) {
                if count >= skip && found.len() < limit {
                    found.push(shown(&self.node, client));
                }
                count += 1;
            }
            match page.last() {
                Some(last) if page.len() == PAGE_SESSIONS => after = Some(last.info.client_id.clone()),
                _ => return (found, count),
            }
        }
    }

    fn get(&self, client_id: &str) -> Option<Json> {
        let client = self.handle.client(client_id).filter(|client| client.is_connected)?;
        Some(shown(&self.node, &client))
    }

    async fn kick(&self, client_id: &str) -> bool {
        self.handle.kick(client_id)
    }
}

fn shown(node: &str, client: &ClientSummary) -> Json {
    let info = &client.info;
    json!({
        "node": node,
        "client_id": info.client_id,
        "username": info.username,
        "ipaddress": info.peer.map(|peer| peer.ip().to_string()),
        "port": info.peer.map(|peer| peer.port()),
        "proto_name": if info.version == model::ProtocolVersion::V3_1 { "MQIsdp" } else { "MQTT" },
        "proto_ver": info.version as u8,
        "keepalive": info.keepalive_secs,
        "clean_start": info.clean_start,
        "is_bridge": info.is_bridge,
        "connected_at": info.connected_at_ms,
        "session_expiry": client.session_expiry_secs,
        "subscriptions": client.subscription_count,
        "queued": client.queue_message_count,
        "inflight": client.inflight_count,
        "awaiting_rel": client.awaiting_rel_count,
        "recv_msg": client.received_count,
        "send_msg": client.sent_count,
    })
}
