//! `vesta jobs`: the export and import jobs of a data directory, whether a server runs or not.

use bulk::{Directory, Jobs as _};

use crate::bulk_import;
use crate::config::Config;
use crate::export::Home;
use crate::http::admin::{self, CancelRequest};
use crate::maintain::{MaintainError, Opened, ask, opened};
use crate::open::OpenError;

/// Prints the jobs of all tenants, the oldest first.
///
/// # Errors
/// They cannot be read.
pub fn list(config: &Config) -> Result<(), MaintainError> {
    let jobs = exports(config)?;
    let root = bulk_import::root(config);
    let imports = bulk_import::jobs(&root).map_err(|error| MaintainError::Path { path: root, error })?;
    if jobs.is_empty() && imports.is_empty() {
        println!("There are no exports and no imports.");
    }
    for (tenant, job) in jobs {
        let state = state(job.state);
        let begun = store::Timestamp(job.created_ms);
        let bytes: u64 = job.files.iter().map(|file| file.bytes).sum();
        println!(
            "{}  {}  {state}  begun {begun}  {} resources, {} files, {bytes} bytes  {}",
            job.id,
            tenant.as_str(),
            job.resources(),
            job.files.len(),
            job.url
        );
    }
    for (tenant, job) in imports {
        let (state, begun) = (state(job.state), store::Timestamp(job.created_ms));
        let refused: u64 = job.sources.iter().map(|source| source.refused).sum();
        println!(
            "{}  {tenant}  {state}  begun {begun}  {} resources, {refused} refused, {} sources  {}",
            job.id,
            job.dealt_with().saturating_sub(refused),
            job.sources.len(),
            job.url
        );
    }
    Ok(())
}

/// The exports of a server, with their tenants.
fn exports(config: &Config) -> Result<Vec<(store::Tenant, bulk::Job)>, MaintainError> {
    with_home(config, |home| home.jobs())
}

/// Does something where the exports are.
fn with_home<T>(config: &Config, ask: impl FnOnce(&Home) -> std::io::Result<T>) -> Result<T, MaintainError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| MaintainError::Store(error.into()))?;
    runtime.block_on(async {
        let home = Home::of_command(config).await?;
        ask(&home).map_err(|error| match &home {
            Home::Disk(root) => MaintainError::Path { path: root.clone(), error },
            Home::Container(_) => OpenError::Exports(error.to_string()).into(),
        })
    })
}

fn state(state: bulk::State) -> &'static str {
    match state {
        bulk::State::Active => "active",
        bulk::State::Complete => "complete",
        bulk::State::Failed => "failed",
    }
}

/// Cancels a job, or removes one that ended, with its files.
///
/// # Errors
/// There is no such job, or its files cannot be removed.
pub fn cancel(config: &Config, id: &str) -> Result<(), MaintainError> {
    let none = || MaintainError::NoJob(id.to_owned());
    let exported = exports(config)?.into_iter().find(|(_, job)| job.id == id);
    let root = bulk_import::root(config);
    let at = |error| MaintainError::Path { path: root.clone(), error };
    let (is_export, tenant) = match exported {
        Some((tenant, _)) => (true, tenant.as_str().to_owned()),
        None => {
            let mut all = bulk_import::jobs(&root).map_err(at)?.into_iter();
            let found = all.find(|(_, job)| job.id == id);
            (false, found.ok_or_else(none)?.0)
        }
    };
    let named = (tenant != store::Tenant::default_tenant().as_str()).then_some(tenant.as_str());
    let was_there = match opened(config, named)? {
        // Nobody works on it; or whoever does, finds it gone.
        (tenant, Opened::Here { .. }) if is_export => {
            with_home(config, |home| home.place(&tenant).remove(id)).map(|()| true)?
        }
        (_, Opened::Here { .. }) => {
            Directory::at(root.join(&tenant)).remove(id).map(|()| true).map_err(at)?
        }
        (_, Opened::There(server)) => {
            ask(&server, admin::JOBS, &CancelRequest { tenant, job: id.to_owned() })?
        }
    };
    if !was_there {
        return Err(none());
    }
    println!("Cancelled {id}; its files are removed.");
    Ok(())
}
