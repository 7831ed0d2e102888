//! A connector described as data: parsing, validation, forms, `resource-types` output and the reference page all
//! come from here.

/// What a connector can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Takes rows.
    Sink,
    /// Gives rows.
    Source,
    /// Answers keyed questions.
    Lookup,
    /// Holds tables that `weir query` can read.
    Tables,
}

/// The type of a setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FieldKind {
    /// Text.
    Text,
    /// Text in which `${…}` is bound from the row.
    Template,
    /// An SQL statement in which `${…}` becomes a bound parameter.
    SqlTemplate,
    /// A whole number within bounds, inclusive.
    Integer {
        /// Least value.
        min: i64,
        /// Greatest value.
        max: i64,
    },
    /// A number.
    Number,
    /// true or false; also accepts "true"/"false", "on"/"off".
    Bool,
    /// A duration: a number with ms, s, m, h or d, such as `30s`; a bare number is milliseconds.
    Duration,
    /// A size: a number with KB, MB, GB (powers of 1024), such as `64MB`; a bare number is bytes.
    Bytes,
    /// One of the listed words.
    Choice(&'static [&'static str]),
    /// An absolute URL.
    Url,
    /// A file system path.
    Path,
    /// Text to text.
    TextMap,
    /// Text to template.
    TemplateMap,
    /// A list of text; one comma separated text is accepted too.
    TextList,
}

/// One setting of a connector or of an action.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Key in JSON, YAML and forms.
    pub name: &'static str,
    /// Other keys accepted for it (names of EMQ X 3.4.5 and later).
    pub aliases: &'static [&'static str],
    /// Title in forms.
    pub title: &'static str,
    /// Type.
    pub kind: FieldKind,
    /// Default, in the text form that [`FieldKind`] parses; `None` with `required = false` means "not set".
    pub default: Option<&'static str>,
    /// Must be given.
    pub required: bool,
    /// Never printed, never returned.
    pub secret: bool,
    /// Hidden behind "advanced" in forms.
    pub advanced: bool,
    /// One or two sentences: what it does, unit, what the default means.
    pub doc: &'static str,
}

impl Field {
    /// An optional text field; change what differs with struct update syntax.
    pub const OPTIONAL: Self = Self {
        name: "",
        aliases: &[],
        title: "",
        kind: FieldKind::Text,
        default: None,
        required: false,
        secret: false,
        advanced: false,
        doc: "",
    };

    /// A required text field; change what differs with struct update syntax.
    pub const REQUIRED: Self = Self { required: true, ..Self::OPTIONAL };
}

/// How the queue layer gathers rows for this action unless the rule says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchDefaults {
    /// Most rows in one write.
    pub records_max: usize,
    /// Most bytes in one write (encoded rows).
    pub bytes_max: usize,
    /// How long the first row of a batch may wait for more, milliseconds; 0 = take what is there and go.
    pub age_max_ms: u64,
    /// Writes in flight at once; 1 keeps the order of rows.
    pub concurrency_max: usize,
}

impl BatchDefaults {
    /// Take what is there, up to 500 rows or 4 MB, one write at a time.
    pub const NATURAL: Self = Self { records_max: 500, bytes_max: 4 << 20, age_max_ms: 0, concurrency_max: 1 };
}

/// One action a connector offers to rules.
#[derive(Clone, Copy, Debug)]
pub struct ActionSpec {
    /// Name in rules, such as `data_to_pgsql` (manual chapter 8).
    pub name: &'static str,
    /// Title in forms.
    pub title: &'static str,
    /// One sentence.
    pub description: &'static str,
    /// Parameters besides `$resource`.
    pub params: &'static [Field],
    /// Queue defaults.
    pub batch: BatchDefaults,
}

/// A connector as data.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Resource type, such as `backend_pgsql` (manual chapter 8).
    pub name: &'static str,
    /// Other names accepted for the type, such as `postgresql`.
    pub aliases: &'static [&'static str],
    /// Title in forms.
    pub title: &'static str,
    /// One sentence.
    pub description: &'static str,
    /// Provider as the 3.4.5 CLI prints it, such as `emqx_backend_pgsql`.
    pub provider: &'static str,
    /// What it can be.
    pub roles: &'static [Role],
    /// Resource settings.
    pub fields: &'static [Field],
    /// Actions.
    pub actions: &'static [ActionSpec],
}
