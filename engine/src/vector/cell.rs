//! Values as Arrow arrays and back.
//!
//! | array | holds |
//! |---|---|
//! | Int64, Float64, Boolean, Utf8 | values of that one kind; null = missing |
//! | Binary | anything, tagged: the value in its own encoding, or the error of the row; null = missing |
//!
//! Every column of a batch takes the narrowest form its values allow; a row that failed is a tag like any other, so an
//! error travels with its row and touches no other.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, BooleanBuilder, Float64Builder, Int64Builder, StringBuilder,
};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use model::{Str, Value};
use sql::{Class, RowError, Span};

/// Why a row has no value here.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fail {
    /// The innermost clause that is known.
    pub(crate) class: Option<Class>,
    pub(crate) message: String,
    pub(crate) span: Span,
    pub(crate) undecodable: bool,
}

/// A value, or the failure of its row.
pub(crate) type Cell = Result<Value, Box<Fail>>;

impl Fail {
    pub(crate) fn new(message: impl Into<String>, span: Span) -> Box<Self> {
        Box::new(Self { class: None, message: message.into(), span, undecodable: false })
    }

    pub(crate) fn within(mut self: Box<Self>, class: Class) -> Box<Self> {
        self.class.get_or_insert(class);
        self
    }

    /// Gives a failure without a place the place of the field it happened in.
    pub(crate) fn inside(mut self: Box<Self>, span: Span) -> Box<Self> {
        if self.span == Span::default() {
            self.span = span;
        }
        self
    }

    pub(crate) fn into_row_error(self, otherwise: Class) -> RowError {
        RowError {
            class: self.class.unwrap_or(otherwise),
            message: self.message,
            span: self.span,
            undecodable: self.undecodable,
        }
    }
}

/// A cell that may be borrowed, so that a column is built without cloning values.
pub(crate) enum Source<'v> {
    Borrowed(&'v Value),
    Owned(Cell),
}

impl Source<'_> {
    fn value(&self) -> Result<&Value, &Fail> {
        match self {
            Self::Borrowed(value) => Ok(value),
            Self::Owned(cell) => cell.as_ref().map_err(AsRef::as_ref),
        }
    }
}

/// The narrowest array of these cells.
pub(crate) fn to_array(cells: &[Source<'_>]) -> ArrayRef {
    let first = cells.iter().find(|cell| !matches!(cell.value(), Ok(Value::Missing)));
    let typed = match first.map(Source::value) {
        None | Some(Ok(Value::Int(_))) => ints(cells),
        Some(Ok(Value::Float(_))) => floats(cells),
        Some(Ok(Value::Bool(_))) => booleans(cells),
        Some(Ok(Value::Text(_))) => texts(cells),
        Some(_) => None,
    };
    typed.unwrap_or_else(|| tagged(cells))
}

macro_rules! typed {
    ($name:ident, $builder:ty, $make:expr, $pattern:pat => $append:expr) => {
        fn $name(cells: &[Source<'_>]) -> Option<ArrayRef> {
            let mut builder: $builder = ($make)(cells.len());
            for cell in cells {
                match cell.value() {
                    Ok($pattern) => builder.append_value($append),
                    Ok(Value::Missing) => builder.append_null(),
                    _ => return None,
                }
            }
            Some(Arc::new(builder.finish()))
        }
    };
}

typed!(ints, Int64Builder, Int64Builder::with_capacity, Value::Int(n) => *n);
typed!(floats, Float64Builder, Float64Builder::with_capacity, Value::Float(f) => *f);
typed!(booleans, BooleanBuilder, BooleanBuilder::with_capacity, Value::Bool(b) => *b);
typed!(texts, StringBuilder, |rows| StringBuilder::with_capacity(rows, rows * 16), Value::Text(text) => text.as_str());

fn tagged(cells: &[Source<'_>]) -> ArrayRef {
    let mut builder = BinaryBuilder::with_capacity(cells.len(), cells.len() * 16);
    let mut bytes = Vec::with_capacity(64);
    for cell in cells {
        match cell.value() {
            Ok(Value::Missing) => builder.append_null(),
            value => {
                bytes.clear();
                encode(value, &mut bytes);
                builder.append_value(&bytes);
            }
        }
    }
    Arc::new(builder.finish())
}

const TAG_VALUE: u8 = 0;
const TAG_FAIL: u8 = 1;
const CLASS_UNKNOWN: u8 = u8::MAX;
const CLASSES: [Class; 7] =
    [Class::Parse, Class::Plan, Class::Select, Class::Where, Class::Foreach, Class::Do, Class::Incase];

/// One tagged cell.
pub(crate) fn encode(cell: Result<&Value, &Fail>, out: &mut Vec<u8>) {
    match cell {
        Ok(value) => {
            out.push(TAG_VALUE);
            model::codec::encode_value(value, out);
        }
        Err(fail) => {
            let class = fail.class.and_then(|class| CLASSES.iter().position(|known| *known == class));
            out.push(TAG_FAIL);
            out.push(class.and_then(|place| u8::try_from(place).ok()).unwrap_or(CLASS_UNKNOWN));
            out.push(u8::from(fail.undecodable));
            out.extend_from_slice(&fail.span.start.to_le_bytes());
            out.extend_from_slice(&fail.span.end.to_le_bytes());
            out.extend_from_slice(fail.message.as_bytes());
        }
    }
}

fn decode(bytes: &[u8]) -> Cell {
    match bytes.split_first() {
        Some((&TAG_VALUE, mut rest)) => model::codec::decode_value(&mut rest)
            .map_err(|error| Fail::new(format!("a value could not be read back: {error}"), Span::default())),
        Some((&TAG_FAIL, [class, undecodable, a, b, c, d, e, f, g, h, message @ ..])) => Err(Box::new(Fail {
            class: CLASSES.get(usize::from(*class)).copied(),
            undecodable: *undecodable == 1,
            span: Span { start: u32::from_le_bytes([*a, *b, *c, *d]), end: u32::from_le_bytes([*e, *f, *g, *h]) },
            message: String::from_utf8_lossy(message).into_owned(),
        })),
        _ => Err(Fail::new("a tagged value is damaged", Span::default())),
    }
}

/// The cell at `row`, which must be within the array.
pub(crate) fn get(array: &dyn Array, row: usize) -> Cell {
    if array.is_null(row) {
        return Ok(Value::Missing);
    }
    match array.data_type() {
        DataType::Int64 => Ok(Value::Int(array.as_primitive::<Int64Type>().value(row))),
        DataType::Float64 => Ok(Value::Float(array.as_primitive::<Float64Type>().value(row))),
        DataType::Boolean => Ok(Value::Bool(array.as_boolean().value(row))),
        DataType::Utf8 => Ok(Value::Text(Str::new(array.as_string::<i32>().value(row)))),
        DataType::Binary => decode(array.as_binary::<i32>().value(row)),
        other => Err(Fail::new(format!("a column of type {other} has no value in the language"), Span::default())),
    }
}
