//! Access control: who may connect, publish, subscribe and receive (manual §4.9, §9). Implements the ports
//! `Authenticate` and `Authorize` of `model` as chains of responsibility.
//!
//! ```text
//! CONNECT ──▶ ban list ──▶ login chain: users → anonymous      (or an exchange: SCRAM-SHA-256)
//! publish, subscribe, receive ──▶ access chain: acl (file or built-in rules)
//! ```
//!
//! Invariants:
//! - Nothing here knows the broker: whom a change concerns is told through `model::ports::LiveClients`.
//! - No error opens a door: what cannot be read at the start ends the start, what cannot be read later changes nothing,
//!   and a question that no link answers is answered with no.
//! - Passwords are kept as salted verifiers, compared in constant time, and never logged.
//! - Users, bans and watched clients are bounded.
//! - The name of a client never becomes a wildcard.
//!
//! Not here yet: links that ask databases, LDAP, HTTP or tokens (manual §9.8 to §9.14).

mod acl;
mod anonymous;
mod banned;
mod chain;
mod counters;
mod error;
mod flapping;
mod scram;
mod service;
mod users;

pub use acl::{AclSettings, BUILT_IN, Permission, Place, Problem};
pub use anonymous::AnonymousAccess;
pub use banned::{Ban, Banned, Target};
pub use chain::{AccessLink, LoginLink, LoginOpinion, Opinion};
pub use error::Error;
pub use service::{AclState, Auth, Settings};
pub use users::{NameKind, UserSettings, UserSummary, Users};
