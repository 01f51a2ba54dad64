//! Which resources of a compartment are asked for, as a filter of the store: their membership, and the time of care.

use interaction::{Failure, Handling, Service, Status};
use search::ParseContext;
use store::{Comparison, Filter, Key, ParameterId, Predicate};

use super::request::Request;

/// When the care began that a resource is about, and when it ended: its date parameters. What has no such date is in
/// every range, and what did not end reaches into all later ones. Types that are not here have no date of care.
const DATES_OF_CARE: &[(&str, &[&str], &[&str])] = &[
    ("Account", &["period"], &["period"]),
    ("AdverseEvent", &["date"], &["date"]),
    ("AllergyIntolerance", &["onset", "date"], &[]),
    ("Appointment", &["date"], &["date"]),
    ("AuditEvent", &["date"], &["date"]),
    ("Basic", &["created"], &["created"]),
    ("CarePlan", &["date"], &["date"]),
    ("CareTeam", &["date"], &["date"]),
    ("ChargeItem", &["occurrence"], &["occurrence"]),
    ("Claim", &["created"], &["created"]),
    ("ClaimResponse", &["created"], &["created"]),
    ("ClinicalImpression", &["date"], &["date"]),
    ("Communication", &["sent", "received"], &["sent", "received"]),
    ("CommunicationRequest", &["occurrence", "authored"], &["occurrence", "authored"]),
    ("Composition", &["period", "date"], &["period", "date"]),
    ("Condition", &["onset-date", "recorded-date"], &["abatement-date"]),
    ("Consent", &["period", "date"], &["period"]),
    ("CoverageEligibilityRequest", &["created"], &["created"]),
    ("CoverageEligibilityResponse", &["created"], &["created"]),
    ("DetectedIssue", &["identified"], &["identified"]),
    ("DeviceRequest", &["event-date", "authored-on"], &["event-date", "authored-on"]),
    ("DiagnosticReport", &["date", "issued"], &["date", "issued"]),
    ("DocumentManifest", &["created"], &["created"]),
    ("DocumentReference", &["period", "date"], &["period", "date"]),
    ("Encounter", &["date"], &["date"]),
    ("EpisodeOfCare", &["date"], &["date"]),
    ("ExplanationOfBenefit", &["created"], &["created"]),
    ("FamilyMemberHistory", &["date"], &[]),
    ("Flag", &["date"], &["date"]),
    ("Goal", &["start-date"], &["target-date"]),
    ("ImagingStudy", &["started"], &["started"]),
    ("Immunization", &["date"], &["date"]),
    ("ImmunizationEvaluation", &["date"], &["date"]),
    ("ImmunizationRecommendation", &["date"], &["date"]),
    ("Invoice", &["date"], &["date"]),
    ("List", &["date"], &["date"]),
    ("MeasureReport", &["period", "date"], &["period", "date"]),
    ("Media", &["created"], &["created"]),
    ("MedicationAdministration", &["effective-time"], &["effective-time"]),
    ("MedicationDispense", &["whenprepared", "whenhandedover"], &["whenprepared", "whenhandedover"]),
    ("MedicationRequest", &["authoredon", "date"], &["authoredon", "date"]),
    ("MedicationStatement", &["effective"], &["effective"]),
    ("NutritionOrder", &["datetime"], &["datetime"]),
    ("Observation", &["date"], &["date"]),
    ("Procedure", &["date"], &["date"]),
    ("Provenance", &["when", "recorded"], &["when", "recorded"]),
    ("QuestionnaireResponse", &["authored"], &["authored"]),
    ("RequestGroup", &["authored"], &["authored"]),
    ("ResearchSubject", &["date"], &["date"]),
    ("RiskAssessment", &["date"], &["date"]),
    ("Schedule", &["date"], &["date"]),
    ("ServiceRequest", &["occurrence", "authored"], &["occurrence", "authored"]),
    ("Specimen", &["collected"], &["collected"]),
    ("SupplyRequest", &["date"], &["date"]),
    ("VisionPrescription", &["datewritten"], &["datewritten"]),
];

/// Ends of time as the index has them, microseconds: the years 1 and 9999.
const LEAST: i64 = -62_135_596_800_000_000;
const LARGEST: i64 = 253_402_300_799_999_999;

/// The resources of a subject's compartment in the range of care, of those types that `wants` takes.
///
/// # Errors
/// What the search for them is refused for.
pub(super) fn filter(
    service: &Service,
    subject: &Key,
    request: &Request,
    wants: &dyn Fn(&str) -> bool,
) -> Result<Filter, Failure> {
    let compartment = subject.resource_type();
    let types = service.definitions.compartments.resource_types(compartment).into_iter();
    let mut filters = Vec::new();
    for resource_type in types.filter(|name| wants(name) && has(service, compartment, name)) {
        let mut all = vec![Filter::Type(resource_type.into()), members(service, subject, resource_type)?];
        all.extend(in_range(service, resource_type, request));
        filters.push(Filter::And(all));
    }
    Ok(if filters.is_empty() { Filter::None } else { Filter::Or(filters) })
}

/// Whether resources of a type are in compartments of a kind.
pub(crate) fn has(service: &Service, compartment: &str, resource_type: &str) -> bool {
    let parameters = service.definitions.compartments.parameters(compartment, resource_type);
    resource_type == compartment || !parameters.unwrap_or_default().is_empty()
}

/// The resources of a type in a subject's compartment.
///
/// # Errors
/// What the search for them is refused for.
pub(crate) fn members(service: &Service, subject: &Key, resource_type: &str) -> Result<Filter, Failure> {
    let context = ParseContext {
        index: &service.index,
        handling: Handling::Strict,
        now: 0,
        default_count: 1,
        max_count: 1,
        terminology: None,
    };
    let compartment = Some((subject.resource_type(), subject.id()));
    search::parse(&context, Some(resource_type), compartment, &[])
        .map(|request| request.query.filter)
        .map_err(|issues| Failure::of(Status::BadRequest, issues))
}

/// What must hold of a resource of a type to be of the range of care.
fn in_range(service: &Service, resource_type: &str, request: &Request) -> Vec<Filter> {
    let Some((_, begins, ends)) = DATES_OF_CARE.iter().find(|(name, ..)| *name == resource_type) else {
        return Vec::new();
    };
    let reaches = |codes: &[&str], from: i64, to: i64| {
        let parameters = codes.iter().filter_map(|code| {
            let found = service.definitions.search_parameters.get(resource_type, code)?;
            Some(service.index.id(found))
        });
        let parameters: Vec<ParameterId> = parameters.collect();
        let within = |parameter: &ParameterId| {
            Filter::Match(*parameter, Predicate::Date(Comparison::Approximately, from, to))
        };
        let without = parameters.iter().map(|parameter| Filter::Not(Box::new(Filter::Present(*parameter))));
        let without = Filter::And(without.collect());
        Filter::Or(parameters.iter().map(within).chain([without]).collect())
    };
    let began = request.end.map(|end| reaches(begins, LEAST, end));
    let ended = request.start.filter(|_| !ends.is_empty()).map(|start| reaches(ends, start, LARGEST));
    began.into_iter().chain(ended).collect()
}

/// What was committed since a time.
pub(super) fn since(filter: Filter, since: Option<i64>) -> Filter {
    match since {
        Some(time) => Filter::And(vec![filter, Filter::LastUpdated(Comparison::GreaterOrEqual, time, time)]),
        None => filter,
    }
}

#[cfg(test)]
mod tests {
    use conformance::{Definitions, SearchParameterType};

    use super::*;

    /// Each date is a date parameter; and each type of the patient's compartment has one, or is known to have none.
    #[test]
    fn dates_of_care_are_date_parameters() {
        let definitions = Definitions::embedded().unwrap();
        for (resource_type, begins, ends) in DATES_OF_CARE {
            for code in begins.iter().chain(*ends) {
                let parameter = definitions.search_parameters.get(resource_type, code);
                let kind = parameter.map(|parameter| parameter.kind);
                assert_eq!(kind, Some(SearchParameterType::Date), "{resource_type}.{code}");
            }
        }
        let compartments = &definitions.compartments;
        let without: Vec<&str> = compartments
            .resource_types("Patient")
            .into_iter()
            .filter(|name| !compartments.parameters("Patient", name).unwrap().is_empty())
            .filter(|name| !DATES_OF_CARE.iter().any(|(known, ..)| known == name))
            .collect();
        let expected = [
            "AppointmentResponse",
            "BodyStructure",
            "Coverage",
            "DeviceUseStatement",
            "EnrollmentRequest",
            "Group",
            "MolecularSequence",
            "Patient",
            "Person",
            "RelatedPerson",
            "SupplyDelivery",
        ];
        assert_eq!(without, expected);
    }
}
