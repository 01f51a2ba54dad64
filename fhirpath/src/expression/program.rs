//! What an expression is compiled to: paths are ranges of properties, types and functions are resolved.

use std::ops::Range;
use std::sync::Arc;

use super::ast::Operator;
use super::functions::{Function, Pattern};
use super::item::Item;
use super::types::TypeTest;
use crate::schema::{PropertyId, TypeId};

/// Something that yields a collection.
#[derive(Debug, Clone)]
pub(super) enum Code {
    /// `{}`, or what the types show to be always empty.
    Nothing,
    /// `$this`
    This,
    /// `$index`
    Index,
    /// `$total`
    Total,
    /// `%resource`
    Resource,
    /// `%rootResource`
    RootResource,
    /// `%context`
    Context,
    Constant(Item<'static>),
    /// A literal in the place of a regular expression, compiled.
    Pattern {
        pattern: Arc<Pattern>,
        text: Box<str>,
    },
    /// What an iteration asks for again and again though it is always the same: evaluated once.
    Shared {
        slot: usize,
        code: Box<Code>,
    },
    /// `ops`, each over single items, from one item on: walked without a collection in between.
    Walk {
        start: Start,
        ops: Vec<Op>,
    },
    /// `ops` one after another over what `base` yields.
    Chain {
        base: Box<Code>,
        ops: Vec<Op>,
    },
    /// `a | b | c`
    Union(Vec<Code>),
    Negate(Box<Code>),
    /// `operand.exists()` and the like: answered without a collection in between.
    Ask {
        question: Question,
        operand: Box<Code>,
    },
    /// `operand.all(criteria)`
    All {
        operand: Box<Code>,
        criteria: Box<Code>,
    },
    Is {
        operand: Box<Code>,
        test: TypeTest,
    },
    /// `resolve() is X`: what kind of resource a reference points to, without reading it.
    ReferenceIs {
        operand: Box<Code>,
        test: TypeTest,
    },
    /// `operand = 'text'`
    EqualsText {
        operand: Box<Code>,
        text: Box<str>,
    },
    /// `and`, `or`, `xor`, `implies`
    Logic {
        operator: Operator,
        left: Box<Code>,
        right: Box<Code>,
    },
    /// A comparison of counts and Integers.
    Counts {
        operator: Operator,
        left: Box<Code>,
        right: Box<Code>,
    },
    /// `=` (or `!=`, when not `equal`) of two truth values.
    SameTruth {
        equal: bool,
        left: Box<Code>,
        right: Box<Code>,
    },
    /// Any other operator.
    Binary {
        operator: Operator,
        left: Box<Code>,
        right: Box<Code>,
    },
}

/// The one item that a walk begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    This,
    Resource,
    RootResource,
    Context,
}

impl Code {
    /// What a walk can begin with.
    pub fn as_start(&self) -> Option<Start> {
        match self {
            Code::This => Some(Start::This),
            Code::Resource => Some(Start::Resource),
            Code::RootResource => Some(Start::RootResource),
            Code::Context => Some(Start::Context),
            _ => None,
        }
    }

    /// Whether it yields one Boolean or nothing.
    pub fn is_truth(&self) -> bool {
        match self {
            Code::Ask { question, .. } => *question != Question::Count,
            Code::All { .. }
            | Code::Is { .. }
            | Code::ReferenceIs { .. }
            | Code::EqualsText { .. }
            | Code::Logic { .. }
            | Code::Counts { .. }
            | Code::SameTruth { .. } => true,
            _ => false,
        }
    }

    /// Whether it is a count or an Integer.
    pub fn is_number(&self) -> bool {
        matches!(self, Code::Ask { question: Question::Count, .. } | Code::Constant(Item::Integer(_)))
    }
}

/// What is asked about a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    Exists,
    Empty,
    HasValue,
    Not,
    Count,
}

/// One step of a chain.
#[derive(Debug, Clone)]
pub(super) enum Op {
    /// `.name`
    Children(Step),
    /// `ofType(X)`, `as(X)`
    OfType(TypeTest),
    /// `where(...)` that asks for neither `$index` nor `$total`
    Where(Code),
    /// `extension(url)`
    Extension(Box<str>),
    /// `descendants()`
    Descendants,
    /// `[3]`
    Index(Code),
    Function {
        function: &'static Function,
        arguments: Vec<Code>,
    },
}

impl Op {
    /// Whether it treats each item by itself.
    pub fn is_itemwise(&self) -> bool {
        matches!(self, Op::Children(_) | Op::OfType(_) | Op::Where(_) | Op::Extension(_) | Op::Descendants)
    }
}

/// The properties that a name stands for.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// In the one type there can be.
    One(Range<PropertyId>),
    /// In each of several types, ascending.
    Several(Box<[(TypeId, Range<PropertyId>)]>),
    /// In any type: by the number of the type.
    Any(Box<[Range<PropertyId>]>),
    /// To be looked up in the type of each item.
    Named(Box<str>),
    /// `children()`
    All,
}
