//! What can be typed about the broker: its clients, subscriptions, routes, alarms and traces. No behaviour.

use clap::{Args, Subcommand};

/// `weir clients …`
#[derive(Debug, Subcommand)]
pub enum ClientsCommand {
    /// List connected clients
    List(ClientFilterArgs),
    /// Show one client, connected or not
    Show {
        /// Client id
        id: String,
    },
    /// Disconnect a client and end its session
    Kick {
        /// Client id
        id: String,
    },
}

/// Which clients or sessions; the server looks for them.
#[derive(Clone, Debug, Default, Args)]
pub struct ClientFilterArgs {
    /// Only those with this part in their client id
    #[arg(long, value_name = "PART", allow_hyphen_values = true)]
    pub like: Option<String>,
    /// Only those of this user
    #[arg(long, value_name = "USER")]
    pub username: Option<String>,
    /// Only those from this IP address
    #[arg(long, value_name = "IP")]
    pub address: Option<String>,
    /// Only those that speak this protocol level: 3, 4 or 5
    #[arg(long, value_name = "LEVEL")]
    pub protocol: Option<String>,
    /// Most to list
    #[arg(long, default_value_t = 1_000_000, hide_default_value = true, value_name = "COUNT")]
    pub limit: usize,
}

/// `weir sessions …`
#[derive(Debug, Subcommand)]
pub enum SessionsCommand {
    /// List sessions, connected or not
    List(ClientFilterArgs),
    /// Show one session
    Show {
        /// Client id
        id: String,
    },
}

/// `weir subscriptions …`
#[derive(Debug, Subcommand)]
pub enum SubscriptionsCommand {
    /// List subscriptions
    List {
        /// Only those that get the messages of this topic
        #[arg(long, value_name = "TOPIC")]
        matches: Option<String>,
        /// Most to list
        #[arg(long, default_value_t = 1_000_000, hide_default_value = true, value_name = "COUNT")]
        limit: usize,
    },
    /// Show the subscriptions of one client
    Show {
        /// Client id
        id: String,
    },
    /// Subscribe a client on its behalf
    Add {
        /// Client id
        id: String,
        /// Topic filter
        topic: String,
        /// Maximum QoS
        #[arg(default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
        qos: u8,
    },
    /// Unsubscribe a client on its behalf
    Del {
        /// Client id
        id: String,
        /// Topic filter
        topic: String,
    },
}

/// `weir routes …` and `weir topics …`
#[derive(Debug, Subcommand)]
pub enum RoutesCommand {
    /// List the topic filters that somebody subscribes to
    List {
        /// Only those with this part
        #[arg(long, value_name = "PART", allow_hyphen_values = true)]
        like: Option<String>,
        /// Only those that match this topic
        #[arg(long, value_name = "TOPIC")]
        matches: Option<String>,
        /// Most to list
        #[arg(long, default_value_t = 1_000_000, hide_default_value = true, value_name = "COUNT")]
        limit: usize,
    },
    /// Show one
    Show {
        /// Topic filter
        topic: String,
    },
}

/// `weir broker …`
#[derive(Debug, Subcommand)]
pub enum BrokerCommand {
    /// Numbers that go up and down, with their highest values
    Stats,
    /// Numbers that only grow
    Metrics,
}

/// `weir listeners …`
#[derive(Debug, Subcommand)]
pub enum ListenersCommand {
    /// List where the server listens for MQTT
    List,
}

/// `weir alarms …`
#[derive(Debug, Subcommand)]
pub enum AlarmsCommand {
    /// List alarms that last
    List,
    /// List alarms that are over, the latest first
    History {
        /// Forget them instead
        #[arg(long)]
        clear: bool,
    },
    /// End an alarm by hand; it comes back when its cause is still there
    Clear {
        /// Name of the alarm
        name: String,
    },
}

/// `weir trace …`
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  weir trace start client sensor-7 sensor-7\n  \
    weir trace start topic 'factory/#' factory --payload --minutes 5\n  weir trace show factory\n  weir trace stop topic 'factory/#'")]
pub enum TraceCommand {
    /// List traces, those included that have ended
    List,
    /// Write everything about a client, a topic or an address to a file in the server's data folder
    Start {
        /// client, topic or address
        #[arg(value_parser = ["client", "topic", "address"])]
        kind: String,
        /// Client id, topic filter or IP address
        target: String,
        /// Name of the trace and of its file; `.log` and folders before it are left out
        name: String,
        /// Taken for the sake of the manual's scripts: a trace has one level, everything
        #[arg(hide = true)]
        level: Option<String>,
        /// Write payloads too
        #[arg(long)]
        payload: bool,
        /// End by itself after so many minutes; at most, and by default, the server's trace.duration_max
        #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u64).range(1..=525_600))]
        minutes: Option<u64>,
    },
    /// End a trace: by its name, or by kind and target
    Stop {
        /// Its name; or client, topic or address and what it follows
        #[arg(required = true, num_args = 1..=2, value_name = "NAME | KIND TARGET")]
        words: Vec<String>,
    },
    /// Print what a trace has written
    Show {
        /// Its name
        name: String,
    },
    /// End a trace and remove its file
    Delete {
        /// Its name
        name: String,
    },
}

/// `weir pub`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  weir pub -t lamps/hall -m on -q 1 --retain")]
pub struct PubArgs {
    /// Topic
    #[arg(short, long, value_name = "TOPIC")]
    pub topic: String,
    /// Payload
    #[arg(short, long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    pub message: String,
    /// QoS
    #[arg(short, long, default_value_t = 0, value_name = "QOS", value_parser = clap::value_parser!(u8).range(0..=2))]
    pub qos: u8,
    /// Keep the message for later subscribers
    #[arg(short, long)]
    pub retain: bool,
}
