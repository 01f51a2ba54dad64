//! An event as an AuditEvent: the patterns of BALP (<https://profiles.ihe.net/ITI/BALP/>) for interactions, DICOM's codes for
//! logins and for the log itself. Writes nothing about a patient but the id, and the query as it was asked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use smart::{EventKind, cleaned};

use crate::event::{Coding, Event, Interaction, Kind, Outcome, Pattern, User};

/// The system of codes that nobody else has.
pub const CODES: &str = "https://github.com/vesta-fhir/vesta/CodeSystem/audit-event";
/// The longest query that is recorded, bytes.
const MAX_QUERY: usize = 16 << 10;

const DCM: &str = "http://dicom.nema.org/resources/ontology/DCM";
const REST: &str = "http://terminology.hl7.org/CodeSystem/audit-event-type";
const INTERACTIONS: &str = "http://hl7.org/fhir/restful-interaction";
const PARTICIPATION: &str = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";
const ENTITY_TYPE: &str = "http://terminology.hl7.org/CodeSystem/audit-entity-type";
const ENTITY_ROLE: &str = "http://terminology.hl7.org/CodeSystem/object-role";
const REQUEST_ID: &str = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType";
const PROFILES: &str = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.";

/// The members of the AuditEvent, but `id`, `meta` and `extension`.
pub(crate) fn members(event: &Event) -> Map<String, Value> {
    let mut members = Map::new();
    let (kind, subtype) = codes(event.kind);
    members.insert("type".into(), kind);
    members.insert("subtype".into(), subtype);
    members.insert("action".into(), action(event.kind).into());
    members.insert("recorded".into(), instant(event.at_ms).into());
    members.insert("outcome".into(), event.outcome.code().into());
    if let Some(text) = description(event) {
        members.insert("outcomeDesc".into(), text.into());
    }
    if let Some(Coding { text, system, code }) = &event.purpose {
        let mut purpose = json!({ "coding": [{ "system": cleaned(system), "code": cleaned(code) }] });
        if let (Some(purpose), Some(text)) = (purpose.as_object_mut(), text) {
            purpose.insert("text".into(), cleaned(text).into());
        }
        members.insert("purposeOfEvent".into(), json!([purpose]));
    }
    members.insert("agent".into(), agents(event));
    let observer = match event.server.as_str() {
        "" => json!({ "display": "Vesta" }),
        server => json!({ "identifier": { "value": server }, "display": "Vesta" }),
    };
    let application =
        coding("http://terminology.hl7.org/CodeSystem/security-source-type", "4", "Application Server");
    members.insert("source".into(), json!({ "observer": observer, "type": [application] }));
    let entities = entities(event);
    if !entities.is_empty() {
        members.insert("entity".into(), Value::Array(entities));
    }
    members
}

/// The profile of BALP that the AuditEvent meets: those are of successful interactions with a client whose address is known.
pub(crate) fn profile(event: &Event) -> Option<String> {
    let Kind::Interaction(interaction) = event.kind else { return None };
    if event.outcome != Outcome::Success || event.address.is_empty() || event.server.is_empty() {
        return None;
    }
    let (name, is_there) = match interaction.pattern() {
        Pattern::Read => ("Read", event.resource.is_some()),
        Pattern::Create => ("Create", event.resource.is_some()),
        Pattern::Update => ("Update", event.resource.is_some()),
        Pattern::Delete => ("Delete", event.resource.is_some()),
        Pattern::Query => ("Query", event.query.is_some()),
        Pattern::Execute => return None,
    };
    let patient = if event.patient.is_some() { "Patient" } else { "" };
    is_there.then(|| format!("{PROFILES}{patient}{name}"))
}

/// `2026-11-22T02:10:33.123Z`.
fn instant(at_ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(at_ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{time:.3}")
}

fn coding(system: &str, code: &str, display: &str) -> Value {
    json!({ "system": system, "code": code, "display": display })
}

fn concept(system: &str, code: &str, display: &str) -> Value {
    json!({ "coding": [coding(system, code, display)] })
}

fn own(code: &str) -> Value {
    json!({ "system": CODES, "code": code })
}

/// `type` and `subtype`.
fn codes(kind: Kind) -> (Value, Value) {
    let rest = || coding(REST, "rest", "Restful Operation");
    let activity = || coding(DCM, "110100", "Application Activity");
    match kind {
        Kind::Interaction(interaction) => {
            let code = interaction.code();
            (rest(), json!([coding(INTERACTIONS, code, code)]))
        }
        Kind::Authorization(EventKind::Replay) => {
            (coding(DCM, "110113", "Security Alert"), json!([own("replay")]))
        }
        Kind::Authorization(kind) => (coding(DCM, "110114", "User Authentication"), authentication(kind)),
        Kind::Start => (activity(), json!([coding(DCM, "110120", "Application Start"), own("checkpoint")])),
        Kind::Checkpoint => (activity(), json!([own("checkpoint")])),
        Kind::Stop => (activity(), json!([coding(DCM, "110121", "Application Stop"), own("checkpoint")])),
        Kind::Lost(_) => (coding(DCM, "110113", "Security Alert"), json!([own("events-lost")])),
    }
}

fn authentication(kind: EventKind) -> Value {
    let code = match kind {
        EventKind::Login => return json!([coding(DCM, "110122", "Login")]),
        EventKind::Logout => return json!([coding(DCM, "110123", "Logout")]),
        EventKind::Authorize => "authorize",
        EventKind::Consent => "consent",
        EventKind::Token => "token",
        EventKind::Replay => "replay",
        EventKind::Revoke => "revoke",
        EventKind::Introspect => "introspect",
        EventKind::Register => "register",
        EventKind::Launch => "launch",
        EventKind::Administer => "administer",
    };
    json!([own(code)])
}

fn action(kind: Kind) -> &'static str {
    let Kind::Interaction(interaction) = kind else { return "E" };
    match interaction.pattern() {
        Pattern::Read => "R",
        Pattern::Create => "C",
        Pattern::Update => "U",
        Pattern::Delete => "D",
        Pattern::Query | Pattern::Execute => "E",
    }
}

fn description(event: &Event) -> Option<String> {
    match event.kind {
        Kind::Lost(events) => Some(format!("{events} events were not recorded")),
        _ => event.failure.as_deref().map(cleaned),
    }
}

/// The server, the app and the user.
fn agents(event: &Event) -> Value {
    let source = || concept(DCM, "110153", "Source Role ID");
    let destination = || concept(DCM, "110152", "Destination Role ID");
    let application = || concept(DCM, "110150", "Application");
    let pattern = match event.kind {
        Kind::Interaction(interaction) => interaction.pattern(),
        Kind::Authorization(_) => Pattern::Query,
        Kind::Start | Kind::Checkpoint | Kind::Stop | Kind::Lost(_) => {
            return json!([{ "type": application(), "who": { "display": "Vesta" }, "requestor": false }]);
        }
    };
    let (client, server) = match pattern {
        Pattern::Read => (destination(), source()),
        Pattern::Create | Pattern::Update | Pattern::Query | Pattern::Execute => (source(), destination()),
        Pattern::Delete => {
            let custodian = "http://terminology.hl7.org/CodeSystem/provenance-participant-type";
            (application(), concept(custodian, "custodian", "Custodian"))
        }
    };
    let mut all = vec![client_agent(event, client), server_agent(event, server)];
    all.extend(event.user.as_ref().map(|user| user_agent(user, pattern)));
    Value::Array(all)
}

fn client_agent(event: &Event, role: Value) -> Value {
    let who = match &event.client {
        Some(client) => json!({ "identifier": { "value": cleaned(client) } }),
        None => json!({ "display": "unknown" }),
    };
    let mut agent = json!({ "type": role, "who": who, "requestor": event.user.is_none() });
    if !event.address.is_empty() {
        set(&mut agent, "network", json!({ "address": cleaned(&event.address), "type": "2" }));
    }
    agent
}

fn server_agent(event: &Event, role: Value) -> Value {
    let server = event.server.as_str();
    let who = match server {
        "" => json!({ "display": "Vesta" }),
        _ => json!({ "identifier": { "value": server } }),
    };
    let mut agent = json!({ "type": role, "who": who, "requestor": false });
    if !server.is_empty() {
        let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
        let address = rest.split('/').next().unwrap_or(rest);
        set(&mut agent, "network", json!({ "address": address, "type": "1" }));
    }
    agent
}

fn user_agent(user: &User, pattern: Pattern) -> Value {
    let role = match pattern {
        Pattern::Create | Pattern::Update | Pattern::Delete => concept(PARTICIPATION, "AUT", "Author"),
        Pattern::Read | Pattern::Query | Pattern::Execute => {
            concept(PARTICIPATION, "IRCP", "information recipient")
        }
    };
    let who = match user {
        User::Resource(reference) => json!({ "reference": cleaned(reference) }),
        User::Name(name) => json!({ "identifier": { "value": cleaned(name) } }),
    };
    json!({ "type": role, "who": who, "requestor": true })
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(members) = object {
        members.insert(name.to_owned(), value);
    }
}

/// The request, the patient, what was touched, what was asked.
fn entities(event: &Event) -> Vec<Value> {
    let object = || coding(ENTITY_TYPE, "2", "System Object");
    let mut all = Vec::new();
    if let Some(id) = &event.request {
        let kind = json!({ "system": REQUEST_ID, "code": "XrequestId" });
        all.push(json!({ "what": { "identifier": { "value": cleaned(id) } }, "type": kind }));
    }
    if let Some(patient) = &event.patient {
        all.push(json!({
            "what": { "reference": format!("Patient/{}", cleaned(patient)) },
            "type": coding(ENTITY_TYPE, "1", "Person"),
            "role": coding(ENTITY_ROLE, "1", "Patient"),
        }));
    }
    let is_query =
        matches!(event.kind, Kind::Interaction(Interaction::SearchType | Interaction::SearchSystem));
    // A search has no one resource; BALP wants the query alone.
    if let Some(resource) = event.resource.as_deref().filter(|_| !is_query) {
        let what = match resource.contains('/') {
            true => json!({ "reference": cleaned(resource) }),
            false => json!({ "type": cleaned(resource) }),
        };
        let role = coding(ENTITY_ROLE, "4", "Domain Resource");
        all.push(json!({ "what": what, "type": object(), "role": role }));
    }
    if let Some(query) = &event.query {
        let bytes = query.as_bytes();
        let encoded = STANDARD.encode(bytes.get(..MAX_QUERY).unwrap_or(bytes));
        let role = coding(ENTITY_ROLE, "24", "Query");
        all.push(json!({ "type": object(), "role": role, "query": encoded }));
    }
    all
}
