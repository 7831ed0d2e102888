//! The text between two branchings of the trie: one or more levels of a filter. Up to [`INLINE_BYTES`] lie in the node
//! itself, which holds most and saves an allocation for each.

/// Bytes that need no allocation.
const INLINE_BYTES: usize = 22;

/// One or more levels, joined with `/`. A single empty level is the empty text.
#[derive(Debug)]
pub(super) enum Label {
    Inline { len: u8, bytes: [u8; INLINE_BYTES] },
    Heap(Box<[u8]>),
}

impl Label {
    /// Copies `text`.
    pub(super) fn new(text: &[u8]) -> Self {
        let mut bytes = [0; INLINE_BYTES];
        match bytes.get_mut(..text.len()) {
            Some(place) => {
                place.copy_from_slice(text);
                Self::Inline { len: text.len() as u8, bytes }
            }
            None => Self::Heap(text.into()),
        }
    }

    /// `self/tail`.
    pub(super) fn joined(&self, tail: &Self) -> Self {
        Self::new(&[self.bytes(), b"/", tail.bytes()].concat())
    }

    /// The text.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Inline { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Self::Heap(bytes) => bytes,
        }
    }
}

/// The first level of `text`, and the rest behind its `/` if there is one.
pub(super) fn split_level(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|byte| *byte == b'/') {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
        None => (text, None),
    }
}

/// The longest run of whole levels that `a` and `b` begin with, in bytes without a `/` at its end; `None` when the first
/// levels differ already.
pub(super) fn common_levels(a: &[u8], b: &[u8]) -> Option<usize> {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let ends = |text: &[u8]| text.get(same).is_none_or(|byte| *byte == b'/');
    if ends(a) && ends(b) {
        return Some(same);
    }
    // Differs within a level: everything before that level is common.
    a.get(..same)?.iter().rposition(|byte| *byte == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_hold_any_length() {
        for len in 0..60 {
            let text = "abc/".repeat(15);
            let text = &text.as_bytes()[..len];
            assert_eq!(Label::new(text).bytes(), text);
        }
        assert_eq!(Label::new(b"a/+").joined(&Label::new(b"")).bytes(), b"a/+/");
        assert_eq!(size_of::<Label>(), 24);
    }

    #[test]
    fn common_runs_are_whole_levels() {
        for (a, b, expected) in [
            ("a/b", "a/c", Some(1)),
            ("a/b", "a/b", Some(3)),
            ("a/b", "a/b/c", Some(3)),
            ("a/b", "a/bc", Some(1)),
            ("ab", "ac", None),
            ("", "", Some(0)),
            ("", "/a", Some(0)),
            ("/a", "/b", Some(0)),
            ("a", "", None),
            ("a//b", "a//c", Some(2)),
        ] {
            assert_eq!(common_levels(a.as_bytes(), b.as_bytes()), expected, "{a} {b}");
            assert_eq!(common_levels(b.as_bytes(), a.as_bytes()), expected, "{b} {a}");
        }
    }
}
