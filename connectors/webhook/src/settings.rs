//! The connector as data: resource `web_hook`, action `data_to_webserver` (manual section 8.10).

use connector::{ActionSpec, BatchDefaults, Field, FieldKind, Role, Spec};

const METHODS: FieldKind = FieldKind::Choice(&["POST", "PUT", "PATCH", "GET", "DELETE"]);

/// Resource `web_hook`.
pub static SPEC: Spec = Spec {
    name: "web_hook",
    aliases: &["webhook", "http"],
    title: "WebHook",
    description: "Sends rows to an HTTP server.",
    provider: "emqx_web_hook",
    roles: &[Role::Sink],
    fields: FIELDS,
    actions: &[ActionSpec {
        name: "data_to_webserver",
        title: "Data to Web Server",
        description: "Sends each row as one HTTP request, or a batch as one JSON array.",
        params: PARAMS,
        // Rows of one write are sent one after the other to keep their order, so a write must stay short.
        batch: BatchDefaults { records_max: 16, bytes_max: 1 << 20, age_max_ms: 0, concurrency_max: 1 },
    }],
};

const FIELDS: &[Field] = &[
    Field {
        name: "url",
        aliases: &["request_url"],
        title: "Request URL",
        kind: FieldKind::Url,
        doc: "Where requests go, http or https. Scheme, host and port are literal; below them `${…}` is filled in from \
              the row, percent-encoded.",
        ..Field::REQUIRED
    },
    Field {
        name: "method",
        aliases: &["request_method"],
        title: "Request Method",
        kind: METHODS,
        default: Some("POST"),
        doc: "HTTP method. GET and DELETE carry no body.",
        ..Field::OPTIONAL
    },
    Field {
        name: "headers",
        aliases: &["request_headers"],
        title: "Request Header",
        kind: FieldKind::TemplateMap,
        doc: "Headers of every request; values may use `${…}`. A line break in a value is refused. \
              Put credentials into bearer_token or password instead: those are never shown.",
        ..Field::OPTIONAL
    },
    Field {
        name: "bearer_token",
        title: "Bearer Token",
        secret: true,
        doc: "Sent as `Authorization: Bearer …`.",
        ..Field::OPTIONAL
    },
    Field { name: "username", title: "User Name", doc: "User of HTTP Basic authentication.", ..Field::OPTIONAL },
    Field {
        name: "password",
        title: "Password",
        secret: true,
        doc: "Password of HTTP Basic authentication.",
        ..Field::OPTIONAL
    },
    Field {
        name: "connect_timeout",
        title: "Connect Timeout",
        kind: FieldKind::Duration,
        default: Some("5s"),
        doc: "Longest time for name look-up, TCP and TLS together.",
        ..Field::OPTIONAL
    },
    Field {
        name: "request_timeout",
        aliases: &["timeout"],
        title: "Request Timeout",
        kind: FieldKind::Duration,
        default: Some("10s"),
        doc: "Longest time from sending a request to the end of its answer.",
        ..Field::OPTIONAL
    },
    Field {
        name: "pool_size",
        title: "Pool Size",
        kind: FieldKind::Integer { min: 1, max: 1024 },
        default: Some("8"),
        doc: "Most idle connections kept open to the server.",
        ..Field::OPTIONAL
    },
    Field {
        name: "follow_redirects",
        title: "Follow Redirects",
        kind: FieldKind::Bool,
        default: Some("false"),
        advanced: true,
        doc: "Follow up to 5 redirects. Off, an answer of class 3xx is a permanent error.",
        ..Field::OPTIONAL
    },
    Field {
        name: "ca_file",
        aliases: &["cacertfile"],
        title: "CA File",
        kind: FieldKind::Path,
        advanced: true,
        doc: "PEM file of the authorities to trust for https instead of the system's.",
        ..Field::OPTIONAL
    },
];

const PARAMS: &[Field] = &[
    Field {
        name: "path",
        title: "Path",
        kind: FieldKind::Template,
        doc: "Appended to the URL of the resource; values are percent-encoded.",
        ..Field::OPTIONAL
    },
    Field {
        name: "method",
        title: "Request Method",
        kind: METHODS,
        doc: "HTTP method; default is the method of the resource.",
        ..Field::OPTIONAL
    },
    Field {
        name: "headers",
        title: "Request Header",
        kind: FieldKind::TemplateMap,
        doc: "Headers added to those of the resource, or replacing them.",
        ..Field::OPTIONAL
    },
    Field {
        name: "body",
        aliases: &["payload_tmpl"],
        title: "Body Template",
        kind: FieldKind::Template,
        doc: "The request body. Default: the row as a JSON object.",
        ..Field::OPTIONAL
    },
    Field {
        name: "batch",
        title: "Batch",
        kind: FieldKind::Choice(&["none", "json_array"]),
        default: Some("none"),
        doc: "none: one request a row. json_array: one request a batch, the bodies as elements of a JSON array; path and \
              headers are then the same for all rows and must be literal.",
        ..Field::OPTIONAL
    },
];
