//! The data types of MQTT, read from the front of a slice (MQTT 5.0 §1.5).

use super::Error;

/// A cursor over the body of one packet.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Everything that is left.
    pub(super) fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (head, tail) = self.rest.split_at_checked(len).ok_or(Error::malformed("the packet ends inside a field"))?;
        self.rest = tail;
        Ok(head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Error> {
        let (&byte, tail) = self.rest.split_first().ok_or(Error::malformed("the packet ends inside a field"))?;
        self.rest = tail;
        Ok(byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Error> {
        Ok(u16::from(self.u8()?) << 8 | u16::from(self.u8()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from(self.u16()?) << 16 | u32::from(self.u16()?))
    }

    /// A variable byte integer, in its shortest form [MQTT-1.5.5-1].
    pub(super) fn varint(&mut self) -> Result<u32, Error> {
        let mut value = 0u32;
        for position in 0..4 {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7f) << (7 * position);
            if byte & 0x80 == 0 {
                if byte == 0 && position > 0 {
                    return Err(Error::malformed("a variable byte integer is not minimal [MQTT-1.5.5-1]"));
                }
                return Ok(value);
            }
        }
        Err(Error::malformed("a variable byte integer is longer than four bytes"))
    }

    /// Binary data with a two-byte length.
    pub(super) fn binary(&mut self) -> Result<&'a [u8], Error> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    /// A UTF-8 string without U+0000 [MQTT-1.5.4-1, -2].
    pub(super) fn text(&mut self) -> Result<&'a str, Error> {
        as_text(self.binary()?)
    }

    /// A UTF-8 string that is a name; see [`as_name`].
    pub(super) fn name(&mut self) -> Result<&'a str, Error> {
        as_name(self.binary()?)
    }

    /// A packet identifier, which is never 0 [MQTT-2.2.1-3].
    pub(super) fn packet_id(&mut self, on_zero: Error) -> Result<u16, Error> {
        match self.u16()? {
            0 => Err(on_zero),
            id => Ok(id),
        }
    }

    /// Refuses bytes after the last field.
    pub(super) fn end(&self) -> Result<(), Error> {
        if self.rest.is_empty() { Ok(()) } else { Err(Error::malformed("bytes follow the last field of the packet")) }
    }
}

fn as_text(bytes: &[u8]) -> Result<&str, Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::malformed("a string is not UTF-8 [MQTT-1.5.4-1]"))?;
    if bytes.contains(&0) {
        return Err(Error::malformed("a string contains U+0000 [MQTT-1.5.4-2]"));
    }
    Ok(text)
}

/// A UTF-8 string that is a name: topics, filters, client ids, user names. The standard lets a server refuse control
/// characters and non-characters (MQTT 5.0 §1.5.4), and in names they serve only to deceive logs.
pub(super) fn as_name(bytes: &[u8]) -> Result<&str, Error> {
    let text = as_text(bytes)?;
    // All characters of concern are below 0x20, 0x7f, or start with a byte ≥ 0xc2.
    let suspicious = |byte: &u8| *byte < 0x20 || *byte >= 0x7f;
    if bytes.iter().any(suspicious) && text.chars().any(|c| c.is_control() || is_noncharacter(c)) {
        return Err(Error::malformed("a name contains a control character or a non-character"));
    }
    Ok(text)
}

fn is_noncharacter(c: char) -> bool {
    let code = u32::from(c);
    (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe
}
