//! The handle: what the API, the CLI's server side, the pipelines and the binary use.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::Clock;
use model::ports::{EventTap, Metrics, NoTap, Publish, Sample};

use crate::{ActionInfo, Error, Inspection, Rendered, RuleSpec, RuleView, Settings, TestEvent, TestOutcome};

/// What the engine needs from the rest of the server.
pub struct Deps {
    /// The connectors of this binary.
    pub registry: connector::Registry,
    /// Folder for the disk queues of actions.
    pub data_dir: PathBuf,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// This node's name, for events the engine itself makes.
    pub node: model::Str,
    /// Bounds.
    pub settings: Settings,
}

/// The rule engine. Cloning gives another handle to the same engine.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    publish: std::sync::OnceLock<Arc<dyn Publish>>,
}

fn not_yet() -> Error {
    Error::Unavailable("the engine's run path is in a later commit".to_owned())
}

impl Engine {
    /// Opens the engine: reads the stored rules and starts them. A rule whose resource is down starts too; its rows
    /// wait in their queues.
    pub async fn open(_deps: Deps) -> Result<Self, Error> {
        Ok(Self { inner: Arc::new(Inner { publish: std::sync::OnceLock::new() }) })
    }

    /// Binds the broker; once, after it was started with [`Engine::tap`]. Republished rows wait until then.
    pub fn set_publish(&self, publish: Arc<dyn Publish>) {
        drop(self.inner.publish.set(publish));
    }

    /// Where the broker hands over its events.
    pub fn tap(&self) -> Arc<dyn EventTap> {
        Arc::new(NoTap)
    }

    /// Checks, compiles, stores and starts a rule. `Conflict` when the id is taken.
    pub async fn create_rule(&self, _spec: RuleSpec) -> Result<RuleView, Error> {
        Err(not_yet())
    }

    /// Everything `create_rule` checks, with nothing stored or started; the SQL's warnings on success.
    pub async fn check_rule(&self, _spec: &RuleSpec) -> Result<Vec<crate::Diagnostic>, Error> {
        Err(not_yet())
    }

    /// Replaces a rule by id; rows of the old one that wait in queues are still delivered. `spec.origin` must name
    /// the same file that owns the rule, if one does.
    pub async fn replace_rule(&self, _id: &str, _spec: RuleSpec) -> Result<RuleView, Error> {
        Err(not_yet())
    }

    /// Deletes a rule. `by_file` is the file on whose behalf it is done (`weir apply`), `None` for the API.
    pub async fn delete_rule(&self, _id: &str, _by_file: Option<&str>) -> Result<(), Error> {
        Err(not_yet())
    }

    /// Switches a rule on or off.
    pub async fn set_enabled(&self, _id: &str, _enabled: bool) -> Result<RuleView, Error> {
        Err(not_yet())
    }

    /// Every rule, by id.
    pub fn rules(&self) -> Vec<RuleView> {
        Vec::new()
    }

    /// One rule.
    pub fn rule(&self, id: &str) -> Result<RuleView, Error> {
        Err(Error::NotFound(format!("there is no rule {id}")))
    }

    /// Ids of the rules with an action bound to this resource; the resource cannot be deleted before them.
    pub fn rules_using(&self, _resource: &str) -> Vec<model::Str> {
        Vec::new()
    }

    /// Every action a rule can name.
    pub fn actions(&self) -> Vec<ActionInfo> {
        Vec::new()
    }

    /// One action.
    pub fn action(&self, name: &str) -> Result<ActionInfo, Error> {
        Err(Error::NotFound(format!("there is no action {name}")))
    }

    /// The last rows of the `inspect` actions of a rule, oldest first.
    pub fn inspections(&self, _rule: &str) -> Result<Vec<Inspection>, Error> {
        Err(not_yet())
    }

    /// The SQL tester with each action's request by dry run: nothing is sent.
    pub async fn test_rule(&self, _spec: &RuleSpec, event: &TestEvent) -> (TestOutcome, Vec<Rendered>) {
        (crate::test("", event), Vec::new())
    }

    /// Takes no more events, finishes batches, and drains the queues until `deadline` has passed; what is left in
    /// disk queues stays there.
    pub async fn stop(&self, _deadline: Duration) {}
}

impl Metrics for Engine {
    fn collect(&self, _out: &mut Vec<Sample>) {}
}
