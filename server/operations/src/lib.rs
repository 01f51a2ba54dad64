//! FHIR operations (<https://hl7.org/fhir/R4/operations.html>): one registry of all, one file each, without HTTP types.

mod closure;
mod docref;
mod everything;
mod expand;
mod graphql;
mod lastn;
mod lookup;
mod meta;
mod meta_change;
mod parameters;
mod purge;
mod reindex;
mod subsumes;
mod terminology;
mod translate;
mod validate;
mod validate_code;
mod view;

use std::future::Future;
use std::pin::Pin;

use interaction::{Caller, Failure, OperationDescriptor, Outcome, Service, Status};

/// A call of an operation.
#[derive(Debug, Clone, Default)]
pub struct Invocation {
    /// The type, at type and instance level.
    pub resource_type: Option<String>,
    /// The id, at instance level.
    pub id: Option<String>,
    /// The URL's parameters, decoded, without `_format` and `_pretty`.
    pub parameters: Vec<(String, String)>,
    /// The body of a POST: a Parameters resource, JSON, or for `$validate` the resource. `None` for GET.
    pub body: Option<Vec<u8>>,
    /// Whether the body is XML. Only that of `$validate` is, which tells its lines.
    pub is_xml: bool,
    /// `Accept` as it was sent, for an operation that has formats of its own ([`has_formats`]).
    pub accept: Option<String>,
}

/// The work of an operation, under way.
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<Outcome, Failure>> + Send + 'a>>;

/// An operation of the registry.
pub struct Operation {
    /// What it is called, where it may be called, and whether it changes anything.
    pub descriptor: OperationDescriptor,
    handler: for<'a> fn(&'a Service, &'a Caller, Invocation) -> Running<'a>,
}

/// All operations.
pub static REGISTRY: &[Operation] = &[
    everything::PATIENT,
    everything::ENCOUNTER,
    everything::GROUP,
    graphql::GRAPHQL,
    meta::META,
    meta_change::META_ADD,
    meta_change::META_DELETE,
    lastn::LASTN,
    docref::DOCREF,
    validate::VALIDATE,
    expand::EXPAND,
    validate_code::IN_VALUE_SET,
    validate_code::IN_CODE_SYSTEM,
    lookup::LOOKUP,
    subsumes::SUBSUMES,
    translate::TRANSLATE,
    closure::CLOSURE,
    view::VIEWDEFINITION_RUN,
    view::RUN,
    reindex::REINDEX,
    purge::PURGE,
];

/// Whether an operation, by its name without `$`, answers in formats of its own, and not with a resource in one of FHIR's.
pub fn has_formats(name: &str) -> bool {
    view::NAMES.contains(&name)
}

/// What the CapabilityStatement lists; with what erases versions, where the server does that.
pub fn descriptors(erasure: bool) -> Vec<OperationDescriptor> {
    let all = REGISTRY.iter().map(|operation| operation.descriptor);
    all.filter(|descriptor| erasure || descriptor.name != purge::PURGE.descriptor.name).collect()
}

/// Calls an operation by its name without `$`.
///
/// # Errors
/// NotFound (`not-supported`) for an unknown operation, or one that is not offered at this level or for this type;
/// MethodNotAllowed for a GET of one that changes something; what the operation itself refuses.
pub async fn invoke(
    service: &Service,
    caller: &Caller,
    name: &str,
    invocation: Invocation,
) -> Result<Outcome, Failure> {
    let operation = lookup(name, &invocation)?;
    (operation.handler)(service, caller, invocation).await
}

fn lookup(name: &str, invocation: &Invocation) -> Result<&'static Operation, Failure> {
    let refuse = |details: String| Failure::new(Status::NotFound, fhirpath::IssueType::NotSupported, details);
    // Operations on several types may have one name.
    let is_for = |operation: &&Operation| {
        let types = operation.descriptor.resource_types;
        types.is_empty() || invocation.resource_type.as_deref().is_none_or(|name| types.contains(&name))
    };
    let named = || REGISTRY.iter().filter(|operation| operation.descriptor.name == name);
    let operation = named()
        .find(is_for)
        .or_else(|| named().next())
        .ok_or_else(|| refuse(format!("This server has no operation ${name}.")))?;
    let descriptor = &operation.descriptor;
    let (offered, level) = match (&invocation.resource_type, &invocation.id) {
        (Some(_), Some(_)) => (descriptor.instance, "on a resource"),
        (Some(_), None) => (descriptor.type_level, "on a type"),
        (None, _) => (descriptor.system, "at the base"),
    };
    if !offered {
        return Err(refuse(format!("The operation ${name} cannot be called {level}.")));
    }
    if let Some(resource_type) = &invocation.resource_type {
        let types = descriptor.resource_types;
        if !types.is_empty() && !types.contains(&resource_type.as_str()) {
            return Err(refuse(format!("The operation ${name} cannot be called on {resource_type}.")));
        }
    }
    if descriptor.affects_state && invocation.body.is_none() {
        let details = format!("The operation ${name} changes resources; call it with POST.");
        return Err(Failure::new(Status::MethodNotAllowed, fhirpath::IssueType::NotSupported, details));
    }
    Ok(operation)
}
