//! `weir clients …`

use super::Out;
use crate::api_client::ApiClient;
use crate::args::{ClientsCommand, Format};
use crate::exit::Failure;
use crate::manual_text;
use crate::output::{self, View};

static VIEW: View = View {
    columns: &[
        ("CLIENT", "/client_id"),
        ("USER", "/username"),
        ("ADDRESS", "/ipaddress"),
        ("PORT", "/port"),
        ("PROTOCOL", "/proto_name"),
        ("VERSION", "/proto_ver"),
        ("KEEPALIVE", "/keepalive"),
        ("CONNECTED", "/connected_at"),
    ],
    name: "/client_id",
    manual: manual_text::json,
};

pub(super) async fn run(
    client: &ApiClient,
    format: Format,
    command: &ClientsCommand,
    out: Out<'_>,
) -> Result<(), Failure> {
    match command {
        ClientsCommand::List => {
            let clients = client.list(&["api", "v3", "connections"], &[]).await?;
            Ok(output::list(out, format, &VIEW, &clients)?)
        }
        ClientsCommand::Show { id } => {
            let found = client.get(&["api", "v3", "connections", id], &[]).await?;
            match found.as_array() {
                Some(found) => Ok(output::list(out, format, &VIEW, found)?),
                None => Ok(output::object(out, format, &VIEW, &found)?),
            }
        }
        ClientsCommand::Kick { id } => {
            client.delete(&["api", "v3", "connections", id]).await?;
            Ok(writeln!(out, "ok")?)
        }
    }
}
