//! Tests of the store through its public form, on real files.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod faults;
mod folder;
mod full_disk;
mod kv;
mod log;
mod queue;
mod support;
