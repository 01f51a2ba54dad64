//! The practice: its organizations, places and people.

use serde_json::{Value, json};

use super::codes::{FAMILIES, MEN, WOMEN, hl7, reference};
use super::resource;

/// How many practitioners there are.
pub const PRACTITIONERS: i32 = 4;
/// The practice.
pub const PRACTICE: &str = "Organization/demo-practice";
/// The insurer.
pub const INSURER: &str = "Organization/demo-insurer";
/// Where patients are seen.
pub const CLINIC: &str = "Location/demo-clinic";

const SPECIALTIES: [(&str, &str); 4] = [
    ("207Q00000X", "Family Medicine Physician"),
    ("207R00000X", "Internal Medicine Physician"),
    ("208000000X", "Pediatrics Physician"),
    ("363L00000X", "Nurse Practitioner"),
];

/// Everything of the practice.
pub fn resources() -> Vec<Value> {
    let address = json!({"line": ["1 Harbor Square"], "city": "Millbrook Falls", "state": "MA", "postalCode": "01999", "country": "US"});
    let telecom = json!([{"system": "phone", "value": "555-0100", "use": "work"}]);
    let mut all = vec![
        resource(
            "Organization",
            "demo-practice",
            "us-core-organization",
            json!({
                "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": "1234567893"}],
                "active": true,
                "type": [hl7("organization-type", "prov")],
                "name": "Millbrook Falls Family Practice (demo)",
                "telecom": telecom,
                "address": [address]
            }),
        ),
        resource(
            "Organization",
            "demo-insurer",
            "us-core-organization",
            json!({
                "active": true,
                "type": [hl7("organization-type", "ins")],
                "name": "Northern Lights Health Plan (demo)",
                "telecom": [{"system": "phone", "value": "555-0199", "use": "work"}],
                "address": [address]
            }),
        ),
        resource(
            "Location",
            "demo-clinic",
            "us-core-location",
            json!({
                "status": "active",
                "name": "Millbrook Falls Clinic (demo)",
                "telecom": telecom,
                "address": address,
                "managingOrganization": reference(PRACTICE)
            }),
        ),
    ];
    for number in 0..PRACTITIONERS {
        all.extend(practitioner(number));
    }
    all
}

/// The id of a practitioner, counted from 0.
pub fn practitioner_id(number: i32) -> String {
    format!("Practitioner/demo-practitioner-{}", number % PRACTITIONERS + 1)
}

/// Given and family name of a practitioner.
pub fn practitioner_name(number: i32) -> (&'static str, &'static str) {
    let at = usize::try_from(number % PRACTITIONERS).unwrap_or(0);
    let given = if at % 2 == 0 { WOMEN.get(at + 8) } else { MEN.get(at + 8) };
    (given.copied().unwrap_or_default(), FAMILIES.get(at * 3 + 2).copied().unwrap_or_default())
}

/// A National Provider Identifier: nine digits, and the check digit of Luhn over them behind the issuer's 80840.
fn npi(nine: &str) -> String {
    let digits = "80840".chars().chain(nine.chars()).filter_map(|digit| digit.to_digit(10));
    let doubled = |digit: u32| digit * 2 / 10 + digit * 2 % 10;
    // The last of the 14 digits is one of those that are doubled.
    let weighed = digits.enumerate().map(|(at, digit)| if at % 2 == 0 { digit } else { doubled(digit) });
    format!("{nine}{}", (10 - weighed.sum::<u32>() % 10) % 10)
}

fn practitioner(number: i32) -> [Value; 2] {
    let id = practitioner_id(number);
    let short = id.strip_prefix("Practitioner/").unwrap_or_default();
    let (given, family) = practitioner_name(number);
    let (code, display) = SPECIALTIES.get(usize::try_from(number).unwrap_or(0)).copied().unwrap_or(("", ""));
    [
        resource(
            "Practitioner",
            short,
            "us-core-practitioner",
            json!({
                "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": npi(&format!("99999999{number}"))}],
                "active": true,
                "name": [{"use": "official", "family": family, "given": [given], "prefix": ["Dr."]}],
                "telecom": [{"system": "email", "value": format!("{}.{}@practice.example.org", given.to_lowercase(), family.to_lowercase().replace('\'', "")), "use": "work"}]
            }),
        ),
        resource(
            "PractitionerRole",
            &short.replace("practitioner", "role"),
            "us-core-practitionerrole",
            json!({
                "active": true,
                "practitioner": reference(&id),
                "organization": reference(PRACTICE),
                "specialty": [{"coding": [{"system": "http://nucc.org/provider-taxonomy", "code": code, "display": display}], "text": display}],
                "location": [reference(CLINIC)],
                "telecom": [{"system": "phone", "value": "555-0100", "use": "work"}]
            }),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits() {
        for (nine, whole) in [("123456789", "1234567893"), ("999999990", "9999999904")] {
            assert_eq!(npi(nine), whole);
        }
    }
}
