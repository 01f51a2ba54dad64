//! Invariants: FHIRPath compiled once for each type of element they are asked of, and passed over where a glance shows that
//! they hold.

use std::sync::{Arc, OnceLock};

use fhirpath::expression::{Dialect, Environment, EvaluationError, Expression, Item};
use fhirpath::schema::{PropertyId, TypeId};
use fhirpath::{Element, Schema};

use super::structure::Constraint;

/// A rule of an element.
pub(super) struct Invariant {
    pub key: Box<str>,
    pub human: Box<str>,
    pub is_warning: bool,
    pub is_best_practice: bool,
    /// The definition that states it.
    pub source: Arc<str>,
    expression: Box<str>,
    guard: Guard,
    programs: Box<[(TypeId, Program)]>,
}

type Program = OnceLock<Result<Box<Expression>, String>>;

/// When it must hold, seen without evaluating it.
enum Guard {
    /// Cannot be seen.
    None,
    /// Where there is no such child.
    Without(Box<[(TypeId, std::ops::Range<PropertyId>)]>),
}

/// What came of it.
pub(super) enum Outcome {
    Holds,
    Fails,
    /// The expression cannot be compiled.
    Broken(String),
    /// The evaluation stopped.
    Stopped(EvaluationError),
}

/// The rules that the walk itself looks after.
pub(super) fn is_native(key: &str) -> bool {
    matches!(key, "ele-1" | "ext-1" | "ref-1" | "dom-3" | "txt-1" | "txt-2")
}

impl Invariant {
    /// `types`: what the element may be. `None` where it has no expression.
    pub fn new(
        schema: &Schema,
        constraint: &Constraint,
        source: &Arc<str>,
        types: &[TypeId],
    ) -> Option<Invariant> {
        let expression = corrected(&constraint.key, constraint.expression.as_deref()?);
        Some(Invariant {
            key: constraint.key.as_str().into(),
            human: constraint.human.as_str().into(),
            is_warning: constraint.is_warning || constraint.is_best_practice,
            is_best_practice: constraint.is_best_practice,
            source: source.clone(),
            expression: expression.into(),
            guard: Guard::new(schema, &constraint.key, expression, types),
            programs: types.iter().map(|&id| (id, OnceLock::new())).collect(),
        })
    }

    #[inline]
    pub fn check<'t>(&self, element: Element<'t>, environment: &Environment<'t>) -> Outcome {
        if self.guard.shows(element) {
            return Outcome::Holds;
        }
        let id = element.type_id();
        let schema = element.tree().schema();
        let compile = || self.compile(schema, id);
        match self.programs.iter().find(|(known, _)| *known == id) {
            Some((_, program)) => run(program.get_or_init(compile), element, environment),
            None => run(&compile(), element, environment),
        }
    }

    /// Of an element that may be of several types, a path that only some of them have is nothing on the others.
    fn compile(&self, schema: &Arc<Schema>, id: TypeId) -> Result<Box<Expression>, String> {
        let name = schema.type_name(id);
        let alone = Expression::compile_as(schema, name, &self.expression, Dialect::Standard);
        let compiled = alone.or_else(|error| {
            let mut contexts = vec![name];
            contexts.extend(
                self.programs
                    .iter()
                    .filter(|(other, _)| *other != id)
                    .map(|(other, _)| schema.type_name(*other)),
            );
            Expression::compile_with(schema, &contexts, &self.expression, Dialect::Standard, &[])
                .map_err(|_| error)
        });
        compiled.map(Box::new).map_err(|error| error.to_string())
    }
}

/// Expressions of R4 and US Core that cannot mean what they say.
fn corrected<'e>(key: &str, expression: &'e str) -> &'e str {
    match (key, expression) {
        // The answer is a FHIR boolean, never one of the type that the language computes with.
        ("que-7", "operator = 'exists' implies (answer is Boolean)") => {
            "operator = 'exists' implies (answer is boolean)"
        }
        // Of several telecoms there is no truth value; that there are some is meant (US Core's PractitionerRole).
        ("pd-1", "telecom or endpoint") => "telecom.exists() or endpoint.exists()",
        _ => expression,
    }
}

fn run<'t>(
    program: &Result<Box<Expression>, String>,
    element: Element<'t>,
    environment: &Environment<'t>,
) -> Outcome {
    let program = match program {
        Ok(program) => program,
        Err(why) => return Outcome::Broken(why.clone()),
    };
    match program.test(element, environment) {
        // Where nothing can be said the rule is not broken: R4's own rules are written so (bdl-8 where there is no fullUrl).
        Ok(Some(true) | None) => Outcome::Holds,
        Ok(Some(false)) => Outcome::Fails,
        Err(error) => {
            // Of several items each is as good as true, for the reference validator.
            let mut items: Vec<Item<'t>> = Vec::new();
            match program.evaluate_in(element, environment, &mut items) {
                Ok(()) if items.len() > 1 => Outcome::Holds,
                _ => Outcome::Stopped(error),
            }
        }
    }
}

impl Guard {
    fn new(schema: &Schema, key: &str, expression: &str, types: &[TypeId]) -> Guard {
        let of = |name: &str| {
            let ranges: Vec<_> =
                types.iter().filter_map(|&id| Some((id, schema.property(id, name)?))).collect();
            if ranges.len() == types.len() { Guard::Without(ranges.into()) } else { Guard::None }
        };
        if matches!(key, "dom-2" | "dom-4" | "dom-5") && expression.starts_with("contained.") {
            return of("contained");
        }
        match absent_name(expression) {
            Some(name) => of(name),
            None => Guard::None,
        }
    }

    #[inline]
    fn shows(&self, element: Element<'_>) -> bool {
        match self {
            Guard::None => false,
            Guard::Without(ranges) => {
                let id = element.type_id();
                ranges
                    .iter()
                    .any(|(known, range)| *known == id && element.children_in(range.clone()).next().is_none())
            }
        }
    }
}

/// The name of a child without which the expression is true: `a.empty() or ..`, `a.exists() implies ..`.
fn absent_name(expression: &str) -> Option<&str> {
    let end = expression.find(|c: char| !c.is_ascii_alphanumeric())?;
    let (name, rest) = expression.split_at_checked(end)?;
    let is_single = |operator: &str| !rest.contains(operator);
    let disjoins = (rest.starts_with(".empty() or ") || rest.starts_with(".hasValue().not() or "))
        && is_single(" implies ")
        && is_single(" xor ");
    let implies =
        rest.strip_prefix(".exists() implies ").is_some_and(|consequence| !consequence.contains(" implies "));
    (disjoins || implies).then_some(name).filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase()))
}
