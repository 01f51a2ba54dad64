//! EHR launch: what an EHR prepares before it opens an app (<https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html#launch-app-ehr-launch>).
//! The caller has authenticated the EHR's user, and has checked that they may see the patient.

use url::Url;

use super::AuthorizationServer;
use super::error::ServerError;
use crate::event::{EventKind, cleaned};
use crate::message::Request;
use crate::record::{Client, FhirContext, Launch, LaunchContext};
use crate::secret::{digested, new_secret};
use crate::storage::Condition;

/// The most items of `fhirContext`.
const MAX_FHIR_CONTEXT: usize = 50;
/// The longest text of a launch context, in bytes.
const MAX_TEXT_BYTES: usize = 1000;

/// What an EHR asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaunchRequest {
    /// The app; `None` is any.
    pub client_id: Option<String>,
    /// The only user who may go on with it, by `sub`; `None` is any who may see the patient.
    pub user_sub: Option<String>,
    /// What the app is told.
    pub context: LaunchContext,
}

/// A launch that waits for its app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launched {
    /// `launch`.
    pub launch: String,
    /// Where to send the browser, if the app registered a launch URI.
    pub url: Option<String>,
}

/// Why there is no launch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// No such app.
    #[error("the app is not registered here")]
    Client,
    /// A part of the context is not one of SMART's.
    #[error("the launch context has a bad {0}")]
    Context(&'static str),
    /// The store or the random numbers failed.
    #[error(transparent)]
    Failed(#[from] ServerError),
}

impl AuthorizationServer {
    /// Prepares a launch.
    ///
    /// # Errors
    /// The app is unknown, or the context is bad.
    pub async fn launch(&self, asked: LaunchRequest, address: &str) -> Result<Launched, LaunchError> {
        check(&asked.context)?;
        let client = match &asked.client_id {
            None => None,
            Some(id) => {
                let client = self.records().get::<Client>(id).await.map_err(ServerError::from)?;
                Some(client.filter(|client| client.enabled).ok_or(LaunchError::Client)?)
            }
        };
        let secret = new_secret().map_err(ServerError::from)?;
        let mut event =
            self.event(EventKind::Launch, &Request { address: address.to_owned(), ..Request::default() });
        event.client = asked.client_id.as_deref().map(cleaned);
        event.user = asked.user_sub.as_deref().map(cleaned);
        event.patient.clone_from(&asked.context.patient);
        let launch = Launch {
            context: asked.context,
            client_id: asked.client_id,
            user_sub: asked.user_sub,
            expires_s: self.now_s() + self.config.launch_lifetime_s,
        };
        let written = self.records().put(&digested(&secret), &launch, Condition::Absent).await;
        written.map_err(ServerError::from)?;
        self.record(event);
        let url = client.and_then(|client| client.launch_uri).and_then(|uri| self.opened(&uri, &secret));
        Ok(Launched { launch: secret, url })
    }

    fn opened(&self, uri: &str, launch: &str) -> Option<String> {
        let mut url = Url::parse(uri).ok()?;
        url.query_pairs_mut().append_pair("iss", &self.config.fhir_base).append_pair("launch", launch);
        Some(url.into())
    }
}

fn check(context: &LaunchContext) -> Result<(), LaunchError> {
    let id = |id: &Option<String>| id.as_deref().is_none_or(is_id);
    let text = |text: &Option<String>| text.as_ref().is_none_or(|text| text.len() <= MAX_TEXT_BYTES);
    let checks = [
        (id(&context.patient), "patient"),
        (id(&context.encounter), "encounter"),
        (text(&context.intent), "intent"),
        (text(&context.tenant), "tenant"),
        (context.fhir_context.len() <= MAX_FHIR_CONTEXT, "fhirContext"),
        (context.fhir_context.iter().all(is_item), "fhirContext"),
    ];
    checks.iter().find(|(fine, _)| !fine).map_or(Ok(()), |(_, name)| Err(LaunchError::Context(name)))
}

fn is_item(item: &FhirContext) -> bool {
    let relative = |reference: &String| {
        reference.split_once('/').is_some_and(|(name, id)| {
            name.starts_with(|c: char| c.is_ascii_uppercase())
                && name.bytes().all(|c| c.is_ascii_alphabetic())
                && is_id(id)
        })
    };
    let named = item.reference.is_some() || item.canonical.is_some() || item.identifier.is_some();
    // Patient and encounter have fields of their own.
    let own_field = item.reference.as_deref().is_some_and(|reference| {
        item.role.is_none() && (reference.starts_with("Patient/") || reference.starts_with("Encounter/"))
    });
    named && !own_field && item.reference.as_ref().is_none_or(relative)
}

fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'.')
}
