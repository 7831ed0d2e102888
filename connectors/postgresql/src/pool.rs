//! A small pool: at most `size` connections, made when needed, given back only by who knows that they are clean.
//!
//! Invariant: a connection that is dropped instead of given back (an error, a deadline, a panic) is closed. So no
//! open transaction and no half-read answer ever meets the next user.

use std::collections::HashMap;
use std::time::Duration;

use connector::{Error, ErrorKind};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls, Statement};

use crate::fault;
use crate::tls::Tls;

/// Statements kept prepared on one connection; when there are more all are dropped and prepared again as needed.
const STATEMENTS_MAX: usize = 256;

/// The connections of one resource.
pub(crate) struct Pool {
    config: tokio_postgres::Config,
    tls: Option<Tls>,
    connect_timeout: Duration,
    /// host:port/database, for messages.
    pub(crate) address: String,
    permits: Semaphore,
    /// Never longer than `size`: who gives back holds a permit.
    idle: Mutex<Vec<Connection>>,
}

/// One open connection with its prepared statements by SQL text.
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) statements: HashMap<String, Statement>,
    driver: JoinHandle<()>,
}

/// A connection in use.
pub(crate) struct Lease<'a> {
    pub(crate) connection: Connection,
    pool: &'a Pool,
    // Dropped after the connection, so that a waiting task never finds more open connections than the pool's size.
    permit: SemaphorePermit<'a>,
}

impl Pool {
    pub(crate) fn new(
        config: tokio_postgres::Config,
        tls: Option<Tls>,
        connect_timeout: Duration,
        address: String,
        size: usize,
    ) -> Self {
        Self { config, tls, connect_timeout, address, permits: Semaphore::new(size), idle: Mutex::new(Vec::new()) }
    }

    /// An idle connection, or a new one; waits while all are in use.
    pub(crate) async fn lease(&self) -> Result<Lease<'_>, Error> {
        let permit = self
            .permits
            .acquire()
            .await
            .map_err(|_| Error::permanent(ErrorKind::Closed, "the resource has been closed"))?;
        // The guard must be gone before the dial below.
        let idle = { std::iter::from_fn(|| self.idle.lock().pop()).find(|connection| !connection.client.is_closed()) };
        let connection = match idle {
            Some(connection) => connection,
            None => self.dial().await?,
        };
        Ok(Lease { connection, pool: self, permit })
    }

    /// A new connection that is not part of the pool.
    pub(crate) async fn dial(&self) -> Result<Connection, Error> {
        let what = || format!("connecting to PostgreSQL at {}", self.address);
        let dialled = tokio::time::timeout(self.connect_timeout, self.connect()).await;
        match dialled {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(fault::classify(error, &what()).error),
            Err(_) => Err(Error::temporary(
                ErrorKind::Timeout,
                format!("{}: not done within {:?}", what(), self.connect_timeout),
            )),
        }
    }

    async fn connect(&self) -> Result<Connection, tokio_postgres::Error> {
        // The driver's own errors reach the statements that wait for it, so the task has nothing to report.
        let (client, driver) = match &self.tls {
            None => {
                let (client, connection) = self.config.connect(NoTls).await?;
                (
                    client,
                    model::task::spawn("postgresql connection", async move { connection.await.unwrap_or_default() }),
                )
            }
            Some(tls) => {
                let (client, connection) = self.config.connect(tls.clone()).await?;
                (
                    client,
                    model::task::spawn("postgresql connection", async move { connection.await.unwrap_or_default() }),
                )
            }
        };
        Ok(Connection { client, statements: HashMap::new(), driver })
    }

    /// Refuses new leases and closes idle connections; waits for them to say goodbye.
    pub(crate) async fn close(&self) {
        self.permits.close();
        let idle = std::mem::take(&mut *self.idle.lock());
        for connection in idle {
            connection.close().await;
        }
    }
}

impl Connection {
    /// The prepared form of `sql`.
    pub(crate) async fn prepare(&mut self, sql: &str) -> Result<Statement, tokio_postgres::Error> {
        self.prepare_typed(sql, &[]).await
    }

    /// The prepared form of `sql` with the types of its parameters given.
    pub(crate) async fn prepare_typed(
        &mut self,
        sql: &str,
        types: &[tokio_postgres::types::Type],
    ) -> Result<Statement, tokio_postgres::Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare_typed(sql, types).await?;
        if self.statements.len() >= STATEMENTS_MAX {
            self.statements.clear();
        }
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Says goodbye to the server and waits until the driver's task has ended.
    pub(crate) async fn close(self) {
        let Self { client, statements, driver } = self;
        drop(statements);
        drop(client);
        // A panic in the driver has been logged by its supervisor.
        drop(driver.await);
    }
}

impl Lease<'_> {
    /// Gives a clean connection back.
    pub(crate) fn give_back(self) {
        let Self { connection, pool, permit } = self;
        if !connection.client.is_closed() && !pool.permits.is_closed() {
            pool.idle.lock().push(connection);
        }
        drop(permit);
    }
}
