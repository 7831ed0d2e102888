//! Acknowledgements of QoS 1 and 2 publishes, which leave in the order of the publishes and only after the tap has
//! admitted the message (see [`model::ports::EventTap::emit`]).

use std::collections::VecDeque;
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;

use model::ports::{Admission, Refused};
use model::{ProtocolVersion, Qos};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::Connection;
use super::end::End;
use crate::codec::{Packet, Puback, Pubrec, Reason};
use crate::numbers::Dropped;

/// One publish whose acknowledgement has not left yet. For QoS 0 there is none, and reading pauses instead.
pub(super) struct PendingAck {
    pub(super) packet_id: u16,
    pub(super) qos: Qos,
    pub(super) answer: Answer,
}

pub(super) enum Answer {
    /// The acknowledgement may leave with this reason.
    Reason(Reason),
    /// The tap admitted the message, or did not.
    Admitted(Result<(), Refused>),
    /// The tap has not decided.
    Waiting(oneshot::Receiver<Result<(), Refused>>),
}

impl From<Admission> for Answer {
    fn from(admission: Admission) -> Self {
        match admission {
            Admission::Done => Self::Admitted(Ok(())),
            Admission::Pending(receiver) => Self::Waiting(receiver),
        }
    }
}

/// Waits until the first acknowledgement may leave; for ever when none waits.
pub(super) async fn front_settled(acks: &mut VecDeque<PendingAck>) {
    let Some(PendingAck { answer, .. }) = acks.front_mut() else { return pending().await };
    if let Answer::Waiting(receiver) = answer {
        let settled = poll_fn(|context| Pin::new(&mut *receiver).poll(context)).await;
        *answer = Answer::Admitted(settled.unwrap_or(Err(Refused::Unavailable)));
    }
}

impl Connection {
    /// Sends the acknowledgement now when nothing is before it and nothing holds it, else in its turn.
    pub(super) fn acknowledge(&mut self, packet_id: u16, qos: Qos, answer: Answer) -> Result<(), End> {
        if qos == Qos::AtMostOnce && matches!(answer, Answer::Reason(_) | Answer::Admitted(Ok(()))) {
            return Ok(());
        }
        self.pending.push_back(PendingAck { packet_id, qos, answer });
        self.settle_admissions()
    }

    /// Lets every acknowledgement leave that may.
    pub(super) fn settle_admissions(&mut self) -> Result<(), End> {
        while let Some(front) = self.pending.front_mut() {
            if let Answer::Waiting(receiver) = &mut front.answer {
                front.answer = match receiver.try_recv() {
                    Ok(result) => Answer::Admitted(result),
                    Err(TryRecvError::Closed) => Answer::Admitted(Err(Refused::Unavailable)),
                    Err(TryRecvError::Empty) => return Ok(()),
                };
            }
            let Some(PendingAck { packet_id, qos, answer }) = self.pending.pop_front() else { break };
            self.settle(packet_id, qos, &answer)?;
        }
        if self.pending.is_empty() && self.pending.capacity() > 0 {
            self.pending = VecDeque::new();
        }
        Ok(())
    }

    fn settle(&mut self, packet_id: u16, qos: Qos, answer: &Answer) -> Result<(), End> {
        let reason = match answer {
            Answer::Reason(reason) => *reason,
            Answer::Admitted(Err(Refused::QueueFull)) => Reason::QUOTA_EXCEEDED,
            Answer::Admitted(Err(Refused::Unavailable)) => Reason::IMPLEMENTATION_SPECIFIC_ERROR,
            Answer::Admitted(Ok(())) | Answer::Waiting(_) => Reason::SUCCESS,
        };
        if matches!(answer, Answer::Admitted(Err(_))) {
            self.core.counters.dropped(Dropped::Refused, 1);
        }
        if qos == Qos::ExactlyOnce && reason.is_error() {
            // A PUBREC with a failure ends the exchange: the identifier is free again (MQTT 5.0 §4.3.3).
            self.entry.inner.lock().inbound.release(packet_id);
            self.unreleased_count = self.unreleased_count.saturating_sub(1);
        }
        if reason.is_error() && self.version != ProtocolVersion::V5 && qos != Qos::AtMostOnce {
            return Err(End::Refused);
        }
        match qos {
            Qos::AtMostOnce => Ok(()),
            Qos::AtLeastOnce => self.send(&Packet::Puback(Puback::new(packet_id, reason))),
            Qos::ExactlyOnce => self.send(&Packet::Pubrec(Pubrec::new(packet_id, reason))),
        }
    }

    /// Whether the client has to wait before more of its packets are acted upon: a QoS 0 message is not admitted yet, or
    /// as many acknowledgements wait as the client may have open.
    pub(super) fn admissions_hold_reading(&self) -> bool {
        let qos0_waits = self.pending.back().is_some_and(|ack| ack.qos == Qos::AtMostOnce);
        let full = self.version != ProtocolVersion::V5 && self.pending.len() >= usize::from(self.zone.receive_maximum);
        qos0_waits || full
    }

    /// Publishes of QoS 1 and 2 that count against the receive maximum (MQTT 5.0 §4.9).
    pub(super) fn unacknowledged_count(&self) -> usize {
        self.pending.iter().filter(|ack| ack.qos == Qos::AtLeastOnce).count() + self.unreleased_count
    }

    /// Waits for every admission, for a stop that loses nothing.
    pub(super) async fn finish_admissions(&mut self) -> Result<(), End> {
        while !self.pending.is_empty() {
            front_settled(&mut self.pending).await;
            self.settle_admissions()?;
        }
        Ok(())
    }
}
