//! Settling what an app is launched with: the patient, the encounter, and the page to choose them.

use super::error::{Refusal, ServerError, Stop};
use super::{AuthorizationServer, Route};
use crate::message::{Reply, Request};
use crate::page::{self, Picking};
use crate::record::{Pending, SessionUser};
use crate::scope::{Level, Meaning, Scope, ScopeSet};
use crate::services::Choice;

/// How many are listed on one page.
const MAX_CHOICES: usize = 25;

impl AuthorizationServer {
    /// Fills in what there is only one of; `false` if the user has to choose.
    pub(super) async fn settle(&self, pending: &mut Pending, user: &SessionUser) -> Result<bool, Stop> {
        let scopes = ScopeSet::read(&pending.scopes).map(|(scopes, _)| scopes).unwrap_or_default();
        if let Some(id) = &pending.context.patient {
            if pending.patient_name.is_none() {
                let patient = self.patient(user, id).await?;
                let denied = || Refusal::new("access_denied", "the user may not see the patient");
                pending.patient_name = Some(patient.ok_or_else(denied)?.title);
            }
        } else if needs_patient(&scopes) {
            let patients = self.patients(user, "", 2).await?;
            match patients.as_slice() {
                [] => return Err(Refusal::new("access_denied", "the user may see no patient").into()),
                [only] => choose_patient(pending, only),
                _ => return Ok(false),
            }
        }
        if !scopes.has(&Meaning::LaunchEncounter) || pending.context.encounter.is_some() {
            return Ok(true);
        }
        let Some(patient) = pending.context.patient.clone() else { return Ok(true) };
        let encounters = self.encounters(user, &patient, 2).await?;
        match encounters.as_slice() {
            // An app that asks for an encounter has to live with there being none.
            [] => {}
            [only] => pending.context.encounter = Some(only.id.clone()),
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub(super) async fn pick(&self, request: &Request) -> Result<Reply, ServerError> {
        match self.picked(request).await {
            Ok(reply) => Ok(reply),
            Err(Stop::Refused(refusal)) => {
                Ok(page::refusal(self, refusal.status, "Not possible", &refusal.description))
            }
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    async fn picked(&self, request: &Request) -> Result<Reply, Stop> {
        let Some(browser) = self.known_browser(request).await? else { return Ok(page::lost(self)) };
        let Some((secret, mut pending)) = self.pending(request, &browser).await? else {
            return Ok(page::lost(self));
        };
        let Some(user) = browser.session.user.clone() else {
            return self.go_on(&secret, pending, &browser).await;
        };
        let typed = request.get("q").unwrap_or_default().trim().to_owned();
        if request.post {
            if !browser.sent_form(request) {
                return Ok(page::forged(self));
            }
            if let Some(id) = request.get("choice")
                && self.take_choice(&mut pending, &user, id).await?
            {
                self.put_pending(&secret, &pending).await?;
                return self.go_on(&secret, pending, &browser).await;
            }
        }
        let patient = pending.context.patient.clone();
        let choices = match &patient {
            None => self.patients(&user, &typed, MAX_CHOICES).await?,
            Some(patient) => self.encounters(&user, patient, MAX_CHOICES).await?,
        };
        let picking = Picking {
            secret: &secret,
            pending: &pending,
            encounters: patient.is_some(),
            csrf: &browser.session.csrf,
            typed: &typed,
            choices: &choices,
            is_full: choices.len() >= MAX_CHOICES,
            missing: request.post,
            path: self.path(Route::Pick),
        };
        Ok(page::pick(self, &picking))
    }

    /// Takes what the user chose, if it is one that they may choose.
    async fn take_choice(
        &self,
        pending: &mut Pending,
        user: &SessionUser,
        id: &str,
    ) -> Result<bool, ServerError> {
        match pending.context.patient.clone() {
            None => {
                let patient = self.patient(user, id).await?;
                if let Some(patient) = &patient {
                    choose_patient(pending, patient);
                }
                Ok(patient.is_some())
            }
            Some(patient) => {
                let encounters = self.encounters(user, &patient, MAX_CHOICES).await?;
                let own = encounters.iter().any(|encounter| encounter.id == id);
                if own {
                    pending.context.encounter = Some(id.to_owned());
                }
                Ok(own)
            }
        }
    }
}

fn choose_patient(pending: &mut Pending, patient: &Choice) {
    pending.context.patient = Some(patient.id.clone());
    pending.patient_name = Some(patient.title.clone());
}

fn needs_patient(scopes: &ScopeSet) -> bool {
    let of_patient = |scope: &Scope| scope.resources().is_some_and(|scope| scope.level == Level::Patient);
    scopes.has(&Meaning::LaunchPatient) || scopes.iter().any(of_patient)
}
