//! FHIRPath (<https://hl7.org/fhirpath/N1/>, <https://hl7.org/fhir/R4/fhirpath.html>): text to a typed,
//! compiled [`Expression`], evaluated over a [`crate::Tree`].

use std::sync::Arc;

use crate::schema::Schema;
use crate::tree::Element;

mod ast;
mod decimal;
mod lexer;
mod parser;
mod temporal;

pub use decimal::Decimal;
pub use temporal::{Date, DateTime, Time};

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Expression {}

/// One item of a result.
#[derive(Debug, Clone)]
pub enum Item<'t> {
    /// A node of the tree.
    Element(Element<'t>),
    /// A computed Boolean.
    Boolean(bool),
}

impl Expression {
    /// Parses `text` and compiles it for inputs of the type `context` (`Patient`, `Resource`, `Observation.component`).
    ///
    /// # Errors
    /// A syntax error, an unknown function or an unknown path, with its position.
    pub fn compile(schema: &Arc<Schema>, context: &str, text: &str) -> Result<Expression, CompileError> {
        let _ = (schema, context, text);
        todo!()
    }

    /// Evaluates over `input`, appending to `out`.
    ///
    /// # Errors
    /// A rule of the language broken by the data (a singleton expected), or a bound exceeded.
    pub fn evaluate<'t>(&self, input: Element<'t>, out: &mut Vec<Item<'t>>) -> Result<(), EvaluationError> {
        let _ = (input, out);
        todo!()
    }
}

/// Why a text is not an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} (at character {position})")]
pub struct CompileError {
    /// What is wrong.
    pub message: String,
    /// 0-based character in the text.
    pub position: usize,
}

impl CompileError {
    /// An error at a byte of the text.
    fn at(text: &str, byte: usize, message: impl Into<String>) -> CompileError {
        let position = text.char_indices().take_while(|(start, _)| *start < byte).count();
        CompileError { message: message.into(), position }
    }
}

/// Why an evaluation stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EvaluationError {
    /// What is wrong.
    pub message: String,
}
