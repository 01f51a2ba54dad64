//! An expansion written for the test alone: over the packages' JSON, whole systems as lists, every rule by looking at
//! every concept. Slow and short.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// System and code.
pub type Codes = BTreeSet<(String, String)>;

pub struct Naive {
    systems: BTreeMap<String, Value>,
    sets: BTreeMap<String, Value>,
}

/// A concept with the codes above it.
struct Concept<'v> {
    json: &'v Value,
    code: String,
    above: BTreeSet<String>,
}

fn text<'v>(json: &'v Value, name: &str) -> &'v str {
    json[name].as_str().unwrap_or_default()
}

fn list<'v>(json: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    json[name].as_array().into_iter().flatten()
}

impl Naive {
    pub fn new(files: impl Iterator<Item = Vec<u8>>) -> Naive {
        let mut naive = Naive { systems: BTreeMap::new(), sets: BTreeMap::new() };
        for file in files {
            let Ok(json) = serde_json::from_slice::<Value>(&file) else { continue };
            let url = text(&json, "url").to_owned();
            match text(&json, "resourceType") {
                "CodeSystem" => naive.systems.insert(url, json),
                "ValueSet" => naive.sets.insert(url, json),
                _ => None,
            };
        }
        naive
    }

    pub fn urls(&self) -> impl Iterator<Item = &str> {
        self.sets.keys().map(String::as_str)
    }

    /// The codes of a value set; `None` when the packages don't have what it is made of.
    pub fn expand(&self, canonical: &str) -> Option<Codes> {
        let (url, version) = canonical.split_once('|').map_or((canonical, None), |(a, b)| (a, Some(b)));
        let set = self.sets.get(url).filter(|set| version.is_none_or(|it| text(set, "version") == it))?;
        let compose = &set["compose"];
        let parts = |name| list(compose, name).map(|part| self.part(part)).collect::<Option<Vec<_>>>();
        let included: Codes = parts("include")?.into_iter().flatten().collect();
        let excluded: Codes = parts("exclude")?.into_iter().flatten().collect();
        Some(included.difference(&excluded).cloned().collect())
    }

    fn part(&self, part: &Value) -> Option<Codes> {
        let mut sets = list(part, "valueSet").map(|it| self.expand(it.as_str().unwrap_or_default()));
        if part["system"].is_null() {
            let first = sets.next()??;
            return sets.try_fold(first, |all, set| Some(all.intersection(&set?).cloned().collect()));
        }
        let system = text(part, "system");
        let codes: Vec<String> = match part["concept"].is_array() {
            true => list(part, "concept").map(|it| text(it, "code").to_owned()).collect(),
            false => self.filtered(system, part)?,
        };
        let own = codes.into_iter().map(|code| (system.to_owned(), code)).collect();
        sets.try_fold(own, |all: Codes, set| Some(all.intersection(&set?).cloned().collect()))
    }

    fn filtered(&self, system: &str, part: &Value) -> Option<Vec<String>> {
        let json = self.systems.get(system).filter(|it| text(it, "content") == "complete")?;
        if part["version"].is_string() && part["version"] != json["version"] {
            return None;
        }
        let mut concepts = Vec::new();
        collect(json, None, &mut concepts);
        let codes = |concept: &Concept, name: &str| -> Vec<String> {
            let values = list(concept.json, "property").filter(|property| property["code"] == name);
            values.map(|property| text(property, "valueCode").to_owned()).collect()
        };
        let children: Vec<(String, String)> = concepts
            .iter()
            .flat_map(|it| codes(it, "child").into_iter().map(|child| (it.code.clone(), child)))
            .collect();
        for concept in &mut concepts {
            let above = children.iter().filter(|(_, child)| *child == concept.code);
            let more = codes(concept, "subsumedBy");
            concept.above.extend(above.map(|(parent, _)| parent.clone()));
            concept.above.extend(more);
        }
        // What is above what is above, until there is nothing new.
        loop {
            let known: BTreeMap<String, BTreeSet<String>> =
                concepts.iter().map(|it| (it.code.clone(), it.above.clone())).collect();
            for concept in &mut concepts {
                let more: Vec<String> =
                    concept.above.iter().filter_map(|it| known.get(it)).flatten().cloned().collect();
                concept.above.extend(more);
            }
            if concepts.iter().all(|it| known.get(&it.code) == Some(&it.above)) {
                break;
            }
        }
        let passes = |concept: &&Concept| list(part, "filter").all(|filter| passes(concept, filter));
        Some(concepts.iter().filter(passes).map(|it| it.code.clone()).collect())
    }
}

fn collect<'v>(json: &'v Value, parent: Option<&str>, out: &mut Vec<Concept<'v>>) {
    for nested in list(json, "concept") {
        let code = text(nested, "code").to_owned();
        out.push(Concept {
            json: nested,
            code: code.clone(),
            above: parent.map(str::to_owned).into_iter().collect(),
        });
        collect(nested, Some(&code), out);
    }
}

fn passes(concept: &Concept, filter: &Value) -> bool {
    let (property, value) = (text(filter, "property"), text(filter, "value"));
    let values: Vec<String> = match property {
        "code" | "concept" => vec![concept.code.clone()],
        name => {
            let own = list(concept.json, "property").filter(|it| it["code"] == name);
            let shown = |it: &Value| {
                let value =
                    it.as_object().unwrap().iter().find(|(name, _)| name.starts_with("value")).unwrap().1;
                value.as_str().map_or_else(|| value.to_string(), str::to_owned)
            };
            own.map(shown).collect()
        }
    };
    match text(filter, "op") {
        "is-a" => concept.code == value || concept.above.contains(value),
        "descendent-of" => concept.above.contains(value),
        "is-not-a" => concept.code != value && !concept.above.contains(value),
        "=" => values.iter().any(|it| it == value),
        #[allow(clippy::panic)] // no value set may pass by this expansion unnoticed
        other => panic!("no value set of the packages that can be expanded uses {other}"),
    }
}
