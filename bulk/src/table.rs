//! Files of rows instead of resources, as SQL on FHIR makes them
//! (<https://build.fhir.org/ig/FHIR/sql-on-fhir-v2/OperationDefinition-ViewDefinitionExport.html>). What a row is, is the caller's.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ExportError;

/// Views that an export is asked for; the types of its request are theirs, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Views {
    /// They.
    pub views: Vec<View>,
    /// The format of the files: `ndjson`, `csv`, `json`, `parquet`.
    pub format: String,
    /// Whether a table of text begins with the names of its columns.
    pub header: bool,
    /// What the client calls the export.
    pub tracking: Option<String>,
}

/// A view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The name of what it yields.
    pub name: String,
    /// ViewDefinition.
    pub definition: Value,
}

/// Makes tables.
pub trait Tables: Send + Sync {
    /// A table of the view of a number, for one file.
    ///
    /// # Errors
    /// There can be none.
    fn begin(&self, view: usize) -> Result<Box<dyn Table + '_>, ExportError>;
}

/// A table under way.
pub trait Table: Send {
    /// Adds the rows of a resource, canonical JSON.
    ///
    /// # Errors
    /// What its view cannot make rows of.
    fn add(&mut self, resource: &[u8]) -> Result<(), ExportError>;

    /// How many rows it has.
    fn rows(&self) -> u64;

    /// About how many bytes it holds that cannot be taken yet.
    fn held(&self) -> usize;

    /// What was written since the last time.
    fn take(&mut self) -> Vec<u8>;

    /// What was written since the last time, to the end.
    ///
    /// # Errors
    /// It cannot be written.
    fn finish(self: Box<Self>) -> Result<Vec<u8>, ExportError>;
}
