//! The elements that a profile says must be supported (<https://hl7.org/fhir/R4/conformance-rules.html#mustSupport>), and
//! those that US Core requires besides: what they are called and how they are found. What the kit leaves out or asks instead
//! stands in `corrections`.

use serde_json::Value;

use super::codes::Codes;
use super::corrections;
use crate::http::text;
use crate::navigation::list;

/// What must be seen in some resource of a profile.
#[derive(Debug, Clone, Default)]
pub(crate) struct MustSupport {
    pub extensions: Vec<Extension>,
    pub slices: Vec<Slice>,
    pub elements: Vec<Supported>,
    /// One of each will do.
    pub choices: Vec<Choice>,
}

/// An extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Extension {
    /// `Patient.extension:race`
    pub id: String,
    /// `extension`
    pub path: String,
    pub url: String,
}

/// A slice of a list.
#[derive(Debug, Clone)]
pub(crate) struct Slice {
    /// `Observation.component:systolic`
    pub id: String,
    /// `systolic`
    pub name: String,
    /// `component`
    pub path: String,
    pub discriminator: Discriminator,
}

/// What tells the members of a slice.
#[derive(Debug, Clone)]
pub(crate) enum Discriminator {
    Type { path: String, name: String },
    Concept { path: String, system: String, code: String },
    Coding { path: String, system: String, code: String },
    Identifier { path: String, system: String },
    Values(Vec<(String, String)>),
    Binding { path: String, codes: Vec<(String, String)> },
}

/// An element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Supported {
    /// `effectiveDateTime`
    pub path: String,
    /// `effective[x]`, where only some types of a choice must be supported.
    pub original: Option<String>,
    /// It is a reference.
    pub is_reference: bool,
    /// The profiles that it must be able to refer to.
    pub targets: Vec<String>,
    /// Only this value counts.
    pub fixed: Option<String>,
}

/// Several of which one must be seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Choice {
    pub paths: Vec<&'static str>,
    pub extensions: Vec<&'static str>,
    pub targets: Vec<String>,
}

/// A StructureDefinition as this module reads it.
pub(super) struct Definition<'d> {
    pub json: &'d Value,
    pub kind: &'d str,
    pub elements: Vec<&'d Value>,
    pub codes: &'d Codes,
}

impl Definition<'_> {
    pub fn must_support(&self) -> MustSupport {
        let asked: Vec<&Value> = self.elements.iter().copied().filter(|one| is_asked(one)).collect();
        let is_extension = |one: &Value| path(one).ends_with("extension");
        let (extensions, others): (Vec<&Value>, Vec<&Value>) =
            asked.into_iter().partition(|one| is_extension(one));
        let (slices, plain): (Vec<&Value>, Vec<&Value>) =
            others.into_iter().partition(|one| one.get("sliceName").is_some());
        let mut must = MustSupport {
            extensions: extensions.iter().filter_map(|one| self.extension(one)).collect(),
            slices: slices.iter().filter_map(|one| self.slice(one)).collect(),
            elements: Vec::new(),
            choices: Vec::new(),
        };
        for element in plain {
            self.element(element, &slices, &mut must.elements);
        }
        corrections::correct(self, &mut must);
        must
    }

    fn extension(&self, element: &Value) -> Option<Extension> {
        let url = types(element).first().and_then(|one| list(one.get("profile")).first().copied());
        let url = url.and_then(Value::as_str)?.split('|').next()?.to_owned();
        Some(Extension { id: id(element).to_owned(), path: self.relative(path(element)), url })
    }

    fn relative(&self, path: &str) -> String {
        path.strip_prefix(self.kind).and_then(|rest| rest.strip_prefix('.')).unwrap_or(path).to_owned()
    }

    /// The element that a slice is of.
    fn sliced(&self, slice: &Value) -> Option<&Value> {
        let name = text(slice, "sliceName")?;
        let without = id(slice).replacen(&format!(":{name}"), "", 1);
        self.elements.iter().copied().find(|one| id(one) == path(slice) || id(one) == without)
    }

    fn slice(&self, element: &Value) -> Option<Slice> {
        let discriminators = list(self.sliced(element)?.get("slicing")?.get("discriminator"));
        let first = discriminators.first()?;
        let discriminator = match text(first, "type")? {
            "type" => {
                let at = own_path(first);
                let id = format!("{}.{at}", id(element));
                let typed = match at {
                    "" => Some(element),
                    _ => self.elements.iter().copied().find(|one| self::id(one) == id),
                };
                let name = text(types(typed?).first()?, "code")?;
                Discriminator::Type { path: at.to_owned(), name: capitalised(name) }
            }
            "value" | "pattern" => self.by_value(element, &discriminators)?,
            _ => return None,
        };
        Some(Slice {
            id: id(element).to_owned(),
            name: text(element, "sliceName")?.to_owned(),
            path: self.relative(path(element)),
            discriminator,
        })
    }

    fn by_value(&self, element: &Value, discriminators: &[&Value]) -> Option<Discriminator> {
        let (mut fixed, mut pattern) = (Vec::new(), None);
        for discriminator in discriminators {
            let at = own_path(discriminator);
            let target = format!("{}.{at}", path(element));
            let inside = |one: &&&Value| id(one).starts_with(id(element)) && path(one) == target;
            let tells = match at {
                "" => element,
                _ => self.elements.iter().find(inside).copied()?,
            };
            match text(tells, "fixedUri").or_else(|| text(tells, "fixedCode")) {
                Some(value) => fixed.push((at.to_owned(), value.to_owned())),
                None => pattern = self.by_pattern(tells, at),
            }
        }
        if fixed.is_empty() { pattern } else { Some(Discriminator::Values(fixed)) }
    }

    fn by_pattern(&self, element: &Value, at: &str) -> Option<Discriminator> {
        let path = at.to_owned();
        let own = |json: &Value, name: &str| text(json, name).unwrap_or_default().to_owned();
        if let Some(concept) = element.get("patternCodeableConcept") {
            let coding = concept.get("coding").and_then(|all| all.get(0))?;
            return Some(Discriminator::Concept {
                path,
                system: own(coding, "system"),
                code: own(coding, "code"),
            });
        }
        if let Some(coding) = element.get("patternCoding") {
            return Some(Discriminator::Coding {
                path,
                system: own(coding, "system"),
                code: own(coding, "code"),
            });
        }
        if let Some(identifier) = element.get("patternIdentifier") {
            return Some(Discriminator::Identifier { path, system: own(identifier, "system") });
        }
        let is_required = element.pointer("/binding/strength").and_then(Value::as_str) == Some("required");
        is_required.then(|| Discriminator::Binding { path, codes: self.codes.of_binding(element) })
    }

    fn element(&self, element: &Value, slices: &[&Value], out: &mut Vec<Supported>) {
        let own = id(element);
        if own.contains(':') && !own.contains("extension") {
            let after = own.split_once(':').map_or("", |(_, after)| after);
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
            let name = after.get(..end).unwrap_or_default();
            if !slices.iter().any(|slice| text(slice, "sliceName") == Some(name)) {
                return;
            }
        }
        let mut path = self.relative(own);
        let by_type: Vec<Supported> = types(element)
            .iter()
            .filter(|one| is_marked(one))
            .filter_map(|one| by_type(one, &path))
            .collect();
        if !by_type.is_empty() {
            out.extend(by_type);
            return;
        }
        let mut original = None;
        let within = out.iter().find(|one| one.original.as_deref().is_some_and(|known| path.contains(known)));
        if let Some((known, typed)) = within.and_then(|one| Some((one.original.clone()?, one.path.clone()))) {
            original = Some(path.clone());
            path = path.replacen(&known, &typed, 1);
        }
        let all = types(element);
        let is_reference = |one: &&Value| text(one, "code") == Some("Reference");
        let mut found = Supported {
            path,
            original,
            is_reference: all.iter().any(&is_reference),
            targets: all.first().copied().filter(is_reference).map(targets).unwrap_or_default(),
            fixed: None,
        };
        let in_slice = slices.iter().any(|slice| own.contains(id(slice)));
        fix(element, in_slice, &mut found);
        if !out.contains(&found) {
            out.push(found);
        }
    }
}

/// Takes the value that an element is fixed to.
fn fix(element: &Value, in_slice: bool, found: &mut Supported) {
    if let Some(uri) = text(element, "fixedUri") {
        found.fixed = Some(uri.to_owned());
    } else if let Some(code) = element.pointer("/patternCodeableConcept/coding/0/code").filter(|_| !in_slice)
    {
        found.fixed = code.as_str().map(str::to_owned);
        found.path.push_str(".coding.code");
    } else if let Some(code) = text(element, "fixedCode") {
        found.fixed = Some(code.to_owned());
    } else if let Some(system) = element.pointer("/patternIdentifier/system").filter(|_| !in_slice) {
        found.fixed = system.as_str().map(str::to_owned);
        found.path.push_str(".system");
    }
}

fn by_type(one: &Value, path: &str) -> Option<Supported> {
    let code = text(one, "code")?;
    let is_reference = code == "Reference";
    Some(Supported {
        path: format!("{}{}", path.strip_suffix("[x]").unwrap_or(path), capitalised(code)),
        original: Some(path.to_owned()),
        is_reference,
        targets: if is_reference { targets(one) } else { Vec::new() },
        fixed: None,
    })
}

/// The profiles that a reference must be able to be to: the one, or those marked. FHIR's own say nothing more than a type.
fn targets(one: &Value) -> Vec<String> {
    let all: Vec<&str> = list(one.get("targetProfile")).into_iter().filter_map(Value::as_str).collect();
    let marks = one.get("_targetProfile").and_then(Value::as_array);
    let is_marked_at = |at: usize| marks.and_then(|marks| marks.get(at)).is_some_and(is_marked);
    let asked: Vec<&str> = match all.as_slice() {
        [one] => vec![one],
        all => {
            all.iter().enumerate().filter(|(at, _)| is_marked_at(*at)).map(|(_, profile)| *profile).collect()
        }
    };
    let plain = asked.into_iter().map(|url| url.split('|').next().unwrap_or_default());
    let own = plain.filter(|url| !url.starts_with("http://hl7.org/fhir/StructureDefinition"));
    own.map(str::to_owned).collect()
}

fn is_marked(json: &Value) -> bool {
    const MARK: &str = "http://hl7.org/fhir/StructureDefinition/elementdefinition-type-must-support";
    has_extension(json, MARK)
}

fn has_extension(json: &Value, url: &str) -> bool {
    let holds = |one: &Value| one.get("valueBoolean").and_then(Value::as_bool) == Some(true);
    list(json.get("extension")).into_iter().any(|one| text(one, "url") == Some(url) && holds(one))
}

fn is_asked(element: &Value) -> bool {
    const REQUIRED: &str = "http://hl7.org/fhir/us/core/StructureDefinition/uscdi-requirement";
    element.get("mustSupport").and_then(Value::as_bool) == Some(true) || has_extension(element, REQUIRED)
}

/// The path of a discriminator: `$this` is the element itself.
fn own_path(discriminator: &Value) -> &str {
    text(discriminator, "path").filter(|path| *path != "$this").unwrap_or_default()
}

pub(super) fn id(element: &Value) -> &str {
    text(element, "id").unwrap_or_default()
}

pub(super) fn path(element: &Value) -> &str {
    text(element, "path").unwrap_or_default()
}

pub(super) fn types(element: &Value) -> Vec<&Value> {
    list(element.get("type"))
}

/// The word with its first letter in upper case.
pub(super) fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
