//! gzip (RFC 1952), raw deflate (RFC 1951, `zip`) and zlib (RFC 1950, `zip_compress`).

use std::io::Read;

use flate2::Compression;
use flate2::read::{DeflateDecoder, DeflateEncoder, GzDecoder, GzEncoder, ZlibDecoder, ZlibEncoder};
use model::Value;

use super::args::binary;
use super::{Context, Function, FunctionError, Outcome};
use crate::view::text_or_bytes;

/// A decompressed value may have this many bytes, so that a small payload cannot fill the memory.
const DECOMPRESSED_BYTES_MAX: u64 = 64 * 1024 * 1024;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("gzip(value) -> bytes", "gzip", (1, 1), gzip, "The value compressed as gzip.")
        .example("gunzip(gzip('a')) = 'a'"),
    Function::new(
        "gunzip(bytes) -> text",
        "gunzip",
        (1, 1),
        gunzip,
        "What gzip stands for: text when it is UTF-8, else bytes.",
    )
    .example("gunzip(gzip('a')) = 'a'"),
    Function::new("zip(value) -> bytes", "zip", (1, 1), zip, "The value compressed as raw deflate.")
        .example("unzip(zip('a')) = 'a'"),
    Function::new("unzip(bytes) -> text", "unzip", (1, 1), unzip, "What raw deflate stands for.")
        .example("unzip(zip('a')) = 'a'"),
    Function::new(
        "zip_compress(value) -> bytes",
        "zip_compress",
        (1, 1),
        zip_compress,
        "The value compressed as zlib.",
    )
    .example("zip_uncompress(zip_compress('a')) = 'a'"),
    Function::new("zip_uncompress(bytes) -> text", "zip_uncompress", (1, 1), zip_uncompress, "What zlib stands for.")
        .example("zip_uncompress(zip_compress('a')) = 'a'"),
];

fn compressed(mut encoder: impl Read) -> Outcome {
    let mut out = Vec::new();
    encoder.read_to_end(&mut out).map_err(|error| FunctionError(format!("cannot compress: {error}")))?;
    Ok(Value::Bytes(out.into()))
}

fn decompressed(decoder: impl Read) -> Outcome {
    let mut out = Vec::new();
    decoder
        .take(DECOMPRESSED_BYTES_MAX + 1)
        .read_to_end(&mut out)
        .map_err(|error| FunctionError(format!("cannot decompress: {error}")))?;
    if out.len() as u64 > DECOMPRESSED_BYTES_MAX {
        return Err(FunctionError(format!("the decompressed value has more than {DECOMPRESSED_BYTES_MAX} bytes")));
    }
    Ok(text_or_bytes(out))
}

fn gzip(_: &Context, args: &[Value]) -> Outcome {
    compressed(GzEncoder::new(binary(args, 0)?, Compression::default()))
}

fn gunzip(_: &Context, args: &[Value]) -> Outcome {
    decompressed(GzDecoder::new(binary(args, 0)?))
}

fn zip(_: &Context, args: &[Value]) -> Outcome {
    compressed(DeflateEncoder::new(binary(args, 0)?, Compression::default()))
}

fn unzip(_: &Context, args: &[Value]) -> Outcome {
    decompressed(DeflateDecoder::new(binary(args, 0)?))
}

fn zip_compress(_: &Context, args: &[Value]) -> Outcome {
    compressed(ZlibEncoder::new(binary(args, 0)?, Compression::default()))
}

fn zip_uncompress(_: &Context, args: &[Value]) -> Outcome {
    decompressed(ZlibDecoder::new(binary(args, 0)?))
}
