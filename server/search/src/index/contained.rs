//! Entries of contained resources (<https://hl7.org/fhir/R4/references.html#contained>), among those of the resource around
//! them. Each begins with its type; its values have numbers of their own, so that no other search finds the container by them.

use fhirpath::{Element, Tree};
use store::{Entries, Filter, Parameter, ParameterId, Predicate, Value};

use super::{STORED, SearchIndex};

/// The numbers by which contained resources are found.
#[derive(Clone, Copy, Default)]
pub(super) struct ContainedNumbers {
    /// That of the first parameter; the others follow as they do for resources that stand alone.
    first: u16,
}

impl ContainedNumbers {
    /// Numbers after all that there are; they get names.
    pub(super) fn after(parameters: &mut Vec<Parameter>) -> ContainedNumbers {
        let first = u16::try_from(parameters.len()).unwrap_or(u16::MAX / 4);
        let name = |parameter: &Parameter| Parameter {
            name: format!("Contained.{}", parameter.name.replacen('.', "-", 1)),
        };
        let mut names: Vec<Parameter> = parameters.iter().map(name).collect();
        names.extend(["Contained.-type", "Contained.-id"].map(|name| Parameter { name: name.to_owned() }));
        parameters.append(&mut names);
        ContainedNumbers { first }
    }

    /// That of the type, whose entry begins those of a resource.
    fn begin(self) -> ParameterId {
        ParameterId(self.first.saturating_mul(2))
    }

    fn id(self) -> ParameterId {
        ParameterId(self.begin().0 + 1)
    }

    /// That of a parameter; none for a tenant's own, which does not reach into containers.
    fn of(self, parameter: ParameterId) -> Option<ParameterId> {
        (parameter.0 < self.first).then(|| ParameterId(parameter.0 + self.first))
    }
}

impl SearchIndex {
    /// Appends the entries of what a resource contains.
    pub(super) fn contained_entries(&self, tree: &Tree, out: &mut Entries) {
        for element in tree.root().all("contained") {
            // What is asked of it is asked as if it stood alone.
            let mut body = Vec::new();
            element.write_json(&mut body);
            let type_of = element.type_name();
            out.push(self.contained.begin(), &Value::Token { system: "", code: type_of });
            if let Some(id) = element.get("id").and_then(Element::value) {
                out.push(self.contained.id(), &Value::Token { system: "", code: &id });
            }
            let Ok(alone) = Tree::parse_json(&self.definitions.schema, body, &STORED) else { continue };
            let Some(parameters) = self.of_type.get(&alone.root().type_id()) else { continue };
            let mut entries = Entries::new();
            self.entries_by(parameters, &alone, &mut entries);
            for (id, value) in entries.iter() {
                if let Some(id) = self.contained.of(id) {
                    out.push(id, &value);
                }
            }
        }
    }

    /// The filter that a contained resource of a type fulfils one for resources of the type. `None` where that asks of other
    /// resources, of texts or by a tenant's own parameters.
    pub(crate) fn in_container(&self, resource_type: &str, filter: &Filter) -> Option<Filter> {
        let filter = Box::new(self.of_contained(resource_type, filter)?);
        Some(Filter::Contained { begin: self.contained.begin(), resource_type: resource_type.into(), filter })
    }

    fn of_contained(&self, resource_type: &str, filter: &Filter) -> Option<Filter> {
        let each = |filters: &[Filter]| -> Option<Vec<Filter>> {
            filters.iter().map(|filter| self.of_contained(resource_type, filter)).collect()
        };
        Some(match filter {
            Filter::All => Filter::All,
            Filter::None => Filter::None,
            Filter::And(filters) => Filter::And(each(filters)?),
            Filter::Or(filters) => Filter::Or(each(filters)?),
            Filter::Not(filter) => Filter::Not(Box::new(self.of_contained(resource_type, filter)?)),
            Filter::Match(id, predicate) => Filter::Match(self.contained.of(*id)?, predicate.clone()),
            Filter::Present(id) => Filter::Present(self.contained.of(*id)?),
            Filter::Ids(ids) => {
                let number = self.contained.id();
                let token = |id: &str| Predicate::Token { system: None, code: Some(id.into()) };
                Filter::Or(ids.iter().map(|id| Filter::Match(number, token(id))).collect())
            }
            Filter::Type(name) if **name == *resource_type => Filter::All,
            Filter::Type(_) => Filter::None,
            Filter::LastUpdated(comparison, lo, hi) => Filter::LastUpdated(*comparison, *lo, *hi),
            Filter::Text(_) | Filter::Chain { .. } | Filter::Has { .. } | Filter::Contained { .. } => {
                return None;
            }
        })
    }
}
