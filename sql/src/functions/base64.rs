//! Base64 (RFC 4648), with or without padding, in the standard or the URL-safe alphabet.

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use model::Value;

use super::args::{binary, text, word};
use super::text::any_text;
use super::{Context, Function, FunctionError, Outcome};
use crate::view::text_or_bytes;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new(
        "base64_encode(value[, 'no_padding'][, 'urlsafe']) -> text",
        "base64_encode",
        (1, 3),
        encode,
        "Text or bytes in base64.",
    )
    .example("base64_encode('a') = 'YQ=='"),
    Function::new(
        "base64_decode(text[, 'no_padding'][, 'urlsafe']) -> text",
        "base64_decode",
        (1, 3),
        decode,
        "What base64 stands for: text when it is UTF-8, else bytes.",
    )
    .example("base64_decode('YQ==') = 'a'"),
];

fn engine(args: &[Value]) -> Result<GeneralPurpose, FunctionError> {
    let (mut padding, mut alphabet) = (true, STANDARD);
    for index in 1..args.len() {
        match word(args, index, &["no_padding", "urlsafe"])? {
            Some("no_padding") => padding = false,
            _ => alphabet = URL_SAFE,
        }
    }
    let mode = if padding { DecodePaddingMode::RequireCanonical } else { DecodePaddingMode::Indifferent };
    let config = GeneralPurposeConfig::new().with_encode_padding(padding).with_decode_padding_mode(mode);
    Ok(GeneralPurpose::new(&alphabet, config))
}

fn encode(_: &Context, args: &[Value]) -> Outcome {
    let engine = engine(args)?;
    Ok(Value::text(match args.first() {
        Some(Value::Text(_) | Value::Bytes(_)) => engine.encode(binary(args, 0)?),
        _ => engine.encode(any_text(args)?.as_bytes()),
    }))
}

fn decode(_: &Context, args: &[Value]) -> Outcome {
    let source = text(args, 0)?;
    let bytes = engine(args)?
        .decode(source.as_bytes())
        .map_err(|error| FunctionError(format!("the text is no base64: {error}")))?;
    Ok(text_or_bytes(bytes))
}
