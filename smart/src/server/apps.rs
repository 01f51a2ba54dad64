//! EHR launch by hand: a user who is logged in chooses an app and a patient, then an encounter, and the app is opened with them.

use super::error::ServerError;
use super::session::Browser;
use super::{AuthorizationServer, LaunchError, LaunchRequest, Route};
use crate::message::{Reply, Request};
use crate::page::{self, Opening, Picked};
use crate::record::{Client, LaunchContext, SessionUser};
use crate::services::Choice;

/// How many are listed on one page.
const MAX_CHOICES: usize = 25;
/// What the form sends for no encounter.
pub const NO_ENCOUNTER: &str = "-";

impl AuthorizationServer {
    pub(super) async fn apps(&self, request: &Request) -> Result<Reply, ServerError> {
        let browser = self.browser(request).await?;
        let Some(user) = browser.session.user.clone() else {
            return Ok(self.keep(&browser, Reply::see_other(self.path(Route::Login))));
        };
        if request.post && !browser.sent_form(request) {
            return Ok(page::forged(self));
        }
        let picked = if request.post { self.picked_app(request, &user).await? } else { None };
        match (picked, request.get("encounter")) {
            (Some((client, patient)), Some(encounter)) => {
                self.open_app(request, &user, &client, &patient, encounter).await
            }
            (Some((client, patient)), None) => self.encounters_page(&browser, &user, &client, &patient).await,
            (None, _) => self.apps_page(request, &browser, &user).await,
        }
    }

    /// App and patient of the form, if the app can be opened and the user may see the patient.
    async fn picked_app(
        &self,
        request: &Request,
        user: &SessionUser,
    ) -> Result<Option<(Client, Choice)>, ServerError> {
        let (Some(app), Some(patient)) = (request.get("app"), request.get("patient")) else {
            return Ok(None);
        };
        let client = self.client(app).await?.filter(can_be_opened);
        let patient = self.patient(user, patient).await?;
        Ok(client.zip(patient))
    }

    async fn apps_page(
        &self,
        request: &Request,
        browser: &Browser,
        user: &SessionUser,
    ) -> Result<Reply, ServerError> {
        let typed = request.get("q").unwrap_or_default().trim();
        let clients: Vec<Client> = self.clients().await?.into_iter().filter(can_be_opened).collect();
        let patients = self.patients(user, typed, MAX_CHOICES).await?;
        let opening = Opening {
            clients: &clients,
            csrf: &browser.session.csrf,
            typed,
            is_full: patients.len() >= MAX_CHOICES,
            patients: &patients,
            missing: request.post,
            path: self.path(Route::Apps),
        };
        Ok(page::apps(self, &opening))
    }

    async fn encounters_page(
        &self,
        browser: &Browser,
        user: &SessionUser,
        client: &Client,
        patient: &Choice,
    ) -> Result<Reply, ServerError> {
        let encounters = self.encounters(user, &patient.id, MAX_CHOICES).await?;
        let (csrf, path) = (browser.session.csrf.as_str(), self.path(Route::Apps));
        Ok(Picked { client, patient, encounters: &encounters, csrf, path }.page(self))
    }

    async fn open_app(
        &self,
        request: &Request,
        user: &SessionUser,
        client: &Client,
        patient: &Choice,
        encounter: &str,
    ) -> Result<Reply, ServerError> {
        let lost = || page::refusal(self, 400, "Not possible", "There is no such encounter of the patient.");
        let encounter = match encounter {
            NO_ENCOUNTER => None,
            id => {
                let own = self.encounters(user, &patient.id, MAX_CHOICES).await?;
                let Some(found) = own.into_iter().find(|choice| choice.id == id) else { return Ok(lost()) };
                Some(found.id)
            }
        };
        let asked = LaunchRequest {
            client_id: Some(client.id.clone()),
            user_sub: Some(user.sub.clone()),
            context: LaunchContext {
                patient: Some(patient.id.clone()),
                encounter,
                ..LaunchContext::default()
            },
        };
        match self.launch(asked, &request.address).await {
            Ok(launched) => Ok(launched.url.map_or_else(lost, Reply::see_other)),
            Err(LaunchError::Failed(error)) => Err(error),
            Err(error @ (LaunchError::Client | LaunchError::Context(_))) => {
                Ok(page::refusal(self, 400, "Not possible", &format!("{error}.")))
            }
        }
    }
}

fn can_be_opened(client: &Client) -> bool {
    client.enabled && client.launch_uri.is_some()
}
