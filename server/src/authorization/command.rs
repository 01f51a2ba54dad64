//! `vesta client`, `vesta user` and `vesta policy`: what is typed becomes an [`Order`]. Secrets are read from files, standard input or the environment,
//! never from arguments, and leave this process as hashes only.

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use smart::password::PasswordError;
use smart::{Authentication, Client, ClientError, IdTokenAlgorithm, User};

use super::registry::{self, Order, RegistryError, Report};
use super::{Authorization, signer};
use crate::config::Config;
use crate::http::admin::{self, RegistryRequest};
use crate::maintain::{MaintainError, Opened, ask, opened};
use crate::open::OpenError;
use crate::tenants;

/// The variable that a password may be in.
const PASSWORD: &str = "VESTA_PASSWORD";
/// The longest file or line that is read, bytes.
const MAX_INPUT: u64 = 128 << 10;

/// An app to register. Without secret and keys it is a public one, held by PKCE alone.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct AddClient {
    /// client_id: 1 to 200 letters, digits and -._~:/
    id: String,
    /// What users read when they are asked for access
    #[arg(long, value_name = "TEXT")]
    name: String,
    /// Where codes are sent, compared letter by letter; may be repeated
    #[arg(long = "redirect-uri", value_name = "URI")]
    redirect_uris: Vec<String>,
    /// Where the app is opened by an EHR launch
    #[arg(long, value_name = "URI")]
    launch_uri: Option<String>,
    /// All scopes that it may ever have, separated by blanks
    #[arg(long, value_name = "SCOPES")]
    scopes: String,
    /// File with its secret, of 16 characters at least; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["jwks", "jwks_url"])]
    secret: Option<PathBuf>,
    /// File with its public keys, a JSON Web Key Set; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "jwks_url")]
    jwks: Option<PathBuf>,
    /// https URL of its public keys
    #[arg(long, value_name = "URL")]
    jwks_url: Option<String>,
    /// How its id_tokens are signed: RS256 or ES256
    #[arg(long, value_name = "ALG", default_value = "RS256", value_parser = algorithm)]
    id_token_signed_response_alg: IdTokenAlgorithm,
    /// It gets tokens of its own (client_credentials), for system/ scopes; it needs keys
    #[arg(long)]
    backend: bool,
    /// It may ask what tokens of other apps are worth
    #[arg(long)]
    introspects: bool,
}

/// A user to add. The password is read from VESTA_PASSWORD, or as a line from standard input, unless they sign in elsewhere.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct AddUser {
    /// What is typed at the login
    username: String,
    /// The resource that stands for them: Patient/1, Practitioner/2, RelatedPerson/3
    #[arg(long, value_name = "REFERENCE")]
    fhir_user: String,
    /// What pages greet them by; the user name, if it is not given
    #[arg(long, value_name = "TEXT")]
    full_name: Option<String>,
    /// Who they are at the identity provider: the value of the claim that authorization_upstream_link_claim names. They have no
    /// password here then
    #[arg(long, value_name = "VALUE")]
    upstream: Option<String>,
}

/// The command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryCommandError {
    /// Authorization is off.
    #[error(
        "authorization is off, so nobody needs to be registered; switch it on with --authorization, as for `vesta serve`"
    )]
    Off,
    /// The data, or the server that has it open.
    #[error(transparent)]
    Maintain(#[from] MaintainError),
    /// The configuration.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It was refused.
    #[error(transparent)]
    Refused(#[from] RegistryError),
    /// A file cannot be read.
    #[error("cannot read {from}: {error}")]
    Input {
        /// What.
        from: String,
        /// Why.
        error: std::io::Error,
    },
    /// A file of keys.
    #[error("{} has no JSON Web Key Set: {error}", path.display())]
    Keys {
        /// Which.
        path: PathBuf,
        /// Why.
        error: serde_json::Error,
    },
    /// A file of a policy.
    #[error("{} has no access policy: {error}", path.display())]
    Policy {
        /// Which.
        path: PathBuf,
        /// Why.
        error: serde_json::Error,
    },
    /// A secret.
    #[error(transparent)]
    Secret(#[from] ClientError),
    /// A password.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// No secret.
    #[error(transparent)]
    NoRandom(#[from] smart::NoRandom),
}

/// Has orders carried out: here, or by the server that has the data open. Prints what was done.
///
/// # Errors
/// [`RegistryCommandError`].
pub fn run(
    config: &Config,
    tenant: Option<&str>,
    orders: impl IntoIterator<Item = Order>,
) -> Result<(), RegistryCommandError> {
    if !config.authorization {
        return Err(RegistryCommandError::Off);
    }
    if config.store == crate::config::EngineKind::Embedded {
        let made = std::fs::create_dir_all(&config.data);
        made.map_err(|error| MaintainError::Path { path: config.data.clone(), error })?;
    }
    let print = |report: Report| report.lines.iter().for_each(|line| println!("{line}"));
    match opened(config, tenant)? {
        (tenant, Opened::Here { service, runtime }) => runtime.block_on(async {
            let Some(authorization) = Authorization::open(config).await? else {
                return Err(RegistryCommandError::Off);
            };
            for order in orders {
                print(registry::carry_out(&authorization, &service, &tenant, order).await?);
            }
            Ok(())
        }),
        (tenant, Opened::There(server)) => {
            for order in orders {
                let request = RegistryRequest { tenant: tenant.as_str().to_owned(), order };
                print(ask::<Report>(&server, admin::REGISTRY, &request)?);
            }
            Ok(())
        }
    }
}

impl AddClient {
    /// What registers it.
    ///
    /// # Errors
    /// Its secret or keys cannot be read.
    pub fn order(&self) -> Result<Order, RegistryCommandError> {
        let authentication = match (&self.secret, &self.jwks, &self.jwks_url) {
            (Some(path), ..) => Authentication::secret(text(path)?.trim())?,
            (None, Some(path), _) => {
                let keys = serde_json::from_str(&text(path)?);
                Authentication::Keys(
                    keys.map_err(|error| RegistryCommandError::Keys { path: path.clone(), error })?,
                )
            }
            (None, None, Some(url)) => Authentication::KeysAt(url.clone()),
            (None, None, None) => Authentication::Public,
        };
        Ok(Order::PutClient(Client {
            authentication,
            redirect_uris: self.redirect_uris.clone(),
            launch_uri: self.launch_uri.clone(),
            scopes: self.scopes.split_whitespace().collect::<Vec<_>>().join(" "),
            backend: self.backend,
            introspects: self.introspects,
            id_token_algorithm: self.id_token_signed_response_alg,
            ..Client::new(&self.id, &self.name)
        }))
    }
}

impl AddUser {
    /// What adds them.
    ///
    /// # Errors
    /// There is no password that can be used.
    pub fn order(&self) -> Result<Order, RegistryCommandError> {
        Ok(Order::PutUser(User {
            sub: uuid::Uuid::new_v4().to_string(),
            username: self.username.clone(),
            password_hash: match self.upstream {
                Some(_) => String::new(),
                None => password_hash()?,
            },
            totp_secret: None,
            name: self.full_name.clone().unwrap_or_else(|| self.username.clone()),
            fhir_user: self.fhir_user.clone(),
            enabled: true,
            upstream: self.upstream.clone(),
            policy: None,
            administrator: false,
        }))
    }
}

/// Another algorithm than there are.
#[derive(Debug, thiserror::Error)]
#[error("id_tokens are signed with RS256 or ES256")]
struct UnknownAlgorithm;

fn algorithm(name: &str) -> Result<IdTokenAlgorithm, UnknownAlgorithm> {
    IdTokenAlgorithm::of_name(name).ok_or(UnknownAlgorithm)
}

/// Makes new keys for id_tokens, and says which sign from now on.
///
/// # Errors
/// The keys cannot be used.
pub fn rotate_keys(config: &Config) -> Result<(), RegistryCommandError> {
    let runtime = tenants::command::runtime().map_err(|error| OpenError::Signing(error.to_string()))?;
    for (algorithm, id) in runtime.block_on(signer::rotate(config))? {
        println!("{algorithm}: {id} signs from now on");
    }
    Ok(())
}

/// What keeps the policy of a file.
///
/// # Errors
/// It cannot be read.
pub fn put_policy(path: &Path) -> Result<Order, RegistryCommandError> {
    let read = serde_json::from_str(&text(path)?);
    Ok(Order::PutPolicy(read.map_err(|error| RegistryCommandError::Policy { path: path.to_owned(), error })?))
}

/// A new secret for one-time codes.
///
/// # Errors
/// No random numbers.
pub fn totp_secret() -> Result<String, RegistryCommandError> {
    Ok(smart::password::new_totp_secret()?)
}

/// The hash of the password of the environment, or of a line of standard input.
///
/// # Errors
/// There is none that can be used.
pub fn password_hash() -> Result<String, RegistryCommandError> {
    let password = match std::env::var(PASSWORD) {
        Ok(password) => password,
        Err(_) => {
            let mut line = String::new();
            let read = std::io::stdin().lock().take(MAX_INPUT).read_line(&mut line);
            read.map_err(|error| input("standard input", error))?;
            line.trim_end_matches(['\r', '\n']).to_owned()
        }
    };
    Ok(smart::password::hash(&password)?)
}

fn text(path: &Path) -> Result<String, RegistryCommandError> {
    let mut text = String::new();
    let read = match path.to_str() {
        Some("-") => std::io::stdin().lock().take(MAX_INPUT).read_to_string(&mut text),
        _ => std::fs::File::open(path).and_then(|file| file.take(MAX_INPUT).read_to_string(&mut text)),
    };
    read.map_err(|error| input(&path.display().to_string(), error))?;
    Ok(text)
}

fn input(from: &str, error: std::io::Error) -> RegistryCommandError {
    RegistryCommandError::Input { from: from.to_owned(), error }
}
