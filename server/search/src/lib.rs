//! Search (<https://hl7.org/fhir/R4/search.html>): a query's parameters to a typed [`SearchRequest`] with a
//! store query in it, and index entries out of a resource. Knows no HTTP and runs nothing itself.

mod index;
mod number;
mod parse;
mod reference;

use fhirpath::Issue;
use store::Query;

pub use index::SearchIndex;
pub use parse::{
    Handling, MAX_ALTERNATIVE_BYTES, MAX_LINKS, MAX_LOOKUPS, MAX_PARAMETERS, MAX_VALUE_BYTES, MAX_VALUES,
    ParseContext, asks_terminology, modifiers, parse,
};

/// A search, understood.
#[derive(Debug, Clone)]
pub struct SearchRequest {
    /// What the store is asked; `after` is filled in by whoever checked the cursor's signature.
    pub query: Query,
    /// The text of the `_cursor` parameter of a page link, still to be checked.
    pub cursor: Option<String>,
    /// `_include`.
    pub includes: Vec<Include>,
    /// `_revinclude`.
    pub revincludes: Vec<Include>,
    /// `_summary`.
    pub summary: Option<Summary>,
    /// `_elements`, top-level names as written.
    pub elements: Vec<String>,
    /// `_total=estimate`: about how many match is enough. The query does not ask how many.
    pub estimate: bool,
    /// `_contained`, if contained resources are searched. The query then finds what contains them.
    pub contained: Option<Contained>,
    /// `_explain`, Vesta's own: say what ran, and what it cost.
    pub explain: bool,
    /// The parameters that were honoured, as received and in order, for the `self` link; `_cursor` is not among them.
    pub honoured: Vec<(String, String)>,
    /// With lenient handling: what was left out, a warning each.
    pub ignored: Vec<Issue>,
}

/// `_contained` and `_containedType` (<https://hl7.org/fhir/R4/search.html#contained>).
#[derive(Debug, Clone, PartialEq)]
pub struct Contained {
    /// The type that is searched.
    pub resource_type: String,
    /// What those fulfil that stand alone, where they are searched too (`both`).
    pub alone: Option<store::Filter>,
    /// What a container fulfils: a [`store::Filter::Contained`], which tells of its contained resources which.
    pub container: store::Filter,
    /// `_containedType=contained`: the contained resources are the matches, not what contains them.
    pub is_contained: bool,
}

/// `_include=source:parameter[:target]`, or the same for `_revinclude`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include {
    /// What refers, by what: one type, or for `*` alone every one that may.
    pub references: Vec<References>,
    /// Only targets of this type.
    pub target: Option<String>,
    /// Whether to look at what was included as well.
    pub iterate: bool,
}

/// References of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct References {
    /// Type that holds them.
    pub source: String,
    /// The reference parameters; all of the type's for `*`.
    pub parameters: Vec<store::ParameterId>,
}

/// `_summary` (<https://hl7.org/fhir/R4/search.html#summary>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Summary {
    /// Elements marked as summary.
    True,
    /// Everything.
    False,
    /// `text`, `id`, `meta` and mandatory top-level elements.
    Text,
    /// Everything but `text`.
    Data,
    /// No resources, only the count.
    Count,
}
