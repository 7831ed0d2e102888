//! The bytes of a segment file: a header, then records. No I/O.
//!
//! ```text
//! segment header, 32 bytes:  magic[8] version:u16 kind:u16 log:u32 base:u64 salt:u32 crc:u32
//! record:                    len:u32 seq:u64 body_crc:u32 head_crc:u32 body[len]
//! ```
//!
//! All numbers are little-endian. `head_crc` covers the 16 bytes before it, so a length is never believed that was not
//! written; `seq` is the record's own number, so a record in the wrong place is not served. Both CRC-32 start from the
//! segment's random `salt`: a payload that happens to contain a copy of a segment file cannot pass for records when
//! the search for the next whole record walks over it.

/// Length of the header of a segment file.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 32;
/// Length of the header of a record.
pub(crate) const RECORD_HEADER_BYTES: usize = 20;
/// The version this program writes and reads.
pub(crate) const VERSION: u16 = 1;

const MAGIC: [u8; 8] = *b"weirseg\0";

/// What a segment file is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An ordered log.
    Log,
    /// A disk queue.
    Queue,
}

impl Kind {
    fn code(self) -> u16 {
        match self {
            Self::Log => 1,
            Self::Queue => 2,
        }
    }
}

/// The header of a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) kind: Kind,
    pub(crate) log: u32,
    /// Number of the first record.
    pub(crate) base: u64,
    pub(crate) salt: u32,
}

/// Why a segment header is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// The bytes are not what was written.
    Damaged,
    /// Whole, and of another format version.
    Version(u16),
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.kind.code().to_le_bytes());
        bytes.extend_from_slice(&self.log.to_le_bytes());
        bytes.extend_from_slice(&self.base.to_le_bytes());
        bytes.extend_from_slice(&self.salt.to_le_bytes());
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeaderFault> {
        Self::decode_whole(bytes).unwrap_or(Err(HeaderFault::Damaged))
    }

    fn decode_whole(bytes: &[u8]) -> Option<Result<Self, HeaderFault>> {
        let covered = bytes.get(..SEGMENT_HEADER_BYTES - 4)?;
        if covered.get(..8)? != MAGIC || u32_at(bytes, 28)? != crc32fast::hash(covered) {
            return None;
        }
        let version = u16_at(bytes, 8)?;
        if version != VERSION {
            return Some(Err(HeaderFault::Version(version)));
        }
        let kind = match u16_at(bytes, 10)? {
            1 => Kind::Log,
            2 => Kind::Queue,
            _ => return None,
        };
        Some(Ok(Self { kind, log: u32_at(bytes, 12)?, base: u64_at(bytes, 16)?, salt: u32_at(bytes, 24)? }))
    }
}

/// The header of a record, believed only after its CRC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) len: u32,
    pub(crate) seq: u64,
    body_crc: u32,
}

impl RecordHeader {
    /// The header in the first bytes, or `None` if there is none.
    pub(crate) fn decode(bytes: &[u8], salt: u32) -> Option<Self> {
        let covered = bytes.get(..RECORD_HEADER_BYTES - 4)?;
        if u32_at(bytes, 16)? != crc(salt, covered) {
            return None;
        }
        Some(Self { len: u32_at(bytes, 0)?, seq: u64_at(bytes, 4)?, body_crc: u32_at(bytes, 12)? })
    }

    /// The number a header in these bytes would have, checked or not: a cheap first test for a search.
    pub(crate) fn peek_seq(bytes: &[u8]) -> Option<u64> {
        u64_at(bytes, 4)
    }

    /// Whether `body` is what was written.
    pub(crate) fn fits(&self, salt: u32, body: &[u8]) -> bool {
        body.len() as u64 == u64::from(self.len) && crc(salt, body) == self.body_crc
    }
}

/// Appends a framed record to `out`. The caller has checked that the body's length fits in 32 bits.
pub(crate) fn push_record(out: &mut Vec<u8>, salt: u32, seq: u64, body: &[u8]) {
    let start = out.len();
    let len = u32::try_from(body.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&seq.to_le_bytes());
    out.extend_from_slice(&crc(salt, body).to_le_bytes());
    let head_crc = crc(salt, out.get(start..).unwrap_or_default());
    out.extend_from_slice(&head_crc.to_le_bytes());
    out.extend_from_slice(body);
}

/// Bytes a record of this length takes in the file.
pub(crate) fn framed_len(body_len: usize) -> u64 {
    body_len as u64 + RECORD_HEADER_BYTES as u64
}

fn crc(salt: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    hasher.update(bytes);
    hasher.finalize()
}

fn chunk_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk::<N>().copied()
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    chunk_at(bytes, at).map(u16::from_le_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    chunk_at(bytes, at).map(u32::from_le_bytes)
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    chunk_at(bytes, at).map(u64::from_le_bytes)
}

pub(crate) fn u128_at(bytes: &[u8], at: usize) -> Option<u128> {
    chunk_at(bytes, at).map(u128::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: SegmentHeader = SegmentHeader { kind: Kind::Queue, log: 7, base: 42, salt: 0x5eed };

    #[test]
    fn a_segment_header_comes_back_and_no_flipped_bit_passes() {
        let bytes = HEADER.encode();
        assert_eq!(bytes.len(), SEGMENT_HEADER_BYTES);
        assert_eq!(SegmentHeader::decode(&bytes), Ok(HEADER));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&bad), Err(HeaderFault::Damaged), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert_eq!(SegmentHeader::decode(&bytes[..len]), Err(HeaderFault::Damaged), "{len} bytes");
        }
    }

    #[test]
    fn a_whole_header_of_another_version_says_so() {
        let mut bytes = HEADER.encode();
        bytes[8..10].copy_from_slice(&9u16.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), Err(HeaderFault::Version(9)));
    }

    #[test]
    fn no_flipped_bit_of_a_record_passes() {
        let mut bytes = Vec::new();
        push_record(&mut bytes, 3, 11, b"the body");
        let whole = |bytes: &[u8]| {
            RecordHeader::decode(bytes, 3)
                .is_some_and(|h| h.seq == 11 && bytes.get(RECORD_HEADER_BYTES..).is_some_and(|body| h.fits(3, body)))
        };
        assert!(whole(&bytes));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!whole(&bad), "bit {bit}");
        }
        assert_eq!(RecordHeader::decode(&bytes, 4), None, "another segment's salt");
    }
}
