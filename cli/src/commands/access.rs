//! `weir banned …`, `weir users …`, `weir clientid …`, `weir acl …`

use std::io::Read as _;

use serde_json::{Value as Json, json};

use super::Out;
use crate::api_client::ApiClient;
use crate::args::{AclCommand, BannedCommand, Format, UsersCommand};
use crate::exit::{Exit, Failure};
use crate::manual_text;
use crate::output::{self, View};

/// Longest line that is read as a password.
const PASSWORD_BYTES_MAX: u64 = 4_096;

static BANS: View = View {
    columns: &[
        ("KIND", "/as"),
        ("WHO", "/who"),
        ("REASON", "/reason"),
        ("BY", "/by"),
        ("AT", "/at"),
        ("UNTIL", "/until"),
    ],
    name: "/who",
    manual: manual_text::json,
};

static USERS: View =
    View { columns: &[("NAME", "/name"), ("SUPERUSER", "/is_superuser")], name: "/name", manual: manual_text::name };

static RULES: View = View {
    columns: &[("SOURCE", "/source"), ("RULES", "/rules"), ("VERSION", "/version")],
    name: "/source",
    manual: manual_text::json,
};

pub(super) async fn banned(
    client: &ApiClient,
    format: Format,
    command: &BannedCommand,
    out: Out<'_>,
) -> Result<(), Failure> {
    match command {
        BannedCommand::List => {
            let bans = client.list(&["api", "v1", "banned"], &[]).await?;
            Ok(output::list(out, format, &BANS, &bans)?)
        }
        BannedCommand::Add { kind, who, reason, secs } => {
            // The end is the server's to compute: this machine's clock may differ.
            let body = json!({"as": kind.word(), "who": who, "reason": reason, "for_secs": secs});
            let ban = client.post(&["api", "v1", "banned"], &body).await?;
            let ended = ban.get("ended_connections").and_then(Json::as_u64).unwrap_or_default();
            match format {
                Format::Table | Format::Manual => Ok(writeln!(out, "banned; {ended} connections ended")?),
                _ => Ok(output::object(out, format, &BANS, &ban)?),
            }
        }
        BannedCommand::Del { kind, who } => {
            client.delete(&["api", "v1", "banned", kind.word(), who]).await?;
            Ok(writeln!(out, "ok")?)
        }
    }
}

/// `kind` is the API's word for what the names are.
pub(super) async fn users(
    client: &ApiClient,
    format: Format,
    kind: &str,
    command: &UsersCommand,
    out: Out<'_>,
) -> Result<(), Failure> {
    let path = ["api", "v1", "users", kind];
    match command {
        UsersCommand::List => {
            let users = client.list(&path, &[]).await?;
            return Ok(output::list(out, format, &USERS, &users)?);
        }
        UsersCommand::Add { name, password, superuser } => {
            let body = json!({"name": name, "password": given(password.as_deref())?, "is_superuser": superuser});
            client.post(&path, &body).await?;
        }
        UsersCommand::Update { name, password, superuser } => {
            let mut body = json!({"password": given(password.as_deref())?});
            if let (Some(superuser), Some(body)) = (superuser, body.as_object_mut()) {
                body.insert("is_superuser".to_owned(), json!(superuser));
            }
            client.put(&["api", "v1", "users", kind, name], &body).await?;
        }
        UsersCommand::Del { name } => {
            client.delete(&["api", "v1", "users", kind, name]).await?;
        }
    }
    Ok(writeln!(out, "ok")?)
}

pub(super) async fn acl(client: &ApiClient, format: Format, command: &AclCommand, out: Out<'_>) -> Result<(), Failure> {
    match command {
        AclCommand::Show => {
            let rules = client.get(&["api", "v1", "acl"], &[]).await?;
            Ok(output::object(out, format, &RULES, &rules)?)
        }
        AclCommand::Reload => {
            let rules = client.post(&["api", "v1", "acl", "reload"], &json!({})).await?;
            match format {
                Format::Manual => Ok(writeln!(out, "reload acl_internal successfully")?),
                _ => Ok(output::object(out, format, &RULES, &rules)?),
            }
        }
    }
}

/// The password as it was typed, or a line of standard input.
fn given(password: Option<&str>) -> Result<String, Failure> {
    if let Some(password) = password {
        return Ok(password.to_owned());
    }
    let mut line = String::new();
    std::io::stdin()
        .take(PASSWORD_BYTES_MAX)
        .read_to_string(&mut line)
        .map_err(|error| Failure::new(Exit::Usage, format!("cannot read the password from standard input: {error}")))?;
    let password = line.lines().next().unwrap_or_default();
    if password.is_empty() {
        return Err(Failure::new(Exit::Usage, "there is no password; give it as an argument or on standard input"));
    }
    Ok(password.to_owned())
}
