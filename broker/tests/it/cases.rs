//! Byte-level conversations by clause, kept as text in `tests/cases/*.txt`. Every case has a broker of its own.
//!
//! ```text
//! == v3.1.1 v5 MQTT-3.12.4-1: what the case shows
//! with receive_maximum=2          settings that differ from the test defaults
//! a> 32 * "topic" #7 {} 'payload' client a sends; the first use of a client connects it (clean, version of the case)
//! a< 40 * #7 10                   and gets exactly this as its next packet; `..` at the end accepts any rest
//! a raw                           the next bytes of a go to a fresh socket, without CONNECT
//! a drop                          a vanishes without a word, and the server has noticed when this step is over
//! a open                          a gets nothing more, and its PINGREQ is answered
//! a closed                        a gets nothing more, and the server closes
//! ```
//!
//! Bytes: `8F02` hex, `61x300` a byte repeated, `*` the remaining length of what follows, `"text"` with its two-byte
//! length, `'text'` without, `#7` two bytes, `##7` four bytes, `%300` a variable byte integer, `{…}` a property list with
//! its length.

use std::collections::HashMap;
use std::path::PathBuf;

use broker::codec::{Version, frame, put_varint, with_length};
use broker::{Broker, Handle, Settings};

use crate::client::{Client, connect_packet, ports, settings, until};

/// One case for one version.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// File and line.
    pub(crate) place: String,
    pub(crate) version: Version,
    /// `MQTT-…` identifiers in the header.
    pub(crate) clauses: Vec<String>,
    name: String,
    steps: Vec<String>,
}

/// All cases of the folder.
pub(crate) fn all() -> Vec<Case> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().flat_map(|file| parse(&file.file_name().unwrap().to_string_lossy(), file)).collect()
}

fn parse(name: &str, file: &PathBuf) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut first_of_header = 0;
    for (number, line) in std::fs::read_to_string(file).unwrap().lines().enumerate() {
        let place = format!("{name}:{}", number + 1);
        let line = line.trim();
        if let Some(header) = line.strip_prefix("== ") {
            let (marks, title) = header.split_once(": ").unwrap_or_else(|| panic!("{place}: no `: `"));
            first_of_header = cases.len();
            let clauses: Vec<String> =
                marks.split(' ').filter(|mark| mark.starts_with("MQTT-")).map(str::to_owned).collect();
            for mark in marks.split(' ').filter(|mark| !mark.starts_with("MQTT-") && !mark.starts_with('§')) {
                let version = match mark {
                    "v3.1" => Version::V3_1,
                    "v3.1.1" => Version::V3_1_1,
                    "v5" => Version::V5,
                    other => panic!("{place}: what is {other}?"),
                };
                let (clauses, name) = (clauses.clone(), title.to_owned());
                cases.push(Case { place: place.clone(), version, clauses, name, steps: Vec::new() });
            }
            assert!(cases.len() > first_of_header, "{place}: no version");
        } else if !line.is_empty() && !line.starts_with("//") {
            cases[first_of_header..].iter_mut().for_each(|case| case.steps.push(line.to_owned()));
        }
    }
    cases
}

/// The bytes a step describes.
fn bytes(text: &str) -> Vec<u8> {
    let mut tokens = tokens(text).into_iter();
    let mut out = Vec::new();
    encode(&mut tokens, &mut out);
    out
}

fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '"' | '\'' => 2 + rest[1..].find(first).unwrap_or_else(|| panic!("unclosed text in {text}")),
            '{' | '}' | '*' => 1,
            _ => rest.find([' ', '{', '}']).unwrap_or(rest.len()),
        };
        tokens.push(rest[..len].to_owned());
        rest = rest[len..].trim_start();
    }
    tokens
}

fn encode(tokens: &mut impl Iterator<Item = String>, out: &mut Vec<u8>) {
    while let Some(token) = tokens.next() {
        let text = token.trim_matches(['"', '\'']);
        match token.as_bytes() {
            [b'"', ..] => {
                out.extend((text.len() as u16).to_be_bytes());
                out.extend(text.as_bytes());
            }
            [b'\'', ..] => out.extend(text.as_bytes()),
            [b'#', b'#', ..] => out.extend(token[2..].parse::<u32>().unwrap().to_be_bytes()),
            [b'#', ..] => out.extend(token[1..].parse::<u16>().unwrap().to_be_bytes()),
            [b'%', ..] => put_varint(out, token[1..].parse().unwrap()),
            b"*" => {
                let first = out.pop().unwrap();
                with_length(out, first, |out| encode(tokens, out));
            }
            b"{" => {
                let mut list = Vec::new();
                encode(tokens, &mut list);
                put_varint(out, list.len());
                out.extend(list);
            }
            b"}" => return,
            _ => match token.split_once('x') {
                Some((byte, count)) => {
                    let byte = u8::from_str_radix(byte, 16).unwrap();
                    out.resize(out.len() + count.parse::<usize>().unwrap(), byte);
                }
                None => out.extend(token.as_bytes().chunks(2).map(|pair| {
                    let digits = std::str::from_utf8(pair).unwrap();
                    u8::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("{token} is no hex"))
                })),
            },
        }
    }
}

fn header_len(packet: &[u8]) -> usize {
    frame(packet).unwrap().unwrap().header_len
}

fn configure(settings: &mut Settings, assignment: &str) {
    let (name, value) = assignment.split_once('=').unwrap();
    let number = || value.parse::<u32>().unwrap_or_else(|_| panic!("{assignment} is no number"));
    match name {
        "receive_maximum" => settings.receive_maximum = number() as u16,
        "packet_bytes_max" => settings.packet_bytes_max = number() as usize,
        "keepalive_max_secs" => settings.keepalive_max_secs = number() as u16,
        "retained_messages_max" => settings.retained_messages_max = number() as usize,
        "topic_alias_max" => settings.topic_alias_max = number() as u16,
        "topic_alias_to_client_max" => settings.topic_alias_to_client_max = number() as u16,
        "sessions_max" => settings.sessions_max = number() as usize,
        "response_information" => settings.response_information = value.to_owned(),
        "server_reference" => settings.server_reference = value.to_owned(),
        "server_moved" => settings.server_moved = value == "true",
        "reason_strings" => settings.reason_strings = value == "true",
        other => panic!("no such setting here: {other}"),
    }
}

struct Stage {
    handle: Handle,
    version: Version,
    clients: HashMap<String, Client>,
}

impl Stage {
    async fn client(&mut self, name: &str) -> &mut Client {
        if !self.clients.contains_key(name) {
            let (client, _) = Client::with(&self.handle, connect_packet(name, self.version)).await;
            self.clients.insert(name.to_owned(), client);
        }
        self.clients.get_mut(name).unwrap()
    }

    async fn step(&mut self, step: &str) {
        if let Some((name, sent)) = step.split_once("> ") {
            self.client(name).await.send_bytes(&bytes(sent)).await;
            return;
        }
        if let Some((name, expected)) = step.split_once("< ") {
            let got = self.client(name).await.recv_bytes().await;
            let got = got.unwrap_or_else(|| panic!("closed instead of {expected}"));
            match expected.strip_suffix("..") {
                Some(start) => {
                    // The remaining length of an open end is not known, so the start is compared around it.
                    let (wanted, got) = (bytes(start), got.as_slice());
                    let (wanted_len, got_len) = (header_len(&wanted), header_len(got));
                    let begins = wanted[0] == got[0] && got[got_len..].starts_with(&wanted[wanted_len..]);
                    assert!(begins, "wanted {wanted:02x?}.., got {got:02x?}");
                }
                None => assert_eq!(got, bytes(expected), "wanted {expected}, got {got:02x?}"),
            }
            return;
        }
        match step.split_once(' ').unwrap() {
            (name, "raw") => {
                let client = Client::raw(&self.handle, self.version).await;
                self.clients.insert(name.to_owned(), client);
            }
            (name, "drop") => {
                let before = self.handle.counters().connections.get();
                drop(self.clients.remove(name).unwrap());
                until("the server has noticed", || self.handle.counters().connections.get() < before).await;
            }
            (name, "open") => self.client(name).await.expect_silence().await,
            (name, "closed") => {
                let more = self.client(name).await.recv_bytes().await;
                assert_eq!(more, None, "something came where the server should close: {more:02x?}");
            }
            (_, other) => panic!("what is {other}?"),
        }
    }
}

async fn run(case: Case) {
    let mut settings = settings();
    let mut steps = case.steps.as_slice();
    if let Some((first, rest)) = steps.split_first()
        && let Some(assignments) = first.strip_prefix("with ")
    {
        assignments.split(' ').for_each(|assignment| configure(&mut settings, assignment));
        steps = rest;
    }
    let handle = Broker::start(settings, ports()).unwrap();
    let mut stage = Stage { handle, version: case.version, clients: HashMap::new() };
    let ends = |step: &String| step.ends_with(" open") || step.ends_with(" closed");
    assert!(steps.iter().any(ends), "a case says how it ends");
    for step in steps {
        stage.step(step).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case() {
    let cases = all();
    assert!(cases.len() > 100, "the cases are gone");
    let mut failures = Vec::new();
    for case in cases {
        let title = format!("{} {:?} {}", case.place, case.version, case.name);
        if let Err(error) = tokio::spawn(run(case)).await {
            let panic = error.into_panic();
            let message = panic.downcast_ref::<String>().map_or("(no message)", String::as_str);
            failures.push(format!("{title}: {message}"));
        }
    }
    assert!(failures.is_empty(), "{} cases failed:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn the_language_of_the_cases() {
    assert_eq!(bytes(r#"32 * "t" #7 {26 "a" ""} 'x'"#), b"\x32\x0d\0\x01t\0\x07\x06\x26\0\x01a\0\0x");
    assert_eq!(bytes("61x3 %300 ##1 {}"), b"aaa\xac\x02\0\0\0\x01\0");
}
