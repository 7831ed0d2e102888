//! The types a setting can have. Every type has one text form, in which defaults, environment variables and TOML
//! values are all read, so that a value means the same wherever it is written.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use model::Qos;

/// A type of setting.
pub(crate) trait Kind: Sized {
    /// How the reference names the type, with its unit.
    const NAME: &'static str;
    /// Reads the text form. The error says what was expected.
    fn read(text: &str) -> Result<Self, String>;
    /// The text form.
    fn write(&self) -> String;
}

fn wrong<T>(wanted: &str, text: &str) -> Result<T, String> {
    Err(format!("expected {wanted}, found {text:?}"))
}

impl Kind for String {
    const NAME: &'static str = "text";
    fn read(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
    fn write(&self) -> String {
        self.clone()
    }
}

impl Kind for PathBuf {
    const NAME: &'static str = "path";
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() { wrong("a path", text) } else { Ok(Self::from(text)) }
    }
    fn write(&self) -> String {
        self.display().to_string()
    }
}

impl Kind for bool {
    const NAME: &'static str = "true or false";
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "true" | "on" => Ok(true),
            "false" | "off" => Ok(false),
            _ => wrong("true or false", text),
        }
    }
    fn write(&self) -> String {
        self.to_string()
    }
}

macro_rules! whole_numbers {
    ($($number:ty),*) => {$(
        impl Kind for $number {
            const NAME: &'static str = "whole number";
            fn read(text: &str) -> Result<Self, String> {
                let digits: String = text.chars().filter(|c| *c != '_').collect();
                digits.parse().or_else(|_| wrong(&format!("a whole number from 0 to {}", Self::MAX), text))
            }
            fn write(&self) -> String {
                self.to_string()
            }
        }
    )*};
}
whole_numbers!(u8, u16, u32, u64, usize);

impl Kind for f64 {
    const NAME: &'static str = "number";
    fn read(text: &str) -> Result<Self, String> {
        text.trim().parse().ok().filter(|number: &Self| number.is_finite()).map_or_else(|| wrong("a number", text), Ok)
    }
    fn write(&self) -> String {
        self.to_string()
    }
}

/// The empty text is nothing.
impl<K: Kind> Kind for Option<K> {
    const NAME: &'static str = K::NAME;
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() { Ok(None) } else { K::read(text).map(Some) }
    }
    fn write(&self) -> String {
        self.as_ref().map(Kind::write).unwrap_or_default()
    }
}

impl Kind for Qos {
    const NAME: &'static str = "0, 1 or 2";
    fn read(text: &str) -> Result<Self, String> {
        text.parse().ok().and_then(Self::from_u8).map_or_else(|| wrong("0, 1 or 2", text), Ok)
    }
    fn write(&self) -> String {
        (*self as u8).to_string()
    }
}

impl Kind for SocketAddr {
    const NAME: &'static str = "address:port";
    fn read(text: &str) -> Result<Self, String> {
        text.parse().or_else(|_| wrong("an address and port such as 127.0.0.1:1883 or [::1]:1883", text))
    }
    fn write(&self) -> String {
        self.to_string()
    }
}

impl Kind for Vec<SocketAddr> {
    const NAME: &'static str = "list of address:port";
    fn read(text: &str) -> Result<Self, String> {
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(SocketAddr::read).collect()
    }
    fn write(&self) -> String {
        self.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    }
}

/// The items of a list: separated by commas, of which `\,` is none.
fn items(text: &str) -> Vec<String> {
    let mut items = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(next) = chars.next() {
        match (next, items.last_mut()) {
            (',', _) => items.push(String::new()),
            ('\\', Some(item)) if chars.peek() == Some(&',') => item.extend(chars.next()),
            (_, Some(item)) => item.push(next),
            (_, None) => {}
        }
    }
    items.into_iter().map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.map(|item| item.replace(',', "\\,")).collect::<Vec<_>>().join(",")
}

/// A list of `name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named<K>(pub Vec<(String, K)>);

impl<K: Kind> Kind for Named<K> {
    const NAME: &'static str = "list of name=value";
    fn read(text: &str) -> Result<Self, String> {
        let read = |item: String| match item.rsplit_once('=') {
            Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), K::read(value.trim())?)),
            _ => wrong("name=value", &item),
        };
        items(text).into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }
    fn write(&self) -> String {
        list(self.0.iter().map(|(name, value)| format!("{name}={}", value.write())))
    }
}

/// A rule of topic rewriting: three words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// Topic filter.
    pub filter: String,
    /// Regular expression.
    pub expression: String,
    /// What the topic becomes.
    pub target: String,
}

impl Kind for Vec<Rewrite> {
    const NAME: &'static str = "list of `filter expression target`";
    fn read(text: &str) -> Result<Self, String> {
        let read = |item: String| {
            let mut words = item.split_whitespace().map(str::to_owned);
            match (words.next(), words.next(), words.next(), words.next()) {
                (Some(filter), Some(expression), Some(target), None) => Ok(Rewrite { filter, expression, target }),
                _ => wrong("three words, such as x/# ^x/y/(.+)$ z/y/$1 (a comma inside is written \\,)", &item),
            }
        };
        items(text).into_iter().map(read).collect()
    }
    fn write(&self) -> String {
        list(self.iter().map(|rule| format!("{} {} {}", rule.filter, rule.expression, rule.target)))
    }
}

impl Kind for Duration {
    const NAME: &'static str = "duration";
    fn read(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let parsed = text.split_at_checked(split).and_then(|(number, unit)| {
            let millis_per_unit = match unit.trim() {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return None,
            };
            number.parse::<u64>().ok()?.checked_mul(millis_per_unit)
        });
        parsed
            .map(Self::from_millis)
            .map_or_else(|| wrong("a duration with its unit, such as 500ms, 30s, 5m, 2h, 7d", text), Ok)
    }
    fn write(&self) -> String {
        let millis = self.as_millis();
        for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
            if millis != 0 && millis.is_multiple_of(size) {
                return format!("{}{unit}", millis / size);
            }
        }
        format!("{millis}ms")
    }
}

/// A size in bytes; written with KB, MB or GB, powers of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// The size as a `usize`, saturating where the machine's is smaller.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Kind for ByteSize {
    const NAME: &'static str = "size";
    fn read(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let parsed = text.split_at_checked(split).and_then(|(number, unit)| {
            let factor: u64 = match unit.trim().to_ascii_uppercase().as_str() {
                "" | "B" => 1,
                "KB" => 1 << 10,
                "MB" => 1 << 20,
                "GB" => 1 << 30,
                "TB" => 1 << 40,
                _ => return None,
            };
            number.parse::<u64>().ok()?.checked_mul(factor)
        });
        parsed.map(Self).map_or_else(|| wrong("a size such as 64KB, 16MB, 1GB", text), Ok)
    }
    fn write(&self) -> String {
        for (unit, shift) in [("TB", 40), ("GB", 30), ("MB", 20), ("KB", 10)] {
            if self.0 != 0 && self.0.trailing_zeros() >= shift {
                return format!("{}{unit}", self.0 >> shift);
            }
        }
        self.0.to_string()
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.write())
    }
}

macro_rules! choices {
    ($( $(#[doc = $doc:literal])* $name:ident ($kind:literal) { $( $(#[doc = $vdoc:literal])* $variant:ident = $word:literal ),* $(,)? } )*) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $( $(#[doc = $vdoc])* $variant ),* }

        impl Kind for $name {
            const NAME: &'static str = $kind;
            fn read(text: &str) -> Result<Self, String> {
                match text {
                    $( $word => Ok(Self::$variant), )*
                    _ => wrong(concat!("one of", $( " ", $word ),*), text),
                }
            }
            fn write(&self) -> String {
                match self { $( Self::$variant => $word ),* }.to_owned()
            }
        }
    )*};
}

choices! {
    /// On which listeners a client may connect without being authenticated.
    Anonymous("`loopback` or `everywhere`") {
        /// Only on listeners bound to a loopback address.
        Loopback = "loopback",
        /// On every listener, also one the network can reach.
        Everywhere = "everywhere",
    }
    /// How log lines look.
    LogFormat("`text` or `json`") {
        /// For people.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
    /// How a member of a shared subscription is chosen.
    ShareBy("`random`, `round_robin`, `sticky`, `hash`, `hash_clientid` or `hash_topic`") {
        /// Any connected member.
        Random = "random",
        /// One after the other.
        RoundRobin = "round_robin",
        /// The one that got the last message.
        Sticky = "sticky",
        /// By the publisher's client identifier; the manual's name for it.
        Hash = "hash",
        /// By the publisher's client identifier.
        HashClientId = "hash_clientid",
        /// By the topic.
        HashTopic = "hash_topic",
    }
    /// What a session's full queue drops.
    DropWhich("`drop_oldest` or `drop_newest`") {
        /// The message that has waited longest.
        Oldest = "drop_oldest",
        /// The message that has just come.
        Newest = "drop_newest",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_read_back_what_they_write() {
        for text in ["0ms", "500ms", "30s", "5m", "2h", "7d"] {
            assert_eq!(Duration::read(text).unwrap().write(), text);
        }
        for text in ["0", "1", "64KB", "16MB", "3GB"] {
            assert_eq!(ByteSize::read(text).unwrap().write(), text);
        }
        assert_eq!(Duration::read("1500ms").unwrap().write(), "1500ms");
    }

    #[test]
    fn lists_read_back_what_they_write() {
        for text in ["", "x/# ^x/y/(.+)$ z/y/$1", "a/# ^a{1\\,3}$ b,c/# ^c$ d"] {
            assert_eq!(Vec::<Rewrite>::read(text).unwrap().write(), text);
        }
        assert_eq!(Vec::<Rewrite>::read("a/# ^a{1\\,3}$ b").unwrap()[0].expression, "^a{1,3}$");
        assert!(Vec::<Rewrite>::read("a/# b").unwrap_err().contains("three words"));
        for text in ["", "g=sticky", "a=b=hash_topic,c=random"] {
            assert_eq!(Named::<ShareBy>::read(text).unwrap().write(), text);
        }
        assert!(Named::<u8>::read("topic").is_err() && Named::<u8>::read("=1").is_err());
    }

    #[test]
    fn a_duration_without_a_unit_is_refused() {
        assert!(Duration::read("30").unwrap_err().contains("with its unit"));
        assert!(Duration::read("99999999999999999999s").is_err());
        assert!(ByteSize::read("99999999999GB").is_err());
    }
}
