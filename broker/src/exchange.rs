//! What the packets of an exchange do to a session, with or without a log behind it. The connection decodes, answers and
//! counts; it and the simulation call the same functions.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::codec::Error;
use crate::connection::Waits;
use crate::durable::{Record, Stored};
use crate::node::Core;
use crate::registry::{Entry, Link};
use crate::session::{Delivery, Receipt, Received};

/// What a PUBREC leads to.
#[derive(Debug)]
pub(crate) struct Pubreced {
    /// The message, when it is acknowledged by this.
    pub(crate) acknowledged: Option<Delivery>,
    /// PUBREL may leave at once; otherwise the session has it to send when it may, or there is none.
    pub(crate) pubrel: bool,
}

/// What a PUBREL leads to.
#[derive(Debug)]
pub(crate) struct Released {
    /// Whether the exchange was open.
    pub(crate) open: bool,
    /// What PUBCOMP has to wait for.
    pub(crate) stored: Option<oneshot::Receiver<Stored>>,
}

impl Core {
    /// Whether the packets of the connection `link` are about its session still. Another connection that has taken a
    /// durable session may have given the same identifiers to other messages.
    pub(crate) fn has_session(&self, entry: &Entry, link: &Arc<Link>) -> bool {
        !entry.durable || entry.is_served_by(link)
    }

    /// PUBACK from the client. The acknowledged message.
    pub(crate) fn puback(&self, entry: &Entry, packet_id: u16) -> Result<Option<Delivery>, Error> {
        let acknowledged = entry.inner.lock().outbound.puback(packet_id, entry.durable)?;
        if acknowledged.is_some() {
            self.note_acknowledged(entry, packet_id);
        }
        Ok(acknowledged)
    }

    /// PUBREC from the client. In a durable session PUBREL leaves after the log has the PUBREC: after a crash, a PUBLISH in
    /// the place of the PUBREL would be a second one to a client that has forgotten the first.
    pub(crate) fn pubrec(&self, entry: &Entry, packet_id: u16, refused: bool) -> Result<Pubreced, Error> {
        let mut inner = entry.inner.lock();
        if !entry.durable {
            let acknowledged = inner.outbound.pubrec(packet_id, refused)?;
            // An unknown identifier gets its PUBREL too: the client can then end what only it remembers.
            return Ok(Pubreced { acknowledged, pubrel: !refused });
        }
        if refused {
            let acknowledged = inner.outbound.refuse(packet_id)?;
            drop(inner);
            if acknowledged.is_some() {
                self.note_acknowledged(entry, packet_id);
            }
            return Ok(Pubreced { acknowledged, pubrel: false });
        }
        let receipt = inner.outbound.receive(packet_id)?;
        drop(inner);
        Ok(match receipt {
            Receipt::Record(delivery) => {
                self.tell(Record::Received { session: entry.key, packet_id });
                Pubreced { acknowledged: Some(delivery), pubrel: false }
            }
            Receipt::Underway => Pubreced { acknowledged: None, pubrel: false },
            Receipt::Known => Pubreced { acknowledged: None, pubrel: true },
        })
    }

    /// PUBCOMP from the client. Whether an exchange was open.
    pub(crate) fn pubcomp(&self, entry: &Entry, packet_id: u16) -> Result<bool, Error> {
        let open = entry.inner.lock().outbound.pubcomp(packet_id, entry.durable)?;
        if open {
            self.note_acknowledged(entry, packet_id);
        }
        Ok(open)
    }

    /// A message that was taken for sending is not to be sent.
    pub(crate) fn cancel(&self, entry: &Entry, packet_id: u16) {
        if entry.inner.lock().outbound.cancel(packet_id, entry.durable) {
            self.note_acknowledged(entry, packet_id);
        }
    }

    /// PUBLISH of QoS 2 from the client.
    pub(crate) fn receive(&self, entry: &Entry, packet_id: u16) -> Received {
        entry.inner.lock().inbound.receive(packet_id, self.settings.awaiting_rel_max)
    }

    /// PUBREL from the client; `awaits_pubrec`: the PUBLISH is not answered yet. PUBCOMP frees the identifier: if the log
    /// had the message and not its release, the next message of that identifier would be taken for this one after a crash.
    pub(crate) fn pubrel(&self, entry: &Entry, packet_id: u16, awaits_pubrec: bool) -> Released {
        let (open, recorded) = {
            let mut inner = entry.inner.lock();
            let orphan = take_orphan(&mut inner.orphans, packet_id).is_some();
            let recorded = inner.kept.as_ref().is_some_and(|kept| kept.recorded.contains(&packet_id));
            (inner.inbound.release(packet_id), recorded || entry.durable && (orphan || awaits_pubrec))
        };
        Released { open, stored: recorded.then(|| self.end_exchange(entry, packet_id)).flatten() }
    }

    /// A QoS 2 message from the client was refused: its identifier is free again. `Some`: when the log has that.
    pub(crate) fn refuse(&self, entry: &Entry, packet_id: u16) -> Option<oneshot::Receiver<Stored>> {
        let recorded = {
            let mut inner = entry.inner.lock();
            inner.inbound.release(packet_id);
            inner.kept.as_ref().is_some_and(|kept| kept.recorded.contains(&packet_id))
        };
        recorded.then(|| self.end_exchange(entry, packet_id)).flatten()
    }

    fn end_exchange(&self, entry: &Entry, packet_id: u16) -> Option<oneshot::Receiver<Stored>> {
        self.submit(Record::Released { session: entry.key, packet_id })
    }

    /// What the answer to a repeated PUBLISH of QoS 2 waits for, if its first one came on a former connection.
    pub(crate) fn orphan(&self, entry: &Entry, packet_id: u16) -> Option<Waits> {
        take_orphan(&mut entry.inner.lock().orphans, packet_id)
    }
}

fn take_orphan(orphans: &mut Vec<(u16, Waits)>, packet_id: u16) -> Option<Waits> {
    let at = orphans.iter().position(|(orphan, _)| *orphan == packet_id)?;
    Some(orphans.swap_remove(at).1)
}
