//! Judges resources by the definitions of FHIR and of profiles (<https://hl7.org/fhir/R4/validation.html>).

mod library;
mod snapshot;
mod structure;

pub use library::{Library, compile_structures};
pub use snapshot::{MAX_BASES, Snapshot, SnapshotError, Structures};
pub use structure::{
    Binding, Constraint, Context, Discriminator, ElementRule, MANY, MAX_ELEMENTS, Slicing, Structure,
    StructureError, TypeRule,
};
