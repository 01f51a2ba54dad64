//! Scopes of a part of a type's records (groups 9.14, 9.15, 9.23, 9.25, 9.26, 9.28 of the kit).

use serde_json::Value;

use super::{Plan, Run, STANDALONE_CAPABILITIES, discovery, granted, read, standalone::BEFORE};
use crate::browser::Scopes;
use crate::http::{Checked, Http, Wrong, ensure, text};
use crate::inputs::Inputs;
use crate::launch::Token;
use crate::report::Group;

const CONDITION: &str = "http://terminology.hl7.org/CodeSystem/condition-category";
const US_CORE_CONDITION: &str = "http://hl7.org/fhir/us/core/CodeSystem/condition-category";
const OBSERVATION: &str = "http://terminology.hl7.org/CodeSystem/observation-category";
const US_CORE: &str = "http://hl7.org/fhir/us/core/CodeSystem/us-core-category";

/// A category of a type: what may be granted of it.
type Category = (&'static str, &'static str, &'static str);

/// Both grants of the kit.
const GROUPS: [&[Category]; 2] = [
    &[
        ("Condition", CONDITION, "encounter-diagnosis"),
        ("Condition", US_CORE_CONDITION, "health-concern"),
        ("Observation", OBSERVATION, "laboratory"),
        ("Observation", OBSERVATION, "social-history"),
    ],
    &[
        ("Condition", CONDITION, "problem-list-item"),
        ("Observation", OBSERVATION, "vital-signs"),
        ("Observation", OBSERVATION, "survey"),
        ("Observation", US_CORE, "sdoh"),
    ],
];

fn scope((kind, system, code): &Category) -> String {
    format!("patient/{kind}.rs?category={system}|{code}")
}

/// Groups 9.14.1 and 9.14.2: each grant, compared with what a token for everything sees.
pub(super) async fn granular(run: &mut Run<'_>, full: Option<&Token>) {
    const TOP: &str = "g10_smart_fine_grained_scopes";
    for (number, categories) in (1..).zip(GROUPS) {
        let top = format!("{TOP}-Group0{number}");
        let Some(token) = launch(run, &top, categories).await else { continue };
        let (http, inputs) = (run.http.clone(), run.inputs);
        for (kind, name) in [("Condition", "condition"), ("Observation", "observation")] {
            let id = format!("{top}-us_core_v610_{name}_granular_scope_{number}_group");
            let mut group = run.report.group(&id);
            let Some(full) = full else {
                group.saw("baseline", Err::<(), _>(Wrong("there is no token for everything".to_owned())));
                continue;
            };
            let compared = Compared { http: &http, inputs, full, token: &token, kind, categories };
            compared.all(&mut group).await;
        }
    }
}

async fn launch(run: &mut Run<'_>, top: &str, categories: &[Category]) -> Option<Token> {
    let (http, inputs) = (run.http.clone(), run.inputs);
    let mut group = run.report.group(top);
    let mut found = group.within("us_core_smart_standalone_launch-smart_discovery");
    let endpoints = discovery(&http, inputs, &mut found, STANDALONE_CAPABILITIES).await?;
    let asked: Vec<String> = categories.iter().map(scope).collect();
    let plan =
        Plan::standalone(&inputs.confidential, format!("{BEFORE} patient/Patient.rs {}", asked.join(" ")));
    let id = format!("{top}-us_core_smart_standalone_launch-smart_standalone_launch");
    let launched = run.launch(&id, endpoints, &plan).await?;
    let received = launched.token.scopes();
    let missing: Vec<&String> = asked.iter().filter(|scope| !received.contains(&scope.as_str())).collect();
    let wide = received.iter().any(|scope| {
        let of = |kind: &str| scope.starts_with(&format!("patient/{kind}.")) && !scope.contains('?');
        of("Condition") || of("Observation") || of("*")
    });
    let fine = ensure(missing.is_empty() && !wide, || format!("granted is {received:?}"));
    run.report.group(&id).saw("us_core_granted_granular_scopes", fine);
    Some(launched.token)
}

/// What two tokens see.
struct Compared<'c> {
    http: &'c Http,
    inputs: &'c Inputs,
    full: &'c Token,
    token: &'c Token,
    kind: &'static str,
    categories: &'c [Category],
}

impl Compared<'_> {
    async fn all(&self, group: &mut Group<'_>) -> Option<()> {
        let kind = self.kind;
        let everything = self.search(self.full, "patient={}").await;
        let searches: &[(&str, &[&str])] = match kind {
            "Condition" => &[("patient", &["patient={}"]), ("patient_category", &["category"])],
            _ => &[
                ("patient_category", &["category"]),
                ("patient_code", &["code"]),
                ("patient_category_date", &["category", "date=ge1900-01-01"]),
            ],
        };
        let everything = match everything {
            Ok(all) if !all.is_empty() => all,
            Ok(_) => {
                let none = Wrong(format!("the patient has no {kind}"));
                return group.saw(&format!("us_core_v610_{kind}_granular_scope_read_test"), Err(none));
            }
            Err(wrong) => {
                return group.saw(&format!("us_core_v610_{kind}_granular_scope_read_test"), Err(wrong));
            }
        };
        for (name, parts) in searches {
            let found = self.same(parts, &everything).await;
            group.saw(&format!("us_core_v610_{kind}_{name}_granular_scope_search_test"), found);
        }
        let found = self.reads(&everything).await;
        group.saw(&format!("us_core_v610_{kind}_granular_scope_read_test"), found)
    }

    /// Refuses a search that sees less or more with the grant than what the grant is of.
    async fn same(&self, parts: &[&str], everything: &[Value]) -> Checked {
        let mut queries = vec![String::from("patient={}")];
        for part in parts {
            let values: Vec<String> = match *part {
                "category" => codes(everything, "category"),
                "code" => codes(everything, "code"),
                fixed => vec![fixed.to_owned()],
            };
            queries = queries
                .iter()
                .flat_map(|query| {
                    values.iter().map(move |value| match value.as_str() {
                        "patient={}" => query.clone(),
                        value => format!("{query}&{value}"),
                    })
                })
                .collect();
        }
        for query in queries {
            let all = self.search(self.full, &query).await?;
            let mut expected: Vec<&str> =
                all.iter().filter(|one| self.is_granted(one)).filter_map(id).collect();
            let seen = self.search(self.token, &query).await?;
            let mut found: Vec<&str> = seen.iter().filter_map(id).collect();
            expected.sort_unstable();
            found.sort_unstable();
            ensure(expected == found, || {
                format!("{}?{query}: {found:?} instead of {expected:?}", self.kind)
            })?;
        }
        Ok(())
    }

    /// Each category's first is read; one of none is not.
    async fn reads(&self, everything: &[Value]) -> Checked {
        let of_kind = self.categories.iter().filter(|(kind, ..)| *kind == self.kind);
        for (_, system, code) in of_kind {
            let found = everything.iter().find(|one| has(one, system, code)).and_then(id);
            let found = found.ok_or_else(|| Wrong(format!("the patient has no {} of {code}", self.kind)))?;
            read(self.http, self.inputs, self.token, self.kind, found).await?;
        }
        let other = everything.iter().find(|one| !self.is_granted(one)).and_then(id);
        let other = other.ok_or_else(|| Wrong(format!("the patient has no other {}", self.kind)))?;
        let read = read(self.http, self.inputs, self.token, self.kind, other).await;
        ensure(read.is_err(), || format!("{}/{other} is read, which is of no category granted", self.kind))
    }

    fn is_granted(&self, resource: &Value) -> bool {
        let of_kind = self.categories.iter().filter(|(kind, ..)| *kind == self.kind);
        of_kind.into_iter().any(|(_, system, code)| has(resource, system, code))
    }

    /// All that a search finds, page by page.
    async fn search(&self, token: &Token, query: &str) -> Checked<Vec<Value>> {
        let query = query.replace("{}", &self.inputs.patient).replace('|', "%7C");
        let mut url = Some(format!("{}/{}?{query}", self.inputs.base, self.kind));
        let (bearer, mut found) = (token.bearer(), Vec::new());
        while let Some(page) = url {
            let headers = [("authorization", bearer.as_str()), ("accept", "application/fhir+json")];
            let bundle = self.http.get(&page, &headers).await?.resource("Bundle")?;
            let entries = bundle.get("entry").and_then(Value::as_array).cloned().unwrap_or_default();
            let resources = entries.into_iter().filter_map(|entry| entry.get("resource").cloned());
            found.extend(resources.filter(|one| text(one, "resourceType") == Some(self.kind)));
            let links = bundle.get("link").and_then(Value::as_array);
            let next =
                links.and_then(|links| links.iter().find(|link| text(link, "relation") == Some("next")));
            url = next.and_then(|link| text(link, "url")).map(str::to_owned);
        }
        Ok(found)
    }
}

fn id(resource: &Value) -> Option<&str> {
    text(resource, "id")
}

/// The codings of an element that is one concept or several.
fn codings<'r>(resource: &'r Value, element: &str) -> Vec<&'r Value> {
    let concepts: Vec<&Value> = match resource.get(element) {
        Some(Value::Array(list)) => list.iter().collect(),
        Some(one) => vec![one],
        None => Vec::new(),
    };
    concepts.into_iter().filter_map(|one| one.get("coding").and_then(Value::as_array)).flatten().collect()
}

fn has(resource: &Value, system: &str, code: &str) -> bool {
    let is = |coding: &&Value| text(coding, "system") == Some(system) && text(coding, "code") == Some(code);
    codings(resource, "category").iter().any(is)
}

/// Searches for each code that an element has.
fn codes(resources: &[Value], element: &str) -> Vec<String> {
    let all = resources.iter().flat_map(|one| codings(one, element));
    let mut found: Vec<String> = all
        .filter_map(|coding| Some(format!("{element}={}|{}", text(coding, "system")?, text(coding, "code")?)))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Group 9.15: the app asks for whole types, and the user grants categories instead.
pub(super) async fn selection(run: &mut Run<'_>) -> Option<()> {
    const TOP: &str = "g10_smart_granular_scope_selection";
    let (http, inputs) = (run.http.clone(), run.inputs);
    let mut group = run.report.group(TOP);
    let mut found = group.within("smart_discovery");
    let endpoints = discovery(&http, inputs, &mut found, STANDALONE_CAPABILITIES).await?;
    let scopes = format!("{BEFORE} patient/Condition.rs patient/Observation.rs patient/Patient.rs");
    let mut plan = Plan::standalone(&inputs.confidential, scopes);
    let ticked: Vec<String> = GROUPS.iter().flat_map(|group| group.iter()).map(scope).collect();
    let clinical = "patient/Observation.rs?category=http://hl7.org/fhir/us/core/CodeSystem/us-core-clinical-test|clinical-test";
    let mut chosen: Vec<&str> = ticked.iter().map(String::as_str).collect();
    chosen.extend(["patient/Patient.rs", clinical]);
    plan.chosen = Scopes::Exactly(&chosen);
    let id = format!("{TOP}-g10_granular_scope_selection_v2_scopes");
    let launched = run.launch(&id, endpoints, &plan).await?;
    let mut group = run.report.group(&id);
    let needed = &["openid", "fhirUser", "launch/patient", "offline_access"];
    group.saw(
        "g10_smart_scopes",
        granted(&launched, "patient", needed, &["Patient", "Condition", "Observation"]),
    );
    let received = launched.token.scopes();
    let selected = ["Condition", "Observation"].iter().try_for_each(|kind| {
        let of_kind = received.iter().filter(|scope| scope.starts_with(&format!("patient/{kind}.")));
        let (parts, whole): (Vec<&&str>, Vec<_>) = of_kind.partition(|scope| scope.contains('?'));
        ensure(!parts.is_empty() && whole.is_empty(), || format!("granted of {kind}: {parts:?} {whole:?}"))
    });
    let selected = selected.and_then(|()| {
        ensure(received.contains(&"patient/Patient.rs"), || "patient/Patient.rs is not granted".to_owned())
    });
    group.saw("g10_smart_granular_scope_selection", selected)
}
