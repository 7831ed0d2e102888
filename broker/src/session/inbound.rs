//! QoS 2 messages from the client that wait for their PUBREL (MQTT 5.0 §4.3.3).

use std::collections::HashSet;

/// Packet identifiers whose message has been taken and not yet released.
#[derive(Debug, Default)]
pub(crate) struct Inbound {
    open: HashSet<u16, foldhash::fast::RandomState>,
}

/// What to do with a PUBLISH of QoS 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// New: publish it, then acknowledge.
    Fresh,
    /// Seen before: acknowledge only [MQTT-4.3.3-10].
    Duplicate,
    /// Too many exchanges are open.
    Full,
}

impl Inbound {
    /// Takes note of a PUBLISH of QoS 2.
    pub(crate) fn receive(&mut self, packet_id: u16, open_max: usize) -> Received {
        if self.open.contains(&packet_id) {
            Received::Duplicate
        } else if self.open.len() >= open_max {
            Received::Full
        } else {
            self.open.insert(packet_id);
            Received::Fresh
        }
    }

    /// Ends an exchange: PUBREL came, or the message was refused. Whether it was open.
    pub(crate) fn release(&mut self, packet_id: u16) -> bool {
        self.open.remove(&packet_id)
    }

    /// Number of open exchanges.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }
}
