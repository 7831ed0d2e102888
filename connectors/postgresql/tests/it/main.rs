//! The connector against a real PostgreSQL: the conformance menu, statements, types, faults.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking, also in its helpers")]

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use connector::{Client, Config, Connector, ErrorKind, Record, Sink, WriteError};
use model::{Row, Str, Value};
use serde_json::{Value as Json, json};
use testkit::{Case, Harness, Service, Written};
use tokio::sync::RwLock;

/// The conformance run stops and starts the server; whoever else uses it holds this for reading.
static SERVER: RwLock<()> = RwLock::const_new(());

struct Pg {
    service: Service,
    config: tokio_postgres::Config,
}

impl Pg {
    /// The server under test; `None` where it is missing and that is allowed.
    fn find(test: &str) -> Option<Self> {
        let service = Service::find("postgresql", "WEIR_TEST_PG_URL", test)?;
        let config = service.address.parse().expect("WEIR_TEST_PG_URL is a URL");
        Some(Self { service, config })
    }

    fn address(&self) -> SocketAddr {
        let host = match self.config.get_hosts().first() {
            Some(tokio_postgres::config::Host::Tcp(host)) => host.clone(),
            other => panic!("no TCP host: {other:?}"),
        };
        SocketAddr::new(host.parse().expect("a loopback address"), self.config.get_ports()[0])
    }

    async fn session(&self) -> tokio_postgres::Client {
        let (client, connection) = self.config.connect(tokio_postgres::NoTls).await.expect("connect");
        model::task::spawn("test session", async move { connection.await.unwrap_or_default() });
        client
    }

    async fn client(&self, change: Json) -> Arc<dyn Client> {
        let mut settings = self.settings();
        for (key, value) in change.as_object().expect("an object") {
            settings[key] = value.clone();
        }
        let connector = postgresql::connector();
        let config = Config::parse(connector.spec().fields, &settings).expect("settings");
        connector.open(&config).await.expect("open")
    }
}

fn sink(client: &dyn Client, params: &Json) -> Result<Arc<dyn Sink>, connector::Error> {
    let action = &postgresql::settings::SPEC.actions[0];
    client.sink(action, &Config::parse(action.params, params).expect("params"))
}

fn record(row: Row) -> Record {
    Record { row, rule: Str::new("rule:1"), id: Str::new("1/0"), at_ms: 0, event: None, passed_rules: Arc::default() }
}

#[async_trait]
impl Harness for Pg {
    fn connector(&self) -> Arc<dyn Connector> {
        postgresql::connector()
    }

    fn settings(&self) -> Json {
        self.settings_at(self.address()).expect("settings")
    }

    fn settings_at(&self, address: SocketAddr) -> Option<Json> {
        let password = String::from_utf8_lossy(self.config.get_password().unwrap_or_default()).into_owned();
        Some(json!({
            "server": address.to_string(), "database": self.config.get_dbname(), "username": self.config.get_user(),
            "password": password, "pool_size": 4,
        }))
    }

    fn bad_credentials(&self) -> Option<Json> {
        let mut settings = self.settings();
        settings["password"] = json!("not-the-password");
        Some(settings)
    }

    fn action(&self) -> &'static str {
        "data_to_pgsql"
    }

    fn params(&self, destination: &str) -> Json {
        json!({ "sql": format!("INSERT INTO {destination} (id, text, data) VALUES (${{id}}, ${{text}}, ${{data}})") })
    }

    async fn prepare(&self, destination: &str) -> Result<(), String> {
        // No primary key: a row that arrives twice has to be seen.
        let sql = format!("CREATE TABLE {destination} (id bigint, text text CHECK (text <> 'forbidden'), data bytea)");
        self.session().await.batch_execute(&sql).await.map_err(|error| error.to_string())
    }

    async fn read(&self, destination: &str) -> Result<Vec<Written>, String> {
        let sql = format!("SELECT id, text, data FROM {destination}");
        let rows = self.session().await.query(&sql, &[]).await.map_err(|error| error.to_string())?;
        Ok(rows.iter().map(|row| Written { id: row.get(0), text: row.get(1), data: row.get(2) }).collect())
    }

    fn bad_row(&self, id: i64) -> Option<Row> {
        Some(Row::from_pairs([("id", Value::Int(id)), ("text", Value::text("forbidden")), ("data", Value::Null)]))
    }

    fn can_restart(&self) -> bool {
        self.service.can_restart()
    }

    async fn stop_service(&self) -> Result<(), String> {
        self.service.run("stop").await
    }

    async fn start_service(&self) -> Result<(), String> {
        self.service.run("up").await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conformance() {
    let _alone = SERVER.write().await;
    let Some(pg) = Pg::find("conformance") else { return };
    testkit::run(&pg, &Case::SINK).await;
}

/// The statement of manual section 8.2, word for word, on its table.
#[tokio::test]
async fn manual_8_2_statement_is_written_one_by_one_and_in_batches() {
    let _shared = SERVER.read().await;
    let Some(pg) = Pg::find("manual_8_2") else { return };
    let session = pg.session().await;
    session
        .batch_execute(
            "DROP TABLE IF EXISTS t_mqtt_msg; CREATE TABLE t_mqtt_msg (id SERIAL primary key, msgid character varying(64), \
             sender character varying(64), topic character varying(255), qos integer, retain integer, payload text, \
             arrived timestamp without time zone)",
        )
        .await
        .expect("table");
    let client = pg.client(json!({})).await;
    let sql = "insert into t_mqtt_msg(msgid, topic, qos, retain, payload, arrived) values (${id}, ${topic}, ${qos}, \
               ${retain}, ${payload}, to_timestamp(${timestamp}::double precision /1000)) returning id";
    let sink = sink(client.as_ref(), &json!({ "sql": sql })).expect("sink");
    let row = |n: i64| {
        record(Row::from_pairs([
            ("id", Value::text(format!("m{n}"))),
            ("topic", Value::text("t/1")),
            ("qos", Value::Int(1)),
            ("retain", Value::Bool(false)),
            ("payload", Value::text("it's ${x}; DROP TABLE t_mqtt_msg")),
            ("timestamp", Value::Int(1_561_726_696_144)),
        ]))
    };
    sink.write(&[row(0)]).await.expect("one");
    sink.write(&(1..100).map(row).collect::<Vec<_>>()).await.expect("many");
    let got = session
        .query_one("SELECT count(*), count(DISTINCT msgid), min(payload), max(retain), extract(epoch from max(arrived))::float8 FROM t_mqtt_msg", &[])
        .await
        .expect("select");
    assert_eq!((got.get::<_, i64>(0), got.get::<_, i64>(1)), (100, 100));
    assert_eq!(got.get::<_, &str>(2), "it's ${x}; DROP TABLE t_mqtt_msg");
    assert_eq!(got.get::<_, i32>(3), 0);
    assert!((got.get::<_, f64>(4) - 1_561_726_696.144).abs() < 1e-3);
    client.close().await;
}

/// Every way of batching writes the same rows, with every supported type, NULLs included.
#[tokio::test]
async fn every_way_of_batching_stores_the_same_values() {
    let _shared = SERVER.read().await;
    let Some(pg) = Pg::find("ways") else { return };
    let session = pg.session().await;
    let client = pg.client(json!({})).await;
    let columns = "b boolean, i2 smallint, i8 bigint, f4 real, f8 double precision, n numeric, t text, v varchar(10), j json, \
                   jb jsonb, by bytea, ts timestamp, tz timestamptz, d date, ti time, u uuid, a int[]";
    let names: Vec<&str> = columns.split(", ").filter_map(|column| column.split(' ').next()).collect();
    let row = |n: i64| {
        record(Row::from_pairs([
            ("b", Value::Bool(n % 2 == 0)),
            ("i2", Value::Int(n)),
            ("i8", Value::text("9007199254740993")),
            ("f4", Value::Float(0.5)),
            ("f8", Value::Int(3)),
            ("n", Value::Big(Str::new("123456789012345678901234567890"))),
            ("t", if n % 3 == 0 { Value::Missing } else { Value::text("grüße\n'\\") }),
            ("v", Value::Float(1.25)),
            ("j", Value::text("{\"a\": 1}")),
            ("jb", Value::map([("k", Value::list(vec![Value::Int(1), Value::Null]))])),
            ("by", Value::Bytes(vec![0, 255, 128].into())),
            ("ts", Value::text("2026-01-02 03:04:05.678")),
            ("tz", Value::Int(1_561_726_696_144)),
            ("d", Value::text("2026-01-02")),
            ("ti", Value::text("03:04:05")),
            ("u", Value::text("6e6f6973-652d-4a4b-8c4d-000000000001")),
            ("a", Value::list(vec![Value::Int(1), Value::Null, Value::Int(3)])),
        ]))
    };
    let rows: Vec<Record> = (0..40).map(row).collect();
    let mut seen: Option<String> = None;
    for way in ["single", "multi_row", "unnest", "copy", "auto"] {
        let table = format!("ways_{way}");
        session
            .batch_execute(&format!("DROP TABLE IF EXISTS {table}; CREATE TABLE {table} ({columns})"))
            .await
            .expect("table");
        let slots: Vec<String> = names.iter().map(|name| format!("${{{name}}}")).collect();
        let sql = format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), slots.join(", "));
        let sink = sink(client.as_ref(), &json!({ "sql": sql, "batching": way })).expect("sink");
        sink.write(&rows).await.unwrap_or_else(|error| panic!("{way}: {error:?}"));
        let sum = session
            .query_one(&format!("SELECT count(*)::text || string_agg(x::text, '|' ORDER BY i2) FROM {table} x"), &[])
            .await
            .expect("select");
        let text: String = sum.get(0);
        assert!(
            text.starts_with("40(t,0,9007199254740993,0.5,3,123456789012345678901234567890,,1.25,"),
            "{way}: {text}"
        );
        assert_eq!(seen.get_or_insert_with(|| text.clone()), &text, "{way}");
    }
    client.close().await;
}

/// `ON CONFLICT` in a batch, statements that are no INSERT, and several poison rows.
#[tokio::test]
async fn only_the_poison_rows_fail_whatever_the_statement() {
    let _shared = SERVER.read().await;
    let Some(pg) = Pg::find("poison") else { return };
    let session = pg.session().await;
    let client = pg.client(json!({})).await;
    for (number, (sql, expect)) in [
        ("INSERT INTO poison (id, t) VALUES (${id}, ${t})", vec![3, 40]),
        ("INSERT INTO poison (id, t) VALUES (${id}, upper(${t}))", vec![3, 40]),
        ("INSERT INTO poison (id, t) VALUES (${id}, ${t}) ON CONFLICT (id) DO UPDATE SET t = EXCLUDED.t RETURNING id", vec![3, 40]),
        ("INSERT INTO poison (id, t) SELECT ${id}::int, ${t}", vec![3, 40]),
        ("UPDATE poison SET t = ${t} WHERE id = ${id}", vec![40]),
    ]
    .into_iter()
    .enumerate()
    {
        session
            .batch_execute("DROP TABLE IF EXISTS poison; CREATE TABLE poison (id int PRIMARY KEY, t varchar(4)); INSERT INTO poison VALUES (1000, 'x')")
            .await
            .expect("table");
        let sink = sink(client.as_ref(), &json!({ "sql": sql })).expect("sink");
        if sql.starts_with("UPDATE") {
            session.batch_execute("INSERT INTO poison SELECT g, '-' FROM generate_series(0, 49) g").await.expect("rows");
        }
        let rows: Vec<Record> = (0..50)
            .map(|id| {
                let text = if id == 40 { "too long" } else { "ok" };
                // Not an integer: refused before it is sent. The UPDATE has no such row.
                let id = if id == 3 && number != 4 { Value::text("three") } else { Value::Int(id) };
                record(Row::from_pairs([("id", id), ("t", Value::text(text))]))
            })
            .collect();
        let Err(WriteError::Rows(failed)) = sink.write(&rows).await else { panic!("{sql}: two rows are bad") };
        let indexes: Vec<usize> = failed.iter().map(|(index, _)| *index).collect();
        assert_eq!(indexes, expect, "{sql}");
        assert!(failed.iter().all(|(_, error)| error.kind == ErrorKind::Rejected && !error.is_temporary()), "{failed:?}");
        let written: i64 = session.query_one("SELECT count(*) FROM poison WHERE upper(t) = 'OK'", &[]).await.expect("count").get(0);
        assert_eq!(written, 50 - expect.len() as i64, "{sql}");
    }
    client.close().await;
}

#[tokio::test]
async fn a_fault_names_the_cause_and_the_remedy() {
    let _shared = SERVER.read().await;
    let Some(pg) = Pg::find("faults") else { return };
    let session = pg.session().await;
    session.batch_execute("DROP TABLE IF EXISTS faults; CREATE TABLE faults (id int)").await.expect("table");
    let client = pg.client(json!({})).await;
    for (sql, kind, words) in [
        (
            "INSERT INTO no_such (id) VALUES (${id})",
            ErrorKind::NotFound,
            vec!["\"no_such\" does not exist", "create the table"],
        ),
        (
            "INSERT INTO faults (ident) VALUES (${id})",
            ErrorKind::Rejected,
            vec!["\"ident\"", "\"faults\"", "add the column"],
        ),
        (
            "INSERTED INTO faults (id) VALUES (${id})",
            ErrorKind::Rejected,
            vec!["syntax error", "correct the action's sql"],
        ),
    ] {
        let sink = sink(client.as_ref(), &json!({ "sql": sql })).expect("sink");
        let rows = [record(Row::from_pairs([("id", Value::Int(1))])), record(Row::from_pairs([("id", Value::Int(2))]))];
        let Err(WriteError::Batch(error)) = sink.write(&rows).await else { panic!("{sql} was written") };
        assert_eq!((error.kind, error.is_temporary()), (kind, false), "{error}");
        for word in words {
            assert!(error.to_string().contains(word), "{error} does not say {word:?}");
        }
    }
    let config = Config::parse(postgresql::settings::SPEC.fields, &{
        let mut settings = pg.settings();
        settings["database"] = json!("no_such_database");
        settings
    })
    .expect("settings");
    let error = postgresql::connector().open(&config).await.expect("open").check().await.expect_err("no such database");
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
    client.close().await;
}

/// A connection that the server ends is replaced, and nothing is written twice by the next write.
#[tokio::test]
async fn a_connection_that_was_killed_is_a_temporary_error_and_is_replaced() {
    let _shared = SERVER.read().await;
    let Some(pg) = Pg::find("killed") else { return };
    let session = pg.session().await;
    session.batch_execute("DROP TABLE IF EXISTS killed; CREATE TABLE killed (id int)").await.expect("table");
    let client = pg.client(json!({ "pool_size": 1 })).await;
    let sink = sink(
        client.as_ref(),
        &json!({ "sql": "INSERT INTO killed (id) SELECT ${id}::int FROM pg_sleep(${nap}::float8)" }),
    )
    .expect("sink");
    let row = |id: i64, nap: f64| record(Row::from_pairs([("id", Value::Int(id)), ("nap", Value::Float(nap))]));
    sink.write(&[row(1, 0.0)]).await.expect("first");
    let slow = [row(2, 30.0)];
    let kill = async {
        let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'weir' AND query LIKE '%INTO killed%' AND state = 'active'";
        while session.query_one(kill, &[]).await.expect("kill").get::<_, i64>(0) == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let (outcome, ()) = tokio::join!(sink.write(&slow), kill);
    let Err(WriteError::Batch(error)) = outcome else { panic!("the write outlived its connection") };
    assert!(error.is_temporary() && error.kind == ErrorKind::Unreachable, "{error}");
    sink.write(&[row(3, 0.0)]).await.expect("a new connection");
    let ids: String =
        session.query_one("SELECT string_agg(id::text, ',' ORDER BY id) FROM killed", &[]).await.expect("ids").get(0);
    assert_eq!(ids, "1,3");
    client.close().await;
}

/// COPY cannot write to a view that a trigger makes writable; INSERT can, and the rows arrive.
#[tokio::test]
async fn a_target_that_copy_refuses_is_written_by_insert() {
    let _shared = SERVER.read().await;
    let Some(pg) = Pg::find("view") else { return };
    let session = pg.session().await;
    session
        .batch_execute("DROP VIEW IF EXISTS plain_view; DROP TABLE IF EXISTS behind_view; CREATE TABLE behind_view (id int); CREATE VIEW plain_view AS SELECT id FROM behind_view")
        .await
        .expect("view");
    let client = pg.client(json!({})).await;
    let sink =
        sink(client.as_ref(), &json!({ "sql": "INSERT INTO plain_view (id) VALUES (${id})", "batching": "copy" }))
            .expect("sink");
    for round in 0..2 {
        let rows: Vec<Record> = (0..100).map(|id| record(Row::from_pairs([("id", Value::Int(id))]))).collect();
        sink.write(&rows).await.unwrap_or_else(|error| panic!("{error:?}"));
        let count: i64 = session.query_one("SELECT count(*) FROM behind_view", &[]).await.expect("count").get(0);
        assert_eq!(count, 100 * (round + 1));
    }
    client.close().await;
}

#[tokio::test]
async fn tls_is_verified() {
    let _shared = SERVER.read().await;
    let Some(pg) = Pg::find("tls") else { return };
    let ca = Service::find("postgresql", "WEIR_TEST_PG_CA", "tls")
        .expect("the service that is there has a certificate")
        .address;
    let client = pg.client(json!({ "sslmode": "verify-full", "ca_file": ca })).await;
    client.check().await.expect("the certificate is trusted");
    client.close().await;
    let stranger = pg.client(json!({ "sslmode": "verify-full" })).await;
    let error = stranger.check().await.expect_err("nobody vouches for it");
    assert!(error.to_string().contains("certificate"), "{error}");
    let connector = postgresql::connector();
    let config =
        Config::parse(connector.spec().fields, &json!({"database": "d", "username": "u", "sslmode": "require"}));
    let errors = config.expect_err("a mode that is not built");
    assert!(errors[0].to_string().contains("disable, verify-full"), "{errors:?}");
    // Encrypted is what the server sees, too.
    let client = pg.client(json!({ "sslmode": "verify-full", "ca_file": ca })).await;
    let session = pg.session().await;
    session.batch_execute("DROP TABLE IF EXISTS tls; CREATE TABLE tls (ssl bool)").await.expect("table");
    let sql = "INSERT INTO tls (ssl) SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ${id}::int = 1";
    sink(client.as_ref(), &json!({ "sql": sql }))
        .expect("sink")
        .write(&[record(Row::from_pairs([("id", Value::Int(1))]))])
        .await
        .expect("write");
    assert!(session.query_one("SELECT ssl FROM tls", &[]).await.expect("row").get::<_, bool>(0));
    client.close().await;
}

#[tokio::test]
async fn templates_that_would_be_pasted_are_refused_and_render_shows_what_is_bound() {
    let config =
        Config::parse(postgresql::settings::SPEC.fields, &json!({"database": "d", "username": "u"})).expect("settings");
    let client = postgresql::connector().open(&config).await.expect("opening does not dial");
    for (sql, words) in [
        ("INSERT INTO t_${x} (a) VALUES (${y})", "inside a name"),
        ("INSERT INTO \"${x}\" (a) VALUES (${y})", "name tables and columns literally"),
        ("INSERT INTO t (a) VALUES ($1)", "not $1"),
        ("INSERT INTO t (a) VALUES (${x}y)", "touches a name"),
        ("INSERT INTO t (a) VALUES ('x", "not closed"),
        ("  ", "empty"),
    ] {
        let error = sink(client.as_ref(), &json!({ "sql": sql })).err().unwrap_or_else(|| panic!("{sql} was taken"));
        assert!(error.kind == ErrorKind::Config && error.context.contains(words), "{sql}: {error}");
    }
    for (sql, way) in [
        ("UPDATE t SET a = ${x}", "unnest"),
        ("INSERT INTO t VALUES (${x})", "copy"),
        ("INSERT INTO t (a) VALUES (DEFAULT)", "unnest"),
    ] {
        let error = sink(client.as_ref(), &json!({ "sql": sql, "batching": way }))
            .err()
            .unwrap_or_else(|| panic!("{sql} was taken"));
        assert!(error.context.contains("not possible for this statement"), "{error}");
    }
    let sink =
        sink(client.as_ref(), &json!({ "sql": "INSERT INTO t (a, b, c) VALUES (${p.x}, 'dev-${id}', '${none}')" }))
            .expect("sink");
    let row = Row::from_pairs([("p", Value::text("{\"x\": 7}")), ("id", Value::text("a'b"))]);
    assert_eq!(
        sink.render(&record(row)).expect("render"),
        json!({ "sql": "INSERT INTO t (a, b, c) VALUES ($1, $2, $3)", "params": [7, "dev-a'b", null] })
    );
    client.close().await;
}

#[test]
fn the_example_of_the_readme_is_valid() {
    testkit::check_readme(&postgresql::settings::SPEC, include_str!("../../README.md"));
}
