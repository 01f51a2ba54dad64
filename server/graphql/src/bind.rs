//! A document to a plan: every field, argument, fragment and directive is looked up in the schema here, or refused by name.
//! Nothing is read.

mod collect;
mod element;
mod root;
mod search;

use std::sync::Arc;

use conformance::SearchParameters;
use fhirpath::expression::Dialect;
use fhirpath::schema::{TypeId, TypeKind};
use fhirpath::{Expression, Issue, IssueType, Schema};
use serde_json::{Map, Value as Json};

use crate::arguments::Arguments;
use crate::document::{self, Document, OperationKind, Place, Selection};
use crate::limits::{MAX_DEPTH, MAX_FIELDS, MAX_LOOKUPS};
use crate::plan::{Plan, Shape, Slice};
use crate::response::Refusal;

type Result<T, E = Refusal> = std::result::Result<T, E>;

/// What fields are looked up in.
#[derive(Debug, Clone)]
pub(crate) enum Scope {
    /// The system.
    Root(OperationKind),
    /// Elements of any of some types, none of them abstract; for References, the types they may point to.
    Elements { owners: Vec<TypeId>, targets: Vec<TypeId> },
    /// A connection of a resource type.
    Connection(TypeId),
    /// An edge of one.
    Edge(TypeId),
}

pub(crate) struct Binder<'d> {
    pub schema: &'d Arc<Schema>,
    pub parameters: &'d SearchParameters,
    pub document: &'d Document,
    pub variables: Map<String, Json>,
    fields: usize,
    lookups: usize,
    /// How many mutations there are so far.
    changes: usize,
    /// The fragments that are being spread, the outermost first.
    spreading: Vec<&'d str>,
}

impl<'d> Binder<'d> {
    pub fn new(
        schema: &'d Arc<Schema>,
        parameters: &'d SearchParameters,
        document: &'d Document,
        variables: Map<String, Json>,
    ) -> Binder<'d> {
        let (fields, lookups, changes) = (0, 0, 0);
        Binder { schema, parameters, document, variables, fields, lookups, changes, spreading: Vec::new() }
    }

    /// The plan of selections in a scope.
    pub fn plan(&mut self, scope: &Scope, sets: &[&'d [Selection]], depth: usize) -> Result<Plan> {
        if depth > MAX_DEPTH {
            let details = format!("The query nests deeper than {MAX_DEPTH}.");
            return Err(Refusal::new(IssueType::TooCostly, details));
        }
        let mut plan = Plan::default();
        for group in self.collect(scope, sets)? {
            let field = match scope {
                Scope::Root(kind) => self.root_field(*kind, &group, depth)?,
                Scope::Elements { targets, .. } => self.element_field(targets, &group, depth)?,
                Scope::Connection(id) => self.connection_field(*id, &group, depth)?,
                Scope::Edge(id) => self.edge_field(*id, &group, depth)?,
            };
            plan.fields.push(field);
        }
        Ok(plan)
    }

    /// Elements of a resource type.
    pub fn resource_scope(&self, id: TypeId) -> Scope {
        Scope::Elements { owners: self.instances(id), targets: Vec::new() }
    }

    fn count_field(&mut self, place: Place) -> Result<()> {
        self.fields += 1;
        if self.fields > MAX_FIELDS {
            let details =
                format!("The query has more than {MAX_FIELDS} fields, those of fragments included.");
            return Err(Refusal::new(IssueType::TooCostly, details).at(place));
        }
        Ok(())
    }

    fn count_lookups(&mut self, count: usize, place: Place) -> Result<()> {
        self.lookups += count;
        if self.lookups > MAX_LOOKUPS {
            let details =
                "The query has too many fields of any type of resource; say which, with '... on Patient'.";
            return Err(Refusal::new(IssueType::TooCostly, details).at(place));
        }
        Ok(())
    }

    /// The types that elements of a type can have.
    fn instances(&self, id: TypeId) -> Vec<TypeId> {
        if !self.schema.is_abstract(id) {
            return vec![id];
        }
        let concrete = |other: &TypeId| {
            !self.schema.is_abstract(*other)
                && self.schema.kind(*other) == self.schema.kind(id)
                && self.schema.is_subtype(*other, id)
        };
        self.schema.type_ids().filter(concrete).collect()
    }

    /// A resource type of a name, if it can have instances.
    fn resource_type(&self, name: &str) -> Option<TypeId> {
        self.schema.type_id(name).filter(|_| self.schema.is_resource(name))
    }

    fn is_resource(&self, id: TypeId) -> bool {
        self.schema.kind(id) == TypeKind::Resource
    }

    fn expression(&self, types: &[&str], text: &str, place: Place) -> Result<Expression> {
        let compiled = match types {
            [one] => Expression::compile_as(self.schema, one, text, Dialect::Standard),
            several => Expression::compile_for(self.schema, several, text),
        };
        compiled.map_err(|error| Refusal::from(Issue::from(error)).at(place))
    }

    /// Whether `@skip` and `@include` leave it in.
    fn is_included(&self, directives: &'d [document::Directive]) -> Result<bool> {
        for directive in directives {
            let when = match directive.name.as_str() {
                "skip" => false,
                "include" => true,
                _ => continue,
            };
            let mut arguments = self.arguments(&directive.name, &directive.arguments, directive.place)?;
            let given = arguments.flag("if")?.ok_or_else(|| arguments.missing("if"))?;
            arguments.finish()?;
            if given != when {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn arguments(
        &self,
        owner: &'d str,
        arguments: &'d [document::Argument],
        place: Place,
    ) -> Result<Arguments<'d>> {
        Arguments::new(owner, arguments, &self.variables, place)
    }

    /// The directives that lay out what a field takes; `types` are those of what it takes.
    fn shape(&self, field: &'d document::Field, types: &[&str]) -> Result<Shape> {
        let mut shape = Shape::default();
        for directive in &field.directives {
            let mut arguments = self.arguments(&directive.name, &directive.arguments, directive.place)?;
            match directive.name.as_str() {
                "skip" | "include" => continue,
                "flatten" => shape.flatten = true,
                "first" => shape.first = true,
                "singleton" => shape.singleton = true,
                "slice" => {
                    let path = arguments.text("path")?.ok_or_else(|| arguments.missing("path"))?;
                    shape.slice = Some(match path.as_str() {
                        "$index" => Slice::Index,
                        path => Slice::Path(self.expression(types, path, directive.place)?),
                    });
                }
                name => {
                    let details = format!("There is no directive @{name} here.");
                    return Err(Refusal::new(IssueType::NotSupported, details).at(directive.place));
                }
            }
            arguments.finish()?;
        }
        if shape.flatten && field.selections.is_empty() {
            let details = format!(
                "{} has no fields that could take its place; @flatten cannot stand here.",
                field.name
            );
            return Err(Refusal::new(IssueType::Invalid, details).at(field.place));
        }
        Ok(shape)
    }
}

/// The name of a type in GraphQL: `PatientContact` for `Patient.contact`.
pub(crate) fn graphql_name(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for part in name.split('.') {
        let mut chars = part.chars();
        match out.is_empty() {
            true => out.push_str(part),
            false => {
                out.extend(chars.next().map(|first| first.to_ascii_uppercase()));
                out.push_str(chars.as_str());
            }
        }
    }
    out
}
