//! Rows to records: what travels to a sink beside the row.

use std::sync::Arc;

use connector::Record;
use model::{Body, Event, MessageId, Origin, Row, Str, Value};
use sql::EventView;

use crate::rule::Rule;

/// Appends one record for each row. Record ids are `<event id>/<rule id>/<row>`: unique also when two rules write the
/// same message to the same place, and the same again when a row is retried.
pub(crate) fn records(rule: &Rule, event: &Event, rows: Vec<Row>, out: &mut Vec<Record>) {
    let (event_id, passed_rules) = of_event(event);
    records_of(rule, event, (&event_id.to_string(), &passed_rules), rows, out);
}

/// The same for an event that is given again, with the id and the passed rules it had.
pub(crate) fn records_of(
    rule: &Rule,
    event: &Event,
    (event_id, passed_rules): (&str, &Arc<Vec<Str>>),
    rows: Vec<Row>,
    out: &mut Vec<Record>,
) {
    let kept = rule.keep_event.then(|| Arc::new(whole(event)));
    out.extend(rows.into_iter().enumerate().map(|(place, row)| Record {
        row,
        rule: rule.id.clone(),
        id: format!("{event_id}/{}/{place}", rule.id).into(),
        at_ms: event.at_ms,
        event: kept.clone(),
        passed_rules: Arc::clone(passed_rules),
    }));
}

/// The id of an event and the rules it passed.
pub(crate) fn of_event(event: &Event) -> (MessageId, Arc<Vec<Str>>) {
    match &event.body {
        Body::Publish(message) => {
            let passed = match &message.origin {
                Origin::Rules(passed) => Arc::clone(passed),
                _ => nothing_passed(),
            };
            (message.id, passed)
        }
        // Other events have no id of their own.
        Body::Fields(_) => (MessageId::next(event.at_ms), nothing_passed()),
    }
}

fn nothing_passed() -> Arc<Vec<Str>> {
    use std::sync::LazyLock;
    static NOTHING: LazyLock<Arc<Vec<Str>>> = LazyLock::new(Arc::default);
    Arc::clone(&NOTHING)
}

/// The event as a map, in the later vocabulary.
pub(crate) fn whole(event: &Event) -> Value {
    let mut fields = model::Map::default();
    EventView::new(event).each_field(sql::Generation::V5, |name, value| {
        if !value.is_missing() {
            fields.insert(name, value);
        }
    });
    Value::Map(Arc::new(fields))
}
