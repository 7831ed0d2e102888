//! Digests, as lower-case hexadecimal text.

use model::Value;
use sha2::Digest;

use super::args::{arg, text, wrong};
use super::{Context, Function, FunctionError, Outcome};
use crate::ops;

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("md5(value) -> text", "md5", (1, 1), md5, "MD5.")
        .example("md5('') = 'd41d8cd98f00b204e9800998ecf8427e'"),
    Function::new("sha(value) -> text", "sha", (1, 1), sha, "SHA-1.")
        .aliases(&["sha1"])
        .example("sha('') = 'da39a3ee5e6b4b0d3255bfef95601890afd80709'"),
    Function::new("sha256(value) -> text", "sha256", (1, 1), sha256, "SHA-256.").example("sha256('a') = 'ca97…'"),
    Function::new(
        "hash(algorithm, value) -> text",
        "hash",
        (2, 2),
        hash,
        "A digest by name: md4, md5, ripemd160, sha, sha224 to sha512, sha3_224 to sha3_512, blake2b, blake2s.",
    )
    .example("hash('md5', 'a') = '0cc175b9c0f1b6a831c399e269772661'"),
];

fn digest<D: Digest>(bytes: &[u8]) -> String {
    super::bitstring::lower_hex(&D::digest(bytes))
}

fn by_name(name: &str, bytes: &[u8]) -> Option<String> {
    Some(match name {
        "md4" => digest::<md4::Md4>(bytes),
        "md5" => digest::<md5::Md5>(bytes),
        "ripemd160" => digest::<ripemd::Ripemd160>(bytes),
        "sha" | "sha1" => digest::<sha1::Sha1>(bytes),
        "sha224" => digest::<sha2::Sha224>(bytes),
        "sha256" => digest::<sha2::Sha256>(bytes),
        "sha384" => digest::<sha2::Sha384>(bytes),
        "sha512" => digest::<sha2::Sha512>(bytes),
        "sha3_224" => digest::<sha3::Sha3_224>(bytes),
        "sha3_256" => digest::<sha3::Sha3_256>(bytes),
        "sha3_384" => digest::<sha3::Sha3_384>(bytes),
        "sha3_512" => digest::<sha3::Sha3_512>(bytes),
        "blake2b" => digest::<blake2::Blake2b512>(bytes),
        "blake2s" => digest::<blake2::Blake2s256>(bytes),
        _ => return None,
    })
}

fn of(name: &str, value: &Value) -> Outcome {
    let bytes = ops::binary_of(value)?;
    by_name(name, &bytes).map(Value::text).ok_or_else(|| FunctionError(format!("there is no digest {name}")))
}

fn md5(_: &Context, args: &[Value]) -> Outcome {
    of("md5", arg(args, 0))
}

fn sha(_: &Context, args: &[Value]) -> Outcome {
    of("sha", arg(args, 0))
}

fn sha256(_: &Context, args: &[Value]) -> Outcome {
    of("sha256", arg(args, 0))
}

fn hash(_: &Context, args: &[Value]) -> Outcome {
    let name = text(args, 0)?.to_ascii_lowercase();
    if by_name(&name, &[]).is_none() {
        return wrong(args, 0, "the name of a digest");
    }
    of(&name, arg(args, 1))
}
