//! The broker over real sockets: bytes in, bytes out. One binary; every test has its own broker on a free port.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test that meets the unexpected is to fail where it stands; a panic in a spawned part must reach the test"
)]

mod admission;
mod client;
mod connect;
mod limits;
mod numbers;
mod publish;
mod real_clients;
mod sessions;
mod shared;
mod strictness;
mod subscriptions;
mod topics;
mod zones;
