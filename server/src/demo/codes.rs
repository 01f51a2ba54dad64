//! Codes of the public code systems, and the invented names, that the sample is made of.

use serde_json::{Value, json};

pub const SNOMED: &str = "http://snomed.info/sct";
pub const LOINC: &str = "http://loinc.org";
pub const RXNORM: &str = "http://www.nlm.nih.gov/research/umls/rxnorm";
pub const CVX: &str = "http://hl7.org/fhir/sid/cvx";
pub const UCUM: &str = "http://unitsofmeasure.org";

/// A code with its text.
pub type Coded = (&'static str, &'static str);

pub const WOMEN: &[&str] = &[
    "Ada", "Brisa", "Carys", "Delfina", "Elowen", "Freya", "Ginevra", "Hana", "Imara", "Juna", "Kalinda",
    "Liora",
];
pub const MEN: &[&str] = &[
    "Alaric", "Bento", "Caspian", "Dario", "Emrys", "Fausto", "Goran", "Hiro", "Idris", "Jorah", "Kofi",
    "Lorcan",
];
pub const FAMILIES: &[&str] = &[
    "Ashgrove",
    "Brightwater",
    "Calloway",
    "Dunmore",
    "Eastlake",
    "Fairholm",
    "Greywell",
    "Hollin",
    "Ironwood",
    "Juniper",
    "Kestrel",
    "Larkspur",
    "Marrow",
    "Northcote",
    "O'Dell",
    "Pemberlin",
];
pub const STREETS: &[&str] =
    &["Alder Lane", "Birch Street", "Cedar Court", "Dogwood Drive", "Elm Avenue", "Fern Road"];
pub const TOWNS: &[(&str, &str, &str)] =
    &[("Millbrook Falls", "MA", "01999"), ("Harrow Point", "VT", "05999"), ("Stillwater Bay", "ME", "04999")];

/// Problems, each with the drug it is treated with, if any.
pub const PROBLEMS: &[(Coded, Option<Coded>)] = &[
    (("38341003", "Hypertensive disorder"), Some(("314076", "lisinopril 10 MG Oral Tablet"))),
    (
        ("44054006", "Diabetes mellitus type 2"),
        Some(("860975", "metformin hydrochloride 500 MG Extended Release Oral Tablet")),
    ),
    (("195967001", "Asthma"), Some(("745752", "albuterol 0.09 MG/ACTUAT Metered Dose Inhaler"))),
    (("55822004", "Hyperlipidemia"), Some(("617312", "atorvastatin 20 MG Oral Tablet"))),
    (("40930008", "Hypothyroidism"), Some(("966221", "levothyroxine sodium 0.05 MG Oral Tablet"))),
    (("396275006", "Osteoarthritis"), None),
    (("37796009", "Migraine"), None),
];
/// Reasons for a short visit.
pub const COMPLAINTS: &[Coded] = &[
    ("36971009", "Sinusitis"),
    ("444814009", "Viral sinusitis"),
    ("195662009", "Acute viral pharyngitis"),
    ("10509002", "Acute bronchitis"),
    ("267036007", "Dyspnea"),
    ("279039007", "Low back pain"),
];
pub const ALLERGIES: &[Coded] = &[
    ("91936005", "Allergy to penicillin"),
    ("91935009", "Allergy to peanut"),
    ("300916003", "Latex allergy"),
    ("418689008", "Allergy to grass pollen"),
];
pub const VACCINES: &[Coded] = &[
    ("140", "Influenza, split virus, trivalent, PF"),
    ("115", "Tdap"),
    ("33", "pneumococcal polysaccharide vaccine, 23 valent"),
    ("187", "zoster recombinant"),
];
pub const PROCEDURES: &[Coded] = &[
    ("73761001", "Colonoscopy"),
    ("428191000124101", "Documentation of current medications"),
    ("252160004", "Standard pregnancy test"),
    ("76601001", "Intramuscular injection"),
];

/// A laboratory test: code, text, unit, and the range of values in tenths of the unit.
pub type Test = (&'static str, &'static str, &'static str, i32, i32);
pub const TESTS: &[Test] = &[
    ("2345-7", "Glucose [Mass/volume] in Serum or Plasma", "mg/dL", 700, 1400),
    ("2160-0", "Creatinine [Mass/volume] in Serum or Plasma", "mg/dL", 6, 13),
    ("2951-2", "Sodium [Moles/volume] in Serum or Plasma", "mmol/L", 1350, 1450),
    ("2823-3", "Potassium [Moles/volume] in Serum or Plasma", "mmol/L", 35, 52),
    ("3094-0", "Urea nitrogen [Mass/volume] in Serum or Plasma", "mg/dL", 70, 220),
];
pub const A1C: Test = ("4548-4", "Hemoglobin A1c/Hemoglobin.total in Blood", "%", 48, 88);

/// A CodeableConcept of one coding.
pub fn concept(system: &str, (code, display): Coded) -> Value {
    json!({"coding": [{"system": system, "code": code, "display": display}], "text": display})
}

/// A CodeableConcept of HL7's own code systems, without a display.
pub fn hl7(system: &str, code: &str) -> Value {
    json!({"coding": [{"system": format!("http://terminology.hl7.org/CodeSystem/{system}"), "code": code}]})
}

/// A Reference.
pub fn reference(to: &str) -> Value {
    json!({"reference": to})
}

/// A Quantity; the value is in tenths of the unit.
pub fn quantity(tenths: i32, unit: &str) -> Value {
    let text = format!("{}.{}", tenths / 10, tenths % 10);
    let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    json!({"value": value, "unit": unit, "system": UCUM, "code": unit})
}
