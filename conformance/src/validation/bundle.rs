//! Rules of Bundles that no invariant states (<https://hl7.org/fhir/R4/bundle.html>): the full URLs of entries.

use fhirpath::{Element, IssueType};
use rustc_hash::{FxHashMap, FxHashSet};

use super::extension::excerpt;
use super::walk::Walk;

impl<'w> Walk<'w> {
    /// A Bundle's own rules.
    pub fn bundle(&mut self, bundle: Element<'w>) {
        let kind = bundle.get("type").and_then(Element::value).unwrap_or_default();
        for (number, entry) in bundle.all("entry").enumerate() {
            let resource = entry.get("resource");
            let url = entry.get("fullUrl");
            if let (Some(resource), Some(url)) = (resource, url) {
                self.named(resource, url, &kind);
            }
            if number == 0 {
                self.first(entry, resource, &kind);
            }
        }
        if matches!(kind.as_ref(), "document" | "message" | "collection") {
            self.full_urls(bundle);
        }
        if kind == "document"
            && let Some(composition) = bundle.get("entry").and_then(|entry| entry.get("resource"))
        {
            self.document(bundle, composition);
        }
        if kind == "searchset" {
            self.search_results(bundle);
        }
    }

    /// What a document's Composition refers to by type and id, and is in it under another URL, is not found.
    fn document(&mut self, bundle: Element<'w>, composition: Element<'w>) {
        let named = |entry: Element<'w>| {
            let resource = entry.get("resource")?;
            Some((resource.type_name().to_owned(), resource.get("id")?.value()?.into_owned()))
        };
        let by_id: FxHashSet<(String, String)> = bundle.all("entry").filter_map(named).collect();
        let mut pending = vec![composition];
        while let Some(element) = pending.pop() {
            if !self.step() {
                return;
            }
            pending.extend(element.children());
            let Some(url) = element.get("reference").and_then(Element::value) else { continue };
            let Some((kind, id)) =
                url.split_once('/').filter(|(kind, _)| self.v.shared.schema.is_resource(kind))
            else {
                continue;
            };
            let is_there = by_id.contains(&(kind.to_owned(), id.to_owned()));
            if is_there && self.referred_resource(element).is_none() {
                self.error(IssueType::NotFound, element, "BUNDLE_BUNDLE_ENTRY_NOTFOUND_APPARENT_one", || {
                    format!(
                        "'{}' is not in the document: the resource of this id has another fullUrl.",
                        excerpt(&url)
                    )
                });
            }
        }
    }

    /// What a search found has ids; what it says of itself is an OperationOutcome; it has each link once.
    fn search_results(&mut self, bundle: Element<'w>) {
        let mut relations: smallvec::SmallVec<[std::borrow::Cow<'w, str>; 8]> = smallvec::SmallVec::new();
        for link in bundle.all("link") {
            let Some(relation) = link.get("relation").and_then(Element::value) else { continue };
            if relations.contains(&relation) {
                self.error(IssueType::Invalid, link, "BUNDLE_LINK_SEARCH_NO_DUPLICATES", || {
                    format!("The link '{}' can be there only once.", excerpt(&relation))
                });
            }
            relations.push(relation);
        }
        for entry in bundle.all("entry") {
            let Some(resource) = entry.get("resource") else { continue };
            let mode = entry.get("search").and_then(|it| it.get("mode")?.value());
            let is_outcome = resource.type_name() == "OperationOutcome";
            if mode.as_deref() == Some("outcome") && !is_outcome {
                self.error(
                    IssueType::Invalid,
                    resource,
                    "BUNDLE_SEARCH_ENTRY_WRONG_RESOURCE_TYPE_OUTCOME",
                    || {
                        format!(
                            "What a search says of itself is an OperationOutcome, and this is {}.",
                            resource.type_name()
                        )
                    },
                );
            }
            if resource.get("id").is_none() && !is_outcome && mode.as_deref() != Some("outcome") {
                self.error(IssueType::Invalid, resource, "BUNDLE_SEARCH_ENTRY_NO_RESOURCE_ID", || {
                    "What a search found has an id.".to_owned()
                });
            }
        }
    }

    /// The first entry says what the Bundle is.
    fn first(&mut self, entry: Element<'w>, resource: Option<Element<'w>>, kind: &str) {
        let (wanted, id) = match kind {
            "document" => ("Composition", "Bundle_BUNDLE_Entry_Document"),
            "message" => ("MessageHeader", "Validation_BUNDLE_Message"),
            _ => return,
        };
        if resource.is_none_or(|resource| resource.type_name() != wanted) {
            self.error(IssueType::Invalid, entry, id, || {
                format!("The first entry of a {kind} must be a {wanted}.")
            });
        }
    }

    /// Whether an entry's full URL ends in its resource's type and id.
    fn named(&mut self, resource: Element<'w>, url: Element<'w>, kind: &str) {
        let Some(text) = url.value() else { return };
        let is_batch = matches!(kind, "batch" | "transaction");
        if !text.starts_with("http:") && !text.starts_with("https:") {
            let is_absolute = text.split(['/', '?']).next().is_some_and(|scheme| scheme.contains(':'));
            if !is_absolute && !is_batch {
                self.error(IssueType::Value, url, "BUNDLE_ENTRY_URL_ABSOLUTE", || {
                    format!("A fullUrl must be absolute, and '{}' is not.", excerpt(&text))
                });
            }
            return;
        }
        let mut parts = text.rsplit('/');
        let (last, before) = (parts.next(), parts.next());
        if !before.is_some_and(|name| self.v.shared.schema.is_resource(name)) {
            return;
        }
        let id = resource.get("id").and_then(Element::value);
        let is_same = before == Some(resource.type_name()) && last == id.as_deref();
        if !is_same && (id.is_some() || !is_batch) {
            self.error(IssueType::Invalid, url, "BUNDLE_ENTRY_URL_MATCHES_TYPE_ID", || {
                format!("The fullUrl '{}' does not end in the type and id of its resource.", excerpt(&text))
            });
        }
    }

    /// Full URLs are there, and each once for one version.
    fn full_urls(&mut self, bundle: Element<'w>) {
        let mut seen: FxHashMap<(String, Option<String>), ()> = FxHashMap::default();
        for entry in bundle.all("entry") {
            let Some(url) = entry.get("fullUrl").and_then(Element::value) else {
                if entry.get("resource").is_some() {
                    self.error(IssueType::Required, entry, "Bundle_BUNDLE_Entry_NoFullUrl", || {
                        "An entry needs a fullUrl here, so that others can refer to it.".to_owned()
                    });
                }
                continue;
            };
            let version = entry
                .get("resource")
                .and_then(|resource| resource.get("meta")?.get("versionId")?.value())
                .map(std::borrow::Cow::into_owned);
            if seen.insert((url.to_string(), version), ()).is_some() {
                self.error(IssueType::Duplicate, entry, "", || {
                    format!("Two entries have the fullUrl '{}'.", excerpt(&url))
                });
            }
        }
    }
}
