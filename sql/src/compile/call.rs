//! Function calls: finding the function, counting its arguments, and turning event functions into reads.

use model::Value;

use super::Compiler;
use crate::ast;
use crate::functions::{self, Body, EventFunction, Function};
use crate::ops::{Step, parse_path};
use crate::plan::Expr;
use crate::span::Span;

/// Types of CAST and the function that does the conversion.
const CASTS: [(&str, &str); 16] = [
    ("int", "int"),
    ("integer", "int"),
    ("bigint", "int"),
    ("smallint", "int"),
    ("float", "float"),
    ("double", "float"),
    ("real", "float"),
    ("decimal", "float"),
    ("numeric", "float"),
    ("text", "str"),
    ("string", "str"),
    ("varchar", "str"),
    ("char", "str"),
    ("bool", "bool"),
    ("boolean", "bool"),
    ("map", "map"),
];

impl Compiler<'_> {
    pub(super) fn call(&mut self, name: &str, name_span: Span, args: &[ast::Expr], span: Span) -> Expr {
        let compiled = self.exprs(args);
        let Some(function) = functions::find(name) else {
            self.unknown_function(name, name_span);
            return Expr::Literal(Value::Missing);
        };
        if args.len() < function.min_args || function.max_args.is_some_and(|max| args.len() > max) {
            let message = format!("{}() takes {}, got {}", function.name, function.arity(), args.len());
            self.report_with_hint(span, message, format!("usage: {}", function.signature));
            return Expr::Literal(Value::Missing);
        }
        match function.body {
            Body::Call(_) => Expr::Call { function, args: compiled, span },
            Body::Event(event) => self.event_call(event, compiled, span),
        }
    }

    fn unknown_function(&mut self, name: &str, span: Span) {
        if let Some(reason) = functions::unbuilt(name) {
            self.report_with_hint(span, format!("the function {name}() is not built yet"), reason);
            return;
        }
        let near = functions::suggestions(name);
        let message = format!("there is no function {name}()");
        if near.is_empty() {
            self.report(span, message);
        } else {
            self.report_with_hint(span, message, format!("did you mean {}?", near.join(", ")));
        }
    }

    pub(super) fn cast(&mut self, value: &ast::Expr, to: &str, to_span: Span, span: Span) -> Expr {
        let value = self.expr(value);
        let found = CASTS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(to))
            .and_then(|(_, function)| functions::find(function));
        match found {
            Some(function) => Expr::Call { function, args: vec![value], span },
            None => {
                let known: Vec<&str> = CASTS.iter().map(|(name, _)| *name).collect();
                self.report_with_hint(to_span, format!("cannot cast to {to}"), format!("types: {}", known.join(", ")));
                Expr::Literal(Value::Missing)
            }
        }
    }

    /// Event functions are reads under another name, so that a plan lists all it reads.
    fn event_call(&mut self, function: EventFunction, mut args: Vec<Expr>, span: Span) -> Expr {
        match function {
            EventFunction::Field(field) => self.read(field, &[]),
            EventFunction::Topic => {
                let topic = self.read("topic", &[]);
                match args.pop() {
                    None => topic,
                    Some(level) => self.helper(&functions::TOPIC_LEVEL, vec![topic, level], span),
                }
            }
            EventFunction::Payload => match args.pop() {
                None => self.read("payload", &[]),
                Some(Expr::Literal(Value::Text(path))) => self.read("payload", &parse_path(&path)),
                Some(path) => {
                    let payload = self.read("payload", &[]);
                    self.helper(&functions::VALUE_AT, vec![payload, path], span)
                }
            },
            EventFunction::Client(function) => {
                args.insert(0, self.read("clientid", &[]));
                self.helper(function, args, span)
            }
            EventFunction::Flag => match args.pop() {
                Some(Expr::Literal(Value::Text(flag))) => {
                    let path = [Step::Key(flag)];
                    self.read("flags", &path)
                }
                flag => {
                    let flags = self.read("flags", &[]);
                    self.helper(&functions::VALUE_AT, std::iter::once(flags).chain(flag).collect(), span)
                }
            },
        }
    }

    fn helper(&self, function: &'static Function, args: Vec<Expr>, span: Span) -> Expr {
        Expr::Call { function, args, span }
    }
}
