//! A broker without rules on one address, for trying clients against it:
//! `cargo run -p broker --example serve -- 127.0.0.1:1883 [MESSAGES]`; MESSAGES bounds each session's queue.

use std::net::SocketAddr;
use std::sync::Arc;

use broker::{Broker, Listener, Ports, Settings, Zone};
use model::SystemClock;
use model::ports::{AllowAll, AllowAnonymous, NoTap};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address: SocketAddr = std::env::args().nth(1).as_deref().unwrap_or("127.0.0.1:1883").parse()?;
    let defaults = Settings::default();
    let queue_messages_max =
        std::env::args().nth(2).map_or(Ok(defaults.zone.queue_messages_max), |count| count.parse())?;
    let zone = Zone { queue_messages_max, ..Zone::default() };
    let settings = Settings { zone, listeners: vec![Listener::new("default", address)], ..defaults };
    let ports = Ports {
        tap: Arc::new(NoTap),
        authenticate: Arc::new(AllowAnonymous),
        authorize: Arc::new(AllowAll),
        clock: Arc::new(SystemClock),
    };
    let handle = Broker::start(settings, ports)?;
    tracing::info!(addresses = ?handle.local_addrs(), "listening");
    tokio::signal::ctrl_c().await?;
    handle.stop(std::time::Duration::from_secs(5)).await;
    Ok(())
}
