//! The limits of a running jq program, and the tick that enforces them.
//!
//! The tick is a native filter that passes its input on, or halts the program, which no `try` can catch. Its state is
//! this thread's, because native filters are plain functions.

use std::cell::Cell;
use std::time::{Duration, Instant};

use jaq_core::native::{Fun, bome, v};
use jaq_core::{Error, Exn, Native, data};
use jaq_json::Val;
use model::clock::{Clock, SystemClock};

/// A program passes at most this many ticks; it bounds what it can collect in a list.
const STEPS_MAX: u32 = 1_000_000;
/// A text a program builds.
const TEXT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Lists and maps in one another; values are dropped recursively.
const DEPTH_MAX: usize = 200;
/// Items, keys and pieces of 16 bytes of text in a value. jq shares parts: a small value can stand for a huge one, and
/// whoever writes it as text would not end.
const WEIGHT_MAX: usize = 2_000_000;
/// Bytes of lists and texts that pass the ticks together: what a program may copy.
const PASSED_BYTES_MAX: usize = 2 * 1024 * 1024 * 1024;
/// Stack a program may use below the call. Threads have 2 MiB.
const STACK_BYTES_MAX: usize = 512 * 1024;
/// The clock is read once in so many ticks.
const STEPS_PER_CLOCK: u32 = 256;

pub(super) const TICK: &str = "tick!";
pub(super) const TICK_CHECK: &str = "check!";
pub(super) const TIMES: &str = "times!";
pub(super) const TIMES_CHECK: &str = "times-check!";

#[derive(Clone, Copy)]
struct State {
    now_ns: i64,
    started: Instant,
    limit: Duration,
    steps: u32,
    passed_bytes: usize,
    stack: usize,
    stopped: Option<&'static str>,
}

thread_local! {
    static STATE: Cell<Option<State>> = const { Cell::new(None) };
}

/// A program is running on this thread until this is dropped.
pub(super) struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        STATE.set(None);
    }
}

impl Guard {
    /// Why the tick stopped the program, if it did.
    #[expect(clippy::unused_self, reason = "the state is the thread's while the guard lives")]
    pub(super) fn stopped(&self) -> Option<&'static str> {
        STATE.get().and_then(|state| state.stopped)
    }

    /// A tick on a value the program gave.
    #[expect(clippy::unused_self, reason = "the state is the thread's while the guard lives")]
    pub(super) fn check(&self, value: &Val) -> Option<&'static str> {
        tick(value)
    }
}

/// Starts the limits of one run at the time of its event.
pub(super) fn start(now_ns: i64, limit: Duration) -> Guard {
    let started = SystemClock.instant();
    STATE.set(Some(State { now_ns, started, limit, steps: 0, passed_bytes: 0, stack: stack_place(), stopped: None }));
    Guard
}

/// An address on the stack, to measure how deep it is. It is never read through.
#[inline(never)]
fn stack_place() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(std::hint::black_box(&here)).addr()
}

/// What a value alone weighs, without what is in it.
fn own_weight(value: &Val) -> usize {
    match value {
        Val::Arr(items) => items.len().max(1),
        Val::Obj(map) => map.len().max(1),
        Val::TStr(text) | Val::BStr(text) => text.len() / 16 + 1,
        _ => 1,
    }
}

/// The heaviest of the first and last few values in a value. What a loop builds grows along these.
fn heaviest(value: &Val) -> Option<&Val> {
    const LOOKED_AT: usize = 8;
    let by_weight = |value: &&Val| own_weight(value);
    match value {
        Val::Arr(items) => items.iter().take(LOOKED_AT).chain(items.iter().rev().take(LOOKED_AT)).max_by_key(by_weight),
        Val::Obj(map) => map.values().take(LOOKED_AT).chain(map.values().rev().take(LOOKED_AT)).max_by_key(by_weight),
        _ => None,
    }
}

/// What is wrong with the size of a value. The path of the heaviest parts gives its depth and an estimate of its
/// weight; only when that is large is everything weighed.
fn oversized(value: &Val) -> Option<&'static str> {
    let (mut at, mut estimate) = (value, 1_usize);
    for _ in 0..DEPTH_MAX {
        estimate = estimate.saturating_mul(own_weight(at));
        match heaviest(at) {
            Some(next) => at = next,
            None if estimate <= WEIGHT_MAX || weigh(value, WEIGHT_MAX, 0).is_some() => return None,
            None => return Some("the jq program builds a value that is too large"),
        }
    }
    Some("the jq program nests values deeper than 200")
}

/// What is left of a budget after everything in a value; nothing when it is too heavy or too deep.
fn weigh(value: &Val, budget: usize, depth: usize) -> Option<usize> {
    if depth > DEPTH_MAX {
        return None;
    }
    let left = budget.checked_sub(own_weight(value))?;
    match value {
        Val::Arr(items) => items.iter().try_fold(left, |left, item| weigh(item, left, depth + 1)),
        Val::Obj(map) => map.values().try_fold(left, |left, item| weigh(item, left, depth + 1)),
        _ => Some(left),
    }
}

fn fault(state: &State, value: &Val) -> Option<&'static str> {
    if state.steps > STEPS_MAX {
        return Some("the jq program takes more than 1000000 steps");
    }
    if state.steps.is_multiple_of(STEPS_PER_CLOCK)
        && SystemClock.instant().saturating_duration_since(state.started) >= state.limit
    {
        return Some("the jq program runs longer than it may");
    }
    if state.stack.abs_diff(stack_place()) > STACK_BYTES_MAX {
        return Some("the jq program recurses too deep");
    }
    if state.passed_bytes > PASSED_BYTES_MAX {
        return Some("the jq program copies more than 2 GiB");
    }
    match value {
        Val::TStr(text) | Val::BStr(text) if text.len() > TEXT_BYTES_MAX => {
            Some("the jq program builds a text of more than 8 MiB")
        }
        Val::Arr(_) | Val::Obj(_) => oversized(value),
        _ => None,
    }
}

fn tick(value: &Val) -> Option<&'static str> {
    let mut state = STATE.get()?;
    state.steps = state.steps.saturating_add(1);
    state.passed_bytes = state.passed_bytes.saturating_add(own_weight(value).saturating_mul(16));
    if state.stopped.is_none() {
        state.stopped = fault(&state, value);
    }
    STATE.set(Some(state));
    state.stopped
}

/// Whether a text repeated so often is too long.
fn too_long(text: &Val, times: &Val) -> bool {
    let (Val::TStr(text) | Val::BStr(text), Val::Num(number)) = (text, times) else { return false };
    let times: f64 = number.to_string().parse().unwrap_or(f64::INFINITY);
    text.len() as f64 * times > TEXT_BYTES_MAX as f64
}

fn stop(why: &'static str) {
    if let Some(state) = STATE.get() {
        STATE.set(Some(State { stopped: Some(why), ..state }));
    }
}

/// The natives of the limits, and what stands for natives a rule must not have.
pub(super) fn natives() -> Vec<Fun<data::JustLut<Val>>> {
    type D = data::JustLut<Val>;
    vec![
        (
            TICK_CHECK,
            v(0),
            Native::<D>::new(|cv| match tick(&cv.1) {
                None => bome(Ok(Val::Null)),
                Some(_) => Box::new(std::iter::once(Err(Exn::halt(1)))),
            }),
        ),
        (
            TIMES_CHECK,
            v(2),
            Native::<D>::new(|mut cv| {
                let (right, left) = (cv.0.pop_var(), cv.0.pop_var());
                if too_long(&left, &right) || too_long(&right, &left) {
                    stop("the jq program builds a text of more than 8 MiB");
                    return Box::new(std::iter::once(Err(Exn::halt(1))));
                }
                bome(Ok(Val::Null))
            }),
        ),
        (
            "now",
            v(0),
            Native::<D>::new(|_| {
                let ns = STATE.get().map_or(0, |state| state.now_ns);
                bome(Ok(Val::from((ns / 1000) as f64 / 1e6)))
            }),
        ),
        ("env", v(0), Native::<D>::new(|_| bome(Err(Error::str("a rule cannot read the environment"))))),
        ("halt", v(1), Native::<D>::new(|_| bome(Err(Error::str("a rule cannot halt"))))),
        ("debug_empty", v(0), Native::<D>::new(|_| Box::new(std::iter::empty()))),
        ("stderr_empty", v(0), Native::<D>::new(|_| Box::new(std::iter::empty()))),
    ]
}

/// Natives of the library that the ones above replace.
pub(super) const REPLACED: [&str; 5] = ["now", "env", "halt", "debug_empty", "stderr_empty"];
