//! Access control as a whole: the chains behind the ports, and what an administrator does to them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use model::ports::{
    Access, Authenticate, Authorize, Decision, Exchange, Flapping, LiveClients, Login, Metrics, Sample, SampleKind,
    Verdict,
};
use model::{ClientInfo, Clock};
use store::Kv;

use crate::acl::{Acl, AclSettings};
use crate::anonymous::{Anonymous, AnonymousAccess};
use crate::banned::{Ban, Banned, Target};
use crate::chain::{AccessChain, LoginLink, judge_login};
use crate::counters::{Count, Counters};
use crate::error::Error;
use crate::flapping::{Seen, Watch};
use crate::scram::{self, Scram};
use crate::users::{UserSettings, Users};

/// Settings of the room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The rules.
    pub acl: AclSettings,
    /// Clients that nobody knows.
    pub anonymous: AnonymousAccess,
    /// The users.
    pub users: UserSettings,
    /// Most bans.
    pub banned_max: usize,
    /// Most clients watched for flapping at the same time.
    pub flapping_clients_max: usize,
}

/// Access control. Clones share it.
#[derive(Clone)]
pub struct Auth {
    inner: Arc<Inner>,
}

struct Inner {
    acl: Arc<Acl>,
    access: AccessChain,
    logins: Vec<Arc<dyn LoginLink>>,
    /// Counts what may change answers that were given before.
    version: AtomicU64,
    counters: Arc<Counters>,
    users: Users,
    banned: Banned,
    watch: Watch,
    clock: Arc<dyn Clock>,
    /// Who is connected; set once the broker runs.
    live: OnceLock<Arc<dyn LiveClients>>,
}

/// What is in force, for showing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclState {
    /// The file, or `built-in`.
    pub source: String,
    /// Number of rules.
    pub rule_count: usize,
    /// Counts reloads.
    pub version: u64,
}

impl Auth {
    /// Reads the rules, the users and the ban list.
    ///
    /// # Errors
    /// One of them cannot be read: there is no falling back to others.
    pub async fn open(settings: Settings, kv: Kv, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let counters = Arc::new(Counters::default());
        let acl = Arc::new(Acl::open(settings.acl, counters.clone())?);
        let users = Users::open(kv.clone(), settings.users).await?;
        let banned = Banned::open(kv, settings.banned_max, clock.clone()).await?;
        let inner = Inner {
            access: AccessChain(Arc::new([acl.clone()])),
            acl,
            logins: vec![Arc::new(users.clone()), Arc::new(Anonymous { access: settings.anonymous })],
            version: AtomicU64::new(1),
            counters,
            users,
            banned,
            watch: Watch::new(settings.flapping_clients_max),
            clock,
            live: OnceLock::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Tells where the connected clients are. Only the first call counts.
    pub fn set_live(&self, live: Arc<dyn LiveClients>) {
        // A second broker would be an error of the binary; the first one keeps being told.
        drop(self.inner.live.set(live));
    }

    /// Reads the rules again and has the subscriptions of connected clients judged by them.
    ///
    /// # Errors
    /// The rules cannot be used; the last good ones stay in force.
    pub async fn reload_acl(&self) -> Result<AclState, Error> {
        let acl = self.inner.acl.clone();
        // A file system may take its time; an async worker must not wait for it.
        let reloaded = tokio::task::spawn_blocking(move || acl.reload()).await;
        let reloaded =
            reloaded.map_err(|_| Error::Invalid("reading the rules panicked; nothing has changed".to_owned()))?;
        match reloaded {
            Ok(rule_count) => {
                self.inner.version.fetch_add(1, Ordering::SeqCst);
                self.inner.counters.reloads.add(1);
                tracing::info!(source = self.inner.acl.source(), rule_count, "access rules reloaded");
                if let Some(live) = self.inner.live.get() {
                    live.recheck();
                }
                Ok(self.acl_state())
            }
            Err(problem) => {
                self.inner.counters.reloads_failed.add(1);
                tracing::error!(%problem, "access rules not reloaded; the last good ones stay in force");
                Err(problem.into())
            }
        }
    }

    /// The users.
    pub fn users(&self) -> &Users {
        &self.inner.users
    }

    /// The ban list, for reading and lifting.
    pub fn banned(&self) -> &Banned {
        &self.inner.banned
    }

    /// Bans, ends the connections of those who are banned now, and returns how many.
    ///
    /// # Errors
    /// See [`Banned::add`].
    pub async fn ban(&self, ban: Ban) -> Result<usize, Error> {
        let target = ban.target.clone();
        self.inner.banned.add(ban).await?;
        let ended = self.inner.live.get().map_or(0, |live| live.end(&|client| target.is(client)));
        tracing::info!(kind = target.kind(), who = ?target.who(), ended, "banned");
        Ok(ended)
    }

    /// What is in force.
    pub fn acl_state(&self) -> AclState {
        AclState {
            source: self.inner.acl.source(),
            rule_count: self.inner.acl.rule_count(),
            version: self.inner.version.load(Ordering::SeqCst),
        }
    }
}

#[async_trait]
impl Authenticate for Auth {
    async fn authenticate(&self, login: Login) -> Verdict {
        let verdict = judge_login(&self.inner.logins, &login).await;
        if !matches!(verdict, Verdict::Allow { .. }) {
            self.inner.counters.logins_refused.add(1);
        }
        verdict
    }

    fn is_banned(&self, client: &ClientInfo) -> bool {
        let banned = self.inner.banned.is_banned(client);
        if banned {
            self.inner.counters.banned.add(1);
        }
        banned
    }

    fn state_changed(&self, client: &ClientInfo, measure: Flapping) {
        let now_ms = self.inner.clock.now_ms();
        let counters = &self.inner.counters;
        match self.inner.watch.change(&client.client_id, measure, now_ms) {
            Seen::Fine => {}
            Seen::Unwatched => counters.flapping_full.add(1),
            Seen::Flapping => {
                let ban = Ban {
                    target: Target::ClientId(client.client_id.to_string()),
                    reason: "flapping".to_owned(),
                    by: "flapping_detect".to_owned(),
                    at_ms: now_ms,
                    until_ms: Some(now_ms.saturating_add(i64::from(measure.ban_secs) * 1_000)),
                };
                if self.inner.banned.add_now(ban) {
                    counters.flapping_bans.add(1);
                    tracing::info!(client_id = ?client.client_id, secs = measure.ban_secs, "banned for flapping");
                } else {
                    counters.flapping_full.add(1);
                }
            }
        }
    }

    fn exchange(&self, _: &ClientInfo, method: &str) -> Option<Box<dyn Exchange>> {
        (method == scram::METHOD).then(|| Box::new(Scram::new(self.inner.users.clone())) as Box<dyn Exchange>)
    }
}

impl Authorize for Auth {
    fn authorize(&self, client: &ClientInfo, access: Access, topic: &str) -> Decision {
        let decision = self.inner.access.judge(client, access, topic);
        if matches!(decision, Decision::Deny) {
            self.inner.counters.denied.add(1);
        }
        decision
    }

    fn version(&self) -> u64 {
        self.inner.version.load(Ordering::Relaxed)
    }

    fn is_costly(&self) -> bool {
        self.inner.access.is_costly()
    }
}

impl Metrics for Auth {
    fn collect(&self, out: &mut Vec<Sample>) {
        let counters = &self.inner.counters;
        let mut total = |name, help, count: &Count| {
            out.push(Sample { name, help, kind: SampleKind::Counter, labels: Vec::new(), value: count.get() as f64 });
        };
        total("auth_logins_refused_total", "Logins refused by the chain.", &counters.logins_refused);
        total("auth_denied_total", "Accesses denied.", &counters.denied);
        total(
            "auth_unsafe_names_total",
            "Accesses denied because a client identifier or user name with + # or / would have become part of a rule's topic.",
            &counters.unsafe_names,
        );
        total("auth_acl_reloads_total", "Reloads of the access rules.", &counters.reloads);
        total("auth_acl_reloads_failed_total", "Reloads that failed and changed nothing.", &counters.reloads_failed);
        total("auth_banned_total", "CONNECTs of banned clients.", &counters.banned);
        total("auth_flapping_bans_total", "Bans for connecting and disconnecting too often.", &counters.flapping_bans);
        total(
            "auth_flapping_full_total",
            "Connects and disconnects not watched, or bans not made, because auth.flapping_clients_max or auth.banned_max was reached.",
            &counters.flapping_full,
        );
        let mut gauge = |name, help, value: usize| {
            out.push(Sample { name, help, kind: SampleKind::Gauge, labels: Vec::new(), value: value as f64 });
        };
        gauge("auth_acl_rules", "Access rules in force.", self.inner.acl.rule_count());
        gauge("auth_users", "User names and client identifiers with a password.", self.inner.users.len());
        gauge("auth_banned", "Bans, expired ones that were not yet cleared away included.", self.inner.banned.len());
        gauge("auth_flapping_clients", "Clients watched for flapping.", self.inner.watch.len());
    }
}
