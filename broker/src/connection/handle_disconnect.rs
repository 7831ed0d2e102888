//! DISCONNECT from the client.

use super::Connection;
use super::end::End;
use crate::codec::{Disconnect, Error};

impl Connection {
    pub(super) fn handle_disconnect(&mut self, packet: &Disconnect) -> End {
        if let Some(secs) = packet.session_expiry_secs() {
            let mut inner = self.entry.inner.lock();
            if inner.expiry_secs == 0 && secs != 0 {
                return Error::protocol("a session expiry in DISCONNECT after none in CONNECT [MQTT-3.14.2-2]").into();
            }
            let secs = secs.min(self.zone.session_expiry_max_secs);
            inner.set_expiry(secs, &self.core.counters.persistent_sessions);
        }
        End::Client(packet.reason)
    }
}
