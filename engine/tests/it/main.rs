//! The engine through its handle: rules, admission, republishing, restart, the tester.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod admission;
mod change;
mod letters;
mod lifecycle;
mod outside;
mod republish;
mod server;
mod tester;
