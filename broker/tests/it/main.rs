//! The broker over real sockets: bytes in, bytes out. One binary; every test has its own broker on a free port.

mod admission;
mod client;
mod connect;
mod limits;
mod publish;
mod real_clients;
mod sessions;
mod strictness;
mod subscriptions;
