//! References (<https://hl7.org/fhir/R4/references.html>): to the types that an element allows, to contained resources that are
//! there, to resources of the same Bundle that meet the profiles asked for.

use std::sync::Arc;

use fhirpath::expression::{referred, referred_type};
use fhirpath::{Element, IssueType};

use super::extension::excerpt;
use super::profile::{Node, Profile, ProfileReference};
use super::walk::Walk;

const DOM_3: &str = "http://hl7.org/fhir/StructureDefinition/DomainResource#dom-3";

impl<'w> Walk<'w> {
    /// A Reference by FHIR's own rules. `targets`: the types it may point to; empty for any.
    pub fn reference(&mut self, reference: Element<'w>, targets: &'w [String]) {
        let Some(url) = reference.get("reference").and_then(Element::value) else { return };
        if let Some(id) = url.strip_prefix('#')
            && !id.is_empty()
            && referred(reference).is_none()
        {
            self.error(IssueType::NotFound, reference, "Reference_REF_CantResolve", || {
                format!("There is no contained resource with the id '{}'.", excerpt(id))
            });
            return;
        }
        let Some(found) = referred_type(reference) else { return };
        let schema = &self.v.shared.schema;
        let is_allowed =
            |target: &String| schema.type_id(target).is_none_or(|target| schema.is_subtype(found, target));
        if !targets.is_empty() && !targets.iter().any(is_allowed) {
            self.error(IssueType::Structure, reference, "Reference_REF_BadTargetType", || {
                format!("This must not refer to {}, only to {}.", schema.type_name(found), targets.join(", "))
            });
        }
        if let Some(stated) = reference.get("type").and_then(Element::value) {
            let name = stated.rsplit('/').next().unwrap_or(&stated);
            let differs = schema.type_id(name).is_some_and(|id| !schema.is_subtype(found, id));
            if differs {
                self.error(IssueType::Structure, reference, "Reference_REF_BadTargetType2", || {
                    format!("The type says {name}, and the reference is to {}.", schema.type_name(found))
                });
            }
        }
    }

    /// What a reference points to, against the profiles of which it must meet one.
    pub fn target(
        &mut self,
        reference: Element<'w>,
        profile: &Arc<Profile>,
        node: &Node,
        targets: &[ProfileReference],
    ) {
        let Some(found) = referred_type(reference) else { return };
        let schema = &self.v.shared.schema;
        let mut possible = smallvec::SmallVec::<[Arc<Profile>; 4]>::new();
        let mut is_unknown = false;
        for target in targets {
            let base = target.canonical.strip_prefix("http://hl7.org/fhir/StructureDefinition/");
            if let Some(base) = base.and_then(|name| schema.type_id(name)) {
                if schema.is_subtype(found, base) {
                    return;
                }
                continue;
            }
            match self.v.referred(target) {
                Ok(Some(profile)) if schema.is_subtype(found, profile.type_id) => possible.push(profile),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => is_unknown = true,
            }
        }
        if possible.is_empty() {
            if !is_unknown {
                let allowed: Vec<&str> = targets.iter().map(|it| it.canonical.as_ref()).collect();
                self.error(IssueType::Structure, reference, "Reference_REF_BadTargetType", || {
                    format!(
                        "{} must not refer to {} for {}, only to {}.",
                        node.id,
                        schema.type_name(found),
                        profile.url,
                        allowed.join(", ")
                    )
                });
            }
            return;
        }
        let Some(resource) = referred(reference) else { return };
        if is_unknown || possible.iter().any(|one| self.meets(resource, one)) {
            return;
        }
        self.error(IssueType::Structure, reference, "Reference_REF_CantMatchChoice", || {
            let urls: Vec<&str> = possible.iter().map(|it| it.url.as_ref()).collect();
            format!("{} refers to {} that meets none of {}.", node.id, resource.path(), urls.join(", "))
        });
    }

    /// How a reference is made: to a contained resource, one of the same Bundle, or another.
    pub fn aggregated(
        &mut self,
        reference: Element<'w>,
        profile: &Profile,
        node: &Node,
        aggregation: &[Box<str>],
    ) {
        let Some(url) = reference.get("reference").and_then(Element::value) else { return };
        let kind = if url.starts_with('#') {
            "contained"
        } else if referred(reference).is_some() {
            "bundled"
        } else {
            "referenced"
        };
        let is = |allowed: &str| allowed == kind || (kind == "bundled" && allowed == "referenced");
        if !aggregation.iter().any(|allowed| is(allowed)) {
            self.error(IssueType::Structure, reference, "Reference_REF_Aggregation", || {
                format!("{} is {kind}; {} allows only {}.", node.id, profile.url, aggregation.join(", "))
            });
        }
    }

    /// Ids of contained resources.
    pub fn contained(&mut self, resource: Element<'w>) {
        let mut ids: smallvec::SmallVec<[std::borrow::Cow<'w, str>; 4]> = smallvec::SmallVec::new();
        for contained in resource.all("contained") {
            match contained.get("id").and_then(Element::value) {
                None => self.error(IssueType::Invalid, contained, "", || {
                    "A contained resource needs an id, for what refers to it.".to_owned()
                }),
                Some(id) if ids.contains(&id) => {
                    self.error(IssueType::Duplicate, contained, "RESOURCE_DUPLICATE_CONTAINED_ID", || {
                        format!("Two contained resources have the id '{}'.", excerpt(&id))
                    });
                }
                Some(id) => ids.push(id),
            }
        }
        if !ids.is_empty() {
            self.referred_to(resource, &ids);
        }
    }

    /// dom-3: each contained resource is referred to, or refers to the one that contains it. Narratives refer, too.
    fn referred_to(&mut self, resource: Element<'w>, ids: &[std::borrow::Cow<'w, str>]) {
        let mut local: Vec<std::borrow::Cow<'w, str>> = Vec::new();
        let mut narratives = Vec::new();
        let mut pending: Vec<Element<'w>> = vec![resource];
        while let Some(element) = pending.pop() {
            if !self.step() {
                return;
            }
            pending.extend(element.children());
            match element.value() {
                Some(text) if text.starts_with('#') => local.push(text),
                Some(text) if element.type_name() == "xhtml" && text.contains("\"#") => narratives.push(text),
                _ => {}
            }
        }
        for (contained, id) in resource.all("contained").zip(ids) {
            let is_local = local.iter().any(|it| it.strip_prefix('#') == Some(id))
                || narratives.iter().any(|it| it.contains(&format!("\"#{id}\"")));
            if is_local || refers_to_container(contained) {
                continue;
            }
            self.error(IssueType::Invariant, resource, DOM_3, || {
                format!("dom-3: the contained resource '{}' is not referred to.", excerpt(id))
            });
        }
    }
}

/// Whether an element below refers to the resource that contains this one (`#`).
fn refers_to_container(contained: Element<'_>) -> bool {
    let mut pending = vec![contained];
    while let Some(element) = pending.pop() {
        if element.value().is_some_and(|text| text == "#") {
            return true;
        }
        pending.extend(element.children());
    }
    false
}
