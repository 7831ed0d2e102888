//! Text: case, trimming, lengths, parts, padding and joining. Positions and lengths count what a person sees as
//! characters (grapheme clusters).

use model::Value;
use unicode_segmentation::UnicodeSegmentation;

use super::args::{arg, count, list, text, word, wrong};
use super::{Context, Function, FunctionError, MANY, Outcome};
use crate::ops;

/// Padding makes texts of at most this many characters.
const PAD_CHARS_MAX: usize = 1_000_000;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("lower(text) -> text", "lower", (1, 1), lower, "The text in lower case.")
        .example("lower('AB') = 'ab'"),
    Function::new("upper(text) -> text", "upper", (1, 1), upper, "The text in upper case.")
        .example("upper('ab') = 'AB'"),
    Function::new(
        "trim(text[, chars]) -> text",
        "trim",
        (1, 2),
        trim,
        "The text without blanks (or the given characters) at both ends.",
    )
    .example("trim(' a ') = 'a'"),
    Function::new(
        "ltrim(text[, chars]) -> text",
        "ltrim",
        (1, 2),
        ltrim,
        "The text without blanks (or the given characters) at its start.",
    )
    .example("ltrim(' a ') = 'a '"),
    Function::new(
        "rtrim(text[, chars]) -> text",
        "rtrim",
        (1, 2),
        rtrim,
        "The text without blanks (or the given characters) at its end.",
    )
    .example("rtrim(' a ') = ' a'"),
    Function::new("reverse(text) -> text", "reverse", (1, 1), reverse, "The text backwards.")
        .example("reverse('abc') = 'cba'"),
    Function::new("strlen(text) -> integer", "strlen", (1, 1), strlen, "How many characters the text has.")
        .example("strlen('你好') = 2"),
    Function::new(
        "substr(text, start[, length]) -> text",
        "substr",
        (2, 3),
        substr,
        "A part of the text; positions count from 0.",
    )
    .example("substr('abcd', 1, 2) = 'bc'"),
    Function::new(
        "concat(value, …) -> text",
        "concat",
        (1, MANY),
        concat,
        "The texts of the values, or of the items of a single list, one after the other.",
    )
    .example("concat('a', 1) = 'a1'"),
    Function::new(
        "pad(text, length[, 'trailing'|'leading'|'both'[, fill]]) -> text",
        "pad",
        (2, 4),
        pad,
        "The text with as many copies of fill (a blank) as it has characters too few.",
    )
    .example("pad('a', 3, 'leading', '0') = '00a'"),
    Function::new(
        "replace(text, part, by[, 'all'|'leading'|'trailing']) -> text",
        "replace",
        (3, 4),
        replace,
        "The text with all (or the first, or the last) occurrences of part replaced.",
    )
    .example("replace('a b', ' ', '-') = 'a-b'"),
    Function::new(
        "find(text, part[, 'leading'|'trailing']) -> text",
        "find",
        (2, 3),
        find,
        "The rest of the text from the first (or last) occurrence of part on; empty when there is none.",
    )
    .example("find('acbcd', 'c') = 'cbcd'"),
    Function::new("ascii(text) -> integer", "ascii", (1, 1), ascii, "The code of the first character.")
        .example("ascii('a') = 97"),
    Function::new(
        "rm_prefix(text, prefix) -> text",
        "rm_prefix",
        (2, 2),
        rm_prefix,
        "The text without the prefix, if it begins with it.",
    )
    .example("rm_prefix('ab', 'a') = 'b'"),
    Function::new(
        "join_to_string([separator, ]list) -> text",
        "join_to_string",
        (1, 2),
        join_to_string,
        "The texts of a list's items with a separator (', ') between them.",
    )
    .example("join_to_string('-', [1, 2]) = '1-2'"),
    Function::new(
        "join_to_sql_values_string(list) -> text",
        "join_to_sql_values_string",
        (1, 1),
        join_to_sql,
        "The items as SQL literals with ', ' between them. For showing; sinks bind values.",
    )
    .example("join_to_sql_values_string(['a', 1]) = '''a'', 1'"),
];

fn lower(_: &Context, args: &[Value]) -> Outcome {
    Ok(Value::text(text(args, 0)?.to_lowercase()))
}

fn upper(_: &Context, args: &[Value]) -> Outcome {
    Ok(Value::text(text(args, 0)?.to_uppercase()))
}

fn trimmed(args: &[Value], start: bool, end: bool) -> Outcome {
    let source = text(args, 0)?;
    let chars: Option<Vec<char>> = if args.len() > 1 { Some(text(args, 1)?.chars().collect()) } else { None };
    let cut = |c: char| chars.as_ref().map_or_else(|| c.is_whitespace(), |chars| chars.contains(&c));
    let mut rest = source.as_ref();
    if start {
        rest = rest.trim_start_matches(cut);
    }
    if end {
        rest = rest.trim_end_matches(cut);
    }
    Ok(Value::text(rest))
}

fn trim(_: &Context, args: &[Value]) -> Outcome {
    trimmed(args, true, true)
}

fn ltrim(_: &Context, args: &[Value]) -> Outcome {
    trimmed(args, true, false)
}

fn rtrim(_: &Context, args: &[Value]) -> Outcome {
    trimmed(args, false, true)
}

fn reverse(_: &Context, args: &[Value]) -> Outcome {
    Ok(Value::text(text(args, 0)?.graphemes(true).rev().collect::<String>()))
}

fn length_of(text: &str) -> usize {
    text.graphemes(true).count()
}

fn strlen(_: &Context, args: &[Value]) -> Outcome {
    Ok(Value::Int(length_of(&text(args, 0)?) as i64))
}

fn substr(_: &Context, args: &[Value]) -> Outcome {
    let source = text(args, 0)?;
    let start = count(args, 1)?;
    let length = if args.len() > 2 { count(args, 2)? } else { usize::MAX };
    Ok(Value::text(source.graphemes(true).skip(start).take(length).collect::<String>()))
}

fn concat(_: &Context, args: &[Value]) -> Outcome {
    let mut joined = String::new();
    let pieces = match args {
        [Value::List(items)] => items.as_slice(),
        _ => args,
    };
    for (index, value) in pieces.iter().enumerate() {
        match ops::text_of(value) {
            Ok(text) => joined.push_str(&text),
            Err(_) => return wrong(pieces, index, "something with a text"),
        }
    }
    Ok(Value::text(joined))
}

fn pad(_: &Context, args: &[Value]) -> Outcome {
    let source = text(args, 0)?;
    let length = count(args, 1)?;
    if length > PAD_CHARS_MAX {
        return wrong(args, 1, "at most 1000000");
    }
    let place = word(args, 2, &["trailing", "leading", "both"])?.unwrap_or("trailing");
    let fill = if args.len() > 3 { text(args, 3)? } else { " ".into() };
    let short = length.saturating_sub(length_of(&source));
    let (before, after) = match place {
        "leading" => (short, 0),
        "both" => (short / 2, short - short / 2),
        _ => (0, short),
    };
    Ok(Value::text(format!("{}{source}{}", fill.repeat(before), fill.repeat(after))))
}

fn replace(_: &Context, args: &[Value]) -> Outcome {
    let (source, part, by) = (text(args, 0)?, text(args, 1)?, text(args, 2)?);
    let which = word(args, 3, &["all", "leading", "trailing"])?.unwrap_or("all");
    if part.is_empty() {
        return Ok(Value::text(source.as_ref()));
    }
    Ok(Value::text(match which {
        "leading" => source.replacen(part.as_ref(), &by, 1),
        "trailing" => match source.rsplit_once(part.as_ref()) {
            Some((before, after)) => format!("{before}{by}{after}"),
            None => source.into_owned(),
        },
        _ => source.replace(part.as_ref(), &by),
    }))
}

fn find(_: &Context, args: &[Value]) -> Outcome {
    let (source, part) = (text(args, 0)?, text(args, 1)?);
    if part.is_empty() {
        return Ok(Value::text(source.as_ref()));
    }
    let at = match word(args, 2, &["leading", "trailing"])?.unwrap_or("leading") {
        "trailing" => source.rfind(part.as_ref()),
        _ => source.find(part.as_ref()),
    };
    Ok(Value::text(at.and_then(|at| source.get(at..)).unwrap_or_default()))
}

fn ascii(_: &Context, args: &[Value]) -> Outcome {
    match text(args, 0)?.chars().next() {
        Some(first) => Ok(Value::Int(i64::from(u32::from(first)))),
        None => wrong(args, 0, "text with at least one character"),
    }
}

fn rm_prefix(_: &Context, args: &[Value]) -> Outcome {
    let (source, prefix) = (text(args, 0)?, text(args, 1)?);
    Ok(Value::text(source.strip_prefix(prefix.as_ref()).unwrap_or(&source)))
}

fn join_to_string(_: &Context, args: &[Value]) -> Outcome {
    let (separator, items) =
        if args.len() == 1 { (", ".into(), list(args, 0)?) } else { (text(args, 0)?, list(args, 1)?) };
    let texts = items.iter().map(ops::text_of).collect::<Result<Vec<_>, _>>()?;
    Ok(Value::text(texts.join(separator.as_ref())))
}

fn sql_literal(value: &Value) -> Result<String, FunctionError> {
    let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
    Ok(match value {
        Value::Missing | Value::Null => "NULL".to_owned(),
        Value::Text(text) => quoted(text),
        Value::Bytes(bytes) => format!("0x{}", super::bitstring::upper_hex(bytes)),
        Value::List(_) | Value::Map(_) => quoted(&ops::text_of(value)?),
        plain => ops::text_of(plain)?.into_owned(),
    })
}

fn join_to_sql(_: &Context, args: &[Value]) -> Outcome {
    let literals = list(args, 0)?.iter().map(sql_literal).collect::<Result<Vec<_>, _>>()?;
    Ok(Value::text(literals.join(", ")))
}

/// The first argument as text of any value, for families that take anything.
pub(super) fn any_text(args: &[Value]) -> Result<std::borrow::Cow<'_, str>, FunctionError> {
    Ok(ops::text_of(arg(args, 0))?)
}
