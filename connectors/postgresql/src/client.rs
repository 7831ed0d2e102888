//! The shared client of one database.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use connector::{ActionSpec, Client, Config, Error, ErrorKind, Sink};

use crate::fault;
use crate::pool::Pool;
use crate::sink::PgSink;
use crate::tls::Tls;

/// One resource.
pub(crate) struct Database {
    pool: Arc<Pool>,
}

impl Database {
    pub(crate) fn open(config: &Config) -> Result<Self, Error> {
        let server = config.text("server").unwrap_or("127.0.0.1:5432");
        let (host, port) = host_and_port(server).ok_or_else(|| {
            Error::permanent(ErrorKind::Config, format!("server {server:?} is not host:port, such as 127.0.0.1:5432"))
        })?;
        let database = config.text("database").unwrap_or_default();
        let connect_timeout = config.duration("connect_timeout").unwrap_or(Duration::from_secs(5));
        let tls = match config.text("sslmode") {
            Some("verify-full") => Some(Tls::new(config.text("ca_file"))?),
            _ => None,
        };
        let mut settings = tokio_postgres::Config::new();
        settings
            .host(host)
            .port(port)
            .dbname(database)
            .user(config.text("username").unwrap_or_default())
            .application_name("weir")
            .connect_timeout(connect_timeout)
            .keepalives_idle(Duration::from_secs(30))
            .ssl_mode(if tls.is_some() {
                tokio_postgres::config::SslMode::Require
            } else {
                tokio_postgres::config::SslMode::Disable
            });
        if let Some(password) = config.secret("password") {
            settings.password(password.expose());
        }
        let size = config.integer("pool_size").and_then(|size| usize::try_from(size).ok()).unwrap_or(8);
        let address = format!("{server}/{database}");
        Ok(Self { pool: Arc::new(Pool::new(settings, tls, connect_timeout, address, size)) })
    }
}

/// `host:port`, `host`, `[v6]:port` or `[v6]`.
fn host_and_port(server: &str) -> Option<(&str, u16)> {
    let (host, rest) = match server.strip_prefix('[') {
        Some(v6) => v6.split_once(']')?,
        None => server.find(':').map_or((server, ""), |colon| server.split_at(colon)),
    };
    let port = if rest.is_empty() { 5432 } else { rest.strip_prefix(':')?.parse().ok()? };
    (!host.is_empty()).then_some((host, port))
}

#[async_trait]
impl Client for Database {
    /// Logs in on a new connection and runs `SELECT 1`.
    async fn check(&self) -> Result<(), Error> {
        let connection = self.pool.dial().await?;
        let answer = connection.client.simple_query("SELECT 1").await;
        connection.close().await;
        answer
            .map(drop)
            .map_err(|error| fault::classify(error, &format!("asking PostgreSQL at {}", self.pool.address)).error)
    }

    fn sink(&self, action: &'static ActionSpec, params: &Config) -> Result<Arc<dyn Sink>, Error> {
        let _ = action;
        Ok(Arc::new(PgSink::new(Arc::clone(&self.pool), params)?))
    }

    async fn close(&self) {
        self.pool.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_setting_takes_host_and_port() {
        fn check(server: &str, expect: Option<(&str, u16)>) {
            assert_eq!(host_and_port(server), expect, "{server:?}");
        }
        check("127.0.0.1:5432", Some(("127.0.0.1", 5432)));
        check("db.example", Some(("db.example", 5432)));
        check("db.example:1", Some(("db.example", 1)));
        check("[::1]:6000", Some(("::1", 6000)));
        check("[::1]", Some(("::1", 5432)));
        check("", None);
        check(":5432", None);
        check("a:b", None);
        check("a:99999", None);
        check("[::1", None);
    }
}
