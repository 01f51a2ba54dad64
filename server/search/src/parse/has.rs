//! Reverse chains (<https://hl7.org/fhir/R4/search.html#has>): `_has:Observation:patient:code=1234`, whose last part is any
//! criterion on the type that refers: a chain, or a reverse chain again.

use conformance::SearchParameterType;
use fhirpath::IssueType;
use store::Filter;

use super::Reader;
use super::fault::{Fault, shown};
use super::near::did_you_mean;

/// How a reverse chain begins.
pub(super) const HAS: &str = "_has";

impl Reader<'_> {
    /// The filter of what follows `_has`, on resources of a type or of all.
    pub(super) fn has(&self, resource_type: Option<&str>, rest: &str, value: &str) -> Result<Filter, Fault> {
        let mut parts = rest.splitn(4, ':');
        let (Some(""), Some(source), Some(code), Some(criterion)) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            let text = format!(
                "{} is not of the form _has:Type:reference:parameter.",
                shown(&format!("{HAS}{rest}"))
            );
            return Err(Fault::unknown(IssueType::Invalid, text));
        };
        if !self.definitions().schema.is_resource(source) {
            let text = format!("{} is no resource type; _has names the type that refers.", shown(source));
            return Err(Fault::unknown(IssueType::Invalid, text));
        }
        let parameter = self.referring(source, code)?;
        if let Some(name) = resource_type {
            self.type_modifier(parameter, name)?;
        }
        self.charge(1)?;
        let skipped = HAS.len() + rest.len() - criterion.len();
        let filter = self.link(skipped, |reader| reader.criterion(Some(source), criterion, value))?;
        Ok(Filter::Has {
            resource_type: source.into(),
            parameter: self.context.index.id(parameter),
            filter: Box::new(filter),
        })
    }

    /// A reference parameter by which a type refers to others.
    pub(super) fn referring(&self, source: &str, code: &str) -> Result<&conformance::SearchParameter, Fault> {
        let known = &self.definitions().search_parameters;
        let references = || {
            let of = known.of(source).filter(|parameter| parameter.kind == SearchParameterType::Reference);
            of.filter(|parameter| parameter.is_indexed())
        };
        references().find(|parameter| parameter.code == code).ok_or_else(|| {
            let near = did_you_mean(code, references().map(|parameter| parameter.code.as_str()));
            let text = format!("{source} has no reference parameter {}.{near}", shown(code));
            Fault::unknown(IssueType::Invalid, text)
        })
    }
}
