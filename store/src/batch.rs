//! The bytes of a [`Batch`] inside one record. No I/O.
//!
//! ```text
//! version:u8 = 1  writer:u128 wseq:u64 count:u32  then count times  shard:u16 version:u16 len:u32 body[len]
//! ```

use bytes::{BufMut, Bytes, BytesMut};

use crate::format::{u16_at, u32_at, u64_at, u128_at};
use crate::log::{Batch, Entry, ShardId, WriterId};

const VERSION: u8 = 1;
const HEAD_BYTES: usize = 29;
const ENTRY_HEAD_BYTES: usize = 8;

/// Why a whole record is not a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Version(u8),
    Malformed,
}

/// Bytes the batch takes.
pub(crate) fn encoded_len(batch: &Batch) -> usize {
    HEAD_BYTES + batch.entries.iter().map(|entry| ENTRY_HEAD_BYTES + entry.body.len()).sum::<usize>()
}

/// Encodes a batch. The caller has bounded [`encoded_len`] by 32 bits, so every length fits.
pub(crate) fn encode(batch: &Batch) -> Bytes {
    let mut out = BytesMut::with_capacity(encoded_len(batch));
    out.put_u8(VERSION);
    out.put_u128_le(batch.writer.0);
    out.put_u64_le(batch.wseq);
    out.put_u32_le(u32::try_from(batch.entries.len()).unwrap_or(u32::MAX));
    for entry in &batch.entries {
        out.put_u16_le(entry.shard.0);
        out.put_u16_le(entry.version);
        out.put_u32_le(u32::try_from(entry.body.len()).unwrap_or(u32::MAX));
        out.put_slice(&entry.body);
    }
    out.freeze()
}

/// Writer and number of an encoded batch.
pub(crate) fn peek(record: &[u8]) -> Result<(WriterId, u64), Fault> {
    match record.first() {
        Some(&VERSION) => {}
        Some(version) => return Err(Fault::Version(*version)),
        None => return Err(Fault::Malformed),
    }
    let writer = u128_at(record, 1).ok_or(Fault::Malformed)?;
    let wseq = u64_at(record, 17).ok_or(Fault::Malformed)?;
    Ok((WriterId(writer), wseq))
}

/// Decodes a batch; the bodies share the record's memory.
pub(crate) fn decode(record: &Bytes) -> Result<Batch, Fault> {
    let (writer, wseq) = peek(record)?;
    let count = u32_at(record, 25).ok_or(Fault::Malformed)?;
    let mut entries = Vec::new();
    let mut at = HEAD_BYTES;
    for _ in 0..count {
        let head = (u16_at(record, at), u16_at(record, at + 2), u32_at(record, at + 4));
        let (Some(shard), Some(version), Some(len)) = head else { return Err(Fault::Malformed) };
        let start = at + ENTRY_HEAD_BYTES;
        let end = start + len as usize;
        if end > record.len() {
            return Err(Fault::Malformed);
        }
        entries.push(Entry { shard: ShardId(shard), version, body: record.slice(start..end) });
        at = end;
    }
    if at != record.len() {
        return Err(Fault::Malformed);
    }
    Ok(Batch { writer, wseq, entries })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn batch() -> impl Strategy<Value = Batch> {
        let entry = (any::<u16>(), any::<u16>(), proptest::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(shard, version, body)| Entry { shard: ShardId(shard), version, body: body.into() });
        (any::<u128>(), any::<u64>(), proptest::collection::vec(entry, 0..8))
            .prop_map(|(writer, wseq, entries)| Batch { writer: WriterId(writer), wseq, entries })
    }

    proptest! {
        #[test]
        fn a_batch_comes_back(batch in batch()) {
            let bytes = encode(&batch);
            prop_assert_eq!(bytes.len(), encoded_len(&batch));
            prop_assert_eq!(peek(&bytes), Ok((batch.writer, batch.wseq)));
            prop_assert_eq!(decode(&bytes), Ok(batch));
        }

        #[test]
        fn a_cut_or_lengthened_batch_is_malformed(batch in batch(), cut in any::<prop::sample::Index>()) {
            let bytes = encode(&batch);
            let cut = cut.index(bytes.len());
            prop_assert_eq!(decode(&bytes.slice(..cut)), Err(Fault::Malformed));
            let mut longer = bytes.to_vec();
            longer.push(0);
            prop_assert_eq!(decode(&longer.into()), Err(Fault::Malformed));
        }

        #[test]
        fn any_bytes_decode_or_not_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            decode(&bytes.into()).ok();
        }
    }

    #[test]
    fn another_version_says_so() {
        assert_eq!(peek(&[7; 40]), Err(Fault::Version(7)));
    }
}
