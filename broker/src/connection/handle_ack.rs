//! PUBACK, PUBREC, PUBREL and PUBCOMP from the client.

use model::EventKind;

use super::Connection;
use super::end::End;
use crate::codec::{Packet, Properties, Puback, Pubcomp, Pubrec, Pubrel, Reason};
use crate::events::{Fields, properties_value};
use crate::numbers::Metric;
use crate::session::Delivery;

impl Connection {
    pub(super) fn handle_puback(&mut self, packet: &Puback) -> Result<(), End> {
        if !self.core.has_session(&self.entry, &self.link) {
            return Ok(());
        }
        let acknowledged = self.core.puback(&self.entry, packet.packet_id)?;
        self.missed(acknowledged.is_none(), Metric::PacketsPubackMissed);
        self.acked(acknowledged.as_ref(), &packet.properties);
        Ok(())
    }

    pub(super) fn handle_pubrec(&mut self, packet: &Pubrec) -> Result<(), End> {
        if !self.core.has_session(&self.entry, &self.link) {
            return Ok(());
        }
        let outcome = self.core.pubrec(&self.entry, packet.packet_id, packet.reason.is_error())?;
        self.missed(outcome.acknowledged.is_none(), Metric::PacketsPubrecMissed);
        self.acked(outcome.acknowledged.as_ref(), &packet.properties);
        if outcome.pubrel { self.send(&Packet::Pubrel(Pubrel::new(packet.packet_id, Reason::SUCCESS))) } else { Ok(()) }
    }

    /// An identifier that is not open is answered like one that is (MQTT 5.0 §4.3.3 has PUBCOMP either way): after a
    /// lost PUBCOMP the client repeats its PUBREL, and success is the truth then.
    pub(super) fn handle_pubrel(&mut self, packet: &Pubrel) -> Result<(), End> {
        let packet_id = packet.packet_id;
        let released = self.core.pubrel(&self.entry, packet_id, self.awaits_pubrec(packet_id));
        self.missed(!released.open, Metric::PacketsPubrelMissed);
        if released.open {
            self.unreleased_count = self.unreleased_count.saturating_sub(1);
        }
        match released.stored {
            Some(stored) => self.complete_later(packet_id, stored),
            None => self.send(&Packet::Pubcomp(Pubcomp::new(packet_id, Reason::SUCCESS))),
        }
    }

    pub(super) fn handle_pubcomp(&mut self, packet: &Pubcomp) -> Result<(), End> {
        if !self.core.has_session(&self.entry, &self.link) {
            return Ok(());
        }
        let open = self.core.pubcomp(&self.entry, packet.packet_id)?;
        self.missed(!open, Metric::PacketsPubcompMissed);
        Ok(())
    }

    fn missed(&self, is_missed: bool, metric: Metric) {
        if is_missed {
            self.core.counters.add(metric, 1);
        }
    }

    fn acked(&self, acknowledged: Option<&Delivery>, properties: &Properties) {
        if let Some(delivery) = acknowledged {
            let message = &delivery.outgoing.message;
            self.core.emit(EventKind::MessageAcked, || {
                let mut fields = Fields::of_delivery(message, &self.info);
                fields.put("puback_props", properties_value(Some(properties)));
                fields
            });
        }
    }
}
