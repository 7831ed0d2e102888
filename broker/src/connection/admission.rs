//! Acknowledgements that may leave only after something else: those of QoS 1 and 2 publishes after the tap has admitted
//! the message (see [`model::ports::EventTap::emit`]) and the log has it for durable receivers, and PUBCOMP after the log
//! has the release. They leave in the order of the packets they answer.

use std::collections::VecDeque;
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use model::ports::{Admission, Refused};
use model::{ProtocolVersion, Qos};
use tokio::sync::oneshot;

use super::Connection;
use super::end::End;
use crate::codec::{Packet, Puback, Pubcomp, Pubrec, Reason};
use crate::durable::{Stored, Unstored};
use crate::numbers::Dropped;

/// One packet whose answer has not left yet. For a PUBLISH of QoS 0 there is none, and reading pauses instead.
pub(super) struct PendingAck {
    pub(super) packet_id: u16,
    pub(super) qos: Qos,
    /// It answers a PUBREL.
    pub(super) is_release: bool,
    pub(super) answer: Answer,
}

pub(super) enum Answer {
    /// The acknowledgement may leave with this reason.
    Reason(Reason),
    /// The message was taken, or was not.
    Taken(Taken),
    /// It is not decided.
    Waiting(Waits),
    /// The acknowledgement may leave with this reason once the log has a record.
    Recorded(oneshot::Receiver<Stored>, Reason),
}

/// Whether a message was taken.
pub(crate) type Taken = Result<(), NotTaken>;

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// A rule that promises at-least-once could not take it.
    Rule(Refused),
    /// The log could not take it for a durable session.
    Log(Unstored),
}

/// What an acknowledgement waits for.
#[derive(Debug)]
pub(crate) struct Waits {
    tap: Option<oneshot::Receiver<Result<(), Refused>>>,
    stored: Option<oneshot::Receiver<Stored>>,
    /// What is known so far.
    taken: Taken,
}

impl Waits {
    /// Waits for both.
    pub(crate) fn new(admission: Admission, stored: Option<oneshot::Receiver<Stored>>) -> Self {
        let tap = match admission {
            Admission::Done => None,
            Admission::Pending(receiver) => Some(receiver),
        };
        Self { tap, stored, taken: Ok(()) }
    }

    /// Whether there is anything to wait for.
    pub(super) fn is_open(&self) -> bool {
        self.tap.is_some() || self.stored.is_some()
    }

    /// The outcome, once it is known; the log's when both have something against it.
    pub(crate) fn poll_taken(&mut self, context: &mut Context<'_>) -> Poll<Taken> {
        if let Some(tap) = &mut self.tap
            && let Poll::Ready(admitted) = Pin::new(tap).poll(context)
        {
            self.tap = None;
            if self.taken.is_ok() {
                self.taken = admitted.unwrap_or(Err(Refused::Unavailable)).map_err(NotTaken::Rule);
            }
        }
        if let Some(stored) = &mut self.stored
            && let Poll::Ready(stored) = Pin::new(stored).poll(context)
        {
            self.stored = None;
            if let Err(why) = stored.unwrap_or(Err(Unstored::Unknown)) {
                self.taken = Err(NotTaken::Log(why));
            }
        }
        if self.tap.is_some() || self.stored.is_some() { Poll::Pending } else { Poll::Ready(self.taken.clone()) }
    }

    /// Waits for the outcome.
    pub(crate) async fn taken(mut self) -> Taken {
        poll_fn(|context| self.poll_taken(context)).await
    }

    fn taken_now(&mut self) -> Option<Taken> {
        if self.tap.is_none() && self.stored.is_none() {
            return Some(self.taken.clone());
        }
        match self.poll_taken(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(taken) => Some(taken),
            Poll::Pending => None,
        }
    }
}

impl Answer {
    fn poll_settle(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Reason(_) | Self::Taken(_) => {}
            Self::Waiting(waits) => match waits.poll_taken(context) {
                Poll::Ready(taken) => *self = Self::Taken(taken),
                Poll::Pending => return Poll::Pending,
            },
            Self::Recorded(stored, reason) => match Pin::new(stored).poll(context) {
                Poll::Ready(Ok(Ok(()))) => *self = Self::Reason(*reason),
                // Without the record the answer would be a promise that a crash breaks.
                Poll::Ready(_) => *self = Self::Taken(Err(NotTaken::Log(Unstored::Unknown))),
                Poll::Pending => return Poll::Pending,
            },
        }
        Poll::Ready(())
    }
}

/// Waits until the first acknowledgement may leave; for ever when none waits.
pub(super) async fn front_settled(acks: &mut VecDeque<PendingAck>) {
    let Some(PendingAck { answer, .. }) = acks.front_mut() else { return pending().await };
    poll_fn(|context| answer.poll_settle(context)).await;
}

impl Connection {
    /// Sends the acknowledgement now when nothing is before it and nothing holds it, else in its turn.
    pub(super) fn acknowledge(&mut self, packet_id: u16, qos: Qos, mut answer: Answer) -> Result<(), End> {
        if let Answer::Waiting(waits) = &mut answer
            && let Some(taken) = waits.taken_now()
        {
            answer = Answer::Taken(taken);
        }
        if qos == Qos::AtMostOnce && matches!(answer, Answer::Reason(_) | Answer::Taken(Ok(()))) {
            return Ok(());
        }
        self.pending.push_back(PendingAck { packet_id, qos, is_release: false, answer });
        self.settle_admissions()
    }

    /// Answers a PUBREL once the log has it.
    pub(super) fn complete_later(&mut self, packet_id: u16, stored: oneshot::Receiver<Stored>) -> Result<(), End> {
        let answer = Answer::Recorded(stored, Reason::SUCCESS);
        self.pending.push_back(PendingAck { packet_id, qos: Qos::ExactlyOnce, is_release: true, answer });
        self.settle_admissions()
    }

    /// Lets every acknowledgement leave that may.
    pub(super) fn settle_admissions(&mut self) -> Result<(), End> {
        while let Some(front) = self.pending.front_mut() {
            if front.answer.poll_settle(&mut Context::from_waker(std::task::Waker::noop())).is_pending() {
                return Ok(());
            }
            let Some(ack) = self.pending.pop_front() else { break };
            self.settle(ack)?;
        }
        if self.pending.is_empty() && self.pending.capacity() > 0 {
            self.pending = VecDeque::new();
        }
        Ok(())
    }

    fn settle(&mut self, ack: PendingAck) -> Result<(), End> {
        let PendingAck { packet_id, qos, is_release, answer } = ack;
        let unknown = matches!(answer, Answer::Taken(Err(NotTaken::Log(Unstored::Unknown))));
        let reason = match &answer {
            Answer::Reason(reason) => *reason,
            Answer::Taken(Err(NotTaken::Rule(Refused::QueueFull) | NotTaken::Log(Unstored::Full))) => {
                Reason::QUOTA_EXCEEDED
            }
            Answer::Taken(Err(_)) => Reason::IMPLEMENTATION_SPECIFIC_ERROR,
            Answer::Taken(Ok(())) | Answer::Waiting(_) | Answer::Recorded(..) => Reason::SUCCESS,
        };
        if unknown && (is_release || qos == Qos::ExactlyOnce) {
            // Neither yes nor no would be the truth. The client asks again on its next connection.
            return Err(End::Server(reason));
        }
        if is_release {
            return self.send(&Packet::Pubcomp(Pubcomp::new(packet_id, reason)));
        }
        match answer {
            Answer::Taken(Err(NotTaken::Rule(_))) => self.core.counters.dropped(Dropped::Refused, 1),
            Answer::Taken(Err(NotTaken::Log(_))) => self.core.counters.dropped(Dropped::LogFull, 1),
            _ => {}
        }
        if qos == Qos::ExactlyOnce && reason.is_error() && !self.end_exchange(packet_id, reason) {
            return Ok(());
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

    /// A PUBREC with a failure ends the exchange: the identifier is free again (MQTT 5.0 §4.3.3). `false`: the log has the
    /// message, and has to have its end first, before the answer leaves.
    fn end_exchange(&mut self, packet_id: u16, reason: Reason) -> bool {
        let Some(stored) = self.core.refuse(&self.entry, packet_id) else {
            self.unreleased_count = self.unreleased_count.saturating_sub(1);
            return true;
        };
        let answer = Answer::Recorded(stored, reason);
        self.pending.push_front(PendingAck { packet_id, qos: Qos::ExactlyOnce, is_release: false, answer });
        false
    }

    /// Whether the client has to wait before more of its packets are acted upon: a QoS 0 message is not admitted yet, or
    /// as many acknowledgements wait as the client may have open.
    pub(super) fn admissions_hold_reading(&self) -> bool {
        let qos0_waits = self.pending.back().is_some_and(|ack| ack.qos == Qos::AtMostOnce);
        let most = usize::from(self.core.settings.receive_maximum);
        // A client of MQTT 5 keeps to the maximum by itself, but may have as many releases open besides.
        let full = self.pending.len() >= if self.version == ProtocolVersion::V5 { most * 2 } else { most };
        qos0_waits || full
    }

    /// Publishes of QoS 1 and 2 that count against the receive maximum (MQTT 5.0 §4.9).
    pub(super) fn unacknowledged_count(&self) -> usize {
        self.pending.iter().filter(|ack| ack.qos == Qos::AtLeastOnce).count() + self.unreleased_count
    }

    /// Whether the answer to a PUBLISH of QoS 2 waits.
    pub(super) fn awaits_pubrec(&self, packet_id: u16) -> bool {
        self.pending.iter().any(|ack| ack.packet_id == packet_id && ack.qos == Qos::ExactlyOnce && !ack.is_release)
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
