//! References (<https://hl7.org/fhir/R4/references.html>): to the types that an element allows, to contained resources that are
//! there, to resources of the same Bundle that meet the profiles asked for.

use std::sync::Arc;

use fhirpath::expression::type_of_url;
use fhirpath::schema::TypeId;
use fhirpath::{Element, IssueType};

use super::extension::excerpt;
use super::profile::{Node, Profile, ProfileReference};
use super::walk::Walk;
use rustc_hash::{FxHashMap, FxHashSet};
use std::borrow::Cow;

const DOM_3: &str = "http://hl7.org/fhir/StructureDefinition/DomainResource#dom-3";

impl<'w> Walk<'w> {
    /// The resource that a Reference points to when that is contained, or in the Bundle that is walked.
    pub fn referred_resource(&mut self, reference: Element<'w>) -> Option<Element<'w>> {
        let url = reference.get("reference").and_then(Element::value).or_else(|| reference.value())?;
        let Some(id) = url.strip_prefix('#') else { return self.bundled_resource(&url) };
        let is_outer = |it: &&Element<'w>| it.is_resource() && it.name() != "contained";
        let container = self.stack.iter().rev().find(is_outer).copied().unwrap_or(self.root);
        if id.is_empty() {
            return Some(container);
        }
        let ids = self.contained.entry(container.node_id()).or_insert_with(|| {
            let with_id = |it: Element<'w>| Some((it.get("id")?.value()?, it));
            // Of equal ids the first one's counts.
            container.all("contained").filter_map(with_id).collect::<Vec<_>>().into_iter().rev().collect()
        });
        ids.get(id).copied()
    }

    fn bundled_resource(&mut self, url: &str) -> Option<Element<'w>> {
        if self.root.type_name() != "Bundle" {
            return None;
        }
        let root = self.root;
        let index = self.bundled.get_or_insert_with(|| {
            let mut index = FxHashMap::default();
            for entry in root.all("entry") {
                let Some(resource) = entry.get("resource") else { continue };
                let Some(full) = entry.get("fullUrl").and_then(Element::value) else { continue };
                // A relative reference is to what ends with it.
                if let Some(relative) = type_and_id(&full) {
                    index.entry(relative.to_owned().into()).or_insert(resource);
                }
                index.entry(full).or_insert(resource);
            }
            index
        });
        index.get(url).copied()
    }

    /// The type of what a Reference points to, as far as it can be told here.
    pub fn referred_kind(&mut self, reference: Element<'w>) -> Option<TypeId> {
        let schema = self.v.shared.schema.clone();
        if let Some(url) = reference.get("reference").and_then(Element::value) {
            if let Some(found) = type_of_url(&schema, &url).filter(|_| !url.starts_with('#')) {
                return Some(found);
            }
            if let Some(resource) = self.referred_resource(reference) {
                return Some(resource.type_id());
            }
        }
        let stated = reference.get("type")?.value()?;
        let name = stated.rsplit('/').next()?;
        schema.type_id(name).filter(|_| schema.is_resource(name))
    }

    /// A Reference by FHIR's own rules. `targets`: the types it may point to; empty for any.
    pub fn reference(&mut self, reference: Element<'w>, targets: &'w [String]) {
        let Some(url) = reference.get("reference").and_then(Element::value) else { return };
        if let Some(id) = url.strip_prefix('#')
            && !id.is_empty()
            && self.referred_resource(reference).is_none()
        {
            self.error(IssueType::NotFound, reference, "Reference_REF_CantResolve", || {
                format!("There is no contained resource with the id '{}'.", excerpt(id))
            });
            return;
        }
        let Some(found) = self.referred_kind(reference) else { return };
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
        let Some(found) = self.referred_kind(reference) else { return };
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
        let Some(resource) = self.referred_resource(reference) else { return };
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
        } else if self.referred_resource(reference).is_some() {
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
        let mut ids: FxHashSet<Cow<'w, str>> = FxHashSet::default();
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
                Some(id) => {
                    ids.insert(id);
                }
            }
        }
        if !ids.is_empty() {
            self.referred_to(resource);
        }
    }

    /// dom-3: each contained resource is referred to, or refers to the one that contains it. Narratives refer, too.
    fn referred_to(&mut self, resource: Element<'w>) {
        let mut local: FxHashSet<Cow<'w, str>> = FxHashSet::default();
        let mut linked: FxHashSet<String> = FxHashSet::default();
        let mut pending: Vec<Element<'w>> = vec![resource];
        while let Some(element) = pending.pop() {
            if !self.step() {
                return;
            }
            pending.extend(element.children());
            match element.value() {
                Some(text) if text.starts_with('#') => {
                    local.insert(text);
                }
                Some(text) if element.type_name() == "xhtml" => {
                    let links = text.split("\"#").skip(1).filter_map(|it| it.split('"').next());
                    linked.extend(links.map(str::to_owned));
                }
                _ => {}
            }
        }
        for contained in resource.all("contained") {
            let Some(id) = contained.get("id").and_then(Element::value) else { continue };
            let is_local = linked.contains(id.as_ref()) || local.contains(format!("#{id}").as_str());
            if is_local || refers_to_container(contained) {
                continue;
            }
            self.error(IssueType::Invariant, resource, DOM_3, || {
                format!("dom-3: the contained resource '{}' is not referred to.", excerpt(&id))
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

/// `Patient/1` of `http://example.org/fhir/Patient/1`.
fn type_and_id(url: &str) -> Option<&str> {
    let id = url.rfind('/')?;
    let start = url.get(..id)?.rfind('/')? + 1;
    url.get(start..)
}
