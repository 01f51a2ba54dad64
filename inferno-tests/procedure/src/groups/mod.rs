//! The tests, by group of the kit. Each says what it saw under the kit's own ids.

mod access;
mod bulk;
mod ehr;
mod granular;
mod introspection;
mod openid;
mod refresh;
mod refusals;
mod revocation;
mod single_patient;
mod standalone;

pub use bulk::bulk;
pub use single_patient::single_patient;

use serde_json::Value;

use crate::browser::{Browser, Choices, Scopes};
use crate::hello;
use crate::http::{Checked, Http, Wrong, ensure, text};
use crate::inputs::{Client, Inputs};
use crate::launch::{Endpoints, ORIGIN, Request, Token, code};
use crate::report::{Group, Report};

/// The scopes that a standalone app asks for, in the syntax of version 2.
const STANDALONE_TYPES: &[&str] = &[
    "Medication",
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
    "MedicationDispense",
    "MedicationRequest",
    "Observation",
    "Organization",
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "Procedure",
    "Provenance",
    "QuestionnaireResponse",
    "RelatedPerson",
    "ServiceRequest",
    "Specimen",
];

/// The types of the patient compartment that a grant of everything must have.
const COMPARTMENT: &[&str] = &[
    "Patient",
    "AllergyIntolerance",
    "CarePlan",
    "CareTeam",
    "Condition",
    "DiagnosticReport",
    "DocumentReference",
    "Goal",
    "Immunization",
    "MedicationRequest",
    "Observation",
    "Procedure",
    "Provenance",
    "ServiceRequest",
    "Coverage",
    "MedicationDispense",
    "Specimen",
];

/// What the well-known configuration must say that it can.
const STANDALONE_CAPABILITIES: &[&str] = &[
    "launch-standalone",
    "client-public",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "sso-openid-connect",
    "context-standalone-patient",
    "permission-offline",
    "permission-patient",
    "authorize-post",
    "permission-v2",
    "permission-v1",
];
const EHR_CAPABILITIES: &[&str] = &[
    "launch-ehr",
    "client-public",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "sso-openid-connect",
    "context-banner",
    "context-style",
    "context-ehr-patient",
    "context-ehr-encounter",
    "permission-offline",
    "permission-user",
    "authorize-post",
    "permission-v2",
    "permission-v1",
];

/// `allergy_intolerance`: how the kit's ids write a type.
pub(crate) fn snake(kind: &str) -> String {
    let mut out = String::new();
    for (place, letter) in kind.char_indices() {
        if letter.is_ascii_uppercase() && place > 0 {
            out.push('_');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// Scopes of each type.
fn scopes(before: &str, level: &str, types: &[&str], letters: &str) -> String {
    let each = types.iter().map(|name| format!("{level}/{name}.{letters}"));
    before.split(' ').map(str::to_owned).chain(each).collect::<Vec<_>>().join(" ")
}

/// Follows the procedure for launches and tokens: groups 1, 2, 3 and 9.
///
/// # Errors
/// Nothing can be looked at at all; what is wrong with a test stands in the report.
pub async fn launches(inputs: &Inputs) -> Result<Report, Wrong> {
    let mut report = Report::default();
    let mut run = Run { inputs, http: Http::new(inputs.authority.as_deref())?, report: &mut report };
    let full = standalone::full(&mut run).await;
    standalone::limited(&mut run).await;
    ehr::practitioner(&mut run).await;
    standalone::public(&mut run).await;
    refusals::audience(&mut run).await;
    refusals::token_request(&mut run).await;
    refusals::code_verifier(&mut run).await;
    ehr::patient(&mut run).await;
    introspection::introspection(&mut run).await;
    standalone::asymmetric(&mut run).await;
    standalone::version_1(&mut run).await;
    granular::granular(&mut run, full.as_ref()).await;
    granular::selection(&mut run).await;
    // Last: it takes away what the others stand on.
    revocation::revocation(&mut run).await;
    Ok(report)
}

/// The procedure under way.
struct Run<'r> {
    inputs: &'r Inputs,
    http: Http,
    report: &'r mut Report,
}

/// A launch that ended with a token.
struct Launched {
    endpoints: Endpoints,
    token: Token,
    requested: String,
}

/// One launch, as a group asks for it.
struct Plan<'p> {
    client: &'p Client,
    scope: String,
    chosen: Scopes<'p>,
    /// What the ids of tests about TLS begin with.
    prefix: &'static str,
    /// An EHR launch.
    launch: Option<String>,
    practitioner: bool,
    post: bool,
}

impl<'p> Plan<'p> {
    fn standalone(client: &'p Client, scope: String) -> Plan<'p> {
        let chosen = Scopes::AsOffered;
        Plan { client, scope, chosen, prefix: "standalone", launch: None, practitioner: false, post: false }
    }
}

/// The tests of a well-known configuration.
async fn discovery(
    http: &Http,
    inputs: &Inputs,
    group: &mut Group<'_>,
    needed: &[&str],
) -> Option<Endpoints> {
    let endpoints = group.saw("well_known_endpoint", Endpoints::discover(http, &inputs.base).await)?;
    group.saw("well_known_capabilities", fields(&endpoints.configuration));
    group.saw("g10_smart_well_known_capabilities", capable(&endpoints.configuration, needed));
    let url = format!("{}/.well-known/smart-configuration", inputs.base);
    group.saw("smart_cors_well_known_endpoint", allows_origin(http, &url, &[]).await);
    let url = format!("{}/metadata", inputs.base);
    group.saw("smart_cors_metadata_request", allows_origin(http, &url, &[]).await);
    Some(endpoints)
}

fn fields(configuration: &Value) -> Checked {
    let list = |name: &str| {
        let list = configuration.get(name).and_then(Value::as_array).filter(|list| !list.is_empty());
        let list = list.ok_or_else(|| Wrong(format!("`{name}` is no list, or empty")))?;
        let texts: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
        texts.ok_or_else(|| Wrong(format!("`{name}` has what is no text")))
    };
    for name in ["authorization_endpoint", "token_endpoint", "issuer", "jwks_uri"] {
        ensure(text(configuration, name).is_some(), || format!("`{name}` is missing"))?;
    }
    let grants = list("grant_types_supported")?;
    ensure(grants.contains(&"authorization_code"), || "no grant type authorization_code".to_owned())?;
    let methods = list("code_challenge_methods_supported")?;
    ensure(methods.contains(&"S256") && !methods.contains(&"plain"), || format!("PKCE with {methods:?}"))?;
    list("capabilities").map(|_| ())
}

fn capable(configuration: &Value, needed: &[&str]) -> Checked {
    let has = |name: &str| {
        let list = configuration.get("capabilities").and_then(Value::as_array);
        list.is_some_and(|list| list.iter().any(|one| one.as_str() == Some(name)))
    };
    let missing: Vec<&str> = needed.iter().copied().filter(|name| !has(name)).collect();
    ensure(missing.is_empty(), || format!("the capabilities {missing:?} are missing"))
}

/// Refuses an answer that a script of another origin may not read.
async fn allows_origin(http: &Http, url: &str, headers: &[(&str, &str)]) -> Checked {
    let mut all = vec![("origin", ORIGIN), ("accept", "application/json")];
    all.extend_from_slice(headers);
    let answer = http.get(url, &all).await?;
    let allowed = answer.expect(&[200])?.header("access-control-allow-origin").unwrap_or_default();
    ensure(allowed == "*" || allowed == ORIGIN, || {
        format!("Access-Control-Allow-Origin '{allowed}' at {url}")
    })
}

impl Run<'_> {
    fn choices<'c>(&'c self, plan: &Plan<'c>) -> Choices<'c> {
        let user = if plan.practitioner { &self.inputs.practitioner } else { &self.inputs.user };
        Choices { user, patient: &self.inputs.patient, scopes: plan.chosen.clone() }
    }

    fn request<'l>(&'l self, plan: &'l Plan<'l>) -> Request<'l> {
        let mut request =
            Request::new(plan.client, &self.inputs.redirect_uri, &self.inputs.base, &plan.scope);
        request.launch = plan.launch.as_deref();
        request.post = plan.post;
        request
    }

    /// A launch, with the tests that each has.
    async fn launch(&mut self, id: &str, endpoints: Endpoints, plan: &Plan<'_>) -> Option<Launched> {
        let (http, inputs) = (self.http.clone(), self.inputs);
        let tls = [
            (format!("{}_auth_tls", plan.prefix), hello::check(&http, &endpoints.authorize).await),
            (format!("{}_token_tls", plan.prefix), hello::check(&http, &endpoints.token).await),
        ];
        let choices = self.choices(plan);
        let request = self.request(plan);
        let mut browser = Browser::new(&http);
        let back = request.authorize(&mut browser, &endpoints, &choices).await;
        let exchanged = match &back {
            Ok(query) => match code(query, &request.state) {
                Ok(code) => Some(request.exchange(&http, &endpoints, code).await),
                Err(_) => None,
            },
            Err(_) => None,
        };
        let state = request.state.clone();
        let mut group = self.report.group(id);
        for (test, found) in tls {
            group.saw(&test, found);
        }
        let query = group.saw("smart_app_redirect", back)?;
        group.saw("smart_code_received", code(&query, &state).map(str::to_owned))?;
        let answer = group.saw("smart_token_exchange", exchanged?)?;
        let token = group.saw("smart_token_response_body", Token::read(&answer))?;
        group.saw("smart_token_response_headers", {
            let has = |name: &str, value: &str| {
                let found = answer.header(name).unwrap_or_default().to_ascii_lowercase();
                ensure(found.contains(value), || format!("{name} is '{found}'"))
            };
            has("cache-control", "no-store").and_then(|()| has("pragma", "no-cache"))
        });
        // The kit asks it of public clients alone.
        group.saw("smart_cors_token_exchange", {
            let allowed = answer.header("access-control-allow-origin").unwrap_or_default();
            ensure(allowed == "*" || allowed == ORIGIN, || format!("it allows the origin '{allowed}'"))
        });
        let unauthorized = async {
            let url = format!("{}/Patient/{}", inputs.base, inputs.patient);
            http.get(&url, &[("accept", "application/fhir+json")]).await?.expect(&[401]).map(|_| ())
        };
        group.saw("g10_unauthorized_access", unauthorized.await);
        group.saw("g10_patient_context", patient_context(&http, inputs, &token).await);
        Some(Launched { endpoints, token, requested: plan.scope.clone() })
    }
}

/// Reads the patient in context.
async fn patient_context(http: &Http, inputs: &Inputs, token: &Token) -> Checked {
    let patient =
        token.text("patient").ok_or_else(|| Wrong("no `patient` in the token response".to_owned()))?;
    ensure(patient == inputs.patient, || format!("the patient in context is {patient}"))?;
    read(http, inputs, token, "Patient", patient).await.map(|_| ())
}

/// Reads a resource with a token.
async fn read(http: &Http, inputs: &Inputs, token: &Token, kind: &str, id: &str) -> Checked<Value> {
    let url = format!("{}/{kind}/{id}", inputs.base);
    let bearer = token.bearer();
    let headers = [("authorization", bearer.as_str()), ("accept", "application/fhir+json")];
    http.get(&url, &headers).await?.resource(kind)
}

/// Refuses a grant that lacks one of these scopes, or a type.
fn granted(launched: &Launched, level: &str, needed: &[&str], types: &[&str]) -> Checked {
    let received = launched.token.scopes();
    for name in needed {
        let asked = launched.requested.split(' ').any(|scope| scope == *name);
        ensure(asked && received.contains(name), || format!("the scope {name} is not granted"))?;
    }
    let records = || received.iter().filter(|scope| scope.contains('/') && !scope.starts_with("launch"));
    for scope in records() {
        let plain = scope.split('?').next().unwrap_or_default();
        let kind = plain.split(['/', '.']).nth(1).unwrap_or_default();
        let fine = plain.starts_with(&format!("{level}/"));
        ensure(fine || !types.contains(&kind), || format!("the scope {scope} is not of the level {level}"))?;
    }
    let has = |kind: &str| {
        let is = |scope: &&&str| {
            let of_kind = scope.split(['/', '.']).nth(1);
            of_kind == Some(kind) || of_kind == Some("*")
        };
        records().any(|scope| is(&scope))
    };
    let missing: Vec<&str> = types.iter().copied().filter(|kind| !has(kind)).collect();
    ensure(missing.is_empty(), || format!("nothing is granted of {missing:?}"))
}
