//! The ban list: client identifiers, user names and addresses that may not connect, with reason and end. Kept in the
//! embedded store, all of it in memory too.
//!
//! Invariants: a ban that was answered with success is durable (a flapping ban is in force at once and durable soon
//! after); an expired ban is as good as none; the number of bans is bounded, and looking one up does not depend on it.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use model::{ClientInfo, Clock};
use parking_lot::RwLock;
use serde_json::{Value as Json, json};
use store::{Kv, WriteBatch};
use tokio::sync::Mutex;

use crate::acl::network;
use crate::error::Error;

const TABLE: &str = "auth_banned";
/// Longest name, reason and author, bytes.
const TEXT_BYTES_MAX: usize = 1_024;

/// What is banned.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A client identifier.
    ClientId(String),
    /// A user name.
    Username(String),
    /// An address or a network.
    Address(IpNet),
}

impl Target {
    /// A target of version 3's words: `client_id`, `username` or `ip_address`.
    ///
    /// # Errors
    /// The kind is unknown, or the name or address is not valid.
    pub fn parse(kind: &str, who: &str) -> Result<Self, Error> {
        if who.is_empty() || who.len() > TEXT_BYTES_MAX {
            return Err(Error::Invalid(format!("who must have 1 to {TEXT_BYTES_MAX} bytes")));
        }
        match kind {
            "client_id" => Ok(Self::ClientId(who.to_owned())),
            "username" => Ok(Self::Username(who.to_owned())),
            "ip_address" => network(who).map(|net| Self::Address(net.trunc())).map_err(Error::Invalid),
            _ => Err(Error::Invalid(format!("{kind:?} cannot be banned; as is client_id, username or ip_address"))),
        }
    }

    /// The kind in version 3's words.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ClientId(_) => "client_id",
            Self::Username(_) => "username",
            Self::Address(_) => "ip_address",
        }
    }

    /// Name, address or network.
    pub fn who(&self) -> String {
        match self {
            Self::ClientId(name) | Self::Username(name) => name.clone(),
            Self::Address(net) if net.prefix_len() == net.max_prefix_len() => net.addr().to_string(),
            Self::Address(net) => net.to_string(),
        }
    }

    /// Whether it means this client.
    pub fn is(&self, client: &ClientInfo) -> bool {
        match self {
            Self::ClientId(name) => &*client.client_id == name.as_str(),
            Self::Username(name) => client.username.as_deref() == Some(name.as_str()),
            Self::Address(net) => client.peer.is_some_and(|peer| net.contains(&peer.ip().to_canonical())),
        }
    }

    fn key(&self) -> Vec<u8> {
        format!("{}/{}", self.kind(), self.who()).into_bytes()
    }
}

/// One ban.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// What is banned.
    pub target: Target,
    /// Why.
    pub reason: String,
    /// Who banned it.
    pub by: String,
    /// Since when, milliseconds since the epoch.
    pub at_ms: i64,
    /// Until when, milliseconds since the epoch; `None` is for ever.
    pub until_ms: Option<i64>,
}

impl Ban {
    fn holds(&self, now_ms: i64) -> bool {
        self.until_ms.is_none_or(|until_ms| now_ms < until_ms)
    }
}

/// The ban list. Clones share it.
#[derive(Clone)]
pub struct Banned {
    inner: Arc<Inner>,
}

struct Inner {
    kv: Kv,
    count_max: usize,
    clock: Arc<dyn Clock>,
    known: RwLock<Known>,
    /// Changes happen one after the other, so that memory and store agree.
    changing: Mutex<()>,
}

#[derive(Default)]
struct Known {
    clients: HashMap<String, Ban>,
    usernames: HashMap<String, Ban>,
    networks: HashMap<IpNet, Ban>,
    /// How many networks there are of each size: an address is looked up once for each.
    sizes: BTreeMap<u8, usize>,
}

impl Known {
    fn len(&self) -> usize {
        self.clients.len() + self.usernames.len() + self.networks.len()
    }

    fn all(&self) -> impl Iterator<Item = &Ban> {
        self.clients.values().chain(self.usernames.values()).chain(self.networks.values())
    }

    fn get(&self, target: &Target) -> Option<&Ban> {
        match target {
            Target::ClientId(name) => self.clients.get(name),
            Target::Username(name) => self.usernames.get(name),
            Target::Address(net) => self.networks.get(net),
        }
    }

    fn insert(&mut self, ban: Ban) {
        self.remove(&ban.target);
        match &ban.target {
            Target::ClientId(name) => self.clients.insert(name.clone(), ban),
            Target::Username(name) => self.usernames.insert(name.clone(), ban),
            Target::Address(net) => {
                *self.sizes.entry(net.prefix_len()).or_default() += 1;
                self.networks.insert(*net, ban)
            }
        };
    }

    fn remove(&mut self, target: &Target) -> Option<Ban> {
        match target {
            Target::ClientId(name) => self.clients.remove(name),
            Target::Username(name) => self.usernames.remove(name),
            Target::Address(net) => {
                let removed = self.networks.remove(net)?;
                if let Some(count) = self.sizes.get_mut(&net.prefix_len()) {
                    *count -= 1;
                    if *count == 0 {
                        self.sizes.remove(&net.prefix_len());
                    }
                }
                Some(removed)
            }
        }
    }

    fn is_full_for(&self, target: &Target, count_max: usize) -> bool {
        self.len() >= count_max && self.get(target).is_none()
    }

    /// Takes expired bans away, only when there is no room for `target` otherwise, and returns them.
    fn clear_expired(&mut self, target: &Target, count_max: usize, now_ms: i64) -> Vec<Target> {
        if !self.is_full_for(target, count_max) {
            return Vec::new();
        }
        let expired: Vec<Target> = self.all().filter(|ban| !ban.holds(now_ms)).map(|ban| ban.target.clone()).collect();
        expired.iter().for_each(|target| drop(self.remove(target)));
        expired
    }

    fn of_address(&self, address: IpAddr, now_ms: i64) -> bool {
        let holds = |net: IpNet| self.networks.get(&net.trunc()).is_some_and(|ban| ban.holds(now_ms));
        self.sizes.keys().any(|size| IpNet::new(address, *size).is_ok_and(holds))
    }
}

impl Banned {
    /// Reads the list from the store.
    pub(crate) async fn open(kv: Kv, count_max: usize, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let mut known = Known::default();
        for (key, value) in kv.scan(TABLE, b"").await? {
            let ban = parse(&value).ok_or_else(|| {
                Error::Invalid(format!("a ban in the store cannot be read: {}", String::from_utf8_lossy(&key)))
            })?;
            known.insert(ban);
        }
        let (known, changing) = (RwLock::new(known), Mutex::new(()));
        Ok(Self { inner: Arc::new(Inner { kv, count_max, clock, known, changing }) })
    }

    /// Whether any ban means this client.
    pub fn is_banned(&self, client: &ClientInfo) -> bool {
        let known = self.inner.known.read();
        if known.len() == 0 {
            return false;
        }
        let now_ms = self.inner.clock.now_ms();
        let holds = |ban: Option<&Ban>| ban.is_some_and(|ban| ban.holds(now_ms));
        holds(known.clients.get(&*client.client_id))
            || client.username.as_deref().is_some_and(|name| holds(known.usernames.get(name)))
            || client.peer.is_some_and(|peer| known.of_address(peer.ip().to_canonical(), now_ms))
    }

    /// The bans that hold, by kind and name.
    pub fn list(&self) -> Vec<Ban> {
        let now_ms = self.inner.clock.now_ms();
        let mut bans: Vec<Ban> = self.inner.known.read().all().filter(|ban| ban.holds(now_ms)).cloned().collect();
        bans.sort_by_cached_key(|ban| ban.target.key());
        bans
    }

    /// Number of entries, expired ones that were not yet cleared away included.
    pub fn len(&self) -> usize {
        self.inner.known.read().len()
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bans; an earlier ban of the same target is replaced.
    ///
    /// # Errors
    /// The list is full, a text is too long, the end is past, or the store failed.
    pub async fn add(&self, ban: Ban) -> Result<(), Error> {
        if ban.reason.len() > TEXT_BYTES_MAX || ban.by.len() > TEXT_BYTES_MAX {
            return Err(Error::Invalid(format!("reason and by have at most {TEXT_BYTES_MAX} bytes")));
        }
        if !ban.holds(self.inner.clock.now_ms()) {
            return Err(Error::Invalid("until is in the past; give a later time, or none for ever".to_owned()));
        }
        let _changing = self.inner.changing.lock().await;
        self.make_room(&ban.target).await?;
        self.inner.kv.put(TABLE, ban.target.key(), stored(&ban)).await?;
        self.inner.known.write().insert(ban);
        Ok(())
    }

    /// Lifts a ban.
    ///
    /// # Errors
    /// There is none, or the store failed.
    pub async fn remove(&self, target: &Target) -> Result<(), Error> {
        let _changing = self.inner.changing.lock().await;
        if self.inner.known.read().get(target).is_none() {
            return Err(Error::NotFound(format!("{} {} is not banned", target.kind(), target.who())));
        }
        self.inner.kv.delete(TABLE, target.key()).await?;
        self.inner.known.write().remove(target);
        Ok(())
    }

    /// Bans at once and writes it down soon. `false`: the list is full.
    pub(crate) fn add_now(&self, ban: Ban) -> bool {
        let expired = {
            let mut known = self.inner.known.write();
            let expired = known.clear_expired(&ban.target, self.inner.count_max, self.inner.clock.now_ms());
            if known.is_full_for(&ban.target, self.inner.count_max) {
                return false;
            }
            known.insert(ban.clone());
            expired
        };
        let banned = self.clone();
        drop(model::task::spawn("auth-ban", async move {
            let _changing = banned.inner.changing.lock().await;
            let mut batch = deletions(&expired);
            // It may have been lifted, or replaced, before its turn came.
            let now = banned.inner.known.read().get(&ban.target).cloned();
            if now.as_ref() == Some(&ban) {
                batch.put(TABLE, ban.target.key(), stored(&ban));
            }
            if let Err(error) = banned.inner.kv.write(batch).await {
                tracing::warn!(%error, "a ban is not written down and ends with this process");
            }
        }));
        true
    }

    /// Clears expired bans away when there is no room for another one.
    async fn make_room(&self, target: &Target) -> Result<(), Error> {
        let (expired, is_full) = {
            let mut known = self.inner.known.write();
            let expired = known.clear_expired(target, self.inner.count_max, self.inner.clock.now_ms());
            (expired, known.is_full_for(target, self.inner.count_max))
        };
        if !expired.is_empty() {
            self.inner.kv.write(deletions(&expired)).await?;
        }
        if is_full {
            let count = self.inner.count_max;
            return Err(Error::Full(format!("{count} are banned already; lift some or raise auth.banned_max")));
        }
        Ok(())
    }
}

fn deletions(targets: &[Target]) -> WriteBatch {
    let mut batch = WriteBatch::new();
    targets.iter().for_each(|target| {
        batch.delete(TABLE, target.key());
    });
    batch
}

fn stored(ban: &Ban) -> String {
    json!({"as": ban.target.kind(), "who": ban.target.who(), "reason": ban.reason, "by": ban.by, "at_ms": ban.at_ms,
        "until_ms": ban.until_ms})
    .to_string()
}

fn parse(value: &[u8]) -> Option<Ban> {
    let json: Json = serde_json::from_slice(value).ok()?;
    let text = |key: &str| json.get(key).and_then(Json::as_str).map(str::to_owned);
    Some(Ban {
        target: Target::parse(&text("as")?, &text("who")?).ok()?,
        reason: text("reason")?,
        by: text("by")?,
        at_ms: json.get("at_ms")?.as_i64()?,
        until_ms: json.get("until_ms").and_then(Json::as_i64),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Instant;

    use super::*;
    use crate::acl::tests::client;

    /// A clock that the test turns.
    #[derive(Default)]
    pub(crate) struct Turned(pub(crate) AtomicI64);

    impl Clock for Turned {
        fn now_ns(&self) -> i64 {
            self.0.load(Ordering::SeqCst) * 1_000_000
        }
        fn instant(&self) -> Instant {
            model::SystemClock.instant()
        }
    }

    pub(crate) async fn banned(folder: &tempfile::TempDir, clock: &Arc<Turned>) -> Banned {
        let kv = Kv::open(folder.path().join("kv")).await.unwrap();
        Banned::open(kv, 4, clock.clone()).await.unwrap()
    }

    fn ban(kind: &str, who: &str, until_ms: Option<i64>) -> Ban {
        let target = Target::parse(kind, who).unwrap();
        Ban { target, reason: "test".to_owned(), by: "admin".to_owned(), at_ms: 0, until_ms }
    }

    #[tokio::test]
    async fn bans_mean_client_identifiers_user_names_and_networks() {
        let folder = tempfile::tempdir().unwrap();
        let list = banned(&folder, &Arc::default()).await;
        list.add(ban("client_id", "bad", None)).await.unwrap();
        list.add(ban("username", "eve", None)).await.unwrap();
        list.add(ban("ip_address", "10.1.2.3/8", None)).await.unwrap();
        list.add(ban("ip_address", "fe80::1", None)).await.unwrap();
        for (id, name, address, expected) in [
            ("bad", None, "127.0.0.1", true),
            ("good", None, "127.0.0.1", false),
            ("good", Some("eve"), "127.0.0.1", true),
            ("eve", Some("bad"), "127.0.0.1", false),
            ("good", None, "10.200.0.1", true),
            ("good", None, "11.0.0.1", false),
            ("good", None, "::ffff:10.0.0.1", true),
            ("good", None, "fe80::1", true),
            ("good", None, "fe80::2", false),
        ] {
            let client = client(id, name, address);
            assert_eq!(list.is_banned(&client), expected, "{id} {name:?} {address}");
            assert_eq!(list.list().iter().any(|ban| ban.target.is(&client)), expected, "{id} {name:?} {address}");
        }
        assert_eq!(list.list()[1].target.who(), "10.0.0.0/8", "a network is written as one");
        list.remove(&Target::parse("ip_address", "10.0.0.0/8").unwrap()).await.unwrap();
        assert!(!list.is_banned(&client("good", None, "10.200.0.1")));
        for (kind, who) in
            [("ip_address", "10.0.0"), ("address", "10.0.0.1"), ("client_id", ""), ("username", &"x".repeat(1_025))]
        {
            assert!(Target::parse(kind, who).is_err(), "{kind} {who}");
        }
    }

    #[tokio::test]
    async fn bans_end_survive_a_restart_and_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Turned::default());
        let list = banned(&folder, &clock).await;
        list.add(ban("client_id", "short", Some(1_000))).await.unwrap();
        for who in ["a", "b", "c"] {
            list.add(ban("client_id", who, None)).await.unwrap();
        }
        let full = list.add(ban("client_id", "d", None)).await.unwrap_err().to_string();
        assert!(full.contains("auth.banned_max"), "{full}");
        list.add(ban("client_id", "c", Some(9_000))).await.unwrap();
        assert!(!list.add_now(ban("client_id", "d", None)), "a flapping ban finds no room either");
        let short = client("short", None, "127.0.0.1");
        assert!(list.is_banned(&short));
        clock.0.store(1_000, Ordering::SeqCst);
        assert!(!list.is_banned(&short));
        assert_eq!(list.list().len(), 3);
        assert!(list.add_now(ban("client_id", "d", None)), "the expired one made room");
        let written = async {
            while list.inner.kv.get(TABLE, b"client_id/short").await.unwrap().is_some() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), written).await.expect("written down soon");
        list.add(ban("client_id", "d", None)).await.unwrap();
        assert!(matches!(list.add(ban("client_id", "d", Some(500))).await, Err(Error::Invalid(_))));
        list.inner.kv.close().await.unwrap();
        let again = banned(&folder, &clock).await;
        assert_eq!(again.list(), list.list());
        assert!(matches!(again.remove(&Target::ClientId("short".to_owned())).await, Err(Error::NotFound(_))));
    }
}
