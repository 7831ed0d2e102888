//! Source names in the FROM clause of a rule.
//!
//! Only the names directly behind FROM are looked at; everything else of the SQL is left as it is, so that the SQL room
//! alone decides what is valid.

/// A name in FROM and the bytes it takes, quotes included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The names of the FROM clause, in order; empty when the text has none.
pub(crate) fn names(sql: &str) -> Vec<Name> {
    let tokens = tokens(sql);
    let is_from = |token: &&Token| {
        token.depth == 0 && matches!(&token.kind, Kind::Word(word) if word.eq_ignore_ascii_case("from"))
    };
    let Some(from) = tokens.iter().position(|token| is_from(&token)) else { return Vec::new() };
    let mut names = Vec::new();
    let mut rest = tokens.iter().skip(from + 1);
    while let Some(token) = rest.next() {
        match &token.kind {
            Kind::Word(text) | Kind::Quoted(text) => {
                names.push(Name { text: text.clone(), start: token.start, end: token.end })
            }
            Kind::Symbol(_) => break,
        }
        // A comma goes on with the next name; anything else ends the clause.
        if !rest.next().is_some_and(|token| matches!(token.kind, Kind::Symbol(','))) {
            break;
        }
    }
    names
}

/// The SQL with names replaced by other texts, and what was replaced: start, end, new length.
pub(crate) fn replace(sql: &str, by: impl Fn(&str) -> Option<String>) -> (String, Vec<(usize, usize, usize)>) {
    let mut out = String::with_capacity(sql.len());
    let mut replaced = Vec::new();
    let mut done = 0;
    for name in names(sql) {
        let Some(text) = by(&name.text) else { continue };
        out.push_str(sql.get(done..name.start).unwrap_or_default());
        out.push_str(&text);
        replaced.push((name.start, name.end, text.len()));
        done = name.end;
    }
    out.push_str(sql.get(done..).unwrap_or_default());
    (out, replaced)
}

struct Token {
    kind: Kind,
    start: usize,
    end: usize,
    /// Brackets open around it.
    depth: usize,
}

enum Kind {
    Word(String),
    Quoted(String),
    Symbol(char),
}

fn tokens(sql: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut depth = 0usize;
    let mut chars = sql.char_indices().peekable();
    while let Some((start, c)) = chars.next() {
        let kind = match c {
            _ if c.is_whitespace() => continue,
            '-' if sql.get(start..).is_some_and(|rest| rest.starts_with("--")) => {
                while chars.next_if(|(_, c)| *c != '\n').is_some() {}
                continue;
            }
            '\'' | '"' => {
                let mut text = String::new();
                while let Some((_, next)) = chars.next() {
                    // A doubled quote is the quote itself.
                    if next == c && chars.next_if(|(_, following)| *following == c).is_none() {
                        break;
                    }
                    text.push(next);
                }
                Kind::Quoted(text)
            }
            _ if c.is_alphanumeric() || c == '_' => {
                let mut word = String::from(c);
                while let Some((_, next)) = chars.next_if(|(_, c)| c.is_alphanumeric() || *c == '_') {
                    word.push(next);
                }
                Kind::Word(word)
            }
            '(' | '[' => {
                depth += 1;
                continue;
            }
            ')' | ']' => {
                depth = depth.saturating_sub(1);
                continue;
            }
            _ => Kind::Symbol(c),
        };
        let end = chars.peek().map_or(sql.len(), |(end, _)| *end);
        tokens.push(Token { kind, start, end, depth });
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_behind_from_are_replaced() {
        for (sql, expected) in [
            ("SELECT a FROM readings WHERE readings = 1", "SELECT a FROM «readings» WHERE readings = 1"),
            ("select * from \"readings\", 'other', \"t/#\"", "select * from «readings», «other», \"t/#\""),
            (
                "SELECT 'from x' AS a, f(b) -- from readings\nFROM\n  readings",
                "SELECT 'from x' AS a, f(b) -- from readings\nFROM\n  «readings»",
            ),
            ("SELECT \"it''s\" FROM other WHERE a IN (1, 2)", "SELECT \"it''s\" FROM «other» WHERE a IN (1, 2)"),
            ("SELECT 1", "SELECT 1"),
            ("SELECT ü FROM readings, 1 + ", "SELECT ü FROM «readings», 1 + "),
            ("FROM", "FROM"),
            ("SELECT 'open", "SELECT 'open"),
        ] {
            let known = |name: &str| matches!(name, "readings" | "other").then(|| format!("«{name}»"));
            assert_eq!(replace(sql, known).0, expected);
        }
    }
}
