//! Modifiers of criteria (<https://hl7.org/fhir/R4/search.html#modifiers>): which are there for each parameter type,
//! and which of them this server knows.

use conformance::{SearchParameter, SearchParameterType};
use fhirpath::IssueType;
use store::{ParameterId, StringMatch};

use super::Reader;
use super::fault::{Fault, shown};
use super::near::did_you_mean;
use crate::index::Aspect;

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
    /// `:text`, or `:code-text` as R5 calls it: of a display or another text for people.
    Text,
    /// `:identifier` of a reference.
    Identifier,
    /// `:of-type` of an identifier.
    OfType,
    /// `:in`, or `:not-in`.
    In {
        /// Whether it is the latter.
        not: bool,
    },
    /// `:above` of a token or a uri.
    Above,
    /// `:below`.
    Below,
}

/// The modifiers of R4 that this server refuses, with the parameter types that have them.
const NOT_SUPPORTED: [(&str, &[SearchParameterType]); 3] = [
    ("below", &[SearchParameterType::Reference]),
    ("above", &[SearchParameterType::Reference]),
    ("type", &[SearchParameterType::Reference]),
];

/// The modifiers that parameters of a type take, without their colon; `[type]` stands for the names of resource types.
pub fn modifiers(kind: SearchParameterType) -> &'static [&'static str] {
    match kind {
        SearchParameterType::String => &["missing", "exact", "contains"],
        SearchParameterType::Token => {
            &["missing", "not", "text", "code-text", "in", "not-in", "above", "below", "of-type"]
        }
        SearchParameterType::Reference => &["missing", "[type]", "identifier", "text", "code-text"],
        SearchParameterType::Uri => &["missing", "above", "below"],
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
            (SearchParameterType::Token, "in") => Ok(Modifier::In { not: false }),
            (SearchParameterType::Token, "not-in") => Ok(Modifier::In { not: true }),
            (SearchParameterType::Token | SearchParameterType::Uri, "above") => Ok(Modifier::Above),
            (SearchParameterType::Token | SearchParameterType::Uri, "below") => Ok(Modifier::Below),
            (SearchParameterType::Token | SearchParameterType::Reference, "text" | "code-text") => {
                Ok(Modifier::Text)
            }
            (SearchParameterType::Token, "of-type") => Ok(Modifier::OfType),
            (SearchParameterType::Reference, "identifier") => Ok(Modifier::Identifier),
            (SearchParameterType::Reference, name) if self.definitions().schema.is_resource(name) => {
                self.type_modifier(parameter, name).map(Modifier::Type)
            }
            (kind, name) => Err(refused(parameter, kind, name)),
        }
    }

    /// What in the index the values of a parameter with a modifier are.
    pub(super) fn asked_of(
        &self,
        parameter: &SearchParameter,
        modifier: Modifier<'_>,
    ) -> Result<ParameterId, Fault> {
        let (aspect, has) = match modifier {
            Modifier::Text => (Aspect::Text, "texts for people"),
            Modifier::Identifier => (Aspect::Identifier, "references with identifiers"),
            Modifier::OfType => (Aspect::OfType, "identifiers with types"),
            _ => return Ok(self.context.index.id(parameter)),
        };
        self.context.index.aspect(parameter, aspect).ok_or_else(|| {
            let text = format!("{} has no {has}, which its modifier asks of.", parameter.code);
            Fault::unknown(IssueType::Invalid, text)
        })
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
    let has = modifiers(kind).join(", :");
    let of = format!("{} is of the type {}, which has :{has}.", parameter.code, kind.as_str());
    if NOT_SUPPORTED.iter().any(|(known, kinds)| *known == name && kinds.contains(&kind)) {
        return Fault::unknown(
            IssueType::NotSupported,
            format!("The modifier :{name} is not supported. {of}"),
        );
    }
    let near = did_you_mean(name, modifiers(kind).iter().copied());
    Fault::unknown(IssueType::Invalid, format!("{} is no modifier here. {of}{near}", shown(name)))
}
