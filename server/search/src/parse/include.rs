//! `_include` and `_revinclude` (<https://hl7.org/fhir/R4/search.html#revinclude>): `Source:parameter[:Target]`, `Source:*`,
//! and `*` for every reference there is. With `:iterate` what was included is looked at as well.

use conformance::SearchParameterType;
use fhirpath::IssueType;
use store::ParameterId;

use super::fault::Fault;
use super::fault::shown;
use super::{Name, Reader};
use crate::{Include, References};

impl Reader<'_> {
    pub(super) fn include(&self, name: Name<'_>, value: &str) -> Result<Include, Fault> {
        let iterate = match name.modifier {
            None => false,
            Some("iterate") => true,
            Some(other) => return Err(modifier(name.code, other)),
        };
        let mut parts = value.split(':');
        let (source, code, target) = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("*"), None, None, None) => {
                return Ok(Include { references: self.every_reference(name.code), target: None, iterate });
            }
            (Some(source), Some(code), target, None) => {
                (source, code, target.filter(|target| !target.is_empty()))
            }
            _ => {
                let text = format!(
                    "{} is not of the form Source:parameter, Source:parameter:Target, Source:* or *.",
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
        let references = vec![References { source: source.to_owned(), parameters }];
        Ok(Include { references, target: target.map(str::to_owned), iterate })
    }

    /// What `*` alone stands for: the references of each type; of `_revinclude` on a type those that may point to it.
    fn every_reference(&self, code: &str) -> Vec<References> {
        let wanted = self.resource_type.filter(|_| code == "_revinclude");
        let of_type = |source: &String| {
            let mut parameters = self.references_of(source);
            parameters.retain(|id| wanted.is_none_or(|wanted| self.may_point_to(*id, wanted)));
            References { source: source.clone(), parameters }
        };
        let each = self.definitions().resource_types().iter().map(of_type);
        each.filter(|references| !references.parameters.is_empty()).collect()
    }

    fn may_point_to(&self, id: ParameterId, wanted: &str) -> bool {
        let all = self.definitions().search_parameters.all();
        let parameter = all.iter().find(|parameter| self.context.index.id(parameter) == id);
        parameter.is_some_and(|parameter| self.type_modifier(parameter, wanted).is_ok())
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
            .map(|parameter| self.context.index.id(parameter))
            .collect()
    }

    fn include_by(&self, source: &str, code: &str, target: Option<&str>) -> Result<ParameterId, Fault> {
        let parameter = self.referring(source, code).map_err(|fault| match fault {
            Fault::Unknown(issue) | Fault::Bad(issue) => Fault::value(issue.details),
        })?;
        if let Some(target) = target {
            self.type_modifier(parameter, target).map_err(|fault| match fault {
                Fault::Unknown(issue) | Fault::Bad(issue) => Fault::Bad(issue),
            })?;
        }
        Ok(self.context.index.id(parameter))
    }
}

fn modifier(code: &str, other: &str) -> Fault {
    if other == "recurse" {
        let text = format!("The modifier :recurse of {code} is not supported; R4 has :iterate.");
        return Fault::unknown(IssueType::NotSupported, text);
    }
    let text = format!("{} is no modifier here. {code} has :iterate.", shown(other));
    Fault::unknown(IssueType::Invalid, text)
}
