//! From rows to typed cells against a table's schema: which columns are new, and which rows do not fit.

use std::collections::HashMap;
use std::sync::Arc;

use connector::{Error, ErrorKind};
use model::{Row, Str, Value};

use crate::cast::{Cell, Kind, cast};
use crate::settings::Action;
use crate::shape::{NamesCache, column_name, shape};

/// Most columns of a table; a row that would add more fails.
pub(crate) const COLUMNS_MAX: usize = 1_000;

/// A column of the table, or one about to be added.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) name: String,
    /// `None` while no value has said what it is.
    pub(crate) kind: Option<Kind>,
}

/// Index into the batch, and one cell a slot.
type IndexedCells = (usize, Vec<Cell>);

/// Rows that fit, as cells; and those that do not.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Known columns first, then the new ones; all have a kind.
    pub(crate) slots: Vec<(String, Kind)>,
    /// How many slots the table already has.
    pub(crate) known: usize,
    /// In the batch's order.
    pub(crate) rows: Vec<IndexedCells>,
    /// Index into the batch.
    pub(crate) failed: Vec<(usize, Error)>,
    /// Known whole-number columns that got a number with a fraction.
    pub(crate) widen: Vec<usize>,
}

/// Plans a batch. `known` is the table's schema, `None` when the table is to be made.
pub(crate) fn plan(
    table: &str,
    known: Option<&[(String, Kind)]>,
    rows: &[(usize, &Row)],
    action: &Action,
) -> Result<Plan, Error> {
    let mut planner = Planner::new(table, known, action)?;
    let mut failed = Vec::new();
    let mut shaped = Vec::with_capacity(rows.len());
    for (index, row) in rows {
        match planner.admit(row) {
            Ok((row, layout)) => shaped.push((*index, row, layout)),
            Err(error) => failed.push((*index, error)),
        }
    }
    planner.settle();
    let mut fitting = Vec::with_capacity(shaped.len());
    let mut widen = Vec::new();
    for (index, row, layout) in shaped {
        match planner.cells(&row, &layout, &mut widen) {
            Ok(cells) => fitting.push((index, cells)),
            Err(error) => failed.push((index, error)),
        }
    }
    widen.sort_unstable();
    widen.dedup();
    failed.sort_by_key(|(index, _)| *index);
    let (slots, rows) = planner.finish(fitting);
    Ok(Plan { slots, known: known.map_or(0, <[_]>::len), rows, failed, widen })
}

/// Slot of each of a row's columns, kept for rows of the same names.
type Layout = Arc<Result<Vec<usize>, String>>;

struct Planner<'a> {
    table: &'a str,
    action: &'a Action,
    slots: Vec<Slot>,
    /// Lower-case name to slot: Delta and SQL do not tell columns apart by case.
    index: HashMap<String, usize, foldhash::fast::RandomState>,
    known: usize,
    /// Types the action fixes, by lower-case name.
    declared: HashMap<String, Kind, foldhash::fast::RandomState>,
    /// The table exists and may not get columns.
    closed: bool,
    names: NamesCache,
    layout: Option<(Arc<[Str]>, Layout)>,
}

impl<'a> Planner<'a> {
    fn new(table: &'a str, known: Option<&[(String, Kind)]>, action: &'a Action) -> Result<Self, Error> {
        let mut planner = Self {
            table,
            action,
            slots: Vec::new(),
            index: HashMap::default(),
            known: 0,
            declared: HashMap::default(),
            closed: known.is_some() && !action.evolve,
            names: NamesCache::default(),
            layout: None,
        };
        for (name, kind) in known.unwrap_or_default() {
            planner.push(name.clone(), Some(kind.clone()));
        }
        planner.known = planner.slots.len();
        for column in &action.columns {
            let Some(kind) = &column.kind else { continue };
            let name = column_name(&column.name);
            let stored =
                planner.index.get(&name.to_lowercase()).and_then(|slot| planner.slots.get(*slot)?.kind.as_ref());
            if let Some(stored) = stored
                && stored != kind
            {
                return Err(Error::permanent(
                    ErrorKind::Config,
                    format!(
                        "table {table}: column {name} is {} in the table, the action says {}",
                        stored.name(),
                        kind.name()
                    ),
                ));
            }
            planner.declared.insert(name.to_lowercase(), kind.clone());
        }
        Ok(planner)
    }

    fn push(&mut self, name: String, kind: Option<Kind>) -> usize {
        let slot = self.slots.len();
        self.index.insert(name.to_lowercase(), slot);
        self.slots.push(Slot { name, kind });
        slot
    }

    /// The shaped row and its layout; learns the types of new columns.
    fn admit(&mut self, row: &Row) -> Result<(Row, Layout), Error> {
        let row = shape(row, &self.action.columns, &mut self.names)?;
        let layout = self.layout_of(&row);
        let slots = match layout.as_ref() {
            Ok(slots) => slots,
            Err(why) => return Err(Error::permanent(ErrorKind::Rejected, why.clone())),
        };
        for (value, slot) in row.values.iter().zip(slots) {
            let Some(entry) = self.slots.get_mut(*slot) else { continue };
            if *slot < self.known || self.declared.contains_key(&entry.name.to_lowercase()) {
                continue;
            }
            if let Some(kind) = Kind::of(value) {
                entry.kind = Some(match entry.kind.take() {
                    Some(earlier) => earlier.merge(kind),
                    None => kind,
                });
            }
        }
        Ok((row, layout))
    }

    fn layout_of(&mut self, row: &Row) -> Layout {
        if let Some((names, layout)) = &self.layout
            && (Arc::ptr_eq(names, &row.names) || **names == *row.names)
        {
            return Arc::clone(layout);
        }
        let layout = Arc::new(self.resolve(&row.names));
        self.layout = Some((Arc::clone(&row.names), Arc::clone(&layout)));
        layout
    }

    fn resolve(&mut self, names: &[Str]) -> Result<Vec<usize>, String> {
        let mut slots: Vec<usize> = Vec::with_capacity(names.len());
        for original in names {
            let name = column_name(original);
            let slot = match self.index.get(&name.to_lowercase()) {
                Some(slot) => *slot,
                None if self.slots.len() >= COLUMNS_MAX => {
                    return Err(format!(
                        "table {}: column {name} would be one more than {COLUMNS_MAX}, the most a table may have",
                        self.table
                    ));
                }
                None => {
                    let kind = self.declared.get(&name.to_lowercase()).cloned();
                    self.push(name.clone(), kind)
                }
            };
            if slots.contains(&slot) {
                return Err(format!(
                    "table {}: two columns of the row are {name} in the table, where case and the characters ,;{{}}()= do not count",
                    self.table
                ));
            }
            slots.push(slot);
        }
        Ok(slots)
    }

    /// Gives partition columns a type, and a table whose first rows are all null some columns at all.
    fn settle(&mut self) {
        let untyped = self.known == 0 && self.slots.iter().all(|slot| slot.kind.is_none());
        let partition = self.action.partition_by.as_deref().unwrap_or_default();
        for slot in &mut self.slots {
            if slot.kind.is_none() && (untyped || partition.contains(&slot.name)) {
                slot.kind = Some(Kind::Text);
            }
        }
    }

    fn cells(&self, row: &Row, layout: &Layout, widen: &mut Vec<usize>) -> Result<Vec<Cell>, Error> {
        let mut cells = vec![Cell::Null; self.slots.len()];
        let Ok(slots) = layout.as_ref() else { return Ok(cells) };
        for (value, slot) in row.values.iter().zip(slots) {
            let (Some(cell), Some(Slot { name, kind })) = (cells.get_mut(*slot), self.slots.get(*slot)) else {
                continue;
            };
            if matches!(value, Value::Missing | Value::Null) {
                continue;
            }
            if self.closed && *slot >= self.known {
                return Err(Error::permanent(
                    ErrorKind::Rejected,
                    format!("table {} has no column {name}, and on_schema_change is fail", self.table),
                ));
            }
            let kind = kind.as_ref().unwrap_or(&Kind::Text);
            *cell = cast(value, kind).map_err(|why| {
                if *slot < self.known && *kind == Kind::Long && matches!(value, Value::Float(_)) {
                    widen.push(*slot);
                }
                Error::permanent(
                    ErrorKind::Rejected,
                    format!(
                        "table {}: column {name} is {}: {} {} does not fit: {why}",
                        self.table,
                        kind.name(),
                        value.kind_name(),
                        excerpt(value)
                    ),
                )
            })?;
        }
        Ok(cells)
    }

    /// Drops columns that only ever were null: their type is not known yet.
    fn finish(self, rows: Vec<IndexedCells>) -> (Vec<(String, Kind)>, Vec<IndexedCells>) {
        let closed = self.closed;
        let known = self.known;
        let keep: Vec<bool> = self
            .slots
            .iter()
            .enumerate()
            .map(|(slot, column)| column.kind.is_some() && (slot < known || !closed))
            .collect();
        let slots = self
            .slots
            .into_iter()
            .zip(&keep)
            .filter(|(_, keep)| **keep)
            .filter_map(|(slot, _)| Some((slot.name, slot.kind?)))
            .collect();
        if keep.iter().all(|keep| *keep) {
            return (slots, rows);
        }
        let rows = rows
            .into_iter()
            .map(|(index, cells)| {
                (index, cells.into_iter().zip(&keep).filter(|(_, keep)| **keep).map(|(cell, _)| cell).collect())
            })
            .collect();
        (slots, rows)
    }
}

/// Longest piece of a value in a message, characters.
const EXCERPT_CHARS_MAX: usize = 40;

fn excerpt(value: &Value) -> String {
    let text = value.to_json().to_string();
    match text.char_indices().nth(EXCERPT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
