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
    Binary {
        operator: Operator,
        left: Box<Code>,
        right: Box<Code>,
    },
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
        matches!(self, Op::Children(_) | Op::OfType(_) | Op::Where(_) | Op::Extension(_))
    }
}

/// The properties that a name stands for.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// In the one type there can be.
    One(Range<PropertyId>),
    /// In each of several types, ascending.
    Several(Box<[(TypeId, Range<PropertyId>)]>),
    /// To be looked up in the type of each item.
    Named(Box<str>),
    /// `children()`
    All,
}
