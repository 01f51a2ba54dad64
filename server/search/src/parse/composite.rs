//! Composite values (<https://hl7.org/fhir/R4/search.html#composite>): the values of the components, joined by `$`.

use conformance::{Component, SearchParameter};
use store::Predicate;

use super::Reader;
use super::criterion::ValueKind;
use super::fault::{Fault, shown};
use super::split::split;
use crate::index::Systems;

impl<'a> Reader<'a> {
    /// What a value asks for, alternatives: every combination of its components' alternatives.
    pub(super) fn composite(
        &self,
        parameter: &'a SearchParameter,
        text: &str,
    ) -> Result<Vec<Predicate>, Fault> {
        let components = &parameter.components;
        let parts: Vec<&str> = split(text, b'$').collect();
        if parts.len() != components.len() || parts.iter().any(|part| part.is_empty()) {
            let names: Vec<&str> = components.iter().map(|component| component.code.as_str()).collect();
            return Err(Fault::value(format!(
                "{} is not of the form {} that {} has.",
                shown(text),
                names.join("$"),
                parameter.code
            )));
        }
        let mut rows = vec![Vec::new()];
        for (number, (component, part)) in components.iter().zip(parts).enumerate() {
            let systems = self.context.index.systems(parameter, number);
            let alternatives = self.component(component, systems, part)?;
            self.charge(rows.len().saturating_mul(alternatives.len()))?;
            let longer = rows.iter().flat_map(|row: &Vec<Predicate>| {
                alternatives.iter().map(move |next| row.iter().chain([next]).cloned().collect())
            });
            rows = longer.collect();
        }
        Ok(rows.into_iter().map(Predicate::Composite).collect())
    }

    fn component(
        &self,
        component: &'a Component,
        systems: Systems,
        text: &str,
    ) -> Result<Vec<Predicate>, Fault> {
        let kind = ValueKind { kind: component.kind, targets: &component.targets, of_type: None, systems };
        self.simple(kind, text).ok_or_else(|| {
            Fault::bad(fhirpath::IssueType::NotSupported, format!("{} has no values.", component.code))
        })?
    }
}
