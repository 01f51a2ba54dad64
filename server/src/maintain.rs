//! `vesta check`, `backup` and `restore`. A directory that a server has open is worked on by that server, asked over its
//! administrative paths; any other is opened here.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use store::{Store, StoreError};

use crate::config::Config;
use crate::http::admin::{self, BackupReport, BackupRequest, CheckReport};
use crate::open::{self, OpenError, everything};
use crate::progress::Progress;
use crate::running::Running;

/// The work could not be done, or found something.
#[derive(Debug, thiserror::Error)]
pub enum MaintainError {
    /// The data cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The directory has no store.
    #[error("there is no data in {}; name its directory with --data", .0.display())]
    NoData(PathBuf),
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
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
pub fn check(config: &Config) -> Result<(), MaintainError> {
    let report = match opened(config)? {
        Opened::Here(store) => {
            let progress = Progress::new("Checking");
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .map_err(|error| MaintainError::Store(error.into()))?;
            let tenant = everything().tenant;
            let tell = |done, total| progress.at(done, total, &format!("{done} of {total} resources"));
            let report = runtime.block_on(store.check(&tenant, &tell));
            progress.clear();
            CheckReport::from(report?)
        }
        Opened::There(server) => ask(&server, admin::CHECK, &())?,
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

/// Writes a consistent copy of the store to a new file.
///
/// # Errors
/// The file exists or cannot be written.
pub fn backup(config: &Config, file: &Path) -> Result<(), MaintainError> {
    let file =
        std::path::absolute(file).map_err(|error| MaintainError::Path { path: file.to_owned(), error })?;
    let bytes = match opened(config)? {
        Opened::Here(store) => store.backup(&everything().tenant, &file)?,
        Opened::There(server) => {
            let report: BackupReport = ask(&server, admin::BACKUP, &BackupRequest { file: file.clone() })?;
            report.bytes
        }
    };
    println!("Wrote {bytes} bytes to {}; vesta restore {} brings them back", file.display(), file.display());
    Ok(())
}

/// Makes the store of a directory from such a copy.
///
/// # Errors
/// The directory has a store, or the file is no copy of one.
pub fn restore(config: &Config, file: &Path) -> Result<(), MaintainError> {
    Store::restore(file, &config.data, &everything().tenant)?;
    println!("Restored {} into {}", file.display(), config.data.display());
    Ok(())
}

enum Opened {
    Here(Store),
    There(Running),
}

fn opened(config: &Config) -> Result<Opened, MaintainError> {
    if !config.data.is_dir() {
        return Err(MaintainError::NoData(config.data.clone()));
    }
    match open::open(config, open::base_url(config, config.bind)) {
        Ok(service) => Ok(Opened::Here(service.store)),
        Err(OpenError::InUse { directory }) => Running::find(&config.data)
            .map(Opened::There)
            .ok_or(MaintainError::Open(OpenError::InUse { directory })),
        Err(error) => Err(error.into()),
    }
}

fn ask<T: DeserializeOwned>(server: &Running, path: &str, body: &impl Serialize) -> Result<T, MaintainError> {
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
