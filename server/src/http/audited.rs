//! An exchange as an event of the audit log: who asked for what, and how it ended. Requests for the CapabilityStatement are left
//! out, and those that name no tenant's records.

use std::sync::Arc;

use audit::{Coding, Event, Kind, Outcome, User};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::Response;

use super::oauth::Peer;
use super::respond;
use super::route::{Interaction, Target};
use crate::authorization::Holder;
use crate::tenants::Site;

/// What is known before the answer.
pub struct Asked {
    site: Arc<Site>,
    kind: audit::Interaction,
    /// `Patient/1`, `Patient`, or nothing.
    resource: String,
    /// The id of the patient in the path.
    patient: Option<String>,
    query: Option<String>,
    address: String,
    /// Whose token it came with, once that is known.
    pub holder: Option<Arc<Holder>>,
    /// Why the policy of the user was put aside, where it was.
    pub emergency: Option<String>,
}

impl Asked {
    /// Of a request; `None` for what is not recorded.
    pub fn of(
        site: &Arc<Site>,
        interaction: Interaction,
        target: &Target<'_>,
        head: &Parts,
    ) -> Option<Box<Asked>> {
        let kind = kind(interaction)?;
        let Target { resource_type, id, .. } = *target;
        let patient = (resource_type == "Patient" && !id.is_empty()).then(|| id.to_owned());
        let resource = if id.is_empty() { resource_type.to_owned() } else { format!("{resource_type}/{id}") };
        let is_asked = head.uri.query().is_some()
            || matches!(kind, audit::Interaction::SearchType | audit::Interaction::SearchSystem)
            || matches!(
                interaction,
                // What was erased, the path says.
                Interaction::Operation | Interaction::DeleteHistory | Interaction::DeleteHistoryVersion
            );
        let query = is_asked.then(|| head.uri.path_and_query().map(ToString::to_string)).flatten();
        let peer = head.extensions.get::<Peer>();
        let address = peer.map(|peer| peer.0.to_string()).unwrap_or_default();
        let site = Arc::clone(site);
        Some(Box::new(Asked { site, kind, resource, patient, query, address, holder: None, emergency: None }))
    }

    /// The parameters of a search that came in the body.
    pub fn form(&mut self, form: &[u8]) {
        let path = self.query.take().unwrap_or_default();
        let joint = if path.contains('?') { '&' } else { '?' };
        self.query = Some(format!("{path}{joint}{}", String::from_utf8_lossy(form)));
    }

    /// The event, and the tenant it is of.
    pub fn event(self, response: &Response, now_ms: i64) -> (Arc<str>, Event) {
        let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let status = response.status().as_u16();
        let outcome = Outcome::of_status(status);
        let base = &self.site.service.base;
        // What a create made.
        let made = text(header::LOCATION).and_then(|url| url.strip_prefix(base.as_str())?.strip_prefix('/'));
        let resource = made.map(str::to_owned).or(Some(self.resource)).filter(|text| !text.is_empty());
        let of_made = made.and_then(|made| made.strip_prefix("Patient/")?.split('/').next());
        let holder = self.holder.as_deref();
        let asked_for = || self.query.as_deref().and_then(patient_of);
        let patient = of_made.map(str::to_owned).or(self.patient).or_else(asked_for);
        let event = Event {
            kind: Kind::Interaction(self.kind),
            at_ms: now_ms,
            outcome,
            failure: (outcome != Outcome::Success).then(|| format!("HTTP {status}")),
            client: holder.map(|holder| holder.client.clone()),
            user: holder.and_then(|holder| holder.user.clone()).map(User::Resource),
            address: self.address,
            server: base.clone(),
            request: text(respond::REQUEST_ID).map(str::to_owned),
            resource,
            patient: patient.or_else(|| holder.and_then(|holder| holder.patient.clone())),
            query: self.query,
            purpose: self.emergency.map(broken_glass),
        };
        (self.site.caller.tenant.as_str().into(), event)
    }
}

/// The purpose of what is done in an emergency (<https://terminology.hl7.org/CodeSystem-v3-ActReason.html>).
fn broken_glass(reason: String) -> Coding {
    Coding {
        text: Some(reason),
        system: "http://terminology.hl7.org/CodeSystem/v3-ActReason".to_owned(),
        code: "BTG".to_owned(),
    }
}

/// The patient that the parameters of a search name.
fn patient_of(query: &str) -> Option<String> {
    let (_, query) = query.split_once('?')?;
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    let (name, value) = pairs.find(|(name, _)| matches!(&**name, "patient" | "subject"))?;
    let id = match value.strip_prefix("Patient/") {
        Some(id) => id,
        None if name == "patient" => &value,
        None => return None,
    };
    let is_id = (1..=64).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    is_id.then(|| id.to_owned())
}

fn kind(interaction: Interaction) -> Option<audit::Interaction> {
    Some(match interaction {
        Interaction::Read => audit::Interaction::Read,
        Interaction::Vread => audit::Interaction::Vread,
        Interaction::Update | Interaction::ConditionalUpdate => audit::Interaction::Update,
        Interaction::Patch | Interaction::ConditionalPatch => audit::Interaction::Patch,
        Interaction::Delete
        | Interaction::ConditionalDelete
        | Interaction::DeleteHistory
        | Interaction::DeleteHistoryVersion => audit::Interaction::Delete,
        Interaction::Create => audit::Interaction::Create,
        Interaction::HistoryInstance => audit::Interaction::HistoryInstance,
        Interaction::HistoryType => audit::Interaction::HistoryType,
        Interaction::HistorySystem => audit::Interaction::HistorySystem,
        Interaction::SearchType | Interaction::SearchCompartment => audit::Interaction::SearchType,
        Interaction::SearchSystem => audit::Interaction::SearchSystem,
        Interaction::Bundle => audit::Interaction::Transaction,
        Interaction::Operation => audit::Interaction::Operation,
        Interaction::Capabilities => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_name_patients() {
        for (query, expected) in [
            ("/fhir/Observation?code=1&patient=p1", Some("p1")),
            ("/fhir/Observation?patient=Patient/p1", Some("p1")),
            ("/fhir/Observation?subject=Patient%2Fp1", Some("p1")),
            ("/fhir/Observation?subject=Group/g", None),
            ("/fhir/Observation?patient=p1,p2", None),
            ("/fhir/Observation?code=1", None),
            ("/fhir/Observation", None),
        ] {
            assert_eq!(patient_of(query).as_deref(), expected, "{query}");
        }
    }
}
