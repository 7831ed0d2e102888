//! What is kept of a password: a salted verifier (RFC 5802 §3, with SHA-256), which serves plain passwords and SCRAM alike.
//! The password itself, or anything that could stand for it in an exchange, is not kept.

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2, rand};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

/// Bytes of a salt.
const SALT_BYTES: usize = 16;
/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// A verifier of one password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credential {
    pub(crate) salt: Vec<u8>,
    pub(crate) iterations: u32,
    stored_key: [u8; KEY_BYTES],
    server_key: [u8; KEY_BYTES],
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

impl Credential {
    /// The verifier of a password with a salt of its own. `None`: the system has no randomness to give.
    pub(crate) fn of(password: &str, iterations: NonZeroU32) -> Option<Self> {
        let mut salt = vec![0; SALT_BYTES];
        rand::fill(&mut salt).ok()?;
        Some(Self::with_salt(password, salt, iterations))
    }

    pub(crate) fn with_salt(password: &str, salt: Vec<u8>, iterations: NonZeroU32) -> Self {
        let salted = salted_password(password, &salt, iterations);
        let client_key = sign(&salted, b"Client Key");
        Self {
            stored_key: sha256(&client_key),
            server_key: sign(&salted, b"Server Key"),
            iterations: iterations.get(),
            salt,
        }
    }

    /// The verifier of nobody's password: what is asked for a name that does not exist, so that the answers look alike.
    pub(crate) fn fake(secret: &[u8], name: &str, iterations: NonZeroU32) -> Self {
        let derived = |purpose: &str| sign(secret, format!("{purpose}:{name}").as_bytes());
        let salt = derived("salt").get(..SALT_BYTES).unwrap_or_default().to_vec();
        Self { salt, iterations: iterations.get(), stored_key: derived("stored"), server_key: derived("server") }
    }

    /// Whether this is the password. Takes as long for a wrong one.
    pub(crate) fn is(&self, password: &str) -> bool {
        let Some(iterations) = NonZeroU32::new(self.iterations) else { return false };
        let salted = salted_password(password, &self.salt, iterations);
        let stored_key = sha256(&sign(&salted, b"Client Key"));
        constant_time::verify_slices_are_equal(&stored_key, &self.stored_key).is_ok()
    }

    /// Whether `proof` proves the password for `auth_message` (RFC 5802 §3); then the server's signature.
    pub(crate) fn prove(&self, auth_message: &str, proof: &[u8]) -> Option<[u8; KEY_BYTES]> {
        let signature = sign(&self.stored_key, auth_message.as_bytes());
        if proof.len() != KEY_BYTES {
            return None;
        }
        let client_key: Vec<u8> = proof.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        constant_time::verify_slices_are_equal(&sha256(&client_key), &self.stored_key).ok()?;
        Some(sign(&self.server_key, auth_message.as_bytes()))
    }

    /// For the store.
    pub(crate) fn to_json(&self) -> Json {
        let text = |bytes: &[u8]| STANDARD.encode(bytes);
        json!({"scheme": "SCRAM-SHA-256", "salt": text(&self.salt), "iterations": self.iterations,
            "stored_key": text(&self.stored_key), "server_key": text(&self.server_key)})
    }

    /// From the store.
    pub(crate) fn from_json(json: &Json) -> Option<Self> {
        if json.get("scheme")?.as_str()? != "SCRAM-SHA-256" {
            return None;
        }
        let bytes = |key: &str| STANDARD.decode(json.get(key)?.as_str()?).ok();
        Some(Self {
            salt: bytes("salt")?,
            iterations: u32::try_from(json.get("iterations")?.as_u64()?).ok()?,
            stored_key: bytes("stored_key")?.try_into().ok()?,
            server_key: bytes("server_key")?.try_into().ok()?,
        })
    }
}

fn salted_password(password: &str, salt: &[u8], iterations: NonZeroU32) -> [u8; KEY_BYTES] {
    let mut salted = [0; KEY_BYTES];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password.as_bytes(), &mut salted);
    salted
}

fn sign(key: &[u8], data: &[u8]) -> [u8; KEY_BYTES] {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data);
    array(tag.as_ref())
}

fn sha256(data: &[u8]) -> [u8; KEY_BYTES] {
    array(digest::digest(&digest::SHA256, data).as_ref())
}

/// SHA-256 gives exactly this many bytes.
fn array(bytes: &[u8]) -> [u8; KEY_BYTES] {
    let mut array = [0; KEY_BYTES];
    array.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_knows_its_password_only_and_survives_the_store() {
        let iterations = NonZeroU32::new(4096).unwrap();
        let credential = Credential::of("pencil", iterations).unwrap();
        assert!(credential.is("pencil") && !credential.is("Pencil") && !credential.is(""));
        assert_ne!(Credential::of("pencil", iterations).unwrap(), credential, "every salt is new");
        let stored = credential.to_json();
        assert!(!stored.to_string().contains("pencil") && !format!("{credential:?}").contains("key"));
        assert_eq!(Credential::from_json(&stored), Some(credential));
        assert_eq!(Credential::from_json(&json!({"scheme": "plain"})), None);
    }

    #[test]
    fn a_fake_is_the_same_every_time_and_proves_nothing() {
        let iterations = NonZeroU32::new(4096).unwrap();
        let fake = Credential::fake(b"secret", "ann", iterations);
        assert_eq!(fake, Credential::fake(b"secret", "ann", iterations));
        assert_ne!(fake.salt, Credential::fake(b"secret", "bob", iterations).salt);
        assert_ne!(fake.salt, Credential::fake(b"other", "ann", iterations).salt);
        assert!(!fake.is("ann") && fake.prove("message", &[0; 32]).is_none());
    }
}
