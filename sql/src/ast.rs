//! The syntax tree: what was written, with its places. Nothing is checked here beyond the grammar.

use crate::span::Span;

/// One parsed rule.
#[derive(Clone, Debug)]
pub struct Statement {
    /// SELECT or FOREACH.
    pub body: Body,
    /// FROM, in order.
    pub from: Vec<SourceName>,
    /// WHERE.
    pub where_: Option<Expr>,
    /// Clauses that parse but are not built, with the name to report.
    pub unsupported: Vec<(Span, &'static str)>,
}

/// What the rule makes.
#[derive(Clone, Debug)]
pub enum Body {
    /// SELECT fields.
    Select(Vec<Field>),
    /// FOREACH fields DO fields INCASE condition.
    Foreach {
        /// The last one is the collection.
        fields: Vec<Field>,
        /// DO.
        do_: Option<Vec<Field>>,
        /// INCASE.
        incase: Option<Expr>,
    },
}

/// One name of FROM.
#[derive(Clone, Debug)]
pub struct SourceName {
    /// The text without quotes.
    pub name: String,
    /// Where it stands.
    pub span: Span,
}

/// One field of a list.
#[derive(Clone, Debug)]
pub struct Field {
    /// What it is.
    pub kind: FieldKind,
    /// The whole field.
    pub span: Span,
}

/// The kinds of fields.
#[derive(Clone, Debug)]
pub enum FieldKind {
    /// `*` or `* EXCEPT (…)`.
    Star {
        /// The names left out.
        except: Vec<(String, Span)>,
    },
    /// An expression, perhaps with a target.
    Expr {
        /// Its value.
        expr: Expr,
        /// Where it is written.
        target: Option<Target>,
    },
}

/// The target of AS: a root name and steps below it.
#[derive(Clone, Debug)]
pub struct Target {
    /// The root.
    pub name: String,
    /// Steps below the root.
    pub path: Vec<TargetStep>,
    /// Where it stands.
    pub span: Span,
}

/// A step of a target.
#[derive(Clone, Debug, PartialEq)]
pub enum TargetStep {
    /// A key.
    Key(String),
    /// A position, not 0.
    Index(i64),
    /// `[0]`.
    Head,
    /// `[-0]`.
    Tail,
}

/// An expression and where it stands.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// The whole expression.
    pub span: Span,
    /// Levels below and including this one; the parser bounds it, so that walking the tree cannot exhaust the stack.
    pub height: usize,
}

impl Expr {
    /// A node above its children.
    pub fn new(kind: ExprKind, span: Span) -> Self {
        let height = 1 + kind.children().map(|child| child.height).max().unwrap_or(0);
        Self { kind, span, height }
    }
}

/// A literal.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// The digits of an integer.
    Integer(String),
    /// A float.
    Float(f64),
    /// 'text'.
    Text(String),
    /// true, false.
    Bool(bool),
    /// NULL.
    Null,
}

/// Binary operators as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say the operator")]
pub enum BinaryOp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    TopicMatch,
    Add,
    Subtract,
    Concat,
    Multiply,
    Divide,
    Div,
    Mod,
}

/// A step below an expression.
#[derive(Clone, Debug)]
pub enum PathStep {
    /// `.key`.
    Key(String, Span),
    /// `[expr]`.
    Index(Box<Expr>, Span),
    /// `[from..to]`; always the last step.
    Slice(Box<Expr>, Box<Expr>, Span),
}

/// The kinds of expressions.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "fields are named after their role")]
pub enum ExprKind {
    Literal(Literal),
    /// A name.
    Name(String),
    /// Steps below a base.
    Path {
        base: Box<Expr>,
        steps: Vec<PathStep>,
    },
    /// All of them.
    And(Vec<Expr>),
    /// Any of them.
    Or(Vec<Expr>),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    Plus(Box<Expr>),
    Binary {
        op: BinaryOp,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    In {
        value: Box<Expr>,
        items: Vec<Expr>,
        negated: bool,
    },
    Like {
        value: Box<Expr>,
        pattern: Box<Expr>,
        negated: bool,
    },
    Between {
        value: Box<Expr>,
        low: Box<Expr>,
        high: Box<Expr>,
        negated: bool,
    },
    IsNull {
        value: Box<Expr>,
        negated: bool,
    },
    Case {
        operand: Option<Box<Expr>>,
        branches: Vec<(Expr, Expr)>,
        otherwise: Option<Box<Expr>>,
    },
    Cast {
        value: Box<Expr>,
        to: String,
        to_span: Span,
    },
    Call {
        name: String,
        name_span: Span,
        args: Vec<Expr>,
    },
    List(Vec<Expr>),
    Range {
        from: Box<Expr>,
        to: Box<Expr>,
    },
}

impl ExprKind {
    /// The expressions directly below.
    pub fn children(&self) -> impl Iterator<Item = &Expr> {
        let mut children: Vec<&Expr> = Vec::new();
        match self {
            Self::Literal(_) | Self::Name(_) => {}
            Self::Path { base, steps } => {
                children.push(base);
                for step in steps {
                    match step {
                        PathStep::Key(..) => {}
                        PathStep::Index(index, _) => children.push(index),
                        PathStep::Slice(from, to, _) => children.extend([from.as_ref(), to.as_ref()]),
                    }
                }
            }
            Self::Not(value) | Self::Negate(value) | Self::Plus(value) => children.push(value),
            Self::IsNull { value, .. } | Self::Cast { value, .. } => children.push(value),
            Self::Binary { left, right, .. } => children.extend([left.as_ref(), right.as_ref()]),
            Self::Like { value, pattern, .. } => children.extend([value.as_ref(), pattern.as_ref()]),
            Self::Range { from, to } => children.extend([from.as_ref(), to.as_ref()]),
            Self::Between { value, low, high, .. } => children.extend([value.as_ref(), low.as_ref(), high.as_ref()]),
            Self::In { value, items, .. } => {
                children.push(value);
                children.extend(items);
            }
            Self::Case { operand, branches, otherwise } => {
                children.extend(operand.as_deref());
                children.extend(branches.iter().flat_map(|(when, then)| [when, then]));
                children.extend(otherwise.as_deref());
            }
            Self::And(items) | Self::Or(items) | Self::List(items) => children.extend(items),
            Self::Call { args, .. } => children.extend(args),
        }
        children.into_iter()
    }
}
