//! What an export is asked: the parameters of the kick-off request
//! (<https://hl7.org/fhir/uv/bulkdata/STU2/export.html#query-parameters>). Those that are not offered are refused by name or, where
//! the client is lenient, left out and reported.

use fhirpath::{Issue, IssueType, Severity, primitive};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{PATIENT, Views};

/// Most `_typeFilter` queries.
const MAX_FILTERS: usize = 100;
/// Most `patient` references.
const MAX_PATIENTS: usize = 10_000;
/// The one kind of associated data that is offered.
const ALL_PROVENANCE: &str = "RelevantProvenanceResources";
/// Most characters of the client's that a message repeats.
const SHOWN: usize = 64;

/// What is exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Everything.
    System,
    /// The compartments of all patients, or of those named.
    Patient,
    /// The compartments of the members of the group of this id.
    Group(String),
    /// The compartment of the patient of this id.
    One(String),
}

/// A request, understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Of what.
    pub level: Level,
    /// The types whose resources are searched, in order; at other levels than the system's all of them can be in a patient's
    /// compartment.
    pub types: Vec<String>,
    /// Whether types that are in no patient's compartment are asked for when resources refer to them: those `_type` named, or all.
    pub referred: Option<Vec<String>>,
    /// Only what was committed at this time or later: milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// Only what was committed at this time or before.
    pub until_ms: Option<i64>,
    /// Top-level elements to write, each of a type or of all (`None`); all elements if empty.
    pub elements: Vec<(Option<String>, String)>,
    /// Searches, by type: a resource of a type that has some fulfils one of them.
    pub filters: Vec<(String, String)>,
    /// What the `patient` parameter names, as sent.
    pub patients: Vec<String>,
    /// Whether what is not offered is left out.
    pub lenient: bool,
    /// What was left out, in words.
    pub ignored: Vec<String>,
    /// Whether the files are to be told apart from others and understood without the server that made them: with their checksums and
    /// a data dictionary.
    #[serde(default)]
    pub documented: bool,
    /// Whether the files are blocks of patients' records rather than of one type each.
    #[serde(default)]
    pub organized: bool,
    /// The views whose rows the files have, instead of resources.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub views: Option<Views>,
}

/// The types there are.
#[derive(Debug, Clone)]
pub struct Types<'a> {
    /// All.
    pub all: Vec<&'a str>,
    /// Those whose resources can be in a patient's compartment, and Provenance.
    pub of_patients: Vec<&'a str>,
}

/// A kick-off request.
#[derive(Debug, Clone)]
pub struct Kickoff<'a> {
    /// Of what.
    pub level: Level,
    /// Its parameters, decoded.
    pub parameters: Vec<(String, String)>,
    /// Whether it came by POST: `patient` is offered only there.
    pub is_post: bool,
    /// Whether what is not offered is to be left out.
    pub lenient: bool,
    /// Whether the export is to be documented.
    pub documented: bool,
    /// The types there are.
    pub types: &'a Types<'a>,
}

impl Kickoff<'_> {
    /// Reads it.
    ///
    /// # Errors
    /// Every fault, each with the expression `http.<parameter>`.
    pub fn read(self) -> Result<Request, Vec<Issue>> {
        let mut request = Request {
            level: self.level.clone(),
            types: Vec::new(),
            referred: None,
            since_ms: None,
            until_ms: None,
            elements: Vec::new(),
            filters: Vec::new(),
            patients: Vec::new(),
            lenient: self.lenient,
            ignored: Vec::new(),
            documented: self.documented,
            organized: false,
            views: None,
        };
        let (mut faults, mut named) = (Vec::new(), Vec::new());
        for (name, value) in &self.parameters {
            match self.take(&mut request, &mut named, name, value) {
                Ok(()) => {}
                Err(issue) if self.lenient && issue.code == IssueType::NotSupported => {
                    request.ignored.push(issue.details);
                }
                Err(issue) => faults.push(issue),
            }
        }
        let unasked = request.filters.iter().map(|(kind, _)| kind);
        for kind in unasked.filter(|kind| !named.is_empty() && !named.contains(kind)) {
            let details = format!("_typeFilter is about {kind}, which _type does not name.");
            faults.push(fault("_typeFilter", IssueType::Invalid, details));
        }
        if let Some(fault) = self.narrowed_provenance(&named) {
            match self.lenient {
                true => request.ignored.push(fault.details),
                false => faults.push(fault),
            }
        }
        if named.is_empty() && faults.is_empty() && self.parameters.iter().any(|(name, _)| name == "_type") {
            let details = "_type names no type that there is; without it, everything is exported.";
            faults.push(fault("_type", IssueType::Invalid, details.to_owned()));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let walked = match self.level {
            Level::System => &self.types.all,
            Level::Patient | Level::Group(_) | Level::One(_) => &self.types.of_patients,
        };
        let is_named = |kind: &str| named.is_empty() || named.iter().any(|name| name == kind);
        request.types = walked.iter().filter(|kind| is_named(kind)).map(|kind| (*kind).to_owned()).collect();
        if request.types.is_empty() {
            let details = "No type of _type is in a patient's compartment; others are exported where these refer to them, or at the base.";
            return Err(vec![fault("_type", IssueType::Invalid, details.to_owned())]);
        }
        request.referred = (!named.is_empty()).then_some(named);
        Ok(request)
    }

    fn take(
        &self,
        request: &mut Request,
        named: &mut Vec<String>,
        name: &str,
        value: &str,
    ) -> Result<(), Issue> {
        match name {
            "_outputFormat" => output_format(value),
            "_since" => once(name, &mut request.since_ms, time(name, value)?.0),
            "_until" => once(name, &mut request.until_ms, time(name, value)?.1),
            "_type" => {
                let mut answer = Ok(());
                for kind in list(value) {
                    match self.known_type(name, kind) {
                        Ok(()) if named.iter().any(|known| known == kind) => {}
                        Ok(()) => named.push(kind.to_owned()),
                        Err(issue) => answer = answer.and(Err(issue)),
                    }
                }
                answer
            }
            "_elements" => {
                for element in list(value) {
                    request.elements.push(self.element(element)?);
                }
                Ok(())
            }
            "_typeFilter" => {
                for query in self.queries(value) {
                    let (kind, query) = query.split_once('?').ok_or_else(|| {
                        let details = format!("{} is no search: write Type?parameter=value.", shown(query));
                        fault(name, IssueType::Value, details)
                    })?;
                    self.known_type(name, kind)?;
                    request.filters.push((kind.to_owned(), query.to_owned()));
                }
                bounded(name, request.filters.len(), MAX_FILTERS)
            }
            "patient" if !self.is_post => {
                let details = "patient is taken by POST, in a Parameters resource.".to_owned();
                Err(fault(name, IssueType::Invalid, details))
            }
            "patient" if matches!(self.level, Level::System | Level::One(_)) => {
                let details = "patient is for the export of Patient or of a Group.".to_owned();
                Err(fault(name, IssueType::Invalid, details))
            }
            "patient" => {
                request.patients.push(value.to_owned());
                bounded(name, request.patients.len(), MAX_PATIENTS)
            }
            "includeAssociatedData" => list(value).try_for_each(|asked| match asked {
                // Every export has it.
                ALL_PROVENANCE => Ok(()),
                _ => {
                    let details = format!(
                        "includeAssociatedData is offered as {ALL_PROVENANCE}, not as {}.",
                        shown(asked)
                    );
                    Err(fault(name, IssueType::NotSupported, details))
                }
            }),
            "organizeOutputBy" => {
                self.organizable(name, value)?;
                let mut before = request.organized.then_some(());
                request.organized = true;
                once(name, &mut before, ())
            }
            // What may be partial is always whole.
            "allowPartialManifests" if matches!(value, "true" | "false") => Ok(()),
            "allowPartialManifests" => {
                let details = "allowPartialManifests is true or false.".to_owned();
                Err(fault(name, IssueType::Value, details))
            }
            _ => Err(fault(
                name,
                IssueType::NotSupported,
                format!("{} is not offered by this export.", shown(name)),
            )),
        }
    }

    /// Whether files can be organized by a type.
    fn organizable(&self, name: &str, value: &str) -> Result<(), Issue> {
        let details = match self.level {
            _ if value != PATIENT => {
                format!("{name} is offered as {PATIENT}, not as {}.", shown(value))
            }
            Level::Patient | Level::Group(_) if !self.documented => return Ok(()),
            _ => format!("{name} is offered by the $export of Patient and of a Group."),
        };
        Err(fault(name, IssueType::NotSupported, details))
    }

    /// What is wrong where the Provenance of exactly what is exported is asked for, and `_type` leaves Provenance out.
    fn narrowed_provenance(&self, named: &[String]) -> Option<Issue> {
        const NAME: &str = "includeAssociatedData";
        let is_asked =
            |(name, value): &(String, String)| name == NAME && list(value).any(|it| it == ALL_PROVENANCE);
        let is_left_out = !named.is_empty() && named.iter().all(|kind| kind != "Provenance");
        (is_left_out && self.parameters.iter().any(is_asked)).then(|| {
            let details = format!("{ALL_PROVENANCE} needs Provenance among the types of _type.");
            fault(NAME, IssueType::NotSupported, details)
        })
    }

    fn known_type(&self, parameter: &str, kind: &str) -> Result<(), Issue> {
        match self.types.all.contains(&kind) {
            true => Ok(()),
            false => {
                let details = format!("{} is not a resource type of FHIR R4.", shown(kind));
                Err(fault(parameter, IssueType::NotSupported, details))
            }
        }
    }

    fn element(&self, text: &str) -> Result<(Option<String>, String), Issue> {
        let (kind, element) = match text.split_once('.') {
            Some((kind, element)) => (Some(kind), element),
            None => (None, text),
        };
        if let Some(kind) = kind {
            self.known_type("_elements", kind)?;
        }
        if element.is_empty() || !element.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            let details = format!("{} is no top-level element: write name or Type.name.", shown(text));
            return Err(fault("_elements", IssueType::Value, details));
        }
        Ok((kind.map(str::to_owned), element.to_owned()))
    }

    /// The searches of one value: a comma parts them where a type and a question mark follow, and else is one of a search's own.
    fn queries<'v>(&self, value: &'v str) -> Vec<&'v str> {
        let begins =
            |text: &str| text.split_once('?').is_some_and(|(kind, _)| self.types.all.contains(&kind));
        let commas = value.match_indices(',').map(|(at, _)| at);
        let mut queries = Vec::new();
        let mut from = 0;
        for at in commas {
            if value.get(at + 1..).is_some_and(begins) {
                queries.extend(value.get(from..at));
                from = at + 1;
            }
        }
        queries.extend(value.get(from..));
        queries
    }
}

/// The parameters of a Parameters resource: names, and values of a primitive type or references.
///
/// # Errors
/// What is no Parameters resource, and each parameter that has no such value.
pub fn of_body(body: &Value) -> Result<Vec<(String, String)>, Vec<Issue>> {
    if body.get("resourceType").and_then(Value::as_str) != Some("Parameters") {
        return Err(vec![Issue::error(IssueType::Invalid, "The body is to be a Parameters resource.")]);
    }
    let parameters = body.get("parameter").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    for (number, parameter) in parameters.iter().enumerate() {
        match (parameter.get("name").and_then(Value::as_str), value(parameter)) {
            (Some(name), Some(value)) => found.push((name.to_owned(), value)),
            _ => {
                let details = "This parameter needs a name, and a value of a primitive type or a reference.";
                let place = format!("Parameters.parameter[{number}]");
                faults.push(Issue::error(IssueType::Value, details).at(place));
            }
        }
    }
    if faults.is_empty() { Ok(found) } else { Err(faults) }
}

fn value(parameter: &Value) -> Option<String> {
    let mut members = parameter.as_object()?.iter();
    let (_, value) = members.find(|(name, _)| name.starts_with("value"))?;
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Object(reference) => Some(reference.get("reference")?.as_str()?.to_owned()),
        Value::Null | Value::Array(_) => None,
    }
}

fn output_format(value: &str) -> Result<(), Issue> {
    // A plus sign that was not encoded arrives as a space.
    match value.replace(' ', "+").as_str() {
        "application/fhir+ndjson" | "application/ndjson" | "ndjson" => Ok(()),
        _ => {
            let details =
                "_outputFormat is application/fhir+ndjson, application/ndjson or ndjson.".to_owned();
            Err(fault("_outputFormat", IssueType::Value, details))
        }
    }
}

/// The first and the last millisecond of a time.
fn time(name: &str, value: &str) -> Result<(i64, i64), Issue> {
    let span = primitive::span(&value.replace(' ', "+"));
    let (first, last) = span.ok_or_else(|| {
        let details = format!("{name} is an instant: 2026-11-22T02:10:33.123Z.");
        fault(name, IssueType::Value, details)
    })?;
    Ok((first.div_euclid(1000), last.div_euclid(1000)))
}

fn once<T>(name: &str, slot: &mut Option<T>, value: T) -> Result<(), Issue> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(fault(name, IssueType::Value, format!("{name} is given twice."))),
    }
}

fn bounded(name: &str, count: usize, most: usize) -> Result<(), Issue> {
    match count > most {
        false => Ok(()),
        true => Err(fault(name, IssueType::TooCostly, format!("{name} is taken at most {most} times."))),
    }
}

fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

fn fault(parameter: &str, code: IssueType, details: String) -> Issue {
    Issue { severity: Severity::Error, ..Issue::error(code, details) }
        .at(format!("http.{}", shown(parameter)))
}

impl Request {
    /// The elements to write of a type; `None` for all.
    pub fn elements_of(&self, resource_type: &str) -> Option<Vec<String>> {
        if self.elements.is_empty() {
            return None;
        }
        let of_type =
            self.elements.iter().filter(|(kind, _)| kind.as_deref().is_none_or(|kind| kind == resource_type));
        let names: Vec<String> = of_type.map(|(_, name)| name.clone()).collect();
        // A type that no element is about is written whole.
        (!names.is_empty()).then_some(names)
    }

    /// Whether it is about all patients.
    pub fn is_of_all(&self) -> bool {
        self.level == Level::Patient && self.patients.is_empty()
    }

    /// Whether resources of a type are wanted when others refer to them.
    pub(crate) fn wants_referred(&self, resource_type: &str) -> bool {
        self.referred.as_ref().is_none_or(|named| named.iter().any(|name| name == resource_type))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        level: Level,
        parameters: &[(&str, &str)],
        is_post: bool,
        lenient: bool,
    ) -> Result<Request, String> {
        let types = Types {
            all: vec!["Patient", "Observation", "Practitioner"],
            of_patients: vec!["Patient", "Observation"],
        };
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let parameters = parameters.iter().map(own).collect();
        let kickoff = Kickoff { level, parameters, is_post, lenient, documented: false, types: &types };
        kickoff.read().map_err(|issues| {
            let text = |issue: &Issue| {
                let at = issue.expression.as_deref().unwrap_or_default();
                format!("{} {} {at}: {}", issue.severity.as_str(), issue.code.as_str(), issue.details)
            };
            issues.iter().map(text).collect::<Vec<_>>().join("\n")
        })
    }

    #[track_caller]
    fn refused(level: Level, parameters: &[(&str, &str)], expected: &str) {
        assert_eq!(read(level, parameters, false, false).unwrap_err(), expected);
    }

    #[test]
    fn what_is_asked() {
        let request = read(
            Level::System,
            &[
                ("_outputFormat", "application/fhir ndjson"),
                ("_type", "Patient,Observation"),
                ("_type", "Patient"),
                ("_since", "1970-01-01T00:00:01Z"),
                ("_until", "1970-01-01T00:00:02.500Z"),
                ("_elements", "id,Patient.name"),
                ("_typeFilter", "Observation?status=final,amended,Patient?active=true"),
                ("_typeFilter", "Observation?code=1"),
            ],
            false,
            false,
        )
        .unwrap();
        assert_eq!(request.types, ["Patient", "Observation"]);
        assert_eq!((request.since_ms, request.until_ms), (Some(1000), Some(2500)));
        let filter = |kind: &str, query: &str| (kind.to_owned(), query.to_owned());
        assert_eq!(
            request.filters,
            [
                filter("Observation", "status=final,amended"),
                filter("Patient", "active=true"),
                filter("Observation", "code=1")
            ]
        );
        assert_eq!(request.elements_of("Patient").unwrap(), ["id", "name"]);
        assert_eq!(request.elements_of("Observation").unwrap(), ["id"]);
        assert!(!request.wants_referred("Practitioner"));
        let whole =
            [("includeAssociatedData", "RelevantProvenanceResources"), ("allowPartialManifests", "true")];
        assert_eq!(read(Level::System, &whole, false, false).unwrap().types.len(), 3);
        let all = read(Level::Patient, &[("patient", "Patient/1")], true, false).unwrap();
        assert_eq!((all.types.len(), all.patients.len()), (2, 1));
        assert!(all.wants_referred("Practitioner"));
    }

    #[test]
    fn what_is_refused() {
        refused(
            Level::System,
            &[("_outputFormat", "text/csv")],
            "error value http._outputFormat: _outputFormat is application/fhir+ndjson, application/ndjson or ndjson.",
        );
        refused(
            Level::System,
            &[("_type", "Pacient")],
            "error not-supported http._type: Pacient is not a resource type of FHIR R4.",
        );
        refused(
            Level::System,
            &[("_since", "soon")],
            "error value http._since: _since is an instant: 2026-11-22T02:10:33.123Z.",
        );
        refused(
            Level::System,
            &[("_since", "2020-01-01"), ("_since", "2021-01-01")],
            "error value http._since: _since is given twice.",
        );
        refused(
            Level::System,
            &[("_typeFilter", "Patient")],
            "error value http._typeFilter: Patient is no search: write Type?parameter=value.",
        );
        refused(
            Level::System,
            &[("_type", "Patient"), ("_typeFilter", "Observation?a=b")],
            "error invalid http._typeFilter: _typeFilter is about Observation, which _type does not name.",
        );
        refused(
            Level::System,
            &[("_elements", "Patient.name.given")],
            "error value http._elements: Patient.name.given is no top-level element: write name or Type.name.",
        );
        refused(
            Level::Patient,
            &[("patient", "Patient/1")],
            "error invalid http.patient: patient is taken by POST, in a Parameters resource.",
        );
        refused(
            Level::Patient,
            &[("_type", "Practitioner")],
            "error invalid http._type: No type of _type is in a patient's compartment; others are exported where these refer to them, or at the base.",
        );
        refused(
            Level::System,
            &[("includeAssociatedData", "RelevantProvenanceResources,LatestProvenanceResources")],
            "error not-supported http.includeAssociatedData: includeAssociatedData is offered as RelevantProvenanceResources, not as LatestProvenanceResources.",
        );
        refused(
            Level::System,
            &[("includeAssociatedData", "RelevantProvenanceResources"), ("_type", "Patient")],
            "error not-supported http.includeAssociatedData: RelevantProvenanceResources needs Provenance among the types of _type.",
        );
        refused(
            Level::System,
            &[("allowPartialManifests", "perhaps")],
            "error value http.allowPartialManifests: allowPartialManifests is true or false.",
        );
        refused(
            Level::System,
            &[("_sort", "x")],
            "error not-supported http._sort: _sort is not offered by this export.",
        );
        for (level, value, why) in [
            (Level::System, "Patient", "is offered by the $export of Patient and of a Group."),
            (Level::One("1".to_owned()), "Patient", "is offered by the $export of Patient and of a Group."),
            (Level::Patient, "Group", "is offered as Patient, not as Group."),
        ] {
            let expected = format!("error not-supported http.organizeOutputBy: organizeOutputBy {why}");
            refused(level, &[("organizeOutputBy", value)], &expected);
        }
        refused(
            Level::Patient,
            &[("organizeOutputBy", "Patient"), ("organizeOutputBy", "Patient")],
            "error value http.organizeOutputBy: organizeOutputBy is given twice.",
        );
        for level in [Level::System, Level::One("1".to_owned())] {
            assert_eq!(
                read(level, &[("patient", "Patient/1")], true, false).unwrap_err(),
                "error invalid http.patient: patient is for the export of Patient or of a Group."
            );
        }
    }

    #[test]
    fn who_is_lenient_is_told_what_was_left_out() {
        let parameters = [("organizeOutputBy", "Patient"), ("_type", "Patient,Pacient")];
        let request = read(Level::System, &parameters, false, true).unwrap();
        assert_eq!(
            request.ignored,
            [
                "organizeOutputBy is offered by the $export of Patient and of a Group.",
                "Pacient is not a resource type of FHIR R4."
            ]
        );
        assert_eq!(request.types, ["Patient"]);
        let reversed = read(Level::System, &[("_type", "Pacient,Patient")], false, true).unwrap();
        assert_eq!(reversed.types, ["Patient"]);
        for (name, value) in [("_since", "soon"), ("_type", "Pacient"), ("_type", "")] {
            assert!(read(Level::System, &[(name, value)], false, true).is_err(), "{name}={value}");
        }
    }

    #[test]
    fn a_body_is_read() {
        let body = serde_json::json!({"resourceType": "Parameters", "parameter": [
            {"name": "_type", "valueString": "Patient"},
            {"name": "patient", "valueReference": {"reference": "Patient/1"}},
        ]});
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(of_body(&body).unwrap(), [pair("_type", "Patient"), pair("patient", "Patient/1")]);
        let broken = serde_json::json!({"resourceType": "Parameters", "parameter": [{"name": "_type"}]});
        assert_eq!(of_body(&broken).unwrap_err().len(), 1);
        assert_eq!(of_body(&serde_json::json!({"resourceType": "Patient"})).unwrap_err().len(), 1);
    }
}
