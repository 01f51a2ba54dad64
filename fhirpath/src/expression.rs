//! FHIRPath (<https://hl7.org/fhirpath/N1/>, <https://hl7.org/fhir/R4/fhirpath.html>): text to a typed,
//! compiled [`Expression`], evaluated over a [`crate::Tree`].
//!
//! Lexer, parser, compile against the schema, evaluation. An unknown element, type, function or number of
//! arguments is refused when it is compiled, never an empty result. Nothing is read but the tree at hand and what the
//! caller's [`Environment`] hands in.

use std::sync::Arc;

use crate::issue::{Issue, IssueType};
use crate::schema::Schema;
use crate::tree::Element;

mod ast;
mod compile;
mod decimal;
mod distinct;
mod environment;
mod evaluate;
mod functions;
mod item;
mod lexer;
mod markup;
mod operators;
mod parser;
mod program;
mod reference;
mod share;
mod temporal;
mod types;
mod ucum;
mod walk;

pub use decimal::Decimal;
pub use environment::{Coding, Environment, Profiles, Resolver, Terminology, Trace};
pub use evaluate::{MAX_ITEMS, MAX_STEPS};
pub use item::{Item, Quantity, TypeInfo};
pub use markup::{NarrativeFault, narrative_fault};
pub use parser::{MAX_HEIGHT, MAX_LENGTH, MAX_PATH};
pub use reference::{referred, referred_type, type_of_url};
pub use temporal::{Date, DateTime, Time};
pub use types::System;
pub use ucum::{canonical_unit, is_unit};

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Expression {
    schema: Arc<Schema>,
    text: Box<str>,
    program: compile::Program,
}

/// How strictly a text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// As R4's own invariants need it: the specification, but `as` is a filter over several items.
    Standard,
    /// The specification to the letter: `as` wants one item, and what depends on an order that the specification leaves
    /// open (`children().first()`) is refused.
    Strict,
    /// As R4's and US Core's search parameters need it. Besides the standard: the JSON name of a choice (`valueDateTime`)
    /// is an element, and the name of a System type (`as(DateTime)`) also means the FHIR type of such values.
    SearchParameter,
}

impl Expression {
    /// Parses `text` and compiles it for inputs of the type `context` (`Patient`, `Resource`, `Observation.component`),
    /// in the dialect of search parameters. `Patient.name` for an input of another type compiles to nothing
    /// ([`Expression::is_empty`]), so that one text serves several types.
    ///
    /// # Errors
    /// A syntax error, an unknown function or an unknown path, with its position.
    pub fn compile(schema: &Arc<Schema>, context: &str, text: &str) -> Result<Expression, CompileError> {
        Expression::compile_as(schema, context, text, Dialect::SearchParameter)
    }

    /// The same in a dialect.
    ///
    /// # Errors
    /// As [`Expression::compile`].
    pub fn compile_as(
        schema: &Arc<Schema>,
        context: &str,
        text: &str,
        dialect: Dialect,
    ) -> Result<Expression, CompileError> {
        Expression::compile_all(schema, &[context], text, dialect, &[])
    }

    /// The same for inputs of any of several types (`Any` alone stands for all), with constants of the caller's: `%name` is
    /// the item of that name (<https://hl7.org/fhirpath/N1/#environment-variables>), unless the language has one of it.
    ///
    /// # Errors
    /// As [`Expression::compile`]; a path that only some of the types have is no error.
    pub fn compile_with(
        schema: &Arc<Schema>,
        contexts: &[&str],
        text: &str,
        dialect: Dialect,
        constants: &[(String, Item<'static>)],
    ) -> Result<Expression, CompileError> {
        Expression::compile_all(schema, contexts, text, dialect, constants)
    }

    /// The same as [`Expression::compile`] for inputs that may be of any of several types (the component of a composite
    /// search parameter that selects `Observation` and `Observation.component`). `%resource` is of the first one's.
    ///
    /// # Errors
    /// As [`Expression::compile`]; a path that only some of the types have is no error.
    pub fn compile_for(
        schema: &Arc<Schema>,
        contexts: &[&str],
        text: &str,
    ) -> Result<Expression, CompileError> {
        Expression::compile_all(schema, contexts, text, Dialect::SearchParameter, &[])
    }

    fn compile_all(
        schema: &Arc<Schema>,
        contexts: &[&str],
        text: &str,
        dialect: Dialect,
        constants: &[(String, Item<'static>)],
    ) -> Result<Expression, CompileError> {
        let parsed = parser::parse(text)?;
        let program = compile::compile(schema, contexts, text, &parsed, dialect, constants)?;
        Ok(Expression { schema: schema.clone(), text: text.into(), program })
    }

    /// Compiles the text of a list, in the standard dialect: what holds it, and its name. `Patient.name[0].given` is `given`
    /// of what `Patient.name[0]` yields. `None` where the text does not end in a name.
    ///
    /// # Errors
    /// As [`Expression::compile`], of the whole text.
    pub(crate) fn compile_list(
        schema: &Arc<Schema>,
        context: &str,
        text: &str,
    ) -> Result<Option<(Expression, String)>, CompileError> {
        Expression::compile_as(schema, context, text, Dialect::Standard)?;
        let Some((owner, name)) = parser::parse(text)?.into_member() else { return Ok(None) };
        let program = compile::compile(schema, &[context], text, &owner, Dialect::Standard, &[])?;
        Ok(Some((Expression { schema: schema.clone(), text: text.into(), program }, name)))
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it never yields anything for the type it was compiled for.
    pub fn is_empty(&self) -> bool {
        matches!(self.program.code, program::Code::Nothing)
    }

    /// The types of what it can yield, as far as the schema tells: `Reference`, `canonical`, `Observation.component`,
    /// and `System.Boolean` for what is computed. An abstract type stands for all that specialise it; `Any` alone
    /// stands for everything.
    pub fn result_types(&self) -> Vec<String> {
        if self.program.types.is_any() {
            return vec!["Any".to_owned()];
        }
        let name = |found| match found {
            types::Type::Fhir(id) => self.schema.type_name(id).to_owned(),
            types::Type::System(system) => format!("System.{}", system.name()),
        };
        self.program.types.iter().map(name).collect()
    }

    /// Evaluates over `input`, appending to `out`. There is no clock: `now()` and `today()` are errors.
    ///
    /// # Errors
    /// A rule of the language broken by the data (a singleton expected), something asked for that the environment does
    /// not provide, or a bound exceeded.
    pub fn evaluate<'t>(&self, input: Element<'t>, out: &mut Vec<Item<'t>>) -> Result<(), EvaluationError> {
        self.evaluate_in(input, &Environment::default(), out)
    }

    /// Evaluates over `input` at the moment `now`, appending to `out`.
    ///
    /// # Errors
    /// As [`Expression::evaluate`].
    pub fn evaluate_at<'t>(
        &self,
        input: Element<'t>,
        now: DateTime,
        out: &mut Vec<Item<'t>>,
    ) -> Result<(), EvaluationError> {
        self.evaluate_in(input, &Environment { now: Some(now), ..Environment::default() }, out)
    }

    /// Evaluates over `input` with what `environment` provides, appending to `out`.
    ///
    /// # Errors
    /// As [`Expression::evaluate`].
    #[inline]
    pub fn evaluate_in<'t>(
        &self,
        input: Element<'t>,
        environment: &Environment<'t>,
        out: &mut Vec<Item<'t>>,
    ) -> Result<(), EvaluationError> {
        self.evaluate_after(input, environment, &mut 0, out)
    }

    /// Evaluates as one of several that share [`MAX_STEPS`]; `steps` counts on.
    ///
    /// # Errors
    /// As [`Expression::evaluate`].
    #[inline]
    pub fn evaluate_after<'t>(
        &self,
        input: Element<'t>,
        environment: &Environment<'t>,
        steps: &mut u64,
        out: &mut Vec<Item<'t>>,
    ) -> Result<(), EvaluationError> {
        let machine = evaluate::Machine::new(input, *environment, self.program.slots);
        machine.count_on_from(*steps);
        let this = Item::Element(input);
        let scope = evaluate::Scope { this: &this, index: 0, total: &[] };
        if let code @ program::Code::Walk { .. } = &self.program.code {
            let before = out.len();
            machine.collect(code, &scope, out).inspect_err(|_| out.truncate(before))?;
        } else {
            let mut found = item::Items::new();
            machine.run(&self.program.code, &scope, &mut found)?;
            out.extend(found);
        }
        *steps = machine.steps();
        Ok(())
    }

    /// The truth of an invariant over `input`: `None` where the result is empty.
    ///
    /// # Errors
    /// As [`Expression::evaluate`], and when the result is several items.
    pub fn test<'t>(
        &self,
        input: Element<'t>,
        environment: &Environment<'t>,
    ) -> Result<Option<bool>, EvaluationError> {
        let machine = evaluate::Machine::new(input, *environment, self.program.slots);
        let this = Item::Element(input);
        machine.test(&self.program.code, &evaluate::Scope { this: &this, index: 0, total: &[] })
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

impl From<CompileError> for Issue {
    fn from(error: CompileError) -> Issue {
        Issue::error(IssueType::Invalid, format!("the FHIRPath expression is refused: {error}"))
    }
}

/// Why an evaluation stopped. The message names functions and types, never what a resource holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EvaluationError {
    /// What is wrong.
    pub message: String,
    /// Of what kind it is: `too-costly` for a bound exceeded, `not-supported` for what the environment does not provide,
    /// `processing` for a rule of the language that the data break.
    pub code: IssueType,
}

impl EvaluationError {
    /// A rule of the language is broken by the data.
    pub fn new(message: impl Into<String>) -> EvaluationError {
        EvaluationError { message: message.into(), code: IssueType::Processing }
    }

    /// A bound is exceeded.
    pub fn too_costly(message: impl Into<String>) -> EvaluationError {
        EvaluationError { message: message.into(), code: IssueType::TooCostly }
    }

    /// Something is asked for that is not provided.
    pub fn not_supported(message: impl Into<String>) -> EvaluationError {
        EvaluationError { message: message.into(), code: IssueType::NotSupported }
    }
}

/// Where it was boxed so that answers are small.
impl From<Box<EvaluationError>> for EvaluationError {
    fn from(error: Box<EvaluationError>) -> EvaluationError {
        *error
    }
}

impl From<EvaluationError> for Issue {
    fn from(error: EvaluationError) -> Issue {
        Issue::error(error.code, format!("the FHIRPath expression cannot be evaluated: {}", error.message))
    }
}

#[cfg(test)]
mod tests;
