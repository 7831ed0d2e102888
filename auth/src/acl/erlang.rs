//! Erlang terms, as far as files of rules use them: tuples, lists, atoms, strings, binaries; comments behind `%`.
//!
//! Invariants: reading never panics and never recurses deeper than [`DEPTH_MAX`]; every term knows its place. What the
//! terms mean is the business of `erlang_rules.rs`.

use super::problem::{Place, Problem};

/// Tuples and lists inside each other.
const DEPTH_MAX: usize = 16;

/// One term.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Term {
    pub(super) kind: Kind,
    pub(super) place: Place,
}

/// What a term is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Atom(String),
    Text(String),
    Tuple(Vec<Term>),
    List(Vec<Term>),
}

impl Kind {
    /// How messages call it.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Atom(name) => format!("the atom {name}"),
            Self::Text(text) => format!("the text {text:?}"),
            Self::Tuple(_) => "a tuple {…}".to_owned(),
            Self::List(_) => "a list […]".to_owned(),
        }
    }
}

/// Reads terms that each end with a full stop; at most `count_max` of them.
pub(super) fn read(text: &str, count_max: usize) -> Result<Vec<Term>, Problem> {
    let mut reader = Reader { text, at: 0, known: (0, Place { line: 1, column: 1 }) };
    let mut terms = Vec::new();
    loop {
        reader.skip_blank();
        if reader.peek().is_none() {
            return Ok(terms);
        }
        if terms.len() >= count_max {
            return Err(
                reader.wrong(format!("more than {count_max} rules; raise auth.acl_rules_max or shorten the file"))
            );
        }
        terms.push(reader.term(0)?);
        reader.skip_blank();
        reader.expect('.', "every rule ends with a full stop, as in {allow, all}.")?;
    }
}

struct Reader<'a> {
    text: &'a str,
    /// Byte offset of the next character.
    at: usize,
    /// A place that was computed before, so that the next one need not be counted from the front.
    known: (usize, Place),
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at..).and_then(|rest| rest.chars().next())
    }

    fn next(&mut self) -> Option<char> {
        let found = self.peek()?;
        self.at += found.len_utf8();
        Some(found)
    }

    fn place(&mut self) -> Place {
        let (from, mut place) = self.known;
        for found in self.text.get(from..self.at).unwrap_or_default().chars() {
            if found == '\n' {
                place = Place { line: place.line + 1, column: 1 };
            } else {
                place.column += 1;
            }
        }
        self.known = (self.at, place);
        place
    }

    fn wrong(&self, message: impl Into<String>) -> Problem {
        Problem::at(Place::of(self.text, self.at), message)
    }

    fn skip_blank(&mut self) {
        while let Some(found) = self.peek() {
            if found == '%' {
                let rest = self.text.get(self.at..).unwrap_or_default();
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if found.is_whitespace() || found == '\u{feff}' {
                self.at += found.len_utf8();
            } else {
                return;
            }
        }
    }

    fn expect(&mut self, wanted: char, remedy: &str) -> Result<(), Problem> {
        match self.peek() {
            Some(found) if found == wanted => {
                self.at += found.len_utf8();
                Ok(())
            }
            Some(found) => Err(self.wrong(format!("expected {wanted:?}, found {found:?}; {remedy}"))),
            None => Err(self.wrong(format!("expected {wanted:?}, found the end of the file; {remedy}"))),
        }
    }

    fn term(&mut self, depth: usize) -> Result<Term, Problem> {
        self.skip_blank();
        let place = self.place();
        if depth > DEPTH_MAX {
            return Err(self.wrong(format!("tuples and lists are more than {DEPTH_MAX} deep")));
        }
        let kind = match self.peek() {
            Some('{') => Kind::Tuple(self.items('{', '}', depth)?),
            Some('[') => Kind::List(self.items('[', ']', depth)?),
            Some('"') => Kind::Text(self.quoted('"')?),
            Some('\'') => Kind::Atom(self.quoted('\'')?),
            Some('<') => Kind::Text(self.binary()?),
            Some(found) if found.is_ascii_lowercase() => Kind::Atom(self.atom()),
            Some(found) if found.is_ascii_uppercase() || found == '_' => {
                return Err(self.wrong(format!(
                    "{found:?} begins a variable, and a file of rules has none; write words in small letters, texts in \"…\""
                )));
            }
            Some(found) => {
                return Err(self.wrong(format!("{found:?} begins no term; expected {{…}}, […], \"text\" or a word")));
            }
            None => return Err(self.wrong("a term is missing at the end of the file")),
        };
        Ok(Term { kind, place })
    }

    fn items(&mut self, open: char, close: char, depth: usize) -> Result<Vec<Term>, Problem> {
        self.next();
        let mut items = Vec::new();
        self.skip_blank();
        if self.peek() == Some(close) {
            self.next();
            return Ok(items);
        }
        loop {
            items.push(self.term(depth + 1)?);
            self.skip_blank();
            match self.peek() {
                Some(',') => {
                    self.next();
                }
                Some(found) if found == close => {
                    self.next();
                    return Ok(items);
                }
                Some(found) => {
                    return Err(
                        self.wrong(format!("expected ',' or {close:?} after an item of {open}, found {found:?}"))
                    );
                }
                None => return Err(self.wrong(format!("{open:?} is not closed; a {close:?} is missing"))),
            }
        }
    }

    fn atom(&mut self) -> String {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '@')).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default().to_owned()
    }

    fn quoted(&mut self, quote: char) -> Result<String, Problem> {
        let opened = self.place();
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                Some(found) if found == quote => return Ok(text),
                Some('\\') => text.push(self.escaped()?),
                Some('\n') | None => {
                    return Err(Problem::at(opened, format!("{quote} is not closed on its line")));
                }
                Some(found) => text.push(found),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, Problem> {
        match self.next() {
            Some('n') => Ok('\n'),
            Some('t') => Ok('\t'),
            Some('r') => Ok('\r'),
            Some('s') => Ok(' '),
            Some(found @ ('\\' | '"' | '\'')) => Ok(found),
            Some(found) => Err(self.wrong(format!("\\{found} is no escape; write \\\\ for a backslash"))),
            None => Err(self.wrong("the file ends in a text")),
        }
    }

    /// `<<"text">>` or `<<"text"/utf8>>`
    fn binary(&mut self) -> Result<String, Problem> {
        let remedy = "a binary is <<\"text\">>";
        self.expect('<', remedy)?;
        self.expect('<', remedy)?;
        self.skip_blank();
        if self.peek() != Some('"') {
            return Err(self.wrong(remedy));
        }
        let text = self.quoted('"')?;
        if self.text.get(self.at..).is_some_and(|rest| rest.starts_with("/utf8")) {
            self.at += "/utf8".len();
        }
        self.skip_blank();
        self.expect('>', remedy)?;
        self.expect('>', remedy)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> (usize, usize, String) {
        let problem = read(text, 3).unwrap_err();
        let place = problem.place.unwrap();
        (place.line, place.column, problem.message)
    }

    #[test]
    fn terms_of_every_kind_are_read() {
        let terms =
            read("%% a comment\n{allow, 'quoted atom', \"a\\\"b\", <<\"bin\"/utf8>>, [x, []]}. % end\n", 3).unwrap();
        let [Term { kind: Kind::Tuple(items), place }] = &terms[..] else { panic!("{terms:?}") };
        assert_eq!((place.line, place.column), (2, 1));
        let kinds: Vec<String> = items.iter().map(|item| item.kind.describe()).collect();
        let expected =
            ["the atom allow", "the atom quoted atom", "the text \"a\\\"b\"", "the text \"bin\"", "a list […]"];
        assert_eq!(kinds, expected);
        assert_eq!(items[4].place, Place { line: 2, column: 48 });
    }

    #[test]
    fn problems_have_a_place_and_a_remedy() {
        for (text, line, column, says) in [
            ("{allow, all}", 1, 13, "ends with a full stop"),
            ("{allow, all}.\n{deny all}.", 2, 7, "expected ',' or '}'"),
            ("{allow, \"all}.\n", 1, 9, "not closed on its line"),
            ("{allow, All}.", 1, 9, "variable"),
            ("{allow, (all)}.", 1, 9, "begins no term"),
            ("{allow, all", 1, 12, "is not closed"),
            ("\n\n  {allow, <all>}.", 3, 12, "a binary is"),
            ("{allow, \"a\\qb\"}.", 1, 13, "no escape"),
            ("{}. {}. {}. {}.", 1, 13, "more than 3 rules"),
        ] {
            let (at_line, at_column, message) = problem(text);
            assert_eq!((at_line, at_column), (line, column), "{text}: {message}");
            assert!(message.contains(says), "{text}: {message}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        assert!(
            read(&format!("{}{}.", "[".repeat(100_000), "]".repeat(100_000)), 1).unwrap_err().message.contains("deep")
        );
    }
}
