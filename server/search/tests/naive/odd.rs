//! Resources that have what examples and synthetic patients rarely have: numbers, references by identifier, lists, long and
//! nearly equal texts, spans that are open or wide, units of one kind.

#![allow(clippy::indexing_slicing)] // a short table's row of a number, and JSON that was just made

use serde_json::{Value, json};

/// How many of each kind.
const EACH: usize = 24;

/// Lists name some of `others`.
pub fn resources(others: &[Value]) -> Vec<Value> {
    (0..EACH)
        .flat_map(|n| [patient(n), risk(n), measured(n), referring(n), value_set(n), list(n, others)])
        .collect()
}

/// Long names that differ at their ends, accents, runs of white space; addresses that begin alike.
fn patient(n: usize) -> Value {
    let long = "Featherstonehaugh-Cholmondeley-Marjoribanks van den Berg zu Hohenlohe";
    let family = match n % 6 {
        0 => format!("{long} {n}"),
        1 => format!("{long}{}", "x".repeat(300 + n)),
        2 => "Ångström  Ünal\tÉcole".to_owned(),
        3 => "angstrom unal ecole".to_owned(),
        4 => format!("O\\'Brien, $on|s {n}"),
        _ => "东京".to_owned(),
    };
    let (identifier, birth) =
        (format!("{:0>1$}", n, 4 + n * 12), ["1970", "1970-01", "1970-01-01", "1969-12-31"]);
    json!({"resourceType": "Patient", "id": format!("odd-{n}"), "active": n.is_multiple_of(2), "gender": "other",
        "name": [{"family": family, "given": [format!("Zo{}", "ë".repeat(n)), "Zoe"]}],
        "address": [{"city": "Sant'Ana", "line": [format!("{n} Rue de l'Église")]}],
        "identifier": [
            {"system": "urn:odd", "value": identifier,
                "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}],
                    "text": format!("Number {n}")}},
            {"value": format!("bare-{}", n % 3)}, {"system": format!("urn:only-a-system:{}", n % 2)}],
        "telecom": [{"system": "phone", "value": format!("+1 555 {n:04}")}],
        "birthDate": (birth[n % 4]), "link": [{"other": {"reference": format!("Patient/odd-{}", (n + 1) % EACH)}, "type": "seealso"}]})
}

/// Numbers as decimals and as ranges with open ends.
fn risk(n: usize) -> Value {
    let number = serde_json::Number::from_f64([0.0, 0.1, 0.25, 0.5, 1.0, 99.5][n % 6]).expect("a number");
    let prediction = match n % 3 {
        0 => json!({"probabilityDecimal": number}),
        1 => json!({"probabilityRange": {"low": {"value": n}, "high": {"value": n + 20}}}),
        _ => json!({"probabilityRange": {"low": {"value": n}}}),
    };
    let mut prediction = prediction;
    prediction["qualitativeRisk"] =
        json!({"text": format!("Likely {n}"), "coding": [{"code": "likely", "display": "Likely"}]});
    json!({"resourceType": "RiskAssessment", "id": format!("odd-{n}"), "status": "final",
        "subject": {"reference": format!("Patient/odd-{n}")}, "prediction": [prediction],
        "occurrencePeriod": {"start": format!("20{:02}-01-01", n % 24)}})
}

/// Quantities of one kind in several units, with comparators; components.
fn measured(n: usize) -> Value {
    let (unit, factor) =
        [("mg/dL", 100.0), ("g/L", 1.0), ("kg", 70.0), ("g", 70_000.0), ("cm", 170.0), ("m", 1.7)][n % 6];
    let quantity = |value: f64| json!({"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit});
    let mut value = quantity(factor * (1.0 + (n / 6) as f64 / 100.0));
    if n.is_multiple_of(5) {
        value["comparator"] = ["<", "<=", ">", ">="][n % 4].into();
    }
    let code = |code: &str| json!({"coding": [{"system": "http://loinc.org", "code": code, "display": format!("Code {code}")}], "text": "Odd"});
    json!({"resourceType": "Observation", "id": format!("odd-{n}"), "status": (["final", "amended", "corrected"][n % 3]),
        "code": code("8302-2"), "subject": {"reference": format!("Patient/odd-{}", n / 2)}, "valueQuantity": value,
        "component": [{"code": code("8480-6"), "valueQuantity": quantity(factor)},
            {"code": code("8462-4"), "valueCodeableConcept": code("LA1")}],
        "device": {"reference": "Device/example"},
        "effectivePeriod": {"start": "2020-02-29", "end": format!("20{}-03-01T00:00:00+05:30", 20 + n % 4)}})
}

/// References by identifier, with displays, to other servers, and to nothing that is there.
fn referring(n: usize) -> Value {
    let subject = match n % 4 {
        0 => {
            json!({"reference": format!("Patient/odd-{n}"), "display": format!("Zoë {n}"), "identifier": {"system": "urn:odd", "value": format!("{n}")}})
        }
        1 => json!({"identifier": {"system": "urn:odd", "value": "1"}, "display": "Known by a number"}),
        2 => json!({"reference": format!("http://elsewhere.test/{}/Patient/{n}", "long/".repeat(n))}),
        _ => json!({"reference": "Patient/nobody", "display": "Nobody"}),
    };
    json!({"resourceType": "Condition", "id": format!("odd-{n}"), "subject": subject,
        "clinicalStatus": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical",
            "code": (["active", "recurrence", "relapse", "inactive", "remission", "resolved"][n % 6])}]},
        "recorder": {"reference": "Practitioner/example"}, "asserter": {"reference": format!("Patient/odd-{}", EACH - 1 - n), "type": "Patient"},
        "onsetAge": {"value": n, "unit": "a", "system": "http://unitsofmeasure.org", "code": "a"},
        "encounter": {"reference": "Encounter/example"}})
}

/// Urls that are below one another.
fn value_set(n: usize) -> Value {
    let url = [
        "http://odd.test/a",
        "http://odd.test/a/b",
        "http://odd.test/a/b/c",
        "http://odd.test/ab",
        "urn:oid:1.2.3",
    ][n % 5];
    json!({"resourceType": "ValueSet", "id": format!("odd-{n}"), "status": (["draft", "active"][n % 2]),
        "url": format!("{url}{}", if n.is_multiple_of(7) { "/".to_owned() } else { "/x".repeat(n / 5 * 30) }), "title": format!("Odd {n}")})
}

fn list(n: usize, others: &[Value]) -> Value {
    let text = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let named: Vec<Value> = others
        .iter()
        .skip(n * 7)
        .step_by(97)
        .map(|other| json!({"item": {"reference": format!("{}/{}", text(other, "resourceType"), text(other, "id"))}}))
        .collect();
    json!({"resourceType": "List", "id": format!("odd-{n}"), "status": "current", "mode": "working",
        "source": {"reference": format!("Patient/odd-{n}")}, "entry": named,
        "code": {"text": "Things of one kind"}, "date": format!("2021-{:02}-01T12:00:00.5Z", 1 + n % 12)})
}
