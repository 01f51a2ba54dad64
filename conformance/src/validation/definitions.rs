//! Rules of resources that define something (<https://hl7.org/fhir/R4/conformance-module.html>) beyond their invariants: what
//! they name must be what it is named for. A fault here would make every validation by the definition doubtful.

use fhirpath::schema::{TypeId, TypeKind};
use fhirpath::{Element, IssueType};

use super::extension::excerpt;
use super::structure::last_segment;
use super::walk::Walk;

impl<'w> Walk<'w> {
    /// A StructureDefinition, a CodeSystem or a ValueSet.
    pub fn definition(&mut self, resource: Element<'w>) {
        match resource.type_name() {
            "StructureDefinition" => self.structure_definition(resource),
            "CodeSystem" => self.code_system(resource),
            "ValueSet" => self.value_set(resource),
            _ => {}
        }
    }

    /// Code systems are named by absolute URLs.
    fn value_set(&mut self, resource: Element<'w>) {
        let Some(compose) = resource.get("compose") else { return };
        for include in compose.all("include").chain(compose.all("exclude")) {
            if let Some(system) = text(include, "system")
                && !system.contains(':')
            {
                self.error(IssueType::Invalid, include, "VALUESET_INCLUDE_SYSTEM_ABSOLUTE", || {
                    format!("The system must be absolute, and '{}' is not.", excerpt(&system))
                });
            }
        }
    }

    /// Properties are defined once each.
    fn code_system(&mut self, resource: Element<'w>) {
        let (mut codes, mut uris): (Vec<String>, Vec<String>) = Default::default();
        for property in resource.all("property") {
            for (name, known) in [("code", &mut codes), ("uri", &mut uris)] {
                let Some(value) = text(property, name) else { continue };
                if known.contains(&value) {
                    self.error(IssueType::Duplicate, property, "CODESYSTEM_PROPERTY_DUPLICATE_CODE", || {
                        format!("Two properties have the {name} '{}'.", excerpt(&value))
                    });
                }
                known.push(value);
            }
        }
    }

    fn structure_definition(&mut self, resource: Element<'w>) {
        let Some(name) = text(resource, "type") else { return };
        let schema = &self.v.shared.schema;
        let is_logical = text(resource, "kind").as_deref() == Some("logical");
        let is_new = text(resource, "derivation").as_deref() == Some("specialization");
        if is_logical && is_new && !name.contains(':') && schema.type_id(&name).is_none() {
            self.error(IssueType::Invalid, resource, "SD_TYPE_NOT_LOCAL", || {
                format!("The type {} is none of FHIR's, and so must be a URL.", excerpt(&name))
            });
        }
        let root = last_segment(&name).to_owned();
        for part in ["differential", "snapshot"] {
            let elements = resource.get(part).into_iter().flat_map(|part| part.all("element"));
            for element in elements {
                if !self.step() {
                    return;
                }
                let Some(path) = text(element, "path") else { continue };
                if path.split('.').next() != Some(root.as_str()) {
                    self.error(IssueType::Invalid, element, "", || {
                        format!("The path {} must begin with the type, {root}.", excerpt(&path))
                    });
                    continue;
                }
                self.profiles_of(element);
                self.discriminators(element, &path);
            }
        }
    }

    /// The profiles of a type are profiles of that type.
    fn profiles_of(&mut self, element: Element<'w>) {
        for kind in element.all("type") {
            let Some(id) = text(kind, "code").and_then(|code| self.v.shared.schema.type_id(&code)) else {
                continue;
            };
            for profile in kind.all("profile") {
                let structure = profile.value().and_then(|url| self.v.shared.library.get(&url));
                let Some(structure) = structure else { continue };
                let schema = &self.v.shared.schema;
                let Some(found) = schema.type_id(&structure.type_name) else { continue };
                if !schema.is_subtype(found, id) {
                    self.error(IssueType::Invalid, profile, "SD_ED_TYPE_PROFILE_WRONG", || {
                        format!(
                            "{} is for {}, not for {}.",
                            structure.url,
                            structure.type_name,
                            schema.type_name(id)
                        )
                    });
                } else if found != id && !structure.is_profile && schema.kind(id) != TypeKind::Resource {
                    self.error(IssueType::Invalid, profile, "SD_ED_TYPE_PROFILE_WRONG", || {
                        format!(
                            "{} is a type of its own, and no profile of {}.",
                            structure.url,
                            schema.type_name(id)
                        )
                    });
                }
            }
        }
    }

    /// The paths of discriminators are there.
    fn discriminators(&mut self, element: Element<'w>, path: &str) {
        let Some(slicing) = element.get("slicing") else { return };
        let schema = self.v.shared.schema.clone();
        let Some(owner) = type_at(&schema, path) else { return };
        for discriminator in slicing.all("discriminator") {
            let Some(wanted) = text(discriminator, "path") else { continue };
            let is_plain = wanted.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
            let first = wanted.split('.').next().unwrap_or_default();
            if is_plain && !first.is_empty() && schema.property(owner, first).is_none() {
                self.error(IssueType::Invalid, discriminator, "SD_PATH_NOT_VALID", || {
                    format!("{} has no element '{}' to tell slices by.", excerpt(path), excerpt(first))
                });
            }
        }
    }
}

/// The one type of the element of a path.
fn type_at(schema: &fhirpath::Schema, path: &str) -> Option<TypeId> {
    let mut names = path.split('.');
    let mut at = schema.type_id(names.next()?)?;
    for name in names {
        let range = schema.property(at, name.trim_end_matches("[x]"))?;
        if range.start.index() + 1 != range.end.index() {
            return None;
        }
        at = schema.definition(range.start).type_id;
    }
    Some(at)
}

fn text(element: Element<'_>, name: &str) -> Option<String> {
    element.get(name)?.value().map(std::borrow::Cow::into_owned)
}
