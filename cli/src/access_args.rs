//! What can be typed about access control. No behaviour.

use clap::{Subcommand, ValueEnum};

/// `weir banned …`
#[derive(Debug, Subcommand)]
pub enum BannedCommand {
    /// List bans
    List,
    /// Ban, and disconnect whom it means
    #[command(
        after_help = "Examples:\n  weir banned add client_id dev-7 --reason 'sends nonsense' --for 1h\n  weir banned add ip_address 10.9.0.0/16"
    )]
    Add {
        /// What WHO is
        kind: BanKind,
        /// Client identifier, user name, address or network
        who: String,
        /// Why
        #[arg(short, long, default_value = "", hide_default_value = true, value_name = "TEXT")]
        reason: String,
        /// How long, such as 30s, 5m, 2h, 7d; without it for ever
        #[arg(long = "for", value_name = "DURATION", value_parser = seconds)]
        secs: Option<i64>,
    },
    /// Lift a ban
    #[command(visible_alias = "delete")]
    Del {
        /// What WHO is
        kind: BanKind,
        /// Client identifier, user name, address or network
        who: String,
    },
}

/// What can be banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum BanKind {
    /// A client identifier
    ClientId,
    /// A user name
    Username,
    /// An address, or a network such as 10.0.0.0/8
    IpAddress,
}

impl BanKind {
    /// The word of the API.
    pub fn word(self) -> &'static str {
        match self {
            Self::ClientId => "client_id",
            Self::Username => "username",
            Self::IpAddress => "ip_address",
        }
    }
}

/// `weir users …` and `weir clientid …`
#[derive(Debug, Subcommand)]
pub enum UsersCommand {
    /// List names
    List,
    /// Add a name with its password
    Add {
        /// The name
        name: String,
        /// The password; without it, one line of standard input, which other users of this machine cannot see
        password: Option<String>,
        /// Skip access rules for this user
        #[arg(long)]
        superuser: bool,
    },
    /// Set a new password
    Update {
        /// The name
        name: String,
        /// The password; without it, one line of standard input
        password: Option<String>,
        /// Skip access rules for this user (true) or not (false); without it as before
        #[arg(long, value_name = "true|false")]
        superuser: Option<bool>,
    },
    /// Delete a name; its connections stay until they end
    #[command(visible_alias = "delete")]
    Del {
        /// The name
        name: String,
    },
}

/// `weir acl …`
#[derive(Debug, Subcommand)]
pub enum AclCommand {
    /// Show where the access rules are from, and how many there are
    Show,
    /// Read the access rules again; a file with a mistake changes nothing
    Reload,
}

fn seconds(text: &str) -> Result<i64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let parsed = text.split_at_checked(split).and_then(|(number, unit)| {
        let secs = match unit {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return None,
        };
        number.parse::<i64>().ok()?.checked_mul(secs)
    });
    parsed
        .filter(|secs| *secs > 0)
        .ok_or_else(|| "expected a duration with its unit, such as 30s, 5m, 2h, 7d".to_owned())
}
