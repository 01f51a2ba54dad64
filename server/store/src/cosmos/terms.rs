//! The index fields of a document.

use super::document::IndexFields;
use crate::{Entries, Parameter};

/// The index fields of a resource with these entries.
pub(super) fn fields(parameters: &[Parameter], entries: &Entries) -> IndexFields {
    let _ = (parameters, entries);
    IndexFields::default()
}
