//! Text to plan: parses, checks and resolves a rule. Everything that can be known without an event is found here.
//!
//! All errors of a statement are reported, not only the first, but for grammar errors, where the rest means nothing.

use std::sync::Arc;

use model::{Str, Value};

use crate::ast;
use crate::json::PathSet;
use crate::parser;
use crate::plan::{Expr, Generation, Let, OnDecodeError, Output, Plan, Read, Shape, Step};
use crate::span::{Class, Diagnostic, Span};

mod call;
mod expr;
mod fields;
mod hints;
mod scope;
mod sources;

use scope::Scope;
pub(crate) use scope::children;

/// What the creator of a rule may set.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What an undecodable payload does; without it, the default of the FROM clause's generation: `Null` for
    /// `FROM "message.publish"`, as 3.4.5 did, `Fail` otherwise.
    pub on_decode_error: Option<OnDecodeError>,
}

/// Compiles one rule.
pub fn compile(sql: &str, options: &Options) -> Result<Plan, Vec<Diagnostic>> {
    let statement = parser::parse(sql).map_err(|diagnostic| vec![diagnostic])?;
    let mut compiler = Compiler::new(sql);
    for (span, clause) in &statement.unsupported {
        compiler.class = Class::Plan;
        compiler.report(*span, format!("{clause} is not built yet"));
    }
    if !compiler.diagnostics.is_empty() {
        return Err(compiler.diagnostics);
    }
    let (sources, generation) = compiler.sources(&statement.from);
    compiler.kinds = sources::kinds_of(&sources);
    let (where_, shape) = match &statement.body {
        ast::Body::Select(fields) => compiler.select(fields, statement.where_.as_ref()),
        ast::Body::Foreach { fields, do_, incase } => {
            compiler.foreach(fields, do_.as_deref(), incase.as_ref(), statement.where_.as_ref())
        }
    };
    if !compiler.diagnostics.is_empty() {
        return Err(compiler.diagnostics);
    }
    let names = shape
        .outputs()
        .iter()
        .map(|output| match output {
            Output::Column { name, .. } => Some(name.clone()),
            Output::Event { .. } => None,
        })
        .collect::<Option<Arc<[Str]>>>();
    let default_policy = if generation == Generation::V3 { OnDecodeError::Null } else { OnDecodeError::Fail };
    Ok(Plan {
        sql: Str::new(sql),
        generation,
        topic_hints: where_.as_ref().map(|where_| hints::topic_hints(where_, &compiler.reads)).unwrap_or_default(),
        sources,
        reads: compiler.reads,
        paths: Arc::new(compiler.paths),
        lets: compiler.lets,
        where_,
        shape,
        names,
        on_decode_error: options.on_decode_error.unwrap_or(default_policy),
    })
}

/// The state of one compilation.
struct Compiler<'s> {
    sql: &'s str,
    diagnostics: Vec<Diagnostic>,
    /// The clause being compiled.
    class: Class,
    kinds: Vec<model::EventKind>,
    reads: Vec<Read>,
    paths: PathSet,
    lets: Vec<Let>,
    /// Aliases of SELECT, or of the FOREACH fields.
    fields: Scope,
    /// Aliases of DO.
    rows: Scope,
    /// The item's name, while INCASE and DO are compiled.
    item: Option<Str>,
    /// Aliases that fields further right define, with their places.
    later: Vec<(String, Span)>,
}

impl<'s> Compiler<'s> {
    fn new(sql: &'s str) -> Self {
        Self {
            sql,
            diagnostics: Vec::new(),
            class: Class::Select,
            kinds: Vec::new(),
            reads: Vec::new(),
            paths: PathSet::new(),
            lets: Vec::new(),
            fields: Scope::default(),
            rows: Scope::default(),
            item: None,
            later: Vec::new(),
        }
    }

    fn report(&mut self, span: Span, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic::new(self.class, self.sql, span, message));
    }

    fn report_with_hint(&mut self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.diagnostics.push(Diagnostic::new(self.class, self.sql, span, message).hint(hint));
    }

    /// The read of a field and a constant path below it, listed once.
    fn read(&mut self, field: &str, path: &[Step]) -> Expr {
        if let Some(known) = self.reads.iter().position(|read| read.field == field && read.path.as_ref() == path) {
            return Expr::Read(known);
        }
        let slot = (field == "payload" && !path.is_empty()).then(|| self.paths.insert(path));
        self.reads.push(Read {
            field: Str::new(field),
            path: path.into(),
            publish: crate::catalogue::publish_field(field),
            slot,
        });
        Expr::Read(self.reads.len() - 1)
    }

    /// Whether an event of the FROM clause has this field by the catalogue.
    fn is_event_field(&self, name: &str) -> bool {
        self.kinds.iter().any(|kind| crate::catalogue::has_field(*kind, name))
    }

    fn where_(&mut self, condition: Option<&ast::Expr>) -> Option<Expr> {
        self.class = Class::Where;
        condition.map(|condition| self.expr(condition))
    }

    fn select(&mut self, fields: &[ast::Field], condition: Option<&ast::Expr>) -> (Option<Expr>, Shape) {
        self.class = Class::Select;
        self.define_all(fields, false);
        let where_ = self.where_(condition);
        (where_, Shape::Select { outputs: std::mem::take(&mut self.fields).into_outputs() })
    }

    fn foreach(
        &mut self,
        fields: &[ast::Field],
        do_: Option<&[ast::Field]>,
        incase: Option<&ast::Expr>,
        condition: Option<&ast::Expr>,
    ) -> (Option<Expr>, Shape) {
        self.class = Class::Foreach;
        let (collection, alias) = self.collection(fields);
        let where_ = self.where_(condition);
        self.item = Some(alias.clone());
        self.class = Class::Incase;
        let incase = incase.map(|incase| self.expr(incase));
        self.class = Class::Do;
        let outputs = match do_ {
            Some(fields) => {
                self.define_all(fields, true);
                std::mem::take(&mut self.rows).into_outputs()
            }
            None => {
                let mut outputs = vec![Output::Event { except: Vec::new() }];
                outputs.extend(std::mem::take(&mut self.fields).into_outputs().into_iter().filter(
                    |output| match output {
                        Output::Column { name, .. } => *name != alias,
                        Output::Event { .. } => false,
                    },
                ));
                outputs.push(Output::Column { name: alias.clone(), expr: Expr::Item, span: Span::default() });
                outputs
            }
        };
        (where_, Shape::Foreach { collection, alias, incase, outputs, class: Class::Do })
    }

    /// The fields of FOREACH: all but the last are aliases, the last is the collection.
    fn collection(&mut self, fields: &[ast::Field]) -> (Expr, Str) {
        let item = Str::new("item");
        let Some((last, aliases)) = fields.split_last() else { return (Expr::Literal(Value::Missing), item) };
        self.define_all(aliases, false);
        let ast::FieldKind::Expr { expr, target } = &last.kind else {
            self.report_with_hint(
                last.span,
                "the last field of FOREACH must be a list, not *",
                "name the list: FOREACH payload.items AS item",
            );
            return (Expr::Literal(Value::Missing), item);
        };
        let collection = self.expr(expr);
        match target {
            Some(target) if target.path.is_empty() => {
                let alias = Str::new(&target.name);
                let collection = self.fields.define(alias.clone(), collection, last.span, false);
                let shared = scope::share(&mut self.fields, collection, &mut self.lets, self.class);
                (shared, alias)
            }
            Some(target) => {
                self.report(target.span, "the collection's name must be a plain name, without a path");
                (collection, item)
            }
            None => (collection, item),
        }
    }
}
