//! The export jobs of this process: begun, found, cancelled, resumed when the server starts or another that worked on them is gone, and
//! forgotten when their time is over. While the place where they are kept cannot be reached, they wait.

use std::sync::Arc;
use std::time::Duration;

use bulk::{
    Claim, Control, Environment, ExportError, Job, Place, Reading, Section, State, Tables, is_unreachable,
};
use fhirpath::{Issue, IssueType};
use interaction::{Agent, Caller, Failure, Service};
use store::{Access, Tenant};

use super::home::Home;
use super::kickoff::Snapshot;
use super::publish::Published;
use super::source::Records;
use super::views::Compiled;
use crate::authorization::Rights;
use crate::config::Config;
use crate::jobs::{Active, Queue, TooMany};

/// Exports that run at a time; others wait.
const RUNNING: usize = 2;
/// Between claims of a job that this process works on, so that no other takes it for abandoned.
const CLAIM: Duration = Duration::from_secs(5);
/// How long a job waits for a place that cannot be reached, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// How often a job that waits looks whether it is to go on waiting.
const GLANCE: Duration = Duration::from_millis(200);

/// The jobs of a server.
pub struct Exporter {
    home: Home,
    file_bytes: u64,
    keep_ms: i64,
    published: Published,
    queue: Queue,
}

/// A job that was asked for.
pub enum Found {
    /// It waits or runs.
    Active {
        /// So many resources are written.
        written: u64,
        /// Whether it waits until its files can be written again.
        is_waiting: bool,
    },
    /// It ended: complete or failed.
    Ended(Box<Job>),
}

/// What a job runs on, and as whom.
struct Order {
    service: Service,
    caller: Caller,
    place: Arc<dyn Place>,
    id: String,
}

impl Exporter {
    /// Of a server that keeps its jobs there, as configured.
    pub fn new(home: Home, published: Published, config: &Config) -> Exporter {
        Exporter {
            home,
            file_bytes: config.export_file_bytes,
            keep_ms: i64::try_from(config.export_keep_s.saturating_mul(1000)).unwrap_or(i64::MAX),
            published,
            queue: Queue::new(config.max_exports, RUNNING),
        }
    }

    /// What is published.
    pub fn published(&self) -> &Published {
        &self.published
    }

    /// Where the jobs of a tenant are kept.
    pub(super) fn place(&self, tenant: &Tenant) -> Arc<dyn Place> {
        self.home.place(tenant)
    }

    /// Milliseconds that an ended job is kept.
    pub fn keep_ms(&self) -> i64 {
        self.keep_ms
    }

    /// Keeps a job and begins it.
    ///
    /// # Errors
    /// [`TooMany`] within, or the job cannot be written.
    pub fn begin(
        self: &Arc<Self>,
        service: &Service,
        caller: &Caller,
        job: Job,
        patients: Option<Vec<String>>,
    ) -> std::io::Result<Result<(), TooMany>> {
        let place = self.place(&caller.tenant);
        if place.are_shared() {
            let own = |known: &Job| known.state == State::Active && known.owner == job.owner;
            let most = self.queue.most_of_owner();
            if place.all()?.iter().filter(|known| own(known)).count() >= most {
                return Ok(Err(TooMany { most }));
            }
        }
        let active = match self.queue.admit(&caller.tenant, &job.owner, &job.id) {
            Ok(active) => active,
            Err(too_many) => return Ok(Err(too_many)),
        };
        let saved = match &patients {
            Some(patients) => place.save_patients(&job.id, patients),
            None => Ok(()),
        };
        if let Err(error) = saved.and_then(|()| place.save(&job)) {
            self.queue.leave(&caller.tenant, &job.id);
            // What was written of it is no job; the next start removes it, if this cannot.
            let _ = place.remove(&job.id);
            return Err(error);
        }
        let (service, caller) = (service.clone(), caller.clone());
        self.spawn(Order { service, caller, place, id: job.id }, active);
        Ok(Ok(()))
    }

    fn spawn(self: &Arc<Self>, order: Order, active: Arc<Active>) {
        let exporter = Arc::clone(self);
        self.queue.spawn(async move { exporter.work(&order, &active).await });
    }

    /// Works on a job until it ended, is another's, or the server stops; waits while its place cannot be reached.
    async fn work(&self, order: &Order, active: &Arc<Active>) {
        let claims = order.place.are_shared().then(|| tokio::spawn(claim(order, active)));
        let mut pause = PAUSES.0;
        while let Err(error) = self.attempt(order, active).await {
            if !may_pass(&error) {
                tracing::error!(%error, "the end of an export cannot be written; it is done again when the server starts");
                break;
            }
            tracing::warn!(%error, "an export waits until its files can be written");
            active.wait(true);
            self.pause(pause, active).await;
            pause = PAUSES.1.min(pause * 2);
        }
        if let Some(claims) = claims {
            claims.abort();
            order.place.release(&order.id);
        }
        if self.queue.is_stopping() {
            return;
        }
        self.queue.leave(&order.caller.tenant, &order.id);
        if active.is_cancelled()
            && let Err(error) = order.place.remove(&order.id)
        {
            tracing::error!(%error, "the files of a cancelled export cannot be removed");
        }
    }

    /// Waits, unless the server stops.
    async fn pause(&self, how_long: Duration, active: &Active) {
        let begun = std::time::Instant::now();
        while begun.elapsed() < how_long && !self.queue.is_stopping() && !active.is_cancelled() {
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Runs a job from where it stands to its end, and says how it ended. Nothing is done where it ended before, or is another's.
    async fn attempt(&self, order: &Order, active: &Active) -> std::io::Result<()> {
        let place = &order.place;
        if self.queue.is_stopping() {
            return Ok(());
        }
        if active.is_cancelled() {
            return place.remove(&order.id);
        }
        match place.claim(&order.id)? {
            Claim::Ours => {}
            Claim::Others => return Ok(()),
            // It was cancelled elsewhere: what was written since goes too.
            Claim::Gone => return place.remove(&order.id),
        }
        let Some(mut job) = place.load(&order.id)?.filter(|job| job.state == State::Active) else {
            return Ok(());
        };
        if place.are_shared() {
            // A server that worked on it, and does not know yet that it lost it, writes none of the files that come now.
            job.named += 1;
            place.save(&job)?;
        }
        active.wait(false);
        let outcome = match self.run(order, &mut job, active).await {
            _ if active.is_cancelled() => return place.remove(&job.id),
            Err(ExportError::Stopping) => return Ok(()),
            Err(ExportError::Output(error)) if is_unreachable(&error) => return Err(error),
            Ok(()) => None,
            Err(error) => {
                tracing::error!(%error, "an export failed");
                Some(error.issue())
            }
        };
        job.ended_ms = Some((order.service.clock)().0);
        end(&**place, &mut job, outcome)
    }

    async fn run(&self, order: &Order, job: &mut Job, active: &Active) -> Result<(), ExportError> {
        let (service, caller) = (order.service.clone(), order.caller.clone());
        let records = Records::new(service, caller, &job.request, job.snapshot_ms);
        let records = records.map_err(|failure| {
            let issue = failure.issues.into_iter().next();
            issue.unwrap_or_else(|| Issue::error(IssueType::Exception, "The request cannot be read again."))
        })?;
        Snapshot { time_ms: job.snapshot_ms }.settle().await;
        let control = || match active.is_cancelled() {
            true => Control::Cancel,
            false if self.queue.is_stopping() => Control::Stop,
            false => Control::Go,
        };
        let before = job.resources();
        let url = super::files_url(&job.base, &job.id);
        let views = job.request.views.as_ref();
        let tables = views.map(|views| Compiled::new(&order.service, views, job.snapshot_ms)).transpose()?;
        let environment = Environment {
            source: &records,
            output: &*order.place,
            jobs: &*order.place,
            url: &url,
            file_bytes: self.file_bytes,
            control: &control,
            tables: tables.as_ref().map(|tables| tables as &dyn Tables),
            progress: &|written| active.tell(before + written),
        };
        bulk::run(&environment, job).await
    }

    /// The job of an id that is an owner's; `None` if there is none, or it was cancelled.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn find(&self, tenant: &Tenant, owner: &str, id: &str) -> std::io::Result<Option<Found>> {
        if let Some(active) = self.queue.find(tenant, id) {
            let is_there = active.owner == owner && !active.is_cancelled();
            let (written, is_waiting) = (active.progress(), active.is_waiting());
            return Ok(is_there.then_some(Found::Active { written, is_waiting }));
        }
        let place = self.place(tenant);
        let is_over = |job: &Job| self.is_over(job, store::Timestamp::now().0);
        let job = place.load(id)?.filter(|job| job.owner == owner && !is_over(job));
        Ok(match job {
            // Another server's, or one that is gone and whose jobs are looked for.
            Some(job) if job.state == State::Active && place.are_shared() => {
                Some(Found::Active { written: job.resources(), is_waiting: false })
            }
            Some(job) if job.state != State::Active => Some(Found::Ended(Box::new(job))),
            _ => None,
        })
    }

    /// Cancels a job, or forgets one that ended. Whether there was one.
    ///
    /// # Errors
    /// Its files cannot be removed; one under way goes on where its place cannot be reached.
    pub fn remove(&self, tenant: &Tenant, owner: &str, id: &str) -> std::io::Result<bool> {
        let place = self.place(tenant);
        match self.find(tenant, owner, id)? {
            None => Ok(false),
            Some(Found::Active { .. }) => {
                // A server that is killed now does not go on with it. Whoever works on it removes what is left.
                match place.remove(id) {
                    Err(error) if is_unreachable(&error) => return Err(error),
                    Err(error) => tracing::debug!(%error, "a cancelled export is still being written"),
                    Ok(()) => {}
                }
                if let Some(active) = self.queue.find(tenant, id) {
                    active.cancel();
                }
                if self.queue.find(tenant, id).is_none() {
                    // It may have ended in between.
                    place.remove(id)?;
                }
                Ok(true)
            }
            Some(Found::Ended(_)) => place.remove(id).map(|()| true),
        }
    }

    /// A finished file of a job that is complete, and its length.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(
        &self,
        tenant: &Tenant,
        owner: &str,
        id: &str,
        name: &str,
    ) -> std::io::Result<Option<(Box<dyn Reading>, u64)>> {
        let Some(Found::Ended(job)) = self.find(tenant, owner, id)? else { return Ok(None) };
        let of_client = |file: &&bulk::File| file.section != Section::Ids && file.name == name;
        let Some(file) = job.files.iter().find(of_client) else { return Ok(None) };
        Ok(Some((self.place(tenant).open(id, name)?, file.bytes)))
    }

    /// The jobs of a tenant, whoever asked for them, with the resources that are written so far.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn jobs(&self, tenant: &Tenant) -> std::io::Result<Vec<(Job, u64)>> {
        let progress = |job: &Job| self.queue.find(tenant, &job.id).map(|active| active.progress());
        let with_progress = |job: Job| {
            let written = progress(&job).unwrap_or_else(|| job.resources());
            (job, written)
        };
        Ok(self.place(tenant).all()?.into_iter().map(with_progress).collect())
    }

    /// Cancels or forgets a job, whoever asked for it. Whether there was one.
    ///
    /// # Errors
    /// It cannot be read, or its files cannot be removed.
    pub fn cancel(&self, tenant: &Tenant, id: &str) -> std::io::Result<bool> {
        let owner = match self.queue.find(tenant, id) {
            Some(active) => Some(active.owner.clone()),
            None => self.place(tenant).load(id)?.map(|job| job.owner),
        };
        owner.map_or(Ok(false), |owner| self.remove(tenant, &owner, id))
    }

    /// Goes on with the jobs that were under way when the server ended.
    pub async fn resume(self: &Arc<Self>, service: &Service, tenants: &[Tenant]) {
        for tenant in self.with_jobs(tenants) {
            let strays = self.home.remove_strays(tenant);
            let resumed = match (strays, self.place(tenant).all()) {
                (Ok(()), Ok(jobs)) => self.take_up(service, tenant, jobs).await,
                (Err(error), _) | (_, Err(error)) => Err(error),
            };
            if let Err(error) = resumed {
                tracing::error!(%error, tenant = tenant.as_str(), "exports cannot be resumed");
            }
        }
    }

    /// Those of some tenants that have jobs.
    fn with_jobs<'t>(&self, tenants: &'t [Tenant]) -> Vec<&'t Tenant> {
        match self.home.tenants() {
            Ok(names) => tenants.iter().filter(|it| names.iter().any(|name| name == it.as_str())).collect(),
            Err(error) => {
                tracing::error!(%error, "exports cannot be looked after");
                Vec::new()
            }
        }
    }

    /// Goes on with those of some jobs that are under way and that nobody works on.
    async fn take_up(
        self: &Arc<Self>,
        service: &Service,
        tenant: &Tenant,
        jobs: Vec<Job>,
    ) -> std::io::Result<()> {
        let place = self.place(tenant);
        for mut job in jobs.into_iter().filter(|job| job.state == State::Active) {
            if self.queue.find(tenant, &job.id).is_some() || place.claim(&job.id)? != Claim::Ours {
                continue;
            }
            match asked_again(service, tenant, &job.base, job.rights.as_deref()).await {
                Ok((service, caller)) => {
                    let active = self.queue.readmit(tenant, &job.owner, &job.id);
                    active.tell(job.resources());
                    let place = Arc::clone(&place);
                    self.spawn(Order { service, caller, place, id: job.id }, active);
                }
                Err(failure) => {
                    job.ended_ms = Some((service.clock)().0);
                    end(&*place, &mut job, failure.issues.into_iter().next())?;
                }
            }
        }
        Ok(())
    }

    /// Has the jobs under way stop; they go on when the server starts again.
    pub fn stop(&self) {
        self.queue.stop();
    }

    /// Forgets jobs whose time is over, goes on with those that a server that is gone has left, and publishes.
    pub async fn look(self: &Arc<Self>, service: &Service, tenants: &[Tenant]) {
        for tenant in tenants.iter().filter(|_| !self.queue.is_stopping()) {
            if let Err(error) = self.publish(service, tenant).await {
                tracing::error!(%error, tenant = tenant.as_str(), "nothing new can be published");
            }
        }
        for tenant in self.with_jobs(tenants) {
            if self.queue.is_stopping() {
                return;
            }
            if let Err(error) = self.look_at(service, tenant).await {
                tracing::error!(%error, tenant = tenant.as_str(), "exports cannot be looked after");
            }
        }
    }

    async fn look_at(self: &Arc<Self>, service: &Service, tenant: &Tenant) -> std::io::Result<()> {
        let place = self.place(tenant);
        let now_ms = (service.clock)().0;
        let (over, kept): (Vec<Job>, Vec<Job>) =
            place.all()?.into_iter().partition(|job| self.is_over(job, now_ms));
        over.iter().try_for_each(|job| place.remove(&job.id))?;
        match place.are_shared() {
            true => self.take_up(service, tenant, kept).await,
            false => Ok(()),
        }
    }

    /// Whether it ended long enough ago.
    fn is_over(&self, job: &Job, now_ms: i64) -> bool {
        let keep_ms = self.keep_ms.saturating_add(self.published.keep_ms(job));
        job.ended_ms.is_some_and(|ended| ended.saturating_add(keep_ms) <= now_ms)
    }
}

/// Whether it is worth a wait: what cannot be reached, or a disk without room even for the end of a job.
fn may_pass(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    is_unreachable(error) || matches!(error.kind(), StorageFull | QuotaExceeded)
}

/// Claims a job again and again, for ever; one that is gone is cancelled.
fn claim(order: &Order, active: &Arc<Active>) -> impl Future<Output = ()> + Send + 'static {
    let (place, id, active) = (Arc::clone(&order.place), order.id.clone(), Arc::clone(active));
    async move {
        loop {
            tokio::time::sleep(CLAIM).await;
            match place.claim(&id) {
                Ok(Claim::Ours) => {}
                Ok(Claim::Gone) => active.cancel(),
                // What it saves is refused, and it ends here.
                Ok(Claim::Others) => tracing::warn!("an export was taken for abandoned"),
                Err(error) => tracing::warn!(%error, "an export cannot be claimed"),
            }
        }
    }
}

/// What a job runs on, and as whom, when it was begun by a process that is gone.
pub(crate) async fn asked_again(
    service: &Service,
    tenant: &Tenant,
    base: &str,
    rights: Option<&str>,
) -> Result<(Service, Caller), Failure> {
    let service = Service { base: base.to_owned(), ..service.clone() };
    let service = service.with_own_parameters(tenant).await?.into_owned();
    let (access, agent) = match rights {
        None => (Access::unrestricted(), Agent::default()),
        Some(text) => {
            let rights: Rights = serde_json::from_str(text).map_err(|_| {
                let details = "The rights of this job cannot be read any more; ask for it again.";
                Failure::new(interaction::Status::Internal, IssueType::Exception, details)
            })?;
            (rights.access(&service)?, rights.agent())
        }
    };
    Ok((service, Caller { tenant: tenant.clone(), access, agent }))
}

/// Saves that a job ended; one that failed leaves no files.
fn end(place: &dyn Place, job: &mut Job, failed: Option<Issue>) -> std::io::Result<()> {
    job.state = State::Complete;
    if let Some(issue) = failed {
        place.remove_files(&job.id)?;
        job.files.clear();
        job.state = State::Failed;
        let outcome = interaction::outcome_body(&[issue]);
        job.outcome = Some(String::from_utf8_lossy(&outcome).into_owned());
    }
    place.save(job)
}
