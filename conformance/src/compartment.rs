//! Compartments (<https://hl7.org/fhir/R4/compartmentdefinition.html>): which reference parameters put a resource of a
//! type into one. It never looks at resources.

use rustc_hash::FxHashMap;

use crate::table::CompartmentDefinition;

/// All compartments.
#[derive(Debug, Clone, Default)]
pub struct Compartments {
    by_code: FxHashMap<String, FxHashMap<String, Vec<String>>>,
}

impl Compartments {
    /// Of several definitions for one code the first counts: R4's package has an example for `Device` besides the real
    /// one.
    pub(crate) fn build(definitions: impl IntoIterator<Item = CompartmentDefinition>) -> Compartments {
        let mut by_code = FxHashMap::default();
        for definition in definitions {
            let resources = definition.resource.into_iter().map(|resource| (resource.code, resource.param));
            by_code.entry(definition.code).or_insert_with(|| resources.collect());
        }
        Compartments { by_code }
    }

    /// The codes of the reference parameters that put a resource of `resource_type` into a compartment
    /// (`Patient`, `Encounter`, `Practitioner`, `RelatedPerson`, `Device`); `{def}` is returned as it stands. `None` when
    /// there is no such compartment, empty when the type is never in it.
    pub fn parameters(&self, compartment: &str, resource_type: &str) -> Option<&[String]> {
        let resources = self.by_code.get(compartment)?;
        Some(resources.get(resource_type).map_or(&[], Vec::as_slice))
    }

    /// The codes of all compartments, sorted.
    pub fn codes(&self) -> Vec<&str> {
        let mut codes: Vec<&str> = self.by_code.keys().map(String::as_str).collect();
        codes.sort_unstable();
        codes
    }

    /// The resource types that may be in a compartment, sorted; empty when there is no such compartment.
    pub fn resource_types(&self, compartment: &str) -> Vec<&str> {
        let resources = self.by_code.get(compartment);
        let mut types: Vec<&str> =
            resources.into_iter().flat_map(|it| it.keys()).map(String::as_str).collect();
        types.sort_unstable();
        types
    }
}

#[cfg(test)]
mod tests {
    use crate::Definitions;

    #[test]
    fn those_of_r4() {
        let definitions = Definitions::embedded().unwrap();
        let compartments = &definitions.compartments;
        assert_eq!(compartments.codes(), ["Device", "Encounter", "Patient", "Practitioner", "RelatedPerson"]);
        let check = |compartment: &str, resource_type: &str, expected: Option<&[&str]>| {
            let found = compartments.parameters(compartment, resource_type);
            let found = found.map(|codes| codes.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(found.as_deref(), expected, "{compartment} {resource_type}");
        };
        check("Patient", "Observation", Some(&["subject", "performer"]));
        check("Patient", "Patient", Some(&["link"]));
        check("Patient", "Medication", Some(&[]));
        check("Encounter", "Encounter", Some(&["{def}"]));
        check("Device", "Communication", Some(&["sender", "recipient"]));
        check("Device", "Account", Some(&["subject"]));
        check("Group", "Observation", None);
    }

    #[test]
    fn every_parameter_of_a_compartment_is_a_reference_parameter() {
        let definitions = Definitions::embedded().unwrap();
        let mut wrong = Vec::new();
        for compartment in definitions.compartments.codes() {
            for resource_type in definitions.compartments.resource_types(compartment) {
                for code in definitions.compartments.parameters(compartment, resource_type).unwrap() {
                    let parameter = definitions.search_parameters.get(resource_type, code);
                    let fits = parameter.is_some_and(|it| it.kind == crate::SearchParameterType::Reference);
                    if code != "{def}" && !fits {
                        wrong.push(format!("{compartment}: {resource_type}.{code}"));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}
