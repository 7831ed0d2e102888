//! Rows that could not be delivered, kept in the key-value store until somebody looks at them, replays or drops them.
//!
//! Invariants:
//! - Bounded by count and bytes; the oldest makes room, and that is counted.
//! - A replayed letter is removed only after its action's queue has the row (on disk, for an at_least_once action). A
//!   crash in between leaves both.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use model::codec::{decode_value, encode_value};
use model::ports::{Admission, Metrics, Refused, Sample, SampleKind};
use model::{Clock, Str, Value};
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::Value as Json;
use store::{Kv, WriteBatch};

use crate::action::{ActionName, Shared, Undelivered, decode_record, encode_record};
use crate::{Error, ErrorKind, Record};

const TABLE: &str = "dead_letters";
/// Letters read at once when opening.
const PAGE: usize = 512;
/// A replay into a queue that has no room is an error after this time.
const REPLAY_TIMEOUT: Duration = Duration::from_secs(10);

/// Bounds of the dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadLetterLimits {
    /// Most dead letters; the oldest makes room.
    pub count_max: usize,
    /// Most bytes of dead letters as stored; the oldest make room.
    pub bytes_max: u64,
}

impl Default for DeadLetterLimits {
    fn default() -> Self {
        Self { count_max: 100_000, bytes_max: 256 << 20 }
    }
}

/// The dead letters of a server. Clones share them.
#[derive(Clone)]
pub struct DeadLetters {
    inner: Arc<Inner>,
}

struct Inner {
    kv: Kv,
    limits: DeadLetterLimits,
    clock: Arc<dyn Clock>,
    /// What is stored, without the rows. Written only under `writing`.
    index: Mutex<Index>,
    /// Held across each change of the store, so that index and store agree.
    writing: tokio::sync::Mutex<()>,
    /// Who takes letters back, by the action id in the letter.
    takers: Mutex<HashMap<Str, Taker>>,
    evicted: AtomicU64,
}

/// Takes letters back.
#[derive(Clone)]
enum Taker {
    /// A running action, into its queue.
    Action(Weak<Shared>),
    /// A rule, that evaluates the event again.
    Rule(Weak<dyn ReplayEvent>),
}

impl Taker {
    fn is_gone(&self) -> bool {
        match self {
            Self::Action(action) => action.strong_count() == 0,
            Self::Rule(rule) => rule.strong_count() == 0,
        }
    }
}

/// A rule that evaluates an event again which it could not decode.
#[async_trait]
pub trait ReplayEvent: Send + Sync + 'static {
    /// Evaluates the event of the record; answers once every action has taken its rows. An error leaves the letter.
    async fn replay(&self, letter: Record) -> Result<(), Error>;
}

/// What stands for the action in a letter of an event that the rule could not decode.
const DECODE: &str = "decode";

#[derive(Default)]
struct Index {
    letters: BTreeMap<Str, Entry>,
    bytes: u64,
    /// Time and number of the youngest id ever given.
    last: (u64, u64),
}

#[derive(Clone)]
struct Entry {
    bytes: u64,
    rule: Str,
    action: Str,
}

/// One dead letter for showing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeadLetterView {
    /// Sortable by time of arrival.
    pub id: Str,
    /// Error class: [`ErrorKind::name`], `expired`, `queue_full`, `too_large`, or `undecodable` for an event whose payload
    /// a rule could not decode.
    pub class: Str,
    /// What went wrong, as the connector said it.
    pub error: String,
    /// Attempts made.
    pub attempts: u32,
    /// First attempt, milliseconds since the epoch.
    pub first_at_ms: i64,
    /// Last attempt, milliseconds since the epoch.
    pub time: i64,
    /// Rule id.
    pub rule: Str,
    /// Action id, such as `rule:9a6a725d/0`; `rule:9a6a725d/decode` for an undecodable event.
    pub action: Str,
    /// Action name, such as `data_to_pgsql`.
    pub action_name: Str,
    /// Resource id.
    pub resource: Option<Str>,
    /// Record id.
    pub record: Str,
    /// The row.
    pub row: Json,
    /// The original event, where it was kept.
    pub event: Option<Json>,
}

/// Which dead letters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// Only of this rule.
    pub rule: Option<Str>,
    /// Only of this action id.
    pub action: Option<Str>,
}

impl DeadLetterFilter {
    fn holds(&self, entry: &Entry) -> bool {
        self.rule.as_ref().is_none_or(|rule| *rule == entry.rule)
            && self.action.as_ref().is_none_or(|action| *action == entry.action)
    }
}

/// Dead letters, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeadLetterPage {
    /// The letters.
    pub letters: Vec<DeadLetterView>,
    /// Give this to the next call; `None` at the end.
    pub next: Option<Str>,
}

impl DeadLetters {
    /// Opens the letters in `kv`.
    pub async fn open(kv: Kv, limits: DeadLetterLimits, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let mut index = Index::default();
        let mut after: Option<bytes::Bytes> = None;
        loop {
            let page = kv.scan_page(TABLE, b"", after.as_deref(), PAGE).await.map_err(|error| unavailable(&error))?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (key, value) in &page {
                match (std::str::from_utf8(key), Letter::decode(value)) {
                    (Ok(id), Ok(letter)) => index.insert(Str::new(id), letter.entry(value.len())),
                    _ => tracing::error!(key = ?key, "a stored dead letter cannot be read and is left alone"),
                }
            }
        }
        index.last = index.letters.keys().next_back().map(|id| parse_id(id)).unwrap_or_default();
        let inner = Inner {
            kv,
            limits,
            clock,
            index: Mutex::new(index),
            writing: tokio::sync::Mutex::default(),
            takers: Mutex::default(),
            evicted: AtomicU64::new(0),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// At most `limit` letters behind `after`, oldest first.
    pub async fn list(
        &self,
        filter: &DeadLetterFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<DeadLetterPage, Error> {
        let ids = self.ids(filter, after, limit.saturating_add(1));
        let mut letters = Vec::new();
        for id in ids.iter().take(limit) {
            // A letter may be dropped between the look at the index and this one.
            if let Some(letter) = self.read(id).await? {
                letters.push(letter.view(id));
            }
        }
        let next = if ids.len() > limit { limit.checked_sub(1).and_then(|last| ids.get(last)).cloned() } else { None };
        Ok(DeadLetterPage { letters, next })
    }

    /// One letter; [`ErrorKind::NotFound`] when it is not there.
    pub async fn show(&self, id: &str) -> Result<DeadLetterView, Error> {
        let id = Str::new(id);
        Ok(self.read(&id).await?.ok_or_else(|| not_found(&id))?.view(&id))
    }

    /// Gives letters to their actions' queues again; each is removed only once it is safely queued. Works on running
    /// actions: a letter of a rule that is gone, or of a queue without room, stays and is an error. An event that a rule
    /// could not decode is given to the rule as it is now.
    pub async fn replay(&self, ids: &[Str]) -> Vec<(Str, Result<(), Error>)> {
        let mut results = Vec::with_capacity(ids.len());
        for id in ids {
            results.push((id.clone(), self.replay_one(id).await));
        }
        results
    }

    /// Like [`DeadLetters::replay`] for all that match now; stops at the first error. Returns how many were replayed.
    pub async fn replay_all(&self, filter: &DeadLetterFilter) -> Result<u64, Error> {
        let mut count = 0;
        for id in self.ids(filter, None, usize::MAX) {
            match self.replay_one(&id).await {
                Ok(()) => count += 1,
                Err(error) if error.kind == ErrorKind::NotFound && self.read(&id).await?.is_none() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    /// Forgets letters; ids that are not there are not counted. Returns how many there were.
    pub async fn drop_letters(&self, ids: &[Str]) -> Result<u64, Error> {
        let _writing = self.inner.writing.lock().await;
        let known: Vec<&Str> = {
            let index = self.inner.index.lock();
            ids.iter().filter(|id| index.letters.contains_key(*id)).collect()
        };
        let mut batch = WriteBatch::new();
        for id in &known {
            batch.delete(TABLE, id.as_bytes().to_vec());
        }
        self.inner.kv.write(batch).await.map_err(|error| unavailable(&error))?;
        let mut index = self.inner.index.lock();
        Ok(known.into_iter().filter(|id| index.remove(id)).count() as u64)
    }

    /// Forgets all that match. Returns how many.
    pub async fn drop_all(&self, filter: &DeadLetterFilter) -> Result<u64, Error> {
        self.drop_letters(&self.ids(filter, None, usize::MAX)).await
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.inner.index.lock().letters.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes an action known for replay, until it is gone.
    pub(crate) fn register(&self, action: &Arc<Shared>) {
        self.take_back(action.name.id.clone(), Taker::Action(Arc::downgrade(action)));
    }

    /// Makes a rule known for the replay of events it could not decode, until it is gone.
    pub fn register_rule(&self, id: &Str, rule: Weak<dyn ReplayEvent>) {
        self.take_back(decode_id(id), Taker::Rule(rule));
    }

    fn take_back(&self, id: Str, taker: Taker) {
        let mut takers = self.inner.takers.lock();
        takers.retain(|_, taker| !taker.is_gone());
        takers.insert(id, taker);
    }

    /// Keeps events that a rule could not decode, each as a record without a row and with what was wrong; all or none.
    pub async fn add_undecodable(&self, rule: &Str, events: &[(Record, String)]) -> Result<(), Error> {
        let name = ActionName { id: decode_id(rule), rule: rule.clone(), action: DECODE.into(), resource: None };
        let now_ms = self.inner.clock.now_ms();
        let rows: Vec<Undelivered> = events
            .iter()
            .map(|(record, message)| Undelivered {
                record: record.clone(),
                class: "undecodable",
                message: message.clone(),
                attempts: 1,
                first_at_ms: now_ms,
                last_at_ms: now_ms,
            })
            .collect();
        self.add(&name, &rows).await
    }

    /// Keeps rows; all or none. Rows that are larger than the whole bound are counted as evicted.
    pub(crate) async fn add(&self, action: &ActionName, rows: &[Undelivered]) -> Result<(), Error> {
        let _writing = self.inner.writing.lock().await;
        let now_ms = self.inner.clock.now_ms().max(0).unsigned_abs();
        let mut batch = WriteBatch::new();
        let mut fresh = Vec::new();
        for row in rows {
            let mut value = Vec::new();
            Letter::encode(action, row, &mut value);
            if value.len() as u64 > self.inner.limits.bytes_max {
                self.inner.evicted.fetch_add(1, Ordering::Relaxed);
                tracing::error!(action = %action.id, bytes = value.len(), "a dead letter is larger than the bound of all and is lost");
                continue;
            }
            let id = self.inner.index.lock().next_id(now_ms);
            let entry = Entry { bytes: value.len() as u64, rule: action.rule.clone(), action: action.id.clone() };
            batch.put(TABLE, id.as_bytes().to_vec(), value);
            fresh.push((id, entry));
        }
        let old = self.inner.index.lock().oldest_beyond(&self.inner.limits, &fresh);
        for id in &old {
            batch.delete(TABLE, id.as_bytes().to_vec());
        }
        self.inner.kv.write(batch).await.map_err(|error| unavailable(&error))?;
        let mut index = self.inner.index.lock();
        for (id, entry) in fresh {
            index.insert(id, entry);
        }
        for id in &old {
            index.remove(id);
        }
        self.inner.evicted.fetch_add(old.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn ids(&self, filter: &DeadLetterFilter, after: Option<&str>, limit: usize) -> Vec<Str> {
        use std::ops::Bound::{Excluded, Unbounded};
        let index = self.inner.index.lock();
        let from = after.map_or(Unbounded, Excluded);
        let matching = index.letters.range::<str, _>((from, Unbounded)).filter(|(_, entry)| filter.holds(entry));
        matching.map(|(id, _)| id.clone()).take(limit).collect()
    }

    async fn read(&self, id: &Str) -> Result<Option<Letter>, Error> {
        match self.inner.kv.get(TABLE, id.as_bytes()).await.map_err(|error| unavailable(&error))? {
            Some(value) => Letter::decode(&value).map(Some).map_err(|_| {
                Error::permanent(ErrorKind::Internal, format!("the stored dead letter {id} cannot be read"))
            }),
            None => Ok(None),
        }
    }

    async fn replay_one(&self, id: &Str) -> Result<(), Error> {
        let letter = self.read(id).await?.ok_or_else(|| not_found(id))?;
        let gone = || {
            let context = format!("{} of dead letter {id} is not running; the letter stays", letter.action);
            Error::permanent(ErrorKind::NotFound, context)
        };
        let taker = self.inner.takers.lock().get(&letter.action).cloned().ok_or_else(gone)?;
        match taker {
            Taker::Action(action) => {
                let action = action.upgrade().ok_or_else(gone)?;
                self.requeue(&action, letter).await?;
            }
            Taker::Rule(rule) => {
                let rule = rule.upgrade().ok_or_else(gone)?;
                let replayed = tokio::time::timeout(REPLAY_TIMEOUT, rule.replay(letter.record)).await;
                replayed.unwrap_or_else(|_| {
                    let context = format!("the actions of {id} had no room within {REPLAY_TIMEOUT:?}");
                    Err(Error::temporary(ErrorKind::Exhausted, context))
                })?;
            }
        }
        self.drop_letters(std::slice::from_ref(id)).await.map(|_| ())
    }

    /// Gives a letter's row to its action's queue again.
    async fn requeue(&self, action: &Arc<Shared>, letter: Letter) -> Result<(), Error> {
        let mut record = letter.record;
        let now_ms = self.inner.clock.now_ms();
        if let Some(ttl) = action.settings.queue.ttl
            && u128::from(now_ms.saturating_sub(record.at_ms).max(0).unsigned_abs()) >= ttl.as_millis()
        {
            // Somebody wants it delivered now, however old it is.
            record.at_ms = now_ms;
        }
        let answer = match action.submit(vec![record], true) {
            Admission::Done => Ok(()),
            Admission::Pending(answer) => match tokio::time::timeout(REPLAY_TIMEOUT, answer).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(Refused::Unavailable),
                Err(_) => Err(Refused::QueueFull),
            },
        };
        match answer {
            Ok(()) => Ok(()),
            Err(Refused::QueueFull) => {
                Err(Error::temporary(ErrorKind::Exhausted, format!("the queue of {} is full", letter.action)))
            }
            Err(Refused::Unavailable) => {
                Err(Error::temporary(ErrorKind::Closed, format!("the queue of {} takes no rows now", letter.action)))
            }
        }
    }
}

impl Metrics for DeadLetters {
    fn collect(&self, out: &mut Vec<Sample>) {
        let (count, bytes) = {
            let index = self.inner.index.lock();
            (index.letters.len() as f64, index.bytes as f64)
        };
        let evicted = self.inner.evicted.load(Ordering::Relaxed) as f64;
        let mut push = |name, help, kind, value| out.push(Sample { name, help, kind, labels: Vec::new(), value });
        push("dead_letters", "Dead letters kept.", SampleKind::Gauge, count);
        push("dead_letters_bytes", "Bytes of dead letters kept.", SampleKind::Gauge, bytes);
        push(
            "dead_letters_evicted_total",
            "Dead letters lost because newer ones needed their room.",
            SampleKind::Counter,
            evicted,
        );
    }
}

impl Index {
    fn insert(&mut self, id: Str, entry: Entry) {
        self.bytes += entry.bytes;
        if let Some(old) = self.letters.insert(id, entry) {
            self.bytes -= old.bytes;
        }
    }

    fn remove(&mut self, id: &Str) -> bool {
        let removed = self.letters.remove(id);
        if let Some(entry) = &removed {
            self.bytes -= entry.bytes;
        }
        removed.is_some()
    }

    /// An id behind all others, also when the clock went back.
    fn next_id(&mut self, now_ms: u64) -> Str {
        let (last_ms, last) = self.last;
        self.last = if now_ms > last_ms { (now_ms, 0) } else { (last_ms, last + 1) };
        let (ms, number) = self.last;
        Str::from(format!("{ms:012x}-{number:08x}"))
    }

    /// The letters that make room for `fresh`, oldest first; some of `fresh` themselves if they are too many.
    fn oldest_beyond(&self, limits: &DeadLetterLimits, fresh: &[(Str, Entry)]) -> Vec<Str> {
        let mut count = self.letters.len() + fresh.len();
        let mut bytes = self.bytes + fresh.iter().map(|(_, entry)| entry.bytes).sum::<u64>();
        let mut old = Vec::new();
        for (id, entry) in self.letters.iter().chain(fresh.iter().map(|(id, entry)| (id, entry))) {
            if count <= limits.count_max && bytes <= limits.bytes_max {
                break;
            }
            count -= 1;
            bytes -= entry.bytes;
            old.push(id.clone());
        }
        old
    }
}

/// The action id of letters of a rule itself. No action has it: those are numbered.
fn decode_id(rule: &str) -> Str {
    format!("{rule}/{DECODE}").into()
}

fn parse_id(id: &str) -> (u64, u64) {
    let parsed = id
        .split_once('-')
        .and_then(|(ms, number)| Some((u64::from_str_radix(ms, 16).ok()?, u64::from_str_radix(number, 16).ok()?)));
    parsed.unwrap_or_default()
}

/// A letter as stored: a map of the facts, then the record.
struct Letter {
    facts: Value,
    action: Str,
    record: Record,
}

impl Letter {
    fn encode(action: &ActionName, row: &Undelivered, out: &mut Vec<u8>) {
        let facts = Value::map([
            ("class", Value::text(row.class)),
            ("error", Value::text(row.message.as_str())),
            ("attempts", Value::Int(i64::from(row.attempts))),
            ("first_at_ms", Value::Int(row.first_at_ms)),
            ("last_at_ms", Value::Int(row.last_at_ms)),
            ("rule", Value::Text(action.rule.clone())),
            ("action", Value::Text(action.id.clone())),
            ("action_name", Value::Text(action.action.clone())),
            ("resource", action.resource.clone().map_or(Value::Missing, Value::Text)),
        ]);
        encode_value(&facts, out);
        encode_record(&row.record, out);
    }

    fn decode(mut bytes: &[u8]) -> Result<Self, model::codec::DecodeError> {
        let facts = decode_value(&mut bytes)?;
        let record = decode_record(&mut bytes)?;
        let action = text(&facts, "action").ok_or(model::codec::DecodeError::Corrupt)?;
        Ok(Self { facts, action, record })
    }

    fn entry(&self, bytes: usize) -> Entry {
        let rule = text(&self.facts, "rule").unwrap_or_else(|| self.record.rule.clone());
        Entry { bytes: bytes as u64, rule, action: self.action.clone() }
    }

    fn view(self, id: &Str) -> DeadLetterView {
        let facts = &self.facts;
        let some = |name| text(facts, name).unwrap_or_else(|| Str::new(""));
        let number = |name| fact(facts, name).and_then(Value::as_int).unwrap_or_default();
        DeadLetterView {
            id: id.clone(),
            class: some("class"),
            error: some("error").to_string(),
            attempts: u32::try_from(number("attempts")).unwrap_or_default(),
            first_at_ms: number("first_at_ms"),
            time: number("last_at_ms"),
            rule: some("rule"),
            action: self.action.clone(),
            action_name: some("action_name"),
            resource: text(facts, "resource"),
            record: self.record.id.clone(),
            row: self.record.row.to_json(),
            event: self.record.event.as_deref().map(Value::to_json),
        }
    }
}

fn fact<'a>(facts: &'a Value, name: &str) -> Option<&'a Value> {
    match facts {
        Value::Map(map) => map.get(name),
        _ => None,
    }
}

fn text(facts: &Value, name: &str) -> Option<Str> {
    match fact(facts, name) {
        Some(Value::Text(text)) => Some(text.clone()),
        _ => None,
    }
}

fn not_found(id: &Str) -> Error {
    Error::permanent(ErrorKind::NotFound, format!("there is no dead letter {id}; it may have been dropped or replayed"))
}

fn unavailable(error: &store::Error) -> Error {
    let kind = if error.kind == store::ErrorKind::DiskFull { ErrorKind::Exhausted } else { ErrorKind::Internal };
    Error::temporary(kind, format!("the dead letters' store: {error}"))
}
