//! End-to-end tests: the real binary, real MQTT clients, real services. One test binary for all of them.

mod bad_input;
mod crash;
mod quickstart;
mod restart;
mod sinks;
mod support;
