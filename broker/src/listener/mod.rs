//! TCP listeners: bind, accept, hand over. TLS and WebSocket come as further kinds next to this one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use crate::connection::{self, Arrival};
use crate::error::Error;
use crate::node::{Core, Phase};
use crate::settings::Listener;
use crate::zone::Zone;

/// A bound listener that does not accept yet.
pub(crate) struct Bound {
    /// Its name.
    pub name: String,
    /// Where it really listens.
    pub address: SocketAddr,
    zone: Arc<Zone>,
    socket: TcpListener,
}

/// Binds every listener of the settings, or none. Must be called inside a tokio runtime.
pub(crate) fn bind_all(core: &Core) -> Result<Vec<Bound>, Error> {
    let settings = &core.settings;
    settings
        .listeners
        .iter()
        .map(|listener| {
            let name = listener.zone.as_ref().unwrap_or(&settings.zone.name);
            let unknown = || Error::UnknownZone { listener: listener.name.clone(), zone: name.clone() };
            bind(listener, core.zone(name).ok_or_else(unknown)?.clone())
        })
        .collect()
}

fn bind(listener: &Listener, zone: Arc<Zone>) -> Result<Bound, Error> {
    let bound = || -> std::io::Result<Bound> {
        let socket = Socket::new(Domain::for_address(listener.address), Type::STREAM, Some(Protocol::TCP))?;
        // A restarted broker must get its port back while old connections are in TIME_WAIT; two brokers at the same time
        // are still refused by the system.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&listener.address.into())?;
        socket.listen(i32::try_from(listener.backlog).unwrap_or(i32::MAX))?;
        let socket = TcpListener::from_std(socket.into())?;
        Ok(Bound { name: listener.name.clone(), address: socket.local_addr()?, zone, socket })
    };
    bound().map_err(|source| Error::Bind {
        listener: listener.name.clone(),
        address: listener.address,
        setting: listener.setting.clone(),
        source,
    })
}

impl Bound {
    /// Accepts until the broker stops.
    pub(crate) async fn run(self, core: Arc<Core>) {
        let mut phase = core.phase.subscribe();
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                stopping = phase.wait_for(|phase| *phase != Phase::Running) => {
                    drop(stopping);
                    return;
                }
            };
            match accepted {
                Ok((socket, peer)) => self.hand_over(&core, socket, peer),
                Err(error) => {
                    // Out of file descriptors, or the client has gone again: the next try may do better, but not at once.
                    tracing::warn!(listener = self.name, %error, "accept failed");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn hand_over(&self, core: &Arc<Core>, socket: TcpStream, peer: SocketAddr) {
        let counters = &core.counters;
        if counters.connections.get() >= core.settings.connections_max as u64 {
            counters.connections_refused.add(1);
            return;
        }
        counters.connections_accepted.add(1);
        // Small packets matter more than full segments; a socket that refuses the option works all the same.
        drop(socket.set_nodelay(true));
        let local = socket.local_addr().unwrap_or(self.address);
        let arrival = Arrival { zone: self.zone.clone(), peer, local };
        let presence = Presence::new(core.clone());
        // Boxed on its own: the supervised spawn would otherwise hold room for the future twice.
        let serving = Box::pin(connection::serve(core.clone(), socket, arrival));
        drop(model::task::spawn("broker-connection", async move {
            let core = presence.core.clone();
            let mut phase = core.phase.subscribe();
            tokio::select! {
                () = serving => {}
                aborting = phase.wait_for(|phase| *phase == Phase::Aborting) => drop(aborting),
            }
            drop(presence);
        }));
    }
}

/// Counts a connection for as long as its task lives, whatever ends it.
struct Presence {
    core: Arc<Core>,
}

impl Presence {
    fn new(core: Arc<Core>) -> Self {
        core.counters.connections.add(1);
        Self { core }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.core.counters.connections.sub(1);
        self.core.gone.notify_waiters();
    }
}
