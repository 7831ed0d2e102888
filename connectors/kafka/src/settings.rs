//! The connector as data: resource `bridge_kafka`, action `data_to_kafka` (manual sections 8.11 and 11.2).

use connector::{ActionSpec, BatchDefaults, Field, FieldKind, Role, Spec};

/// Resource `bridge_kafka`.
pub static SPEC: Spec = Spec {
    name: "bridge_kafka",
    aliases: &["kafka"],
    title: "Kafka",
    description: "Writes rows as records to Apache Kafka.",
    provider: "emqx_bridge_kafka",
    roles: &[Role::Sink],
    fields: FIELDS,
    actions: &[ActionSpec {
        name: "data_to_kafka",
        title: "Data bridge to Kafka",
        description: "Writes each row as one record.",
        params: PARAMS,
        batch: BatchDefaults::NATURAL,
    }],
};

const FIELDS: &[Field] = &[
    Field {
        name: "servers",
        aliases: &["server", "bootstrap_servers"],
        title: "Kafka Server",
        kind: FieldKind::TextList,
        default: Some("127.0.0.1:9092"),
        doc: "host:port of some brokers, separated by commas; the others are learnt from them.",
        ..Field::OPTIONAL
    },
    Field {
        name: "min_metadata_refresh_interval",
        aliases: &["metadata_refresh"],
        title: "Metadata Refresh",
        kind: FieldKind::Duration,
        default: Some("3s"),
        doc: "How long what is known about a topic may be used before it is asked for again.",
        ..Field::OPTIONAL
    },
    Field {
        name: "sync_timeout",
        title: "Sync Timeout",
        kind: FieldKind::Duration,
        default: Some("3s"),
        doc: "Longest time from handing a record over to its delivery report; also the deadline of the check.",
        ..Field::OPTIONAL
    },
    Field {
        name: "max_batch_bytes",
        title: "Max Batch Bytes",
        kind: FieldKind::Bytes,
        default: Some("1024KB"),
        doc: "Largest record, and largest batch sent to a broker at once.",
        ..Field::OPTIONAL
    },
    Field {
        name: "compression",
        title: "Compression",
        kind: FieldKind::Choice(&["no_compression", "gzip", "snappy", "lz4", "zstd"]),
        default: Some("no_compression"),
        doc: "How batches are compressed.",
        ..Field::OPTIONAL
    },
    Field {
        name: "send_buffer",
        aliases: &["sndbuf", "send_buffer_size"],
        title: "Send Buffer Size",
        kind: FieldKind::Bytes,
        default: Some("1024KB"),
        doc: "Send buffer of the sockets; the system may limit it.",
        ..Field::OPTIONAL
    },
    Field {
        name: "linger",
        title: "Linger",
        kind: FieldKind::Duration,
        default: Some("0ms"),
        advanced: true,
        doc: "How long a record may wait for company. Rows already come in batches, so waiting gains little.",
        ..Field::OPTIONAL
    },
    Field {
        name: "partitioner",
        title: "Partitioner",
        kind: FieldKind::Choice(&["murmur2_random", "consistent_random", "fnv1a_random", "random"]),
        default: Some("murmur2_random"),
        advanced: true,
        doc: "How a key chooses its partition. murmur2_random is what Java producers do; records without a key go anywhere.",
        ..Field::OPTIONAL
    },
    Field {
        name: "security_protocol",
        title: "Security Protocol",
        kind: FieldKind::Choice(&["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"]),
        default: Some("plaintext"),
        doc: "Whether connections use TLS, SASL or both.",
        ..Field::OPTIONAL
    },
    Field {
        name: "sasl_mechanism",
        title: "SASL Mechanism",
        kind: FieldKind::Choice(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]),
        default: Some("PLAIN"),
        doc: "How to log in when security_protocol has SASL.",
        ..Field::OPTIONAL
    },
    Field { name: "username", title: "User Name", doc: "SASL user.", ..Field::OPTIONAL },
    Field { name: "password", title: "Password", secret: true, doc: "SASL password.", ..Field::OPTIONAL },
    Field {
        name: "ca_file",
        aliases: &["cacertfile"],
        title: "CA File",
        kind: FieldKind::Path,
        advanced: true,
        doc: "PEM file of the authorities to trust for TLS instead of the system's.",
        ..Field::OPTIONAL
    },
];

const PARAMS: &[Field] = &[
    Field {
        name: "topic",
        title: "Kafka Topic",
        kind: FieldKind::Template,
        doc: "Topic of the records. It must begin with literal text unless allow_dynamic is on.",
        ..Field::REQUIRED
    },
    Field {
        name: "allow_dynamic",
        title: "Allow Dynamic Topic",
        kind: FieldKind::Bool,
        default: Some("false"),
        advanced: true,
        doc: "Lets the row choose the whole topic name.",
        ..Field::OPTIONAL
    },
    Field {
        name: "key",
        title: "Key",
        kind: FieldKind::Template,
        doc: "Key of the record; it decides the partition. Without it, or when it is empty, the record has none.",
        ..Field::OPTIONAL
    },
    Field {
        name: "value",
        aliases: &["payload_tmpl"],
        title: "Value",
        kind: FieldKind::Template,
        doc: "Value of the record. Default: the row as a JSON object.",
        ..Field::OPTIONAL
    },
    Field {
        name: "headers",
        title: "Headers",
        kind: FieldKind::TemplateMap,
        doc: "Headers of the record.",
        ..Field::OPTIONAL
    },
];
