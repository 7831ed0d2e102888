//! What the end-to-end tests stand on: starting, stopping and killing the real binary, and an independent MQTT publisher.
//!
//! Nothing here looks inside the server: everything goes through its command line, its HTTP API and its MQTT listener.

pub mod mqtt;
pub mod server;
pub mod services;
pub mod session;
