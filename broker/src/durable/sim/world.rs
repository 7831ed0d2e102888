//! Time, faults, the order of everything, and the oracle.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use futures::executor::block_on;
use model::ports::{AllowAll, AllowAnonymous, NoTap};
use model::{Clock, Qos};
use store::{Batch, ErrorKind, OrderedLog, WriterId};

use super::super::recover::{read, recover};
use super::super::snapshot::Changes;
use super::super::writer::{After, Writer};
use super::super::{Durable, Intake};
use super::Seen;
use super::client::{Client, Conn, Down, Got, Name, Up, matches};
use super::log::Disk;
use crate::node::{Core, Ports};
use crate::settings::{RetainedStorage, Settings};
use crate::timers;

/// Session expiry of the durable clients.
pub(crate) const EXPIRY_SECS: u32 = 3_600;
const CLIENTS: usize = 4;
const STEPS: usize = 400;

/// Steps through the numbers a seed stands for (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    fn qos(&mut self) -> Qos {
        [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce, Qos::ExactlyOnce][self.below(4)]
    }
}

/// Two clocks that go as the world says.
struct Time {
    wall_ms: AtomicI64,
    monotonic_ms: AtomicI64,
    start: Instant,
}

impl Clock for Time {
    fn now_ns(&self) -> i64 {
        self.wall_ms.load(Ordering::Relaxed) * 1_000_000
    }

    fn instant(&self) -> Instant {
        self.start + Duration::from_millis(self.monotonic_ms.load(Ordering::Relaxed).unsigned_abs())
    }
}

/// One life of the broker.
struct Life {
    core: Arc<Core>,
    durable: Arc<Durable>,
    writer: Writer,
    /// A snapshot that is being written.
    saving: Option<Changes>,
}

/// A published message.
struct Published {
    topic: u8,
    qos: Qos,
    step: usize,
    refused: bool,
}

/// The history.
pub(crate) struct World {
    chance: Chance,
    time: Arc<Time>,
    disk: Disk,
    life: Option<Life>,
    clients: Vec<Client>,
    step: usize,
    lives: u128,
    published: BTreeMap<Name, Published>,
    /// By client and filter: QoS, and since when the SUBACK was there.
    subscriptions: Vec<BTreeMap<u8, (Qos, usize)>>,
    /// Messages a client has to get, at this QoS.
    owed: Vec<BTreeMap<Name, Qos>>,
    got: Vec<Got>,
    seen: Seen,
    history: Vec<String>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let time = Arc::new(Time {
            wall_ms: AtomicI64::new(1_000_000_000_000),
            monotonic_ms: AtomicI64::new(0),
            start: model::SystemClock.instant(),
        });
        let client = |index| Client { index, clean: index == CLIENTS - 1, ..Client::default() };
        let mut world = Self {
            chance: Chance(seed.wrapping_mul(0x2545_f491_4f6c_dd1d)),
            time,
            disk: Disk::default(),
            life: None,
            clients: (0..CLIENTS).map(client).collect(),
            step: 0,
            lives: 0,
            published: BTreeMap::new(),
            subscriptions: vec![BTreeMap::new(); CLIENTS],
            owed: vec![BTreeMap::new(); CLIENTS],
            got: vec![Got::new(); CLIENTS],
            seen: Seen::default(),
            history: Vec::new(),
        };
        world.start();
        world
    }

    /// Everything that happened, as text.
    pub(crate) fn history(&self) -> Vec<String> {
        self.history.clone()
    }

    pub(crate) fn report(&self, seen: &mut Seen) {
        let mine = &self.seen;
        seen.crashes += mine.crashes;
        seen.crashes_in_an_append += mine.crashes_in_an_append;
        seen.indeterminate_appends += mine.indeterminate_appends;
        seen.full_disks += mine.full_disks;
        seen.snapshots += mine.snapshots;
        seen.takeovers += mine.takeovers;
        seen.repeated += mine.repeated;
        seen.delivered += mine.delivered;
        seen.acknowledged += mine.acknowledged;
        seen.discarded += mine.discarded;
        seen.expired += mine.expired;
    }

    fn start(&mut self) {
        self.lives += 1;
        let settings = Settings { queue_messages_max: 100_000, ..Settings::default() };
        let ports = Ports {
            tap: Arc::new(NoTap),
            authenticate: Arc::new(AllowAnonymous),
            authorize: Arc::new(AllowAll),
            clock: self.time.clone(),
        };
        let writer = WriterId(self.lives);
        let recovered = block_on(recover(&self.disk, &self.disk, writer, self.time.now_ms())).unwrap();
        let durable = Arc::new(Durable {
            intake: Intake::new(settings.log_pending_bytes_max),
            log: Arc::new(self.disk.clone()),
            tables: Arc::new(self.disk.clone()),
            sessions: true,
            retained: settings.retained_storage != RetainedStorage::Ram,
        });
        let core = Arc::new(Core::new(settings, ports, Some(durable.clone())).unwrap());
        core.adopt(&recovered);
        let writer = Writer::new(recovered.state, writer, 1 << 30, 1 << 30);
        self.life = Some(Life { core, durable, writer, saving: None });
    }

    fn crash(&mut self) {
        self.seen.crashes += 1;
        self.say("crash");
        self.life = None;
        let now_ms = self.now_ms();
        for client in &mut self.clients {
            if client.conn.take().is_some_and(|conn| conn.ready) {
                client.last_seen_ms = now_ms;
            }
        }
        let down_ms = [0, 1_000, 60_000, 600_000][self.chance.below(4)];
        self.pass(down_ms, down_ms);
        self.start();
    }

    fn say(&mut self, what: impl Into<String>) {
        self.history.push(format!("{}: {}", self.step, what.into()));
    }

    fn pass(&mut self, wall_ms: i64, monotonic_ms: i64) {
        self.time.wall_ms.fetch_add(wall_ms, Ordering::Relaxed);
        self.time.monotonic_ms.fetch_add(monotonic_ms, Ordering::Relaxed);
    }

    fn now_ms(&self) -> (i64, i64) {
        (self.time.wall_ms.load(Ordering::Relaxed), self.time.monotonic_ms.load(Ordering::Relaxed))
    }

    pub(crate) fn run(&mut self) {
        for step in 0..STEPS {
            self.step += 1;
            self.pass(10, 10);
            if step < CLIENTS {
                let clean = self.clients[step].clean;
                self.connect_client(step, clean);
            }
            match self.chance.below(100) {
                0..6 => self.connect(),
                6..8 => self.disconnect(),
                8..12 => self.subscribe(),
                12..13 => self.unsubscribe(),
                13..34 => self.publish(),
                34..54 => self.client_sends(),
                54..76 => self.client_receives(),
                76..93 => self.write(true),
                93..95 => self.save(),
                95 => self.crash(),
                96 => self.jump(),
                _ => self.compare(),
            }
            self.turn();
        }
    }

    fn any(&mut self) -> usize {
        self.chance.below(CLIENTS)
    }

    fn connect(&mut self) {
        let index = self.any();
        if self.clients[index].conn.is_some() && self.chance.percent(70) {
            return;
        }
        let clean_start = self.clients[index].clean || self.chance.percent(4);
        self.connect_client(index, clean_start);
    }

    fn connect_client(&mut self, index: usize, clean_start: bool) {
        let Some(life) = &self.life else { return };
        let core = life.core.clone();
        if let Some(conn) = self.clients[index].conn.take() {
            self.seen.takeovers += 1;
            if conn.ready {
                self.clients[index].last_seen_ms = self.now_ms();
            }
            conn.end(&core);
        }
        if clean_start && !self.clients[index].clean && self.clients[index].has_session {
            // From here on the session may be gone, whether or not the CONNACK arrives.
            self.seen.discarded += 1;
            self.forget(index);
        }
        let window = [1, 2, 5, 32][self.chance.below(4)];
        let clean = self.clients[index].clean;
        self.say(format!("connect {index} clean_start={clean_start} window={window}"));
        self.clients[index].conn = Some(Conn::open(&core, index, clean, clean_start, window));
    }

    /// Nothing is owed to the client of what it had: its session ended.
    fn forget(&mut self, index: usize) {
        self.subscriptions[index].clear();
        self.owed[index].clear();
        self.got[index].clear();
        self.clients[index].has_session = false;
    }

    fn disconnect(&mut self) {
        let index = self.any();
        self.drop_connection(index);
    }

    fn drop_connection(&mut self, index: usize) {
        let now_ms = self.now_ms();
        let Some(life) = &self.life else { return };
        if let Some(conn) = self.clients[index].conn.take() {
            if conn.ready {
                self.clients[index].last_seen_ms = now_ms;
            }
            conn.end(&life.core);
            self.say(format!("disconnect {index}"));
        }
    }

    fn subscribe(&mut self) {
        let index = self.any();
        let (filter, qos) = (self.chance.below(3) as u8, self.chance.qos());
        if let Some(conn) = self.clients[index].conn.as_mut().filter(|conn| conn.ready) {
            conn.up.push_back(Up::Subscribe { filter, qos });
            // While it changes, nobody can say which QoS is in force.
            self.subscriptions[index].remove(&filter);
        }
    }

    fn unsubscribe(&mut self) {
        let index = self.any();
        let filter = self.chance.below(3) as u8;
        if let Some(conn) = self.clients[index].conn.as_mut().filter(|conn| conn.ready) {
            conn.up.push_back(Up::Unsubscribe { filter });
            self.subscriptions[index].remove(&filter);
        }
    }

    fn publish(&mut self) {
        let index = self.any();
        let (topic, qos) = (self.chance.below(2) as u8, self.chance.qos());
        let client = &mut self.clients[index];
        if !client.conn.as_ref().is_some_and(|conn| conn.ready) {
            return;
        }
        let Some((name, up)) = client.publish(topic, qos) else { return };
        if let Some(conn) = &mut client.conn {
            conn.up.push_back(up);
        }
        self.published.insert(name, Published { topic, qos, step: self.step, refused: false });
        self.say(format!("publish {name:?} topic={topic} {qos:?}"));
    }

    /// One client sends an answer, any of those it owes, or the broker takes a packet from the wire.
    fn client_sends(&mut self) {
        let index = self.any();
        let Some(life) = &self.life else { return };
        let core = life.core.clone();
        let count = 1 + self.chance.below(4);
        for _ in 0..count {
            let pick = self.chance.next();
            let Some(conn) = &mut self.clients[index].conn else { return };
            if !conn.answers.is_empty() && pick % 2 == 0 {
                let answer = conn.answers.swap_remove((pick / 2) as usize % conn.answers.len());
                conn.up.push_back(answer);
            }
            let Some(up) = conn.up.pop_front() else { continue };
            if !conn.act(&core, up) {
                self.drop_connection(index);
                return;
            }
        }
    }

    fn client_receives(&mut self) {
        let index = self.any();
        let count = 1 + self.chance.below(4);
        for _ in 0..count {
            let Some(down) = self.clients[index].conn.as_mut().and_then(|conn| conn.down.pop_front()) else { return };
            self.take(index, down);
        }
    }

    fn take(&mut self, index: usize, down: Down) {
        self.history.push(format!("{}: {index} gets {down:?}", self.step));
        let client = &mut self.clients[index];
        let Some(conn) = &mut client.conn else { return };
        match down {
            Down::Connack { present } => self.connected(index, present),
            Down::Publish { packet_id, name, qos, dup } => self.delivered(index, packet_id, name, qos, dup),
            Down::Pubrel(packet_id) => {
                client.received.remove(&packet_id);
                conn.answers.push(Up::Pubcomp(packet_id));
            }
            Down::Puback { packet_id, taken } => {
                let at = client.out.iter().position(|out| out.packet_id == packet_id && out.qos == Qos::AtLeastOnce);
                if let Some(out) = at.and_then(|at| client.out.remove(at)) {
                    self.answered(out.name, taken);
                }
            }
            Down::Pubrec { packet_id, taken } => {
                let at = client.out.iter().position(|out| out.packet_id == packet_id && out.qos == Qos::ExactlyOnce);
                let Some(at) = at else { return };
                let name = client.out[at].name;
                let first = !std::mem::replace(&mut client.out[at].released, true);
                if taken {
                    conn.answers.push(Up::Pubrel(packet_id));
                } else {
                    client.out.remove(at);
                }
                if first {
                    self.answered(name, taken);
                }
            }
            Down::Pubcomp(packet_id) => {
                client.out.retain(|out| !(out.packet_id == packet_id && out.released));
            }
            Down::Suback { filter, qos, taken } => {
                if taken {
                    self.subscriptions[index].insert(filter, (qos, self.step));
                }
            }
            Down::Unsuback { filter } => drop(self.subscriptions[index].remove(&filter)),
        }
    }

    fn connected(&mut self, index: usize, present: bool) {
        let had = self.clients[index].has_session && !self.clients[index].clean;
        if !present {
            if had {
                let (wall, monotonic) = self.now_ms();
                let last = self.clients[index].last_seen_ms;
                let away_ms = (wall - last.0).max(monotonic - last.1);
                assert!(away_ms >= i64::from(EXPIRY_SECS) * 1000, "session of {index} lost after {away_ms} ms");
                self.seen.expired += 1;
            }
            self.forget(index);
            self.clients[index].out.clear();
            self.clients[index].received.clear();
        }
        let client = &mut self.clients[index];
        client.has_session = true;
        let again = client.repeat();
        if let Some(conn) = &mut client.conn {
            conn.ready = true;
            conn.up.extend(again);
        }
    }

    /// A publisher has its answer: from now on the broker owes the message to whoever was subscribed before it was sent.
    fn answered(&mut self, name: Name, taken: bool) {
        let Some(published) = self.published.get_mut(&name) else { return };
        if !taken {
            published.refused = true;
            return;
        }
        self.seen.acknowledged += 1;
        let (topic, sent, qos) = (published.topic, published.step, published.qos);
        for (index, subscriptions) in self.subscriptions.iter().enumerate() {
            if self.clients[index].clean {
                continue;
            }
            let matching =
                subscriptions.iter().filter(|(filter, (_, since))| matches(**filter, topic) && *since < sent);
            let Some(most) = matching.map(|(_, (qos, _))| *qos).max() else { continue };
            if most.min(qos) != Qos::AtMostOnce {
                self.owed[index].insert(name, most.min(qos));
            }
        }
    }

    fn delivered(&mut self, index: usize, packet_id: u16, name: Name, qos: Qos, dup: bool) {
        let published = self.published.get(&name).unwrap_or_else(|| panic!("{name:?} was never published"));
        let (topic, sent_qos) = (published.topic, published.qos);
        assert!(qos <= sent_qos, "{name:?} delivered at {qos:?}");
        let durable = !self.clients[index].clean;
        if qos == Qos::AtMostOnce {
            return;
        }
        assert!(!(durable && published.refused), "{name:?} was refused and is delivered to {index}");
        self.seen.delivered += 1;
        let client = &mut self.clients[index];
        let Some(conn) = &mut client.conn else { return };
        let mut fresh = true;
        if qos == Qos::ExactlyOnce {
            fresh = client.received.insert(packet_id);
            conn.answers.push(Up::Pubrec(packet_id));
        } else {
            conn.answers.push(Up::Puback(packet_id));
        }
        if !durable {
            return;
        }
        let got = self.got[index].get(&name).copied();
        if let Some((known_id, _, count)) = got {
            self.seen.repeated += 1;
            // A publisher of QoS 1 may have sent it twice; then it is two messages.
            if sent_qos == Qos::ExactlyOnce {
                assert_eq!(packet_id, known_id, "{name:?} comes again to {index} with another identifier");
                assert!(dup, "{name:?} comes again to {index} without DUP");
            }
            if qos == Qos::ExactlyOnce && sent_qos == Qos::ExactlyOnce {
                assert!(!fresh, "{name:?} is delivered to {index} twice");
            }
            self.got[index].insert(name, (packet_id, qos, count + 1));
            return;
        }
        // Order per topic, publisher and QoS, of first deliveries.
        let later = self.got[index].iter().find(|(other, (_, other_qos, _))| {
            other.0 == name.0
                && other.1 > name.1
                && *other_qos == qos
                && self.published[other].topic == topic
                && self.published[other].qos == sent_qos
        });
        assert!(later.is_none(), "{name:?} comes to {index} after {:?}", later.map(|(other, _)| other));
        self.got[index].insert(name, (packet_id, qos, 1));
    }

    /// The writer appends, and things go wrong.
    fn write(&mut self, faults: bool) {
        let fault = if faults { self.chance.below(100) } else { 0 };
        let after_write = self.chance.percent(50);
        let Some(life) = &mut self.life else { return };
        let Some(batch) = life.writer.begin(&life.durable) else { return };
        self.history.push(format!("{}: append {} of {}", self.step, batch.wseq, batch.entries.len()));
        match fault {
            96 => {
                if after_write {
                    self.disk.write_batch(&batch);
                }
                self.seen.crashes_in_an_append += 1;
                self.crash();
            }
            97 => {
                // The caller learns of an error and does not know whether the batch is there.
                if after_write {
                    self.disk.write_batch(&batch);
                }
                self.seen.indeterminate_appends += 1;
                self.end_append(Err(ErrorKind::Io));
            }
            98 => {
                self.seen.full_disks += 1;
                self.end_append(Err(ErrorKind::DiskFull));
            }
            _ => self.append(&batch),
        }
    }

    fn append(&mut self, batch: &Batch) {
        let offset = self.disk.write_batch(batch);
        self.end_append(Ok(offset));
    }

    fn end_append(&mut self, answer: Result<store::Offset, ErrorKind>) {
        let Some(life) = &mut self.life else { return };
        let was_error = answer.is_err();
        let after = life.writer.end(&life.core, &life.durable, answer);
        if was_error && after == After::GoOn {
            // The writer has given up: only a restart helps.
            self.crash();
        }
    }

    /// A step of a snapshot: take it, write it, or forget the log behind it.
    fn save(&mut self) {
        let Some(life) = &mut self.life else { return };
        match life.saving.take() {
            None => {
                life.saving = Some(life.writer.capture());
                self.say("snapshot taken");
            }
            Some(changes) => {
                self.seen.snapshots += 1;
                self.disk.write_rows(&changes);
                self.say("snapshot written");
                if let Some(covers) = changes.covers
                    && self.chance.percent(80)
                {
                    self.disk.trim_to(covers.next());
                }
            }
        }
    }

    fn jump(&mut self) {
        let (wall, monotonic) = match self.chance.below(10) {
            0 => (-30_000, 0),
            1 => (120_000, 0),
            2 => (4_000_000, 4_000_000),
            3..6 => (700_000, 700_000),
            _ => (0, 5_000),
        };
        self.say(format!("the clocks jump by {wall} and {monotonic} ms"));
        self.pass(wall, monotonic);
        if let Some(life) = &self.life {
            timers::fire_due(&life.core);
        }
    }

    /// What is on the disk replays to what is in memory.
    fn compare(&mut self) {
        let Some(life) = &self.life else { return };
        let copy = self.disk.copied();
        let (_, end) = block_on(copy.bounds(super::super::writer::LOG)).unwrap();
        if life.writer.state.next_offset() != end {
            return; // A batch is there that the writer does not know of yet.
        }
        let replayed = block_on(read(&copy, &copy)).unwrap();
        let (live, replayed) = (life.writer.state.fingerprint(), replayed.state.fingerprint());
        for (served, replayed) in live.iter().zip(&replayed) {
            assert_eq!(served, replayed, "at step {} the replay differs from what is served", self.step);
        }
        assert_eq!(live.len(), replayed.len(), "at step {} the replay differs from what is served", self.step);
    }

    /// The connections do what they can.
    fn turn(&mut self) {
        let Some(life) = &self.life else { return };
        let core = life.core.clone();
        for index in 0..CLIENTS {
            let goes_on = self.clients[index].conn.as_mut().is_none_or(|conn| conn.turn(&core));
            if !goes_on {
                self.drop_connection(index);
            }
        }
    }

    /// Everybody connects, nothing fails any more, and everything that is owed has to arrive.
    pub(crate) fn settle_and_check(&mut self) {
        for round in 0..2_000 {
            self.step += 1;
            for index in 0..CLIENTS {
                if self.clients[index].conn.is_none() {
                    let clean = self.clients[index].clean;
                    self.connect_client(index, clean);
                }
                self.answer_everything(index);
            }
            self.write(false);
            self.turn();
            let quiet = self.clients.iter().all(|client| {
                client.out.is_empty()
                    && client
                        .conn
                        .as_ref()
                        .is_some_and(|conn| conn.up.is_empty() && conn.down.is_empty() && conn.answers.is_empty())
            });
            let idle =
                self.life.as_ref().is_some_and(|life| life.durable.intake.mode() == super::super::intake::Mode::Idle);
            if round > 10 && quiet && idle {
                break;
            }
        }
        self.compare();
        for (index, owed) in self.owed.iter().enumerate() {
            for (name, qos) in owed {
                let got = self.got[index].get(name);
                assert!(got.is_some(), "{name:?} was acknowledged and owed to {index} at {qos:?}, and never came");
            }
        }
        self.check_empty();
    }

    fn answer_everything(&mut self, index: usize) {
        let Some(life) = &self.life else { return };
        let core = life.core.clone();
        for _ in 0..64 {
            let Some(conn) = &mut self.clients[index].conn else { return };
            let answers = std::mem::take(&mut conn.answers);
            conn.up.extend(answers);
            while let Some(up) = conn.up.pop_front() {
                conn.act(&core, up);
            }
            let Some(down) = conn.down.pop_front() else { return };
            self.take(index, down);
        }
    }

    /// When everything is acknowledged nothing is kept: not in the sessions, not among the messages, not on the disk.
    fn check_empty(&mut self) {
        let Some(life) = &mut self.life else { return };
        for entry in life.writer.state.sessions() {
            let inner = entry.inner.lock();
            let kept = inner.kept.as_ref().unwrap();
            let left = (inner.queue.len(), inner.outbound.len(), kept.recorded.len(), kept.inflight_bytes);
            assert_eq!(left, (0, 0, 0, 0), "something is left in {:?}", entry.client_id);
        }
        assert!(life.writer.state.bodies.is_empty(), "messages are left that nobody waits for");
        if let Some(changes) = life.saving.take() {
            self.disk.write_rows(&changes);
        }
        let changes = life.writer.capture();
        self.disk.write_rows(&changes);
        self.disk.trim_to(life.writer.state.next_offset());
        let (rows, batches) = self.disk.sizes();
        assert!(rows <= 1 + 2 * CLIENTS && batches == 0, "{rows} rows and {batches} batches are left on the disk");
    }
}
