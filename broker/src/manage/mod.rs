//! The broker's side of [`model::manage`]: lists, and what administrators do to clients.

mod actions;
mod lists;

use model::Qos;
use model::manage::{
    About, Alarm, AlarmView, Alarms, ClientFilter, ClientView, Found, ListenerView, Manage, ManageError, Number,
    RouteFilter, RouteView, Slice, SubscriptionFilter, SubscriptionView, TraceError, TraceSpec, TraceView, Traces,
};

use crate::handle::Handle;
use crate::numbers::{Metric, Stat};

impl Handle {
    /// The session of one client identifier.
    pub fn client(&self, client_id: &str) -> Option<ClientView> {
        let core = self.core();
        core.registry.get(client_id).map(|entry| lists::client(core, &entry))
    }

    /// The subscriptions of one client.
    pub fn subscriptions_of(&self, client_id: &str) -> Vec<SubscriptionView> {
        let wanted = SubscriptionFilter { client_id: Some(client_id.to_owned()), ..SubscriptionFilter::default() };
        lists::subscriptions(self.core(), &wanted, Slice::after(None, usize::MAX)).items
    }

    /// Ends a client's connection and its session (0x98 Administrative action). `false` when there is neither.
    pub fn kick(&self, client_id: &str) -> bool {
        self.core().kick(client_id)
    }
}

impl Manage for Handle {
    fn about(&self) -> About {
        self.core().about()
    }

    fn listeners(&self) -> Vec<ListenerView> {
        lists::listeners(self)
    }

    fn stats(&self) -> Vec<Number> {
        let core = self.core();
        let both = |stat: &Stat| {
            let (now, max) = core.stat(*stat);
            [Number { name: stat.count_name(), value: now }, Number { name: stat.max_name(), value: max }]
        };
        Stat::ALL.iter().flat_map(both).collect()
    }

    fn metrics(&self) -> Vec<Number> {
        let totals = self.core().counters.totals();
        Metric::ALL.iter().map(|metric| Number { name: metric.name(), value: totals.get(*metric) }).collect()
    }

    fn clients(&self, wanted: &ClientFilter, slice: Slice<'_>) -> Found<ClientView> {
        lists::clients(self.core(), wanted, slice)
    }

    fn client(&self, client_id: &str) -> Option<ClientView> {
        Self::client(self, client_id)
    }

    fn subscriptions(&self, wanted: &SubscriptionFilter, slice: Slice<'_>) -> Found<SubscriptionView> {
        lists::subscriptions(self.core(), wanted, slice)
    }

    fn routes(&self, wanted: &RouteFilter, slice: Slice<'_>) -> Found<RouteView> {
        lists::routes(self.core(), wanted, slice)
    }

    fn kick(&self, client_id: &str) -> bool {
        Self::kick(self, client_id)
    }

    fn subscribe(&self, client_id: &str, filter: &str, qos: Qos) -> Result<(), ManageError> {
        self.core().subscribe_for(client_id, filter, qos)
    }

    fn unsubscribe(&self, client_id: &str, filter: &str) -> Result<(), ManageError> {
        self.core().unsubscribe_for(client_id, filter)
    }
}

impl Alarms for Handle {
    fn activate(&self, alarm: Alarm) -> bool {
        self.core().activate_alarm(alarm)
    }

    fn deactivate(&self, name: &str) -> bool {
        self.core().deactivate_alarm(name)
    }

    fn present(&self) -> Vec<AlarmView> {
        self.core().alarms.present()
    }

    fn history(&self) -> Vec<AlarmView> {
        self.core().alarms.history()
    }

    fn clear_history(&self) {
        self.core().alarms.clear_history();
    }
}

impl Traces for Handle {
    fn start_trace(&self, spec: TraceSpec) -> Result<TraceView, TraceError> {
        let core = self.core();
        core.traces.start(spec, core.now_ms())
    }

    fn stop_trace(&self, name: &str) -> Result<TraceView, TraceError> {
        let core = self.core();
        core.traces.stop(name, core.now_ms())
    }

    fn delete_trace(&self, name: &str) -> Result<(), TraceError> {
        self.core().traces.delete(name)
    }

    fn traces(&self) -> Vec<TraceView> {
        self.core().traces.list()
    }

    fn read_trace(&self, name: &str, offset: u64, bytes_max: usize) -> Result<Vec<u8>, TraceError> {
        self.core().traces.read(name, offset, bytes_max)
    }
}
