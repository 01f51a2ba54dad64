//! The table of tenants: reads it, and refuses what cannot be meant. Opens nothing but the file.
//!
//! ```toml
//! [tenants.acme]
//! hosts = ["acme.example.org"]   # requests to these hosts are this tenant's, below /fhir
//! ru_per_second = 400            # budget of request units; more is refused with 429
//!
//! [tenants.bolt]
//! tier = "T3"                    # T1 (the default) shares a container, T2 has a database, T3 an account
//! account = "west"
//! data_key = "keyvault:https://keys.vault.azure.net/keys/bolt"
//!
//! [accounts.west]
//! endpoint = "https://west.documents.azure.com:443/"
//! key = "file:/run/secrets/west" # or connection_string; without either, azure_identity
//! ```
//!
//! Every tenant is also reached by its path, `/t/acme/fhir`, unless `path = false`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use store::Tenant;
use store::cosmos::TenantHome;

use crate::authorization::{RESERVED, reserved};
use crate::config::{Config, EngineKind, Secret};

/// Name of the account that the configuration names.
pub const OWN_ACCOUNT: &str = "default";

/// How far a tenant is kept apart in Cosmos DB. The embedded engine keeps every tenant in an environment of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum Tier {
    /// A container shared with others; the tenant is the first part of each partition key.
    #[default]
    T1,
    /// A database of its own.
    T2,
    /// An account of its own, with its keys and endpoint.
    T3,
}

impl Tier {
    /// `T1`.
    pub fn name(self) -> &'static str {
        match self {
            Tier::T1 => "T1",
            Tier::T2 => "T2",
            Tier::T3 => "T3",
        }
    }

    /// The tier of a name.
    pub fn of(name: &str) -> Option<Tier> {
        [Tier::T1, Tier::T2, Tier::T3].into_iter().find(|tier| tier.name() == name)
    }
}

/// What the table says of one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// How far it is kept apart.
    #[serde(default)]
    pub tier: Tier,
    /// Its account, by name in `[accounts]`; without it, that of the configuration.
    #[serde(default)]
    pub account: Option<String>,
    /// Its database.
    #[serde(default)]
    pub database: Option<String>,
    /// Its container.
    #[serde(default)]
    pub container: Option<String>,
    /// Host names, without ports, that are its own.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Whether `/t/<tenant>/fhir` is served.
    #[serde(default = "yes")]
    pub path: bool,
    /// FHIR base URL for its links, where the path or host does not say it.
    #[serde(default)]
    pub base_url: Option<String>,
    /// The value by which a token names it; without it, the tenant's name.
    #[serde(default)]
    pub claim: Option<String>,
    /// Most request units a second.
    #[serde(default)]
    pub ru_per_second: Option<u64>,
    /// Most request units a day (UTC), of each server process.
    #[serde(default)]
    pub ru_per_day: Option<u64>,
    /// Where the key is that its stored bytes are encrypted with: `file:PATH` or `keyvault:URL`.
    #[serde(default)]
    pub data_key: Option<String>,
}

fn yes() -> bool {
    true
}

/// What the table says of one account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountRow {
    /// Its endpoint, if there is no connection string.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Where its key is; without it, `azure_identity` is used.
    #[serde(default)]
    key: Option<String>,
    /// Where its connection string is.
    #[serde(default)]
    connection_string: Option<String>,
    /// Preferred regions.
    #[serde(default)]
    pub regions: Vec<String>,
}

impl AccountRow {
    /// Where its key is, if it has one.
    pub fn key(&self) -> Secret {
        Secret::new(self.key.as_deref().unwrap_or_default())
    }

    /// Where its connection string is, if it has one.
    pub fn connection_string(&self) -> Secret {
        Secret::new(self.connection_string.as_deref().unwrap_or_default())
    }
}

/// All tenants and their accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Each tenant.
    pub tenants: BTreeMap<Tenant, Row>,
    /// Accounts besides the configuration's own.
    pub accounts: BTreeMap<String, AccountRow>,
}

/// A table that cannot be used.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum TableError {
    /// The file cannot be read or written, or is not TOML of this form.
    #[error("the table of tenants {}: {message}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system or the TOML parser says.
        message: String,
    },
    /// Something that cannot be meant.
    #[error("the table of tenants {}: {place}: {message}", path.display())]
    Refused {
        /// Which file.
        path: PathBuf,
        /// `tenant acme`, `account west`.
        place: String,
        /// What is wrong, and what to do.
        message: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForm {
    #[serde(default)]
    tenants: BTreeMap<String, Row>,
    #[serde(default)]
    accounts: BTreeMap<String, AccountRow>,
}

impl Table {
    /// The table of a configuration; `None` if it names none.
    ///
    /// # Errors
    /// [`TableError`].
    pub fn of(config: &Config) -> Result<Option<Table>, TableError> {
        config.tenants.as_deref().map(|path| Table::read(path, config)).transpose()
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`TableError`], with the place.
    pub fn read(path: &Path, config: &Config) -> Result<Table, TableError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| TableError::File { path: path.to_owned(), message: error.to_string() })?;
        Table::parse(&text, path, config)
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// [`TableError`], with the place.
    pub fn parse(text: &str, path: &Path, config: &Config) -> Result<Table, TableError> {
        let form: FileForm = toml::from_str(text)
            .map_err(|error| TableError::File { path: path.to_owned(), message: error.to_string() })?;
        let refuse = |place: String, message: String| {
            Err(TableError::Refused { path: path.to_owned(), place, message })
        };
        let mut tenants = BTreeMap::new();
        for (name, row) in form.tenants {
            let Some(tenant) = Tenant::new(&name) else {
                let message = "a name has 1 to 63 of a-z, 0-9 and -, and begins with a letter or digit";
                return refuse(format!("tenant {name}"), message.to_owned());
            };
            if name.ends_with(RESERVED) || (config.authorization && reserved(&tenant).is_none()) {
                let message = format!(
                    "a name does not end with {RESERVED}, and with authorization leaves room for that"
                );
                return refuse(format!("tenant {name}"), message);
            }
            tenants.insert(tenant, row);
        }
        let table = Table { tenants, accounts: form.accounts };
        for (name, account) in &table.accounts {
            if let Err(message) = account.check(name) {
                return refuse(format!("account {name}"), message);
            }
        }
        let mut seen = Seen::default();
        for (tenant, row) in &table.tenants {
            if let Err(message) = table.check(tenant, row, config, &mut seen) {
                return refuse(format!("tenant {}", tenant.as_str()), message);
            }
        }
        Ok(table)
    }

    /// Where a tenant's documents are.
    pub fn home(&self, tenant: &Tenant, row: &Row, config: &Config) -> TenantHome {
        let database = row.database.clone().unwrap_or_else(|| match row.tier {
            Tier::T1 => config.cosmos_database.clone(),
            Tier::T2 | Tier::T3 => format!("{}-{}", config.cosmos_database, tenant.as_str()),
        });
        TenantHome {
            account: row.account.clone().unwrap_or_else(|| OWN_ACCOUNT.to_owned()),
            database,
            container: row.container.clone().unwrap_or_else(|| config.cosmos_container.clone()),
        }
    }

    /// The homes of all tenants.
    pub fn homes(&self, config: &Config) -> BTreeMap<Tenant, TenantHome> {
        self.tenants.iter().map(|(tenant, row)| (tenant.clone(), self.home(tenant, row, config))).collect()
    }

    fn check<'t>(
        &'t self,
        tenant: &'t Tenant,
        row: &'t Row,
        config: &Config,
        seen: &mut Seen<'t>,
    ) -> Result<(), String> {
        row.check_reach()?;
        for host in &row.hosts {
            if !seen.hosts.insert(host) {
                return Err(format!("the host {host} is another tenant's, too"));
            }
        }
        let claim = row.claim.as_deref().unwrap_or(tenant.as_str());
        if !seen.claims.insert(claim) {
            return Err(format!("the claim {claim} names another tenant, too"));
        }
        if row.ru_per_second == Some(0) || row.ru_per_day == Some(0) {
            return Err("a budget of 0 would refuse every request; leave it out for none".to_owned());
        }
        if let Some(key) = &row.data_key
            && !Secret::new(key).is_reference()
        {
            return Err("data_key says where the key is kept: file:PATH or keyvault:URL".to_owned());
        }
        match config.store {
            EngineKind::Embedded => row.check_embedded(),
            EngineKind::Cosmos => {
                self.check_tier(row)?;
                let home = self.home(tenant, row, config);
                let database = (home.account.clone(), home.database.clone());
                if row.tier == Tier::T3 && !seen.accounts.insert(home.account.clone()) {
                    return Err(format!("the account {} is another tenant's, too", home.account));
                }
                let shared = (OWN_ACCOUNT.to_owned(), config.cosmos_database.clone());
                if row.tier != Tier::T1 && (database == shared || !seen.databases.insert(database)) {
                    return Err(format!("the database {} of this account is shared", home.database));
                }
                Ok(())
            }
        }
    }

    fn check_tier(&self, row: &Row) -> Result<(), String> {
        let own = row.account.is_some() || row.database.is_some() || row.container.is_some();
        match (row.tier, &row.account) {
            (Tier::T1, _) if own => Err(
                "tier T1 shares the configuration's account, database and container; leave these out, or use T2 or T3"
                    .to_owned(),
            ),
            (Tier::T3, None) => Err("tier T3 has an account of its own; name it: account = \"..\"".to_owned()),
            (Tier::T3, Some(name)) if name == OWN_ACCOUNT => {
                Err("tier T3 has an account of its own, and `default` is the configuration's".to_owned())
            }
            (_, Some(name)) if name != OWN_ACCOUNT && !self.accounts.contains_key(name) => {
                Err(format!("there is no [accounts.{name}]"))
            }
            _ => Ok(()),
        }
    }
}

/// What one tenant alone may have.
#[derive(Default)]
struct Seen<'t> {
    hosts: BTreeSet<&'t str>,
    claims: BTreeSet<&'t str>,
    accounts: BTreeSet<String>,
    databases: BTreeSet<(String, String)>,
}

impl Row {
    /// A row that says nothing but the tier.
    pub fn new(tier: Tier) -> Row {
        Row {
            tier,
            account: None,
            database: None,
            container: None,
            hosts: Vec::new(),
            path: true,
            base_url: None,
            claim: None,
            ru_per_second: None,
            ru_per_day: None,
            data_key: None,
        }
    }

    fn check_reach(&self) -> Result<(), String> {
        for host in &self.hosts {
            let plain = |byte: u8| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b':')
            };
            let is_address = host.parse::<std::net::IpAddr>().is_ok();
            if host.is_empty() || !host.bytes().all(plain) || (host.contains(':') && !is_address) {
                return Err(format!(
                    "`{host}` is not a host name: small letters, without scheme, port and path"
                ));
            }
        }
        if !self.path && self.hosts.is_empty() {
            return Err("without hosts and with path = false nobody can reach it".to_owned());
        }
        match self.base_url.as_deref() {
            Some(url) if !url.starts_with("https://") && !url.starts_with("http://") => {
                Err(format!("base_url is a URL such as https://ehr.example.org/fhir, not `{url}`"))
            }
            _ => Ok(()),
        }
    }

    fn check_embedded(&self) -> Result<(), String> {
        let set = [
            ("account", self.account.is_some()),
            ("database", self.database.is_some()),
            ("container", self.container.is_some()),
            ("ru_per_second", self.ru_per_second.is_some()),
            ("ru_per_day", self.ru_per_day.is_some()),
        ];
        match set.iter().find(|(_, is_set)| *is_set) {
            Some((name, _)) => Err(format!("{name} is for store = cosmos; this server's store is embedded")),
            None => Ok(()),
        }
    }
}

impl AccountRow {
    fn check(&self, name: &str) -> Result<(), String> {
        let known = |secret: &Secret| secret.is_none() || secret.is_reference();
        if name == OWN_ACCOUNT {
            return Err("`default` is the account that the configuration names; use another name".to_owned());
        }
        if !known(&self.key()) || !known(&self.connection_string()) {
            return Err("key and connection_string say where the secret is kept: file:PATH or keyvault:URL"
                .to_owned());
        }
        match (&self.endpoint, self.connection_string().is_none()) {
            (Some(_), false) => Err("give an endpoint or a connection_string, not both".to_owned()),
            (None, true) => Err("it has neither endpoint nor connection_string".to_owned()),
            (None, false) if !self.key().is_none() => {
                Err("a connection string has its key; leave `key` out".to_owned())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(store: &str) -> Config {
        crate::config::load(None, &[("VESTA_STORE".to_owned(), store.to_owned())], &[]).unwrap()
    }

    fn parse(store: &str, text: &str) -> Result<Table, TableError> {
        Table::parse(text, Path::new("t.toml"), &config(store))
    }

    fn check(store: &str, text: &str, expected: &str) {
        let error = parse(store, text).unwrap_err().to_string();
        assert_eq!(error, format!("the table of tenants t.toml: {expected}"), "{text}");
    }

    #[test]
    fn homes() {
        let text = r#"
            [tenants.a]
            [tenants.b]
            tier = "T2"
            [tenants.c]
            tier = "T3"
            account = "west"
            database = "records"
            [accounts.west]
            endpoint = "https://west.documents.azure.com:443/"
        "#;
        let table = parse("cosmos", text).unwrap();
        let homes: Vec<String> = table
            .homes(&config("cosmos"))
            .values()
            .map(|home| format!("{}/{}/{}", home.account, home.database, home.container))
            .collect();
        assert_eq!(homes, ["default/vesta/vesta", "default/vesta-b/vesta", "west/records/vesta"]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        check(
            "embedded",
            "[tenants.Acme]",
            "tenant Acme: a name has 1 to 63 of a-z, 0-9 and -, and begins with a letter or digit",
        );
        check(
            "embedded",
            "[tenants.a]\nhosts = [\"https://a\"]",
            "tenant a: `https://a` is not a host name: small letters, without scheme, port and path",
        );
        check(
            "embedded",
            "[tenants.a]\nhosts = [\"h\"]\n[tenants.b]\nhosts = [\"h\"]",
            "tenant b: the host h is another tenant's, too",
        );
        check(
            "embedded",
            "[tenants.a]\n[tenants.b]\nclaim = \"a\"",
            "tenant b: the claim a names another tenant, too",
        );
        check(
            "embedded",
            "[tenants.a]\npath = false",
            "tenant a: without hosts and with path = false nobody can reach it",
        );
        check(
            "embedded",
            "[tenants.a]\nru_per_day = 5",
            "tenant a: ru_per_day is for store = cosmos; this server's store is embedded",
        );
        check(
            "embedded",
            "[tenants.a]\ndata_key = \"c2VjcmV0\"",
            "tenant a: data_key says where the key is kept: file:PATH or keyvault:URL",
        );
        check(
            "cosmos",
            "[tenants.a]\ndatabase = \"x\"",
            "tenant a: tier T1 shares the configuration's account, database and container; leave these out, or use T2 or T3",
        );
        check(
            "cosmos",
            "[tenants.a]\ntier = \"T3\"",
            "tenant a: tier T3 has an account of its own; name it: account = \"..\"",
        );
        check("cosmos", "[tenants.a]\ntier = \"T3\"\naccount = \"x\"", "tenant a: there is no [accounts.x]");
        check(
            "cosmos",
            "[tenants.a]\ntier = \"T2\"\ndatabase = \"vesta\"",
            "tenant a: the database vesta of this account is shared",
        );
        check(
            "cosmos",
            "[tenants.a]\nru_per_second = 0",
            "tenant a: a budget of 0 would refuse every request; leave it out for none",
        );
        check(
            "cosmos",
            "[accounts.w]\nendpoint = \"https://w\"\nkey = \"c2VjcmV0\"",
            "account w: key and connection_string say where the secret is kept: file:PATH or keyvault:URL",
        );
        let unknown = parse("embedded", "[tenants.a]\nhost = \"x\"").unwrap_err().to_string();
        assert!(unknown.contains("unknown field `host`"), "{unknown}");
    }
}
