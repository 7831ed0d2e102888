//! End-to-end tests: the real binary, real MQTT clients, real services. One test binary for all of them.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking, and prints what it could not run"
)]

mod access;
mod bad_input;
mod crash;
mod quickstart;
mod restart;
mod sessions;
mod sinks;
mod support;
mod sys;
