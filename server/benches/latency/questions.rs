//! What is asked: for each kind of search some questions, made of the values that resources of the set have.

use std::collections::BTreeSet;

use serde_json::Value;

use super::data::Archives;

/// Questions of one kind, at most.
const QUESTIONS: usize = 200;
const UCUM: &str = "http://unitsofmeasure.org";
const LOINC: &str = "http://loinc.org";

/// One search.
#[derive(Debug, Clone)]
pub struct Question {
    pub resource_type: &'static str,
    pub parameters: Vec<(String, String)>,
}

impl Question {
    /// Whether this server may not have it.
    pub fn is_probe(&self) -> bool {
        self.parameters.iter().any(|(name, _)| name == "_content")
    }
}

/// Searches of one kind.
pub struct Row {
    pub name: &'static str,
    /// Whether few resources match, however many there are.
    pub selective: bool,
    pub page: usize,
    pub questions: Vec<Question>,
}

/// The resources of a type, some of them from all over.
fn some(archives: &Archives, name: &str) -> Vec<Value> {
    let lines = archives.lines(name);
    let step = 1 + lines.len() / 4_000;
    lines.iter().step_by(step).map(|line| serde_json::from_slice(line).expect("a resource")).collect()
}

fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer).and_then(Value::as_str)
}

/// Different texts, some of them.
fn different(all: impl Iterator<Item = String>) -> Vec<String> {
    let all: BTreeSet<String> = all.collect();
    let step = 1 + all.len() / QUESTIONS;
    all.into_iter().step_by(step).collect()
}

/// A row of searches that are written with `{}` in the place of each value.
fn row(
    name: &'static str,
    selective: bool,
    resource_type: &'static str,
    parameters: &str,
    values: &[String],
) -> Row {
    let question = |value: &String| {
        let written = parameters.split('&').chain(["_count=20"]).map(|parameter| {
            let (name, text) = parameter.split_once('=').expect("a parameter has a value");
            (name.to_owned(), text.replace("{}", value))
        });
        Question { resource_type, parameters: written.collect() }
    };
    Row { name, selective, page: 1, questions: values.iter().map(question).collect() }
}

/// All rows.
pub fn rows(archives: &Archives) -> Vec<Row> {
    let patients = some(archives, "Patient");
    let observations = some(archives, "Observation");
    let conditions = some(archives, "Condition");
    let of = |all: &[Value], pointer: &str| {
        different(all.iter().filter_map(|one| text(one, pointer)).map(str::to_owned))
    };
    let ids = of(&patients, "/id");
    let families = of(&patients, "/name/0/family");
    let prefixes = different(families.iter().map(|family| family.chars().take(4).collect()));
    let identifiers = different(patients.iter().filter_map(|patient| {
        Some(format!("{}|{}", text(patient, "/identifier/0/system")?, text(patient, "/identifier/0/value")?))
    }));
    let codes = of(&observations, "/code/coding/0/code");
    let conditions = of(&conditions, "/code/coding/0/code");
    let months = different(
        observations.iter().filter_map(|one| Some(text(one, "/effectiveDateTime")?.get(..7)?.to_owned())),
    );
    let moments = different(
        observations.iter().filter_map(|one| Some(text(one, "/effectiveDateTime")?.get(..10)?.to_owned())),
    );
    let quantity = |one: &Value| {
        let (value, unit) =
            (one.pointer("/valueQuantity/value")?.as_f64()?, text(one, "/valueQuantity/code")?);
        Some((format!("{value:.1}"), format!("{UCUM}|{unit}")))
    };
    let quantities =
        different(observations.iter().filter_map(quantity).map(|(value, unit)| format!("{value}|{unit}")));
    let composites = |prefix: &'static str| {
        different(observations.iter().filter_map(move |one| {
            let (value, unit) = quantity(one)?;
            Some(format!("{LOINC}|{}${prefix}{value}|{unit}", text(one, "/code/coding/0/code")?))
        }))
    };
    let deep = |row: Row| Row { page: 100, ..row };
    // In ten times the data there are ten patients of each name and ten results of each kind: no selective searches.
    vec![
        row("token: `Patient?identifier=`", true, "Patient", "identifier={}", &identifiers),
        row("token: `Observation?code=`", false, "Observation", "code={}", &codes),
        row("string prefix: `Patient?family=`", false, "Patient", "family={}", &prefixes),
        row("date range, a day: `Observation?date=`", false, "Observation", "date={}", &moments),
        row("date range, a month: `Observation?date=`", false, "Observation", "date={}", &months),
        row("date range, open: `Observation?date=ge`", false, "Observation", "date=ge{}", &months),
        row(
            "quantity: `Observation?value-quantity=`",
            false,
            "Observation",
            "value-quantity={}",
            &quantities,
        ),
        row(
            "quantity, open: `Observation?value-quantity=gt`",
            false,
            "Observation",
            "value-quantity=gt{}",
            &quantities,
        ),
        row(
            "composite: `Observation?code-value-quantity=`",
            false,
            "Observation",
            "code-value-quantity={}",
            &composites(""),
        ),
        row(
            "composite, open: `Observation?code-value-quantity=..$ge`",
            false,
            "Observation",
            "code-value-quantity={}",
            &composites("ge"),
        ),
        row(
            "2 parameters: `Observation?patient=&category=laboratory`",
            true,
            "Observation",
            "patient={}&category=laboratory",
            &ids,
        ),
        row(
            "2 parameters: `Observation?code=&date=gt2015`",
            false,
            "Observation",
            "code={}&date=gt2015",
            &codes,
        ),
        row(
            "chain, one level: `Observation?patient.identifier=`",
            true,
            "Observation",
            "patient.identifier={}",
            &identifiers,
        ),
        row(
            "chain, one level: `Observation?patient.family=`",
            false,
            "Observation",
            "patient.family={}",
            &families,
        ),
        row(
            "chain, two levels: `Procedure?encounter.patient.identifier=`",
            true,
            "Procedure",
            "encounter.patient.identifier={}",
            &identifiers,
        ),
        row(
            "chain, two levels: `Procedure?encounter.patient.family=`",
            false,
            "Procedure",
            "encounter.patient.family={}",
            &families,
        ),
        row(
            "`_has`: `Patient?_has:Condition:patient:code=`",
            false,
            "Patient",
            "_has:Condition:patient:code={}",
            &conditions,
        ),
        row(
            "`_has`: `Patient?identifier=&_has:Observation:patient:category=laboratory`",
            true,
            "Patient",
            "identifier={}&_has:Observation:patient:category=laboratory",
            &identifiers,
        ),
        row(
            "`_include`: `Observation?patient=&_include=Observation:encounter`",
            true,
            "Observation",
            "patient={}&_include=Observation:encounter",
            &ids,
        ),
        row(
            "`_revinclude`: `Encounter?patient=&_revinclude=Procedure:encounter`",
            true,
            "Encounter",
            "patient={}&_revinclude=Procedure:encounter",
            &ids,
        ),
        row(
            "`_sort`: `Observation?patient=&_sort=-date`",
            true,
            "Observation",
            "patient={}&_sort=-date",
            &ids,
        ),
        row("`_sort`: `Observation?code=&_sort=-date`", false, "Observation", "code={}&_sort=-date", &codes),
        row(
            "`_sort`: `Observation?category=&_sort=-date`",
            false,
            "Observation",
            "category={}&_sort=-date",
            &["laboratory".to_owned(), "vital-signs".to_owned()],
        ),
        row(
            "`_sort`: `Patient?birthdate=ge&_sort=family`",
            false,
            "Patient",
            "birthdate=ge{}&_sort=family",
            &months,
        ),
        deep(row(
            "page 100: `Observation?category=`",
            false,
            "Observation",
            "category={}",
            &["laboratory".to_owned(), "vital-signs".to_owned()],
        )),
        deep(row("page 100: `Observation?date=ge`", false, "Observation", "date=ge{}", &months[..1])),
        deep(row(
            "page 100: `Observation?category=&_sort=-date`",
            false,
            "Observation",
            "category={}&_sort=-date",
            &["laboratory".to_owned(), "vital-signs".to_owned()],
        )),
        row(
            "`_content`: `Condition?_content=`",
            false,
            "Condition",
            "_content={}",
            &["diabetes", "fracture", "sinusitis", "pain"].map(str::to_owned),
        ),
    ]
}
