//! GraphQL over FHIR resources (<https://hl7.org/fhir/R4/graphql.html>): a request in, data or errors out.
//!
//! A query is parsed, bound to the schema (every field, argument and type is known or refused by name), and run. Resources
//! come through [`Resources`], which the server implements: rights, search and store stay there. Nothing here knows HTTP.
//!
//! What has no value is left out, as the page's examples have it, rather than null. An error anywhere leaves no data.

mod arguments;
mod bind;
mod document;
mod execute;
pub mod limits;
mod load;
mod output;
mod plan;
mod request;
mod resources;
mod response;

use std::sync::Arc;

use conformance::SearchParameters;
use fhirpath::expression::{DateTime, Environment};
use fhirpath::{Issue, IssueType, Schema, Tree};
use serde_json::Value;

use crate::bind::{Binder, Scope};
use crate::document::{Document, OperationKind};
use crate::execute::{Run, Source};
use crate::load::Loaded;
use crate::plan::{Plan, What};

pub use request::Request;
pub use resources::{Change, Match, Page, Resources, Search};
pub use response::{PathPart, Refusal, Response};

/// What a query is asked of.
#[derive(Debug, Clone)]
pub enum Level {
    /// `[base]/$graphql`
    System,
    /// `[base]/[Type]/[id]/$graphql`: the resource, as the caller may see it.
    Instance(Arc<Tree>),
}

/// What queries are bound to.
#[derive(Clone, Copy)]
pub struct Context<'c> {
    /// Types and properties.
    pub schema: &'c Arc<Schema>,
    /// The search parameters that arguments may name.
    pub parameters: &'c SearchParameters,
    /// The moment that `now()` in expressions tells.
    pub now: Option<DateTime>,
}

/// Runs a request. Never fails as a whole: what is refused is told in the response.
pub async fn execute(
    context: Context<'_>,
    level: &Level,
    request: &Request,
    resources: &dyn Resources,
) -> Response {
    answer(context, level, request, resources).await.into()
}

async fn answer(
    context: Context<'_>,
    level: &Level,
    request: &Request,
    resources: &dyn Resources,
) -> Result<Value, Refusal> {
    let plan = bind(context, level, request)?;
    let mut loaded = Loaded::default();
    for field in &plan.fields {
        let What::Change { resource_type, change, .. } = &field.what else { continue };
        let left = resources.change(resource_type, change.clone()).await;
        let at = [PathPart::Key(field.key.clone())];
        loaded.changes.push(left.map_err(|issue| Refusal::from(issue).path(&at))?);
    }
    loop {
        let needs = {
            let environment = Environment { now: context.now, ..Environment::default() };
            let source = match level {
                Level::System => Source::Root,
                Level::Instance(tree) => Source::Element(tree.root()),
            };
            let (value, needs) = Run::new(context.schema, &loaded, environment).run(&plan, source)?;
            if needs.is_empty() {
                return Ok(value);
            }
            needs
        };
        loaded.load(needs, resources).await?;
    }
}

fn bind(context: Context<'_>, level: &Level, request: &Request) -> Result<Plan, Refusal> {
    let document = Document::parse(&request.query)?;
    let operation = arguments::operation(&document, request.operation_name.as_deref())?;
    let variables = arguments::variables(operation, &request.variables)?;
    let mut binder = Binder::new(context.schema, context.parameters, &document, variables);
    let scope = match (level, operation.kind) {
        (Level::System, kind) => Scope::Root(kind),
        (Level::Instance(tree), OperationKind::Query) => binder.resource_scope(tree.root().type_id()),
        (Level::Instance(_), OperationKind::Mutation) => {
            let details = "Mutations are asked of the system: [base]/$graphql.";
            return Err(Issue::error(IssueType::NotSupported, details).into());
        }
    };
    binder.plan(&scope, &[&operation.selections], 0)
}
