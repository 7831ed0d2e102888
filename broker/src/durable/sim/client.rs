//! A client of the simulation and the broker's end of its connection.
//!
//! The client keeps to the protocol: it repeats what was not acknowledged when its session is there, forgets it when it is
//! not, and answers in any order. The broker's end does what `connection` does, with the same functions of `Core`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use model::{ClientInfo, Message, MessageId, Origin, ProtocolVersion, Qos, Str};
use tokio::sync::oneshot;

use super::super::has_begun;
use super::super::record::Record;
use super::super::{Stored, Unstored};
use crate::codec::SubscribeOptions;
use crate::connection::{NotTaken, Waits};
use crate::node::{Core, Source};
use crate::registry::{Entry, Link, Subscribed};
use crate::session::{Kept, Received, ToSend};

/// One message of the history: its publisher and number.
pub(crate) type Name = (usize, u32);

/// From the client.
#[derive(Clone, Debug)]
pub(crate) enum Up {
    Publish { packet_id: u16, name: Name, topic: u8, qos: Qos, dup: bool },
    Puback(u16),
    Pubrec(u16),
    Pubrel(u16),
    Pubcomp(u16),
    Subscribe { filter: u8, qos: Qos },
    Unsubscribe { filter: u8 },
}

/// To the client.
#[derive(Clone, Debug)]
pub(crate) enum Down {
    Connack { present: bool },
    Publish { packet_id: u16, name: Name, qos: Qos, dup: bool },
    Pubrel(u16),
    Puback { packet_id: u16, taken: bool },
    Pubrec { packet_id: u16, taken: bool },
    Pubcomp(u16),
    Suback { filter: u8, qos: Qos, taken: bool },
    Unsuback { filter: u8 },
}

/// The filters there are; the first two match one topic each, the last both.
pub(crate) const FILTERS: [&str; 3] = ["t/0", "t/1", "t/#"];

/// Whether a filter matches a topic.
pub(crate) fn matches(filter: u8, topic: u8) -> bool {
    filter == 2 || filter == topic
}

/// What the client has published and not seen the end of.
#[derive(Clone, Debug)]
pub(crate) struct Out {
    pub(crate) packet_id: u16,
    pub(crate) name: Name,
    pub(crate) topic: u8,
    pub(crate) qos: Qos,
    pub(crate) released: bool,
}

/// A client, with what it remembers over connections.
#[derive(Default)]
pub(crate) struct Client {
    pub(crate) index: usize,
    /// It asks for a session that ends with its connection.
    pub(crate) clean: bool,
    pub(crate) conn: Option<Conn>,
    pub(crate) out: VecDeque<Out>,
    /// QoS 2 messages received and not released.
    pub(crate) received: BTreeSet<u16>,
    pub(crate) next_packet_id: u16,
    pub(crate) next_number: u32,
    /// It believes to have a session.
    pub(crate) has_session: bool,
    /// Which one. A client cannot know that a session is another one whose first CONNACK it never got; the protocol has no
    /// word for it. This one knows, so that what follows is not held against the broker.
    pub(crate) session: u64,
    /// It has asked for a clean start and has no CONNACK yet: it goes on asking for one.
    pub(crate) cleaning: bool,
    /// SUBSCRIBEs and UNSUBSCRIBEs without answer, by filter.
    pub(crate) changing: [u32; 3],
    /// Wall and monotonic clock when it was last seen connected, milliseconds.
    pub(crate) last_seen_ms: (i64, i64),
}

/// One connection.
pub(crate) struct Conn {
    pub(crate) entry: Arc<Entry>,
    pub(crate) link: Arc<Link>,
    pub(crate) window: u16,
    present: bool,
    is_new: bool,
    /// CONNACK waits for this.
    attaching: Option<oneshot::Receiver<Stored>>,
    attached: bool,
    /// The client has its CONNACK.
    pub(crate) ready: bool,
    pub(crate) up: VecDeque<Up>,
    pub(crate) down: VecDeque<Down>,
    /// Answers the client has not sent yet.
    pub(crate) answers: Vec<Up>,
    pending: VecDeque<Pending>,
}

struct Pending {
    answer: Down,
    waits: Wait,
}

enum Wait {
    Taken(Waits),
    Stored(oneshot::Receiver<Stored>),
    Nothing,
}

/// What became of something that was waited for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Taken,
    Refused,
    /// The connection has to end without an answer.
    Unknown,
}

impl Wait {
    fn poll(&mut self) -> Option<Outcome> {
        let mut context = Context::from_waker(Waker::noop());
        match self {
            Self::Nothing => Some(Outcome::Taken),
            Self::Taken(waits) => match waits.poll_taken(&mut context) {
                Poll::Pending => None,
                Poll::Ready(Ok(())) => Some(Outcome::Taken),
                Poll::Ready(Err(NotTaken::Log(Unstored::Unknown))) => Some(Outcome::Unknown),
                Poll::Ready(Err(_)) => Some(Outcome::Refused),
            },
            Self::Stored(stored) => match stored.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => None,
                Ok(Ok(())) => Some(Outcome::Taken),
                Ok(Err(Unstored::Full)) => Some(Outcome::Refused),
                Ok(Err(Unstored::Unknown)) | Err(_) => Some(Outcome::Unknown),
            },
        }
    }
}

fn info(index: usize, clean: bool, clean_start: bool, now_ms: i64) -> Arc<ClientInfo> {
    Arc::new(ClientInfo {
        client_id: Str::from(format!("c{index}")),
        username: None,
        peer: None,
        local: None,
        version: ProtocolVersion::V5,
        keepalive_secs: 0,
        clean_start,
        session_expiry_secs: if clean { 0 } else { super::world::EXPIRY_SECS },
        is_bridge: false,
        mountpoint: Str::new(""),
        connected_at_ms: now_ms,
        is_superuser: false,
    })
}

impl Conn {
    /// CONNECT: as `take_session` does it. A former connection has been ended by the caller.
    pub(crate) fn open(core: &Arc<Core>, index: usize, clean: bool, clean_start: bool, window: u16) -> Self {
        let info = info(index, clean, clean_start, core.now_ms());
        let link = Arc::new(Link::new(info.clone(), core.monotonic_ms(), 0));
        loop {
            let kept = || core.keeps(&info).then(|| Box::new(Kept::new(info.clone(), core.queue_limits())));
            let create = || Arc::new(Entry::new(core.new_session_key(), info.clone(), core.now_ms(), kept()));
            let (entry, is_new) = core.registry.get_or_insert(&info.client_id, 100, create).unwrap();
            if clean_start && !is_new {
                core.terminate(&entry, "discarded");
                continue;
            }
            {
                let mut inner = entry.inner.lock();
                inner.set_expiry(info.session_expiry_secs, &core.counters.persistent_sessions);
                if !entry.durable {
                    inner.outbound.resume();
                }
                entry.attach(&mut inner, link.clone());
            }
            let attaching = match entry.durable {
                true => core.submit_attach(&entry, &info, window, None),
                false => core.submit(Record::Tick { at_ms: core.now_ms() }),
            };
            return Self {
                entry,
                link,
                window,
                present: !is_new,
                is_new,
                attaching,
                attached: false,
                ready: false,
                up: VecDeque::new(),
                down: VecDeque::new(),
                answers: Vec::new(),
                pending: VecDeque::new(),
            };
        }
    }

    /// The connection is gone: as `finish` does it.
    pub(crate) fn end(self, core: &Arc<Core>) {
        {
            let mut inner = self.entry.inner.lock();
            for Pending { answer, waits } in self.pending {
                if let (Down::Pubrec { packet_id, .. }, Wait::Taken(waits)) = (answer, waits) {
                    inner.orphans.push((packet_id, waits));
                }
            }
        }
        core.connection_ended(&self.entry, &self.link, !self.attached);
    }

    /// Sends what may leave. `false`: the connection has to end.
    pub(crate) fn turn(&mut self, core: &Arc<Core>) -> bool {
        if let Some(attaching) = &mut self.attaching {
            match attaching.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => return true,
                Ok(Ok(())) => {
                    self.attaching = None;
                    self.attached = true;
                    self.down.push_back(Down::Connack { present: self.present });
                }
                _ => {
                    if self.is_new || self.entry.durable && !has_begun(&self.entry) {
                        core.abandon(&self.entry);
                    }
                    return false;
                }
            }
        }
        while let Some(front) = self.pending.front_mut() {
            let Some(outcome) = front.waits.poll() else { break };
            let Some(Pending { answer, .. }) = self.pending.pop_front() else { break };
            if !self.answer(core, answer, outcome) {
                return false;
            }
        }
        while self.down.len() < 8 {
            let next = self.entry.inner.lock().next(self.window);
            let Some(next) = next else { break };
            self.down.push_back(match next {
                ToSend::Pubrel(packet_id) => Down::Pubrel(packet_id),
                ToSend::Publish { delivery, packet_id, dup } => {
                    Down::Publish { packet_id, name: name_of(&delivery.outgoing.message), qos: delivery.qos, dup }
                }
            });
        }
        true
    }

    fn answer(&mut self, core: &Arc<Core>, answer: Down, outcome: Outcome) -> bool {
        let ok = outcome == Outcome::Taken;
        let unknown = outcome == Outcome::Unknown;
        let down = match answer {
            // At QoS 1 a failure may be a lie: the client sends again, which QoS 1 allows.
            Down::Puback { packet_id, .. } => Down::Puback { packet_id, taken: ok },
            Down::Pubrec { .. } | Down::Pubcomp(_) | Down::Suback { .. } | Down::Unsuback { .. } if unknown => {
                return false;
            }
            Down::Pubrec { packet_id, .. } if !ok => {
                if let Some(stored) = core.refuse(&self.entry, packet_id) {
                    let answer = Down::Pubrec { packet_id, taken: false };
                    self.pending.push_front(Pending { answer, waits: Wait::Stored(stored) });
                    return true;
                }
                Down::Pubrec { packet_id, taken: false }
            }
            Down::Pubrec { packet_id, taken } => Down::Pubrec { packet_id, taken },
            Down::Suback { filter, qos, .. } => Down::Suback { filter, qos, taken: ok },
            other => other,
        };
        self.down.push_back(down);
        true
    }

    /// Acts on one packet of the client. `false`: the connection has to end.
    pub(crate) fn act(&mut self, core: &Arc<Core>, up: Up) -> bool {
        match up {
            Up::Publish { packet_id, name, topic, qos, dup } => self.publish(core, packet_id, name, topic, qos, dup),
            Up::Puback(packet_id) => drop(core.puback(&self.entry, packet_id).unwrap()),
            Up::Pubrec(packet_id) => {
                if core.pubrec(&self.entry, packet_id, false).unwrap().pubrel {
                    self.down.push_back(Down::Pubrel(packet_id));
                }
            }
            Up::Pubcomp(packet_id) => drop(core.pubcomp(&self.entry, packet_id).unwrap()),
            Up::Pubrel(packet_id) => match core.pubrel(&self.entry, packet_id, self.awaits_pubrec(packet_id)).stored {
                Some(stored) => {
                    self.pending.push_back(Pending { answer: Down::Pubcomp(packet_id), waits: Wait::Stored(stored) });
                }
                None => self.down.push_back(Down::Pubcomp(packet_id)),
            },
            Up::Subscribe { filter, qos } => {
                let subscribed = Subscribed { options: SubscribeOptions::of_qos(qos), identifier: None };
                let text = Str::new(FILTERS[usize::from(filter)]);
                let subscriptions = vec![(text.clone(), subscribed)];
                let waits = if self.entry.durable {
                    let record = Record::Subscribe { session: self.entry.key, subscriptions };
                    Wait::Stored(core.submit(record).unwrap())
                } else {
                    core.add_subscription(&self.entry, &text, subscribed.options, None);
                    Wait::Nothing
                };
                self.pending.push_back(Pending { answer: Down::Suback { filter, qos, taken: true }, waits });
            }
            Up::Unsubscribe { filter } => {
                let text = Str::new(FILTERS[usize::from(filter)]);
                let waits = if self.entry.durable {
                    let record = Record::Unsubscribe { session: self.entry.key, filters: vec![text] };
                    Wait::Stored(core.submit(record).unwrap())
                } else {
                    core.remove_subscription(&self.entry, &text);
                    Wait::Nothing
                };
                self.pending.push_back(Pending { answer: Down::Unsuback { filter }, waits });
            }
        }
        true
    }

    fn awaits_pubrec(&self, packet_id: u16) -> bool {
        self.pending
            .iter()
            .any(|pending| matches!(pending.answer, Down::Pubrec { packet_id: of, .. } if of == packet_id))
    }

    fn publish(&mut self, core: &Arc<Core>, packet_id: u16, name: Name, topic: u8, qos: Qos, dup: bool) {
        if qos == Qos::ExactlyOnce && core.receive(&self.entry, packet_id) == Received::Duplicate {
            if self.awaits_pubrec(packet_id) {
                return;
            }
            let waits = core.orphan(&self.entry, packet_id).map_or(Wait::Nothing, Wait::Taken);
            self.pending.push_back(Pending { answer: Down::Pubrec { packet_id, taken: true }, waits });
            return;
        }
        let message = Arc::new(Message {
            id: MessageId(1),
            topic: Str::new(FILTERS[usize::from(topic)]),
            payload: format!("{}:{}", name.0, name.1).into(),
            qos,
            retain: false,
            dup,
            publisher: Some(self.link.info.clone()),
            properties: None,
            received_at_ms: core.now_ms(),
            origin: Origin::Client,
        });
        let from = (qos == Qos::ExactlyOnce && self.entry.durable).then_some((self.entry.key, packet_id));
        let waits = Wait::Taken(core.ingest_from(message, Source { from, ..Source::default() }).waits);
        let answer = match qos {
            Qos::AtMostOnce => return,
            Qos::AtLeastOnce => Down::Puback { packet_id, taken: true },
            Qos::ExactlyOnce => Down::Pubrec { packet_id, taken: true },
        };
        self.pending.push_back(Pending { answer, waits });
    }
}

/// The name in a payload.
pub(crate) fn name_of(message: &Message) -> Name {
    let text = std::str::from_utf8(&message.payload).unwrap();
    let (publisher, number) = text.split_once(':').unwrap();
    (publisher.parse().unwrap(), number.parse().unwrap())
}

impl Client {
    /// Begins to publish; what goes to the wire.
    pub(crate) fn publish(&mut self, topic: u8, qos: Qos) -> Option<(Name, Up)> {
        let name = (self.index, self.next_number);
        let mut packet_id = 0;
        if qos != Qos::AtMostOnce {
            if self.out.len() >= 6 {
                return None;
            }
            let used: BTreeSet<u16> = self.out.iter().map(|out| out.packet_id).collect();
            // Few identifiers, so that they are used again soon.
            packet_id = (1..=7).map(|n| (self.next_packet_id + n - 1) % 7 + 1).find(|id| !used.contains(id))?;
            self.next_packet_id = packet_id;
            self.out.push_back(Out { packet_id, name, topic, qos, released: false });
        }
        self.next_number += 1;
        Some((name, Up::Publish { packet_id, name, topic, qos, dup: false }))
    }

    /// What the client sends after a CONNACK: everything again that it has no answer for.
    pub(crate) fn repeat(&self) -> Vec<Up> {
        let again = |out: &Out| match out.released {
            true => Up::Pubrel(out.packet_id),
            false => {
                let Out { packet_id, name, topic, qos, .. } = *out;
                Up::Publish { packet_id, name, topic, qos, dup: true }
            }
        };
        self.out.iter().map(again).collect()
    }
}

/// What a client has got from its present session: the identifier and the number of PUBLISH packets by message.
pub(crate) type Got = BTreeMap<Name, (u16, Qos, u32)>;
