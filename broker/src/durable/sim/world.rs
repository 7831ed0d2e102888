//! Time, faults and the order of everything; the oracle watches.

mod oracle;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use futures::executor::block_on;
use model::ports::{AllowAll, AllowAnonymous, NoTap};
use model::{Clock, Qos};
use store::{Batch, ErrorKind, OrderedLog, WriterId};

use super::super::record::Record;
use super::super::recover::{read, recover};
use super::super::snapshot::Changes;
use super::super::writer::{After, Writer};
use super::super::{Durable, Intake};
use super::Seen;
use super::client::{Client, Conn, Down, Got, Name, Up};
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
    /// It was sent again.
    repeated: bool,
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
    /// The last step in which the disk was full.
    full_at: usize,
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
            full_at: 0,
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
        let clean_start = clean_start || self.clients[index].cleaning;
        self.clients[index].cleaning = clean_start;
        if let Some(conn) = self.clients[index].conn.take() {
            self.seen.takeovers += 1;
            if conn.ready {
                self.clients[index].last_seen_ms = self.now_ms();
            }
            conn.end(&core);
        }
        if clean_start && !self.clients[index].clean {
            // From here on the session may be gone, whether or not the CONNACK arrives.
            self.seen.discarded += u64::from(self.clients[index].has_session);
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
        let client = &mut self.clients[index];
        client.has_session = false;
        client.out.clear();
        client.received.clear();
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
            self.clients[index].changing[usize::from(filter)] += 1;
            self.subscriptions[index].remove(&filter);
        }
    }

    fn unsubscribe(&mut self) {
        let index = self.any();
        let filter = self.chance.below(3) as u8;
        if let Some(conn) = self.clients[index].conn.as_mut().filter(|conn| conn.ready) {
            conn.up.push_back(Up::Unsubscribe { filter });
            self.clients[index].changing[usize::from(filter)] += 1;
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
        self.published.insert(name, Published { topic, qos, step: self.step, refused: false, repeated: false });
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
            if !conn.answers.is_empty() && pick.is_multiple_of(2) {
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
                let changing = &mut client.changing[usize::from(filter)];
                *changing = changing.saturating_sub(1);
                if taken && *changing == 0 {
                    self.subscriptions[index].insert(filter, (qos, self.step));
                }
            }
            Down::Unsuback { filter } => {
                let changing = &mut client.changing[usize::from(filter)];
                *changing = changing.saturating_sub(1);
            }
        }
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
                self.full_at = self.step;
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
        let Some(life) = &self.life else { return };
        timers::fire_due(&life.core);
        // The broker gives a sign of life within seconds; it is in the log before anything else happens.
        life.core.tell(Record::Tick { at_ms: life.core.now_ms() });
        // Once for a batch that has no answer yet.
        self.write(false);
        self.write(false);
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
}
