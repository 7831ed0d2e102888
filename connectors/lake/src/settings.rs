//! The lake's specification and its settings as types.

use std::path::PathBuf;
use std::time::Duration;

use connector::{ActionSpec, BatchDefaults, Config, Error, ErrorKind, Field, FieldKind, Role, Spec, Template};

use crate::cast::Kind;
use crate::shape::{Column, Part, Source};

/// Rows are gathered by the queue layer into one file a batch and partition, so these defaults decide how files roll.
const BATCH: BatchDefaults =
    BatchDefaults { records_max: 100_000, bytes_max: 64 << 20, age_max_ms: 1_000, concurrency_max: 1 };

/// The lake as data.
pub const SPEC: Spec = Spec {
    name: "lake",
    aliases: &["lakehouse", "delta"],
    title: "Local lakehouse",
    description: "Tables in a local folder: Parquet files under a Delta Lake log, read by weir query and by every Delta reader.",
    provider: "weir_lake",
    roles: &[Role::Sink, Role::Tables],
    fields: &[
        Field {
            name: "path",
            aliases: &["folder", "dir"],
            title: "Folder",
            kind: FieldKind::Path,
            doc: "Folder that holds one folder a table; made when it is not there. An embedded server fills in <data>/lake.",
            ..Field::REQUIRED
        },
        Field {
            name: "compression",
            title: "Compression",
            kind: FieldKind::Choice(&["zstd", "snappy", "none"]),
            default: Some("zstd"),
            advanced: true,
            doc: "Compression of the Parquet files.",
            ..Field::OPTIONAL
        },
        Field {
            name: "compact_files_min",
            title: "Compact at",
            kind: FieldKind::Integer { min: 0, max: 100_000 },
            default: Some("32"),
            advanced: true,
            doc: "Small files of one partition that are merged into one, when there are so many; 0 merges none. Only tables that this lake writes to are looked after.",
            ..Field::OPTIONAL
        },
        Field {
            name: "compact_small_bytes",
            title: "Small file",
            kind: FieldKind::Bytes,
            default: Some("16MB"),
            advanced: true,
            doc: "A file below this size is small. One step merges files of at most eight times this size together.",
            ..Field::OPTIONAL
        },
        Field {
            name: "vacuum_after",
            title: "Vacuum after",
            kind: FieldKind::Duration,
            default: Some("7d"),
            advanced: true,
            doc: "Files that the table does not refer to any more, and those that a crash left behind, are removed so long after; readers of older versions have this time. 0 removes none.",
            ..Field::OPTIONAL
        },
        Field {
            name: "upkeep_interval",
            title: "Upkeep interval",
            kind: FieldKind::Duration,
            default: Some("60s"),
            advanced: true,
            doc: "Time between two looks at small and unused files.",
            ..Field::OPTIONAL
        },
    ],
    actions: &[ActionSpec {
        name: "data_to_lake",
        title: "Data to lakehouse table",
        description: "Appends rows to a lakehouse table; a reader sees a whole batch or nothing of it.",
        params: &[
            Field {
                name: "table",
                title: "Table",
                kind: FieldKind::Template,
                doc: "Table name: letters, digits, _ and -. May hold ${…} after a literal prefix, such as events_${site}.",
                ..Field::REQUIRED
            },
            Field {
                name: "partition_by",
                title: "Partition by",
                kind: FieldKind::TextList,
                doc: "Columns whose values name the folders, in order; also year(c), month(c), day(c), hour(c), date(c) of a time column c (milliseconds or RFC 3339), stored as c_year and so on. Default: none, or what the table has.",
                ..Field::OPTIONAL
            },
            Field {
                name: "columns",
                title: "Columns",
                kind: FieldKind::TemplateMap,
                doc: "Column to type (boolean, bigint, double, text, binary, timestamp, date), to template ${…}, or to ${…}::type. Adds to the rule's columns or fixes their types; the other columns stay as they are.",
                ..Field::OPTIONAL
            },
            Field {
                name: "on_schema_change",
                title: "On schema change",
                kind: FieldKind::Choice(&["evolve", "fail"]),
                default: Some("evolve"),
                doc: "evolve adds new columns to the table; fail refuses rows that have a column the table has not.",
                ..Field::OPTIONAL
            },
        ],
        batch: BATCH,
    }],
};

/// Codec of the data files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    Zstd,
    Snappy,
    None,
}

/// The resource's settings.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) folder: PathBuf,
    pub(crate) codec: Codec,
    pub(crate) upkeep: Upkeep,
}

/// How a lake looks after its tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Upkeep {
    /// Small files of a partition that are merged; 0 merges none.
    pub(crate) files_min: usize,
    /// A file below this is small.
    pub(crate) small_bytes: u64,
    /// Age at which unused files are removed; `None` removes none.
    pub(crate) vacuum_after: Option<Duration>,
    /// Time between two looks.
    pub(crate) interval: Duration,
}

/// What one step reads, in units of a small file.
const STEP_SMALL_FILES: u64 = 8;
/// A shorter interval would look without end.
const UPKEEP_INTERVAL_MIN: Duration = Duration::from_millis(10);

impl Upkeep {
    fn new(config: &Config) -> Self {
        let files = config.integer("compact_files_min").and_then(|files| usize::try_from(files).ok());
        Self {
            files_min: files.unwrap_or(0),
            small_bytes: config.bytes("compact_small_bytes").unwrap_or(0),
            vacuum_after: config.duration("vacuum_after").filter(|after| !after.is_zero()),
            interval: config.duration("upkeep_interval").unwrap_or_default().max(UPKEEP_INTERVAL_MIN),
        }
    }

    /// Most bytes of files that one step merges.
    pub(crate) fn step_bytes(self) -> u64 {
        self.small_bytes.saturating_mul(STEP_SMALL_FILES)
    }
}

impl Settings {
    pub(crate) fn new(config: &Config) -> Result<Self, Error> {
        let path = config.text("path").unwrap_or_default();
        if path.trim().is_empty() {
            return Err(Error::permanent(ErrorKind::Config, "path: must name a folder"));
        }
        let folder = std::path::absolute(path).map_err(|error| {
            Error::permanent(ErrorKind::Config, format!("path: {path} cannot be made absolute")).with_source(error)
        })?;
        let codec = match config.text("compression") {
            Some("snappy") => Codec::Snappy,
            Some("none") => Codec::None,
            _ => Codec::Zstd,
        };
        Ok(Self { folder, codec, upkeep: Upkeep::new(config) })
    }
}

/// The action's settings.
#[derive(Clone, Debug)]
pub(crate) struct Action {
    /// Table name, when it is literal.
    pub(crate) table: TableName,
    /// Partition columns by name; `None` = what the table has.
    pub(crate) partition_by: Option<Vec<String>>,
    /// Columns that are computed or typed here.
    pub(crate) columns: Vec<Column>,
    /// New columns are added.
    pub(crate) evolve: bool,
    /// Tells this action from others of the same rule in the table's log.
    pub(crate) fingerprint: u64,
}

/// Where rows go.
#[derive(Clone, Debug)]
pub(crate) enum TableName {
    Literal(String),
    Template(Template),
}

impl Action {
    pub(crate) fn new(params: &Config) -> Result<Self, Error> {
        let text = params.text("table").unwrap_or_default();
        let table = table_name(text)?;
        let mut columns = Vec::new();
        for (name, value) in params.map("columns") {
            columns.push(column(name, value)?);
        }
        let mut partition_by = Vec::new();
        for item in params.list("partition_by").iter().filter(|item| !item.is_empty()) {
            let (name, derived) = partition(item)?;
            if partition_by.contains(&name) {
                return Err(config_error(format!("partition_by: {name} is given twice")));
            }
            partition_by.push(name);
            columns.extend(derived);
        }
        let evolve = params.text("on_schema_change") != Some("fail");
        let fingerprint = crate::commit::fingerprint([
            text,
            &format!("{:?}", params.list("partition_by")),
            &format!("{:?}", params.map("columns")),
            if evolve { "evolve" } else { "fail" },
        ]);
        Ok(Self {
            table,
            partition_by: (!partition_by.is_empty()).then_some(partition_by),
            columns,
            evolve,
            fingerprint,
        })
    }
}

fn config_error(message: String) -> Error {
    Error::permanent(ErrorKind::Config, message)
}

fn table_name(text: &str) -> Result<TableName, Error> {
    if !text.contains("${") {
        check_table_name(text).map_err(|why| config_error(format!("table: {why}")))?;
        return Ok(TableName::Literal(text.to_owned()));
    }
    let prefix = text.split("${").next().unwrap_or_default();
    if prefix.is_empty() {
        return Err(config_error(format!(
            "table: {text} must start with literal text, such as events_{text}, so that a payload cannot choose any table"
        )));
    }
    check_table_name(prefix).map_err(|why| config_error(format!("table: {why}")))?;
    Ok(TableName::Template(Template::parse(text)?))
}

/// Longest table name, bytes; leaves room for suffixes within the 255 bytes of a file name.
const TABLE_NAME_BYTES_MAX: usize = 128;

/// Whether `name` can name a table; it becomes a folder name, so nothing but letters, digits, `_` and `-`.
pub(crate) fn check_table_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("a table needs a name".to_owned());
    }
    if name.len() > TABLE_NAME_BYTES_MAX {
        return Err(format!("a table name has at most {TABLE_NAME_BYTES_MAX} bytes, this one has {}", name.len()));
    }
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !name.chars().all(good) || name.starts_with(['_', '-']) {
        return Err(format!("{name:?} is no table name: letters, digits, _ and -, starting with a letter or digit"));
    }
    Ok(())
}

fn column(name: &str, value: &str) -> Result<Column, Error> {
    let text = value.trim();
    if !text.contains("${") {
        let kind = kind_of(name, text)?;
        return Ok(Column { name: name.to_owned(), source: Source::Same, kind: Some(kind) });
    }
    let (template, kind) = match text.rsplit_once("}::") {
        Some((head, kind)) => (format!("{head}}}"), Some(kind_of(name, kind)?)),
        None => (text.to_owned(), None),
    };
    Ok(Column { name: name.to_owned(), source: Source::Template(Template::parse(&template)?), kind })
}

fn kind_of(column: &str, word: &str) -> Result<Kind, Error> {
    Kind::parse(word.trim()).ok_or_else(|| {
        config_error(format!("columns: {column}: {word:?} is no type; the types are {}", Kind::NAMES.join(", ")))
    })
}

/// A partition column: its name, and how it is computed when it is a part of a time.
fn partition(item: &str) -> Result<(String, Option<Column>), Error> {
    let Some((function, rest)) = item.split_once('(') else {
        return Ok((item.to_owned(), None));
    };
    let inner = rest.strip_suffix(')').map(str::trim).filter(|inner| !inner.is_empty()).ok_or_else(|| {
        config_error(format!("partition_by: {item}: expected a column or a part of a time such as date(ts)"))
    })?;
    let part = Part::parse(function.trim()).ok_or_else(|| {
        config_error(format!("partition_by: {item}: {function} is unknown; the parts are year, month, day, hour, date"))
    })?;
    let name = format!("{inner}_{}", part.name());
    let kind = if part == Part::Date { Kind::Date } else { Kind::Long };
    Ok((name.clone(), Some(Column { name, source: Source::Part(part, inner.to_owned()), kind: Some(kind) })))
}
