//! `$translate` (<https://hl7.org/fhir/R4/conceptmap-operation-translate.html>): what concept maps make of a code.

use serde_json::{Value, json};

use super::Terminology;
use super::model::{Code, ConceptMap, MapDependency, MapGroup, MapTarget};
use super::operation::OperationError;
use super::parameters::{Answer, Parameters, coding_or_code};
use super::resolve::split_canonical;

type Result<T, E = OperationError> = std::result::Result<T, E>;

/// Longest chain of maps that leave unmapped codes to another.
const MAX_MAPS: usize = 10;
/// Most matches of an answer.
const MAX_MATCHES: usize = 10_000;

/// Codes to translate, and by what.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TranslateRequest {
    /// Canonical of the map; without one those of the library whose source and target fit.
    pub url: Option<String>,
    /// The map, handed in, or the instance that the operation is called on.
    pub map: Option<Box<ConceptMap>>,
    /// The codings of one concept.
    pub codings: Vec<Code>,
    /// Value set that the codes come from.
    pub source: Option<String>,
    /// Value set that they should be mapped to.
    pub target: Option<String>,
    /// Code system that they should be mapped to.
    pub target_system: Option<String>,
    /// Values of other elements: property and value.
    pub dependencies: Vec<(String, String)>,
    /// Whether to go from targets to sources.
    pub reverse: bool,
}

/// What concept maps make of a code.
#[derive(Debug, Clone, PartialEq)]
pub struct Translation {
    /// Whether there is a match that is one.
    pub result: bool,
    /// What is to be said, for people.
    pub message: Option<String>,
    /// The matches, those that say "no match" included.
    pub matches: Vec<Match>,
}

/// A mapping of a code.
#[derive(Debug, Clone, PartialEq)]
pub struct Match {
    /// How near it is to the code that is mapped.
    pub equivalence: String,
    /// What it is mapped to; none when there is nothing that it is mapped to.
    pub concept: Option<Code>,
    /// Values that the mapping gives other elements.
    pub products: Vec<MapDependency>,
    /// Canonical of the map.
    pub map: String,
}

impl TranslateRequest {
    /// Of the operation's parameters; `instance` is the map it is called on.
    ///
    /// # Errors
    /// A parameter that is missing, unknown, or not what it must be.
    pub fn read(mut parameters: Parameters, instance: Option<ConceptMap>) -> Result<TranslateRequest> {
        let url = parameters.text("url")?;
        let version = parameters.text("conceptMapVersion")?;
        let url = match (url, version) {
            (Some(url), Some(version)) => Some(format!("{url}|{version}")),
            (url, _) => url,
        };
        let given = parameters.resource("conceptMap", "ConceptMap")?;
        let missing = || OperationError::Parameter {
            name: "code".to_owned(),
            why: "or coding or codeableConcept is needed".to_owned(),
        };
        let codings = match parameters.codeable_concept("codeableConcept")? {
            Some(codings) => codings,
            None => vec![coding_or_code(&mut parameters, "coding", "code", "version")?.ok_or_else(missing)?],
        };
        let mut dependencies = Vec::new();
        for mut parts in parameters.parts("dependency")? {
            let element = parts.text("element")?;
            let concept = parts.codeable_concept("concept")?.unwrap_or_default();
            for code in concept {
                dependencies.push((element.clone().unwrap_or_default(), code.code.unwrap_or_default()));
            }
            parts.finish()?;
        }
        let request = TranslateRequest {
            url,
            map: instance.or(given).map(Box::new),
            codings,
            source: parameters.text("source")?,
            target: parameters.text("target")?,
            target_system: parameters.text("targetsystem")?,
            dependencies,
            reverse: parameters.boolean("reverse")?.unwrap_or(false),
        };
        parameters.finish()?;
        Ok(request)
    }
}

impl Terminology {
    /// What concept maps make of a code.
    ///
    /// # Errors
    /// The map is not here, or maps leave unmapped codes to one another without end.
    pub fn translate(&self, request: &TranslateRequest) -> Result<Translation> {
        let mut matches = Vec::new();
        let maps = self.maps(request)?;
        for map in &maps {
            for code in &request.codings {
                self.apply(map, code, request, 0, &mut matches)?;
            }
        }
        let result = matches.iter().any(Match::is_one);
        let message = (!result).then(|| match maps.is_empty() {
            true => "there is no concept map for these codes".to_owned(),
            false => "no mapping fits the codes".to_owned(),
        });
        Ok(Translation { result, message, matches })
    }

    fn maps(&self, request: &TranslateRequest) -> Result<Vec<ConceptMap>> {
        if let Some(map) = &request.map {
            return Ok(vec![(**map).clone()]);
        }
        if let Some(url) = &request.url {
            let map = self.definition(url)?.ok_or_else(|| OperationError::UnknownConceptMap(url.clone()))?;
            return Ok(vec![map]);
        }
        let fits = |wanted: &Option<String>, stated: &Option<String>| {
            let wanted = wanted.as_deref().map(|wanted| split_canonical(wanted).0);
            wanted.is_none_or(|wanted| stated.as_deref().is_some_and(|it| split_canonical(it).0 == wanted))
        };
        let (from, to) = match request.reverse {
            false => (&request.source, &request.target),
            true => (&request.target, &request.source),
        };
        let maps = self.library.all::<ConceptMap>();
        Ok(maps.filter(|map| fits(from, &map.source_uri) && fits(to, &map.target_uri)).collect())
    }

    fn apply(
        &self,
        map: &ConceptMap,
        code: &Code,
        request: &TranslateRequest,
        depth: usize,
        matches: &mut Vec<Match>,
    ) -> Result<()> {
        for group in &map.group {
            let (from, to) = match request.reverse {
                false => (&group.source, &group.target),
                true => (&group.target, &group.source),
            };
            let is_from = code.system.is_none() || code.system == *from;
            let is_to = request.target_system.is_none() || request.target_system == *to;
            if !is_from || !is_to {
                continue;
            }
            let before = matches.len();
            match request.reverse {
                false => forward(map, group, code, request, matches),
                true => backward(map, group, code, matches),
            }
            if matches.len() > MAX_MATCHES {
                let what = format!("the translation by {}", map.url);
                return Err(super::TerminologyError::TooCostly { what, limit: MAX_MATCHES }.into());
            }
            if matches.len() == before && !request.reverse {
                self.unmapped(map, group, code, request, depth, matches)?;
            }
        }
        Ok(())
    }

    /// What a group does with codes that it does not map.
    fn unmapped(
        &self,
        map: &ConceptMap,
        group: &MapGroup,
        code: &Code,
        request: &TranslateRequest,
        depth: usize,
        matches: &mut Vec<Match>,
    ) -> Result<()> {
        let Some(unmapped) = &group.unmapped else { return Ok(()) };
        let system = group.target.clone();
        let concept = match unmapped.mode.as_str() {
            "provided" => Code { system, version: None, ..code.clone() },
            "fixed" => {
                Code { system, version: None, code: unmapped.code.clone(), display: unmapped.display.clone() }
            }
            "other-map" => {
                let url = unmapped.url.clone().unwrap_or_default();
                if depth >= MAX_MAPS {
                    let what = format!("the chain of maps from {}", map.url);
                    return Err(super::TerminologyError::TooCostly { what, limit: MAX_MAPS }.into());
                }
                let other: ConceptMap =
                    self.definition(&url)?.ok_or(OperationError::UnknownConceptMap(url))?;
                return self.apply(&other, code, request, depth + 1, matches);
            }
            mode => {
                let why = format!("the mode {mode} of unmapped is none of R4's");
                let url = map.url.clone();
                let resource_type = "ConceptMap";
                return Err(super::TerminologyError::Definition { resource_type, url, why }.into());
            }
        };
        let equivalence = if unmapped.mode == "provided" { "equal" } else { "inexact" };
        let map = map.url.clone();
        matches.push(Match {
            equivalence: equivalence.to_owned(),
            concept: Some(concept),
            products: Vec::new(),
            map,
        });
        Ok(())
    }
}

fn forward(
    map: &ConceptMap,
    group: &MapGroup,
    code: &Code,
    request: &TranslateRequest,
    matches: &mut Vec<Match>,
) {
    for element in group.element.iter().filter(|element| element.code == code.code) {
        for target in element.target.iter().filter(|target| depends(target, request)) {
            let concept = target.code.as_ref().map(|code| Code {
                system: group.target.clone(),
                version: group.target_version.clone(),
                code: Some(code.clone()),
                display: target.display.clone(),
            });
            matches.push(Match {
                equivalence: target.equivalence.clone(),
                concept,
                products: target.product.clone(),
                map: map.url.clone(),
            });
        }
    }
}

fn backward(map: &ConceptMap, group: &MapGroup, code: &Code, matches: &mut Vec<Match>) {
    for element in &group.element {
        for target in element.target.iter().filter(|target| target.code.is_some() && target.code == code.code)
        {
            let concept = Code {
                system: group.source.clone(),
                version: group.source_version.clone(),
                code: element.code.clone(),
                display: element.display.clone(),
            };
            matches.push(Match {
                equivalence: reversed(&target.equivalence).to_owned(),
                concept: Some(concept),
                products: Vec::new(),
                map: map.url.clone(),
            });
        }
    }
}

/// Whether the request has what a mapping depends on.
fn depends(target: &MapTarget, request: &TranslateRequest) -> bool {
    let is_there = |needed: &MapDependency| {
        request
            .dependencies
            .iter()
            .any(|(property, value)| *property == needed.property && *value == needed.value)
    };
    target.depends_on.iter().all(is_there)
}

/// An equivalence, looked at from the other side.
fn reversed(equivalence: &str) -> &str {
    match equivalence {
        "wider" => "narrower",
        "narrower" => "wider",
        "subsumes" => "specializes",
        "specializes" => "subsumes",
        same => same,
    }
}

impl Match {
    /// Whether it says that there is one.
    fn is_one(&self) -> bool {
        self.concept.is_some() && !matches!(self.equivalence.as_str(), "unmatched" | "disjoint")
    }
}

impl Translation {
    /// The Parameters resource.
    pub fn to_json(&self) -> Vec<u8> {
        let mut answer = Answer::default();
        answer.add("result", "valueBoolean", self.result);
        answer.add_text("message", "valueString", self.message.as_deref());
        for found in &self.matches {
            let mut parts = Answer::default();
            parts.add("equivalence", "valueCode", found.equivalence.as_str());
            if let Some(concept) = &found.concept {
                parts.add("concept", "valueCoding", json!(concept));
            }
            for product in &found.products {
                let mut inner = Answer::default();
                inner.add("element", "valueUri", product.property.as_str());
                inner.add("concept", "valueCoding", product_coding(product));
                parts.add_parts("product", inner);
            }
            if !found.map.is_empty() {
                parts.add("source", "valueUri", found.map.as_str());
            }
            answer.add_parts("match", parts);
        }
        answer.into_json()
    }
}

fn product_coding(product: &MapDependency) -> Value {
    let coding = Code {
        system: product.system.clone(),
        version: None,
        code: Some(product.value.clone()),
        display: product.display.clone(),
    };
    json!(coding)
}
