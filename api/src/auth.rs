//! Who may use the API: one key, made at the first start and kept in a file only its owner can read.
//!
//! Invariants: there is no default secret; comparing takes the same time for every wrong secret; the secret never
//! appears in `Debug`, logs or replies.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

/// The file in the data folder; the command line reads the same one.
pub const CREDENTIALS_FILE: &str = "api-credentials.json";
/// Id of the key that the first start makes.
const FIRST_APP_ID: &str = "admin";

/// The key of this server.
#[derive(Clone)]
pub struct Credentials {
    app_id: String,
    app_secret: String,
    path: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    #[serde(default)]
    url: String,
    app_id: String,
    app_secret: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("app_id", &self.app_id).field("path", &self.path).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads the key from `data_dir`, or makes one.
    ///
    /// # Errors
    /// The file cannot be read or written, or is not what a server writes.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join(CREDENTIALS_FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Two random UUIDs: 244 bits from the system's generator.
                let app_secret = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
                let made = Self { app_id: FIRST_APP_ID.to_owned(), app_secret, path };
                made.write("")?;
                return Ok(made);
            }
            Err(error) => return Err(error),
        };
        let stored: Stored = serde_json::from_str(&text).map_err(io::Error::other)?;
        if stored.app_id.is_empty() || stored.app_secret.is_empty() {
            return Err(io::Error::other("app_id and app_secret must not be empty"));
        }
        if fs::metadata(&path)?.permissions().mode() & 0o077 != 0 {
            tracing::warn!(path = %path.display(), "other users of this machine can read the API key; its mode should be 0600");
        }
        Ok(Self { app_id: stored.app_id, app_secret: stored.app_secret, path })
    }

    /// Writes down where the API listens, for the commands on this machine.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn publish_url(&self, url: &str) -> io::Result<()> {
        self.write(url)
    }

    /// The file the key is in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The id of the key.
    pub fn app_id(&self) -> &str {
        &self.app_id
    }

    fn write(&self, url: &str) -> io::Result<()> {
        let stored = Stored { url: url.to_owned(), app_id: self.app_id.clone(), app_secret: self.app_secret.clone() };
        let text = serde_json::to_string_pretty(&stored).map_err(io::Error::other)?;
        // Written beside and renamed, so that a reader never sees half a key and a crash never loses it.
        let beside = self.path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)
    }

    /// Whether the request carries this key (`Authorization: Basic`, RFC 7617).
    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
        let Some((id, secret)) = headers.get(header::AUTHORIZATION).and_then(|value| basic(value.as_bytes())) else {
            return false;
        };
        let id_is_right = id.as_bytes().ct_eq(self.app_id.as_bytes());
        let secret_is_right = secret.as_bytes().ct_eq(self.app_secret.as_bytes());
        bool::from(id_is_right & secret_is_right)
    }
}

fn basic(value: &[u8]) -> Option<(String, String)> {
    let text = std::str::from_utf8(value).ok()?;
    let (scheme, encoded) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())])
    }

    #[test]
    fn the_first_start_makes_a_key_that_only_its_owner_can_read_and_the_second_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = Credentials::open(folder.path()).unwrap();
        first.publish_url("http://127.0.0.1:1").unwrap();
        let second = Credentials::open(folder.path()).unwrap();
        assert_eq!((first.app_id.as_str(), &first.app_secret), ("admin", &second.app_secret));
        assert_eq!(first.app_secret.len(), 64);
        assert_eq!(fs::metadata(first.path()).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!format!("{first:?}").contains(&first.app_secret));
    }

    #[test]
    fn only_the_whole_key_is_let_in() {
        let folder = tempfile::tempdir().unwrap();
        let key = Credentials::open(folder.path()).unwrap();
        let encode = |text: &str| STANDARD.encode(text);
        let right = format!("admin:{}", key.app_secret);
        assert!(key.admits(&headers(&format!("Basic {}", encode(&right)))));
        assert!(key.admits(&headers(&format!("basic {}", encode(&right)))));
        for wrong in [
            "admin:",
            "admin",
            "",
            right.trim_end_matches(|c: char| c.is_ascii_hexdigit()),
            &format!("root:{}", key.app_secret),
        ] {
            assert!(!key.admits(&headers(&format!("Basic {}", encode(wrong)))), "{wrong}");
        }
        assert!(!key.admits(&headers("Basic %%%")));
        assert!(!key.admits(&headers(&format!("Bearer {}", encode(&right)))));
        assert!(!key.admits(&HeaderMap::new()));
    }
}
