//! What a user granted, and taking it back: the page, and the same for whoever manages the server.

use super::error::ServerError;
use super::{AuthorizationServer, Route};
use crate::event::EventKind;
use crate::message::{Reply, Request};
use crate::page::{self, Managing};
use crate::record::{Client, ClientError, Code, Grant, Session, User};
use crate::storage::{Condition, EVERYONE, Stored as _, Table};

/// A grant, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// What revokes it.
    pub id: String,
    /// The app's id.
    pub client_id: String,
    /// The app's name.
    pub client_name: String,
    /// The patient's name.
    pub patient_name: Option<String>,
    /// As granted.
    pub scopes: String,
    /// When, in seconds of the Unix epoch.
    pub granted_s: i64,
}

impl AuthorizationServer {
    pub(super) async fn manage(&self, request: &Request) -> Result<Reply, ServerError> {
        let browser = self.browser(request).await?;
        let Some(user) = browser.session.user.clone() else {
            return Ok(self.keep(&browser, Reply::see_other(self.path(Route::Login))));
        };
        if request.post {
            if !browser.sent_form(request) {
                return Ok(page::forged(self));
            }
            let id = request.get("grant").unwrap_or_default();
            let own = self.grants_of(&user.sub).await?.into_iter().find(|granted| granted.id == id);
            if let Some(granted) = own {
                self.services.storage.take(Grant::TABLE, &granted.id).await?;
                let mut event = self.event(EventKind::Revoke, request);
                event.client = Some(granted.client_id);
                event.user = Some(user.username);
                self.record(event);
            }
            return Ok(Reply::see_other(format!("{}?revoked=1", self.path(Route::Manage))));
        }
        let granted = self.grants_of(&user.sub).await?;
        let administers = self.is_administrator(&user).await?;
        let managing = Managing {
            user: &user,
            csrf: &browser.session.csrf,
            granted: &granted,
            revoked: request.get("revoked").is_some(),
            path: self.path(Route::Manage),
            logout: self.path(Route::Logout),
            apps: self.path(Route::Apps),
            admin: administers.then(|| self.path(Route::Admin)),
        };
        Ok(page::manage(self, &managing))
    }

    /// What a user granted, the latest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn grants_of(&self, sub: &str) -> Result<Vec<Granted>, ServerError> {
        let grants = self.records().group::<Grant>(&Grant::of_user(sub)).await?;
        let mut granted: Vec<Granted> = grants
            .into_iter()
            .map(|(id, grant)| Granted {
                id,
                client_id: grant.client_id,
                client_name: grant.client_name,
                patient_name: grant.patient_name,
                scopes: grant.scopes,
                granted_s: grant.granted_s,
            })
            .collect();
        granted.sort_by(|one, two| two.granted_s.cmp(&one.granted_s).then_with(|| one.id.cmp(&two.id)));
        Ok(granted)
    }

    /// Registers a client, or replaces one; what was granted to one that is no longer enabled is revoked.
    ///
    /// # Errors
    /// The client cannot be used, or the store failed.
    pub async fn put_client(&self, client: &Client) -> Result<Result<(), ClientError>, ServerError> {
        if let Err(error) = client.check(self.config.private_fetches) {
            return Ok(Err(error));
        }
        self.records().put(&client.id, client, Condition::Always).await?;
        if !client.enabled {
            self.revoke_group(&Grant::of_client(&client.id)).await?;
        }
        Ok(Ok(()))
    }

    /// A client.
    ///
    /// # Errors
    /// The store failed.
    pub async fn client(&self, id: &str) -> Result<Option<Client>, ServerError> {
        Ok(self.records().get(id).await?)
    }

    /// Adds a user, or replaces one; one who is no longer enabled is logged out, and what they granted is revoked.
    ///
    /// # Errors
    /// The store failed.
    pub async fn put_user(&self, user: &User) -> Result<(), ServerError> {
        self.records().put(&User::key(&user.username), user, Condition::Always).await?;
        if !user.enabled {
            self.revoke_user(&user.sub).await?;
        }
        Ok(())
    }

    /// A user, by name.
    ///
    /// # Errors
    /// The store failed.
    pub async fn user(&self, username: &str) -> Result<Option<User>, ServerError> {
        Ok(self.records().get(&User::key(username)).await?)
    }

    /// All clients, by id.
    ///
    /// # Errors
    /// The store failed.
    pub async fn clients(&self) -> Result<Vec<Client>, ServerError> {
        let clients = self.records().group::<Client>(EVERYONE).await?;
        let mut clients: Vec<Client> = clients.into_iter().map(|(_, client)| client).collect();
        clients.sort_by(|one, two| one.id.cmp(&two.id));
        Ok(clients)
    }

    /// All users, by name.
    ///
    /// # Errors
    /// The store failed.
    pub async fn users(&self) -> Result<Vec<User>, ServerError> {
        let users = self.records().group::<User>(EVERYONE).await?;
        let mut users: Vec<User> = users.into_iter().map(|(_, user)| user).collect();
        users.sort_by(|one, two| one.username.cmp(&two.username));
        Ok(users)
    }

    /// Removes a client, and what was granted to it; `false` if there is none of that id.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remove_client(&self, id: &str) -> Result<bool, ServerError> {
        let removed = self.services.storage.take(Client::TABLE, id).await?;
        self.revoke_group(&Grant::of_client(id)).await?;
        Ok(removed.is_some())
    }

    /// Removes a user, logs them out, and revokes what they granted; `false` if there is none of that name.
    ///
    /// # Errors
    /// The store failed.
    pub async fn remove_user(&self, username: &str) -> Result<bool, ServerError> {
        let Some(user) = self.user(username).await? else { return Ok(false) };
        self.services.storage.take(User::TABLE, &User::key(username)).await?;
        self.revoke_user(&user.sub).await?;
        Ok(true)
    }

    async fn revoke_user(&self, sub: &str) -> Result<(), ServerError> {
        self.take_group(Session::TABLE, &Session::of_user(sub)).await?;
        self.revoke_group(&Grant::of_user(sub)).await
    }

    /// Codes go first: one that is redeemed meanwhile is looked for last, and not found.
    async fn revoke_group(&self, group: &str) -> Result<(), ServerError> {
        self.take_group(Code::TABLE, group).await?;
        self.take_group(Grant::TABLE, group).await
    }

    async fn take_group(&self, table: Table, group: &str) -> Result<(), ServerError> {
        for (key, _) in self.services.storage.group(table, group).await? {
            self.services.storage.take(table, &key).await?;
        }
        Ok(())
    }
}
