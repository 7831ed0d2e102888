//! Clients, subscriptions and routes, found by walking the sessions.
//!
//! A walk takes the registry's lock for a thousand sessions at a time and each session's for a moment: nobody waits for a
//! list. What comes and goes meanwhile may be in the list or not; nothing is in it twice.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use model::manage::{
    ClientFilter, ClientView, Found, ListenerView, RouteFilter, RouteView, Slice, SubscriptionFilter, SubscriptionView,
};
use model::{ProtocolVersion, Str, filter_matches};

use crate::handle::Handle;
use crate::node::Core;
use crate::registry::{Entry, Inner, Subscribed};
use crate::topics::{effective_filter, split_share};

/// Sessions taken from the registry at a time.
const WALK_SESSIONS: usize = 1_000;
/// Between the client identifier and the filter in a cursor; neither can have it.
const CURSOR_SEPARATOR: char = '\n';

pub(super) fn listeners(handle: &Handle) -> Vec<ListenerView> {
    let core = handle.core();
    let view = |(name, address): &(String, std::net::SocketAddr)| ListenerView {
        name: name.clone(),
        protocol: "mqtt:tcp".to_owned(),
        address: *address,
        connections_max: core.settings.connections_max as u64,
        connection_count: core.counters.connections.get(),
    };
    handle.local_addrs().iter().map(view).collect()
}

/// Calls `each` with every session after `after`, until it says to stop.
fn walk(core: &Core, after: Option<&str>, mut each: impl FnMut(&Arc<Entry>) -> Walk) {
    let mut after = after.map(Str::new);
    loop {
        let page = core.registry.page(after.as_deref(), WALK_SESSIONS);
        for entry in &page {
            if each(entry) == Walk::Stop {
                return;
            }
        }
        match page.last() {
            Some(last) if page.len() == WALK_SESSIONS => after = Some(last.client_id.clone()),
            _ => return,
        }
    }
}

#[derive(PartialEq, Eq)]
enum Walk {
    On,
    Stop,
}

/// A part of a list while it is being found.
struct Finding<'a, T> {
    slice: Slice<'a>,
    found: Found<T>,
    count: usize,
    last: Option<Str>,
}

impl<'a, T> Finding<'a, T> {
    fn new(slice: Slice<'a>) -> Self {
        Self { slice, found: Found { items: Vec::new(), next: None, total: None }, count: 0, last: None }
    }

    /// Takes one more of the list into account.
    fn take(&mut self, cursor: impl FnOnce() -> Str, item: impl FnOnce() -> T) -> Walk {
        self.count += 1;
        if self.count <= self.slice.skip {
            return Walk::On;
        }
        if self.found.items.len() < self.slice.limit {
            self.found.items.push(item());
            if self.found.items.len() == self.slice.limit {
                self.last = Some(cursor());
            }
            return Walk::On;
        }
        // One more than was asked for: the list goes on.
        self.found.next = self.last.clone();
        if self.slice.counts { Walk::On } else { Walk::Stop }
    }

    fn finish(mut self) -> Found<T> {
        self.found.total = self.slice.counts.then_some(self.count);
        self.found
    }
}

pub(super) fn clients(core: &Core, wanted: &ClientFilter, slice: Slice<'_>) -> Found<ClientView> {
    let mut finding = Finding::new(slice);
    let mut take = |entry: &Arc<Entry>| {
        if !is_wanted(entry, wanted) {
            return Walk::On;
        }
        finding.take(|| entry.client_id.clone(), || client(core, entry))
    };
    match &wanted.client_id {
        Some(client_id) => {
            if let Some(entry) = one_of(core, client_id, slice.after) {
                take(&entry);
            }
        }
        None => walk(core, slice.after, take),
    }
    finding.finish()
}

/// The session of a client, unless a cursor is past it.
fn one_of(core: &Core, client_id: &str, after: Option<&str>) -> Option<Arc<Entry>> {
    core.registry.get(client_id).filter(|_| after.is_none_or(|after| client_id > after))
}

fn is_wanted(entry: &Entry, wanted: &ClientFilter) -> bool {
    // What needs no lock comes first.
    let is = |wanted: &Option<String>, text: &str| wanted.as_deref().is_none_or(|wanted| wanted == text);
    let is_like = |wanted: &Option<String>, text: &str| wanted.as_deref().is_none_or(|part| text.contains(part));
    let username = entry.owner.as_deref().unwrap_or_default();
    if !is(&wanted.client_id, &entry.client_id)
        || !is_like(&wanted.client_id_like, &entry.client_id)
        || !is(&wanted.username, username)
        || !is_like(&wanted.username_like, username)
    {
        return false;
    }
    let inner = entry.inner.lock();
    let info = &inner.info;
    wanted.is_connected.is_none_or(|wanted| wanted == inner.link.is_some())
        && wanted.address.is_none_or(|wanted| info.peer.is_some_and(|peer| peer.ip() == wanted))
        && wanted.version.is_none_or(|wanted| wanted == info.version as u8)
        && wanted.clean_start.is_none_or(|wanted| wanted == info.clean_start)
        && wanted.is_persistent.is_none_or(|wanted| wanted == (inner.expiry_secs > 0))
}

pub(super) fn client(core: &Core, entry: &Entry) -> ClientView {
    let inner = entry.inner.lock();
    let info = &inner.info;
    let count = |pick: fn(&crate::registry::Link) -> &std::sync::atomic::AtomicU64| {
        inner.link.as_ref().map_or(0, |link| pick(link).load(Ordering::Relaxed))
    };
    ClientView {
        client_id: entry.client_id.clone(),
        username: info.username.clone(),
        is_connected: inner.link.is_some(),
        address: info.peer.map(|peer| peer.ip()),
        port: info.peer.map(|peer| peer.port()),
        protocol: if info.version == ProtocolVersion::V3_1 { "MQIsdp" } else { "MQTT" },
        version: info.version as u8,
        keepalive_secs: info.keepalive_secs,
        clean_start: info.clean_start,
        is_bridge: info.is_bridge,
        mountpoint: info.mountpoint.clone(),
        connected_at_ms: info.connected_at_ms,
        created_at_ms: inner.created_at_ms,
        session_expiry_secs: inner.expiry_secs,
        subscription_count: inner.subscriptions.len(),
        queue_message_count: inner.queue.len(),
        queue_bytes: inner.queue.bytes(),
        inflight_count: inner.outbound.len(),
        inflight_max: usize::from(core.settings.inflight_max),
        awaiting_rel_count: inner.inbound.len(),
        received_count: count(|link| &link.received_count),
        sent_count: count(|link| &link.sent_count),
        enqueued_count: inner.enqueued_count,
        dropped_count: inner.dropped_count,
    }
}

pub(super) fn subscriptions(core: &Core, wanted: &SubscriptionFilter, slice: Slice<'_>) -> Found<SubscriptionView> {
    let (after_client, after_filter) = match slice.after.map(|after| after.split_once(CURSOR_SEPARATOR)) {
        Some(Some((client_id, filter))) => (Some(client_id), Some(filter)),
        Some(None) => (slice.after, None),
        None => (None, None),
    };
    let mut finding = Finding::new(slice);
    let mut take = |entry: &Arc<Entry>, after: Option<&str>| {
        let inner = entry.inner.lock();
        for (filter, subscribed) in after_in(&inner, after) {
            if !is_wanted_subscription(filter, *subscribed, wanted) {
                continue;
            }
            let cursor = || Str::from(format!("{}{CURSOR_SEPARATOR}{filter}", entry.client_id));
            let view = || SubscriptionView {
                client_id: entry.client_id.clone(),
                filter: filter.clone(),
                qos: subscribed.options.qos,
                options: subscribed.options.bits(),
                identifier: subscribed.identifier,
            };
            if finding.take(cursor, view) == Walk::Stop {
                return Walk::Stop;
            }
        }
        Walk::On
    };
    let wants = |client_id: &str| wanted.client_id.as_deref().is_none_or(|wanted| wanted == client_id);
    // The session in which the last answer ended may have more.
    let cut = after_client.filter(|id| after_filter.is_some() && wants(id)).and_then(|id| core.registry.get(id));
    if let Some(entry) = cut
        && take(&entry, after_filter) == Walk::Stop
    {
        return finding.finish();
    }
    match &wanted.client_id {
        Some(client_id) => {
            if let Some(entry) = one_of(core, client_id, after_client) {
                take(&entry, None);
            }
        }
        None => walk(core, after_client, |entry| take(entry, None)),
    }
    finding.finish()
}

fn after_in<'a>(inner: &'a Inner, after: Option<&str>) -> impl Iterator<Item = (&'a Str, &'a Subscribed)> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    inner.subscriptions.range::<str, _>((from, Bound::Unbounded))
}

fn is_wanted_subscription(filter: &str, subscribed: Subscribed, wanted: &SubscriptionFilter) -> bool {
    let effective = effective_filter(filter);
    wanted.filter.as_deref().is_none_or(|wanted| wanted == filter)
        && wanted.qos.is_none_or(|wanted| wanted == subscribed.options.qos as u8)
        && wanted.is_shared.is_none_or(|wanted| wanted == split_share(filter).is_some())
        && wanted.matches.as_deref().is_none_or(|topic| filter_matches(effective, topic))
}

/// Routes are not kept in order anywhere: the first ones after the cursor are picked out while all subscriptions pass
/// by. That holds at most as many as were asked for.
pub(super) fn routes(core: &Core, wanted: &RouteFilter, slice: Slice<'_>) -> Found<RouteView> {
    let keep = slice.skip.saturating_add(slice.limit).saturating_add(1);
    let is_unfiltered = wanted.filter.is_none() && wanted.filter_like.is_none() && wanted.matches.is_none();
    // Counting those that match holds all of them.
    let keep = if slice.counts && !is_unfiltered { usize::MAX } else { keep };
    let mut first: BTreeMap<Str, usize> = BTreeMap::new();
    walk(core, None, |entry| {
        for filter in entry.inner.lock().subscriptions.keys() {
            let effective = effective_filter(filter);
            if slice.after.is_some_and(|after| effective <= after) || !is_wanted_route(effective, wanted) {
                continue;
            }
            if let Some(count) = first.get_mut(effective) {
                *count += 1;
                continue;
            }
            if first.len() >= keep {
                if first.last_key_value().is_some_and(|(last, _)| effective > last.as_str()) {
                    continue;
                }
                first.pop_last();
            }
            first.insert(Str::new(effective), 1);
        }
        Walk::On
    });
    let mut finding = Finding::new(slice);
    let count = first.len();
    for (filter, subscription_count) in first {
        let cursor = filter.clone();
        if finding.take(|| cursor, || RouteView { filter, subscription_count }) == Walk::Stop {
            break;
        }
    }
    let mut found = finding.finish();
    if slice.counts {
        found.total = Some(if is_unfiltered { core.subscribers.filter_count() } else { count });
    }
    found
}

fn is_wanted_route(filter: &str, wanted: &RouteFilter) -> bool {
    wanted.filter.as_deref().is_none_or(|wanted| wanted == filter)
        && wanted.filter_like.as_deref().is_none_or(|part| filter.contains(part))
        && wanted.matches.as_deref().is_none_or(|topic| filter_matches(filter, topic))
}
