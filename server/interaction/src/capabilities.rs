//! capabilities (<https://hl7.org/fhir/R4/http.html#capabilities>): the CapabilityStatement, written from the registries.

use bytes::Bytes;

use crate::Service;

/// An operation, as the CapabilityStatement lists it; crate `operations` keeps the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperationDescriptor {
    /// Name without `$`.
    pub name: &'static str,
    /// Canonical URL of its OperationDefinition.
    pub definition: &'static str,
    /// The types it is for at type and instance level; empty for all.
    pub resource_types: &'static [&'static str],
    /// Whether it is called at the base.
    pub system: bool,
    /// Whether it is called on a type.
    pub type_level: bool,
    /// Whether it is called on a resource.
    pub instance: bool,
    /// Whether it changes anything; then GET is refused.
    pub affects_state: bool,
}

/// The CapabilityStatement, canonical JSON. It changes only with the program and its definitions: make it once.
pub fn capabilities(service: &Service, operations: &[OperationDescriptor]) -> Bytes {
    let _ = (service, operations);
    todo!()
}
