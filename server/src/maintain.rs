//! `vesta check`, and what it shares with the other commands on the data ([`crate::backup`]). A directory that a server has open is worked on by that server, asked over its
//! administrative paths; any other is opened here.

use std::path::PathBuf;

use archive::ArchiveError;
use interaction::Service;
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::{StoreError, Tenant};
use tokio::runtime::Runtime;

use crate::config::{Config, EngineKind};
use crate::http::admin::{self, CheckReport, CheckRequest};
use crate::open::{self, OpenError};
use crate::progress::Progress;
use crate::running::Running;
use crate::tenants::{Table, TableError};

/// The work could not be done, or found something.
#[derive(Debug, thiserror::Error)]
pub enum MaintainError {
    /// The data cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The table of tenants.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The directory has no store.
    #[error("there is no data in {}; name its directory with --data", .0.display())]
    NoData(PathBuf),
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The archive.
    #[error("{0}")]
    Archive(#[from] ArchiveError),
    /// The archive is not the past of the data.
    #[error("{0}")]
    Drill(String),
    /// The server that has the directory open does not do it.
    #[error("the server that has the data open (process {pid}) did not do it: {message}")]
    Server {
        /// Its process.
        pid: u32,
        /// What it says.
        message: String,
    },
    /// The check found faults.
    #[error("{0} faults; restore a backup, and keep the damaged directory for examination")]
    Faults(usize),
    /// The audit log is not as it was written.
    #[error("the audit log is not as it was written: {0} faults")]
    Audit(u64),
    /// No job has this id.
    #[error("there is no job {0}; vesta jobs lists all")]
    NoJob(String),
    /// A path that cannot be used.
    #[error("cannot use {}: {error}", path.display())]
    Path {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

/// Compares everything in the store with everything else.
///
/// # Errors
/// [`MaintainError::Faults`] when something disagrees.
pub fn check(config: &Config, tenant: Option<&str>) -> Result<(), MaintainError> {
    let (tenant, opened) = opened(config, tenant)?;
    let report = match opened {
        Opened::Here { service, runtime } => {
            let progress = Progress::new("Checking");
            let tell = |done, total| progress.at(done, total, &format!("{done} of {total} resources"));
            let report = runtime.block_on(service.store.check(&tenant, &tell));
            progress.clear();
            CheckReport::from(report?)
        }
        Opened::There(server) => {
            ask(&server, admin::CHECK, &CheckRequest { tenant: tenant.as_str().to_owned() })?
        }
    };
    for fault in &report.faults {
        println!("{fault}");
    }
    println!(
        "Checked {} resources, {} versions, {} index postings: {}",
        report.resources,
        report.versions,
        report.postings,
        if report.faults.is_empty() {
            "all agree".to_owned()
        } else {
            format!("{} faults", report.faults.len())
        }
    );
    match report.faults.len() {
        0 => Ok(()),
        faults => Err(MaintainError::Faults(faults)),
    }
}

/// Who works on the data.
pub(crate) enum Opened {
    /// This process.
    Here { service: Box<Service>, runtime: Runtime },
    /// A server that has it open.
    There(Running),
}

/// The tenant of that name, or the only one, and its store.
pub(crate) fn opened(config: &Config, tenant: Option<&str>) -> Result<(Tenant, Opened), MaintainError> {
    if config.store == EngineKind::Embedded && !config.data.is_dir() {
        return Err(MaintainError::NoData(config.data.clone()));
    }
    let table = Table::of(config)?;
    let tenant = open::tenant(table.as_ref(), tenant)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| MaintainError::Store(error.into()))?;
    match runtime.block_on(open::open(config, table.as_ref(), open::base_url(config, config.bind))) {
        Ok(service) => Ok((tenant, Opened::Here { service: Box::new(service), runtime })),
        Err(OpenError::InUse { directory }) => match Running::find(&config.data) {
            Some(server) => Ok((tenant, Opened::There(server))),
            None => Err(MaintainError::Open(OpenError::InUse { directory })),
        },
        Err(error) => Err(error.into()),
    }
}

/// Asks a server to do it.
pub(crate) fn ask<T: DeserializeOwned>(
    server: &Running,
    path: &str,
    body: &impl Serialize,
) -> Result<T, MaintainError> {
    let fault = |message: String| MaintainError::Server { pid: server.pid, message };
    let text = serde_json::to_vec(body).map_err(|error| fault(error.to_string()))?;
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut response = agent
        .post(&format!("http://{}{path}", server.address))
        .header("authorization", &format!("Bearer {}", server.token))
        .header("content-type", "application/json")
        .send(text.as_slice())
        .map_err(|error| fault(error.to_string()))?;
    let answer = response.body_mut().read_to_vec().map_err(|error| fault(error.to_string()))?;
    if response.status().is_success() {
        return serde_json::from_slice(&answer).map_err(|error| fault(error.to_string()));
    }
    let outcome: serde_json::Value = serde_json::from_slice(&answer).unwrap_or_default();
    let text = outcome.pointer("/issue/0/details/text").and_then(serde_json::Value::as_str);
    Err(fault(text.map_or_else(|| format!("status {}", response.status()), str::to_owned)))
}
