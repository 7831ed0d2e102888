//! The users of the server itself: user names and client identifiers with their passwords (manual §9.6, §9.7), kept in
//! the embedded store, all of them in memory too.
//!
//! Invariants: only verifiers are kept; hashing runs beside the async workers and only so often at once; a change is in
//! force when it is durable; the number of users is bounded.

pub(crate) mod credential;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use model::ports::{Login, Verdict};
use parking_lot::RwLock;
use serde_json::{Value as Json, json};
use store::Kv;
use tokio::sync::{Mutex, Semaphore};

use self::credential::Credential;
use crate::chain::{LoginLink, LoginOpinion};
use crate::error::Error;

const TABLE: &str = "auth_users";
const SECRETS_TABLE: &str = "auth_secrets";
/// The secret behind the verifiers of names that do not exist.
const FAKE_KEY: &[u8] = b"fake_credentials";
/// Longest name and longest password, bytes.
const TEXT_BYTES_MAX: usize = 1_024;

/// What a user is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NameKind {
    /// The user name of CONNECT.
    Username,
    /// The client identifier.
    ClientId,
}

/// Bounds of the users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserSettings {
    /// Most users of both kinds.
    pub count_max: usize,
    /// Rounds of PBKDF2 for passwords that are set from now on.
    pub iterations: NonZeroU32,
}

/// One user as lists show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserSummary {
    /// The name.
    pub name: String,
    /// Whether access control is skipped.
    pub is_superuser: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) credential: Credential,
    pub(crate) is_superuser: bool,
}

/// The users. Clones share them.
#[derive(Clone)]
pub struct Users {
    inner: Arc<Inner>,
}

struct Inner {
    kv: Kv,
    settings: UserSettings,
    known: RwLock<BTreeMap<(NameKind, String), User>>,
    /// Changes happen one after the other, so that memory and store agree.
    changing: Mutex<()>,
    hashing: Semaphore,
    fake_secret: Vec<u8>,
}

impl Users {
    /// Reads the users from the store.
    pub(crate) async fn open(kv: Kv, settings: UserSettings) -> Result<Self, Error> {
        let mut known = BTreeMap::new();
        for (key, value) in kv.scan(TABLE, b"").await? {
            let entry = parse(&key, &value).ok_or_else(|| {
                Error::Invalid(format!("a user in the store cannot be read: {}", String::from_utf8_lossy(&key)))
            })?;
            known.insert(entry.0, entry.1);
        }
        let fake_secret = match kv.get(SECRETS_TABLE, FAKE_KEY).await? {
            Some(secret) => secret.to_vec(),
            None => {
                let mut secret = vec![0; 32];
                aws_lc_rs::rand::fill(&mut secret).map_err(|_| no_randomness())?;
                kv.put(SECRETS_TABLE, FAKE_KEY, secret.clone()).await?;
                secret
            }
        };
        let parallel = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let inner = Inner {
            kv,
            settings,
            known: RwLock::new(known),
            changing: Mutex::new(()),
            hashing: Semaphore::new(parallel),
            fake_secret,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Number of users.
    pub fn len(&self) -> usize {
        self.inner.known.read().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// At most `limit` users of one kind in the order of their names, after `after`.
    pub fn list(&self, kind: NameKind, after: Option<&str>, limit: usize) -> Vec<UserSummary> {
        let first = match after {
            Some(after) => Bound::Excluded((kind, after.to_owned())),
            None => Bound::Included((kind, String::new())),
        };
        let known = self.inner.known.read();
        let of_kind = known.range((first, Bound::Unbounded)).take_while(|((found, _), _)| *found == kind);
        let summary = |((_, name), user): (&(NameKind, String), &User)| UserSummary {
            name: name.clone(),
            is_superuser: user.is_superuser,
        };
        of_kind.take(limit).map(summary).collect()
    }

    /// One user.
    pub fn get(&self, kind: NameKind, name: &str) -> Option<UserSummary> {
        let user = self.user(kind, name)?;
        Some(UserSummary { name: name.to_owned(), is_superuser: user.is_superuser })
    }

    /// Adds a user.
    ///
    /// # Errors
    /// The name exists, name or password are not valid, there are too many users, or the store failed.
    pub async fn add(&self, kind: NameKind, name: &str, password: &str, is_superuser: bool) -> Result<(), Error> {
        let name = normal("the name", name)?;
        let _changing = self.inner.changing.lock().await;
        if self.user(kind, &name).is_some() {
            return Err(Error::Exists(format!("{name} exists already; set a new password with update")));
        }
        if self.len() >= self.inner.settings.count_max {
            let count = self.inner.settings.count_max;
            return Err(Error::Full(format!("there are {count} users already; delete some or raise auth.users_max")));
        }
        self.put(kind, name, password, is_superuser).await
    }

    /// Sets a new password; `is_superuser` stays as it is when `None`.
    ///
    /// # Errors
    /// There is no such user, the password is not valid, or the store failed.
    pub async fn update(
        &self,
        kind: NameKind,
        name: &str,
        password: &str,
        is_superuser: Option<bool>,
    ) -> Result<(), Error> {
        let _changing = self.inner.changing.lock().await;
        let known = self.user(kind, name).ok_or_else(|| unknown(name))?;
        self.put(kind, name.to_owned(), password, is_superuser.unwrap_or(known.is_superuser)).await
    }

    /// Deletes a user. Who is connected stays so until the connection ends.
    ///
    /// # Errors
    /// There is no such user, or the store failed.
    pub async fn remove(&self, kind: NameKind, name: &str) -> Result<(), Error> {
        let _changing = self.inner.changing.lock().await;
        if self.user(kind, name).is_none() {
            return Err(unknown(name));
        }
        self.inner.kv.delete(TABLE, key(kind, name)).await?;
        self.inner.known.write().remove(&(kind, name.to_owned()));
        Ok(())
    }

    async fn put(&self, kind: NameKind, name: String, password: &str, is_superuser: bool) -> Result<(), Error> {
        let password = normal("the password", password)?;
        let iterations = self.inner.settings.iterations;
        let credential = self.hash(move || Credential::of(&password, iterations)).await.flatten();
        let credential = credential.ok_or_else(no_randomness)?;
        let value = json!({"superuser": is_superuser, "credential": credential.to_json()}).to_string();
        self.inner.kv.put(TABLE, key(kind, &name), value).await?;
        self.inner.known.write().insert((kind, name), User { credential, is_superuser });
        Ok(())
    }

    fn user(&self, kind: NameKind, name: &str) -> Option<User> {
        self.inner.known.read().get(&(kind, name.to_owned())).cloned()
    }

    /// What a SCRAM exchange of `name` is measured by; for an unknown name something that nobody can prove.
    pub(crate) fn for_scram(&self, name: &str) -> (Credential, Option<bool>) {
        match self.user(NameKind::Username, name) {
            Some(user) => (user.credential, Some(user.is_superuser)),
            None => (Credential::fake(&self.inner.fake_secret, name, self.inner.settings.iterations), None),
        }
    }

    /// Hashing takes milliseconds: not on an async worker, and no more at once than there are processors.
    async fn hash<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let _permit = self.inner.hashing.acquire().await.ok()?;
        tokio::task::spawn_blocking(work).await.ok()
    }
}

#[async_trait]
impl LoginLink for Users {
    fn name(&self) -> &'static str {
        "users"
    }

    /// A name that is known has to be proven. Once there are users, a user name or a password that is not known is refused:
    /// what a client claims is then either proven or not claimed at all.
    async fn judge(&self, login: &Login) -> LoginOpinion {
        if self.is_empty() {
            return LoginOpinion::Ignore;
        }
        let username = login.client.username.as_deref();
        let by_name = username.and_then(|name| self.user(NameKind::Username, name));
        let known = by_name.or_else(|| self.user(NameKind::ClientId, &login.client.client_id));
        if known.is_none() && username.is_none() && login.password.is_none() {
            return LoginOpinion::Ignore;
        }
        let password = login.password.as_deref().and_then(|bytes| std::str::from_utf8(bytes).ok());
        let password = password.and_then(|password| normal("the password", password).ok());
        let Some(password) = password else { return LoginOpinion::Deny(Verdict::BadCredentials) };
        // An unknown name costs as much time as a known one.
        let credential = match &known {
            Some(user) => user.credential.clone(),
            None => Credential::fake(&self.inner.fake_secret, "", self.inner.settings.iterations),
        };
        let is_right = self.hash(move || credential.is(&password)).await;
        match (is_right, known) {
            (Some(true), Some(user)) => LoginOpinion::Allow { superuser: user.is_superuser },
            (None, _) => LoginOpinion::Deny(Verdict::Unavailable),
            _ => LoginOpinion::Deny(Verdict::BadCredentials),
        }
    }
}

fn no_randomness() -> Error {
    Error::Invalid("the system has no random numbers to give; try again".to_owned())
}

fn unknown(name: &str) -> Error {
    Error::NotFound(format!("there is no user {name}"))
}

/// Names and passwords in the form in which they are compared (SASLprep, RFC 4013).
pub(crate) fn normal(what: &str, text: &str) -> Result<String, Error> {
    let normal = stringprep::saslprep(text).map_err(|error| {
        Error::Invalid(format!("{what} holds characters that no name or password may have: {error}"))
    })?;
    if normal.is_empty() || normal.len() > TEXT_BYTES_MAX {
        return Err(Error::Invalid(format!("{what} must have 1 to {TEXT_BYTES_MAX} bytes")));
    }
    Ok(normal.into_owned())
}

fn key(kind: NameKind, name: &str) -> Vec<u8> {
    let prefix = match kind {
        NameKind::Username => "u/",
        NameKind::ClientId => "c/",
    };
    [prefix, name].concat().into_bytes()
}

fn parse(key: &[u8], value: &[u8]) -> Option<((NameKind, String), User)> {
    let key = std::str::from_utf8(key).ok()?;
    let (kind, name) = match key.split_at_checked(2)? {
        ("u/", name) => (NameKind::Username, name),
        ("c/", name) => (NameKind::ClientId, name),
        _ => return None,
    };
    let json: Json = serde_json::from_slice(value).ok()?;
    let credential = Credential::from_json(json.get("credential")?)?;
    let is_superuser = json.get("superuser")?.as_bool()?;
    Some(((kind, name.to_owned()), User { credential, is_superuser }))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::acl::tests::client;

    pub(crate) fn settings() -> UserSettings {
        UserSettings { count_max: 3, iterations: NonZeroU32::new(4_096).unwrap() }
    }

    async fn users(folder: &tempfile::TempDir) -> Users {
        Users::open(Kv::open(folder.path().join("kv")).await.unwrap(), settings()).await.unwrap()
    }

    fn login(id: &str, username: Option<&str>, password: Option<&str>) -> Login {
        let password = password.map(|text| Bytes::copy_from_slice(text.as_bytes()));
        Login { client: Arc::new(client(id, username, "127.0.0.1")), password }
    }

    #[tokio::test]
    async fn manual_9_6_and_9_7_logins_by_user_name_and_by_client_identifier() {
        let folder = tempfile::tempdir().unwrap();
        let users = users(&folder).await;
        let refused = LoginOpinion::Deny(Verdict::BadCredentials);
        assert_eq!(users.judge(&login("c", Some("ann"), Some("x"))).await, LoginOpinion::Ignore, "nobody is known");
        users.add(NameKind::Username, "ann", "secret", true).await.unwrap();
        users.add(NameKind::ClientId, "dev:1", "passwd~!@#$%^&*()_+", false).await.unwrap();
        for (id, username, password, expected) in [
            ("c", Some("ann"), Some("secret"), LoginOpinion::Allow { superuser: true }),
            ("c", Some("ann"), Some("Secret"), refused.clone()),
            ("c", Some("ann"), Some(""), refused.clone()),
            ("c", Some("ann"), None, refused.clone()),
            ("c", Some("bob"), Some("secret"), refused.clone()),
            ("c", Some("bob"), None, refused.clone()),
            ("c", None, Some("secret"), refused.clone()),
            ("c", None, None, LoginOpinion::Ignore),
            ("dev:1", None, Some("passwd~!@#$%^&*()_+"), LoginOpinion::Allow { superuser: false }),
            ("dev:1", Some("bob"), Some("passwd~!@#$%^&*()_+"), LoginOpinion::Allow { superuser: false }),
            ("dev:1", None, None, refused.clone()),
            ("dev:1", None, Some("secret"), refused.clone()),
            ("dev:1", Some("ann"), Some("secret"), LoginOpinion::Allow { superuser: true }),
        ] {
            assert_eq!(users.judge(&login(id, username, password)).await, expected, "{id} {username:?} {password:?}");
        }
    }

    #[tokio::test]
    async fn users_survive_a_restart_and_change_as_they_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let first = users(&folder).await;
        first.add(NameKind::Username, "ann", "one", false).await.unwrap();
        first.add(NameKind::Username, "bob", "two", true).await.unwrap();
        first.add(NameKind::ClientId, "ann", "three", false).await.unwrap();
        assert!(matches!(first.add(NameKind::Username, "ann", "x", false).await, Err(Error::Exists(_))));
        let full = first.add(NameKind::Username, "eve", "x", false).await.unwrap_err().to_string();
        assert!(full.contains("auth.users_max"), "{full}");
        first.update(NameKind::Username, "bob", "four", None).await.unwrap();
        first.remove(NameKind::Username, "ann").await.unwrap();
        assert!(matches!(first.remove(NameKind::Username, "ann").await, Err(Error::NotFound(_))));
        assert!(matches!(first.update(NameKind::ClientId, "x", "y", None).await, Err(Error::NotFound(_))));
        for (name, password) in [("", "x"), ("x\u{7}", "x"), ("x", ""), ("x", &"y".repeat(1_025))] {
            assert!(matches!(first.add(NameKind::Username, name, password, false).await, Err(Error::Invalid(_))));
        }
        let fake = first.for_scram("nobody").0;
        first.inner.kv.close().await.unwrap();
        drop(first);
        let second = users(&folder).await;
        assert_eq!(
            second.list(NameKind::Username, None, 10),
            [UserSummary { name: "bob".to_owned(), is_superuser: true }]
        );
        assert_eq!(second.list(NameKind::ClientId, None, 10).len(), 1);
        assert!(second.list(NameKind::Username, Some("bob"), 10).is_empty());
        let judged = second.judge(&login("c", Some("bob"), Some("four"))).await;
        assert_eq!(judged, LoginOpinion::Allow { superuser: true });
        assert_eq!(second.for_scram("nobody").0, fake, "an unknown name looks the same after a restart");
    }
}
