//! FHIR XML (<https://hl7.org/fhir/R4/xml.html>) to a tree and back; never a judgement that JSON would not make as well,
//! but for what only XML has: order, namespaces, attributes, references.
//!
//! Elements "SHALL always appear in the order" of the specification, and neither its schemas nor its validator take
//! others: an element that comes too late is refused. The narrative is kept as it stands, since JSON holds its markup as
//! a text; only a `div` that leans on namespaces declared around it is written anew, with its own.

mod narrative;
mod parse;
mod source;
mod text;
mod write;

pub(super) use text::unescape;

/// The namespace of every element but the narrative's.
const FHIR: &str = "http://hl7.org/fhir";
/// The namespace of the narrative.
const XHTML: &str = "http://www.w3.org/1999/xhtml";
/// The namespace of `xsi:schemaLocation`, which a root may have and nobody needs.
const SCHEMA_INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";
/// The namespace of `xml:lang`, bound without a declaration.
const XML: &str = "http://www.w3.org/XML/1998/namespace";
