//! Which subscriptions a topic name matches.

mod arena;
mod effective;
mod label;
mod rewrite;
mod slots;
mod trie;

pub(crate) use effective::{BadDelay, effective_filter, split_delay, split_share};
pub(crate) use rewrite::{BadTopic, Destination, Rewrites, Template};
pub use slots::Slots;
pub use trie::{Matched, Trie};
