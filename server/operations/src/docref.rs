//! `DocumentReference/$docref` (<https://hl7.org/fhir/us/core/OperationDefinition-docref.html>): the documents of a patient,
//! by the time of care and by type, the newest first. Without a time they are the current ones. It finds what is stored, and
//! writes no document of its own.

use fhirpath::{Element, IssueType};
use interaction::{Caller, Failure, Handling, OperationDescriptor, Outcome, Service};

use crate::parameters::{refuse, resource, shown};
use crate::{Invocation, Operation, Running};

pub(crate) const DOCREF: Operation = Operation {
    descriptor: OperationDescriptor {
        name: "docref",
        definition: "http://hl7.org/fhir/us/core/OperationDefinition/docref",
        resource_types: &["DocumentReference"],
        system: false,
        type_level: true,
        instance: false,
        affects_state: false,
    },
    handler: |service, caller, invocation| Box::pin(docref(service, caller, invocation)) as Running<'_>,
};

/// Most types of one call.
const MAX_TYPES: usize = 100;

async fn docref(service: &Service, caller: &Caller, invocation: Invocation) -> Result<Outcome, Failure> {
    let asked = match resource(service, &invocation)? {
        Some(tree) => tree.root().all("parameter").filter_map(given).collect(),
        None => invocation.parameters,
    };
    let criteria = criteria(&asked)?;
    let kind = Some("DocumentReference");
    interaction::search(service, caller, kind, None, &criteria, Handling::Strict).await
}

/// Name and text of a parameter of the body; a Coding as `system|code`.
fn given(parameter: Element<'_>) -> Option<(String, String)> {
    let text = |element: Element<'_>, name: &str| Some(element.get(name)?.value()?.into_owned());
    let name = text(parameter, "name")?;
    let value = parameter.get("value");
    let text = match value {
        Some(coding) if coding.type_name() == "Coding" => {
            format!(
                "{}|{}",
                text(coding, "system").unwrap_or_default(),
                text(coding, "code").unwrap_or_default()
            )
        }
        Some(value) => value.value().map(|it| it.into_owned()).unwrap_or_default(),
        None => String::new(),
    };
    Some((name, text))
}

/// The search that finds what is asked for.
fn criteria(asked: &[(String, String)]) -> Result<Vec<(String, String)>, Failure> {
    let mut criteria = Vec::new();
    let mut types: Vec<&str> = Vec::new();
    let mut is_dated = false;
    for (name, value) in asked {
        let mut once = |criterion: &str, value: String| {
            let prefix = value.get(..2).unwrap_or_default().to_owned();
            let is_twice = |(known, text): &(String, String)| {
                known == criterion && (criterion != "period" || text.starts_with(&prefix))
            };
            if criteria.iter().any(is_twice) {
                return Err(wrong(name, "is given twice"));
            }
            criteria.push((criterion.to_owned(), value));
            Ok(())
        };
        match name.as_str() {
            _ if value.is_empty() => return Err(wrong(&shown(name), "needs a value")),
            "patient" => once("patient", value.clone())?,
            "start" | "end" => {
                is_dated = true;
                once("period", format!("{}{value}", if name == "start" { "ge" } else { "le" }))?;
            }
            "type" if types.len() == MAX_TYPES => {
                let details = format!("$docref takes {MAX_TYPES} types.");
                return Err(refuse(IssueType::TooCostly, details, "http.type".to_owned()));
            }
            "type" => types.push(value),
            "_count" => once("_count", value.clone())?,
            "on-demand" if value == "false" => {}
            _ => {
                let name = shown(name);
                let details =
                    format!("$docref takes patient, start, end and type here, not {name}={}.", shown(value));
                return Err(refuse(IssueType::NotSupported, details, format!("http.{name}")));
            }
        }
    }
    if !criteria.iter().any(|(name, _)| name == "patient") {
        let details = "$docref needs the patient's id: give patient.".to_owned();
        return Err(refuse(IssueType::Required, details, "http".to_owned()));
    }
    if !types.is_empty() {
        criteria.push(("type".to_owned(), types.join(",")));
    }
    if !is_dated {
        criteria.push(("status".to_owned(), "current".to_owned()));
    }
    criteria.push(("_sort".to_owned(), "-date".to_owned()));
    Ok(criteria)
}

fn wrong(name: &str, why: &str) -> Failure {
    refuse(IssueType::Value, format!("{name} {why}."), format!("http.{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn what_is_searched() {
        let check = |asked: &str, expected: &str| {
            assert_eq!(criteria(&pairs(asked)).unwrap(), pairs(expected), "{asked}");
        };
        check("patient=1", "patient=1&status=current&_sort=-date");
        check(
            "patient=1&start=2025&end=2026-01&type=http://loinc.org|1-8&type=2-6&on-demand=false",
            "patient=1&period=ge2025&period=le2026-01&type=http://loinc.org|1-8,2-6&_sort=-date",
        );
        check("start=2025&_count=5&patient=1", "period=ge2025&_count=5&patient=1&_sort=-date");
    }

    #[test]
    fn what_is_refused() {
        let check = |asked: &str, code: IssueType, details: &str, place: &str| {
            let issues = criteria(&pairs(asked)).unwrap_err().issues;
            assert_eq!(
                issues,
                [fhirpath::Issue::error(code, details.to_owned()).at(place.to_owned())],
                "{asked}"
            );
        };
        let needed = "$docref needs the patient's id: give patient.";
        check("start=2025", IssueType::Required, needed, "http");
        check("patient=1&patient=2", IssueType::Value, "patient is given twice.", "http.patient");
        check("patient=1&start=2&start=3", IssueType::Value, "start is given twice.", "http.start");
        check("patient=", IssueType::Value, "patient needs a value.", "http.patient");
        let taken = "$docref takes patient, start, end and type here, not on-demand=true.";
        check("patient=1&on-demand=true", IssueType::NotSupported, taken, "http.on-demand");
        let taken = "$docref takes patient, start, end and type here, not profile=x.";
        check("patient=1&profile=x", IssueType::NotSupported, taken, "http.profile");
    }
}
