//! The connector as data: every setting with its type, default and meaning.

use connector::{ActionSpec, BatchDefaults, Config, Error, Field, FieldKind, Role, Spec, Template, literal_prefix};

/// Resource `file`, action `data_to_file`.
pub static SPEC: Spec = Spec {
    name: "file",
    aliases: &["files"],
    title: "Files",
    description: "Appends rows as lines to files below one folder.",
    provider: "weir_file",
    roles: &[Role::Sink],
    fields: &[Field {
        name: "folder",
        aliases: &["dir"],
        title: "Folder",
        kind: FieldKind::Path,
        doc: "The folder that holds the files. It must exist: a missing mount must not be filled on the disk below it.",
        ..Field::REQUIRED
    }],
    actions: &[ActionSpec {
        name: "data_to_file",
        title: "Data to file",
        description: "Appends each row as one line to a file.",
        params: PARAMS,
        // One write is one flush to the device for each file, so rows that wait together share it.
        batch: BatchDefaults::NATURAL,
    }],
};

const PARAMS: &[Field] = &[
    Field {
        name: "path",
        aliases: &["file"],
        title: "File",
        kind: FieldKind::Template,
        doc: "The file below the folder, such as events/${site}.jsonl. Folders on the way are made. It begins with fixed \
              text, and no part of it may be .. or empty.",
        ..Field::REQUIRED
    },
    Field {
        name: "template",
        aliases: &["payload_tmpl"],
        title: "Line",
        kind: FieldKind::Template,
        doc: "The line; a line break is added. Not set = the row as JSON.",
        ..Field::OPTIONAL
    },
    Field {
        name: "allow_dynamic",
        title: "Allow dynamic paths",
        kind: FieldKind::Bool,
        default: Some("false"),
        advanced: true,
        doc: "Lets the path begin with a value of the row.",
        ..Field::OPTIONAL
    },
];

/// The parameters of one action, parsed.
pub(crate) struct Params {
    pub(crate) path: Template,
    pub(crate) line: Option<Template>,
}

impl Params {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let path = Template::parse(config.text("path").unwrap_or_default())?;
        literal_prefix("path", &path, config.bool("allow_dynamic"))?;
        if path.is_literal() {
            // A fixed path can be judged now instead of with the first row.
            crate::sink::checked_path(config.text("path").unwrap_or_default(), connector::ErrorKind::Config)?;
        }
        let line = config.text("template").filter(|text| !text.is_empty()).map(Template::parse).transpose()?;
        Ok(Self { path, line })
    }
}
