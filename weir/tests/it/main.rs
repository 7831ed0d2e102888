//! The binary as its users meet it: the server's start and stop, the API over real sockets, the text of the commands.

mod api;
mod commands;
mod offline;
mod server;
mod support;
