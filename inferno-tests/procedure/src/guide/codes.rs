//! The codes of value sets that list them or take whole code systems: as far as searches and slices need them. Others have none.

use serde_json::Value;

use super::package::Package;
use crate::http::text;
use crate::navigation::list;

/// Value sets and code systems.
#[derive(Debug, Default)]
pub(super) struct Codes {
    pub guide: Package,
    pub core: Package,
}

/// System and code.
type Pairs = Vec<(String, String)>;

impl Codes {
    /// Those of the value set that an element is bound to: of the least that it must support, where that is said.
    pub fn of_binding(&self, element: &Value) -> Pairs {
        self.bound(element, &self.guide).or_else(|| self.bound(element, &self.core)).unwrap_or_default()
    }

    /// The same of the guide's own value sets alone.
    pub fn of_own_binding(&self, element: &Value) -> Pairs {
        self.bound(element, &self.guide).unwrap_or_default()
    }

    fn bound(&self, element: &Value, package: &Package) -> Option<Pairs> {
        let binding = element.get("binding")?;
        let url = least(binding).or_else(|| text(binding, "valueSet"))?;
        let found = self.value_set(&package.canonical("ValueSet", url)?, package);
        (!found.is_empty()).then_some(found)
    }

    fn value_set(&self, value_set: &Value, package: &Package) -> Pairs {
        let includes = list(value_set.pointer("/compose/include"));
        let found: Pairs = includes.into_iter().flat_map(|include| self.include(include, package)).collect();
        if !found.is_empty() {
            return found;
        }
        let expanded = list(value_set.pointer("/expansion/contains"));
        expanded.into_iter().filter_map(|one| pair(text(one, "system")?, one)).collect()
    }

    fn include(&self, include: &Value, package: &Package) -> Pairs {
        let system = text(include, "system").unwrap_or_default();
        let listed = list(include.get("concept"));
        if !listed.is_empty() {
            return listed.into_iter().filter_map(|one| pair(system, one)).collect();
        }
        if !system.is_empty() && include.get("filter").is_none() {
            let Some(found) = package.canonical("CodeSystem", system) else { return Vec::new() };
            return concepts(&found).into_iter().filter_map(|one| pair(system, one)).collect();
        }
        let others = list(include.get("valueSet")).into_iter().filter_map(Value::as_str);
        let found = others.filter_map(|url| package.canonical("ValueSet", url));
        found.flat_map(|one| self.value_set(&one, package)).collect()
    }
}

fn pair(system: &str, concept: &Value) -> Option<(String, String)> {
    Some((system.to_owned(), text(concept, "code")?.to_owned()))
}

/// The concepts of a code system, those beneath others too.
fn concepts(of: &Value) -> Vec<&Value> {
    list(of.get("concept")).into_iter().flat_map(|one| std::iter::once(one).chain(concepts(one))).collect()
}

/// The value set that a binding says is the least to be supported.
fn least(binding: &Value) -> Option<&str> {
    const ADDITIONAL: &str = "http://hl7.org/fhir/tools/StructureDefinition/additional-binding";
    const LEAST: &str = "http://hl7.org/fhir/StructureDefinition/elementdefinition-minValueSet";
    let of = |url: &str| {
        list(binding.get("extension"))
            .into_iter()
            .filter(move |one| text(one, "url") == Some(url))
            .collect::<Vec<_>>()
    };
    let part = |one: &Value, name: &str, member: &str| {
        let parts = list(one.get("extension"));
        let found = parts.into_iter().find(|part| text(part, "url") == Some(name));
        found.and_then(|part| part.get(member)).and_then(Value::as_str).map(str::to_owned)
    };
    let additional = of(ADDITIONAL)
        .into_iter()
        .find(|one| part(one, "purpose", "valueCode").as_deref() == Some("minimum"));
    if let Some(one) = additional {
        let parts = list(one.get("extension"));
        return parts
            .into_iter()
            .find(|part| text(part, "url") == Some("valueSet"))
            .and_then(|part| text(part, "valueCanonical"));
    }
    of(LEAST).first().and_then(|one| text(one, "valueCanonical"))
}
