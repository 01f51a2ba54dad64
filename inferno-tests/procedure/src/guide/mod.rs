//! US Core as the kit reads it: the profiles that a server must have, their searches and their must-support elements, from the
//! packages of the guide (<https://hl7.org/fhir/us/core/>). Everything that a version asks is found here at run time; nothing
//! is written down by profile but the kit's own exceptions, in `corrections`.

mod codes;
mod corrections;
mod must_support;
mod package;
mod search;

use std::path::Path;

use serde_json::{Value, json};

use crate::http::{Wrong, text};
use crate::navigation::list;
use codes::Codes;
use must_support::{Definition, path, types};
pub(crate) use must_support::{Discriminator, MustSupport, Supported};
pub(crate) use search::{Parameter, Search};

/// Resources that hang on others: found by references, not by searches of a patient.
const REFERRED: &[&str] =
    &["Organization", "Practitioner", "PractitionerRole", "Provenance", "RelatedPerson"];
/// Profiles that others are built on, and those that the criterion leaves out.
const LEFT_OUT: &[&str] = &[
    "us-core-observation-survey",
    "us-core-vital-signs",
    "us-core-simple-observation",
    "us-core-observation-sexual-orientation",
];
/// Resources that a server need not have.
const OPTIONAL: &[&str] = &["PractitionerRole", "QuestionnaireResponse"];
/// Types of which the kit asks several profiles.
const SEVERAL: &[&str] = &["Condition", "DiagnosticReport", "Observation", "DocumentReference"];
/// Profiles that are first searched by category: more than one code is theirs.
const BY_CATEGORY: &[&str] = &[
    "us-core-careplan",
    "us-core-diagnosticreport-lab",
    "us-core-diagnosticreport-note",
    "us-core-observation-clinical-result",
    "us-core-observation-lab",
    "us-core-observation-screening-assessment",
    "us-core-condition-encounter-diagnosis",
    "us-core-condition-problems-health-concerns",
];

/// A version of US Core.
#[derive(Debug)]
pub struct Guide {
    /// `6.1.0`
    pub version: String,
    pub(crate) profiles: Vec<Profile>,
}

/// A profile that a server must have.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    pub url: String,
    pub version: String,
    /// Its resource type.
    pub kind: String,
    /// What the kit's ids call it: `blood_pressure`.
    pub name: String,
    /// The first one finds what the other tests work with.
    pub searches: Vec<Search>,
    /// Those of the searches that have to be passed.
    pub demanded: Vec<Search>,
    pub parameters: Vec<Parameter>,
    pub has_provenance: bool,
    pub must: MustSupport,
    /// Found by references in others.
    pub is_referred: bool,
    /// A server need not have it.
    pub is_optional: bool,
    /// Elements that refer to resources which are found by references alone.
    pub refers: Vec<Refers>,
}

/// An element that refers to resources which are found by references alone.
#[derive(Debug, Clone)]
pub(crate) struct Refers {
    pub path: String,
    pub kinds: Vec<String>,
}

impl Guide {
    /// Reads the guide's package and that of FHIR R4, whose value sets it uses.
    ///
    /// # Errors
    /// A package that cannot be read, or lacks a server's CapabilityStatement or what that names.
    pub fn read(package: &Path, core: &Path) -> Result<Guide, Wrong> {
        let mut codes = Codes::default();
        let kinds =
            ["CapabilityStatement", "StructureDefinition", "SearchParameter", "ValueSet", "CodeSystem"];
        codes.guide.add(package, &kinds)?;
        codes.core.add(core, &["ValueSet", "CodeSystem"])?;
        let missing = |what: &str| Wrong(format!("{} has no {what}", package.display()));
        let server = codes.guide.get("CapabilityStatement", "us-core-server");
        let server = server.ok_or_else(|| missing("CapabilityStatement us-core-server"))?;
        let version = text(&server, "version").ok_or_else(|| missing("version"))?.to_owned();
        let parameters: Vec<Value> = codes.guide.of_type("SearchParameter").collect();
        let mut profiles = Vec::new();
        for capability in list(server.pointer("/rest/0/resource")) {
            for url in list(capability.get("supportedProfile")).into_iter().filter_map(Value::as_str) {
                let id = url.split('|').next().and_then(|url| url.rsplit('/').next()).unwrap_or_default();
                if LEFT_OUT.contains(&id) {
                    continue;
                }
                // Some are of other guides.
                let Some(json) = codes.guide.get("StructureDefinition", id) else { continue };
                profiles.extend(profile(&json, capability, &parameters, &codes));
            }
        }
        if version.starts_with("6.") {
            // No test is about Location before 7.0.0.
            profiles.retain(|one: &Profile| one.kind != "Location");
        }
        refer(&mut profiles, &codes);
        Ok(Guide { version, profiles })
    }

    /// `uscore6`: how the kit's table calls option sets with this version.
    pub fn option(&self) -> String {
        format!("uscore{}", self.version.split('.').next().unwrap_or_default())
    }

    /// `us_core_v610`: how the kit's ids begin.
    pub(crate) fn prefix(&self) -> String {
        format!("us_core_v{}", self.version.replace('.', ""))
    }

    /// The profile of a name in the kit's ids.
    pub(crate) fn named(&self, name: &str) -> Option<&Profile> {
        self.profiles.iter().find(|one| one.name == name)
    }
}

fn profile(json: &Value, capability: &Value, parameters: &[Value], codes: &Codes) -> Option<Profile> {
    let kind = text(capability, "type")?;
    let elements = list(json.pointer("/snapshot/element"));
    let definition = Definition { json, kind, elements, codes };
    let must = definition.must_support();
    let mut searches = search::searches(capability);
    let names: Vec<&String> = searches.iter().flat_map(|one| &one.names).collect();
    let mut known: Vec<Parameter> = Vec::new();
    for name in names {
        if known.iter().any(|one| one.name == *name) {
            continue;
        }
        let found = search_parameter(parameters, kind, name).or_else(|| of_all_resources(name))?;
        known.push(corrections::parameter(definition.parameter(name, &found, &must), text(json, "id")?));
    }
    let by_patient =
        searches.iter().any(|one| one.required && one.names.iter().any(|name| name == "patient"));
    let is_referred = kind != "Patient" && (REFERRED.contains(&kind) || !by_patient);
    let id = text(json, "id")?;
    let first = first_search(id, kind);
    if let Some(at) = searches.iter().position(|one| one.names == first) {
        let search = searches.remove(at);
        searches.insert(0, search);
    }
    let is_demanded = |one: &&Search| one.required && definition.is_demanded(one, &known, &must);
    let demanded = searches.iter().filter(is_demanded).cloned().collect();
    let has_provenance =
        list(capability.get("searchRevInclude")).into_iter().any(|one| one == "Provenance:target");
    Some(Profile {
        url: text(json, "url")?.to_owned(),
        version: text(json, "version")?.to_owned(),
        kind: kind.to_owned(),
        name: name(id, kind),
        demanded,
        searches,
        parameters: known,
        has_provenance,
        must,
        is_referred,
        is_optional: OPTIONAL.contains(&kind),
        refers: Vec::new(),
    })
}

/// The guide's own, or the one of all resources.
fn search_parameter(all: &[Value], kind: &str, name: &str) -> Option<Value> {
    let id = format!("us-core-{}-{}", kind.to_ascii_lowercase(), name.trim_start_matches('_'));
    let own = all.iter().find(|one| text(one, "id") == Some(&id));
    own.or_else(|| all.iter().find(|one| text(one, "name") == Some(name))).cloned()
}

/// What FHIR itself defines for all resources, and the guide uses without a SearchParameter of its own.
fn of_all_resources(name: &str) -> Option<Value> {
    (name == "_lastUpdated").then(|| json!({"type": "date", "expression": "Resource.meta.lastUpdated"}))
}

fn first_search(id: &str, kind: &str) -> Vec<String> {
    let second = match kind {
        _ if BY_CATEGORY.contains(&id) => Some("category"),
        "Observation" => Some("code"),
        "MedicationRequest" => Some("intent"),
        "CareTeam" => Some("status"),
        _ => None,
    };
    std::iter::once("patient").chain(second).map(str::to_owned).collect()
}

/// What the kit's ids call a profile.
fn name(id: &str, kind: &str) -> String {
    if id == "head-occipital-frontal-circumference-percentile" {
        return "head_circumference_percentile".to_owned();
    }
    if SEVERAL.contains(&kind) {
        let name = id.strip_prefix("us-core-").unwrap_or(id).replace('-', "_");
        return name
            .replace("diagnosticreport", "diagnostic_report")
            .replace("documentreference", "document_reference");
    }
    crate::groups::snake(kind)
}

/// Finds the elements that refer to what is found by references alone.
fn refer(profiles: &mut [Profile], codes: &Codes) {
    let referred: Vec<(String, String)> = profiles
        .iter()
        .filter(|one| one.is_referred)
        .map(|one| (one.url.clone(), one.kind.clone()))
        .collect();
    for profile in profiles {
        let id = profile.url.rsplit('/').next().unwrap_or_default();
        let Some(json) = codes.guide.get("StructureDefinition", id) else { continue };
        for element in list(json.pointer("/snapshot/element")) {
            let first = types(element).first().copied().filter(|one| text(one, "code") == Some("Reference"));
            let targets = list(first.and_then(|one| one.get("targetProfile")));
            let is = |target: &&Value| {
                let target = target.as_str().and_then(|url| url.split('|').next());
                referred.iter().find(|(url, _)| target == Some(url))
            };
            let kinds: Vec<String> = targets.iter().filter_map(is).map(|(_, kind)| kind.clone()).collect();
            let own = path(element).split_once('.').map_or("", |(_, own)| own);
            if !kinds.is_empty() && !own.is_empty() {
                profile.refers.push(Refers { path: own.to_owned(), kinds });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test: an unexpected error should stop it
    use std::collections::BTreeSet;
    use std::io::Read;

    use super::Guide;
    use crate::KitTest;

    const TEST: &str = "searches that the kit demands";

    /// The searches that are found to be demanded are those that the kit has required tests for, no more and no fewer.
    fn check(package: &str, option: &str) {
        let Some(path) = testdata::path(TEST, &format!("packages/{package}")) else { return };
        let Some(core) = testdata::path(TEST, "packages/hl7.fhir.r4.core-4.0.1.tgz") else { return };
        let Some(kit) = testdata::path(TEST, "inferno/g10-tests.tsv.gz") else { return };
        let mut table = String::new();
        let file = std::fs::File::open(kit).unwrap();
        flate2::read::GzDecoder::new(file).read_to_string(&mut table).unwrap();
        let tests = KitTest::read(&table).unwrap();
        let is_search = |test: &&KitTest| {
            test.option_set.starts_with(option)
                && test.group.starts_with("g10_single_patient_api")
                && test.test.ends_with("_search_test")
                && !test.test.ends_with("provenance_revinclude_search_test")
        };
        let expected: BTreeSet<String> =
            tests.iter().filter(is_search).map(|test| test.test.clone()).collect();
        let guide = Guide::read(&path, &core).unwrap();
        // Of what is found by references, the kit searches Location alone.
        let searched = guide.profiles.iter().filter(|one| !one.is_referred || one.kind == "Location");
        let found: BTreeSet<String> = searched
            .filter(|one| !one.is_optional && one.kind != "Medication")
            .flat_map(|one| {
                let name = |names: &[String]| names.join("_").replace('-', "_");
                let test =
                    move |names: &[String]| format!("us_core_v610_{}_{}_search_test", one.name, name(names));
                one.demanded.iter().map(move |search| test(&search.names))
            })
            .collect();
        assert!(!expected.is_empty());
        assert_eq!(found, expected, "{package}");
    }

    #[test]
    fn us_core_610() {
        check("us_core_610.tgz", "uscore6");
    }

    #[test]
    fn us_core_700() {
        check("us_core_700.tgz", "uscore7");
    }
}
