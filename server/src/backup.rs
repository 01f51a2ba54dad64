//! `vesta backup`, `restore` and `drill`, and the backups that a server makes by itself: archives of tenants, each in a
//! directory of the tenant's name.

mod schedule;

use std::path::{Path, PathBuf};
use std::time::Instant;

use archive::{Archive, ArchiveError, Content, Lag};
use store::{Tenant, Timestamp};

use crate::authorization::reserved;
use crate::config::{Config, EngineKind};
use crate::http::admin::{self, BackupReport, BackupRequest, LagRequest};
use crate::maintain::{MaintainError, Opened, ask, opened};
use crate::open::{self, OpenError};
use crate::progress::Progress;
use crate::tenants::Table;

pub use schedule::keep;

/// The archive of a tenant in a directory of archives.
///
/// # Errors
/// The working directory, which a relative path begins at, is gone.
fn archive(directory: &Path, tenant: &Tenant) -> Result<Archive, MaintainError> {
    let fault = |error| MaintainError::Path { path: directory.to_owned(), error };
    Ok(Archive::at(std::path::absolute(directory).map_err(fault)?.join(tenant.as_str())))
}

/// Reads an instant as FHIR writes it.
///
/// # Errors
/// What is wrong with it.
pub fn instant(text: &str) -> Result<Timestamp, String> {
    let instant: jiff::Timestamp = text.parse().map_err(|_| {
        "write the time with its zone, as 2026-11-22T02:10:33Z or 2026-11-22T02:10:33.123-05:00".to_owned()
    })?;
    Ok(Timestamp(instant.as_millisecond()))
}

/// Appends what is new to a tenant's archive.
///
/// # Errors
/// The store or the archive fails; the archive is of another tenant or another history.
pub fn backup(config: &Config, tenant: Option<&str>, directory: &Path) -> Result<(), MaintainError> {
    let (tenant, opened) = opened(config, tenant)?;
    for part in parts(config, &tenant) {
        back_up(&opened, &part, &archive(directory, &part)?)?;
    }
    Ok(())
}

/// What is a tenant's: its records, and those of its authorization server.
fn parts(config: &Config, tenant: &Tenant) -> Vec<Tenant> {
    let is_there = |reserved: &Tenant| {
        config.authorization
            || (config.store == EngineKind::Embedded && config.data.join(reserved.as_str()).is_dir())
    };
    [tenant.clone()].into_iter().chain(reserved(tenant).filter(is_there)).collect()
}

fn back_up(opened: &Opened, tenant: &Tenant, archive: &Archive) -> Result<(), MaintainError> {
    let report = match opened {
        Opened::Here { service, runtime } => {
            BackupReport::from(runtime.block_on(archive.append(&service.store, tenant))?)
        }
        Opened::There(server) => {
            let request =
                BackupRequest { tenant: tenant.as_str().to_owned(), archive: archive.directory().to_owned() };
            ask(server, admin::BACKUP, &request)?
        }
    };
    let BackupReport { content, commits, bytes } = report;
    println!("Wrote {commits} new commits ({bytes} bytes) to {}", archive.directory().display());
    println!("It holds {content}");
    Ok(())
}

/// Brings a tenant back from its archive.
///
/// # Errors
/// The tenant has data, the archive is damaged, the store fails.
pub fn restore(
    config: &Config,
    tenant: Option<&str>,
    directory: &Path,
    until: Option<Timestamp>,
) -> Result<(), MaintainError> {
    let name = tenant;
    let tenant = open::tenant(Table::of(config)?.as_ref(), name)?;
    let archive = archive(directory, &tenant)?;
    // Before a data directory is made.
    if archive.end()?.is_none() {
        return Err(ArchiveError::Empty(archive.directory().to_owned()).into());
    }
    if config.store == EngineKind::Embedded {
        std::fs::create_dir_all(&config.data)
            .map_err(|error| MaintainError::Path { path: config.data.clone(), error })?;
    }
    let Opened::Here { service, runtime } = opened(config, name)?.1 else {
        return Err(OpenError::InUse { directory: config.data.display().to_string() }.into());
    };
    let mut archives = vec![(tenant.clone(), archive)];
    if let Some(reserved) = reserved(&tenant) {
        let beside = self::archive(directory, &reserved)?;
        if beside.directory().is_dir() && beside.end()?.is_some() {
            archives.push((reserved, beside));
        }
    }
    for (tenant, archive) in archives {
        let progress = Progress::new("Restoring");
        let tell = |done, total| progress.at(done, total, &format!("{done} of {total} versions"));
        let restored = runtime.block_on(archive.restore(&service.store, &tenant, until, &tell));
        progress.clear();
        let survey = restored?;
        println!(
            "Restored {} resources as of {}: {}",
            survey.resources(),
            survey.content.last_updated(),
            survey.content
        );
    }
    Ok(())
}

/// Restores an archive into a temporary embedded store, compares content hashes with the data, and says what was measured.
///
/// # Errors
/// An error when the archive is not the past of the data; the archive is damaged; the store fails.
pub fn drill(config: &Config, tenant: Option<&str>, directory: &Path) -> Result<(), MaintainError> {
    let (tenant, opened) = opened(config, tenant)?;
    for part in parts(config, &tenant) {
        drill_one(config, &opened, &part, &archive(directory, &part)?)?;
    }
    Ok(())
}

fn drill_one(
    config: &Config,
    opened: &Opened,
    tenant: &Tenant,
    archive: &Archive,
) -> Result<(), MaintainError> {
    let Some(end) = archive.end()? else {
        return Err(ArchiveError::Empty(archive.directory().to_owned()).into());
    };
    let started = Instant::now();
    let restored = restore_aside(config, archive, tenant)?;
    let took = started.elapsed();
    println!("Archive   {}: {restored}", archive.directory().display());
    println!(
        "RTO       {:.2} s to check the archive, restore it and compare what was restored",
        took.as_secs_f64()
    );
    let sequence = restored.sequence;
    let now = Timestamp::now();
    let lag: Lag = match opened {
        Opened::Here { service, runtime } => {
            runtime.block_on(archive::lag(&service.store, tenant, sequence))?
        }
        Opened::There(server) => {
            ask(server, admin::LAG, &LagRequest { tenant: tenant.as_str().to_owned(), sequence })?
        }
    };
    println!("RPO       {}; the last segment is {} s old", lost(&lag, now), end.age().as_secs());
    if lag.content != restored {
        return Err(MaintainError::Drill(format!(
            "the data differs from the archive: it holds {}",
            lag.content
        )));
    }
    println!("The data and what was restored are equal up to commit {sequence}");
    Ok(())
}

fn lost(lag: &Lag, now: Timestamp) -> String {
    match lag.since_ms {
        None => "0 s: every commit is in the archive".to_owned(),
        Some(since) => {
            let seconds =
                std::time::Duration::from_millis(u64::try_from(now.0 - since).unwrap_or(0)).as_secs_f64();
            format!(
                "{seconds:.1} s: {} commits since {} are not in the archive",
                lag.commits,
                Timestamp(since)
            )
        }
    }
}

/// Restores into an embedded store that goes away again. What it held.
fn restore_aside(config: &Config, archive: &Archive, tenant: &Tenant) -> Result<Content, MaintainError> {
    let fault = |error| MaintainError::Path { path: std::env::temp_dir(), error };
    let aside = tempfile::Builder::new().prefix("vesta-drill-").tempdir().map_err(fault)?;
    let data = PathBuf::from(aside.path());
    let config = Config { data, store: EngineKind::Embedded, tenants: None, ..config.clone() };
    let Opened::Here { service, runtime } = opened(&config, None)?.1 else {
        return Err(OpenError::InUse { directory: config.data.display().to_string() }.into());
    };
    let progress = Progress::new("Restoring");
    let tell = |done, total| progress.at(done, total, &format!("{done} of {total} versions"));
    let restored = runtime.block_on(archive.restore(&service.store, tenant, None, &tell));
    progress.clear();
    Ok(restored?.content)
}
