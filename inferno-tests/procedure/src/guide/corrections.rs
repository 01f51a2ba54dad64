//! Where the kit asks other than the profiles say: errata of US Core, rules of the criterion, and ONC's enforcement discretion.
//! Each stands here with its reason, and nowhere else.

use super::must_support::{Choice, Definition, MustSupport, Supported};
use super::search::Parameter;
use crate::http::text;

const US_CORE: &str = "http://hl7.org/fhir/us/core/StructureDefinition/";

/// Takes out and puts in what the kit does.
pub(super) fn correct(definition: &Definition<'_>, must: &mut MustSupport) {
    let id = text(definition.json, "id").unwrap_or_default();
    let is_6 = text(definition.json, "version").is_some_and(|version| version.starts_with("6."));
    observation(definition, id, must);
    choices(definition.kind, id, is_6, must);
    match definition.kind {
        "Patient" => patient(must),
        // A PractitionerRole may carry it instead, which a test of its own asks (FHIR-44693).
        "Practitioner" => without(must, |path| path.starts_with("address")),
        // FHIR-50239.
        "MedicationDispense" => {
            let practitioner = format!("{US_CORE}us-core-practitioner");
            let actor = must.elements.iter_mut().filter(|one| one.path == "performer.actor");
            actor.for_each(|one| one.targets.retain(|target| *target != practitioner));
        }
        // FHIR-50283.
        "Coverage" => without(must, |path| path == "class:group.name"),
        _ => {}
    }
    match id {
        // FHIR-43355: a period will do.
        "us-core-smokingstatus" if is_6 => {
            must.slices.retain(|slice| slice.id != "Observation.effective[x]:effectiveDateTime");
            must.elements.push(element("effective[x]"));
        }
        // FHIR-46240.
        "us-core-diagnosticreport-note" if is_6 => without(must, |path| path.starts_with("media")),
        // FHIR-50288.
        "us-core-condition-encounter-diagnosis" => {
            must.extensions.retain(|one| one.id != "Condition.extension:assertedDate");
            without(must, |path| matches!(path, "onsetDateTime" | "clinicalStatus" | "verificationStatus"));
            must.choices.retain(|choice| !choice.paths.contains(&"onsetDateTime"));
        }
        _ => {}
    }
}

/// Names the codes of a value set that is kept elsewhere, at the National Library of Medicine.
pub(super) fn parameter(mut parameter: Parameter, id: &str) -> Parameter {
    if id == "us-core-smokingstatus" && parameter.name == "code" && parameter.values.is_empty() {
        let codes = ["72166-2", "11367-0", "401201003", "782516008"];
        parameter.values = codes.map(str::to_owned).to_vec();
    }
    parameter
}

fn element(path: &str) -> Supported {
    Supported { path: path.to_owned(), ..Supported::default() }
}

fn without(must: &mut MustSupport, is: impl Fn(&str) -> bool) {
    must.elements.retain(|one| !is(&one.path));
}

/// Components are of a panel's profiles alone; a system that always has values need not show why one is missing.
fn observation(definition: &Definition<'_>, id: &str, must: &mut MustSupport) {
    let is_pressure = matches!(id, "us-core-blood-pressure" | "us-core-average-blood-pressure");
    let is_oximetry = text(definition.json, "name") == Some("USCorePulseOximetryProfile");
    let base = text(definition.json, "baseDefinition").unwrap_or_default();
    if base == format!("{US_CORE}us-core-vital-signs") && !is_pressure && !is_oximetry {
        without(must, |path| path.starts_with("component"));
    }
    if is_pressure {
        let is_value = |one: &Supported| {
            let path = one.original.as_deref().unwrap_or(&one.path);
            path.starts_with("value[x]") || one.path.starts_with("value[x]") || one.path == "dataAbsentReason"
        };
        must.elements.retain(|one| !is_value(one));
        must.slices.retain(|slice| !slice.path.starts_with("value[x]"));
    } else if definition.kind == "Observation" {
        without(must, |path| path.ends_with("dataAbsentReason"));
    }
}

/// The guide's prose lets a system choose.
fn choices(kind: &str, id: &str, is_6: bool, must: &mut MustSupport) {
    let paths = |paths: &[&'static str]| Choice { paths: paths.to_vec(), ..Choice::default() };
    let targets = |ids: &[&str]| Choice {
        targets: ids.iter().map(|id| format!("{US_CORE}{id}")).collect(),
        ..Choice::default()
    };
    match kind {
        "DocumentReference" => {
            must.choices.push(paths(&["content.attachment.data", "content.attachment.url"]));
        }
        "Encounter" => {
            must.choices.push(paths(&["reasonCode", "reasonReference"]));
            must.choices.push(paths(&["location.location", "serviceProvider"]));
        }
        "MedicationRequest" => {
            must.choices.push(paths(&["reportedBoolean", "reportedReference"]));
            must.choices.push(paths(&["reasonCode", "reasonReference"]));
        }
        "ServiceRequest" => must.choices.push(paths(&["reasonCode", "reasonReference"])),
        "Procedure" if !is_6 => must.choices.push(paths(&["reasonCode", "reasonReference"])),
        "Goal" => must.choices.push(paths(&["startDate", "target.dueDate"])),
        "CareTeam" => must.choices.push(targets(&["us-core-practitioner", "us-core-practitionerrole"])),
        "Condition" => must.choices.push(Choice {
            paths: vec!["onsetDateTime"],
            extensions: vec!["Condition.extension:assertedDate"],
            targets: Vec::new(),
        }),
        _ => {}
    }
    if id == "us-core-observation-screening-assessment" {
        let either = ["us-core-observation-screening-assessment", "us-core-questionnaireresponse"];
        must.choices.push(targets(&either));
    }
}

/// Former names and addresses are told by a use or by a period's end (FHIR-40299); gender identity is not asked for.
fn patient(must: &mut MustSupport) {
    for name in ["name", "address"] {
        let (period, end, used) =
            (format!("{name}.period"), format!("{name}.period.end"), format!("{name}.use"));
        without(must, |path| path == period || path == end || path == used);
        must.elements.push(element(&end));
        must.elements.push(Supported { fixed: Some("old".to_owned()), ..element(&used) });
    }
    must.choices.push(Choice { paths: vec!["address.period.end", "address.use"], ..Choice::default() });
    must.choices.push(Choice { paths: vec!["name.period.end", "name.use"], ..Choice::default() });
    for one in must.elements.iter_mut().filter(|one| one.path == "deceased[x]") {
        one.original = Some(std::mem::replace(&mut one.path, "deceasedDateTime".to_owned()));
    }
    must.extensions.retain(|one| one.id != "Patient.extension:genderIdentity");
}
