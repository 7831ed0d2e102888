//! The server's configuration: `weir.toml`, environment variables and flags become typed, documented settings.
//!
//! Every key is written once, in `schema`, with its type, default and documentation; the parser, `weir config show`
//! and the reference page (`docs/configuration.md`) all come from that one list.
//!
//! Invariants:
//! - Nothing is ignored: an unknown key or variable is an error with its place and the nearest known name.
//! - Every value knows where it came from ([`Origin`]).
//! - The defaults are safe: everything listens on 127.0.0.1, and an anonymous MQTT listener on another address is an
//!   error until it is asked for in so many words.
//! - This room reads no service and opens no socket; the binary maps [`Settings`] to what the other rooms need.

mod judge;
mod kind;
mod load;
mod problem;
mod reference;
mod schema;
mod toml_file;

pub use kind::{Anonymous, ByteSize, DropWhich, LogFormat, Named, Rewrite, ShareBy};
pub use load::{Given, Loaded, Shown, Sources, load};
pub use problem::{Error, Origin, Problem};
pub use reference::reference;
pub use schema::*;
