//! The jobs of a tenant, as administrators see them.

use std::cmp::Reverse;
use std::io::Result;
use std::sync::Arc;

use bulk::State;
use smart::{Job, StorageError};
use store::Tenant;

use crate::bulk_import::Importer;
use crate::export::Exporter;

/// The exports and imports of a tenant; none where the program runs no server.
pub struct Overview {
    /// What works on them.
    pub jobs: Option<(Arc<Exporter>, Arc<Importer>)>,
    /// Whose they are.
    pub tenant: Tenant,
}

impl smart::Jobs for Overview {
    fn all(&self) -> std::result::Result<Vec<Job>, StorageError> {
        let Some((exporter, importer)) = &self.jobs else { return Ok(Vec::new()) };
        let exports = exports(exporter, &self.tenant).map_err(|error| failed(&error))?;
        let imports = imports(importer, &self.tenant).map_err(|error| failed(&error))?;
        let mut all: Vec<Job> = exports.into_iter().chain(imports).collect();
        all.sort_by_key(|job| Reverse(job.begun_s));
        Ok(all)
    }

    fn cancel(&self, id: &str) -> std::result::Result<bool, StorageError> {
        let Some((exporter, importer)) = &self.jobs else { return Ok(false) };
        let was_export = exporter.cancel(&self.tenant, id).map_err(|error| failed(&error))?;
        Ok(was_export || importer.cancel(&self.tenant, id).map_err(|error| failed(&error))?)
    }
}

fn exports(exporter: &Exporter, tenant: &Tenant) -> Result<Vec<Job>> {
    let shown = |(job, written): (bulk::Job, u64)| Job {
        is_active: job.state == State::Active,
        state: match job.state {
            State::Active => format!("Export, {written} resources written"),
            State::Complete => format!("Export of {written} resources, complete"),
            State::Failed => "Export, failed".to_owned(),
        },
        begun_s: job.created_ms.div_euclid(1000),
        id: job.id,
        url: job.url,
        owner: job.owner,
    };
    Ok(exporter.jobs(tenant)?.into_iter().map(shown).collect())
}

fn imports(importer: &Importer, tenant: &Tenant) -> Result<Vec<Job>> {
    let shown = |(job, lines): (bulk::import::ImportJob, u64)| {
        let refused: u64 = job.sources.iter().map(|source| source.refused).sum();
        Job {
            is_active: job.state == State::Active,
            state: match job.state {
                State::Active => format!("Import, {lines} lines dealt with"),
                State::Complete => format!("Import of {lines} lines, {refused} of them refused, complete"),
                State::Failed => "Import, failed".to_owned(),
            },
            begun_s: job.created_ms.div_euclid(1000),
            id: job.id,
            url: job.url,
            owner: job.owner,
        }
    };
    Ok(importer.jobs(tenant)?.into_iter().map(shown).collect())
}

fn failed(error: &std::io::Error) -> StorageError {
    StorageError(error.to_string())
}
