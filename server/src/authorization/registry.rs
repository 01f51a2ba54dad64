//! Registering clients and users of a tenant: what `vesta client` and `vesta user` ask, carried out here or by the server that has
//! the data open. Passwords and secrets come as hashes.

use interaction::Service;
use serde::{Deserialize, Serialize};
use smart::{Authentication, Client, ClientError, ServerError, User};
use store::{Access, Key, StoreError, Tenant};

use super::Authorization;

/// What is asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Register an app, or replace the one of its id.
    PutClient(Client),
    /// List the apps.
    ListClients,
    /// Remove an app, and all access it has.
    RemoveClient(String),
    /// Add a user, or replace the one of the name.
    PutUser(User),
    /// List the users.
    ListUsers,
    /// Give a user another password, by its hash.
    SetPassword {
        /// Who.
        username: String,
        /// In PHC form.
        password_hash: String,
    },
    /// Remove a user, and all access they granted.
    RemoveUser(String),
}

/// What was done, in lines for a terminal.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// The lines.
    pub lines: Vec<String>,
}

/// It was not done.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The client cannot be used.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The store failed.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is none of that id.
    #[error("there is no client {0}")]
    NoClient(String),
    /// There is none of that name.
    #[error("there is no user {0}")]
    NoUser(String),
    /// A user stands for a person.
    #[error(
        "'{0}' is no reference to a Patient, Practitioner, PractitionerRole, RelatedPerson or Person, as Practitioner/123"
    )]
    FhirUser(String),
    /// A name that cannot be typed.
    #[error("a user name has 1 to 256 bytes, none of them a control character, and no blank at its ends")]
    Username,
}

/// Carries an order out.
///
/// # Errors
/// What is asked cannot be, or the store failed.
pub async fn carry_out(
    authorization: &Authorization,
    service: &Service,
    tenant: &Tenant,
    order: Order,
) -> Result<Report, RegistryError> {
    let server = authorization.authority(service, tenant).server;
    let lines = match order {
        Order::PutClient(client) => {
            server.put_client(&client).await??;
            vec![format!("Registered client {}", client.id)]
        }
        Order::ListClients => server.clients().await?.iter().map(client_line).collect(),
        Order::RemoveClient(id) => match server.remove_client(&id).await? {
            true => vec![format!("Removed client {id}, and all access that it had")],
            false => return Err(RegistryError::NoClient(id)),
        },
        Order::PutUser(user) => {
            let known = server.user(&user.username).await?;
            // Who had the name is the same person, with what they granted.
            let user = User { sub: known.map_or(user.sub, |known| known.sub), ..user };
            let missing = check(service, tenant, &user).await?;
            server.put_user(&user).await?;
            let added = format!("User {} is {}", user.username, user.fhir_user);
            [added].into_iter().chain(missing).collect()
        }
        Order::ListUsers => server.users().await?.iter().map(user_line).collect(),
        Order::SetPassword { username, password_hash } => {
            let Some(user) = server.user(&username).await? else {
                return Err(RegistryError::NoUser(username));
            };
            server.put_user(&User { password_hash, ..user }).await?;
            vec![format!("User {username} has another password")]
        }
        Order::RemoveUser(username) => match server.remove_user(&username).await? {
            true => vec![format!("Removed user {username}, and all access that they granted")],
            false => return Err(RegistryError::NoUser(username)),
        },
    };
    Ok(Report { lines })
}

/// Whether a user can be one; a line, if the resource that they are is not there yet.
async fn check(service: &Service, tenant: &Tenant, user: &User) -> Result<Option<String>, RegistryError> {
    const PEOPLE: [&str; 5] = ["Patient", "Practitioner", "PractitionerRole", "RelatedPerson", "Person"];
    let name = user.username.as_str();
    if name.is_empty() || name.len() > 256 || name.trim() != name || name.chars().any(char::is_control) {
        return Err(RegistryError::Username);
    }
    let key = Key::parse(&user.fhir_user).filter(|key| PEOPLE.contains(&key.resource_type()));
    let key = key.ok_or_else(|| RegistryError::FhirUser(user.fhir_user.clone()))?;
    let found = service.store.read(tenant, &Access::unrestricted(), &key).await?;
    let is_there = found.is_some_and(|version| !version.is_deleted());
    Ok((!is_there).then(|| {
        format!("There is no {} yet; create it, so that apps can read who the user is", key.as_str())
    }))
}

fn client_line(client: &Client) -> String {
    let how = match &client.authentication {
        Authentication::Public => "public",
        Authentication::Secret(_) => "secret",
        Authentication::Keys(_) => "keys",
        Authentication::KeysAt(uri) => uri,
    };
    let kinds =
        [(client.backend, "backend"), (client.introspects, "introspects"), (!client.enabled, "disabled")];
    let kinds =
        kinds.iter().filter(|(is_so, _)| *is_so).map(|(_, kind)| format!(" {kind}")).collect::<String>();
    let uris = client.redirect_uris.join(" ");
    format!("{}  {}  {how}{kinds}  {}  {uris}", client.id, smart::cleaned(&client.name), client.scopes)
}

fn user_line(user: &User) -> String {
    let disabled = if user.enabled { "" } else { "  disabled" };
    format!("{}  {}  {}{disabled}", user.username, user.fhir_user, smart::cleaned(&user.name))
}
