//! What can be typed. No behaviour.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use crate::access_args::{AclCommand, BanKind, BannedCommand, UsersCommand};
pub use crate::broker_args::*;

/// weir: SQL rules over MQTT, into databases, queues, lakes and webhooks.
#[derive(Debug, Parser)]
#[command(name = "weir", version, propagate_version = true, arg_required_else_help = true, max_term_width = 110)]
#[command(
    after_help = "Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 conflict, 5 server unreachable, 6 validation failed.\n\n\
    The first minute:\n  weir run examples/quickstart.yaml\n  mosquitto_pub -t sensors/a/temp -m '{\"temp\": 31.5}'\n  weir query 'SELECT * FROM readings'"
)]
pub struct Cli {
    /// Options every command has.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// Options every command has.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// Address of the server's API; by default the one written in the data folder, or else http://127.0.0.1:8080
    #[arg(long, env = "WEIR_URL", global = true, value_name = "URL")]
    pub url: Option<String>,
    /// Id of the API key; by default the one the server wrote into its data folder
    #[arg(long, env = "WEIR_APP_ID", global = true, value_name = "ID")]
    pub app_id: Option<String>,
    /// Secret of the API key; better given by the variable than by the flag
    #[arg(long, env = "WEIR_APP_SECRET", global = true, value_name = "SECRET", hide_env_values = true)]
    pub app_secret: Option<String>,
    /// Data folder of the server [default: weir-data]
    #[arg(long, env = "WEIR_DATA_DIR", global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Server configuration file: [`ServerConfig`] of the commands that have it, else the variable WEIR_CONFIG. The binary
    /// fills it in; it is no option of its own, because `resources create --config` is the resource's.
    #[arg(skip)]
    pub config: Option<PathBuf>,
    /// How data is printed
    #[arg(short, long, global = true, value_enum, default_value_t = Format::Table)]
    pub output: Format,
    /// How log lines look (servers only) [default: text]
    #[arg(long, global = true, value_name = "text|json")]
    pub log_format: Option<String>,
    /// What to log (servers only): error, warn, info, debug, trace, or a filter such as info,broker=debug [default: info]
    #[arg(long, global = true, value_name = "LEVEL")]
    pub log_level: Option<String>,
}

/// The option of commands that read the server's configuration.
#[derive(Clone, Debug, Default, Args)]
pub struct ServerConfig {
    /// Server configuration file [default: weir.toml, where there is one; not for `run`]
    #[arg(id = "server_config", long = "config", env = "WEIR_CONFIG", global = true, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

impl Cli {
    /// The configuration file that the command names.
    pub fn server_config(&self) -> Option<&PathBuf> {
        match &self.command {
            Command::Start(server) | Command::Config { server, .. } => server.file.as_ref(),
            Command::Run(args) => args.server.file.as_ref(),
            Command::Query(args) => args.server.file.as_ref(),
            _ => None,
        }
    }
}

/// How data is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people
    Table,
    /// One JSON document
    Json,
    /// One JSON document a line
    Jsonl,
    /// YAML
    Yaml,
    /// Only the names or ids, one a line
    Name,
    /// The text of the EMQ X 3.4.5 command line (manual §7.3.1)
    Manual,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a server with the resources and rules of a pipeline file, on embedded defaults
    Run(RunArgs),
    /// Start a server from its configuration file
    Start(ServerConfig),
    /// Check pipeline files: parse, plan every rule, run the tests (no server needed)
    Check(FilesArgs),
    /// Bring a running server to what pipeline files say
    Apply(ApplyArgs),
    /// Query the lakehouse tables with SQL (works without a server too)
    Query(QueryArgs),
    /// Rules: SQL over events, and what happens with the rows
    #[command(subcommand)]
    Rules(RulesCommand),
    /// Resources: configured connections to outside systems
    #[command(subcommand)]
    Resources(ResourcesCommand),
    /// Actions a rule can have
    #[command(subcommand, visible_alias = "rule-actions")]
    Actions(ActionsCommand),
    /// Kinds of resources
    #[command(subcommand)]
    ResourceTypes(ResourceTypesCommand),
    /// Rows that could not be delivered
    #[command(subcommand)]
    DeadLetters(DeadLettersCommand),
    /// Connected MQTT clients
    #[command(subcommand)]
    Clients(ClientsCommand),
    /// What the server keeps for each MQTT client, connected or not
    #[command(subcommand)]
    Sessions(SessionsCommand),
    /// Who subscribes to what
    #[command(subcommand)]
    Subscriptions(SubscriptionsCommand),
    /// Topic filters that somebody subscribes to
    #[command(subcommand, visible_alias = "topics")]
    Routes(RoutesCommand),
    /// Where the server listens for MQTT
    Listeners {
        /// What to do
        #[command(subcommand)]
        command: Option<ListenersCommand>,
    },
    /// The broker: version and uptime, or its numbers
    Broker {
        /// Which numbers
        #[command(subcommand)]
        command: Option<BrokerCommand>,
    },
    /// Conditions that somebody should know of
    #[command(subcommand)]
    Alarms(AlarmsCommand),
    /// Traces: what one client, topic or address does, written to a file
    #[command(subcommand)]
    Trace(TraceCommand),
    /// Publish a message
    Pub(PubArgs),
    /// Who may not connect
    #[command(subcommand)]
    Banned(BannedCommand),
    /// User names with their passwords
    #[command(subcommand)]
    Users(UsersCommand),
    /// Client identifiers with their passwords
    #[command(subcommand, name = "clientid", visible_alias = "client-ids")]
    ClientIds(UsersCommand),
    /// Access rules
    #[command(subcommand)]
    Acl(AclCommand),
    /// Whether the server is up
    Status,
    /// The server configuration
    Config {
        /// Which file
        #[command(flatten)]
        server: ServerConfig,
        /// What to do
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Measure this machine: publish at QoS 1 through a rule into a table
    Bench(BenchArgs),
    /// Print a completion script for a shell
    Completion {
        /// bash, zsh, fish, elvish or powershell
        shell: clap_complete::Shell,
    },
    /// The commands of EMQ X 3.4.5 with their text output (manual chapter 14): weir ctl rules list
    #[command(hide = true)]
    Ctl {
        /// The command and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, num_args = 0..)]
        words: Vec<String>,
    },
}

/// `weir run`
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Which configuration file
    #[command(flatten)]
    pub server: ServerConfig,
    /// Pipeline files (YAML)
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// `weir check`
#[derive(Clone, Debug, Args)]
pub struct FilesArgs {
    /// Pipeline files (YAML)
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// `weir apply`
#[derive(Clone, Debug, Args)]
pub struct ApplyArgs {
    /// Pipeline file (YAML); may be given several times
    #[arg(short, long = "file", required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Only print what would change
    #[arg(long)]
    pub dry_run: bool,
    /// Also delete what came from a file and is in none of these any more
    #[arg(long)]
    pub prune: bool,
}

/// `weir query`
#[derive(Clone, Debug, Args)]
pub struct QueryArgs {
    /// Which configuration file
    #[command(flatten)]
    pub server: ServerConfig,
    /// SQL, such as: SELECT device, avg(temp) FROM readings GROUP BY device
    pub sql: String,
    /// Folder of the lakehouse tables, when it is not the one in the data folder
    #[arg(long, value_name = "DIR")]
    pub lake: Option<PathBuf>,
    /// Most rows to print
    #[arg(long, default_value_t = 10_000, value_name = "ROWS")]
    pub limit: usize,
}

/// `weir rules …`
#[derive(Debug, Subcommand)]
pub enum RulesCommand {
    /// Create a rule
    #[command(
        after_help = "Examples:\n  weir rules create 'SELECT * FROM \"message.publish\"' '[{\"name\":\"inspect\",\"params\":{}}]' -d 'Rule for debug'\n  \
        weir rules create test1 message.publish 'SELECT * FROM \"t/a\"' '[{\"name\":\"inspect\"}]'   (long form, manual §14.18)"
    )]
    Create {
        /// The SQL and the actions as a JSON list; or, in the long form, a name, an event, the SQL and the actions
        #[arg(required = true, num_args = 2..=4, value_name = "SQL ACTIONS")]
        words: Vec<String>,
        /// What the rule is for
        #[arg(
            short,
            long = "description",
            alias = "descr",
            value_name = "TEXT",
            default_value = "",
            hide_default_value = true
        )]
        description: String,
    },
    /// List every rule
    List,
    /// Show one rule with its counters
    Show {
        /// Rule id
        id: String,
    },
    /// Delete a rule
    Delete {
        /// Rule id
        id: String,
    },
    /// Let a rule run
    Enable {
        /// Rule id
        id: String,
    },
    /// Stop a rule without deleting it
    Disable {
        /// Rule id
        id: String,
    },
    /// Try a rule on an event, without a server
    Test(RuleTestArgs),
}

/// `weir rules test`
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Example:\n  weir rules test --sql 'SELECT payload.temp AS t FROM \"sensors/#\" WHERE t > 30' \\\n    \
    --event '{\"topic\":\"sensors/a\",\"payload\":\"{\\\"temp\\\":31.5}\"}'"
)]
pub struct RuleTestArgs {
    /// The rule
    #[arg(long, required_unless_present = "batch", requires = "event")]
    pub sql: Option<String>,
    /// The event's fields as a JSON object
    #[arg(long, value_name = "JSON")]
    pub event: Option<String>,
    /// The event's type
    #[arg(long, default_value = "message.publish", value_name = "TYPE")]
    pub event_type: String,
    /// Many at once: a file of JSON lines {"id":…,"sql":…,"event":{"type":…,"fields":{…}}}; - reads standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sql", "event"])]
    pub batch: Option<PathBuf>,
}

/// `weir resources …`
#[derive(Debug, Subcommand)]
pub enum ResourcesCommand {
    /// Create a resource
    #[command(
        after_help = "Example:\n  weir resources create web_hook -c '{\"url\":\"http://127.0.0.1:9910/\"}' -d 'forward to 9910'"
    )]
    Create {
        /// The type; or, in the long form of manual §14.20, a name and the type
        #[arg(required = true, num_args = 1..=2, value_name = "TYPE")]
        words: Vec<String>,
        /// Its configuration as a JSON object
        #[arg(short, long, default_value = "{}", value_name = "JSON")]
        config: String,
        /// What the resource is for
        #[arg(
            short,
            long = "description",
            alias = "descr",
            value_name = "TEXT",
            default_value = "",
            hide_default_value = true
        )]
        description: String,
    },
    /// List resources
    List {
        /// Only of this type
        #[arg(short = 't', long = "type", value_name = "TYPE")]
        resource_type: Option<String>,
    },
    /// Show one resource with its state
    Show {
        /// Resource id
        id: String,
    },
    /// Dial: an existing resource by its id, or a configuration that is not kept (with -c)
    Test {
        /// Resource id; with -c, a resource type
        id: String,
        /// Configuration to try
        #[arg(short, long, value_name = "JSON")]
        config: Option<String>,
    },
    /// Delete a resource
    Delete {
        /// Resource id
        id: String,
    },
}

/// `weir actions …`
#[derive(Debug, Subcommand)]
pub enum ActionsCommand {
    /// List actions
    List {
        /// Only those that can follow this event
        #[arg(short = 'k', long = "for", value_name = "EVENT")]
        event: Option<String>,
        /// Only those of this resource type
        #[arg(short = 't', long = "type", value_name = "TYPE")]
        resource_type: Option<String>,
    },
    /// Show one action with its parameters
    Show {
        /// Action name
        name: String,
    },
}

/// `weir resource-types …`
#[derive(Debug, Subcommand)]
pub enum ResourceTypesCommand {
    /// List resource types
    List,
    /// Show one resource type with its settings
    Show {
        /// Type name
        name: String,
    },
}

/// `weir dead-letters …`
#[derive(Debug, Subcommand)]
pub enum DeadLettersCommand {
    /// List them, oldest first
    List {
        /// Only of this rule
        #[arg(long, value_name = "RULE")]
        rule: Option<String>,
        /// Most to list
        #[arg(long, default_value_t = 100, value_name = "COUNT")]
        limit: usize,
    },
    /// Show one with its row and event
    Show {
        /// Its id
        id: String,
    },
    /// Give rows back to their action
    Replay(LettersArgs),
    /// Throw rows away
    Drop(LettersArgs),
}

/// Which dead letters.
#[derive(Clone, Debug, Args)]
pub struct LettersArgs {
    /// Ids
    #[arg(required_unless_present = "all", value_name = "ID")]
    pub ids: Vec<String>,
    /// Every one, or with --rule every one of that rule
    #[arg(long, conflicts_with = "ids")]
    pub all: bool,
    /// Only of this rule
    #[arg(long, requires = "all", value_name = "RULE")]
    pub rule: Option<String>,
}

/// `weir config …`
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the reference of every key
    Reference,
    /// Print the values in force
    Show {
        /// Also where each value came from
        #[arg(long)]
        origin: bool,
    },
    /// Check a configuration file without starting
    Check,
}

/// `weir bench`
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Starts a server of its own on free loopback ports and a temporary data folder, and publishes QoS 1 messages\n\
    through a rule with a filter and five output fields, once with each delivery. With the defaults it takes about a minute.\n\n\
    Examples:\n  weir bench\n  weir bench --rate 2000 --seconds 5\n  \
    weir bench --postgres postgres://user:secret@127.0.0.1:5432/test -o json"
)]
pub struct BenchArgs {
    /// Longest time of publishing in each run, seconds
    #[arg(long, default_value_t = 2, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    /// Most messages in each run
    #[arg(long, default_value_t = 500_000, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=5_000_000))]
    pub messages: u64,
    /// Messages a second of all publishers together; 0 = as fast as they are acknowledged
    #[arg(long, default_value_t = 0, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(0..=10_000_000))]
    pub rate: u64,
    /// Runs of each combination; the output shows their median and range
    #[arg(long, default_value_t = 3, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub rounds: u16,
    /// Publishing connections
    #[arg(long, default_value_t = 4, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub publishers: u16,
    /// QoS 1 publishes in flight on each connection; the server's Receive Maximum is never exceeded
    #[arg(long, default_value_t = 64, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub inflight: u16,
    /// PostgreSQL to measure into, such as postgres://user:secret@host:5432/database; it gets a table that is dropped again
    #[arg(long, env = "WEIR_TEST_PG_URL", hide_env_values = true, value_name = "URL")]
    pub postgres: Option<String>,
    /// Folder under which the server's temporary data folder is made [default: the system's]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_sound_and_a_resource_has_a_config_of_its_own() {
        <Cli as clap::CommandFactory>::command().debug_assert();
        let cli = Cli::try_parse_from(["weir", "resources", "create", "web_hook", "--config", "{}"]).unwrap();
        assert_eq!(cli.server_config(), None);
        for words in [&["weir", "start", "--config", "x"][..], &["weir", "config", "show", "--config", "x"]] {
            assert_eq!(Cli::try_parse_from(words).unwrap().server_config(), Some(&PathBuf::from("x")));
        }
    }
}
