//! Chained criteria (<https://hl7.org/fhir/R4/search.html#chaining>): `subject:Patient.organization.name=acme`, and without
//! a type for every type of target that has the parameter. What follows a link is any criterion on its target.

use conformance::{SearchParameter, SearchParameterType};
use fhirpath::IssueType;
use store::Filter;

use super::fault::{Fault, shown};
use super::has::HAS;
use super::near::did_you_mean;
use super::{Name, Reader};

impl<'a> Reader<'a> {
    /// The filter of `chained` on what a reference points to. A target type for which the value is no value of its
    /// parameter has no match there; it is an error only when that is so for every type.
    pub(super) fn chain(
        &self,
        parameter: &'a SearchParameter,
        link: &str,
        of_type: Option<&str>,
        chained: &str,
        value: &str,
    ) -> Result<Filter, Fault> {
        chainable(parameter)?;
        let name = Name::read(chained);
        let start = self.at.get();
        let mut targets = Vec::new();
        let mut first = None;
        let types = self.link(link.len() + 1, |reader| reader.chained_types(parameter, of_type, name))?;
        for target in types {
            self.charge(1)?;
            match self.link(link.len() + 1, |reader| reader.criterion(Some(target), chained, value)) {
                Ok(filter) => targets.push((Box::from(target), filter)),
                Err(Fault::Bad(issue)) if issue.code == IssueType::TooCostly => {
                    return Err(Fault::Bad(issue));
                }
                Err(fault) => {
                    first.get_or_insert((fault, self.at.get()));
                    self.at.set(start);
                }
            }
        }
        match first {
            Some((fault, at)) if targets.is_empty() => {
                self.at.set(at);
                Err(fault)
            }
            _ => Ok(Filter::Chain { parameter: self.context.index.id(parameter), targets }),
        }
    }

    /// The types of target that have the chained parameter; never none.
    pub(super) fn chained_types<'n>(
        &self,
        parameter: &'a SearchParameter,
        of_type: Option<&'n str>,
        name: Name<'_>,
    ) -> Result<Vec<&'n str>, Fault>
    where
        'a: 'n,
    {
        if let Some(target) = of_type {
            if !self.definitions().schema.is_resource(target) {
                let text = format!(
                    "{} is no resource type; a chain is written {}:Type.parameter.",
                    shown(target),
                    parameter.code
                );
                return Err(Fault::unknown(IssueType::Invalid, text));
            }
            self.type_modifier(parameter, target)?;
            if !is_everywhere(name.code) {
                self.find_or_refuse(Some(target), name.code)?;
            }
            return Ok(vec![target]);
        }
        let all = self.target_types(&parameter.targets).iter().map(String::as_str);
        let having: Vec<&str> = all
            .filter(|target| is_everywhere(name.code) || self.find_or_refuse(Some(target), name.code).is_ok())
            .collect();
        if !having.is_empty() {
            return Ok(having);
        }
        let types = self.target_types(&parameter.targets).iter();
        let known = types.flat_map(|target| self.definitions().search_parameters.of(target));
        let near = did_you_mean(name.code, known.map(|parameter| parameter.code.as_str()));
        let (code, wrong) = (&parameter.code, shown(name.code));
        let text = format!("No resource that {code} points to has a search parameter {wrong}.{near}");
        Err(Fault::unknown(IssueType::Invalid, text))
    }
}

/// Whether every type has what is chained to.
fn is_everywhere(code: &str) -> bool {
    crate::index::OF_THE_ENGINE.contains(&code) || code == HAS || code == "_list"
}

pub(super) fn chainable(parameter: &SearchParameter) -> Result<(), Fault> {
    if parameter.kind != SearchParameterType::Reference {
        let kind = parameter.kind.as_str();
        let text = format!("{} is of the type {kind}; only references can be chained.", parameter.code);
        return Err(Fault::unknown(IssueType::Invalid, text));
    }
    if parameter.base == "Bundle" {
        let text = format!("{} is inside the Bundle; chaining into it is not supported.", parameter.code);
        return Err(Fault::unknown(IssueType::NotSupported, text));
    }
    Ok(())
}
