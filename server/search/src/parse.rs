//! The parameters of a search, read against the definitions.

use fhirpath::Issue;

use crate::{SearchIndex, SearchRequest};

/// What to do with parameters that are not known (`Prefer: handling=`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// Refuse the search.
    Strict,
    /// Leave them out, and say so.
    Lenient,
}

/// What a search is read against.
pub struct ParseContext<'a> {
    /// Parameters and definitions.
    pub index: &'a SearchIndex,
    /// What to do with unknown parameters.
    pub handling: Handling,
    /// Now, microseconds since 1970, for `ap`.
    pub now: i64,
    /// Page size without `_count`.
    pub default_count: usize,
    /// Largest page size.
    pub max_count: usize,
}

/// Reads the parameters (decoded name and value, in order) of a search on a type, or on all types. `compartment` adds
/// its membership (`("Patient", "123")`).
///
/// # Errors
/// Every fault, each with the expression `http.<parameter>`: unknown parameter or modifier, bad value or
/// prefix, a combination that is not supported.
pub fn parse(
    context: &ParseContext<'_>,
    resource_type: Option<&str>,
    compartment: Option<(&str, &str)>,
    parameters: &[(String, String)],
) -> Result<SearchRequest, Vec<Issue>> {
    let _ = (context, resource_type, compartment, parameters);
    todo!()
}
