//! `vesta tenant move`: to another home in Cosmos DB, while servers read and write it. The work is crate `archive`'s; here the
//! homes are opened, and the table says the new one when everything is there.

use std::error::Error;

use archive::Moved;
use store::Tenant;

use super::command::{TenantCommandError, make, runtime, shown, table_path};
use super::edit;
use super::table::{Row, Table, Tier};
use crate::authorization::reserved;
use crate::config::{Config, EngineKind};
use crate::open;
use crate::progress::Progress;

/// A tenant and its new home.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Move {
    /// Its name
    name: String,
    /// T1 shares a container with others, T2 has a database, T3 an account
    #[arg(long, value_parser = ["T1", "T2", "T3"])]
    tier: String,
    /// Its account in the table, for tier T3
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Its database, if not cosmos_database-NAME
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// Its container, if not cosmos_container
    #[arg(long, value_name = "NAME")]
    container: Option<String>,
}

/// Moves it.
///
/// # Errors
/// The table would be refused, the new home cannot be made, or the copy is not the same. Then the tenant is where it was.
pub fn move_tenant(config: &Config, to: &Move) -> Result<(), TenantCommandError> {
    if config.store == EngineKind::Embedded {
        return Err(TenantCommandError::EmbeddedMove);
    }
    let path = table_path(config)?;
    let table = Table::read(&path, config)?;
    let tenant = open::tenant(Some(&table), Some(&to.name))?;
    let row = Row {
        account: to.account.clone(),
        database: to.database.clone(),
        container: to.container.clone(),
        ..Row::new(Tier::of(&to.tier).unwrap_or_default())
    };
    let edit = edit::set_home(&path, config, &tenant, &row)?;
    let home = |table: &Table| table.homes(config).remove(&tenant);
    let (Some(from), Some(home)) = (home(&table), home(&edit.table)) else {
        return Err(TenantCommandError::Name(to.name.clone()));
    };
    if from == home {
        return Err(TenantCommandError::There(shown(&home)));
    }
    make(config, Some(&edit.table), vec![home.clone()])?;
    let Moved { content, sealed_for } = copy(config, &table, edit, &tenant)?;
    println!(
        "Moved tenant {} from {} to {}: {content}; it took no writes for {} ms. What is at the old home is not needed any more, and was not deleted.",
        to.name,
        shown(&from),
        shown(&home),
        sealed_for.as_millis()
    );
    Ok(())
}

fn copy(
    config: &Config,
    table: &Table,
    edit: edit::Edit,
    tenant: &Tenant,
) -> Result<Moved, TenantCommandError> {
    let progress = Progress::new("Moving");
    let tell = |done, total| progress.at(done, total, &format!("{done} versions"));
    let moved = runtime()?.block_on(async {
        let base = || open::base_url(config, config.bind);
        let source = open::open(config, Some(table), base()).await?.store;
        let destination = open::open(config, Some(&edit.table), base()).await?.store;
        let switch = async || {
            // Those of its authorization server go with it.
            if let Some(reserved) = reserved(tenant) {
                let nothing = async || Ok(());
                archive::move_tenant(&source, &destination, &reserved, nothing, &|_, _| ()).await?;
            }
            match edit.write() {
                Ok(_) => Ok(()),
                Err(error) => Err(Box::<dyn Error + Send + Sync>::from(error)),
            }
        };
        let moved = archive::move_tenant(&source, &destination, tenant, switch, &tell).await;
        moved.map_err(TenantCommandError::from)
    });
    progress.clear();
    moved
}
