//! What jobs of every kind share in this process: how many of them one client may have under way, which wait and run, that they can be
//! cancelled, and that they stop with the server. Knows nothing of what they do, and keeps nothing: each kind keeps its own.

pub mod command;
pub mod overview;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::Tenant;
use tokio::sync::Semaphore;

/// How much later than others a job's thread has its turn, of 19: about a tenth of a processor that all want.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Jobs of one kind.
pub struct Queue {
    most_of_owner: usize,
    active: Mutex<HashMap<(Tenant, String), Arc<Active>>>,
    slots: Arc<Semaphore>,
    stopping: AtomicBool,
}

/// A job that waits or runs.
#[derive(Debug)]
pub struct Active {
    /// Who asked for it.
    pub owner: String,
    cancelled: AtomicBool,
    waiting: AtomicBool,
    progress: AtomicU64,
}

/// An owner has as many jobs under way as one may.
#[derive(Debug, Clone, Copy)]
pub struct TooMany {
    /// How many that is.
    pub most: usize,
}

impl Active {
    /// How much of it is done, in its own measure.
    pub fn progress(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }

    /// Says how much is done.
    pub fn tell(&self, done: u64) {
        self.progress.store(done, Ordering::Relaxed);
    }

    /// Whether it waits until what it writes to can be reached again.
    pub fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Says whether it does.
    pub fn wait(&self, is_waiting: bool) {
        self.waiting.store(is_waiting, Ordering::Relaxed);
    }

    /// Whether nobody wants it any more.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// It is to end at the next occasion.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

impl Queue {
    /// In which one owner has at most `most_of_owner`, and at most `running` run at a time while others wait.
    pub fn new(most_of_owner: usize, running: usize) -> Queue {
        Queue {
            most_of_owner,
            active: Mutex::default(),
            slots: Arc::new(Semaphore::new(running)),
            stopping: AtomicBool::new(false),
        }
    }

    fn active(&self) -> MutexGuard<'_, HashMap<(Tenant, String), Arc<Active>>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a job in, if its owner may have one more.
    ///
    /// # Errors
    /// [`TooMany`].
    pub fn admit(&self, tenant: &Tenant, owner: &str, id: &str) -> Result<Arc<Active>, TooMany> {
        let mut all = self.active();
        let is_own = |active: &Active| active.owner == owner && !active.is_cancelled();
        let own = all.iter().filter(|((of, _), active)| of == tenant && is_own(active));
        if own.count() >= self.most_of_owner {
            return Err(TooMany { most: self.most_of_owner });
        }
        Ok(enter(&mut all, tenant, owner, id))
    }

    /// Takes a job in that was under way before, however many there are.
    pub fn readmit(&self, tenant: &Tenant, owner: &str, id: &str) -> Arc<Active> {
        enter(&mut self.active(), tenant, owner, id)
    }

    /// How many jobs an owner may have under way.
    pub fn most_of_owner(&self) -> usize {
        self.most_of_owner
    }

    /// The job of an id, while it waits or runs.
    pub fn find(&self, tenant: &Tenant, id: &str) -> Option<Arc<Active>> {
        self.active().get(&(tenant.clone(), id.to_owned())).cloned()
    }

    /// A job ended.
    pub fn leave(&self, tenant: &Tenant, id: &str) {
        self.active().remove(&(tenant.clone(), id.to_owned()));
    }

    /// Runs a job when its turn comes, on a thread of its own: reading the store and writing files keeps it busy.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let slots = Arc::clone(&self.slots);
        tokio::spawn(async move {
            let Ok(_slot) = slots.acquire_owned().await else { return };
            let runtime = tokio::runtime::Handle::current();
            let job = move || {
                after_requests();
                runtime.block_on(work);
            };
            // The runtime does not end before a thread of its own that waits for this one.
            let run =
                || std::thread::Builder::new().name("job".to_owned()).spawn(job)?.join().map_err(broke_off);
            if let Ok(Err(error)) | Err(error) = tokio::task::spawn_blocking(run).await.map_err(Into::into) {
                tracing::error!(%error, "a job broke off");
            }
        });
    }

    /// Has the jobs under way stop; what they kept tells where they go on when the server starts again.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether they are to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

/// Has this thread wait where one that answers requests has something to do.
pub fn after_requests() {
    // Elsewhere that would hold for the whole process.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "a job is not put behind requests");
    }
}

fn broke_off(_: Box<dyn std::any::Any + Send>) -> std::io::Error {
    std::io::Error::other("it panicked")
}

fn enter(
    all: &mut HashMap<(Tenant, String), Arc<Active>>,
    tenant: &Tenant,
    owner: &str,
    id: &str,
) -> Arc<Active> {
    let no = || AtomicBool::new(false);
    let (owner, progress) = (owner.to_owned(), AtomicU64::new(0));
    let active = Arc::new(Active { owner, cancelled: no(), waiting: no(), progress });
    all.insert((tenant.clone(), id.to_owned()), Arc::clone(&active));
    active
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_has_only_so_many() {
        let (queue, tenant) = (Queue::new(2, 1), Tenant::default_tenant());
        let other = Tenant::new("other").unwrap();
        assert!(queue.admit(&tenant, "a", "1").is_ok() && queue.admit(&tenant, "a", "2").is_ok());
        assert_eq!(queue.admit(&tenant, "a", "3").unwrap_err().most, 2);
        assert!(queue.admit(&tenant, "b", "4").is_ok() && queue.admit(&other, "a", "5").is_ok());
        assert!(queue.find(&other, "1").is_none());
        queue.leave(&tenant, "1");
        assert!(queue.admit(&tenant, "a", "3").is_ok() && queue.admit(&tenant, "a", "7").is_err());
        queue.find(&tenant, "2").unwrap().cancel();
        assert!(queue.admit(&tenant, "a", "7").is_ok(), "what is cancelled does not count");
        assert_eq!(queue.readmit(&tenant, "a", "6").progress(), 0);
    }
}
