//! Registering clients and users of a tenant: what `vesta client` and `vesta user` ask, carried out here or by the server that has
//! the data open. Passwords and secrets come as hashes.

use interaction::Service;
use serde::{Deserialize, Serialize};
use smart::{
    Authentication, AuthorizationServer, Client, ClientError, IdTokenAlgorithm, Policy, PolicyError,
    ServerError, User,
};
use store::{Access, Key, StoreError, Tenant};

use super::{AUTH_PATH, Authorization};

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
    /// Let an app do something, or nothing any more.
    EnableClient {
        /// client_id.
        id: String,
        /// Whether it may.
        enabled: bool,
    },
    /// Let a user log in, or not any more.
    EnableUser {
        /// Who.
        username: String,
        /// Whether they may.
        enabled: bool,
    },
    /// Say who a user is at the identity provider.
    LinkUser {
        /// Who.
        username: String,
        /// The value of the claim that accounts are linked by; without it, nobody.
        subject: Option<String>,
    },
    /// Keep an access policy, or replace the one of its name.
    PutPolicy(Policy),
    /// List the access policies.
    ListPolicies,
    /// Remove an access policy.
    RemovePolicy(String),
    /// Say which policy the tokens of an app are held to.
    HoldClient {
        /// client_id.
        id: String,
        /// By name; none without it.
        policy: Option<String>,
    },
    /// Say which policy the tokens of a user are held to.
    HoldUser {
        /// Who.
        username: String,
        /// By name; none without it.
        policy: Option<String>,
    },
    /// Give a user the page of apps, people and jobs, or take it back.
    SetAdministrator {
        /// Who.
        username: String,
        /// Whether it is theirs.
        administrator: bool,
    },
    /// Ask a user for one-time codes, or not any more.
    SetTotp {
        /// Who.
        username: String,
        /// In base32.
        secret: Option<String>,
    },
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
    /// The policy cannot be used.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A rule is of no type.
    #[error("'{0}' is no resource type; a rule is of one, or of * for all")]
    PolicyType(String),
    /// The criteria of a rule are not understood.
    #[error("the criteria of the rule of {0} are not understood: {1}")]
    PolicyCriteria(String, String),
    /// There is none of that name.
    #[error("there is no policy {0}")]
    NoPolicy(String),
    /// Nobody to be linked with.
    #[error("no identity provider is configured; authorization_upstream_issuer says which one")]
    NoUpstream,
    /// Somebody else is that person.
    #[error("that is who {0} is already; unlink them first: vesta user unlink {0}")]
    Linked(String),
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
            // Whoever is registered again is held to what they were.
            let policy = server.client(&client.id).await?.and_then(|known| known.policy);
            let client = Client { policy, ..client };
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
            let user = match known {
                Some(User { sub, policy, administrator, .. }) => User { sub, policy, administrator, ..user },
                None => user,
            };
            let missing = check(service, tenant, &user).await?;
            let upstream = link(&server, &user.username, user.upstream.as_deref()).await?;
            let user = User { upstream, ..user };
            server.put_user(&user).await?;
            let added = format!("User {} is {}", user.username, user.fhir_user);
            [added].into_iter().chain(missing).collect()
        }
        Order::ListUsers => server.users().await?.iter().map(user_line).collect(),
        Order::SetPassword { username, password_hash } => {
            let user = known(&server, &username).await?;
            server.put_user(&User { password_hash, ..user }).await?;
            vec![format!("User {username} has another password")]
        }
        Order::RemoveUser(username) => match server.remove_user(&username).await? {
            true => vec![format!("Removed user {username}, and all access that they granted")],
            false => return Err(RegistryError::NoUser(username)),
        },
        Order::EnableClient { id, enabled } => {
            let Some(client) = server.client(&id).await? else { return Err(RegistryError::NoClient(id)) };
            server.put_client(&Client { enabled, ..client }).await??;
            vec![match enabled {
                true => format!("Client {id} may ask for access again"),
                false => {
                    format!("Client {id} may do nothing any more, and all access that it had is taken back")
                }
            }]
        }
        Order::EnableUser { username, enabled } => {
            let user = known(&server, &username).await?;
            server.put_user(&User { enabled, ..user }).await?;
            vec![match enabled {
                true => format!("User {username} may log in again"),
                false => format!(
                    "User {username} is logged out and may not log in, and all access that they granted is taken back"
                ),
            }]
        }
        Order::LinkUser { username, subject } => {
            let user = known(&server, &username).await?;
            let upstream = link(&server, &username, subject.as_deref()).await?;
            server.put_user(&User { upstream, ..user }).await?;
            vec![match subject {
                Some(_) => format!("User {username} may sign in with the identity provider"),
                None => format!("User {username} is nobody at the identity provider any more"),
            }]
        }
        Order::PutPolicy(policy) => {
            understood(service, &policy)?;
            server.put_policy(&policy).await??;
            vec![format!("Policy {} has {} rules", policy.name, policy.resource.len())]
        }
        Order::ListPolicies => server.all_policies().await?.iter().map(policy_line).collect(),
        Order::RemovePolicy(name) => match server.remove_policy(&name).await? {
            true => vec![format!("Removed policy {name}; whoever is held to it may do nothing")],
            false => return Err(RegistryError::NoPolicy(name)),
        },
        Order::HoldClient { id, policy } => {
            let Some(client) = server.client(&id).await? else { return Err(RegistryError::NoClient(id)) };
            let said = held(&server, &format!("Client {id}"), policy.as_deref()).await?;
            server.put_client(&Client { policy, ..client }).await??;
            vec![said]
        }
        Order::HoldUser { username, policy } => {
            let user = known(&server, &username).await?;
            let said = held(&server, &format!("User {username}"), policy.as_deref()).await?;
            server.put_user(&User { policy, ..user }).await?;
            vec![said]
        }
        Order::SetAdministrator { username, administrator } => {
            let user = known(&server, &username).await?;
            server.put_user(&User { administrator, ..user }).await?;
            vec![match administrator {
                true => format!("User {username} administers apps, people and jobs at {AUTH_PATH}/admin"),
                false => format!("User {username} administers nothing"),
            }]
        }
        Order::SetTotp { username, secret } => {
            let user = known(&server, &username).await?;
            server.put_user(&User { totp_secret: secret.clone(), ..user }).await?;
            match secret {
                Some(secret) => vec![
                    format!(
                        "User {username} is asked for a one-time code at the next login; they put this into an authenticator app:"
                    ),
                    smart::password::totp_url(&secret, "Vesta", &username),
                ],
                None => vec![format!("User {username} is not asked for one-time codes")],
            }
        }
    };
    Ok(Report { lines })
}

/// Whether requests can be held to a policy.
fn understood(service: &Service, policy: &Policy) -> Result<(), RegistryError> {
    policy.check()?;
    for rule in &policy.resource {
        let name = rule.resource_type.as_str();
        if name != "*" && !service.definitions.schema.is_resource(name) {
            return Err(RegistryError::PolicyType(name.to_owned()));
        }
        let query = rule.query(Some("Practitioner/1")).unwrap_or_default();
        // What is common to all types is known of any.
        let of = if name == "*" { "Basic" } else { name };
        if !query.is_empty()
            && let Err(failure) = interaction::criteria(service, of, &query)
        {
            let why = failure.issues.first().map(|issue| issue.details.clone()).unwrap_or_default();
            return Err(RegistryError::PolicyCriteria(name.to_owned(), why));
        }
    }
    Ok(())
}

async fn held(
    server: &AuthorizationServer,
    whose: &str,
    policy: Option<&str>,
) -> Result<String, RegistryError> {
    let Some(name) = policy else { return Ok(format!("{whose} is held to no policy")) };
    match server.policy(name).await? {
        Some(_) => Ok(format!("{whose} is held to policy {name}")),
        None => Err(RegistryError::NoPolicy(name.to_owned())),
    }
}

async fn known(server: &AuthorizationServer, username: &str) -> Result<User, RegistryError> {
    server.user(username).await?.ok_or_else(|| RegistryError::NoUser(username.to_owned()))
}

/// What links a user with a person at the identity provider, if nobody else is that person.
async fn link(
    server: &AuthorizationServer,
    username: &str,
    subject: Option<&str>,
) -> Result<Option<String>, RegistryError> {
    let Some(subject) = subject else { return Ok(None) };
    let link = server.upstream_link(subject).ok_or(RegistryError::NoUpstream)?;
    let linked = server.linked(&link).await?;
    match linked.into_iter().find(|user| !user.username.eq_ignore_ascii_case(username)) {
        Some(other) => Err(RegistryError::Linked(other.username)),
        None => Ok(Some(link)),
    }
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
    let kinds = [
        (client.backend, "backend"),
        (client.introspects, "introspects"),
        (client.id_token_algorithm == IdTokenAlgorithm::Es256, "ES256"),
        (!client.enabled, "disabled"),
    ];
    let kinds =
        kinds.iter().filter(|(is_so, _)| *is_so).map(|(_, kind)| format!(" {kind}")).collect::<String>();
    let policy = client.policy.as_deref().map(|name| format!("  policy {name}")).unwrap_or_default();
    let uris = client.redirect_uris.join(" ");
    format!(
        "{}  {}  {how}{kinds}{policy}  {}  {uris}",
        client.id,
        smart::cleaned(&client.name),
        client.scopes
    )
}

fn policy_line(policy: &Policy) -> String {
    let glass = if policy.break_glass { "  may be put aside in an emergency" } else { "" };
    let rules = policy.resource.iter().map(|rule| {
        let parts = [
            rule.criteria.as_deref().map(|criteria| format!(" {criteria}")),
            rule.compartment.as_deref().map(|patient| format!(" of {patient}")),
            rule.readonly.then(|| " readonly".to_owned()),
            rule.restricted.then(|| " restricted too".to_owned()),
        ];
        format!("{}{}", rule.resource_type, parts.into_iter().flatten().collect::<String>())
    });
    format!("{}{glass}  {}", policy.name, rules.collect::<Vec<_>>().join("; "))
}

fn user_line(user: &User) -> String {
    let kinds = [
        (user.upstream.is_some(), "linked"),
        (user.totp_secret.is_some(), "one-time codes"),
        (user.administrator, "administrator"),
        (!user.enabled, "disabled"),
    ];
    let kinds =
        kinds.iter().filter(|(is_so, _)| *is_so).map(|(_, kind)| format!("  {kind}")).collect::<String>();
    let policy = user.policy.as_deref().map(|name| format!("  policy {name}")).unwrap_or_default();
    format!("{}  {}  {}{kinds}{policy}", user.username, user.fhir_user, smart::cleaned(&user.name))
}
