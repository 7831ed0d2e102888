//! SCRAM-SHA-256 (RFC 5802, RFC 7677), the server's side, as one exchange of MQTT 5 enhanced authentication.
//!
//! Invariants: a user that does not exist gets an exchange that looks like any other and fails at its end; a message is
//! bounded; nothing of it reaches a log. Channel binding is not offered, so a client that requires it is refused.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use model::Str;
use model::ports::{Exchange, Step, Verdict};

use crate::users::credential::Credential;
use crate::users::{Users, normal};

/// Name of the method in CONNECT and AUTH.
pub(crate) const METHOD: &str = "SCRAM-SHA-256";
/// Longest message of a client, bytes.
const MESSAGE_BYTES_MAX: usize = 4_096;
/// Random bytes in the server's part of the nonce.
const NONCE_BYTES: usize = 18;

/// One exchange.
pub(crate) struct Scram {
    users: Users,
    state: State,
}

enum State {
    /// Waits for the client's first message.
    First,
    /// Waits for the client's proof.
    Proof(Box<Proof>),
    /// Over, one way or the other.
    Over,
}

struct Proof {
    username: String,
    credential: Credential,
    /// `None`: there is no such user.
    is_superuser: Option<bool>,
    gs2_header: String,
    nonce: String,
    /// Both first messages, joined as RFC 5802 §3 wants them.
    so_far: String,
}

impl Scram {
    pub(crate) fn new(users: Users) -> Self {
        Self { users, state: State::First }
    }

    fn first(&self, message: &str, server_nonce: &str) -> Option<(Proof, String)> {
        let first = ClientFirst::parse(message)?;
        let username = normal("the name", &first.username).ok()?;
        let (credential, is_superuser) = self.users.for_scram(&username);
        let nonce = format!("{}{server_nonce}", first.nonce);
        let answer = format!("r={nonce},s={},i={}", STANDARD.encode(&credential.salt), credential.iterations);
        let so_far = format!("{},{answer}", first.bare);
        let gs2_header = first.gs2_header.to_owned();
        Some((Proof { username, credential, is_superuser, gs2_header, nonce, so_far }, answer))
    }
}

#[async_trait]
impl Exchange for Scram {
    async fn step(&mut self, data: Bytes) -> Step {
        let refused = Step::Refused(Verdict::BadCredentials);
        let message = if data.len() > MESSAGE_BYTES_MAX { None } else { std::str::from_utf8(&data).ok() };
        let Some(message) = message else {
            self.state = State::Over;
            return refused;
        };
        match std::mem::replace(&mut self.state, State::Over) {
            // A client that has nothing to say in CONNECT is asked to begin.
            State::First if message.is_empty() => {
                self.state = State::First;
                Step::Continue(Bytes::new())
            }
            State::First => {
                let Some(server_nonce) = nonce() else { return Step::Refused(Verdict::Unavailable) };
                match self.first(message, &server_nonce) {
                    Some((proof, answer)) => {
                        self.state = State::Proof(Box::new(proof));
                        Step::Continue(answer.into())
                    }
                    None => refused,
                }
            }
            State::Proof(proof) => match proof.check(message) {
                Some((superuser, answer)) => {
                    Step::Done { username: Str::from(proof.username), superuser, data: answer.into() }
                }
                None => refused,
            },
            State::Over => refused,
        }
    }
}

impl Proof {
    /// Whether the client's last message proves the password; then whether it is a superuser, and the server's last message.
    fn check(&self, message: &str) -> Option<(bool, String)> {
        let (without_proof, proof) = message.rsplit_once(",p=")?;
        let mut attributes = without_proof.split(',');
        let binding = STANDARD.decode(attributes.next()?.strip_prefix("c=")?).ok()?;
        let nonce = attributes.next()?.strip_prefix("r=")?;
        if binding != self.gs2_header.as_bytes() || nonce != self.nonce {
            return None;
        }
        let auth_message = format!("{},{without_proof}", self.so_far);
        let signature = self.credential.prove(&auth_message, &STANDARD.decode(proof).ok()?)?;
        Some((self.is_superuser?, format!("v={}", STANDARD.encode(signature))))
    }
}

/// `n,,n=user,r=nonce`
struct ClientFirst<'a> {
    gs2_header: &'a str,
    bare: &'a str,
    username: String,
    nonce: &'a str,
}

impl<'a> ClientFirst<'a> {
    fn parse(message: &'a str) -> Option<Self> {
        let mut parts = message.splitn(3, ',');
        let (binding, authzid, bare) = (parts.next()?, parts.next()?, parts.next()?);
        // n: no channel binding; y: the client could, and believes that the server cannot, which is true.
        if !matches!(binding, "n" | "y") {
            return None;
        }
        let gs2_header = message.strip_suffix(bare)?;
        let mut attributes = bare.split(',');
        let username = name(attributes.next()?.strip_prefix("n=")?)?;
        // To act for somebody else is not offered.
        if !authzid.is_empty() && name(authzid.strip_prefix("a=")?)? != username {
            return None;
        }
        let nonce = attributes.next()?.strip_prefix("r=")?;
        let is_printable = nonce.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
        (!nonce.is_empty() && is_printable).then_some(Self { gs2_header, bare, username, nonce })
    }
}

/// A name with `=2C` for a comma and `=3D` for an equals sign.
fn name(escaped: &str) -> Option<String> {
    let mut pieces = escaped.split('=');
    let mut name = pieces.next()?.to_owned();
    for piece in pieces {
        let (code, rest) = piece.split_at_checked(2)?;
        name.push(match code {
            "2C" => ',',
            "3D" => '=',
            _ => return None,
        });
        name.push_str(rest);
    }
    Some(name)
}

fn nonce() -> Option<String> {
    let mut bytes = [0; NONCE_BYTES];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::users::{NameKind, UserSettings};

    /// The exchange of RFC 7677 §3.
    const CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    const CLIENT_FINAL: &str =
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    fn rfc_credential() -> Credential {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        Credential::with_salt("pencil", salt, NonZeroU32::new(4_096).unwrap())
    }

    fn rfc_proof() -> Proof {
        let first = ClientFirst::parse(CLIENT_FIRST).unwrap();
        let nonce = format!("{}{SERVER_NONCE}", first.nonce);
        Proof {
            username: first.username,
            credential: rfc_credential(),
            is_superuser: Some(true),
            gs2_header: first.gs2_header.to_owned(),
            so_far: format!("{},r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", first.bare),
            nonce,
        }
    }

    #[test]
    fn rfc_7677_section_3_the_example() {
        let expected = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=".to_owned();
        assert_eq!(rfc_proof().check(CLIENT_FINAL), Some((true, expected)));
        for (from, to) in
            [("c=biws", "c=eSws"), ("r=r", "r=s"), ("p=d", "p=e"), ("k0,p", "k0,x=1,p"), ("=dH", "="), ("c=biws,", "")]
        {
            assert_eq!(rfc_proof().check(&CLIENT_FINAL.replace(from, to)), None, "{to}");
        }
        let nobody = Proof { is_superuser: None, ..rfc_proof() };
        assert_eq!(nobody.check(CLIENT_FINAL), None);
    }

    #[test]
    fn first_messages_are_read_strictly() {
        let first = ClientFirst::parse("y,a=a=2Cb=3D,n=a=2Cb=3D,r=x,ext=1").unwrap();
        assert_eq!((first.username.as_str(), first.nonce, first.gs2_header), ("a,b=", "x", "y,a=a=2Cb=3D,"));
        for wrong in [
            "",
            "n",
            "n,,",
            "n,,n=u",
            "n,,n=u,r=",
            "p=tls-unique,,n=u,r=x",
            "n,a=other,n=u,r=x",
            "n,,m=1,n=u,r=x",
            "n,,n=a=2,r=x",
            "n,,n=a=41,r=x",
            "n,,n=u,r=\u{e9}",
            "x,,n=u,r=x",
            "n,,r=x,n=u",
        ] {
            assert!(ClientFirst::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn unknown_users_are_asked_like_known_ones() {
        let folder = tempfile::tempdir().unwrap();
        let kv = store::Kv::open(folder.path().join("kv")).await.unwrap();
        let settings = UserSettings { count_max: 10, iterations: NonZeroU32::new(4_096).unwrap() };
        let users = Users::open(kv, settings).await.unwrap();
        users.add(NameKind::Username, "ann", "secret", false).await.unwrap();
        let mut salts = Vec::new();
        for name in ["ann", "nobody", "nobody"] {
            let mut exchange = Scram::new(users.clone());
            assert_eq!(exchange.step(Bytes::new()).await, Step::Continue(Bytes::new()));
            let Step::Continue(answer) = exchange.step(format!("n,,n={name},r=abc").into()).await else {
                panic!("{name}")
            };
            let answer = String::from_utf8(answer.to_vec()).unwrap();
            let parts: Vec<&str> = answer.split(',').collect();
            assert!(parts[0].starts_with("r=abc") && parts[0].len() > 20 && parts[2] == "i=4096", "{answer}");
            assert_eq!(STANDARD.decode(parts[1].strip_prefix("s=").unwrap()).unwrap().len(), 16);
            salts.push(parts[1].to_owned());
            let last = format!("c=biws,{},p={}", parts[0], STANDARD.encode([7; 32]));
            let refused = Step::Refused(Verdict::BadCredentials);
            assert_eq!(exchange.step(last.clone().into()).await, refused);
            assert_eq!(exchange.step(last.into()).await, refused, "an exchange that is over stays over");
        }
        assert_eq!(salts[1], salts[2], "or one could tell by asking twice");
        let mut exchange = Scram::new(users);
        let long = format!("n,,n=ann,r={}", "x".repeat(5_000));
        assert_eq!(exchange.step(long.into()).await, Step::Refused(Verdict::BadCredentials));
    }
}
