//! Tests of the store through its public form, on real files.

mod faults;
mod folder;
mod full_disk;
mod kv;
mod log;
mod queue;
mod support;
