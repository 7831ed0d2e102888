//! The binary as its users meet it: the server's start and stop, the API over real sockets, the text of the commands.
#![expect(clippy::expect_used, clippy::indexing_slicing, clippy::string_slice, reason = "a test fails by panicking")]

mod access;
mod api;
mod commands;
mod management;
mod offline;
mod server;
mod support;
