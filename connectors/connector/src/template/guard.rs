//! What a value of the row must not do: choose the place it is routed to, add a header line, leave its URL part.

use model::Row;

use super::{Part, Resolver, Template, push_slot};
use crate::{Error, ErrorKind};

/// Checks a routing field (topic, table, path) when the action is created: with a slot in it, it must begin with
/// literal text, so that no device can choose the destination freely, unless `allow_dynamic` says that this is wanted.
pub fn literal_prefix(field: &str, template: &Template, allow_dynamic: bool) -> Result<(), Error> {
    let starts_literal = matches!(template.parts().first(), None | Some(Part::Literal(_)));
    if starts_literal || allow_dynamic {
        return Ok(());
    }
    Err(Error::permanent(
        ErrorKind::Config,
        format!(
            "{field} begins with a value of the row, which would let a message choose any destination; \
             begin it with fixed text, or set allow_dynamic to true"
        ),
    ))
}

/// Checks the text of a header: CR, LF and other control characters would begin another header.
pub fn header_value(name: &str, text: &str) -> Result<(), Error> {
    if text.chars().any(|c| c.is_control() && c != '\t') {
        return Err(Error::permanent(
            ErrorKind::Rejected,
            format!("the value of header {name} has a line break or another control character in it"),
        ));
    }
    Ok(())
}

impl Template {
    /// The template as a URL: what comes from the row is percent-encoded, so it stays inside its path segment or query
    /// value. A value that is `.` or `..` is refused: no encoding keeps it from naming another path.
    pub fn url(&self, row: &Row) -> Result<String, Error> {
        let mut row = Resolver::new(row);
        let mut url = String::new();
        for part in self.parts() {
            match part {
                Part::Literal(text) => url.push_str(text),
                Part::Slot { path, default } => {
                    let mut text = String::new();
                    push_slot(&mut text, &row.value(path), default.as_deref());
                    if text == "." || text == ".." {
                        let slot = path.join(".");
                        let why =
                            format!("the value of ${{{slot}}} is {text:?}, which would change the path of the URL");
                        return Err(Error::permanent(ErrorKind::Rejected, why));
                    }
                    push_percent_encoded(&mut url, &text);
                }
            }
        }
        Ok(url)
    }
}

/// RFC 3986 §2.3: everything but the unreserved characters is encoded.
fn push_percent_encoded(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}
