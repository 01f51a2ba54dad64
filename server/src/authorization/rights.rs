//! What a token permits, in a form that can be written down: for work that goes on when the token, or this process, is gone.

use fhirpath::IssueType;
use interaction::{Agent, Failure, Service, Status};
use serde::{Deserialize, Serialize};
use smart::{Context, Policies, ScopeSet, Verified};
use store::Access;

use super::consent::Withheld;
use super::decision;

/// The scopes of a token, of whom it is, and the policies that it is held to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    client: String,
    scopes: String,
    /// The user's resource; `None` for a backend service's own token.
    user: Option<String>,
    /// The id of the patient in context.
    patient: Option<String>,
    /// The policies that it was held to.
    #[serde(default)]
    policies: Policies,
    /// What patients withheld from it.
    #[serde(default)]
    withheld: Vec<Withheld>,
}

impl Rights {
    /// Of a token that counts.
    pub fn of(granted: &Verified, withheld: Vec<Withheld>) -> Rights {
        Rights {
            client: granted.client_id.clone(),
            scopes: granted.scopes.to_string(),
            user: granted.user.as_ref().map(|user| user.fhir_user.clone()),
            patient: granted.patient.clone(),
            policies: granted.policies.clone(),
            withheld,
        }
    }

    /// Who has them. Another user, or the same with another patient, is another owner.
    pub fn owner(&self) -> String {
        let of = [Some(&self.client), self.user.as_ref(), self.patient.as_ref()];
        of.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(" ")
    }

    /// As whom writes by them are told to come.
    pub fn agent(&self) -> Agent {
        Agent { user: self.user.as_deref().map(Into::into), client: Some(self.client.as_str().into()) }
    }

    /// The decision of the store, made anew.
    ///
    /// # Errors
    /// As [`decision::compile`], and for scopes that are not read any more.
    pub fn access(&self, service: &Service) -> Result<Access, Failure> {
        let Rights { scopes, user, patient, policies, withheld, .. } = self;
        let (scopes, _) = ScopeSet::read(scopes).map_err(|error| {
            Failure::new(
                Status::Forbidden,
                IssueType::Forbidden,
                format!("The scopes cannot be read: {error}."),
            )
        })?;
        let context = Context { patient: patient.clone(), system: user.is_none(), user: user.clone() };
        let access = smart::Access::compile(&scopes, &context);
        decision::anew(service, &access, policies, user.as_deref(), withheld)
    }
}
