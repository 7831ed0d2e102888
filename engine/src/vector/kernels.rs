//! Loops over plain columns, for the operators that rules use most. `None` where the columns do not allow one: the node
//! then goes row by row. Whatever a loop gives is exactly what [`sql::ops`] gives for each row.

use std::cmp::Ordering;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, StringArray};
use datafusion::arrow::datatypes::{DataType, Float64Type, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;
use sql::ops::{ArithmeticOp, CompareOp};

use super::node::Op;

/// The result of `op` over whole columns, if there is a loop for them.
pub(super) fn fast(op: &Op, args: &[ColumnarValue]) -> Option<ArrayRef> {
    match (op, args) {
        (Op::Compare(op, _), [left, right]) => compare(*op, left, right),
        (Op::Arithmetic(op, _), [left, right]) => arithmetic(*op, left, right),
        (Op::And, args) => fold(args, true),
        (Op::Or, args) => fold(args, false),
        (Op::Not, [ColumnarValue::Array(array)]) => {
            let array = booleans(array)?;
            Some(Arc::new(BooleanArray::from_iter(array.iter().map(|b| Some(b == Some(false))))))
        }
        (Op::IsNull { negated }, [ColumnarValue::Array(array)]) if *array.data_type() != DataType::Binary => {
            Some(Arc::new(BooleanArray::from_iter((0..array.len()).map(|row| Some(array.is_null(row) != *negated)))))
        }
        _ => None,
    }
}

/// A side of a comparison: a column or one constant for all rows.
enum Side<'a> {
    Ints(&'a Int64Array),
    Floats(&'a Float64Array),
    Texts(&'a StringArray),
    Int(i64),
    Float(f64),
    Text(&'a str),
}

fn side(value: &ColumnarValue) -> Option<Side<'_>> {
    Some(match value {
        ColumnarValue::Array(array) => match array.data_type() {
            DataType::Int64 => Side::Ints(array.as_primitive::<Int64Type>()),
            DataType::Float64 => Side::Floats(array.as_primitive::<Float64Type>()),
            DataType::Utf8 => Side::Texts(array.as_string::<i32>()),
            _ => return None,
        },
        ColumnarValue::Scalar(ScalarValue::Int64(Some(n))) => Side::Int(*n),
        ColumnarValue::Scalar(ScalarValue::Float64(Some(f))) => Side::Float(*f),
        ColumnarValue::Scalar(ScalarValue::Utf8(Some(text))) => Side::Text(text),
        ColumnarValue::Scalar(_) => return None,
    })
}

fn compare(op: CompareOp, left: &ColumnarValue, right: &ColumnarValue) -> Option<ArrayRef> {
    let flipped = match op {
        CompareOp::Eq | CompareOp::Ne => op,
        CompareOp::Lt => CompareOp::Gt,
        CompareOp::Le => CompareOp::Ge,
        CompareOp::Gt => CompareOp::Lt,
        CompareOp::Ge => CompareOp::Le,
    };
    match (side(left)?, side(right)?) {
        (Side::Ints(a), Side::Int(b)) => Some(each(a.iter(), |a| op.accepts(a.cmp(&b)))),
        (Side::Int(b), Side::Ints(a)) => Some(each(a.iter(), |a| flipped.accepts(a.cmp(&b)))),
        (Side::Ints(a), Side::Float(b)) => float_exact(b).map(|b| each(a.iter(), |a| op.accepts(a.cmp(&b)))),
        (Side::Float(b), Side::Ints(a)) => float_exact(b).map(|b| each(a.iter(), |a| flipped.accepts(a.cmp(&b)))),
        (Side::Floats(a), Side::Float(b)) => Some(each(a.iter(), |a| op.accepts(order(a, b)))),
        (Side::Float(b), Side::Floats(a)) => Some(each(a.iter(), |a| flipped.accepts(order(a, b)))),
        (Side::Floats(a), Side::Int(b)) => floats_with_int(op, a, b),
        (Side::Int(b), Side::Floats(a)) => floats_with_int(flipped, a, b),
        (Side::Texts(a), Side::Text(b)) => Some(each(a.iter(), |a| op.accepts(a.as_bytes().cmp(b.as_bytes())))),
        (Side::Text(b), Side::Texts(a)) => Some(each(a.iter(), |a| flipped.accepts(a.as_bytes().cmp(b.as_bytes())))),
        (Side::Ints(a), Side::Ints(b)) => Some(both(a.iter(), b.iter(), op, |a, b| a.cmp(&b))),
        (Side::Floats(a), Side::Floats(b)) => Some(both(a.iter(), b.iter(), op, order)),
        (Side::Texts(a), Side::Texts(b)) => Some(both(a.iter(), b.iter(), op, |a, b| a.as_bytes().cmp(b.as_bytes()))),
        _ => None,
    }
}

/// Doubles of one order, where -0.0 equals 0.0.
fn order(a: f64, b: f64) -> Ordering {
    if a == b { Ordering::Equal } else { a.total_cmp(&b) }
}

/// Integers that a double holds exactly: up to 2^53.
const EXACT: i64 = 1 << 53;

fn floats_with_int(op: CompareOp, floats: &Float64Array, int: i64) -> Option<ArrayRef> {
    if !(-EXACT..=EXACT).contains(&int) || floats.iter().flatten().any(f64::is_nan) {
        return None;
    }
    let int = int as f64;
    Some(each(floats.iter(), |float| op.accepts(order(float, int))))
}

/// The integer that this double is, when it is one.
fn float_exact(float: f64) -> Option<i64> {
    (float.trunc() == float && float.abs() <= EXACT as f64).then_some(float as i64)
}

/// A condition on one column against something present: false where the column is missing.
fn each<T>(values: impl Iterator<Item = Option<T>>, holds: impl Fn(T) -> bool) -> ArrayRef {
    Arc::new(values.map(|value| Some(value.is_some_and(&holds))).collect::<BooleanArray>())
}

/// A comparison of two columns: missing equals missing and nothing else.
fn both<T>(
    left: impl Iterator<Item = Option<T>>,
    right: impl Iterator<Item = Option<T>>,
    op: CompareOp,
    order: impl Fn(T, T) -> Ordering,
) -> ArrayRef {
    let holds = left.zip(right).map(|pair| match pair {
        (Some(a), Some(b)) => op.accepts(order(a, b)),
        (None, None) => op.accepts(Ordering::Equal),
        _ => false,
    });
    Arc::new(holds.map(Some).collect::<BooleanArray>())
}

fn booleans(array: &ArrayRef) -> Option<&BooleanArray> {
    (*array.data_type() == DataType::Boolean).then(|| array.as_boolean())
}

/// AND (`all`) or OR of columns that are all conditions without a failed row.
fn fold(args: &[ColumnarValue], all: bool) -> Option<ArrayRef> {
    let columns = args
        .iter()
        .map(|arg| match arg {
            ColumnarValue::Array(array) => booleans(array),
            ColumnarValue::Scalar(_) => None,
        })
        .collect::<Option<Vec<_>>>()?;
    let rows = columns.first()?.len();
    let is_true = |column: &&BooleanArray, row: usize| column.is_valid(row) && column.value(row);
    let row = |row: usize| {
        if all {
            columns.iter().all(|column| is_true(column, row))
        } else {
            columns.iter().any(|column| is_true(column, row))
        }
    };
    Some(Arc::new((0..rows).map(|at| Some(row(at))).collect::<BooleanArray>()))
}

fn arithmetic(op: ArithmeticOp, left: &ColumnarValue, right: &ColumnarValue) -> Option<ArrayRef> {
    match (side(left)?, side(right)?) {
        (Side::Ints(a), Side::Int(b)) => ints(op, a, |_| b),
        (Side::Ints(a), Side::Ints(b)) if b.null_count() == 0 => {
            let b = b.values();
            ints(op, a, |row| b.get(row).copied().unwrap_or_default())
        }
        _ => None,
    }
}

/// Integer sums and products that stay within 64 bits; anything else goes row by row. Integers only: what doubles do at
/// their edges is decided in one place, [`sql::ops`].
fn ints(op: ArithmeticOp, left: &Int64Array, right: impl Fn(usize) -> i64) -> Option<ArrayRef> {
    if left.null_count() > 0 {
        return None;
    }
    let apply = match op {
        ArithmeticOp::Add => i64::checked_add,
        ArithmeticOp::Subtract => i64::checked_sub,
        ArithmeticOp::Multiply => i64::checked_mul,
        _ => return None,
    };
    let values =
        left.values().iter().enumerate().map(|(row, a)| apply(*a, right(row))).collect::<Option<Vec<i64>>>()?;
    Some(Arc::new(Int64Array::from(values)))
}
