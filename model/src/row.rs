//! A row of named values whose names are shared by every row of the same plan.

use std::sync::Arc;

use crate::{Str, Value};

/// One output row of a rule (or the fields of one event): `values[i]` belongs to `names[i]`.
///
/// The names are known when the rule is compiled, so rows carry a pointer to them instead of a map. Names are unique.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Column names, shared.
    pub names: Arc<[Str]>,
    /// One value a name, in the same order; [`Value::Missing`] where the row has none.
    pub values: Vec<Value>,
}

impl Row {
    /// A row from pairs; a name given twice keeps its first place and its last value.
    pub fn from_pairs<K: Into<Str>>(pairs: impl IntoIterator<Item = (K, Value)>) -> Self {
        let map: crate::Map = pairs.into_iter().map(|(key, value)| (key.into(), value)).collect();
        let (names, values): (Vec<Str>, Vec<Value>) = map.into_iter().unzip();
        Self { names: names.into(), values }
    }

    /// The value of `name`, or `None` when the row has no such column or the value is missing.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let index = self.names.iter().position(|known| known == name)?;
        self.values.get(index).filter(|value| !value.is_missing())
    }

    /// The present columns, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Str, &Value)> {
        self.names.iter().zip(&self.values).filter(|(_, value)| !value.is_missing())
    }

    /// The row as a map value, missing columns left out.
    pub fn to_value(&self) -> Value {
        Value::map(self.iter().map(|(name, value)| (name.clone(), value.clone())))
    }

    /// The row as a JSON object, missing columns left out.
    pub fn to_json(&self) -> serde_json::Value {
        self.to_value().to_json()
    }
}
