//! Compiling a jq program with ticks in it: one before the body of every definition and fold and after every `|`, and one
//! on everything an operator, a path, a list or a call consumes. No loop is without one.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::load::{Arena, File, Loader, parse};
use jaq_core::ops::Math;
use jaq_core::path::{Part, Path};
use jaq_core::{Compiler, data};
use jaq_json::Val;

use super::guard::{REPLACED, TICK, TICK_CHECK, TIMES, TIMES_CHECK, natives};

/// Longer programs are refused.
const PROGRAM_BYTES_MAX: usize = 4096;
/// Terms in one another.
const DEPTH_MAX: usize = 200;
/// Parsing and compiling recurse; at [`PROGRAM_BYTES_MAX`] bytes this is enough for any nesting.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// The definition that holds the program, and at the same time the text that calls it.
const MAIN: &str = "weir_main";
const MULTIPLIED: &str = "$factor!";

type T<'s> = Term<&'s str>;

/// The filter of a program, or why there is none.
pub(super) fn compile(source: &str) -> Result<super::Filter, String> {
    if source.len() > PROGRAM_BYTES_MAX {
        return Err(format!("it is longer than {PROGRAM_BYTES_MAX} bytes"));
    }
    // A thread of its own for its stack only; it is joined at once.
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("jq-compile".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || build(source))
            .map_err(|error| format!("no thread to compile it: {error}"))?
            .join()
            .unwrap_or_else(|_| Err("it cannot be compiled".to_owned()))
    })
}

fn build(source: &str) -> Result<super::Filter, String> {
    let main = parse(source, |parser| parser.term()).ok_or_else(|| syntax_error(source))?;
    let main = Def { name: MAIN, args: Vec::new(), body: term(main, 0)? };
    let library = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let mut defs = helpers();
    for def in library {
        defs.push(definition(def, 0)?);
    }
    defs.push(main);
    let arena = Arena::default();
    let modules =
        Loader::new(defs).load(&arena, File { code: MAIN, path: () }).map_err(|_| "it cannot be loaded".to_owned())?;
    let kept = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
    let natives = kept.filter(|(name, _, _)| !REPLACED.contains(name)).chain(natives());
    Compiler::<_, data::JustLut<Val>>::default().with_funs(natives).compile(modules).map_err(|errors| {
        let unknown: Vec<String> = errors
            .into_iter()
            .flat_map(|(_, errors)| errors)
            .map(|(name, kind)| format!("{} {name} is not defined", kind.as_str()))
            .collect();
        unknown.join(", ")
    })
}

/// Where a text stops being jq.
fn syntax_error(source: &str) -> String {
    use jaq_core::load::{Lexer, Parser};
    let tokens = match Lexer::new(source).lex() {
        Ok(tokens) => tokens,
        Err(errors) => {
            return match errors.first() {
                Some((expected, found)) => format!("expected {} at {}", expected.as_str(), shown(found)),
                None => "it has a syntax error".to_owned(),
            };
        }
    };
    match Parser::new(&tokens).parse(|parser| parser.term()) {
        Err(errors) => match errors.first() {
            Some((expected, Some(token))) => format!("expected {} at {}", expected.as_str(), shown(token.as_str())),
            Some((expected, None)) => format!("expected {} at its end", expected.as_str()),
            None => "it has a syntax error".to_owned(),
        },
        Ok(_) => "it has a syntax error".to_owned(),
    }
}

fn shown(rest: &str) -> String {
    if rest.is_empty() {
        return "its end".to_owned();
    }
    format!("\"{}\"", rest.chars().take(20).collect::<String>())
}

/// `tick!`: its input, unless the program must stop. `times!(l; r)`: `l * r`, unless it is a text that is too long.
/// The names cannot be written in a program.
fn helpers() -> Vec<Def<&'static str>> {
    let call = |name, args| Term::Call(name, args);
    let bind = |value, name, body| binary(value, BinaryOp::Pipe(Some(Pattern::Var(name))), body);
    let tick = bind(call(TICK_CHECK, vec![]), "$tick!", Term::Id);
    let product = binary(Term::Var("$l!"), BinaryOp::Math(Math::Mul), Term::Var("$r!"));
    let checked = bind(call(TIMES_CHECK, vec![Term::Var("$l!"), Term::Var("$r!")]), "$ok!", product);
    let times = bind(call("l!", vec![]), "$l!", bind(call("r!", vec![]), "$r!", checked));
    vec![Def { name: TICK, args: vec![], body: tick }, Def { name: TIMES, args: vec!["l!", "r!"], body: times }]
}

fn binary<'s>(left: T<'s>, op: BinaryOp<&'s str>, right: T<'s>) -> T<'s> {
    Term::BinOp(Box::new(left), op, Box::new(right))
}

/// A tick on what a term gives.
fn ticked(term: T<'_>) -> T<'_> {
    match term {
        Term::Id | Term::Var(_) | Term::Num(_) => term,
        term => binary(term, BinaryOp::Pipe(None), Term::Call(TICK, Vec::new())),
    }
}

/// A tick before a body. The body stays in tail position.
fn entered(body: T<'_>) -> T<'_> {
    binary(Term::Call(TICK, Vec::new()), BinaryOp::Pipe(None), body)
}

fn definition(def: Def<&str>, depth: usize) -> Result<Def<&str>, String> {
    Ok(Def { name: def.name, args: def.args, body: entered(term(def.body, depth)?) })
}

fn boxed(inner: T<'_>, depth: usize) -> Result<Box<T<'_>>, String> {
    term(inner, depth).map(Box::new)
}

/// A part whose values something else consumes.
fn part(inner: T<'_>, depth: usize) -> Result<T<'_>, String> {
    term(inner, depth).map(ticked)
}

fn term(source: T<'_>, depth: usize) -> Result<T<'_>, String> {
    if depth > DEPTH_MAX {
        return Err(format!("it is nested deeper than {DEPTH_MAX}"));
    }
    let depth = depth + 1;
    Ok(match source {
        Term::Id | Term::Recurse | Term::Num(_) | Term::Var(_) | Term::Break(_) | Term::Arr(None) => source,
        Term::Str(format, parts) => {
            let parts = parts.into_iter().map(|piece| match piece {
                StrPart::Term(inner) => part(inner, depth).map(StrPart::Term),
                other => Ok(other),
            });
            Term::Str(format, parts.collect::<Result<_, String>>()?)
        }
        Term::Arr(Some(inner)) => Term::Arr(Some(Box::new(part(*inner, depth)?))),
        Term::Obj(entries) => {
            let entries = entries.into_iter().map(|(key, value)| {
                // A key alone stands for the field of that name: it must keep its form.
                match value {
                    Some(value) => Ok((part(key, depth)?, Some(part(value, depth)?))),
                    None => Ok((key, None)),
                }
            });
            Term::Obj(entries.collect::<Result<_, String>>()?)
        }
        Term::Neg(inner) => Term::Neg(Box::new(part(*inner, depth)?)),
        Term::BinOp(left, op, right) => operation(*left, op, *right, depth)?,
        Term::Label(name, body) => Term::Label(name, boxed(*body, depth)?),
        Term::Fold(name, source, pattern, bodies) => {
            let bodies = bodies.into_iter().map(|body| term(body, depth).map(entered));
            let bodies = bodies.collect::<Result<_, String>>()?;
            Term::Fold(name, Box::new(part(*source, depth)?), bound(pattern, depth)?, bodies)
        }
        Term::TryCatch(tried, caught) => {
            let caught = caught.map(|caught| boxed(*caught, depth)).transpose()?;
            Term::TryCatch(boxed(*tried, depth)?, caught)
        }
        Term::IfThenElse(branches, otherwise) => {
            let branches = branches.into_iter().map(|(test, then)| Ok((part(test, depth)?, term(then, depth)?)));
            let branches = branches.collect::<Result<_, String>>()?;
            Term::IfThenElse(branches, otherwise.map(|body| boxed(*body, depth)).transpose()?)
        }
        Term::Def(defs, body) => {
            let defs = defs.into_iter().map(|def| definition(def, depth)).collect::<Result<_, String>>()?;
            Term::Def(defs, boxed(*body, depth)?)
        }
        Term::Call(name, args) => {
            Term::Call(name, args.into_iter().map(|arg| part(arg, depth)).collect::<Result<_, String>>()?)
        }
        Term::Path(inner, path) => Term::Path(Box::new(part(*inner, depth)?), steps(path, depth)?),
    })
}

fn operation<'s>(left: T<'s>, op: BinaryOp<&'s str>, right: T<'s>, depth: usize) -> Result<T<'s>, String> {
    Ok(match op {
        BinaryOp::Pipe(None) => binary(term(left, depth)?, op, entered(term(right, depth)?)),
        BinaryOp::Pipe(Some(pattern)) => {
            let op = BinaryOp::Pipe(Some(bound(pattern, depth)?));
            binary(part(left, depth)?, op, entered(term(right, depth)?))
        }
        BinaryOp::Comma => binary(term(left, depth)?, op, term(right, depth)?),
        BinaryOp::Math(Math::Mul) => Term::Call(TIMES, vec![part(left, depth)?, part(right, depth)?]),
        BinaryOp::UpdateMath(Math::Mul) => {
            let product = Term::Call(TIMES, vec![Term::Id, Term::Var(MULTIPLIED)]);
            let update = binary(part(left, depth)?, BinaryOp::Update, product);
            binary(part(right, depth)?, BinaryOp::Pipe(Some(Pattern::Var(MULTIPLIED))), update)
        }
        op => binary(part(left, depth)?, op, part(right, depth)?),
    })
}

fn bound(pattern: Pattern<&str>, depth: usize) -> Result<Pattern<&str>, String> {
    if depth > DEPTH_MAX {
        return Err(format!("it is nested deeper than {DEPTH_MAX}"));
    }
    let depth = depth + 1;
    Ok(match pattern {
        Pattern::Var(name) => Pattern::Var(name),
        Pattern::Arr(items) => {
            Pattern::Arr(items.into_iter().map(|item| bound(item, depth)).collect::<Result<_, String>>()?)
        }
        Pattern::Obj(entries) => {
            let entries = entries.into_iter().map(|(key, value)| Ok((term(key, depth)?, bound(value, depth)?)));
            Pattern::Obj(entries.collect::<Result<_, String>>()?)
        }
    })
}

fn steps(path: Path<T<'_>>, depth: usize) -> Result<Path<T<'_>>, String> {
    let maybe = |inner: Option<_>| inner.map(|inner| part(inner, depth)).transpose();
    let steps = path.0.into_iter().map(|(step, optional)| {
        let step = match step {
            Part::Index(index) => Part::Index(part(index, depth)?),
            Part::Range(from, to) => Part::Range(maybe(from)?, maybe(to)?),
        };
        Ok((step, optional))
    });
    Ok(Path(steps.collect::<Result<_, String>>()?))
}
