//! Access policies: keeping them, and which ones a token is held to.

use serde::{Deserialize, Serialize};

use super::AuthorizationServer;
use super::error::ServerError;
use crate::record::{Client, Policy, PolicyError, SessionUser, User};
use crate::services::Choice;
use crate::storage::{Condition, EVERYONE, Stored as _};

/// The policies that a token is held to, beside its scopes. One that is named and not there permits nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policies {
    /// Of the app.
    pub client: Option<Policy>,
    /// Of the user.
    pub user: Option<Policy>,
}

impl AuthorizationServer {
    /// Keeps a policy, or replaces the one of its name.
    ///
    /// # Errors
    /// The policy cannot be used (inside), or the store failed.
    pub async fn put_policy(&self, policy: &Policy) -> Result<Result<(), PolicyError>, ServerError> {
        if let Err(error) = policy.check() {
            return Ok(Err(error));
        }
        self.records().put(&policy.name, policy, Condition::Always).await?;
        Ok(Ok(()))
    }

    /// A policy, by name.
    ///
    /// # Errors
    /// The store failed.
    pub async fn policy(&self, name: &str) -> Result<Option<Policy>, ServerError> {
        Ok(self.records().get(name).await?)
    }

    /// All policies, by name.
    ///
    /// # Errors
    /// The store failed.
    pub async fn all_policies(&self) -> Result<Vec<Policy>, ServerError> {
        let found = self.records().group::<Policy>(EVERYONE).await?;
        let mut policies: Vec<Policy> = found.into_iter().map(|(_, policy)| policy).collect();
        policies.sort_by(|one, two| one.name.cmp(&two.name));
        Ok(policies)
    }

    /// Removes a policy; `false` if there is none of that name. Whoever has it may do nothing then.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remove_policy(&self, name: &str) -> Result<bool, ServerError> {
        Ok(self.services.storage.take(Policy::TABLE, name).await?.is_some())
    }

    /// [`crate::Directory::patients`] under the user's policy.
    pub(super) async fn patients(
        &self,
        user: &SessionUser,
        text: &str,
        limit: usize,
    ) -> Result<Vec<Choice>, ServerError> {
        let policy = self.policy_of(user).await?;
        Ok(self.services.directory.patients(user, policy.as_ref(), text, limit).await?)
    }

    /// [`crate::Directory::patient`] under the user's policy.
    pub(super) async fn patient(&self, user: &SessionUser, id: &str) -> Result<Option<Choice>, ServerError> {
        let policy = self.policy_of(user).await?;
        Ok(self.services.directory.patient(user, policy.as_ref(), id).await?)
    }

    /// [`crate::Directory::encounters`] under the user's policy.
    pub(super) async fn encounters(
        &self,
        user: &SessionUser,
        patient: &str,
        limit: usize,
    ) -> Result<Vec<Choice>, ServerError> {
        let policy = self.policy_of(user).await?;
        Ok(self.services.directory.encounters(user, policy.as_ref(), patient, limit).await?)
    }

    /// What a client and a user are held to.
    pub(super) async fn policies_of(
        &self,
        client_id: &str,
        user: Option<&SessionUser>,
    ) -> Result<Policies, ServerError> {
        let client = self.records().get::<Client>(client_id).await?;
        let client = client.and_then(|client| client.policy);
        let user = match user {
            Some(user) => self.policy_of(user).await?,
            None => None,
        };
        Ok(Policies { client: self.policy_named(client).await?, user })
    }

    async fn policy_of(&self, user: &SessionUser) -> Result<Option<Policy>, ServerError> {
        let known = self.records().get::<User>(&User::key(&user.username)).await?;
        // The name of somebody who has no account here may be that of an account.
        self.policy_named(known.filter(|known| known.sub == user.sub).and_then(|known| known.policy)).await
    }

    async fn policy_named(&self, name: Option<String>) -> Result<Option<Policy>, ServerError> {
        let Some(name) = name else { return Ok(None) };
        let found = self.policy(&name).await?;
        Ok(Some(found.unwrap_or_else(|| Policy::nothing(&name))))
    }
}
