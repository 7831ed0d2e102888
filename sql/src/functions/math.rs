//! Numbers: operators as functions, rounding, roots, logarithms, trigonometry.

use model::Value;

use super::args::{arg, number, wrong};
use super::conversion::float_to_integer;
use super::{Context, Function, FunctionError, Outcome, Purity};
use crate::ops::{self, ArithmeticOp, Number};

const fn real(signature: &'static str, name: &'static str, call: super::Call, doc: &'static str) -> Function {
    Function::new(signature, name, (1, 1), call, doc)
}

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("+(a, b) -> value", "+", (2, 2), add, "The operator + as a function.").example("1 + 2 = 3"),
    Function::new("-(a, b) -> number", "-", (2, 2), subtract, "The operator - as a function.").example("3 - 1 = 2"),
    Function::new("*(a, b) -> number", "*", (2, 2), multiply, "The operator * as a function.").example("2 * 3 = 6"),
    Function::new("/(a, b) -> float", "/", (2, 2), divide, "The operator / as a function.").example("7 / 2 = 3.5"),
    Function::new("div(a, b) -> integer", "div", (2, 2), div, "Whole quotient, truncated toward zero.")
        .example("div(7, 2) = 3"),
    Function::new(
        "mod(a, b) -> integer",
        "mod",
        (2, 2),
        modulo,
        "Rest of the whole division, with the sign of the dividend.",
    )
    .example("mod(7, -2) = 1"),
    Function::new(
        "eq(a, b) -> boolean",
        "eq",
        (2, 2),
        eq,
        "Whether two values are equal, 1 = 1.0 included, without reading text as numbers.",
    )
    .nulls("null and missing are values like others")
    .example("eq('1', 1) = false"),
    real("abs(number) -> number", "abs", abs, "The number without its sign.").example("abs(-3) = 3"),
    real("ceil(number) -> integer", "ceil", ceil, "The smallest integer that is not below.").example("ceil(1.2) = 2"),
    real("floor(number) -> integer", "floor", floor, "The largest integer that is not above.")
        .example("floor(-1.5) = -2"),
    real("round(number) -> integer", "round", round, "The nearest integer, halves away from zero.")
        .example("round(3.5) = 4"),
    real("sqrt(number) -> float", "sqrt", sqrt, "Square root.").example("sqrt(4) = 2.0"),
    real("exp(number) -> float", "exp", exp, "e to the power.").example("exp(0) = 1.0"),
    real("log(number) -> float", "log", log, "Natural logarithm.").aliases(&["ln"]).example("log(1) = 0.0"),
    real("log2(number) -> float", "log2", log2, "Logarithm to base 2.").example("log2(8) = 3.0"),
    real("log10(number) -> float", "log10", log10, "Logarithm to base 10.").example("log10(100) = 2.0"),
    real("sin(number) -> float", "sin", sin, "Sine, radians.").example("sin(0) = 0.0"),
    real("cos(number) -> float", "cos", cos, "Cosine, radians.").example("cos(0) = 1.0"),
    real("tan(number) -> float", "tan", tan, "Tangent, radians.").example("tan(0) = 0.0"),
    real("asin(number) -> float", "asin", asin, "Arc sine.").example("asin(0) = 0.0"),
    real("acos(number) -> float", "acos", acos, "Arc cosine.").example("acos(1) = 0.0"),
    real("atan(number) -> float", "atan", atan, "Arc tangent.").example("atan(0) = 0.0"),
    real("sinh(number) -> float", "sinh", sinh, "Hyperbolic sine.").example("sinh(0) = 0.0"),
    real("cosh(number) -> float", "cosh", cosh, "Hyperbolic cosine.").example("cosh(0) = 1.0"),
    real("tanh(number) -> float", "tanh", tanh, "Hyperbolic tangent.").example("tanh(0) = 0.0"),
    real("asinh(number) -> float", "asinh", asinh, "Inverse hyperbolic sine.").example("asinh(0) = 0.0"),
    real("acosh(number) -> float", "acosh", acosh, "Inverse hyperbolic cosine.").example("acosh(1) = 0.0"),
    real("atanh(number) -> float", "atanh", atanh, "Inverse hyperbolic tangent.").example("atanh(0) = 0.0"),
    Function::new("power(base, exponent) -> float", "power", (2, 2), power, "The base to the power.")
        .aliases(&["pow"])
        .example("power(2, 3) = 8.0"),
    Function::new(
        "fmod(a, b) -> float",
        "fmod",
        (2, 2),
        fmod,
        "Rest of the division of floats, with the sign of the dividend.",
    )
    .example("fmod(5.5, 2) = 1.5"),
    Function::new("random() -> float", "random", (0, 0), random, "A random float from 0 to below 1.")
        .purity(Purity::External)
        .example("random() = 0.42"),
];

fn add(_: &Context, args: &[Value]) -> Outcome {
    Ok(ops::arithmetic(ArithmeticOp::Add, arg(args, 0), arg(args, 1))?)
}

fn subtract(_: &Context, args: &[Value]) -> Outcome {
    Ok(ops::arithmetic(ArithmeticOp::Subtract, arg(args, 0), arg(args, 1))?)
}

fn multiply(_: &Context, args: &[Value]) -> Outcome {
    Ok(ops::arithmetic(ArithmeticOp::Multiply, arg(args, 0), arg(args, 1))?)
}

fn divide(_: &Context, args: &[Value]) -> Outcome {
    Ok(ops::arithmetic(ArithmeticOp::Divide, arg(args, 0), arg(args, 1))?)
}

fn div(_: &Context, args: &[Value]) -> Outcome {
    Ok(ops::arithmetic(ArithmeticOp::Div, arg(args, 0), arg(args, 1))?)
}

fn modulo(_: &Context, args: &[Value]) -> Outcome {
    Ok(ops::arithmetic(ArithmeticOp::Mod, arg(args, 0), arg(args, 1))?)
}

fn eq(_: &Context, args: &[Value]) -> Outcome {
    let (a, b) = (arg(args, 0), arg(args, 1));
    let equal = match (a, b) {
        (Value::Missing, Value::Missing) => true,
        (Value::Missing, _) | (_, Value::Missing) => false,
        _ => ops::order(a, b).is_eq(),
    };
    Ok(Value::Bool(equal))
}

fn abs(_: &Context, args: &[Value]) -> Outcome {
    match number(args, 0)? {
        Number::Int(n) => n
            .checked_abs()
            .map(Value::integer)
            .ok_or_else(|| FunctionError::new("the result is too large for an exact integer")),
        Number::Float(f) => Ok(Value::Float(f.abs())),
    }
}

fn rounded(args: &[Value], round: impl Fn(f64) -> f64) -> Outcome {
    match number(args, 0)? {
        Number::Int(_) => Ok(arg(args, 0).clone()),
        Number::Float(f) => float_to_integer(round(f)),
    }
}

fn ceil(_: &Context, args: &[Value]) -> Outcome {
    rounded(args, f64::ceil)
}

fn floor(_: &Context, args: &[Value]) -> Outcome {
    rounded(args, f64::floor)
}

fn round(_: &Context, args: &[Value]) -> Outcome {
    rounded(args, f64::round)
}

/// A real function; no result (outside its domain, or too large) fails the row.
fn of_real(args: &[Value], function: impl Fn(f64) -> f64) -> Outcome {
    let x = number(args, 0)?.as_f64();
    let y = function(x);
    if y.is_finite() { Ok(Value::Float(y)) } else { Err(FunctionError(format!("it has no value at {x}"))) }
}

fn sqrt(_: &Context, args: &[Value]) -> Outcome {
    of_real(args, f64::sqrt)
}

fn exp(_: &Context, args: &[Value]) -> Outcome {
    of_real(args, f64::exp)
}

fn log(_: &Context, args: &[Value]) -> Outcome {
    of_real(args, f64::ln)
}

fn log2(_: &Context, args: &[Value]) -> Outcome {
    of_real(args, f64::log2)
}

fn log10(_: &Context, args: &[Value]) -> Outcome {
    of_real(args, f64::log10)
}

fn sin(_: &Context, args: &[Value]) -> Outcome {
    of_real(args, f64::sin)
}

fn cos(_: &Context, args: &[Value]) -> Outcome {
    of_real(args, f64::cos)
}

fn tan(_: &Context, args: &[Value]) -> Outcome {
    of_real(args, f64::tan)
}

fn asin(_: &Context, args: &[Value]) -> Outcome {
    of_real(args, f64::asin)
}

fn acos(_: &Context, args: &[Value]) -> Outcome {
    of_real(args, f64::acos)
}

fn atan(_: &Context, args: &[Value]) -> Outcome {
    of_real(args, f64::atan)
}

fn sinh(_: &Context, args: &[Value]) -> Outcome {
    of_real(args, f64::sinh)
}

fn cosh(_: &Context, args: &[Value]) -> Outcome {
    of_real(args, f64::cosh)
}

fn tanh(_: &Context, args: &[Value]) -> Outcome {
    of_real(args, f64::tanh)
}

fn asinh(_: &Context, args: &[Value]) -> Outcome {
    of_real(args, f64::asinh)
}

fn acosh(_: &Context, args: &[Value]) -> Outcome {
    of_real(args, f64::acosh)
}

fn atanh(_: &Context, args: &[Value]) -> Outcome {
    of_real(args, f64::atanh)
}

fn power(_: &Context, args: &[Value]) -> Outcome {
    let (base, exponent) = (number(args, 0)?.as_f64(), number(args, 1)?.as_f64());
    let result = base.powf(exponent);
    if result.is_finite() {
        Ok(Value::Float(result))
    } else {
        Err(FunctionError(format!("{base} to the power {exponent} has no value")))
    }
}

fn fmod(_: &Context, args: &[Value]) -> Outcome {
    let (a, b) = (number(args, 0)?.as_f64(), number(args, 1)?.as_f64());
    if b == 0.0 {
        return wrong(args, 1, "a number other than 0");
    }
    Ok(Value::Float(a % b))
}

fn random(_: &Context, _: &[Value]) -> Outcome {
    // 53 random bits are exactly the precision of a double in [0, 1).
    let bits = uuid::Uuid::new_v4().as_u128() as u64 >> 11;
    Ok(Value::Float(bits as f64 / (1u64 << 53) as f64))
}
