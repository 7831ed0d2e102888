//! A PostgreSQL table: rows are read back with SELECT, and the time of each from the notification of its transaction.
//!
//! A statement trigger sends a NOTIFY with the transaction's id, which PostgreSQL delivers after the commit; a second
//! connection notes when it came. `xmin` tells each row's transaction. The trigger runs once a batch, not once a row, and is
//! part of what is measured.

use std::collections::HashMap;
use std::future::poll_fn;
use std::str::FromStr as _;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use cli::{ApiClient, Exit, Failure};
use model::{Clock as _, SystemClock};
use serde_json::{Value as Json, json};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Socket};

use super::sink::{Row, Sink};

/// The channel of the notifications; two benches on one database would hear each other's, which harms nobody.
const CHANNEL: &str = "weir_bench";
/// Transactions remembered in one run; rows of further ones have no time, which the output says.
const COMMITS_MAX: usize = 1_000_000;

/// When each transaction was heard of, microseconds since 1970, by the low 32 bits of its id.
type Commits = Arc<Mutex<HashMap<String, i64>>>;

/// A database.
pub(super) struct PostgresSink {
    client: Client,
    commits: Commits,
    /// Configuration of the server's resource.
    config: Json,
    about: Json,
    resource: Option<String>,
}

impl PostgresSink {
    /// Connects and starts to listen.
    pub(super) async fn connect(url: &str) -> Result<Self, Failure> {
        let invalid = |why: String| {
            Failure::new(Exit::Usage, format!("--postgres: {why}; expected postgres://user:secret@host:5432/database"))
        };
        let parsed = Config::from_str(url).map_err(|error| invalid(error.to_string()))?;
        let config = resource_config(&parsed).map_err(invalid)?;
        let unreachable = |error: tokio_postgres::Error| {
            Failure::new(Exit::Unreachable, format!("PostgreSQL of --postgres: {}", explained(&error)))
        };
        let (client, connection) = parsed.connect(NoTls).await.map_err(unreachable)?;
        let commits = Commits::default();
        model::task::spawn("bench-postgresql", listen(connection, Arc::clone(&commits)));
        client.batch_execute(&format!("LISTEN {CHANNEL}")).await.map_err(unreachable)?;
        let mut about =
            json!({"row_confirmed": "arrival of the NOTIFY that a statement trigger sends with each transaction"});
        for setting in ["server_version", "fsync", "synchronous_commit"] {
            let row = client.query_one("SELECT current_setting($1)", &[&setting]).await.map_err(unreachable)?;
            let value: String = row.try_get(0).map_err(unreachable)?;
            if let Some(about) = about.as_object_mut() {
                about.insert(setting.to_owned(), json!(value));
            }
        }
        Ok(Self { client, commits, config, about, resource: None })
    }

    async fn execute(&self, sql: &str) -> Result<(), Failure> {
        self.client.batch_execute(sql).await.map_err(|error| failed(&error))
    }
}

#[async_trait]
impl Sink for PostgresSink {
    fn name(&self) -> &'static str {
        "postgresql"
    }

    fn about(&self) -> Json {
        self.about.clone()
    }

    async fn prepare(&mut self, api: &ApiClient, table: &str) -> Result<Json, Failure> {
        let resource = match &self.resource {
            Some(id) => id.clone(),
            None => {
                super::create(
                    api,
                    &["api", "v3", "resources"],
                    &json!({"type": "backend_pgsql", "config": self.config}),
                )
                .await?
            }
        };
        self.resource = Some(resource.clone());
        if let Ok(mut commits) = self.commits.lock() {
            commits.clear();
        }
        self.execute(&format!(
            "CREATE TABLE {table} (device text, temp double precision, hum double precision, site text, sent bigint);
             CREATE FUNCTION {table}_heard() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN PERFORM pg_notify('{CHANNEL}', (txid_current() & 4294967295)::text); RETURN NULL; END $$;
             CREATE TRIGGER heard AFTER INSERT ON {table} FOR EACH STATEMENT EXECUTE PROCEDURE {table}_heard();"
        ))
        .await?;
        let sql = format!(
            "INSERT INTO {table} (device, temp, hum, site, sent) VALUES (${{device}}, ${{temp}}, ${{hum}}, ${{site}}, ${{sent}})"
        );
        Ok(json!({"name": "data_to_pgsql", "params": {"$resource": resource, "sql": sql}}))
    }

    async fn rows(&mut self, table: &str) -> Result<Option<Vec<Row>>, Failure> {
        let found = self
            .client
            .query(&format!("SELECT xmin::text, sent FROM {table}"), &[])
            .await
            .map_err(|error| failed(&error))?;
        let commits = self
            .commits
            .lock()
            .map_err(|_| Failure::new(Exit::Failed, "the task that listens to PostgreSQL panicked"))?;
        let rows = found
            .iter()
            .map(|row| {
                let transaction: &str = row.try_get(0).map_err(|error| failed(&error))?;
                let sent_us = row.try_get(1).map_err(|error| failed(&error))?;
                Ok(Row { sent_us, confirmed_us: commits.get(transaction).copied() })
            })
            .collect::<Result<_, Failure>>()?;
        Ok(Some(rows))
    }

    async fn clean(&mut self, table: &str) {
        // Nothing more can be done about a table that cannot be dropped; its name says whose it was.
        drop(self.execute(&format!("DROP TABLE IF EXISTS {table}; DROP FUNCTION IF EXISTS {table}_heard()")).await);
    }
}

/// Drives the connection and notes when each notification comes.
async fn listen(
    mut connection: tokio_postgres::Connection<Socket, tokio_postgres::tls::NoTlsStream>,
    commits: Commits,
) {
    // A broken connection ends the stream; the next query then says so.
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        let AsyncMessage::Notification(note) = message else { continue };
        let now_us = SystemClock.now_ns() / 1_000;
        if let Ok(mut commits) = commits.lock()
            && commits.len() < COMMITS_MAX
        {
            commits.insert(note.payload().to_owned(), now_us);
        }
    }
}

/// The configuration of resource type `backend_pgsql` for the server that a connection string names.
fn resource_config(config: &Config) -> Result<Json, String> {
    if config.get_ssl_mode() == SslMode::Require {
        return Err("the bench speaks no TLS to PostgreSQL".to_owned());
    }
    let host = match config.get_hosts() {
        [Host::Tcp(host)] => host,
        _ => return Err("one host is needed; Unix sockets are not supported".to_owned()),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let user = config.get_user().ok_or("the user is missing")?;
    let server = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let mut json = json!({"server": server, "database": config.get_dbname().unwrap_or(user), "username": user});
    if let (Some(password), Some(json)) = (config.get_password(), json.as_object_mut()) {
        let password = std::str::from_utf8(password).map_err(|_| "the password is not UTF-8")?;
        json.insert("password".to_owned(), Json::String(password.to_owned()));
    }
    Ok(json)
}

fn failed(error: &tokio_postgres::Error) -> Failure {
    Failure::new(Exit::Failed, format!("PostgreSQL: {}", explained(error)))
}

/// The error with its cause, which says what the server said.
fn explained(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_becomes_the_configuration_of_a_resource() {
        let check = |url: &str, expected: Result<Json, &str>| {
            let found =
                Config::from_str(url).map_err(|error| error.to_string()).and_then(|config| resource_config(&config));
            assert_eq!(found, expected.map_err(str::to_owned), "{url}");
        };
        check(
            "postgres://me:p%40ss@db.example:5433/things",
            Ok(json!({"server": "db.example:5433", "database": "things", "username": "me", "password": "p@ss"})),
        );
        check("host=::1 user=me", Ok(json!({"server": "[::1]:5432", "database": "me", "username": "me"})));
        check("host=/run/postgresql user=me", Err("one host is needed; Unix sockets are not supported"));
        check("host=a,b user=me", Err("one host is needed; Unix sockets are not supported"));
        check("host=a", Err("the user is missing"));
        check("postgres://me@a/b?sslmode=require", Err("the bench speaks no TLS to PostgreSQL"));
    }
}
