//! The aliases of one list of fields: which column each name is, and when its value becomes shared.

use model::Str;

use crate::plan::{Expr, GetStep, Let, Output};
use crate::span::{Class, Span};

/// One alias.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: Str,
    pub(super) expr: Expr,
    pub(super) span: Span,
    /// Made by writing below a name that nothing had defined: what it does not have is looked up in the event.
    pub(super) partial: bool,
}

#[derive(Debug)]
enum Entry {
    Column(Column),
    Event { except: Vec<Str> },
}

/// The aliases so far, in order.
#[derive(Debug, Default)]
pub(super) struct Scope {
    entries: Vec<Entry>,
}

impl Scope {
    /// The position of the alias `name`.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.entries.iter().rposition(|entry| matches!(entry, Entry::Column(column) if column.name == name))
    }

    pub(super) fn column(&self, at: usize) -> Option<&Column> {
        match self.entries.get(at) {
            Some(Entry::Column(column)) => Some(column),
            _ => None,
        }
    }

    fn column_mut(&mut self, at: usize) -> Option<&mut Column> {
        match self.entries.get_mut(at) {
            Some(Entry::Column(column)) => Some(column),
            _ => None,
        }
    }

    /// Adds `*`.
    pub(super) fn star(&mut self, except: Vec<Str>) {
        self.entries.push(Entry::Event { except });
    }

    /// Whether a `*` that has `name` stands after position `at` (or anywhere).
    pub(super) fn star_after(&self, at: Option<usize>, name: &str) -> bool {
        let from = at.map_or(0, |at| at + 1);
        self.entries
            .iter()
            .skip(from)
            .any(|entry| matches!(entry, Entry::Event { except } if !except.iter().any(|left| left == name)))
    }

    /// Writes the alias `name`; the last write wins. Returns its position.
    pub(super) fn define(&mut self, name: Str, expr: Expr, span: Span, partial: bool) -> usize {
        let column = Column { name, expr, span, partial };
        match self.find(&column.name) {
            // In place, unless a * stands between: the * would overwrite it again.
            Some(at) if !self.star_after(Some(at), &column.name) => {
                if let Some(entry) = self.entries.get_mut(at) {
                    *entry = Entry::Column(column);
                }
                at
            }
            found => {
                if let Some(at) = found {
                    self.entries.remove(at);
                }
                self.entries.push(Entry::Column(column));
                self.entries.len() - 1
            }
        }
    }

    pub(super) fn into_outputs(self) -> Vec<Output> {
        self.entries
            .into_iter()
            .map(|entry| match entry {
                Entry::Column(Column { name, expr, span, .. }) => Output::Column { name, expr, span },
                Entry::Event { except } => Output::Event { except },
            })
            .collect()
    }
}

/// The value of the alias at `at`, for use in another place. Cheap expressions are repeated; others become a let that
/// both places use.
pub(super) fn share(scope: &mut Scope, at: usize, lets: &mut Vec<Let>, class: Class) -> Expr {
    let per_item = scope.column(at).is_some_and(|column| depends_on_item(&column.expr, lets));
    let Some(column) = scope.column_mut(at) else { return Expr::Literal(model::Value::Missing) };
    if matches!(column.expr, Expr::Read(_) | Expr::Let(_) | Expr::Item | Expr::Literal(_)) {
        return column.expr.clone();
    }
    let expr = std::mem::replace(&mut column.expr, Expr::Let(lets.len()));
    lets.push(Let { name: column.name.clone(), expr, class, per_item });
    column.expr.clone()
}

/// Whether an expression needs the FOREACH item.
pub(super) fn depends_on_item(expr: &Expr, lets: &[Let]) -> bool {
    match expr {
        Expr::Item => true,
        Expr::Let(index) => lets.get(*index).is_some_and(|shared| shared.per_item),
        other => children(other).into_iter().any(|child| depends_on_item(child, lets)),
    }
}

/// The expressions directly below one.
pub(crate) fn children(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::Read(_) | Expr::Let(_) | Expr::Item | Expr::Literal(_) => Vec::new(),
        Expr::Get { base, step, .. } => match step {
            GetStep::Key(_) => vec![base],
            GetStep::Index(index) => vec![base, index],
        },
        Expr::Slice { base, from, to, .. } => vec![base, from, to],
        Expr::Range { from, to, .. } => vec![from, to],
        Expr::Put { base, value, .. } => vec![base, value],
        Expr::OrElse { first, second } => vec![first, second],
        Expr::Arithmetic { left, right, .. } | Expr::Concat { left, right, .. } | Expr::Compare { left, right, .. } => {
            vec![left, right]
        }
        Expr::Negate { value, .. } | Expr::IsNull { value, .. } | Expr::Not(value) => vec![value],
        Expr::TopicMatch { topic, filter, .. } => vec![topic, filter],
        Expr::Like { value, pattern, .. } => vec![value, pattern],
        Expr::Between { value, low, high, .. } => vec![value, low, high],
        Expr::In { value, items, .. } => std::iter::once(value.as_ref()).chain(items).collect(),
        Expr::And(items) | Expr::Or(items) | Expr::List(items) | Expr::Call { args: items, .. } => {
            items.iter().collect()
        }
        Expr::Case { operand, branches, otherwise } => {
            let branches = branches.iter().flat_map(|(when, then)| [when, then]);
            operand.as_deref().into_iter().chain(branches).chain(otherwise.as_deref()).collect()
        }
    }
}
