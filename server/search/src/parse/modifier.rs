//! Modifiers of criteria (<https://hl7.org/fhir/R4/search.html#modifiers>): which are there for each parameter type,
//! and which of them this server knows.

use conformance::{SearchParameter, SearchParameterType};
use fhirpath::IssueType;
use store::StringMatch;

use super::Reader;
use super::fault::{Fault, shown};
use super::near::did_you_mean;

/// How a criterion is to be taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Modifier<'a> {
    /// As the parameter type says.
    Plain,
    /// `:missing`.
    Missing,
    /// `:not`.
    Not,
    /// Of a string: none, `:contains` or `:exact`.
    String(StringMatch),
    /// `:[type]` of a reference.
    Type(&'a str),
}

/// The modifiers of R4 that this server refuses, with the parameter types that have them.
const NOT_SUPPORTED: [(&str, &[SearchParameterType]); 8] = [
    ("text", &[SearchParameterType::Token, SearchParameterType::Reference]),
    ("in", &[SearchParameterType::Token]),
    ("not-in", &[SearchParameterType::Token]),
    ("of-type", &[SearchParameterType::Token]),
    ("below", &[SearchParameterType::Token, SearchParameterType::Uri, SearchParameterType::Reference]),
    ("above", &[SearchParameterType::Token, SearchParameterType::Uri, SearchParameterType::Reference]),
    ("identifier", &[SearchParameterType::Reference]),
    ("type", &[SearchParameterType::Reference]),
];

/// The supported modifiers of a parameter type, as messages list them.
fn supported(kind: SearchParameterType) -> &'static [&'static str] {
    match kind {
        SearchParameterType::String => &["missing", "exact", "contains"],
        SearchParameterType::Token => &["missing", "not"],
        SearchParameterType::Reference => &["missing", "[type]"],
        _ => &["missing"],
    }
}

impl Reader<'_> {
    /// Reads the modifier of a parameter.
    pub(super) fn modifier<'n>(
        &self,
        parameter: &SearchParameter,
        text: Option<&'n str>,
    ) -> Result<Modifier<'n>, Fault> {
        let Some(text) = text else { return Ok(Modifier::Plain) };
        match (parameter.kind, text) {
            (_, "missing") => Ok(Modifier::Missing),
            (SearchParameterType::String, "exact") => Ok(Modifier::String(StringMatch::Exact)),
            (SearchParameterType::String, "contains") => Ok(Modifier::String(StringMatch::Contains)),
            (SearchParameterType::Token, "not") => Ok(Modifier::Not),
            (SearchParameterType::Reference, name) if self.definitions().schema.is_resource(name) => {
                self.type_modifier(parameter, name).map(Modifier::Type)
            }
            (kind, name) => Err(refused(parameter, kind, name)),
        }
    }

    /// A `:[type]` that the parameter can point to.
    pub(super) fn type_modifier<'n>(
        &self,
        parameter: &SearchParameter,
        name: &'n str,
    ) -> Result<&'n str, Fault> {
        let any = parameter.targets.is_empty() || parameter.targets.iter().any(|target| target == "Resource");
        if any || parameter.targets.iter().any(|target| target == name) {
            return Ok(name);
        }
        let targets = parameter.targets.join(", ");
        let text = format!("{} never points to a {name}, only to {targets}.", parameter.code);
        Err(Fault::unknown(IssueType::Invalid, text))
    }
}

fn refused(parameter: &SearchParameter, kind: SearchParameterType, name: &str) -> Fault {
    let has = supported(kind).join(", :");
    let of = format!("{} is of the type {}, which has :{has}.", parameter.code, kind.as_str());
    if NOT_SUPPORTED.iter().any(|(known, kinds)| *known == name && kinds.contains(&kind)) {
        return Fault::unknown(
            IssueType::NotSupported,
            format!("The modifier :{name} is not supported. {of}"),
        );
    }
    let near = did_you_mean(name, supported(kind).iter().copied());
    Fault::unknown(IssueType::Invalid, format!("{} is no modifier here. {of}{near}", shown(name)))
}
