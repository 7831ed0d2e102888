//! Traces to files (manual §4.18): everything about one client, topic or address.
//!
//! Invariants:
//! - While nothing is traced, a packet costs one relaxed load ([`Traces::is_active`]).
//! - Whoever is traced never waits for the disk: lines go over a bounded queue to a thread of the trace, and what does not
//!   fit is lost and counted.
//! - Bounded in number, bytes and time, by `trace_count_max`, `trace_bytes_max`, `trace_duration_max_secs`.
//! - Strings of clients are escaped; passwords are never written, payloads only when asked for.

mod file;
mod line;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use model::manage::{TraceError, TraceSpec, TraceTarget, TraceView};
use model::{ClientInfo, Str, filter_matches, validate_filter};
use parking_lot::{Mutex, RwLock};

use self::file::{TraceFile, stored};
use crate::node::Core;
use crate::settings::Settings;

pub(crate) use self::line::Line;

/// All traces of the node.
pub(crate) struct Traces {
    folder: Option<PathBuf>,
    count_max: usize,
    bytes_max: u64,
    duration_max_ms: i64,
    /// Whether any trace runs; all that packets look at otherwise.
    active: AtomicBool,
    running: RwLock<Vec<Arc<Trace>>>,
    /// Also those that have ended, by name.
    known: Mutex<BTreeMap<Str, Arc<Trace>>>,
}

/// One trace.
struct Trace {
    name: Str,
    /// `None`: a file from before the last start.
    target: Option<TraceTarget>,
    with_payload: bool,
    started_at_ms: i64,
    end: Mutex<End>,
    file: TraceFile,
}

#[derive(Clone, Copy)]
struct End {
    at_ms: i64,
    by: Option<&'static str>,
}

impl Traces {
    /// Finds the files that are there already. Without a folder, traces are off.
    pub(crate) fn open(settings: &Settings) -> Self {
        let mut known = BTreeMap::new();
        if let Some(folder) = &settings.trace_folder {
            for (name, file, modified_ms) in stored(folder, settings.trace_count_max) {
                let end = Mutex::new(End { at_ms: modified_ms, by: Some("restart") });
                let (started_at_ms, target, with_payload) = (modified_ms, None, false);
                let trace = Trace { name: name.clone(), target, with_payload, started_at_ms, end, file };
                known.insert(name, Arc::new(trace));
            }
        }
        Self {
            folder: settings.trace_folder.clone(),
            count_max: settings.trace_count_max,
            bytes_max: settings.trace_bytes_max,
            duration_max_ms: i64::from(settings.trace_duration_max_secs) * 1000,
            active: AtomicBool::new(false),
            running: RwLock::default(),
            known: Mutex::new(known),
        }
    }

    /// Whether anything is traced.
    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Ordering::Relaxed)
    }

    /// Writes a line to every trace that follows the client or the topic.
    #[cold]
    pub(crate) fn write(&self, now_ms: i64, client: Option<&ClientInfo>, line: &Line<'_>) {
        for trace in self.running.read().iter() {
            if trace.follows(client, line.topic()) {
                trace.file.push(line.text(now_ms, client, trace.with_payload));
            }
        }
    }

    /// Starts a trace.
    pub(crate) fn start(&self, spec: TraceSpec, now_ms: i64) -> Result<TraceView, TraceError> {
        let folder = self.folder.as_ref().ok_or(TraceError::Off)?;
        check(&spec)?;
        let mut known = self.known.lock();
        if known.contains_key(spec.name.as_str()) {
            return Err(TraceError::Exists(spec.name));
        }
        if known.len() >= self.count_max {
            return Err(TraceError::TooMany(self.count_max));
        }
        let asked_ms = spec.duration.and_then(|asked| i64::try_from(asked.as_millis()).ok());
        let ends_at_ms = now_ms.saturating_add(asked_ms.unwrap_or(i64::MAX).clamp(1, self.duration_max_ms.max(1)));
        let path = folder.join(format!("{}.log", spec.name));
        let file =
            TraceFile::create(folder, &path, self.bytes_max).map_err(|error| TraceError::Io(error.to_string()))?;
        let trace = Arc::new(Trace {
            name: Str::from(spec.name),
            target: Some(spec.target),
            with_payload: spec.with_payload,
            started_at_ms: now_ms,
            end: Mutex::new(End { at_ms: ends_at_ms, by: None }),
            file,
        });
        known.insert(trace.name.clone(), trace.clone());
        drop(known);
        self.running.write().push(trace.clone());
        self.active.store(true, Ordering::Relaxed);
        tracing::info!(trace = %trace.name, target = ?trace.target, "trace started");
        Ok(trace.view())
    }

    /// Ends a trace. Its file has everything afterwards.
    pub(crate) fn stop(&self, name: &str, now_ms: i64) -> Result<TraceView, TraceError> {
        let trace = self.get(name)?;
        self.end(&trace, now_ms, "stopped");
        Ok(trace.view())
    }

    /// Ends a trace and removes its file.
    pub(crate) fn delete(&self, name: &str) -> Result<(), TraceError> {
        let trace = self.get(name)?;
        self.end(&trace, trace.started_at_ms, "stopped");
        trace.file.remove().map_err(|error| TraceError::Io(error.to_string()))?;
        self.known.lock().remove(name);
        Ok(())
    }

    /// All traces.
    pub(crate) fn list(&self) -> Vec<TraceView> {
        let known: Vec<Arc<Trace>> = self.known.lock().values().cloned().collect();
        known.iter().map(|trace| trace.view()).collect()
    }

    /// A part of a trace's file.
    pub(crate) fn read(&self, name: &str, offset: u64, bytes_max: usize) -> Result<Vec<u8>, TraceError> {
        self.get(name)?.file.read(offset, bytes_max).map_err(|error| TraceError::Io(error.to_string()))
    }

    /// Ends the traces whose time is up, whose file is full, or whose disk failed.
    pub(crate) fn end_due(&self, now_ms: i64) {
        if !self.is_active() {
            return;
        }
        let running: Vec<Arc<Trace>> = self.running.read().clone();
        for trace in running {
            let due = trace.end.lock().at_ms <= now_ms;
            if let Some(by) = trace.file.ended_by().or_else(|| due.then_some("duration")) {
                self.end(&trace, now_ms, by);
            }
        }
    }

    /// Ends all of them; for the end of the broker.
    pub(crate) fn end_all(&self, now_ms: i64) {
        let running: Vec<Arc<Trace>> = self.running.read().clone();
        for trace in running {
            self.end(&trace, now_ms, "stopped");
        }
    }

    fn get(&self, name: &str) -> Result<Arc<Trace>, TraceError> {
        self.known.lock().get(name).cloned().ok_or_else(|| TraceError::NotFound(name.to_owned()))
    }

    fn end(&self, trace: &Arc<Trace>, now_ms: i64, by: &'static str) {
        {
            let mut running = self.running.write();
            running.retain(|other| !Arc::ptr_eq(other, trace));
            self.active.store(!running.is_empty(), Ordering::Relaxed);
        }
        let first = {
            let mut end = trace.end.lock();
            let first = end.by.is_none();
            if first {
                *end = End { at_ms: now_ms, by: Some(by) };
            }
            first
        };
        // Outside of every lock: the thread writes what still waits.
        trace.file.close();
        if first {
            tracing::info!(trace = %trace.name, by, "trace ended");
        }
    }
}

impl Trace {
    fn follows(&self, client: Option<&ClientInfo>, topic: Option<&str>) -> bool {
        match &self.target {
            Some(TraceTarget::Client(client_id)) => client.is_some_and(|info| info.client_id.as_str() == client_id),
            Some(TraceTarget::Topic(filter)) => topic.is_some_and(|topic| filter_matches(filter, topic)),
            Some(TraceTarget::Address(address)) => {
                client.and_then(|info| info.peer).is_some_and(|peer| peer.ip() == *address)
            }
            None => false,
        }
    }

    fn view(&self) -> TraceView {
        let end = *self.end.lock();
        let written = self.file.written();
        TraceView {
            name: self.name.clone(),
            kind: self.target.as_ref().map_or("", TraceTarget::kind),
            target: self.target.as_ref().map_or_else(String::new, TraceTarget::value),
            with_payload: self.with_payload,
            is_running: end.by.is_none(),
            ended_by: end.by,
            started_at_ms: self.started_at_ms,
            ends_at_ms: end.at_ms,
            bytes: written.bytes,
            line_count: written.lines,
            lost_count: written.lost,
        }
    }
}

fn check(spec: &TraceSpec) -> Result<(), TraceError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if spec.name.is_empty() || spec.name.len() > 64 || spec.name.starts_with('.') || !spec.name.chars().all(is_plain) {
        let why = "the name of a trace has 1 to 64 letters, digits, _, - and ., and begins with none of the latter";
        return Err(TraceError::Invalid(why.to_owned()));
    }
    match &spec.target {
        TraceTarget::Topic(filter) => validate_filter(filter)
            .map_err(|error| TraceError::Invalid(format!("the topic filter is not valid: {error}"))),
        TraceTarget::Client(client_id) if client_id.is_empty() => {
            Err(TraceError::Invalid("the client id is empty".to_owned()))
        }
        TraceTarget::Client(_) | TraceTarget::Address(_) => Ok(()),
    }
}

impl Core {
    /// Writes a line to the traces that follow it; costs one load while there are none.
    pub(crate) fn trace(&self, client: Option<&ClientInfo>, line: Line<'_>) {
        if self.traces.is_active() {
            self.traces.write(self.now_ms(), client, &line);
        }
    }
}
