//! Which subscriptions a topic name matches.

mod slots;
mod trie;

pub use slots::Slots;
pub use trie::{Matched, Trie};
