//! `jq`: programs in jq's language over a value, run by the jaq crates.
//!
//! What it is not: a way out of the rule. The environment, the clock, standard error and `halt` are closed, and so are
//! modules; `now` is the time of the event.
//!
//! Invariants:
//! - A program ends: every loop passes a tick (see [`guard`]), which stops it at its time, its steps, the size of a text
//!   it builds, the depth of a value it builds, or the stack it uses.
//! - Compiled programs are kept per thread, at most [`PROGRAMS_MAX`].

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use jaq_core::{Ctx, Vars, data};
use jaq_json::Val;
use model::Value;

use super::args::{arg, text, wrong};
use super::{Context, Function, FunctionError, Outcome, Purity};
use crate::json;

mod convert;
mod guard;
mod program;

/// No program may run longer, whatever its third argument says: rules share their worker with others.
const TIME_MS_MAX: u64 = 1_000;
/// A program gives at most this many values.
const OUTPUTS_MAX: usize = 10_000;
/// A thread keeps this many compiled programs.
const PROGRAMS_MAX: usize = 64;

pub(super) const FUNCTIONS: &[Function] = &[Function::new(
    "jq(program, value[, milliseconds]) -> list",
    "jq",
    (2, 3),
    jq,
    "The list of what a jq program gives for a value; text is read as JSON. It may run 1000 ms, or less when the third argument says so.",
)
.purity(Purity::EventTime)
.nulls("null is a value like others; a missing value fails the row")
.example("jq('.[] | . * 2', [1, 2]) = [2, 4]")];

type Filter = jaq_core::Filter<data::JustLut<Val>>;

thread_local! {
    static PROGRAMS: RefCell<HashMap<String, Result<Rc<Filter>, String>>> = RefCell::new(HashMap::new());
}

/// The compiled program, from this thread's store when it was compiled before.
fn compiled(source: &str) -> Result<Rc<Filter>, String> {
    if let Some(known) = PROGRAMS.with_borrow(|programs| programs.get(source).cloned()) {
        return known;
    }
    let filter = program::compile(source).map(Rc::new);
    PROGRAMS.with_borrow_mut(|programs| {
        if programs.len() >= PROGRAMS_MAX {
            programs.clear();
        }
        programs.insert(source.to_owned(), filter.clone());
    });
    filter
}

fn time_limit(args: &[Value]) -> Result<Duration, FunctionError> {
    match arg(args, 2) {
        Value::Missing if args.len() < 3 => Ok(Duration::from_millis(TIME_MS_MAX)),
        Value::Int(ms) if *ms >= 0 => Ok(Duration::from_millis(ms.unsigned_abs().min(TIME_MS_MAX))),
        _ => wrong(args, 2, "a number of milliseconds"),
    }
}

fn jq(context: &Context, args: &[Value]) -> Outcome {
    let source = text(args, 0)?;
    let limit = time_limit(args)?;
    let input = match arg(args, 1) {
        Value::Missing => return wrong(args, 1, "a value"),
        Value::Text(text) => decoded(text.as_bytes())?,
        Value::Bytes(bytes) => decoded(bytes)?,
        other => other.clone(),
    };
    let filter = compiled(&source).map_err(|reason| FunctionError(format!("the jq program is not valid: {reason}")))?;
    let guard = guard::start(context.now_ns, limit);
    let input = convert::to_jq(&input)?;
    let mut outputs = Vec::new();
    let ctx = Ctx::<data::JustLut<Val>>::new(&filter.lut, Vars::new([]));
    for output in filter.id.run((ctx, input)) {
        let output = match output {
            Ok(output) => output,
            Err(exception) => {
                return Err(FunctionError(match (guard.stopped(), exception.get_err()) {
                    (Some(why), _) => why.to_owned(),
                    (None, Ok(error)) => format!("the jq program failed: {}", convert::error_text(error)),
                    (None, Err(_)) => "the jq program broke off".to_owned(),
                }));
            }
        };
        if outputs.len() >= OUTPUTS_MAX {
            return Err(FunctionError(format!("the jq program gives more than {OUTPUTS_MAX} values")));
        }
        if let Some(why) = guard.check(&output) {
            return Err(FunctionError(why.to_owned()));
        }
        outputs.push(convert::from_jq(&output)?);
    }
    Ok(Value::list(outputs))
}

fn decoded(bytes: &[u8]) -> Outcome {
    json::parse(bytes).map_err(|error| FunctionError(format!("argument 2 is no JSON: {error}")))
}
