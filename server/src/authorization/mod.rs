//! The authorization server of this program: the crate `smart`, stood on the record's own store, keys and network. Decides nothing
//! that `smart` decides, and knows no route of HTTP.
//!
//! | module | its one job |
//! |---|---|
//! | `records` | where clients, users, grants and tokens are kept: a reserved tenant beside each tenant |
//! | `sweep` | forgetting those that have expired |
//! | `directory` | patients and encounters that a user may choose |
//! | `signer` | the keys of id_tokens |
//! | `fetch` | the keys of clients, from where they are published |
//! | `process` | the clock, password hashing, and events in the log |
//! | `decision` | what a token permits, as the store heeds it |
//! | `consent` | what patients withhold |
//! | `bearer` | from the token of a request to its caller |
//! | `rights` | what a token permits, written down |
//! | `statement` | what the CapabilityStatement says of it |
//! | `registry` | registering clients and users |
//! | `command` | `vesta client`, `vesta user` |

mod bearer;
pub mod command;
pub mod consent;
pub mod decision;
mod directory;
pub(crate) mod fetch;
mod process;
mod records;
pub mod registry;
mod rights;
pub(crate) mod signer;
mod statement;
mod sweep;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use interaction::Service;
use keys::SigningAlgorithm;
use smart::{AuthorizationServer, Fetch, Passwords, Services};
use store::Tenant;

use crate::brand::Brand;
use crate::bulk_import::Importer;
use crate::config::{Config, Registration};
use crate::export::Exporter;
use crate::jobs::overview::Overview;
use crate::open::{self, OpenError};

pub use bearer::{Holder, TokenRefused};
pub use records::{RESERVED, reserved};
pub use rights::Rights;
pub use sweep::sweep;

use consent::Consents;
use records::Records;

/// The last part of an issuer's path.
pub const AUTH_PATH: &str = "/auth";

/// What the authorization servers of all tenants share.
#[derive(Clone)]
pub struct Authorization {
    settings: Settings,
    signer: Arc<dyn smart::jwt::Signer>,
    es256: Arc<dyn smart::jwt::Signer>,
    audit: Option<audit::Log>,
    jobs: Option<(Arc<Exporter>, Arc<Importer>)>,
    fetch: Arc<dyn Fetch>,
    passwords: Arc<dyn Passwords>,
    consents: Arc<Consents>,
    /// Of each tenant, whatever URLs it is reached at: revocation must count at all of them at once.
    records: Arc<Mutex<HashMap<Tenant, Arc<Records>>>>,
}

/// What the configuration says. Times are seconds.
#[derive(Clone)]
struct Settings {
    access_lifetime_s: i64,
    refresh_lifetime_s: i64,
    session_lifetime_s: i64,
    registration: smart::Registration,
    private_fetches: bool,
    upstream: Option<smart::Upstream>,
    brand: Option<Brand>,
}

/// The authorization server of one tenant at one base URL.
pub struct Authority {
    /// What answers its routes.
    pub server: AuthorizationServer,
    records: Arc<Records>,
    consents: Arc<Consents>,
    decided: bearer::Decided,
}

impl Authorization {
    /// What a configuration asks for; `None` where it leaves authorization off.
    ///
    /// # Errors
    /// Signing keys or secrets that cannot be had.
    pub async fn open(config: &Config) -> Result<Option<Authorization>, OpenError> {
        if !config.authorization {
            return Ok(None);
        }
        let registration = match config.authorization_registration {
            Registration::Off => smart::Registration::Off,
            Registration::Open => smart::Registration::Open,
            Registration::Token => {
                let token = open::secret(config, &config.authorization_registration_token).await?;
                smart::Registration::WithToken(token.secret().to_owned())
            }
        };
        let seconds = |value: u64| i64::try_from(value).unwrap_or(i64::MAX / 2);
        Ok(Some(Authorization {
            settings: Settings {
                access_lifetime_s: seconds(config.authorization_access_lifetime_s),
                refresh_lifetime_s: seconds(config.authorization_refresh_lifetime_s),
                session_lifetime_s: seconds(config.authorization_session_lifetime_s),
                registration,
                private_fetches: config.authorization_private_fetches,
                upstream: upstream(config).await?,
                brand: Brand::of(config),
            },
            signer: signer::open(config, SigningAlgorithm::Rs256).await?,
            es256: signer::open(config, SigningAlgorithm::Es256).await?,
            audit: None,
            jobs: None,
            fetch: Arc::new(fetch::Fetcher),
            passwords: Arc::new(process::Hashing::default()),
            consents: Arc::default(),
            records: Arc::default(),
        }))
    }

    /// With a log that is told what happens.
    #[must_use]
    pub fn recording(self, log: Option<audit::Log>) -> Authorization {
        Authorization { audit: log, ..self }
    }

    /// With the jobs that administrators see.
    #[must_use]
    pub fn showing(self, exporter: Arc<Exporter>, importer: Arc<Importer>) -> Authorization {
        Authorization { jobs: Some((exporter, importer)), ..self }
    }

    /// The authorization server of a tenant at the base URL of a service.
    pub fn authority(&self, service: &Service, tenant: &Tenant) -> Authority {
        let records = self.records(service, tenant);
        let services = Services {
            storage: Arc::<Records>::clone(&records),
            directory: Arc::new(directory::Everyone::new(
                service.clone(),
                tenant.clone(),
                Arc::clone(&self.consents),
            )),
            signer: Arc::clone(&self.signer),
            jobs: Arc::new(Overview { jobs: self.jobs.clone(), tenant: tenant.clone() }),
            es256: Arc::clone(&self.es256),
            fetch: Arc::clone(&self.fetch),
            passwords: Arc::clone(&self.passwords),
            clock: Arc::new(process::SystemClock),
            events: Arc::new(process::Log {
                tenant: tenant.clone(),
                base: service.base.clone(),
                audit: self.audit.clone(),
            }),
        };
        let Settings {
            access_lifetime_s,
            refresh_lifetime_s,
            session_lifetime_s,
            registration,
            private_fetches,
            upstream,
            brand,
        } = self.settings.clone();
        let config = smart::Config {
            access_lifetime_s,
            refresh_lifetime_s,
            session_lifetime_s,
            registration,
            private_fetches,
            upstream,
            brand: brand.map(|brand| brand.told(&service.base)),
            ..smart::Config::new(&issuer(&service.base), &service.base)
        };
        Authority {
            server: AuthorizationServer::new(config, services),
            records,
            consents: Arc::clone(&self.consents),
            decided: bearer::Decided::default(),
        }
    }

    fn records(&self, service: &Service, tenant: &Tenant) -> Arc<Records> {
        let mut known = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || Arc::new(Records::new(service, tenant));
        Arc::clone(known.entry(tenant.clone()).or_insert_with(made))
    }
}

/// The identity provider of a configuration.
async fn upstream(config: &Config) -> Result<Option<smart::Upstream>, OpenError> {
    let configured =
        config.authorization_upstream_issuer.clone().zip(config.authorization_upstream_client_id.clone());
    let Some((issuer, client_id)) = configured else { return Ok(None) };
    let secret = &config.authorization_upstream_client_secret;
    let client_secret = match secret.is_none() {
        true => None,
        false => Some(open::secret(config, secret).await?.secret().to_owned()),
    };
    Ok(Some(smart::Upstream {
        name: config.authorization_upstream_name.clone(),
        issuer,
        configuration: config.authorization_upstream_configuration.clone(),
        client_id,
        client_secret,
        scopes: config.authorization_upstream_scopes.clone(),
        link_claim: config.authorization_upstream_link_claim.clone(),
        fhir_user_claim: config.authorization_upstream_fhir_user_claim.clone(),
    }))
}

/// `https://ehr.example.org/auth` of `https://ehr.example.org/fhir`: beside the FHIR base, whatever that is called.
pub(crate) fn issuer(base: &str) -> String {
    let authority = base.find("://").map_or(0, |at| at + 3);
    let last = base.get(authority..).and_then(|rest| rest.rfind('/')).map(|at| authority + at);
    format!("{}{AUTH_PATH}", last.and_then(|at| base.get(..at)).unwrap_or(base))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_are_beside_their_bases() {
        for (base, expected) in [
            ("https://ehr.example.org/fhir", "https://ehr.example.org/auth"),
            ("http://127.0.0.1:8080/t/acme/fhir", "http://127.0.0.1:8080/t/acme/auth"),
            ("https://records.example.org/c/r4", "https://records.example.org/c/auth"),
            ("https://fhir.example.org", "https://fhir.example.org/auth"),
        ] {
            assert_eq!(issuer(base), expected);
        }
    }
}
