//! Bulk Data export (<https://hl7.org/fhir/uv/bulkdata/STU2/export.html>): what is asked, the jobs that do it, their NDJSON
//! files and manifest. Reads resources through [`Source`], writes files through [`Output`] and keeps jobs in [`Jobs`]; knows no
//! HTTP and no store.
//!
//! [`import`] is the other way.
//!
//! A job exports one snapshot: of each resource the version that was current at [`Job::snapshot_ms`], which is the manifest's
//! `transactionTime`. It goes on after a crash from its last finished file. Stands on `fhirpath` for [`fhirpath::Issue`], the form of
//! every refusal of the server, and for the reading of times.

mod directory;
mod error;
pub mod import;
mod job;
mod manifest;
mod organized;
mod referred;
mod request;
mod run;
mod scan;
mod source;
mod table;
mod writer;

pub use directory::Directory;
pub use error::{ExportError, is_unreachable, unreachable};
pub use job::{Claim, File, Job, Jobs, Position, Section, Stage, State};
pub use manifest::manifest;
pub use referred::MAX_REFERRED;
pub use request::{Kickoff, Level, Request, Types, of_body};
pub use run::{Control, Environment, MAX_CHANGED, run};
pub use source::{Ids, Page, Source, Wanted};
pub use table::{Table, Tables, View, Views};
pub use writer::{Output, OutputFile, Place, Reading};

/// The type that files can be organized by.
const PATIENT: &str = "Patient";
