//! The rows of a query, and their forms: table, CSV, JSON, JSON lines.

use std::fmt::Write as _;

use datafusion::arrow::array::{Array, AsArray as _, RecordBatch};
use datafusion::arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Schema, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use serde_json::Value as Json;

use super::error::{Error, ErrorKind};

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name.
    pub name: String,
    /// Type as Arrow writes it, such as `Int64`.
    pub data_type: String,
    /// Numbers are aligned to the right.
    numeric: bool,
}

/// What a query returned.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryResult {
    /// Columns, in order. Names may repeat.
    pub columns: Vec<Column>,
    /// One value a column. Times are RFC 3339 text; bytes that are UTF-8 are text, others upper-case hexadecimal.
    pub rows: Vec<Vec<Json>>,
    /// There were more rows than allowed.
    pub truncated: bool,
}

impl QueryResult {
    pub(super) fn new(schema: &Schema) -> Self {
        let columns = schema
            .fields()
            .iter()
            .map(|field| Column {
                name: field.name().clone(),
                data_type: field.data_type().to_string(),
                numeric: field.data_type().is_numeric(),
            })
            .collect();
        Self { columns, rows: Vec::new(), truncated: false }
    }

    /// Appends a batch; `false` once the limit is reached.
    pub(super) fn push(&mut self, batch: &RecordBatch, rows_max: usize) -> Result<bool, Error> {
        let room = rows_max.saturating_sub(self.rows.len());
        self.truncated |= batch.num_rows() > room;
        let failed = |error: ArrowError| Error::new(ErrorKind::Execution, error.to_string());
        for row in 0..batch.num_rows().min(room) {
            let values = batch
                .columns()
                .iter()
                .map(|column| json(column.as_ref(), row))
                .collect::<Result<_, _>>()
                .map_err(failed)?;
            self.rows.push(values);
        }
        Ok(!self.truncated)
    }

    /// An aligned table for people; null is empty.
    pub fn to_table(&self) -> String {
        let texts: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().map(one_line).collect()).collect();
        let mut widths: Vec<usize> = self.columns.iter().map(|column| width(&column.name)).collect();
        for row in &texts {
            for (known, text) in widths.iter_mut().zip(row) {
                *known = (*known).max(width(text));
            }
        }
        let mut out = String::new();
        self.line(&mut out, &widths, self.columns.iter().map(|column| column.name.as_str()));
        let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        self.line(&mut out, &widths, rules.iter().map(String::as_str));
        for row in &texts {
            self.line(&mut out, &widths, row.iter().map(String::as_str));
        }
        let rows = self.rows.len();
        let plural = if rows == 1 { "row" } else { "rows" };
        let more = if self.truncated { " shown, there are more" } else { "" };
        let _infallible = writeln!(out, "({rows} {plural}{more})");
        out
    }

    fn line<'a>(&self, out: &mut String, widths: &[usize], texts: impl Iterator<Item = &'a str>) {
        let mut line = String::new();
        for ((text, known), column) in texts.zip(widths).zip(&self.columns) {
            if !line.is_empty() {
                line.push_str("  ");
            }
            let pad = " ".repeat(known.saturating_sub(width(text)));
            let (left, right) = if column.numeric { (pad.as_str(), "") } else { ("", pad.as_str()) };
            line.push_str(left);
            line.push_str(text);
            line.push_str(right);
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }

    /// CSV after RFC 4180 with a header line; null is empty.
    pub fn to_csv(&self) -> String {
        let mut out = String::new();
        let header: Vec<String> = self.columns.iter().map(|column| quoted(&column.name)).collect();
        out.push_str(&header.join(","));
        out.push_str("\r\n");
        for row in &self.rows {
            let cells: Vec<String> = row.iter().map(|value| quoted(&text(value))).collect();
            out.push_str(&cells.join(","));
            out.push_str("\r\n");
        }
        out
    }

    /// A list of objects. A column name that repeats keeps its last value.
    pub fn to_json(&self) -> Json {
        Json::Array(self.objects().collect())
    }

    /// One object a line.
    pub fn to_jsonl(&self) -> String {
        self.objects().fold(String::new(), |mut out, object| {
            let _infallible = writeln!(out, "{object}");
            out
        })
    }

    fn objects(&self) -> impl Iterator<Item = Json> + '_ {
        self.rows.iter().map(|row| {
            Json::Object(self.columns.iter().map(|column| column.name.clone()).zip(row.iter().cloned()).collect())
        })
    }
}

fn text(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Control characters would break the table's lines, or the terminal.
fn one_line(value: &Json) -> String {
    let text = text(value);
    if text.contains(char::is_control) {
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    } else {
        text
    }
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

fn json(array: &dyn Array, row: usize) -> Result<Json, ArrowError> {
    if array.is_null(row) {
        return Ok(Json::Null);
    }
    macro_rules! number {
        ($type:ty) => {
            Json::from(array.as_primitive::<$type>().value(row))
        };
    }
    Ok(match array.data_type() {
        DataType::Boolean => Json::Bool(array.as_boolean().value(row)),
        DataType::Int8 => number!(Int8Type),
        DataType::Int16 => number!(Int16Type),
        DataType::Int32 => number!(Int32Type),
        DataType::Int64 => number!(Int64Type),
        DataType::UInt8 => number!(UInt8Type),
        DataType::UInt16 => number!(UInt16Type),
        DataType::UInt32 => number!(UInt32Type),
        DataType::UInt64 => number!(UInt64Type),
        // The shortest text of a 32-bit float, not its 64-bit expansion; what is not finite is null, as JSON has no such number.
        DataType::Float32 => {
            let text = array.as_primitive::<Float32Type>().value(row).to_string();
            text.parse::<serde_json::Number>().map_or(Json::Null, Json::Number)
        }
        DataType::Float64 => serde_json::Number::from_f64(array.as_primitive::<Float64Type>().value(row))
            .map_or(Json::Null, Json::Number),
        DataType::Binary => bytes(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => bytes(array.as_binary::<i64>().value(row)),
        DataType::BinaryView => bytes(array.as_binary_view().value(row)),
        DataType::Decimal128(..) | DataType::Decimal256(..) => {
            let text = formatted(array, row)?;
            text.parse::<serde_json::Number>().map_or(Json::String(text), Json::Number)
        }
        DataType::List(_) => list(array.as_list::<i32>().value(row).as_ref())?,
        DataType::LargeList(_) => list(array.as_list::<i64>().value(row).as_ref())?,
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            Json::Object(
                fields
                    .iter()
                    .zip(columns)
                    .map(|(field, column)| Ok((field.name().clone(), json(column, row)?)))
                    .collect::<Result<_, ArrowError>>()?,
            )
        }
        _ => Json::String(formatted(array, row)?),
    })
}

fn list(items: &dyn Array) -> Result<Json, ArrowError> {
    (0..items.len()).map(|item| json(items, item)).collect::<Result<_, _>>().map(Json::Array)
}

fn bytes(bytes: &[u8]) -> Json {
    model::Value::Bytes(bytes.to_vec().into()).to_json()
}

fn formatted(array: &dyn Array, row: usize) -> Result<String, ArrowError> {
    let options = FormatOptions::default();
    Ok(ArrayFormatter::try_new(array, &options)?.value(row).to_string())
}
