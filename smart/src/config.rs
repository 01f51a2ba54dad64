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
    /// Whether keys of clients and the identity provider may be asked in private networks and by plain http.
    pub private_fetches: bool,
    /// The identity provider that people may sign in with instead of a password.
    pub upstream: Option<Upstream>,
    /// Who gives access, where that is said.
    pub brand: Option<Brand>,
}

/// An identity provider (OpenID Connect Core 1.0) that people may sign in with.
#[derive(Clone, PartialEq, Eq)]
pub struct Upstream {
    /// What the login page calls it.
    pub name: String,
    /// `iss` of its id_tokens, letter by letter.
    pub issuer: String,
    /// URL of its configuration, where that is not below the issuer: a policy of Azure AD B2C has it in a path of its own.
    pub configuration: Option<String>,
    /// Whom it knows this server as.
    pub client_id: String,
    /// How this server proves that.
    pub client_secret: Option<String>,
    /// What it is asked for beside `openid`.
    pub scopes: Vec<String>,
    /// The claim that accounts are linked by (`sub`; `oid` of Azure AD).
    pub link_claim: String,
    /// The claim that names the resource of people who have no account here (`extension_FhirUser`), as `Patient/1`.
    pub fhir_user_claim: Option<String>,
}

impl Upstream {
    /// OpenID Connect Discovery section 4.
    pub(crate) fn configuration_url(&self) -> String {
        let below = || format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        self.configuration.clone().unwrap_or_else(below)
    }
}

impl std::fmt::Debug for Upstream {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// How apps show who gives access here
/// (<https://hl7.org/fhir/smart-app-launch/STU2.2/brands.html>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brand {
    /// Where the Bundle is.
    pub bundle: String,
    /// The identifier of the Organization in it: system and value.
    pub identifier: (String, String),
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
pub const US_CORE_TYPES: &[&str] = &[
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
            consent_types: US_CORE_TYPES.iter().map(|name| (*name).to_owned()).collect(),
            private_fetches: false,
            upstream: None,
            brand: None,
        }
    }

    /// The path that all routes are below, without a slash at its end.
    pub(crate) fn path(&self) -> &str {
        let authority = self.issuer.find("://").map_or(0, |place| place + 3);
        let rest = self.issuer.get(authority..).unwrap_or_default();
        rest.find('/').and_then(|place| rest.get(place..)).unwrap_or_default()
    }
}
