//! The shape of documents that were read before: the bytes between their values. Devices send the same document with other
//! values, so the next one is most likely compared piece by piece instead of being scanned key by key.
//!
//! Invariant: a document that follows a shape gives exactly what [`PathSet::extract`](super::PathSet) would read from it. The
//! pieces between the values are those of a document that was valid, the values are read and checked by the same code, and
//! anything unexpected gives the document back to the slow way, which also words the error.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arc_swap::ArcSwap;

/// Shapes that are kept for one set of paths.
const SHAPES_MAX: usize = 4;
/// A document with more values, or more bytes between them, is read the slow way.
const STEPS_MAX: usize = 256;
const LITERAL_BYTES_MAX: usize = 4096;
/// Of documents without a known shape, every n-th is learned from, so that traffic without any shape pays little for it.
const LEARN_EVERY: u32 = 16;

/// One step through a document.
#[derive(Debug)]
pub(super) enum Step {
    /// These bytes, exactly: braces, keys, colons, commas, blanks.
    Literal(Box<[u8]>),
    /// Any value. `node` is what is wanted from it; nothing: it is passed over.
    Value {
        /// Index of the node in its set of paths.
        node: Option<usize>,
        /// How deep the value lies.
        depth: usize,
    },
}

/// The shape of one document.
#[derive(Debug)]
pub(super) struct Shape(pub(super) Box<[Step]>);

/// Gathers the steps of a shape while a document is walked.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    steps: Vec<Step>,
    literal_bytes: usize,
    /// Where the bytes begin that no step holds yet.
    from: usize,
}

impl Recorder {
    /// The value between `start` and `end` of `document` is any value. `None`: the shape is too large to keep.
    pub(super) fn value(
        &mut self,
        document: &[u8],
        start: usize,
        end: usize,
        node: Option<usize>,
        depth: usize,
    ) -> Option<()> {
        self.literal(document.get(self.from..start)?)?;
        self.from = end;
        self.steps.push(Step::Value { node, depth });
        (self.steps.len() <= STEPS_MAX).then_some(())
    }

    /// The shape of the whole `document`.
    pub(super) fn finish(mut self, document: &[u8]) -> Option<Shape> {
        let rest = document.get(self.from..)?;
        self.literal(rest)?;
        Some(Shape(self.steps.into()))
    }

    fn literal(&mut self, bytes: &[u8]) -> Option<()> {
        self.literal_bytes += bytes.len();
        if !bytes.is_empty() {
            self.steps.push(Step::Literal(bytes.into()));
        }
        (self.literal_bytes <= LITERAL_BYTES_MAX).then_some(())
    }
}

/// The shapes of one set of paths, newest last. Shared by all workers that use the set.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    known: ArcSwap<Vec<Arc<Shape>>>,
    unknown_count: AtomicU32,
}

impl Shapes {
    /// What `follow` makes of the first shape that it accepts.
    pub(super) fn find<T>(&self, mut follow: impl FnMut(&Shape) -> Option<T>) -> Option<T> {
        self.known.load().iter().find_map(|shape| follow(shape))
    }

    /// Whether the shape of a document that followed none is to be learned.
    pub(super) fn wants_another(&self) -> bool {
        self.unknown_count.fetch_add(1, Ordering::Relaxed).is_multiple_of(LEARN_EVERY)
    }

    /// Keeps a shape; the oldest makes room.
    pub(super) fn learn(&self, shape: Shape) {
        let shape = Arc::new(shape);
        self.known.rcu(|known| {
            let surplus = (known.len() + 1).saturating_sub(SHAPES_MAX);
            known.iter().skip(surplus).chain([&shape]).cloned().collect::<Vec<_>>()
        });
    }
}

/// A copy learns for itself.
impl Clone for Shapes {
    fn clone(&self) -> Self {
        Self::default()
    }
}
