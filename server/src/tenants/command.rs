//! `vesta tenant add`, `vesta tenant list` and `vesta cosmos init`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use store::cosmos::{CosmosOptions, Made, TenantHome, Throughput};
use store::{Access, StoreError, Tenant};
use tokio::runtime::Runtime;

use super::edit;
use super::table::{Row, Table, TableError, Tier};
use crate::config::{Config, EngineKind};
use crate::open::{self, OpenError};
use crate::running::Running;

/// A tenant to add. What is left out is as the table's defaults say.
// The variant of its name has the group of this name.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Add {
    /// Its name: 1 to 63 of a-z, 0-9 and -
    name: String,
    /// T1 shares a container with others, T2 has a database, T3 an account
    #[arg(long, default_value = "T1", value_parser = ["T1", "T2", "T3"])]
    tier: String,
    /// A host name that is its own
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// Do not serve it at /t/NAME/fhir
    #[arg(long)]
    no_path: bool,
    /// FHIR base URL for its links, if path or host do not say it
    #[arg(long = "tenant-base-url", value_name = "URL")]
    tenant_base_url: Option<String>,
    /// By what a token's claim names it, if not by its name
    #[arg(long, value_name = "TEXT")]
    claim: Option<String>,
    /// Its account in the table, for tier T3
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Its database, if not cosmos_database-NAME
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// Its container, if not cosmos_container
    #[arg(long, value_name = "NAME")]
    container: Option<String>,
    /// Budget of request units a second
    #[arg(long, value_name = "RU")]
    ru_per_second: Option<u64>,
    /// Budget of request units a day
    #[arg(long, value_name = "RU")]
    ru_per_day: Option<u64>,
    /// Where the key is that its stored bytes are encrypted with: file:PATH or keyvault:URL
    #[arg(long, value_name = "REFERENCE")]
    data_key: Option<String>,
}

impl Add {
    fn row(&self) -> Row {
        Row {
            account: self.account.clone(),
            database: self.database.clone(),
            container: self.container.clone(),
            hosts: self.hosts.clone(),
            path: !self.no_path,
            base_url: self.tenant_base_url.clone(),
            claim: self.claim.clone(),
            ru_per_second: self.ru_per_second,
            ru_per_day: self.ru_per_day,
            data_key: self.data_key.clone(),
            ..Row::new(Tier::of(&self.tier).unwrap_or_default())
        }
    }
}

/// The command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum TenantCommandError {
    /// There is no table.
    #[error(
        "there is no table of tenants; name its file: --tenants FILE (VESTA_TENANTS, or `tenants` in the configuration file)"
    )]
    NoTable,
    /// A name that no tenant can have.
    #[error("{0} cannot be a tenant's name: 1 to 63 of a-z, 0-9 and -, beginning with a letter or digit")]
    Name(String),
    /// The command is for the other engine.
    #[error("the store is embedded, and needs no containers; with store = cosmos this makes them")]
    Embedded,
    /// The embedded engine has nowhere to move a tenant to.
    #[error(
        "a tenant of the embedded store is a directory of its own; `vesta backup` and `vesta restore` take it to another store"
    )]
    EmbeddedMove,
    /// The new home is the old one.
    #[error("it is at {0} already")]
    There(String),
    /// It was not moved.
    #[error(transparent)]
    Move(#[from] archive::MoveError),
    /// The table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The store, or what it needs.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A database or container cannot be made.
    #[error("{home}: {error}")]
    Init {
        /// `account/database/container`.
        home: String,
        /// Why.
        error: StoreError,
    },
    /// The system refuses threads.
    #[error("cannot start: {0}")]
    Io(#[from] std::io::Error),
}

/// Adds a tenant to the table, after what it needs is made.
///
/// # Errors
/// The table would be refused, or its database and container cannot be made. Then the table is as before.
pub fn add(config: &Config, add: &Add) -> Result<(), TenantCommandError> {
    let path = table_path(config)?;
    let tenant = Tenant::new(&add.name).ok_or_else(|| TenantCommandError::Name(add.name.clone()))?;
    let is_new = !path.exists();
    let edit = edit::add(&path, config, &tenant, &add.row())?;
    if config.store == EngineKind::Cosmos {
        let homes = edit.table.homes(config);
        make(config, Some(&edit.table), homes.get(&tenant).into_iter().cloned().collect())?;
    }
    edit.write()?;
    println!(
        "Added tenant {} to {}; a running server serves it within a second or two",
        add.name,
        path.display()
    );
    if is_new {
        println!(
            "With a table only the tenants in it are served. Records from before are tenant default's: `vesta tenant add default` serves them on."
        );
    }
    Ok(())
}

/// Lists the tenants of the table.
///
/// # Errors
/// The table or the store cannot be opened.
pub fn list(config: &Config) -> Result<(), TenantCommandError> {
    let table = Table::read(&table_path(config)?, config)?;
    let counts = counts(config, &table)?;
    println!("{:<24} {:<5} {:<48} {:>12}", "TENANT", "TIER", "HOME", "RESOURCES");
    for (tenant, row) in &table.tenants {
        let home = match config.store {
            EngineKind::Embedded => config.data.join(tenant.as_str()).display().to_string(),
            EngineKind::Cosmos => shown(&table.home(tenant, row, config)),
        };
        let count = counts.get(tenant.as_str()).map_or_else(|| "-".to_owned(), u64::to_string);
        println!("{:<24} {:<5} {home:<48} {count:>12}", tenant.as_str(), row.tier.name());
    }
    Ok(())
}

/// Makes the databases and containers of the configuration and of all tenants.
///
/// # Errors
/// One cannot be made.
pub fn init(config: &Config) -> Result<(), TenantCommandError> {
    if config.store == EngineKind::Embedded {
        return Err(TenantCommandError::Embedded);
    }
    let table = Table::of(config)?;
    let mut homes = vec![open::own_home(config)];
    for home in table.iter().flat_map(|table| table.homes(config).into_values()) {
        if !homes.contains(&home) {
            homes.push(home);
        }
    }
    make(config, table.as_ref(), homes)
}

pub(super) fn table_path(config: &Config) -> Result<PathBuf, TenantCommandError> {
    config.tenants.clone().ok_or(TenantCommandError::NoTable)
}

pub(crate) fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

pub(super) fn make(
    config: &Config,
    table: Option<&Table>,
    homes: Vec<TenantHome>,
) -> Result<(), TenantCommandError> {
    runtime()?.block_on(async {
        let options: CosmosOptions = open::cosmos_options(config, table).await?;
        for home in homes {
            let Made { database, container } = store::cosmos::init(&options, &home, Throughput::Account)
                .await
                .map_err(|error| TenantCommandError::Init { home: shown(&home), error })?;
            let made = match (database, container) {
                (true, _) => "database and container made",
                (false, true) => "container made",
                (false, false) => "was there",
            };
            println!("{}: {made}", shown(&home));
        }
        Ok(())
    })
}

pub(super) fn shown(home: &TenantHome) -> String {
    format!("{}/{}/{}", home.account, home.database, home.container)
}

/// How many resources each tenant has: from the store, or from the server that has it open.
fn counts(config: &Config, table: &Table) -> Result<BTreeMap<String, u64>, TenantCommandError> {
    let runtime = runtime()?;
    let base = open::base_url(config, config.bind);
    match runtime.block_on(open::open(config, Some(table), base)) {
        Ok(service) => Ok(runtime.block_on(async {
            let mut counts = BTreeMap::new();
            for tenant in table.tenants.keys() {
                match service.store.counts(tenant, &Access::unrestricted()).await {
                    Ok(found) => {
                        let sum = found.iter().map(|(_, count)| count).sum();
                        counts.insert(tenant.as_str().to_owned(), sum);
                    }
                    Err(error) => eprintln!("{}: {error}", tenant.as_str()),
                }
            }
            counts
        })),
        Err(OpenError::InUse { directory }) => {
            match Running::find(&config.data).and_then(|server| figures(&server)) {
                Some(text) => {
                    // A tenant without resources has no line of its own.
                    let mut counts: BTreeMap<String, u64> =
                        table.tenants.keys().map(|tenant| (tenant.as_str().to_owned(), 0)).collect();
                    counts.extend(resources(&text));
                    Ok(counts)
                }
                None => Err(OpenError::InUse { directory }.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

fn figures(server: &Running) -> Option<String> {
    let mut answer = ureq::get(format!("http://{}/metrics", server.address)).call().ok()?;
    answer.body_mut().read_to_string().ok()
}

/// The sum of `vesta_resources` of each tenant on a page of metrics.
fn resources(metrics: &str) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for line in metrics.lines() {
        let Some((labels, count)) =
            line.strip_prefix("vesta_resources{tenant=\"").and_then(|rest| rest.split_once("} "))
        else {
            continue;
        };
        let tenant = labels.split('"').next().unwrap_or_default();
        *sums.entry(tenant.to_owned()).or_insert(0) += count.parse::<u64>().unwrap_or(0);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_the_metrics() {
        let text = "# HELP vesta_resources Current resources.\nvesta_resources{tenant=\"a\",type=\"Patient\"} 2\nvesta_resources{tenant=\"a\",type=\"Group\"} 3\nvesta_resources{tenant=\"b\",type=\"Group\"} 1\nvesta_panics_total 0\n";
        assert_eq!(resources(text), BTreeMap::from([("a".to_owned(), 5), ("b".to_owned(), 1)]));
    }
}
