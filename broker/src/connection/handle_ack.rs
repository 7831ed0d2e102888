//! PUBACK, PUBREC, PUBREL and PUBCOMP from the client.

use model::EventKind;

use super::Connection;
use super::end::End;
use crate::codec::{Packet, Puback, Pubcomp, Pubrec, Pubrel, Reason};
use crate::events::Fields;
use crate::numbers::Metric;
use crate::session::Delivery;

impl Connection {
    pub(super) fn handle_puback(&mut self, packet: &Puback) -> Result<(), End> {
        let acknowledged = self.entry.inner.lock().outbound.puback(packet.packet_id)?;
        self.missed(acknowledged.is_none(), Metric::PacketsPubackMissed);
        self.acked(acknowledged.as_ref());
        Ok(())
    }

    pub(super) fn handle_pubrec(&mut self, packet: &Pubrec) -> Result<(), End> {
        let refused = packet.reason.is_error();
        let acknowledged = self.entry.inner.lock().outbound.pubrec(packet.packet_id, refused)?;
        self.missed(acknowledged.is_none(), Metric::PacketsPubrecMissed);
        self.acked(acknowledged.as_ref());
        // An unknown identifier gets its PUBREL too: the client can then end what only it remembers.
        if refused { Ok(()) } else { self.send(&Packet::Pubrel(Pubrel::new(packet.packet_id, Reason::SUCCESS))) }
    }

    /// An identifier that is not open is answered like one that is (MQTT 5.0 §4.3.3 has PUBCOMP either way): after a
    /// lost PUBCOMP the client repeats its PUBREL, and success is the truth then.
    pub(super) fn handle_pubrel(&mut self, packet: &Pubrel) -> Result<(), End> {
        let open = {
            let mut inner = self.entry.inner.lock();
            inner.orphans.retain(|(packet_id, _)| *packet_id != packet.packet_id);
            inner.inbound.release(packet.packet_id)
        };
        self.missed(!open, Metric::PacketsPubrelMissed);
        if open {
            self.unreleased_count = self.unreleased_count.saturating_sub(1);
        }
        self.send(&Packet::Pubcomp(Pubcomp::new(packet.packet_id, Reason::SUCCESS)))
    }

    pub(super) fn handle_pubcomp(&mut self, packet: &Pubcomp) -> Result<(), End> {
        let open = self.entry.inner.lock().outbound.pubcomp(packet.packet_id)?;
        self.missed(!open, Metric::PacketsPubcompMissed);
        Ok(())
    }

    fn missed(&self, is_missed: bool, metric: Metric) {
        if is_missed {
            self.core.counters.add(metric, 1);
        }
    }

    fn acked(&self, acknowledged: Option<&Delivery>) {
        if let Some(delivery) = acknowledged {
            let message = &delivery.outgoing.message;
            self.core.emit(EventKind::MessageAcked, || Fields::of_delivery(message, &self.info));
        }
    }
}
