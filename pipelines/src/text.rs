//! A scalar's text with the way back: from a position in the text to the place in the file, for every scalar style.

use std::sync::Arc;

use saphyr_parser::ScalarStyle;

use crate::problem::Place;
use crate::yaml::{Node, Scalar, Source, Value};

/// Text and where each of its characters comes from.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) value: String,
    source: Arc<Source>,
    /// Source character of each character of `value`, and one for its end.
    origins: Vec<usize>,
}

impl Text {
    /// The text of a scalar node; empty for anything else.
    pub(crate) fn new(source: &Arc<Source>, node: &Node) -> Self {
        let Value::Scalar(scalar) = &node.value else {
            return Self { value: String::new(), source: Arc::clone(source), origins: vec![node.start] };
        };
        Self { value: scalar.text.clone(), source: Arc::clone(source), origins: origins(source, node, scalar) }
    }

    /// The place of a byte of the text; a byte at or past the end is the end.
    pub(crate) fn place(&self, byte: usize) -> Place {
        let index = self.value.char_indices().take_while(|(start, _)| *start < byte).count();
        let last = self.origins.last().copied().unwrap_or(0);
        self.source.place(self.origins.get(index).copied().unwrap_or(last))
    }
}

/// Aligns the decoded text with the source. What YAML changes in a scalar are line breaks, indentation and escapes;
/// every other character stands in the source in the same order.
fn origins(source: &Source, node: &Node, scalar: &Scalar) -> Vec<usize> {
    let at = |index: usize| source.chars.get(index).copied();
    let mut cursor = node.start;
    match scalar.style {
        ScalarStyle::Literal | ScalarStyle::Folded => {
            // Some parsers start the scalar at the indicator, some at the content.
            if matches!(at(cursor), Some('|' | '>')) {
                while at(cursor).is_some_and(|c| c != '\n') {
                    cursor += 1;
                }
            }
        }
        ScalarStyle::SingleQuoted if at(cursor) == Some('\'') => cursor += 1,
        ScalarStyle::DoubleQuoted if at(cursor) == Some('"') => cursor += 1,
        _ => {}
    }
    let mut origins = Vec::with_capacity(scalar.text.chars().count() + 1);
    for wanted in scalar.text.chars() {
        if scalar.style == ScalarStyle::DoubleQuoted {
            cursor = skip_continuations(source, cursor);
            if at(cursor) == Some('\\') {
                origins.push(cursor);
                cursor += escape_length(at(cursor + 1));
                continue;
            }
        }
        if wanted.is_whitespace() {
            origins.push(cursor);
            // A blank stands for itself, or for a line break with the indentation around it.
            if at(cursor) == Some(wanted) {
                cursor += 1;
            }
            continue;
        }
        while cursor < node.end && at(cursor).is_some_and(|c| c != wanted && c.is_whitespace()) {
            cursor += 1;
        }
        origins.push(cursor);
        cursor += if scalar.style == ScalarStyle::SingleQuoted && wanted == '\'' { 2 } else { 1 };
    }
    origins.push(cursor.min(node.end.max(node.start)));
    origins
}

/// Skips `\` at the end of a line and the blanks that follow it.
fn skip_continuations(source: &Source, mut cursor: usize) -> usize {
    while source.chars.get(cursor) == Some(&'\\') && matches!(source.chars.get(cursor + 1), Some('\n' | '\r')) {
        cursor += 1;
        while source.chars.get(cursor).is_some_and(|c| c.is_whitespace()) {
            cursor += 1;
        }
    }
    cursor
}

fn escape_length(kind: Option<char>) -> usize {
    match kind {
        Some('x') => 4,
        Some('u') => 6,
        Some('U') => 10,
        _ => 2,
    }
}
