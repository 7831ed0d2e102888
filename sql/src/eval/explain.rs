//! Why a rule gave nothing, in words, with the values it saw.

use super::{Evaluator, Reason};
use crate::compile::children;
use crate::plan::{Expr, Plan, Shape, Source};
use crate::span::Span;
use crate::view::{EventView, shown};

/// An explanation names at most this many values.
const VALUES_SHOWN_MAX: usize = 8;

impl Reason {
    /// The reason as a sentence, for testers and logs.
    pub fn explain(&self, plan: &Plan, view: &EventView<'_>) -> String {
        match self {
            Self::From => explain_from(plan, view),
            Self::Where(index) => explain_where(plan, view, *index),
        }
    }
}

fn explain_from(plan: &Plan, view: &EventView<'_>) -> String {
    let sources: Vec<String> = plan
        .sources
        .iter()
        .map(|source| match source {
            Source::TopicFilter(filter) => format!("messages published to \"{filter}\""),
            Source::Event { pattern, kinds } if kinds.is_empty() => {
                format!("\"{pattern}\", which never fires (a publish is selected by its topic filter)")
            }
            Source::Event { pattern, .. } => format!("the event \"{pattern}\""),
        })
        .collect();
    let event = match view.topic() {
        Some(topic) => format!("{} on topic \"{topic}\"", view.kind().name()),
        None => view.kind().name().to_owned(),
    };
    format!("FROM does not match: the rule selects {}; the event is {event}", sources.join(" or "))
}

fn explain_where(plan: &Plan, view: &EventView<'_>, index: usize) -> String {
    let conjunct = match &plan.where_ {
        Some(Expr::And(items)) => items.get(index),
        other => other.as_ref(),
    };
    let Some(conjunct) = conjunct else { return "WHERE is not true".to_owned() };
    let mut leaves = Vec::new();
    collect(conjunct, &mut leaves);
    let mut evaluator = Evaluator::new(plan, view, None);
    let mut seen: Vec<String> = Vec::new();
    for leaf in leaves.into_iter().take(VALUES_SHOWN_MAX) {
        let name = match leaf {
            Expr::Read(read) => plan.reads.get(*read).map(read_name).unwrap_or_default(),
            Expr::Let(shared) => plan.lets.get(*shared).map(|shared| shared.name.to_string()).unwrap_or_default(),
            _ => continue,
        };
        let value = evaluator
            .eval(leaf)
            .map_or_else(|failure| format!("an error ({})", failure.message).into(), |value| shown(&value));
        let line = format!("{name} = {value}");
        if !seen.contains(&line) {
            seen.push(line);
        }
    }
    let text = span_of(conjunct).and_then(|span| plan.sql.as_str().get(span.range()).map(str::to_owned));
    let condition = text.map_or_else(|| "WHERE".to_owned(), |text| format!("WHERE {text}"));
    if seen.is_empty() {
        format!("{condition} is not true")
    } else {
        format!("{condition} is not true with {}", seen.join(", "))
    }
}

fn collect<'p>(expr: &'p Expr, leaves: &mut Vec<&'p Expr>) {
    match expr {
        Expr::Read(_) | Expr::Let(_) => leaves.push(expr),
        other => children(other).into_iter().for_each(|child| collect(child, leaves)),
    }
}

fn read_name(read: &crate::plan::Read) -> String {
    let mut name = read.field.to_string();
    for step in &read.path {
        match step {
            crate::plan::Step::Key(key) => name.push_str(&format!(".{key}")),
            crate::plan::Step::Index(index) => name.push_str(&format!("[{index}]")),
        }
    }
    name
}

/// The place of an expression: its own, or that of everything below it.
fn span_of(expr: &Expr) -> Option<Span> {
    match expr {
        Expr::Compare { span, .. }
        | Expr::TopicMatch { span, .. }
        | Expr::Like { span, .. }
        | Expr::Between { span, .. }
        | Expr::In { span, .. }
        | Expr::Call { span, .. }
        | Expr::Arithmetic { span, .. } => Some(*span),
        other => children(other)
            .into_iter()
            .filter_map(span_of)
            .reduce(|a, b| Span { start: a.start.min(b.start), end: a.end.max(b.end) }),
    }
}

/// The sentence for a FOREACH that gave no rows.
pub fn explain_no_rows(plan: &Plan) -> String {
    match &plan.shape {
        Shape::Foreach { alias, incase: Some(_), .. } => {
            format!("the list is empty or no list, or INCASE was not true of any {alias}")
        }
        _ => "the list of FOREACH is empty, or is no list".to_owned(),
    }
}
