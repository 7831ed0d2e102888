//! Functions with a memory: a key-value store that all rules share, a dictionary for each client, and the environment.
//!
//! The memory is a [`State`], owned by whoever makes the [`Context`](super::Context); without one it is the process's
//! own. It is in memory only: a restart empties it.
//!
//! Invariants: both maps are bounded in entries and in the bytes of an entry. The store refuses a new key when it is
//! full, because its values are meant to stay; the dictionaries give up the oldest entry, because a client's values end
//! with its connection anyway. Both are counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use model::{Map, Str, Value};

use super::args::{arg, text, wrong};
use super::{Context, EventFunction, Function, FunctionError, Outcome, Purity};

/// Entries of the store, and entries of all dictionaries together.
const STATE_ENTRIES_MAX: usize = 100_000;
/// Bytes of a key and its value as JSON.
const ENTRY_BYTES_MAX: usize = 64 * 1024;
/// What the name of an environment variable must begin with to be read by a rule, as in the later EMQ X versions.
const ENVIRONMENT_PREFIX: &str = "EMQXVAR_";

/// The memory of the functions that have one.
#[derive(Debug, Default)]
pub struct State {
    store: Mutex<Map>,
    dictionaries: Mutex<Map>,
    refused: AtomicU64,
    evicted: AtomicU64,
}

impl State {
    /// The memory of the process.
    pub fn shared() -> &'static Arc<State> {
        static SHARED: LazyLock<Arc<State>> = LazyLock::new(Arc::default);
        &SHARED
    }

    /// How many writes of `kv_store_put` were refused because the store was full.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// How many entries of clients' dictionaries made room for others.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }
}

/// A map that a panicking thread left is still a map: each change is one call.
fn locked(map: &Mutex<Map>) -> MutexGuard<'_, Map> {
    map.lock().unwrap_or_else(PoisonError::into_inner)
}

const fn client(
    signature: &'static str,
    name: &'static str,
    arity: (usize, usize),
    helper: &'static Function,
    doc: &'static str,
) -> Function {
    Function::new(signature, name, arity, resolved, doc).event(EventFunction::Client(helper)).purity(Purity::External)
}

const KEY_NULLS: &str = "null is a key like others; a missing key fails the row";

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(
        "kv_store_put(key, value) -> value",
        "kv_store_put",
        (2, 2),
        store_put,
        "Keeps a value under a key for all rules, until the process ends, and gives it. A full store (100000 keys) fails the row.",
    )
    .purity(Purity::External)
    .nulls(KEY_NULLS)
    .example("kv_store_put('k', 1) = 1"),
    Function::new(
        "kv_store_get(key[, default]) -> value",
        "kv_store_get",
        (1, 2),
        store_get,
        "The value kept under a key, else the default.",
    )
    .purity(Purity::External)
    .nulls("a key without a value gives the default, or missing")
    .example("kv_store_get('k', 0) = 1"),
    Function::new(
        "kv_store_del(key) -> boolean",
        "kv_store_del",
        (1, 1),
        store_del,
        "Forgets the value kept under a key; true, whether there was one or not.",
    )
    .purity(Purity::External)
    .nulls(KEY_NULLS)
    .example("kv_store_del('k') = true"),
    client(
        "proc_dict_put(key, value) -> value",
        "proc_dict_put",
        (2, 2),
        &PUT,
        "Keeps a value under a key for the event's client and gives the one kept before. Of all clients together the latest 100000 are kept.",
    )
    .nulls(KEY_NULLS)
    .example("proc_dict_put('k', 1) = missing, at first"),
    client(
        "proc_dict_get(key) -> value",
        "proc_dict_get",
        (1, 1),
        &GET,
        "The value kept under a key for the event's client.",
    )
    .nulls("a key without a value gives missing")
    .example("proc_dict_get('k') = 1"),
    client(
        "proc_dict_del(key) -> value",
        "proc_dict_del",
        (1, 1),
        &DEL,
        "Forgets the value kept under a key for the event's client, and gives it.",
    )
    .nulls("a key without a value gives missing")
    .example("proc_dict_del('k') = 1"),
    Function::new(
        "getenv(name) -> text",
        "getenv",
        (1, 1),
        getenv,
        "The environment variable EMQXVAR_ followed by the name; empty when it is not set. No other variable can be read.",
    )
    .purity(Purity::External)
    .example("getenv('SITE') = 'plant-1'"),
];

/// Calls of `proc_dict_…` after the client was read: it is their first argument.
static PUT: Function =
    Function::new("proc_dict_put(key, value) -> value", "proc_dict_put", (3, 3), dict_put, "").purity(Purity::External);
static GET: Function =
    Function::new("proc_dict_get(key) -> value", "proc_dict_get", (2, 2), dict_get, "").purity(Purity::External);
static DEL: Function =
    Function::new("proc_dict_del(key) -> value", "proc_dict_del", (2, 2), dict_del, "").purity(Purity::External);

fn resolved(_: &Context, _: &[Value]) -> Outcome {
    Err(FunctionError::new("this function belongs to the client of an event and can only be used in a rule"))
}

/// The key as JSON, so that `1`, `1.0` and `'1'` are three keys.
fn key(args: &[Value], index: usize) -> Result<String, FunctionError> {
    match arg(args, index) {
        Value::Missing => wrong(args, index, "a key"),
        Value::Bytes(bytes) => Ok(format!("0x{}", super::bitstring::upper_hex(bytes))),
        key => Ok(key.to_json().to_string()),
    }
}

/// Fails for an entry that is too large to be kept.
fn bounded(key: &str, value: &Value) -> Result<(), FunctionError> {
    let bytes = match value {
        Value::Text(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(_) | Value::Map(_) => value.to_json().to_string().len(),
        _ => 0,
    };
    if key.len().saturating_add(bytes) > ENTRY_BYTES_MAX {
        return Err(FunctionError(format!("a key and its value may have at most {ENTRY_BYTES_MAX} bytes")));
    }
    Ok(())
}

fn store_put(context: &Context, args: &[Value]) -> Outcome {
    let (key, value) = (key(args, 0)?, arg(args, 1));
    bounded(&key, value)?;
    let mut store = locked(&context.state().store);
    if store.len() >= STATE_ENTRIES_MAX && !store.contains_key(key.as_str()) {
        context.state().refused.fetch_add(1, Ordering::Relaxed);
        return Err(FunctionError(format!("the store is full: it has {STATE_ENTRIES_MAX} keys")));
    }
    store.insert(Str::new(&key), value.clone());
    Ok(value.clone())
}

fn store_get(context: &Context, args: &[Value]) -> Outcome {
    let found = locked(&context.state().store).get(key(args, 0)?.as_str()).cloned();
    Ok(found.unwrap_or_else(|| arg(args, 1).clone()))
}

fn store_del(context: &Context, args: &[Value]) -> Outcome {
    locked(&context.state().store).swap_remove(key(args, 0)?.as_str());
    Ok(Value::Bool(true))
}

/// The key of a client's entry. JSON text has no control characters, so the two parts stay apart.
fn client_key(args: &[Value]) -> Result<String, FunctionError> {
    let client = match arg(args, 0) {
        Value::Text(client) => client.as_str(),
        _ => "",
    };
    Ok(format!("{}\n{client}", key(args, 1)?))
}

fn dict_put(context: &Context, args: &[Value]) -> Outcome {
    let (key, value) = (client_key(args)?, arg(args, 2));
    bounded(&key, value)?;
    let mut dictionaries = locked(&context.state().dictionaries);
    if dictionaries.len() >= STATE_ENTRIES_MAX && !dictionaries.contains_key(key.as_str()) {
        dictionaries.swap_remove_index(0);
        context.state().evicted.fetch_add(1, Ordering::Relaxed);
    }
    Ok(dictionaries.insert(Str::new(&key), value.clone()).unwrap_or(Value::Missing))
}

fn dict_get(context: &Context, args: &[Value]) -> Outcome {
    Ok(locked(&context.state().dictionaries).get(client_key(args)?.as_str()).cloned().unwrap_or(Value::Missing))
}

fn dict_del(context: &Context, args: &[Value]) -> Outcome {
    Ok(locked(&context.state().dictionaries).swap_remove(client_key(args)?.as_str()).unwrap_or(Value::Missing))
}

fn getenv(_: &Context, args: &[Value]) -> Outcome {
    let name = text(args, 0)?;
    // A name with `=` or NUL is no name; asking the system for it may panic.
    if name.contains(['=', '\0']) {
        return wrong(args, 0, "the name of an environment variable");
    }
    Ok(Value::text(std::env::var(format!("{ENVIRONMENT_PREFIX}{name}")).unwrap_or_default()))
}
