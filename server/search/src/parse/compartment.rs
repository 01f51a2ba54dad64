//! Membership in a compartment (<https://hl7.org/fhir/R4/compartmentdefinition.html>): what `[base]/Patient/123/Observation`
//! adds to a search. The resource that the compartment is about is in it.

use fhirpath::primitive::is_id;
use fhirpath::{Issue, IssueType};
use store::{Filter, Predicate};

use super::fault::shown;
use super::{Reader, any_of};

impl Reader<'_> {
    /// The filter of a compartment, by its type and id.
    pub(super) fn compartment(&self, (compartment, id): (&str, &str)) -> Result<Filter, Issue> {
        if self.definitions().compartments.parameters(compartment, "Observation").is_none() {
            return Err(issue(format!("There is no {} compartment.", shown(compartment))));
        }
        if !is_id(id) {
            return Err(issue(format!("{} is not an id.", shown(id))));
        }
        let Some(resource_type) = self.resource_type else {
            return Ok(self.whole_compartment(compartment, id));
        };
        let filters = self.memberships(compartment, id, resource_type);
        if filters.is_empty() {
            return Err(issue(format!("{resource_type} is never in a {compartment} compartment.")));
        }
        Ok(any_of(filters))
    }

    /// Everything in the compartment, of whatever type.
    fn whole_compartment(&self, compartment: &str, id: &str) -> Filter {
        let types = self.definitions().compartments.resource_types(compartment);
        let each = types.into_iter().map(|resource_type| {
            let member = any_of(self.memberships(compartment, id, resource_type));
            Filter::And(vec![Filter::Type(resource_type.into()), member])
        });
        any_of(each.collect())
    }

    /// Each way a resource of a type can be in the compartment.
    fn memberships(&self, compartment: &str, id: &str, resource_type: &str) -> Vec<Filter> {
        let codes =
            self.definitions().compartments.parameters(compartment, resource_type).unwrap_or_default();
        let target: Box<str> = format!("{compartment}/{id}").into();
        let parameters = codes.iter().filter_map(|code| self.find(Some(resource_type), code));
        let by_reference = parameters.map(|parameter| {
            Filter::Match(self.context.index.id(parameter), Predicate::Reference(vec![target.clone()]))
        });
        let itself = (resource_type == compartment).then(|| Filter::Ids(vec![id.into()]));
        by_reference.chain(itself).collect()
    }
}

fn issue(text: String) -> Issue {
    Issue::error(IssueType::NotSupported, text).at("http")
}
