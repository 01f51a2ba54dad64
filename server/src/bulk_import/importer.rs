//! The import jobs of this process: begun, found, cancelled, resumed when the server starts, and forgotten when their time is over.
//! Each tenant's jobs are in a directory of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bulk::import::{
    ImportError, ImportJob, JobJournal, JobSources, Pipeline, UPLOADED, import, imports, load_import,
    save_import,
};
use bulk::{Control, Directory, Jobs as _, Output as _, Reading, State};
use fhirpath::Issue;
use interaction::{Caller, Service, ValidationLevel};
use store::Tenant;

use super::fetch::Downloads;
use super::records::Records;
use crate::config::Config;
use crate::export::asked_again;
use crate::jobs::{Active, Queue, TooMany};

/// Imports that run at a time; others wait.
const RUNNING: usize = 1;
/// Most chunks, of a thousand lines each, of one commit: other writes wait as long as one takes.
const CHUNKS_OF_COMMIT: usize = 4;
/// Seconds between looks for jobs whose time is over.
const SWEEP_S: u64 = 60;

/// The jobs of a server.
pub struct Importer {
    root: PathBuf,
    keep_ms: i64,
    hosts: Vec<String>,
    max_source_bytes: u64,
    max_line_bytes: usize,
    queue: Queue,
}

/// A job that was asked for.
pub enum Found {
    /// It waits or runs; so many resources are dealt with.
    Active(u64),
    /// It ended: complete or failed.
    Ended(Box<ImportJob>),
}

/// A place for a job that is not begun yet; it is given back when this is dropped.
pub struct Admitted {
    importer: Arc<Importer>,
    tenant: Tenant,
    id: String,
    active: Option<Arc<Active>>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if self.active.is_some() {
            self.importer.queue.leave(&self.tenant, &self.id);
            // What was received of it is no job; the next start removes it, if this cannot.
            let _ = self.importer.directory(&self.tenant).remove(&self.id);
        }
    }
}

impl Admitted {
    /// The file of what comes with the request.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn receive(&self) -> std::io::Result<File> {
        let path = self.importer.root.join(self.tenant.as_str()).join(&self.id);
        std::fs::create_dir_all(&path)?;
        File::create(path.join(UPLOADED))
    }

    /// Keeps the job and begins it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(mut self, service: &Service, caller: &Caller, job: ImportJob) -> std::io::Result<()> {
        save_import(&self.importer.directory(&self.tenant), &job)?;
        if let Some(active) = self.active.take() {
            self.importer.spawn(service.clone(), caller.clone(), job, active);
        }
        Ok(())
    }
}

impl Importer {
    /// As configured.
    pub fn new(config: &Config) -> Importer {
        Importer {
            root: root(config),
            keep_ms: i64::try_from(config.import_keep_s.saturating_mul(1000)).unwrap_or(i64::MAX),
            hosts: config.import_hosts.clone(),
            max_source_bytes: config.import_source_bytes,
            max_line_bytes: config.import_line_bytes,
            queue: Queue::new(config.max_imports, RUNNING),
        }
    }

    fn directory(&self, tenant: &Tenant) -> Directory {
        Directory::at(self.root.join(tenant.as_str()))
    }

    /// Milliseconds that an ended job is kept.
    pub fn keep_ms(&self) -> i64 {
        self.keep_ms
    }

    /// Hosts that may be asked wherever they are.
    pub fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// Most bytes of a source.
    pub fn max_source_bytes(&self) -> u64 {
        self.max_source_bytes
    }

    /// Takes in a job that is to begin.
    ///
    /// # Errors
    /// Its owner has as many under way as one may.
    pub fn admit(self: &Arc<Self>, tenant: &Tenant, owner: &str, id: &str) -> Result<Admitted, TooMany> {
        let active = self.queue.admit(tenant, owner, id)?;
        let (importer, tenant) = (Arc::clone(self), tenant.clone());
        Ok(Admitted { importer, tenant, id: id.to_owned(), active: Some(active) })
    }

    fn spawn(self: &Arc<Self>, service: Service, caller: Caller, job: ImportJob, active: Arc<Active>) {
        let importer = Arc::clone(self);
        self.queue.spawn(async move { importer.work(service, caller, job, &active) });
    }

    /// Runs a job to its end, and says how it ended. Waits: each job has a thread of its own.
    fn work(&self, service: Service, caller: Caller, mut job: ImportJob, active: &Active) {
        let directory = self.directory(&caller.tenant);
        let clock = Arc::clone(&service.clock);
        let failed = match self.run(service, &caller, &mut job, active, &directory) {
            Err(ImportError::Stopping) => return,
            // What is cancelled is removed below.
            Err(_) if active.is_cancelled() => None,
            Ok(()) => None,
            Err(error) => {
                tracing::error!(%error, "an import failed");
                Some(error.issue())
            }
        };
        if let Err(error) = end(&directory, &mut job, failed, clock().0) {
            tracing::error!(%error, "the end of an import cannot be written; it goes on when the server starts");
        }
        self.queue.leave(&caller.tenant, &job.id);
        if active.is_cancelled()
            && let Err(error) = directory.remove(&job.id)
        {
            tracing::error!(%error, "the files of a cancelled import cannot be removed");
        }
    }

    fn run(
        &self,
        service: Service,
        caller: &Caller,
        job: &mut ImportJob,
        active: &Active,
        directory: &Directory,
    ) -> Result<(), ImportError> {
        let asked = job.request.clone();
        let service = match asked.validate_only {
            true => Service {
                validation: service.validation.clone().at_level(ValidationLevel::Profiles),
                ..service
            },
            false => service,
        };
        let control = || match active.is_cancelled() {
            true => Control::Cancel,
            false if self.queue.is_stopping() => Control::Stop,
            false => Control::Go,
        };
        let runtime = tokio::runtime::Handle::current();
        let records = Records::new(&service, caller, runtime).asked(asked.upsert_by, asked.validate_only);
        let fetch = Downloads { hosts: &self.hosts, max_bytes: self.max_source_bytes, control: &control };
        let mut sources = JobSources::new(directory, job, fetch);
        let progress = |dealt_with| active.tell(dealt_with);
        let mut journal = JobJournal::new(directory, job, &progress);
        let pipeline = Pipeline {
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            chunks_of_commit: CHUNKS_OF_COMMIT,
            max_line_bytes: self.max_line_bytes,
            control: &control,
        };
        let ended = import(&pipeline, &mut sources, &records, &mut journal);
        ended.and(journal.save())
    }

    /// The job of an id that is an owner's; `None` if there is none, it was cancelled, or its time is over.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn find(&self, tenant: &Tenant, owner: &str, id: &str) -> std::io::Result<Option<Found>> {
        if let Some(active) = self.queue.find(tenant, id) {
            let is_there = active.owner == owner && !active.is_cancelled();
            return Ok(is_there.then(|| Found::Active(active.progress())));
        }
        let job = load_import(&self.directory(tenant), id)?;
        let is_told = |job: &ImportJob| {
            job.owner == owner && job.state != State::Active && !self.is_over(job, store::Timestamp::now().0)
        };
        Ok(job.filter(is_told).map(|job| Found::Ended(Box::new(job))))
    }

    /// Cancels a job, or forgets one that ended; what it imported stays. Whether there was one.
    ///
    /// # Errors
    /// Its files cannot be removed.
    pub fn remove(&self, tenant: &Tenant, owner: &str, id: &str) -> std::io::Result<bool> {
        match self.find(tenant, owner, id)? {
            None => Ok(false),
            Some(Found::Active(_)) => {
                if let Some(active) = self.queue.find(tenant, id) {
                    active.cancel();
                }
                // A server that is killed now does not go on with it. Whoever works on it removes what is left.
                if let Err(error) = self.directory(tenant).remove(id) {
                    tracing::debug!(%error, "a cancelled import is still being written");
                }
                Ok(true)
            }
            Some(Found::Ended(_)) => self.directory(tenant).remove(id).map(|()| true),
        }
    }

    /// The jobs of a tenant, whoever asked for them, with the lines that are dealt with so far.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn jobs(&self, tenant: &Tenant) -> std::io::Result<Vec<(ImportJob, u64)>> {
        let progress = |job: &ImportJob| self.queue.find(tenant, &job.id).map(|active| active.progress());
        let with_progress = |job: ImportJob| {
            let lines = progress(&job).unwrap_or_else(|| job.dealt_with());
            (job, lines)
        };
        Ok(imports(&self.directory(tenant))?.into_iter().map(with_progress).collect())
    }

    /// Cancels or forgets a job, whoever asked for it. Whether there was one.
    ///
    /// # Errors
    /// It cannot be read, or its files cannot be removed.
    pub fn cancel(&self, tenant: &Tenant, id: &str) -> std::io::Result<bool> {
        let owner = match self.queue.find(tenant, id) {
            Some(active) => Some(active.owner.clone()),
            None => load_import(&self.directory(tenant), id)?.map(|job| job.owner),
        };
        owner.map_or(Ok(false), |owner| self.remove(tenant, &owner, id))
    }

    /// The errors of a source of a job that ended, and their length.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn open(
        &self,
        tenant: &Tenant,
        owner: &str,
        id: &str,
        name: &str,
    ) -> std::io::Result<Option<(Box<dyn Reading>, u64)>> {
        let Some(Found::Ended(job)) = self.find(tenant, owner, id)? else { return Ok(None) };
        let Some(bytes) = job.errors_of(name) else { return Ok(None) };
        Ok(Some((self.directory(tenant).open(id, name)?, bytes)))
    }

    /// Goes on with the jobs that were under way when the server ended.
    pub async fn resume(self: &Arc<Self>, service: &Service, tenants: &[Tenant]) {
        for tenant in tenants {
            if let Err(error) = self.resume_tenant(service, tenant).await {
                tracing::error!(%error, tenant = tenant.as_str(), "imports cannot be resumed");
            }
        }
    }

    async fn resume_tenant(self: &Arc<Self>, service: &Service, tenant: &Tenant) -> std::io::Result<()> {
        let directory = self.directory(tenant);
        directory.remove_strays()?;
        for mut job in imports(&directory)?.into_iter().filter(|job| job.state == State::Active) {
            match asked_again(service, tenant, &job.base, job.rights.as_deref()).await {
                Ok((service, caller)) => {
                    let active = self.queue.readmit(tenant, &job.owner, &job.id);
                    active.tell(job.dealt_with());
                    self.spawn(service, caller, job, active);
                }
                Err(failure) => {
                    let now_ms = (service.clock)().0;
                    end(&directory, &mut job, failure.issues.into_iter().next(), now_ms)?;
                }
            }
        }
        Ok(())
    }

    /// Has the jobs under way stop; they go on when the server starts again.
    pub fn stop(&self) {
        self.queue.stop();
    }

    /// Forgets jobs whose time is over, for ever.
    pub async fn sweep(self: Arc<Self>, now_ms: impl Fn() -> i64 + Send) {
        loop {
            if let Err(error) = self.sweep_once(now_ms()) {
                tracing::error!(%error, "imports whose time is over cannot be removed");
            }
            tokio::time::sleep(Duration::from_secs(SWEEP_S)).await;
        }
    }

    fn is_over(&self, job: &ImportJob, now_ms: i64) -> bool {
        job.ended_ms.is_some_and(|ended| ended.saturating_add(self.keep_ms) <= now_ms)
    }

    fn sweep_once(&self, now_ms: i64) -> std::io::Result<()> {
        for (tenant, job) in jobs(&self.root)? {
            if let (true, Some(tenant)) = (self.is_over(&job, now_ms), Tenant::new(&tenant)) {
                self.directory(&tenant).remove(&job.id)?;
            }
        }
        Ok(())
    }
}

/// Saves that a job ended; its sources are not needed any more.
fn end(
    directory: &Directory,
    job: &mut ImportJob,
    failed: Option<Issue>,
    now_ms: i64,
) -> std::io::Result<()> {
    job.ended_ms = Some(now_ms);
    job.state = if failed.is_some() { State::Failed } else { State::Complete };
    job.outcome = failed.map(|issue| {
        let outcome = interaction::outcome_body(&[issue]);
        String::from_utf8_lossy(&outcome).into_owned()
    });
    save_import(directory, job)
}

/// Where the jobs of a server are.
pub(crate) fn root(config: &Config) -> PathBuf {
    config.data.join("imports")
}

/// All jobs below a directory, with the names of their tenants.
///
/// # Errors
/// They cannot be read.
pub fn jobs(root: &Path) -> std::io::Result<Vec<(String, ImportJob)>> {
    let mut found = Vec::new();
    let tenants = match std::fs::read_dir(root) {
        Ok(tenants) => tenants,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(error),
    };
    for tenant in tenants {
        let tenant = tenant?;
        let name = tenant.file_name().to_string_lossy().into_owned();
        let jobs = imports(&Directory::at(tenant.path()))?;
        found.extend(jobs.into_iter().map(|job| (name.clone(), job)));
    }
    Ok(found)
}
