//! A profile's snapshot, as far as it says what is to be supported and where that stands in a resource.

use std::borrow::Cow;

use conformance::terminology::{CodeCheck, Terminology};
use fhirpath::expression::Coding;
use serde_json::Value;

const TYPE_MUST_SUPPORT: &str = "http://hl7.org/fhir/StructureDefinition/elementdefinition-type-must-support";
const USCDI: &str = "http://hl7.org/fhir/us/core/StructureDefinition/uscdi-requirement";

/// A StructureDefinition.
pub struct Profile {
    /// Its canonical URL.
    pub url: String,
    /// The one it is derived from.
    pub base: String,
    elements: Vec<Value>,
}

/// An element to support.
pub struct Element {
    /// Its id: `Observation.component:systolic.value[x]`.
    pub id: String,
    /// Those of its types that are to be supported, where only some are.
    pub types: Vec<String>,
    /// The profiles that references must be able to refer to.
    pub targets: Vec<String>,
}

/// Something in a resource.
pub struct Found<'r> {
    /// The value; null for a primitive that has nothing but extensions.
    pub value: &'r Value,
    /// The `_name` beside a primitive.
    beside: &'r Value,
    /// The name it stands under: `valueQuantity`.
    name: &'r str,
}

impl Found<'_> {
    /// Whether a choice is of a type.
    pub fn is_of_type(&self, kind: &str) -> bool {
        let mut capital = kind.to_owned();
        capital[..1].make_ascii_uppercase();
        self.name.ends_with(&capital)
    }
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn is_flagged(value: &Value, extension: &str) -> bool {
    list(value, "extension").iter().any(|it| text(it, "url") == extension && it["valueBoolean"] == true)
}

impl Profile {
    /// Of a StructureDefinition with a snapshot.
    pub fn read(definition: &Value) -> Profile {
        Profile {
            url: text(definition, "url").to_owned(),
            base: text(definition, "baseDefinition").to_owned(),
            elements: list(&definition["snapshot"], "element").to_vec(),
        }
    }

    /// All that is to be supported.
    pub fn must_support(&self) -> Vec<Element> {
        let asked = |element: &&Value| element["mustSupport"] == true || is_flagged(element, USCDI);
        // The server itself states when a resource was changed.
        let is_meta = |element: &&Value| text(element, "path").split('.').nth(1) == Some("meta");
        self.elements.iter().filter(asked).filter(|it| !is_meta(it)).map(Element::read).collect()
    }

    fn element(&self, id: &str) -> Option<&Value> {
        self.elements.iter().find(|element| text(element, "id") == id)
    }

    /// All values of an element in a resource.
    pub fn find<'r>(&self, resource: &'r Value, id: &str, terminology: &Terminology) -> Vec<Found<'r>> {
        let mut segments = id.split('.');
        let mut here = segments.next().unwrap().to_owned();
        let mut found = vec![Found { value: resource, beside: &Value::Null, name: "" }];
        for segment in segments {
            let (name, slice) = segment.split_once(':').map_or((segment, None), |(a, b)| (a, Some(b)));
            let parent = here.clone();
            here = format!("{here}.{segment}");
            let children = found.iter().flat_map(|it| children(it, name));
            found = match slice {
                None => children.collect(),
                Some(_) => {
                    let sliced = format!("{parent}.{name}");
                    children.filter(|it| self.is_in_slice(it, &sliced, &here, terminology)).collect()
                }
            };
        }
        found
    }

    fn is_in_slice(&self, found: &Found<'_>, sliced: &str, slice: &str, terminology: &Terminology) -> bool {
        let element = self.element(slice).unwrap_or_else(|| panic!("{} has no {slice}", self.url));
        if sliced.ends_with("extension") {
            let url = element["type"][0]["profile"][0].as_str().unwrap();
            return found.value["url"] == url;
        }
        // A slicing may stand in another slice than the one followed.
        let plain = sliced.split('.').map(|it| it.split(':').next().unwrap()).collect::<Vec<_>>().join(".");
        let slicing = self.element(sliced).or_else(|| self.element(&plain)).unwrap();
        let discriminators = list(&slicing["slicing"], "discriminator");
        assert!(!discriminators.is_empty(), "{}: {sliced} tells its slices apart by nothing", self.url);
        discriminators.iter().all(|discriminator| {
            let path = text(discriminator, "path");
            match text(discriminator, "type") {
                "type" => found.is_of_type(text(&element["type"][0], "code")),
                _ if path == "$this" => self.agrees(element, found.value, terminology),
                _ => self.agrees_at(slice, path, found, terminology),
            }
        })
    }

    /// Whether a value below a slice is what the profile says there, or in a pattern above.
    fn agrees_at(&self, slice: &str, path: &str, found: &Found<'_>, terminology: &Terminology) -> bool {
        let mut values = vec![Found { value: found.value, beside: found.beside, name: found.name }];
        let mut id = slice.to_owned();
        for name in path.split('.') {
            let element = self.element(&id).unwrap();
            if element.as_object().unwrap().keys().any(|key| key.starts_with("pattern")) {
                return values.iter().any(|it| self.agrees(element, it.value, terminology));
            }
            values = values.iter().flat_map(|it| children(it, name)).collect();
            id = format!("{id}.{name}");
        }
        let element = self.element(&id).unwrap_or_else(|| panic!("{} says nothing of {id}", self.url));
        values.iter().any(|it| self.agrees(element, it.value, terminology))
    }

    /// Whether a value is as an element has it: fixed, patterned, or of a required value set.
    fn agrees(&self, element: &Value, value: &Value, terminology: &Terminology) -> bool {
        let members = element.as_object().unwrap();
        let given = members.iter().find(|(key, _)| key.starts_with("fixed") || key.starts_with("pattern"));
        if let Some((_, pattern)) = given {
            return matches(pattern, value);
        }
        let binding = &element["binding"];
        assert_eq!(text(binding, "strength"), "required", "{} {}", self.url, text(element, "id"));
        let codings: Vec<Coding<'_>> = list(value, "coding")
            .iter()
            .map(|coding| Coding {
                system: Some(Cow::Borrowed(text(coding, "system"))),
                version: None,
                code: Cow::Borrowed(text(coding, "code")),
                display: None,
            })
            .collect();
        matches!(terminology.validate_code(text(binding, "valueSet"), &codings), CodeCheck::Valid { .. })
    }
}

impl Element {
    fn read(element: &Value) -> Element {
        let types = list(element, "type");
        let is_choice = text(element, "id").ends_with("[x]");
        let flagged = types.iter().filter(|it| is_choice && is_flagged(it, TYPE_MUST_SUPPORT));
        let targets = types.iter().flat_map(|kind| {
            let targets = list(kind, "targetProfile");
            let beside = list(kind, "_targetProfile");
            let only = targets.len() == 1 && kind["code"] == "Reference";
            targets.iter().enumerate().filter(move |(at, _)| {
                only || beside.get(*at).is_some_and(|it| is_flagged(it, TYPE_MUST_SUPPORT))
            })
        });
        Element {
            id: text(element, "id").to_owned(),
            types: flagged.map(|it| text(it, "code").to_owned()).collect(),
            targets: targets.map(|(_, target)| target.as_str().unwrap().to_owned()).collect(),
        }
    }
}

/// The values under a name, which may be a choice's (`value[x]`, or a discriminator's `value`).
fn children<'r>(found: &Found<'r>, name: &str) -> Vec<Found<'r>> {
    let parent = if found.value.is_object() { found.value } else { found.beside };
    let Some(members) = parent.as_object() else { return Vec::new() };
    let choice = name.strip_suffix("[x]");
    let is_it = |key: &str| match choice {
        None => key == name,
        Some(choice) => {
            let rest = key.strip_prefix(choice).and_then(|rest| rest.chars().next());
            rest.is_some_and(|first| first.is_ascii_uppercase())
        }
    };
    let mut all = Vec::new();
    for (key, value) in members {
        let plain = key.strip_prefix('_').unwrap_or(key);
        let has_value = plain != key && members.contains_key(plain);
        if !is_it(plain) || has_value {
            continue;
        }
        let beside = parent.get(format!("_{plain}")).unwrap_or(&Value::Null);
        match value {
            _ if plain != key => all.push(Found { value: &Value::Null, beside: value, name: plain }),
            Value::Array(items) => all.extend(items.iter().enumerate().map(|(at, value)| Found {
                value,
                beside: beside.get(at).unwrap_or(&Value::Null),
                name: plain,
            })),
            value => all.push(Found { value, beside, name: plain }),
        }
    }
    all
}

/// Whether a value has all that a pattern has.
fn matches(pattern: &Value, value: &Value) -> bool {
    match (pattern, value) {
        (Value::Object(pattern), Value::Object(value)) => {
            pattern.iter().all(|(name, pattern)| value.get(name).is_some_and(|value| matches(pattern, value)))
        }
        (Value::Array(patterns), Value::Array(values)) => {
            patterns.iter().all(|pattern| values.iter().any(|value| matches(pattern, value)))
        }
        (pattern, value) => pattern == value,
    }
}
