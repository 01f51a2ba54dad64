//! References between the entries of a transaction (<https://hl7.org/fhir/R4/http.html#transaction>): found once in the
//! Bundle's tree, set to what each entry became. Also conditional references, as texts; the transaction resolves them.
//!
//! `Reference.reference` may name any entry's fullUrl. Elements of type uri, url, canonical, oid and uuid, and links in the
//! narrative, are followed only where the fullUrl is a placeholder (`urn:`): a canonical URL that happens to
//! be an entry's absolute fullUrl (a ValueSet posted under its own url) is not a link to that entry.

use std::borrow::Cow;
use std::ops::Range;

use fhirpath::schema::{PropertyId, Schema, TypeId};
use fhirpath::{Element, Issue, IssueType, Tree};
use rustc_hash::FxHashMap;

use super::entry::Entry;
use crate::{Failure, Service, Status};

/// All links of a transaction.
#[derive(Default)]
pub(super) struct Links {
    /// Node, and the number of the entry it refers to.
    entries: Vec<(u32, usize)>,
    /// Node of a narrative that has links to entries, and its text.
    narratives: Vec<(u32, String)>,
    /// Node, and the number of a text.
    conditional: Vec<(u32, usize)>,
    /// Texts of conditional references, each once: `Practitioner?identifier=x|y`.
    pub(super) texts: Vec<String>,
}

impl Links {
    /// Finds them.
    ///
    /// # Errors
    /// BadRequest when two entries have one fullUrl.
    pub(super) fn find(service: &Service, tree: &Tree, entries: &[Entry]) -> Result<Links, Failure> {
        let targets = Targets::new(entries)?;
        let kinds = Kinds::new(tree.schema());
        let mut finder = Finder { service, targets, links: Links::default(), texts: FxHashMap::default() };
        for entry in entries.iter().filter(|entry| entry.resource != 0) {
            let Some(resource) = tree.element(entry.resource) else { continue };
            let base = entry.full_url.as_deref().and_then(rest_base);
            finder.walk(resource, base, &kinds);
        }
        Ok(finder.links)
    }

    /// The place of a conditional reference's first use, for messages.
    pub(super) fn place(&self, tree: &Tree, text: usize) -> Option<String> {
        let (node, _) = self.conditional.iter().find(|(_, number)| *number == text)?;
        Some(tree.element(*node)?.path())
    }

    /// Sets each to `Type/id`. `keys` has what each entry became, `resolved` what each text matches.
    pub(super) fn set(
        &self,
        tree: &mut Tree,
        entries: &[Entry],
        keys: &[Option<Cow<'_, str>>],
        resolved: &[String],
    ) {
        for (node, entry) in &self.entries {
            if let Some(Some(key)) = keys.get(*entry) {
                tree.set_text(*node, key);
            }
        }
        for (node, text) in &self.conditional {
            if let Some(key) = resolved.get(*text) {
                tree.set_text(*node, key);
            }
        }
        if self.narratives.is_empty() {
            return;
        }
        let by_url: FxHashMap<&str, &str> = entries
            .iter()
            .zip(keys)
            .filter_map(|(entry, key)| Some((entry.full_url.as_deref()?, key.as_deref()?)))
            .collect();
        for (node, text) in &self.narratives {
            tree.set_text(*node, &relinked(text, |url| by_url.get(url).copied()));
        }
    }
}

/// Entries by fullUrl.
struct Targets<'e> {
    by_url: FxHashMap<&'e str, usize>,
}

impl<'e> Targets<'e> {
    fn new(entries: &'e [Entry]) -> Result<Targets<'e>, Failure> {
        let mut by_url = FxHashMap::default();
        for (number, entry) in entries.iter().enumerate() {
            let Some(url) = entry.full_url.as_deref() else { continue };
            if let Some(first) = by_url.insert(url, number) {
                let details = format!("The entries {first} and {number} have the same fullUrl.");
                let issue =
                    Issue::error(IssueType::Duplicate, details).at(format!("Bundle.entry[{number}].fullUrl"));
                return Err(Failure::of(Status::BadRequest, vec![issue]));
            }
        }
        Ok(Targets { by_url })
    }
}

/// How the elements that may hold links are known.
struct Kinds {
    /// `Reference.reference`.
    reference: Option<Range<PropertyId>>,
    uris: Vec<TypeId>,
    xhtml: Option<TypeId>,
}

impl Kinds {
    fn new(schema: &Schema) -> Kinds {
        let reference = schema.type_id("Reference").and_then(|owner| schema.property(owner, "reference"));
        let uris = ["uri", "url", "canonical", "oid", "uuid"];
        Kinds {
            reference,
            uris: uris.iter().filter_map(|name| schema.type_id(name)).collect(),
            xhtml: schema.type_id("xhtml"),
        }
    }
}

struct Finder<'e> {
    service: &'e Service,
    targets: Targets<'e>,
    links: Links,
    texts: FxHashMap<String, usize>,
}

impl Finder<'_> {
    fn walk(&mut self, element: Element<'_>, base: Option<&str>, kinds: &Kinds) {
        for child in element.children() {
            if child.has_value() {
                self.visit(child, base, kinds);
            }
            self.walk(child, base, kinds);
        }
    }

    fn visit(&mut self, element: Element<'_>, base: Option<&str>, kinds: &Kinds) {
        let property = element.property_id();
        let within = |range: &Range<PropertyId>| property.is_some_and(|id| range.contains(&id));
        let is_reference = kinds.reference.as_ref().is_some_and(within);
        if is_reference {
            if let Some(value) = element.value() {
                self.reference(element.node_id(), &value, base);
            }
            return;
        }
        let type_id = element.type_id();
        if kinds.uris.contains(&type_id) {
            let value = element.value().filter(|value| value.starts_with("urn:"));
            if let Some(entry) = value.and_then(|value| self.targets.by_url.get(&*value)) {
                self.links.entries.push((element.node_id(), *entry));
            }
        } else if kinds.xhtml == Some(type_id) {
            let text = element.value().filter(|text| text.contains("=\"urn:"));
            self.links.narratives.extend(text.map(|text| (element.node_id(), text.into_owned())));
        }
    }

    fn reference(&mut self, node: u32, value: &str, base: Option<&str>) {
        let by_url = &self.targets.by_url;
        // A relative reference is read against the fullUrl of the entry it stands in
        // (https://hl7.org/fhir/R4/bundle.html#references).
        let relative = || by_url.get(format!("{}/{value}", base?).as_str());
        if let Some(entry) = by_url.get(value).or_else(relative) {
            self.links.entries.push((node, *entry));
        } else if let Some((resource_type, _)) = value.split_once('?')
            && self.service.definitions.schema.is_resource(resource_type)
        {
            let number = match self.texts.get(value) {
                Some(number) => *number,
                None => {
                    self.links.texts.push(value.to_owned());
                    self.texts.insert(value.to_owned(), self.texts.len());
                    self.texts.len() - 1
                }
            };
            self.links.conditional.push((node, number));
        }
    }
}

/// `http://x/fhir` of `http://x/fhir/Patient/1`.
fn rest_base(full_url: &str) -> Option<&str> {
    if !full_url.starts_with("http://") && !full_url.starts_with("https://") {
        return None;
    }
    let (rest, _) = full_url.rsplit_once('/')?;
    Some(rest.rsplit_once('/')?.0)
}

/// An XHTML text with the attributes whose value is a known URL changed.
fn relinked<'k>(text: &str, key: impl Fn(&str) -> Option<&'k str>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("=\"urn:") {
        let (before, quoted) = rest.split_at(at + 2);
        out.push_str(before);
        let end = quoted.find('"').unwrap_or(quoted.len());
        let (url, tail) = quoted.split_at(end);
        out.push_str(key(url).unwrap_or(url));
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_of_full_urls() {
        assert_eq!(rest_base("http://x/fhir/Patient/1"), Some("http://x/fhir"));
        assert_eq!(rest_base("urn:uuid:1"), None);
    }

    #[test]
    fn narrative_links() {
        let key = |url: &str| (url == "urn:uuid:1").then_some("Patient/7");
        for (text, expected) in [
            (r#"<a href="urn:uuid:1">x</a>"#, r#"<a href="Patient/7">x</a>"#),
            (r#"<a href="urn:uuid:2">"urn:uuid:1"</a>"#, r#"<a href="urn:uuid:2">"urn:uuid:1"</a>"#),
            (r#"<img src="urn:uuid:1"#, r#"<img src="Patient/7"#),
            ("urn:uuid:1", "urn:uuid:1"),
        ] {
            assert_eq!(relinked(text, key), expected);
        }
    }
}
