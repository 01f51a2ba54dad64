//! Extensions (<https://hl7.org/fhir/R4/extensibility.html>): known, where they may stand, what they hold.

use fhirpath::schema::{Schema, TypeId};
use fhirpath::{Element, IssueType, Severity};

use super::profile::Profile;
use super::walk::Walk;

const CORE: &str = "http://hl7.org/fhir/StructureDefinition/";
/// Extensions of R4 with where else they stand.
const CORRECTED: [(&str, &str); 3] = [
    ("structuredefinition-fhir-type", "ElementDefinition.type"),
    ("regex", "ElementDefinition.type"),
    ("structuredefinition-normative-version", "ElementDefinition"),
];

impl<'w> Walk<'w> {
    /// An extension, among the modifiers or not.
    pub fn extension(&mut self, extension: Element<'w>, is_modifier: bool) {
        let has_value = extension.get("value").is_some();
        let has_extensions = extension.get("extension").is_some();
        if has_value == has_extensions {
            let id = "http://hl7.org/fhir/StructureDefinition/Extension#ext-1";
            self.error(IssueType::Invariant, extension, id, || {
                "ext-1: an extension has either a value or extensions.".to_owned()
            });
        }
        if let Some(url) = extension.get("url").and_then(Element::value) {
            let is_nested = self.stack.last().is_some_and(|parent| parent.type_name() == "Extension");
            self.defined(extension, &url, is_modifier, is_nested);
        }
        self.content(extension);
    }

    fn defined(&mut self, extension: Element<'w>, url: &str, is_modifier: bool, is_nested: bool) {
        if !url.contains(':') {
            // Of the parts of an extension, its own definition speaks.
            if !is_nested {
                self.error(IssueType::Invalid, extension, "Extension_EXT_URL_Absolute", || {
                    format!("The url of an extension must be absolute, and '{}' is not.", excerpt(url))
                });
            }
            return;
        }
        match self.v.profile(url) {
            Ok(Some(profile)) if self.v.shared.schema.type_name(profile.type_id) == "Extension" => {
                self.modifies(extension, &profile, is_modifier);
                self.context(extension, &profile);
                self.profile(extension, &profile);
            }
            Ok(Some(_)) => self.error(IssueType::Extension, extension, "", || {
                format!("{url} is the definition of something else than an extension.")
            }),
            Ok(None) => {
                let severity = if is_modifier { Severity::Warning } else { Severity::Information };
                self.tell(severity, IssueType::Extension, extension, "Extension_EXT_Unknown", || {
                    format!("The extension {url} was not checked: it is not known here.")
                });
            }
            Err(error) => self.error(IssueType::Extension, extension, "", || {
                format!("The extension cannot be checked: {error}.")
            }),
        }
    }

    fn modifies(&mut self, extension: Element<'w>, profile: &Profile, is_modifier: bool) {
        if profile.is_modifier && !is_modifier {
            self.error(IssueType::Extension, extension, "Extension_EXT_Modifier_N", || {
                format!(
                    "{} changes the meaning of what it stands in, and must be a modifierExtension.",
                    profile.url
                )
            });
        }
        if is_modifier && !profile.is_modifier {
            self.error(IssueType::Extension, extension, "Extension_EXT_Modifier_Y", || {
                format!("{} is no modifier, and must be an extension.", profile.url)
            });
        }
    }

    /// Whether it may stand where it does.
    fn context(&mut self, extension: Element<'w>, profile: &Profile) {
        let Some(&parent) = self.stack.last() else { return };
        let mut is_told = profile.context.is_empty() || self.is_corrected(parent, &profile.url);
        for context in &profile.context {
            is_told |= match context.kind.as_str() {
                "element" => self.is_at(parent, &context.expression),
                "extension" => {
                    let url = parent.get("url").and_then(Element::value);
                    parent.type_name() == "Extension"
                        && url.is_some_and(|url| {
                            let wanted = context
                                .expression
                                .rsplit_once('#')
                                .map_or(context.expression.as_str(), |it| it.0);
                            url == context.expression || url == wanted
                        })
                }
                "fhirpath" => self.is_selected(parent, &context.expression),
                _ => false,
            };
            if is_told {
                break;
            }
        }
        if !is_told {
            let wanted: Vec<&str> = profile.context.iter().map(|it| it.expression.as_str()).collect();
            self.error(IssueType::Structure, extension, "Extension_EXTP_Context_Wrong", || {
                format!("{} must not stand here, only in {}.", profile.url, wanted.join(", "))
            });
            return;
        }
        for invariant in &profile.context_invariants {
            self.invariant(parent, invariant);
        }
    }

    /// Whether R4's own definitions put an extension where its definition does not have it; later versions correct that.
    fn is_corrected(&self, parent: Element<'w>, url: &str) -> bool {
        let known = CORRECTED.iter().filter(|(name, _)| url.strip_prefix(CORE) == Some(name));
        known.into_iter().any(|(_, path)| self.is_at(parent, path))
    }

    /// Whether an element is what a path of a type leads to: `Patient.contact`, `HumanName.family`, `Element`.
    fn is_at(&self, element: Element<'w>, path: &str) -> bool {
        let path = path.split('|').next().unwrap_or(path);
        // Resources too: R4 means any place at all.
        if path == "Element" {
            return true;
        }
        let path = path.strip_prefix("http://hl7.org/fhir/StructureDefinition/").unwrap_or(path);
        let path = path.split_once('#').map_or(path, |(_, path)| path);
        let schema = &self.v.shared.schema;
        // The longest beginning that names a type is tried first: `Questionnaire.item` is one.
        let mut end = path.len();
        loop {
            let (Some(name), Some(rest)) = (path.get(..end), path.get(end..)) else { return false };
            if let Some(id) = schema.type_id(name)
                && self.leads_to(element, schema, id, rest.trim_start_matches('.'))
            {
                return true;
            }
            match name.rfind('.') {
                Some(dot) => end = dot,
                None => return false,
            }
        }
    }

    /// Whether names lead from an ancestor of a type to the element.
    fn leads_to(&self, element: Element<'w>, schema: &Schema, id: TypeId, names: &str) -> bool {
        let mut at = self.stack.len();
        // The element itself is the last of the stack.
        let mut found = element;
        for name in names.rsplit('.').filter(|name| !name.is_empty()) {
            let name = name.trim_end_matches("[x]");
            if found.name() != name && found.json_name() != name {
                return false;
            }
            at = match at.checked_sub(1) {
                Some(at) if at > 0 => at,
                _ => return false,
            };
            match self.stack.get(at - 1) {
                Some(parent) => found = *parent,
                None => return false,
            }
        }
        schema.is_subtype(found.type_id(), id)
    }

    /// Whether an expression over the resource selects the element.
    fn is_selected(&self, element: Element<'w>, expression: &str) -> bool {
        use fhirpath::expression::{Dialect, Expression, Item};
        let resource = self.stack.iter().rev().find(|it| it.is_resource()).copied().unwrap_or(self.root);
        let schema = &self.v.shared.schema;
        let Ok(program) = Expression::compile_as(schema, resource.type_name(), expression, Dialect::Standard)
        else {
            return false;
        };
        let mut found = Vec::new();
        let done = program.evaluate_in(resource, &self.environment, &mut found);
        done.is_ok() && found.iter().filter_map(Item::element).any(|it| it == element)
    }
}

/// The few characters of an input that show a fault.
pub(super) fn excerpt(text: &str) -> String {
    text.chars().take(60).flat_map(char::escape_debug).collect()
}
