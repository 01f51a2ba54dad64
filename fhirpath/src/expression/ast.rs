//! The syntax tree: all of the grammar of FHIRPath N1 (<https://hl7.org/fhirpath/N1/grammar.html>), with
//! positions, before any type is known.

use super::decimal::Decimal;
use super::temporal::{Date, DateTime, Time};

/// An expression. Positions are byte offsets into the text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expr {
    pub kind: ExprKind,
    pub position: usize,
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ExprKind {
    Literal(Literal),
    /// `{}`
    Empty,
    /// `$this`, `$index`, `$total`
    Variable(Variable),
    /// `%resource`
    Constant(String),
    /// `name`, of the implicit `$this`.
    Name(String),
    /// `exists()`, of the implicit `$this`.
    Call(Call),
    /// `base.step[0].step()`
    Path {
        base: Box<Expr>,
        steps: Vec<Step>,
    },
    /// `-x`, `+x`
    Sign {
        negative: bool,
        operand: Box<Expr>,
    },
    /// `a + b`
    Binary {
        operator: Operator,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    /// `a | b | c`, flat
    Union(Vec<Expr>),
    /// `a is B`, `a as B`
    Type {
        operator: TypeOperator,
        operand: Box<Expr>,
        specifier: TypeSpecifier,
    },
}

impl Expr {
    /// An expression that ends in a name: what comes before it, and the name.
    pub fn into_member(self) -> Option<(Expr, String)> {
        let position = self.position;
        match self.kind {
            ExprKind::Name(name) => Some((Expr { kind: ExprKind::Variable(Variable::This), position }, name)),
            ExprKind::Path { base, mut steps } => {
                let StepKind::Name(name) = steps.pop()?.kind else { return None };
                let owner = if steps.is_empty() {
                    *base
                } else {
                    Expr { kind: ExprKind::Path { base, steps }, position }
                };
                Some((owner, name))
            }
            _ => None,
        }
    }
}

/// A step of a path. The position is that of its name or bracket.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub kind: StepKind,
    pub position: usize,
}

/// What a step is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum StepKind {
    /// `.name`
    Name(String),
    /// `.first()`
    Call(Call),
    /// `[0]`
    Index(Expr),
    /// `.$this`, which the grammar allows
    Variable(Variable),
}

/// A function and its arguments.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub name: String,
    pub arguments: Vec<Expr>,
}

/// `FHIR.Patient`, `Patient`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TypeSpecifier {
    pub namespace: Option<String>,
    pub name: String,
    pub position: usize,
}

/// The variables of iterations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variable {
    This,
    Index,
    Total,
}

/// A literal's value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Boolean(bool),
    String(String),
    Integer(i64),
    Decimal(Decimal),
    Date(Date),
    DateTime(DateTime),
    Time(Time),
    /// `4 days`, `4 'mg'`
    Quantity {
        value: Decimal,
        unit: String,
        calendar: bool,
    },
}

/// `is` and `as`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TypeOperator {
    Is,
    As,
}

/// Operators of two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Multiply,
    Divide,
    Div,
    Mod,
    Add,
    Subtract,
    Concatenate,
    LessOrEqual,
    Less,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
    Equivalent,
    NotEquivalent,
    In,
    Contains,
    And,
    Or,
    Xor,
    Implies,
}

impl Operator {
    /// As it is written.
    pub fn text(self) -> &'static str {
        match self {
            Operator::Multiply => "*",
            Operator::Divide => "/",
            Operator::Div => "div",
            Operator::Mod => "mod",
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Concatenate => "&",
            Operator::LessOrEqual => "<=",
            Operator::Less => "<",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
            Operator::Equal => "=",
            Operator::NotEqual => "!=",
            Operator::Equivalent => "~",
            Operator::NotEquivalent => "!~",
            Operator::In => "in",
            Operator::Contains => "contains",
            Operator::And => "and",
            Operator::Or => "or",
            Operator::Xor => "xor",
            Operator::Implies => "implies",
        }
    }
}
