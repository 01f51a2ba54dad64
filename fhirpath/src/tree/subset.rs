//! Parts of a resource (<https://hl7.org/fhir/R4/search.html#summary>, <https://hl7.org/fhir/R4/search.html#elements>).
//!
//! A part is tagged `SUBSETTED`, so that nobody takes it for the whole. A primitive keeps its extensions: they
//! belong to its value.

use super::{Element, Tree};
use crate::schema::{Property, TypeId};

/// Which part of a resource to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subset {
    /// `_summary=true`: the elements marked as summary in the specification, at every level, and the
    /// mandatory ones among them.
    Summary,
    /// `_summary=text`: text, id, meta and the mandatory elements of the root.
    Text,
    /// `_summary=data`: everything but text.
    Data,
    /// `_elements`: these elements of the root (`status`, `value`), and id, meta, the mandatory and the
    /// modifier elements.
    Elements(Vec<String>),
}

/// The code system of the tag of a part.
pub const SUBSETTED_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue";
/// The code of the tag of a part.
pub const SUBSETTED_CODE: &str = "SUBSETTED";

impl Subset {
    /// Whether a property of the root belongs to the part.
    fn has(&self, property: &Property) -> bool {
        let always = property.min > 0 || matches!(property.name.as_str(), "id" | "meta");
        match self {
            Subset::Summary => always || property.is_summary,
            Subset::Text => always || property.name == "text",
            Subset::Data => property.name != "text",
            Subset::Elements(names) => always || property.is_modifier || names.contains(&property.name),
        }
    }
}

impl Tree {
    /// Appends the canonical JSON of a part of the resource, tagged as `SUBSETTED`.
    pub fn write_subset(&self, subset: &Subset, out: &mut Vec<u8>) {
        let mut part = self.clone();
        part.prune(subset);
        part.tag_subsetted();
        part.write_json(out);
    }

    fn prune(&mut self, subset: &Subset) {
        let extension = self.schema.type_id("Extension");
        let mut kept = self.children_of(0);
        kept.retain(|&child| {
            let wanted = self.definition_of(child).is_some_and(|property| subset.has(property));
            wanted && (*subset != Subset::Summary || self.summarise(child, extension))
        });
        self.relink(0, &kept);
    }

    /// Leaves of an element what its summary has, and says whether that is anything. Extensions stay whole:
    /// R4 marks their values nowhere, and those that modify must keep theirs.
    fn summarise(&mut self, node: u32, extension: Option<TypeId>) -> bool {
        let type_id = Element { tree: self, node }.type_id();
        if self.schema.primitive(type_id).is_some() || Some(type_id) == extension {
            return true;
        }
        let mut kept = self.children_of(node);
        kept.retain(|&child| {
            let wanted = |property: &Property| property.is_summary || property.min > 0;
            self.definition_of(child).is_some_and(wanted) && self.summarise(child, extension)
        });
        self.relink(node, &kept);
        !kept.is_empty() || Element { tree: self, node }.is_resource()
    }

    fn definition_of(&self, node: u32) -> Option<&Property> {
        Element { tree: self, node }.property_id().map(|id| self.schema.definition(id))
    }

    fn tag_subsetted(&mut self) {
        let is = |coding: Element<'_>, name: &str, text: &str| {
            coding.get(name).and_then(Element::value).is_some_and(|value| value == text)
        };
        let tagged =
            |tag: Element<'_>| is(tag, "system", SUBSETTED_SYSTEM) && is(tag, "code", SUBSETTED_CODE);
        if self.root().all("meta").flat_map(|meta| meta.all("tag")).any(tagged) {
            return;
        }
        let tag = self.child_or_new(0, "meta").and_then(|meta| self.new_child(meta, "tag"));
        if let Some(tag) = tag {
            self.set_child(tag, "system", SUBSETTED_SYSTEM);
            self.set_child(tag, "code", SUBSETTED_CODE);
        }
    }
}
