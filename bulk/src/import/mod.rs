//! Bulk import: NDJSON from URLs or uploaded, a resource a line, into a destination. Reads lines within bounds, has them made ready on
//! several threads, commits them in the order of the sources, and tells a [`Journal`] what became of each. Knows no HTTP and no store.
//!
//! The request is that of the bulk import proposal (<https://github.com/smart-on-fhir/bulk-import/blob/master/import-manifest.md>), the
//! JSON manifest with `inputFormat`, `inputSource`, `storageDetail` and `input`; the same as a Parameters resource is what Microsoft's
//! FHIR server takes, with its `mode` and `etag`. What a job's status tells has that server's form. `upsertBy` and `validateOnly` are
//! this server's own.
//!
//! A line updates the resource of its id, or makes it; content that is there already makes no new version. So a job may do lines again
//! that it did before a crash, and files may come in any order.

mod destination;
mod journal;
mod lines;
mod pipeline;
mod record;
mod request;
mod sources;

pub use destination::{
    Committed, Counts, Destination, Done, ImportError, Imported, Journal, Opened, Sources, Unready,
};
pub use journal::JobJournal;
pub use pipeline::{OfLine, Pipeline, import, import_line};
pub use record::{ImportJob, Progress, imports, load_import, save_import, status};
pub use request::{ImportRequest, Input, UpsertBy};
pub use sources::{Fetch, JobSources, UPLOADED, Unfetched};
