//! The engine through its handle: rules, admission, republishing, restart, the tester.

mod admission;
mod lifecycle;
mod republish;
mod server;
mod tester;
