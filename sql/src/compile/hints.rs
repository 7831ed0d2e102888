//! What WHERE says about the topic, for the index of rules.

use model::Value;

use crate::plan::{CompareOp, Expr, Read};

/// Topic filters of which one must match the event's topic, or WHERE is not true. Empty when WHERE does not say.
pub(super) fn topic_hints(where_: &Expr, reads: &[Read]) -> Vec<String> {
    alternatives(where_, reads).unwrap_or_default()
}

fn alternatives(expr: &Expr, reads: &[Read]) -> Option<Vec<String>> {
    match expr {
        Expr::And(items) => items.iter().find_map(|item| alternatives(item, reads)),
        Expr::Or(items) => {
            let each: Option<Vec<Vec<String>>> = items.iter().map(|item| alternatives(item, reads)).collect();
            each.map(|each| each.concat())
        }
        Expr::TopicMatch { topic, filter, .. } => match (topic.as_ref(), filter.as_ref()) {
            (Expr::Read(read), Expr::Literal(Value::Text(filter))) if is_topic(*read, reads) => {
                model::validate_filter(filter).is_ok().then(|| vec![filter.as_str().to_owned()])
            }
            _ => None,
        },
        Expr::Compare { op: CompareOp::Eq, left, right, .. } => match (left.as_ref(), right.as_ref()) {
            (Expr::Read(read), Expr::Literal(literal)) | (Expr::Literal(literal), Expr::Read(read))
                if is_topic(*read, reads) =>
            {
                exact(literal).map(|topic| vec![topic])
            }
            _ => None,
        },
        Expr::In { value, items, negated: false, .. } => match value.as_ref() {
            Expr::Read(read) if is_topic(*read, reads) => items
                .iter()
                .map(|item| match item {
                    Expr::Literal(literal) => exact(literal),
                    _ => None,
                })
                .collect(),
            _ => None,
        },
        _ => None,
    }
}

fn is_topic(read: usize, reads: &[Read]) -> bool {
    reads.get(read).is_some_and(|read| read.field == "topic" && read.path.is_empty())
}

/// A topic that is compared for equality. One with wildcards is compared as text, which a filter cannot say.
fn exact(literal: &Value) -> Option<String> {
    let topic = literal.as_text()?;
    model::validate_topic(topic).is_ok().then(|| topic.to_owned())
}
