//! `_include` and `_revinclude` (<https://hl7.org/fhir/R4/search.html#revinclude>): `Source:parameter[:Target]`, `Source:*`,
//! and `*` for the type that is searched.

use conformance::SearchParameterType;
use fhirpath::IssueType;
use store::ParameterId;

use super::fault::{Fault, shown};
use super::near::did_you_mean;
use super::{Name, Reader};
use crate::Include;

impl Reader<'_> {
    pub(super) fn include(&self, name: Name<'_>, value: &str) -> Result<Include, Fault> {
        if let Some(modifier) = name.modifier {
            let known = matches!(modifier, "iterate" | "recurse");
            let code = if known { IssueType::NotSupported } else { IssueType::Invalid };
            return Err(Fault::unknown(
                code,
                format!("The modifier :{modifier} of {} is not supported.", name.code),
            ));
        }
        let mut parts = value.split(':');
        let (source, code, target) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("*"), None, None, None) => (self.searched(name)?, "*", None),
            (Some(source), Some(code), target, None) => {
                (source, code, target.filter(|target| !target.is_empty()))
            }
            _ => {
                let text = format!(
                    "{} is not of the form Source:parameter or Source:parameter:Target.",
                    shown(value)
                );
                return Err(Fault::value(text));
            }
        };
        [Some(source), target].into_iter().flatten().try_for_each(|name| self.resource(name))?;
        let parameters = if code == "*" {
            self.references_of(source)
        } else {
            vec![self.include_by(source, code, target)?]
        };
        Ok(Include { source: source.to_owned(), parameters, target: target.map(str::to_owned) })
    }

    /// What `*` alone stands for.
    fn searched(&self, name: Name<'_>) -> Result<&str, Fault> {
        match self.resource_type {
            Some(searched) if name.code == "_include" => Ok(searched),
            _ => {
                let text = format!(
                    "{}=* is not supported here; write Source:* with the type that refers.",
                    name.code
                );
                Err(Fault::unknown(IssueType::NotSupported, text))
            }
        }
    }

    fn resource(&self, name: &str) -> Result<(), Fault> {
        if self.definitions().schema.is_resource(name) {
            return Ok(());
        }
        Err(Fault::value(format!("{} is no resource type.", shown(name))))
    }

    fn references_of(&self, source: &str) -> Vec<ParameterId> {
        let of = self.definitions().search_parameters.of(source);
        of.filter(|parameter| parameter.kind == SearchParameterType::Reference && parameter.is_indexed())
            .map(|parameter| ParameterId(parameter.index))
            .collect()
    }

    fn include_by(&self, source: &str, code: &str, target: Option<&str>) -> Result<ParameterId, Fault> {
        let known = &self.definitions().search_parameters;
        let references =
            || known.of(source).filter(|parameter| parameter.kind == SearchParameterType::Reference);
        let Some(parameter) = references().find(|parameter| parameter.code == code && parameter.is_indexed())
        else {
            let near = did_you_mean(code, references().map(|parameter| parameter.code.as_str()));
            return Err(Fault::value(format!("{source} has no reference parameter {}.{near}", shown(code))));
        };
        if let Some(target) = target {
            self.type_modifier(parameter, target).map_err(|fault| match fault {
                Fault::Unknown(issue) | Fault::Bad(issue) => Fault::Bad(issue),
            })?;
        }
        Ok(ParameterId(parameter.index))
    }
}
