//! One patient's chart.

use jiff::civil::{Date, date};
use jiff::{Span, ToSpan};
use serde_json::{Value, json};

use super::codes::{
    A1C, ALLERGIES, COMPLAINTS, CVX, Coded, FAMILIES, LOINC, MEN, PROBLEMS, PROCEDURES, RXNORM, SNOMED,
    STREETS, TESTS, TOWNS, Test, UCUM, VACCINES, WOMEN, concept, hl7, quantity, reference,
};
use super::practice::{CLINIC, INSURER, PRACTICE, practitioner_id, practitioner_name};
use super::random::Random;
use super::resource;

/// The day on which all stories end.
const TODAY: Date = date(2026, 9, 1);

/// Everything about patient `number`, counted from 1.
pub fn resources(number: u32) -> Vec<Value> {
    let mut chart = Chart::new(number);
    chart.patient();
    chart.coverage();
    chart.problems();
    let first = chart.random.number(24, 40);
    for (visit, months) in (0..first).step_by(8).enumerate() {
        chart.visit(visit, ago((first - months).months()));
    }
    chart.allergies();
    chart.immunizations();
    chart.care();
    chart.all
}

/// A visit under way.
#[derive(Clone, Copy)]
struct Visit<'v> {
    number: usize,
    day: Date,
    encounter: &'v str,
}

struct Chart {
    random: Random,
    all: Vec<Value>,
    /// `demo-patient-1`.
    id: String,
    patient: String,
    doctor: i32,
    birth: Date,
    /// Problems with the ids of their Conditions.
    problems: Vec<(Coded, String)>,
    diabetic: bool,
}

fn ago(span: Span) -> Date {
    TODAY.checked_sub(span).unwrap_or(TODAY)
}

/// An instant in the morning of a day.
fn at(day: Date, minutes: i32) -> String {
    format!("{day}T{:02}:{:02}:00-05:00", 9 + minutes / 60, minutes % 60)
}

impl Chart {
    fn new(number: u32) -> Chart {
        let mut random = Random::new(u64::from(number));
        let id = format!("demo-patient-{number}");
        let years = if random.chance(20) { random.number(2, 17) } else { random.number(18, 88) };
        let birth = ago(years.years().days(random.number(0, 364)));
        let doctor = random.number(0, 3);
        let patient = format!("Patient/{id}");
        Chart { random, all: Vec::new(), id, patient, doctor, birth, problems: Vec::new(), diabetic: false }
    }

    fn is_adult(&self) -> bool {
        self.birth <= ago(18.years())
    }

    /// `demo-1-encounter-2`.
    fn name(&self, what: &str, number: usize) -> String {
        format!("{}-{what}-{number}", self.id.replace("demo-patient", "demo"))
    }

    fn subject(&self) -> Value {
        reference(&self.patient)
    }

    fn doctor(&self) -> Value {
        let (given, family) = practitioner_name(self.doctor);
        json!({"reference": practitioner_id(self.doctor), "display": format!("Dr. {given} {family}")})
    }

    fn add(&mut self, resource_type: &str, id: &str, profile: &str, rest: Value) {
        self.all.push(resource(resource_type, id, profile, rest));
    }

    fn patient(&mut self) {
        let female = self.random.chance(50);
        let given = self.random.pick(if female { WOMEN } else { MEN }).copied().unwrap_or_default();
        let middle = self.random.pick(if female { WOMEN } else { MEN }).copied().unwrap_or_default();
        let family = self.random.pick(FAMILIES).copied().unwrap_or_default();
        let (city, state, postal) = self.random.pick(TOWNS).copied().unwrap_or_default();
        let street = format!(
            "{} {}",
            self.random.number(1, 99),
            self.random.pick(STREETS).copied().unwrap_or_default()
        );
        let races = [("2106-3", "White"), ("2054-5", "Black or African American"), ("2028-9", "Asian")];
        let race = self.random.pick(&races).copied().unwrap_or_default();
        let ethnicities = [("2186-5", "Not Hispanic or Latino"), ("2135-2", "Hispanic or Latino")];
        let ethnicity = self.random.pick(&ethnicities).copied().unwrap_or_default();
        let (id, birth, doctor) = (self.id.clone(), self.birth.to_string(), self.doctor());
        let phone = format!("555-01{:02}", self.random.number(10, 98));
        self.add("Patient", &id, "us-core-patient", json!({
            "extension": [
                category("us-core-race", race),
                category("us-core-ethnicity", ethnicity),
                {"url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-birthsex", "valueCode": if female { "F" } else { "M" }}
            ],
            "identifier": [{"use": "usual", "type": hl7("v2-0203", "MR"), "system": "urn:oid:2.16.840.1.113883.19.5", "value": id.to_uppercase()}],
            "active": true,
            "name": [{"use": "official", "family": family, "given": [given, middle]}],
            "telecom": [{"system": "phone", "value": phone, "use": "home"}, {"system": "email", "value": format!("{id}@mail.example.org")}],
            "gender": if female { "female" } else { "male" },
            "birthDate": birth,
            "address": [{"use": "home", "line": [street], "city": city, "state": state, "postalCode": postal, "country": "US"}],
            "communication": [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "en", "display": "English"}]}, "preferred": true}],
            "generalPractitioner": [doctor],
            "managingOrganization": reference(PRACTICE)
        }));
    }

    fn coverage(&mut self) {
        let id = self.name("coverage", 1);
        let (subject, member) = (self.subject(), format!("NL{:07}", self.random.number(1, 9_999_999)));
        self.add("Coverage", &id, "us-core-coverage", json!({
            "identifier": [{"type": hl7("v2-0203", "MB"), "system": "https://northernlights.example.org/members", "value": member}],
            "status": "active",
            "type": {"coding": [{"system": "https://nahdo.org/sopt", "code": "512", "display": "Commercial Managed Care - PPO"}]},
            "subscriberId": member,
            "beneficiary": subject,
            "relationship": hl7("subscriber-relationship", "self"),
            "period": {"start": "2026-01-01"},
            "payor": [reference(INSURER)]
        }));
    }

    fn problems(&mut self) {
        let most = if self.is_adult() { self.random.number(0, 3) } else { 0 };
        for number in 0..usize::try_from(most).unwrap_or(0) {
            let Some((code, drug)) = self.random.pick(PROBLEMS).copied() else { continue };
            if self.problems.iter().any(|(known, _)| *known == code) {
                continue;
            }
            let onset = ago(self.random.number(300, 3000).days());
            let id = self.name("problem", number + 1);
            self.condition(&id, code, "problem-list-item", onset, None, true);
            if let Some(drug) = drug {
                self.medication(number + 1, drug, onset, &id);
            }
            self.diabetic |= code.0 == "44054006";
            self.problems.push((code, id));
        }
    }

    fn condition(
        &mut self,
        id: &str,
        code: Coded,
        kind: &str,
        onset: Date,
        encounter: Option<&str>,
        active: bool,
    ) {
        let (profile, system) = match kind {
            "encounter-diagnosis" => ("us-core-condition-encounter-diagnosis", "condition-category"),
            _ => ("us-core-condition-problems-health-concerns", "condition-category"),
        };
        let mut rest = json!({
            "clinicalStatus": hl7("condition-clinical", if active { "active" } else { "resolved" }),
            "verificationStatus": hl7("condition-ver-status", "confirmed"),
            "category": [hl7(system, kind)],
            "code": concept(SNOMED, code),
            "subject": self.subject()
        });
        if let Value::Object(members) = &mut rest {
            if let Some(encounter) = encounter {
                members.insert("encounter".to_owned(), reference(encounter));
            }
            members.insert("onsetDateTime".to_owned(), json!(onset.to_string()));
            if !active {
                let abated = onset.checked_add(14.days()).unwrap_or(onset);
                members.insert("abatementDateTime".to_owned(), json!(abated.to_string()));
            }
            members.insert("recordedDate".to_owned(), json!(onset.to_string()));
        }
        self.add("Condition", id, profile, rest);
    }

    fn medication(&mut self, number: usize, drug: Coded, since: Date, reason: &str) {
        let id = self.name("medication", number);
        let (subject, doctor) = (self.subject(), self.doctor());
        self.add(
            "MedicationRequest",
            &id,
            "us-core-medicationrequest",
            json!({
                "status": "active",
                "intent": "order",
                "category": [hl7("medicationrequest-category", "community")],
                "medicationCodeableConcept": concept(RXNORM, drug),
                "subject": subject,
                "authoredOn": since.to_string(),
                "requester": doctor,
                "reasonReference": [reference(&format!("Condition/{reason}"))],
                "dosageInstruction": [{
                    "text": "One, once a day",
                    "timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}},
                    "doseAndRate": [{"doseQuantity": {"value": 1, "unit": "dose"}}]
                }],
                "dispenseRequest": {"numberOfRepeatsAllowed": 3, "quantity": {"value": 90, "unit": "doses"}}
            }),
        );
    }

    fn visit(&mut self, visit: usize, day: Date) {
        if day < self.birth {
            return;
        }
        let ill = self.random.chance(40);
        let id = self.name("encounter", visit + 1);
        let encounter = format!("Encounter/{id}");
        let kind = if ill {
            ("185345009", "Encounter for symptom")
        } else {
            ("162673000", "General examination of patient")
        };
        let (subject, doctor) = (self.subject(), self.doctor());
        self.add("Encounter", &id, "us-core-encounter", json!({
            "status": "finished",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB", "display": "ambulatory"},
            "type": [concept(SNOMED, kind)],
            "subject": subject,
            "participant": [{"type": [hl7("v3-ParticipationType", "PPRF")], "individual": doctor}],
            "period": {"start": at(day, 0), "end": at(day, 30)},
            "location": [{"location": reference(CLINIC)}],
            "serviceProvider": reference(PRACTICE)
        }));
        let seen = Visit { number: visit, day, encounter: &encounter };
        self.vitals(seen);
        if ill && let Some(complaint) = self.random.pick(COMPLAINTS).copied() {
            let id = self.name("diagnosis", visit + 1);
            self.condition(&id, complaint, "encounter-diagnosis", day, Some(&encounter), false);
        } else if self.is_adult() {
            self.laboratory(seen);
        }
        if self.random.chance(30) {
            self.procedure(seen);
        }
        self.note(seen, kind.1);
    }

    fn observation(
        &mut self,
        id: &str,
        profile: &str,
        kind: &str,
        code: Coded,
        seen: Visit<'_>,
        value: Value,
    ) {
        let Visit { day, encounter, .. } = seen;
        let mut rest = json!({
            "status": "final",
            "category": [hl7("observation-category", kind)],
            "code": concept(LOINC, code),
            "subject": self.subject(),
            "encounter": reference(encounter),
            "effectiveDateTime": at(day, 10),
            "issued": at(day, 20),
            "performer": [self.doctor()]
        });
        if let (Value::Object(members), Value::Object(value)) = (&mut rest, value) {
            members.extend(value);
        }
        self.add("Observation", id, profile, rest);
    }

    fn vitals(&mut self, seen: Visit<'_>) {
        let Visit { number: visit, day, .. } = seen;
        let months =
            self.birth.until((jiff::Unit::Month, day)).map_or(0, |span| span.get_months()).min(18 * 12);
        let height = 500 + months * 55 / 10 + self.random.number(-30, 30);
        let weight = height * height / 40_000 * self.random.number(90, 125) / 10 / 10 + 20;
        let bmi = i32::try_from(i64::from(weight) * 100_000 / (i64::from(height) * i64::from(height)) * 10)
            .unwrap_or(0)
            .max(100);
        let rate = self.random.number(58, 96) * 10;
        let simple = [
            ("us-core-body-height", ("8302-2", "Body height"), quantity(height, "cm")),
            ("us-core-body-weight", ("29463-7", "Body weight"), quantity(weight, "kg")),
            ("us-core-bmi", ("39156-5", "Body mass index (BMI) [Ratio]"), quantity(bmi, "kg/m2")),
            ("us-core-heart-rate", ("8867-4", "Heart rate"), quantity(rate, "/min")),
        ];
        for (number, (profile, code, value)) in simple.into_iter().enumerate() {
            let id = self.name(&format!("vital-{}", visit + 1), number + 1);
            self.observation(&id, profile, "vital-signs", code, seen, json!({"valueQuantity": value}));
        }
        let (systolic, diastolic) = (self.random.number(104, 152), self.random.number(62, 94));
        let part = |code: Coded, value: i32| json!({"code": concept(LOINC, code), "valueQuantity": {"value": value, "unit": "mmHg", "system": UCUM, "code": "mm[Hg]"}});
        let id = self.name(&format!("vital-{}", visit + 1), 5);
        let panel = ("85354-9", "Blood pressure panel with all children optional");
        let parts = json!({"component": [
            part(("8480-6", "Systolic blood pressure"), systolic),
            part(("8462-4", "Diastolic blood pressure"), diastolic)
        ]});
        self.observation(&id, "us-core-blood-pressure", "vital-signs", panel, seen, parts);
        if visit == 0 && self.is_adult() {
            let smoking =
                json!({"valueCodeableConcept": concept(SNOMED, ("266919005", "Never smoked tobacco"))});
            let id = self.name("smoking", 1);
            let code = ("72166-2", "Tobacco smoking status");
            self.observation(&id, "us-core-smokingstatus", "social-history", code, seen, smoking);
        }
    }

    fn laboratory(&mut self, seen: Visit<'_>) {
        let Visit { number: visit, day, encounter } = seen;
        let tests: Vec<Test> = TESTS.iter().copied().chain(self.diabetic.then_some(A1C)).collect();
        let mut results = Vec::new();
        for (number, (code, text, unit, low, high)) in tests.into_iter().enumerate() {
            let value = self.random.number(low, high);
            let id = self.name(&format!("lab-{}", visit + 1), number + 1);
            let value = json!({"valueQuantity": quantity(value, unit)});
            self.observation(&id, "us-core-observation-lab", "laboratory", (code, text), seen, value);
            results.push(reference(&format!("Observation/{id}")));
        }
        let id = self.name("report", visit + 1);
        let (subject, doctor) = (self.subject(), self.doctor());
        self.add(
            "DiagnosticReport",
            &id,
            "us-core-diagnosticreport-lab",
            json!({
                "status": "final",
                "category": [hl7("v2-0074", "LAB")],
                "code": concept(LOINC, ("51990-0", "Basic metabolic panel - Blood")),
                "subject": subject,
                "encounter": reference(encounter),
                "effectiveDateTime": at(day, 10),
                "issued": at(day, 25),
                "performer": [reference(PRACTICE), doctor],
                "result": results
            }),
        );
    }

    fn procedure(&mut self, visit: Visit<'_>) {
        let Visit { number: visit, day, encounter } = visit;
        // The last ones are not for everybody.
        let code = self.random.pick(PROCEDURES.get(..2).unwrap_or_default()).copied().unwrap_or_default();
        let id = self.name("procedure", visit + 1);
        let (subject, doctor) = (self.subject(), self.doctor());
        self.add(
            "Procedure",
            &id,
            "us-core-procedure",
            json!({
                "status": "completed",
                "code": concept(SNOMED, code),
                "subject": subject,
                "encounter": reference(encounter),
                "performedPeriod": {"start": at(day, 12), "end": at(day, 28)},
                "performer": [{"actor": doctor}]
            }),
        );
    }

    fn note(&mut self, visit: Visit<'_>, kind: &str) {
        let Visit { number: visit, day, encounter } = visit;
        let id = self.name("note", visit + 1);
        let text = format!(
            "{kind}, {day}. A made-up note of the Vesta sample. The patient is well and will return as planned."
        );
        let (subject, doctor) = (self.subject(), self.doctor());
        self.add("DocumentReference", &id, "us-core-documentreference", json!({
            "status": "current",
            "type": concept(LOINC, ("11506-3", "Progress note")),
            "category": [{"coding": [{"system": "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category", "code": "clinical-note", "display": "Clinical Note"}]}],
            "subject": subject,
            "date": at(day, 40),
            "author": [doctor],
            "custodian": reference(PRACTICE),
            "content": [{"attachment": {"contentType": "text/plain", "data": base64(text.as_bytes())}}],
            "context": {"encounter": [reference(encounter)], "period": {"start": at(day, 0), "end": at(day, 30)}}
        }));
    }

    fn allergies(&mut self) {
        if !self.random.chance(35) {
            return;
        }
        let code = self.random.pick(ALLERGIES).copied().unwrap_or_default();
        let id = self.name("allergy", 1);
        let (subject, doctor) = (self.subject(), self.doctor());
        let recorded = self.birth.checked_add(1.years()).unwrap_or(self.birth).to_string();
        self.add("AllergyIntolerance", &id, "us-core-allergyintolerance", json!({
            "clinicalStatus": hl7("allergyintolerance-clinical", "active"),
            "verificationStatus": hl7("allergyintolerance-verification", "confirmed"),
            "type": "allergy",
            "criticality": "low",
            "code": concept(SNOMED, code),
            "patient": subject,
            "recordedDate": recorded,
            "recorder": doctor,
            "reaction": [{"manifestation": [concept(SNOMED, ("271807003", "Eruption of skin"))], "severity": "mild"}]
        }));
    }

    fn immunizations(&mut self) {
        let some = self.random.number(1, 4);
        for (number, code) in VACCINES.iter().copied().take(usize::try_from(some).unwrap_or(1)).enumerate() {
            let day = ago(self.random.number(20, 700).days());
            let id = self.name("immunization", number + 1);
            let (subject, doctor) = (self.subject(), self.doctor());
            self.add(
                "Immunization",
                &id,
                "us-core-immunization",
                json!({
                    "status": "completed",
                    "vaccineCode": concept(CVX, code),
                    "patient": subject,
                    "occurrenceDateTime": at(day, 5),
                    "primarySource": true,
                    "location": reference(CLINIC),
                    "performer": [{"actor": doctor}]
                }),
            );
        }
    }

    fn care(&mut self) {
        let Some((problem, condition)) = self.problems.first().cloned() else { return };
        let (team, goal, plan) = (self.name("team", 1), self.name("goal", 1), self.name("plan", 1));
        let (subject, doctor) = (self.subject(), self.doctor());
        let about = json!([reference(&format!("Condition/{condition}"))]);
        self.add(
            "CareTeam",
            &team,
            "us-core-careteam",
            json!({
                "status": "active",
                "name": "Care team (demo)",
                "subject": subject,
                "participant": [
                    {"role": [concept(SNOMED, ("446050000", "Primary care physician"))], "member": doctor},
                    {"role": [concept(SNOMED, ("116154003", "Patient"))], "member": subject}
                ],
                "reasonReference": about
            }),
        );
        self.add(
            "Goal",
            &goal,
            "us-core-goal",
            json!({
                "lifecycleStatus": "active",
                "description": {"text": format!("{} stays under control", problem.1)},
                "subject": subject,
                "startDate": "2026-01-15",
                "target": [{"dueDate": "2027-01-15"}],
                "addresses": about
            }),
        );
        let text = format!("Plan of care for {}", problem.1.to_lowercase());
        self.add("CarePlan", &plan, "us-core-careplan", json!({
            "text": {"status": "generated", "div": format!("<div xmlns=\"http://www.w3.org/1999/xhtml\">{text}</div>")},
            "status": "active",
            "intent": "plan",
            "category": [{"coding": [{"system": "http://hl7.org/fhir/us/core/CodeSystem/careplan-category", "code": "assess-plan"}]}],
            "title": text,
            "subject": subject,
            "period": {"start": "2026-01-15"},
            "careTeam": [reference(&format!("CareTeam/{team}"))],
            "addresses": about,
            "goal": [reference(&format!("Goal/{goal}"))]
        }));
    }
}

fn category(extension: &str, (code, display): Coded) -> Value {
    json!({
        "url": format!("http://hl7.org/fhir/us/core/StructureDefinition/{extension}"),
        "extension": [
            {"url": "ombCategory", "valueCoding": {"system": "urn:oid:2.16.840.1.113883.6.238", "code": code, "display": display}},
            {"url": "text", "valueString": display}
        ]
    })
}

/// RFC 4648 4, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let sextet = usize::try_from((bits >> (18 - 6 * place)) & 63).unwrap_or(0);
            let sign = ALPHABET.get(sextet).copied().unwrap_or(b'=');
            out.push(if place > group.len() { '=' } else { char::from(sign) });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64_of_the_rfc() {
        for (plain, encoded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(super::base64(plain.as_bytes()), encoded);
        }
    }
}
