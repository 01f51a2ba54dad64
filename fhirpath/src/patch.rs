//! Patches (<https://hl7.org/fhir/R4/http.html#patch>): what is to change in a resource, as FHIRPath Patch
//! (<https://hl7.org/fhir/R4/fhirpatch.html>) or as JSON Patch (RFC 6902), applied to a [`Tree`].
//!
//! Either all operations are done, or none. What comes out is parsed again, so that it is a resource of the schema; who
//! may change what, and where it is stored, is the caller's concern.

mod apply;
mod json;
mod operation;
#[cfg(test)]
mod tests;
mod value;

use crate::issue::{Issue, IssueType};
use crate::tree::{Limits, Tree};

pub use json::JsonPatch;

/// Most operations of one patch.
pub const MAX_OPERATIONS: usize = 1_000;
/// Most bytes of JSON that the operations of one patch may write between them: each writes the resource once.
pub const MAX_WRITTEN: usize = 256 * 1024 * 1024;

/// A patch that is read and found sound, as far as that can be told without the resource it is for.
#[derive(Debug)]
pub enum Patch {
    /// FHIRPath Patch.
    FhirPath(FhirPathPatch),
    /// JSON Patch.
    Json(JsonPatch),
}

/// A FHIRPath Patch, compiled for one type.
#[derive(Debug)]
pub struct FhirPathPatch {
    /// The Parameters resource: values are taken from it.
    parameters: Tree,
    resource_type: String,
    operations: Vec<operation::Operation>,
}

impl Patch {
    /// Reads a FHIRPath Patch for resources of a type: a Parameters resource.
    ///
    /// # Errors
    /// What is wrong with each operation, at its part (`Parameters.parameter[0].part[2]`): a part missing or not known, an
    /// expression that does not compile.
    pub fn fhirpath(parameters: Tree, resource_type: &str) -> Result<Patch, Vec<Issue>> {
        FhirPathPatch::compile(parameters, resource_type).map(Patch::FhirPath)
    }

    /// Reads a JSON Patch.
    ///
    /// # Errors
    /// What is wrong with its operations: a member missing or not known, a pointer that is none.
    pub fn json(text: &[u8]) -> Result<Patch, Vec<Issue>> {
        JsonPatch::parse(text).map(Patch::Json)
    }

    /// The resource as it is when all operations are done.
    ///
    /// # Errors
    /// Why an operation cannot be done, naming it; or what is wrong with the resource that comes out.
    pub fn apply(&self, resource: &Tree, limits: &Limits) -> Result<Tree, Vec<Issue>> {
        match self {
            Patch::FhirPath(patch) => patch.apply(resource, limits),
            Patch::Json(patch) => patch.apply(resource, limits),
        }
    }
}

impl FhirPathPatch {
    /// Reads the operations.
    ///
    /// # Errors
    /// As [`Patch::fhirpath`].
    pub fn compile(parameters: Tree, resource_type: &str) -> Result<FhirPathPatch, Vec<Issue>> {
        let operations = operation::read(&parameters, resource_type)?;
        Ok(FhirPathPatch { parameters, resource_type: resource_type.to_owned(), operations })
    }

    /// The resource as it is when all operations are done.
    ///
    /// # Errors
    /// As [`Patch::apply`].
    pub fn apply(&self, resource: &Tree, limits: &Limits) -> Result<Tree, Vec<Issue>> {
        if resource.resource_type() != self.resource_type {
            let found = resource.resource_type();
            let details =
                format!("The patch was read for {}, but the resource is a {found}.", self.resource_type);
            return Err(vec![Issue::error(IssueType::Invalid, details).at("Parameters")]);
        }
        let mut work = apply::Work::new(&self.parameters, limits);
        self.operations.iter().try_fold(resource.clone(), |tree, operation| work.apply(operation, tree))
    }
}

/// Refuses a patch with more operations than [`MAX_OPERATIONS`].
fn check_count(count: usize) -> Result<(), Vec<Issue>> {
    if count <= MAX_OPERATIONS {
        return Ok(());
    }
    let details = format!("The patch has {count} operations; at most {MAX_OPERATIONS} are done at once.");
    Err(vec![Issue::error(IssueType::TooCostly, details)])
}
