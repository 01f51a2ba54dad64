//! What can be set.

/// How an authorization server is set up. Times are seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `iss`: the URL that all routes are below, without a slash at its end. Never changes.
    pub issuer: String,
    /// The FHIR base, without a slash at its end.
    pub fhir_base: String,
    /// Whether cookies are for https only; false is for a machine of one's own only.
    pub secure: bool,
    /// Of an authorization, from the first page to the last.
    pub pending_lifetime_s: i64,
    /// Of a code.
    pub code_lifetime_s: i64,
    /// Of an access token that a user granted.
    pub access_lifetime_s: i64,
    /// Of a backend service's access token: at most 300.
    pub backend_lifetime_s: i64,
    /// Of a refresh token, from its last use; (g)(10) asks for three months at least.
    pub refresh_lifetime_s: i64,
    /// Of a session.
    pub session_lifetime_s: i64,
    /// Of a launch that waits for its app.
    pub launch_lifetime_s: i64,
    /// Who may register clients by themselves (RFC 7591).
    pub registration: Registration,
    /// Types that the consent page offers one by one where an app asks for all.
    pub consent_types: Vec<String>,
    /// Whether keys of clients may be fetched from private networks and by plain http.
    pub private_fetches: bool,
}

/// Who may register clients by themselves. Such clients can be public or have keys, and get no `system/` scopes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Registration {
    /// Nobody.
    #[default]
    Off,
    /// Who has this token (RFC 7591 section 3, initial access token).
    WithToken(String),
    /// Everybody.
    Open,
}

/// US Core's types: what the consent page offers for `*`.
const CONSENT_TYPES: &[&str] = &[
    "Patient",
    "AllergyIntolerance",
    "CarePlan",
    "CareTeam",
    "Condition",
    "Coverage",
    "Device",
    "DiagnosticReport",
    "DocumentReference",
    "Encounter",
    "Goal",
    "Immunization",
    "Location",
    "Medication",
    "MedicationDispense",
    "MedicationRequest",
    "Observation",
    "Organization",
    "Practitioner",
    "PractitionerRole",
    "Procedure",
    "Provenance",
    "QuestionnaireResponse",
    "RelatedPerson",
    "ServiceRequest",
    "Specimen",
];

impl Config {
    /// The usual settings for an issuer and a FHIR base.
    pub fn new(issuer: &str, fhir_base: &str) -> Config {
        const DAY_S: i64 = 24 * 3600;
        Config {
            issuer: issuer.trim_end_matches('/').to_owned(),
            fhir_base: fhir_base.trim_end_matches('/').to_owned(),
            secure: issuer.starts_with("https://"),
            pending_lifetime_s: 1800,
            code_lifetime_s: 60,
            access_lifetime_s: 3600,
            backend_lifetime_s: 300,
            refresh_lifetime_s: 180 * DAY_S,
            session_lifetime_s: 8 * 3600,
            launch_lifetime_s: 600,
            registration: Registration::Off,
            consent_types: CONSENT_TYPES.iter().map(|name| (*name).to_owned()).collect(),
            private_fetches: false,
        }
    }

    /// The path that all routes are below, without a slash at its end.
    pub(crate) fn path(&self) -> &str {
        let authority = self.issuer.find("://").map_or(0, |place| place + 3);
        let rest = self.issuer.get(authority..).unwrap_or_default();
        rest.find('/').and_then(|place| rest.get(place..)).unwrap_or_default()
    }
}
