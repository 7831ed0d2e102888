//! The connector as data: resource `backend_pgsql`, action `data_to_pgsql` (manual section 8.2).

use connector::{ActionSpec, BatchDefaults, Field, FieldKind, Role, Spec};

/// Resource `backend_pgsql`.
pub static SPEC: Spec = Spec {
    name: "backend_pgsql",
    aliases: &["postgresql", "pgsql"],
    title: "PostgreSQL",
    description: "Writes rows into PostgreSQL.",
    provider: "emqx_backend_pgsql",
    roles: &[Role::Sink],
    fields: FIELDS,
    actions: &[ActionSpec {
        name: "data_to_pgsql",
        title: "Data to PostgreSQL",
        description: "Runs an SQL statement for each row; inserts are written in batches.",
        params: PARAMS,
        batch: BatchDefaults::NATURAL,
    }],
};

const FIELDS: &[Field] = &[
    Field {
        name: "server",
        title: "PostgreSQL Server",
        default: Some("127.0.0.1:5432"),
        doc: "host:port; an IPv6 address in brackets. Without a port, 5432.",
        ..Field::OPTIONAL
    },
    Field { name: "database", title: "PostgreSQL Database", doc: "Name of the database.", ..Field::REQUIRED },
    Field {
        name: "username",
        aliases: &["user"],
        title: "PostgreSQL User",
        doc: "User to log in as.",
        ..Field::REQUIRED
    },
    Field {
        name: "password",
        title: "PostgreSQL Password",
        secret: true,
        doc: "Password of the user; SCRAM-SHA-256, MD5 and clear text are answered as the server asks.",
        ..Field::OPTIONAL
    },
    Field {
        name: "pool_size",
        title: "Pool Size",
        kind: FieldKind::Integer { min: 1, max: 1024 },
        default: Some("8"),
        doc: "Most connections open at once. They are made when needed.",
        ..Field::OPTIONAL
    },
    Field {
        name: "auto_reconnect",
        aliases: &["enable_reconnect"],
        title: "Enable Reconnect",
        kind: FieldKind::Bool,
        default: Some("true"),
        advanced: true,
        doc: "Accepted from EMQ X 3.4.5; a lost connection is always replaced when it is next needed.",
        ..Field::OPTIONAL
    },
    Field {
        name: "connect_timeout",
        title: "Connect Timeout",
        kind: FieldKind::Duration,
        default: Some("5s"),
        doc: "Longest time for connecting and logging in.",
        ..Field::OPTIONAL
    },
    Field {
        name: "sslmode",
        aliases: &["ssl_mode"],
        title: "TLS",
        kind: FieldKind::Choice(&["disable", "verify-full"]),
        default: Some("disable"),
        doc: "disable: no TLS. verify-full: TLS, and the server's certificate and name are verified. The modes that encrypt \
              without verifying are not built: they stop nobody who can answer in the server's place.",
        ..Field::OPTIONAL
    },
    Field {
        name: "ca_file",
        aliases: &["cacertfile", "sslrootcert"],
        title: "CA File",
        kind: FieldKind::Path,
        advanced: true,
        doc: "PEM file of the authorities to trust instead of the system's.",
        ..Field::OPTIONAL
    },
];

const PARAMS: &[Field] = &[
    Field {
        name: "sql",
        title: "SQL Template",
        kind: FieldKind::SqlTemplate,
        doc: "The statement. Each `${…}` becomes a bound parameter; a missing value is NULL. Rows that it returns are ignored.",
        ..Field::REQUIRED
    },
    Field {
        name: "batching",
        title: "Batching",
        kind: FieldKind::Choice(&["auto", "single", "multi_row", "unnest", "copy"]),
        default: Some("auto"),
        advanced: true,
        doc: "How several rows are written. auto chooses by the statement and the number of rows \
              (docs/decisions/0005-postgresql-batching.md); the others force one way where the statement allows it.",
        ..Field::OPTIONAL
    },
];
