//! A position in a JSON text and the reading of one value from it.

use std::borrow::Cow;

use model::{Map, Str, Value};

use super::JsonError;

/// Values may nest this deep.
pub const DEPTH_MAX: usize = 128;

/// A JSON text that is valid UTF-8, and how far it has been read.
pub(super) struct Cursor<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, JsonError> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Self { text, bytes, at: 0 }),
            Err(error) => Err(JsonError { reason: "not UTF-8 text", at: error.valid_up_to() }),
        }
    }

    /// Back to the beginning.
    pub(super) fn rewind(&mut self) {
        self.at = 0;
    }

    /// The whole text.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The byte it is at.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Whether everything has been read, blanks included.
    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Passes over exactly these bytes; `None` when others follow.
    #[inline]
    pub(super) fn pass(&mut self, literal: &[u8]) -> Option<()> {
        let end = self.at + literal.len();
        if self.bytes.get(self.at..end)? != literal {
            return None;
        }
        self.at = end;
        Some(())
    }

    pub(super) fn error<T>(&self, reason: &'static str) -> Result<T, JsonError> {
        Err(JsonError { reason, at: self.at })
    }

    /// The next byte that is no blank, left where it is.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    pub(super) fn finish(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.error("something after the end of the document"),
        }
    }

    /// Steps into an object or list: true when it has a first entry.
    #[inline]
    pub(super) fn open(&mut self, close: u8, depth: usize) -> Result<bool, JsonError> {
        if depth >= DEPTH_MAX {
            return self.error("nested too deep");
        }
        self.at += 1;
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(false);
        }
        Ok(true)
    }

    /// After an entry: true when another follows, false at the closing byte.
    #[inline]
    pub(super) fn another(&mut self, close: u8) -> Result<bool, JsonError> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => self.error("expected a comma or the end of the list or object"),
        }
    }

    /// A key and its colon.
    #[inline]
    pub(super) fn key(&mut self) -> Result<Cow<'a, str>, JsonError> {
        if self.peek() != Some(b'"') {
            return self.error("expected a key in double quotes");
        }
        let key = self.string()?;
        if self.peek() != Some(b':') {
            return self.error("expected a colon after the key");
        }
        self.at += 1;
        Ok(key)
    }

    /// The value at the cursor.
    pub(super) fn value(&mut self, depth: usize) -> Result<Value, JsonError> {
        match self.peek() {
            Some(b'{') => {
                let mut map = Map::default();
                let mut more = self.open(b'}', depth)?;
                while more {
                    let key = self.key()?;
                    let value = self.value(depth + 1)?;
                    map.insert(Str::new(&key), value);
                    more = self.another(b'}')?;
                }
                Ok(Value::Map(map.into()))
            }
            Some(b'[') => {
                let mut items = Vec::new();
                let mut more = self.open(b']', depth)?;
                while more {
                    items.push(self.value(depth + 1)?);
                    more = self.another(b']')?;
                }
                Ok(Value::list(items))
            }
            Some(b'"') => self.string().map(|text| Value::text(text.as_ref())),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(_) => self.error("expected a value"),
            None => self.error("the document ends where a value should be"),
        }
    }

    /// Passes over a value, checking it.
    pub(super) fn skip(&mut self, depth: usize) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'{') => {
                let mut more = self.open(b'}', depth)?;
                while more {
                    self.key()?;
                    self.skip(depth + 1)?;
                    more = self.another(b'}')?;
                }
                Ok(())
            }
            Some(b'[') => {
                let mut more = self.open(b']', depth)?;
                while more {
                    self.skip(depth + 1)?;
                    more = self.another(b']')?;
                }
                Ok(())
            }
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => match self.short_number() {
                Some(_) => Ok(()),
                None => self.number_text().map(drop),
            },
            _ => self.value(depth).map(drop),
        }
    }

    fn word(&mut self, word: &'static str, value: Value) -> Result<Value, JsonError> {
        if self.bytes.get(self.at..self.at + word.len()) != Some(word.as_bytes()) {
            return self.error("expected a value");
        }
        self.at += word.len();
        Ok(value)
    }

    #[inline]
    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        self.at - start
    }

    /// The text of a number and whether it is an integer.
    fn number_text(&mut self) -> Result<(&'a str, bool), JsonError> {
        let start = self.at;
        if self.bytes.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        let leading_zero = self.bytes.get(self.at) == Some(&b'0');
        let whole = self.digits();
        if whole == 0 || (leading_zero && whole > 1) {
            return self.error("malformed number");
        }
        let mut integer = true;
        if self.bytes.get(self.at) == Some(&b'.') {
            integer = false;
            self.at += 1;
            if self.digits() == 0 {
                return self.error("malformed number");
            }
        }
        if matches!(self.bytes.get(self.at), Some(b'e' | b'E')) {
            integer = false;
            self.at += 1;
            if matches!(self.bytes.get(self.at), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return self.error("malformed number");
            }
        }
        Ok((self.text.get(start..self.at).unwrap_or_default(), integer))
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        if let Some(value) = self.short_number() {
            return Ok(value);
        }
        let (text, integer) = self.number_text()?;
        if integer {
            // Up to 18 digits fit without a check; -0 is the integer 0.
            if text.len() <= 18 {
                let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
                let n = digits.bytes().fold(0_i64, |n, digit| n * 10 + i64::from(digit - b'0'));
                return Ok(Value::Int(if negative { -n } else { n }));
            }
            return Ok(Value::from_number_text(text));
        }
        match text.parse::<f64>() {
            Ok(f) if f.is_finite() => Ok(Value::Float(f)),
            _ => self.error("number too large"),
        }
    }

    /// A number of at most 15 digits without exponent, which is nearly every number. Its digits and the power of ten of its
    /// point are exact doubles then, so that one division gives the nearest double (Clinger 1990). `None`, and nothing
    /// read, for any other.
    #[inline]
    fn short_number(&mut self) -> Option<Value> {
        const POWERS: [f64; 16] =
            [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
        let rest = self.bytes.get(self.at..)?;
        let negative = rest.first() == Some(&b'-');
        let digits = rest.get(usize::from(negative)..)?;
        let (mut number, mut len, mut point) = (0_i64, 0_usize, None);
        for byte in digits {
            match byte {
                b'0'..=b'9' => number = number.wrapping_mul(10).wrapping_add(i64::from(byte - b'0')),
                b'.' if point.is_none() => point = Some(len),
                b'.' | b'e' | b'E' => return None,
                _ => break,
            }
            len += 1;
            if len > 16 {
                return None;
            }
        }
        let whole = point.unwrap_or(len);
        let leading_zero = digits.first() == Some(&b'0');
        if whole == 0 || (leading_zero && whole > 1) {
            return None;
        }
        let value = match point {
            None if len > 15 => return None,
            None => Value::Int(if negative { -number } else { number }),
            Some(point) => {
                let fraction = len - point - 1;
                let power = POWERS.get(fraction).filter(|_| fraction > 0)?;
                let magnitude = number as f64 / power;
                Value::Float(if negative { -magnitude } else { magnitude })
            }
        };
        self.at += usize::from(negative) + len;
        Some(value)
    }

    /// Passes over eight bytes at a time while none of them ends a string or needs a look.
    #[inline]
    fn skip_plain(&mut self) {
        const ONES: u64 = u64::from_ne_bytes([1; 8]);
        const HIGHS: u64 = ONES << 7;
        let zero_byte = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
        while let Some(chunk) = self.bytes.get(self.at..self.at + 8) {
            let Ok(chunk) = <[u8; 8]>::try_from(chunk) else { return };
            let word = u64::from_ne_bytes(chunk);
            let quote = zero_byte(word ^ (ONES * u64::from(b'"')));
            let escape = zero_byte(word ^ (ONES * u64::from(b'\\')));
            let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
            if quote | escape | control != 0 {
                return;
            }
            self.at += 8;
        }
    }

    /// The string at the cursor; borrowed when it has no escapes.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.at += 1;
        let start = self.at;
        loop {
            self.skip_plain();
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    let text = self.text.get(start..self.at).unwrap_or_default();
                    self.at += 1;
                    return Ok(Cow::Borrowed(text));
                }
                Some(b'\\') => break,
                Some(0..=0x1f) => return self.error("control character inside a string"),
                Some(_) => self.at += 1,
                None => return self.error("the document ends inside a string"),
            }
        }
        let mut unescaped = self.text.get(start..self.at).unwrap_or_default().to_owned();
        loop {
            let run = self.at;
            while self.bytes.get(self.at).is_some_and(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
                self.at += 1;
            }
            unescaped.push_str(self.text.get(run..self.at).unwrap_or_default());
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(unescaped));
                }
                Some(b'\\') => unescaped.push(self.escape()?),
                Some(_) => return self.error("control character inside a string"),
                None => return self.error("the document ends inside a string"),
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        self.at += 1;
        let byte = self.bytes.get(self.at).copied();
        self.at += 1;
        Ok(match byte {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return self.error("unknown escape in a string"),
        })
    }

    fn hex4(&mut self) -> Result<u32, JsonError> {
        let digits =
            self.text.get(self.at..self.at + 4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
            Some(unit) => {
                self.at += 4;
                Ok(unit)
            }
            None => self.error("malformed \\u escape"),
        }
    }

    fn unicode(&mut self) -> Result<char, JsonError> {
        let unit = self.hex4()?;
        if (0xd800..0xdc00).contains(&unit) && self.bytes.get(self.at..self.at + 2) == Some(b"\\u") {
            self.at += 2;
            let low = self.hex4()?;
            if (0xdc00..0xe000).contains(&low) {
                let code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                if let Some(c) = char::from_u32(code) {
                    return Ok(c);
                }
            }
            return self.error("unpaired surrogate in a string");
        }
        match char::from_u32(unit) {
            Some(c) => Ok(c),
            None => self.error("unpaired surrogate in a string"),
        }
    }
}
