//! The queue of events, and the task that writes what is in it, in groups.
//!
//! An event waits for [`Settings::delay`] at most, so that others come along; then its group is one commit. While the store
//! refuses commits, the group is tried again and the queue fills. A full queue makes requests wait for [`Settings::patience`],
//! and then the event is lost: it is counted ([`Counts::lost`]), logged, and the next group of the tenant begins with a record
//! that says how many were lost.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use smart::jwt::Signer;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::chain::{Chain, Record, Signing};
use crate::event::{Event, Kind};
use crate::link::Hash;
use crate::tail;

/// The longest pause between two attempts to write a group.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// The store did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// A record of that id is there already, and another.
    #[error("a record of this chain is there already")]
    Taken,
    /// Anything else; it is tried again.
    #[error("{0}")]
    Failed(String),
}

/// Where records are kept; the server implements it.
#[async_trait]
pub trait Storage: Send + Sync {
    /// Stores records as new AuditEvents of a tenant, all of them or none, durable when it returns. Records that are there
    /// already, just so, are as good as stored.
    async fn append(&self, tenant: &str, records: &[Record]) -> Result<(), StorageError>;

    /// The JSON of a record of a tenant.
    async fn read(&self, tenant: &str, id: &str) -> Result<Option<Vec<u8>>, StorageError>;

    /// The JSON of the newest AuditEvents of a tenant with the subtype `checkpoint` of [`crate::CODES`], at most `limit`.
    async fn checkpoints(&self, tenant: &str, limit: usize) -> Result<Vec<Vec<u8>>, StorageError>;

    /// Keeps the newest checkpoint of a tenant outside of the store, instead of the one before.
    async fn keep(&self, tenant: &str, checkpoint: &str) -> Result<(), StorageError>;
}

/// Bounds.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Events that wait at most.
    pub queue: usize,
    /// Records of a commit at most.
    pub group: usize,
    /// How long an event waits for others.
    pub delay: Duration,
    /// How long a request waits for a place in the queue.
    pub patience: Duration,
    /// Records of a chain without a signature at most.
    pub checkpoint_events: u64,
    /// How long records are without a signature at most.
    pub checkpoint_every: Duration,
    /// How long a stop waits for a store that fails.
    pub stop: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            queue: 20_000,
            group: 500,
            delay: Duration::from_millis(20),
            patience: Duration::from_secs(2),
            checkpoint_events: 5000,
            checkpoint_every: Duration::from_secs(10),
            stop: Duration::from_secs(5),
        }
    }
}

/// What was done, for metrics.
#[derive(Debug, Default)]
pub struct Counts {
    /// Events written.
    pub written: AtomicU64,
    /// Events lost.
    pub lost: AtomicU64,
    /// Commits that failed, and were tried again.
    pub failures: AtomicU64,
    /// Events that wait.
    pub waiting: AtomicU64,
}

enum Message {
    Event(Arc<str>, Box<Event>),
    Stop(oneshot::Sender<()>),
}

/// The log of a process. Cheap to clone; clones share.
#[derive(Clone)]
pub struct Log {
    inner: Arc<Inner>,
}

struct Inner {
    sender: mpsc::Sender<Message>,
    counts: Arc<Counts>,
    lost: Arc<Lost>,
    patience: Duration,
}

/// How many events of a tenant were lost and not yet told of.
#[derive(Default)]
struct Lost(Mutex<HashMap<Arc<str>, u64>>);

impl Log {
    /// Starts the task that writes, on the runtime it is called on. `chain` names a new chain: a UUID without hyphens, later ones
    /// sorting behind earlier ones. `clock` gives milliseconds since 1970-01-01T00:00:00Z.
    pub fn start(
        storage: Arc<dyn Storage>,
        signer: Arc<dyn Signer>,
        settings: Settings,
        clock: Arc<dyn Fn() -> i64 + Send + Sync>,
        chain: Arc<dyn Fn() -> String + Send + Sync>,
    ) -> Log {
        let (sender, receiver) = mpsc::channel(settings.queue.max(1));
        let counts = Arc::<Counts>::default();
        let lost = Arc::<Lost>::default();
        let writer = Writer {
            storage,
            signer,
            settings,
            clock,
            chain,
            counts: Arc::clone(&counts),
            lost: Arc::clone(&lost),
            chains: HashMap::new(),
            deadline: None,
        };
        tokio::spawn(writer.run(receiver));
        Log { inner: Arc::new(Inner { sender, counts, lost, patience: settings.patience }) }
    }

    /// What was done.
    pub fn counts(&self) -> &Counts {
        &self.inner.counts
    }

    /// Takes an event of a tenant; waits while the queue is full, but not for ever.
    pub async fn record(&self, tenant: &Arc<str>, event: Event) {
        let Some(message) = self.place(Message::Event(Arc::clone(tenant), Box::new(event))) else { return };
        self.inner.counts.waiting.fetch_add(1, Relaxed);
        if self.inner.sender.send_timeout(message, self.inner.patience).await.is_err() {
            self.inner.counts.waiting.fetch_sub(1, Relaxed);
            self.lose(tenant);
        }
    }

    /// Takes an event of a tenant without waiting.
    pub fn offer(&self, tenant: &Arc<str>, event: Event) {
        if self.place(Message::Event(Arc::clone(tenant), Box::new(event))).is_some() {
            self.lose(tenant);
        }
    }

    /// The message, if there is no place for it.
    fn place(&self, message: Message) -> Option<Message> {
        self.inner.counts.waiting.fetch_add(1, Relaxed);
        match self.inner.sender.try_send(message) {
            Ok(()) => None,
            Err(TrySendError::Full(message) | TrySendError::Closed(message)) => {
                self.inner.counts.waiting.fetch_sub(1, Relaxed);
                Some(message)
            }
        }
    }

    fn lose(&self, tenant: &Arc<str>) {
        if self.inner.counts.lost.fetch_add(1, Relaxed).is_multiple_of(1000) {
            let tenant = &**tenant;
            tracing::error!(tenant, "the audit log takes no events: the queue is full, and events are lost");
        }
        let mut lost = self.inner.lost.0.lock().unwrap_or_else(PoisonError::into_inner);
        *lost.entry(Arc::clone(tenant)).or_default() += 1;
    }

    /// Writes what waits, signs the ends of the chains, and takes no more events.
    pub async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.inner.sender.send(Message::Stop(done)).await.is_ok() {
            // An error says that the task is gone, which is what is waited for.
            let _ = stopped.await;
        }
    }
}

/// The chain of one tenant.
struct Own {
    chain: Chain,
    /// Records that are not signed yet.
    unsigned: u64,
    signed_at: Instant,
    /// What checkpoints of this chain named.
    named: BTreeMap<String, (u64, Hash)>,
}

struct Writer {
    storage: Arc<dyn Storage>,
    signer: Arc<dyn Signer>,
    settings: Settings,
    clock: Arc<dyn Fn() -> i64 + Send + Sync>,
    chain: Arc<dyn Fn() -> String + Send + Sync>,
    counts: Arc<Counts>,
    lost: Arc<Lost>,
    chains: HashMap<Arc<str>, Own>,
    /// When attempts end, once a stop was asked for.
    deadline: Option<Instant>,
}

/// Why a group is not written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("{0}")]
    Storage(#[from] StorageError),
    #[error("{0}")]
    Record(#[from] crate::chain::RecordError),
}

impl Writer {
    async fn run(mut self, mut receiver: mpsc::Receiver<Message>) {
        let mut ticks = tokio::time::interval(self.settings.checkpoint_every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut waiting = Vec::new();
        loop {
            tokio::select! {
                received = receiver.recv_many(&mut waiting, self.settings.group) => {
                    if received == 0 {
                        return;
                    }
                    if received < self.settings.group && !has_stop(&waiting) {
                        tokio::time::sleep(self.settings.delay).await;
                        while waiting.len() < self.settings.group
                            && let Ok(message) = receiver.try_recv() {
                            waiting.push(message);
                        }
                    }
                }
                _ = ticks.tick() => {}
            }
            let stops = self.write_all(std::mem::take(&mut waiting)).await;
            self.checkpoint_due().await;
            if !stops.is_empty() {
                receiver.close();
                while let Ok(message) = receiver.try_recv() {
                    waiting.push(message);
                }
                let more = self.write_all(std::mem::take(&mut waiting)).await;
                self.end().await;
                for done in stops.into_iter().chain(more) {
                    // Whoever asked may have gone.
                    let _ = done.send(());
                }
                return;
            }
        }
    }

    /// Writes events, each tenant's in their order; who asked to stop.
    async fn write_all(&mut self, messages: Vec<Message>) -> Vec<oneshot::Sender<()>> {
        let mut stops = Vec::new();
        let mut groups: Vec<(Arc<str>, Vec<Event>)> = Vec::new();
        let mut count = 0;
        for message in messages {
            match message {
                Message::Stop(done) => stops.push(done),
                Message::Event(tenant, event) => {
                    count += 1;
                    match groups.iter_mut().find(|(known, _)| *known == tenant) {
                        Some((_, events)) => events.push(*event),
                        None => groups.push((tenant, vec![*event])),
                    }
                }
            }
        }
        if !stops.is_empty() {
            self.deadline = Some(Instant::now() + self.settings.stop);
        }
        for (tenant, events) in groups {
            self.write(&tenant, events).await;
        }
        self.counts.waiting.fetch_sub(count, Relaxed);
        stops
    }

    /// Writes a group, however often it takes.
    async fn write(&mut self, tenant: &Arc<str>, mut events: Vec<Event>) {
        let count = u64::try_from(events.len()).unwrap_or(u64::MAX);
        let lost = self.lost.0.lock().unwrap_or_else(PoisonError::into_inner).remove(tenant);
        if let Some(lost) = lost {
            events.insert(0, Event::own(Kind::Lost(lost), (self.clock)()));
        }
        let mut pause = Duration::from_millis(50);
        loop {
            let error = match self.attempt(tenant, &events).await {
                Ok(()) => {
                    self.counts.written.fetch_add(count, Relaxed);
                    return;
                }
                Err(error) => error,
            };
            self.counts.failures.fetch_add(1, Relaxed);
            if matches!(error, WriteError::Storage(StorageError::Taken)) {
                // Somebody wrote where this chain goes on: it ends here.
                self.chains.remove(tenant);
            }
            let name = &**tenant;
            tracing::warn!(tenant = name, %error, "the audit log cannot be written; it is tried again");
            if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                tracing::error!(tenant = name, events = count, "events of the audit log are lost");
                self.counts.lost.fetch_add(count, Relaxed);
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    /// Writes a group at once. The chain goes on only where it was written.
    async fn attempt(&mut self, tenant: &Arc<str>, events: &[Event]) -> Result<(), WriteError> {
        if !self.chains.contains_key(tenant) {
            let own = self.begin(tenant).await?;
            self.chains.insert(Arc::clone(tenant), own);
        }
        let Some(own) = self.chains.get_mut(tenant) else { return Ok(()) };
        let mut chain = own.chain.clone();
        let made = events.iter().map(|event| Ok(chain.record(event, None)?.0));
        let records = made.collect::<Result<Vec<Record>, WriteError>>()?;
        self.storage.append(tenant, &records).await?;
        own.chain = chain;
        own.unsigned += u64::try_from(records.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// A new chain, with its first record written.
    async fn begin(&self, tenant: &Arc<str>) -> Result<Own, WriteError> {
        let name = (self.chain)();
        let heads = tail::heads(&*self.storage, &*self.signer, tenant, &name, true).await?;
        let mut own =
            Own { chain: Chain::new(name), unsigned: 0, signed_at: Instant::now(), named: BTreeMap::new() };
        self.sign(tenant, &mut own, Kind::Start, heads).await?;
        Ok(own)
    }

    /// Writes a signed record.
    async fn sign(
        &self,
        tenant: &str,
        own: &mut Own,
        kind: Kind,
        heads: BTreeMap<String, (u64, Hash)>,
    ) -> Result<(), WriteError> {
        let mut chain = own.chain.clone();
        let signing = Signing { signer: &*self.signer, tenant, heads: &heads };
        let (record, checkpoint) = chain.record(&Event::own(kind, (self.clock)()), Some(&signing))?;
        self.storage.append(tenant, &[record]).await?;
        own.chain = chain;
        own.unsigned = 0;
        own.signed_at = Instant::now();
        own.named.extend(heads);
        if let Some(text) = checkpoint
            && let Err(error) = self.storage.keep(tenant, &text).await
        {
            tracing::warn!(tenant, %error, "the newest checkpoint of the audit log cannot be kept");
        }
        Ok(())
    }

    /// Signs the chains that it is time for.
    async fn checkpoint_due(&mut self) {
        let Settings { checkpoint_events, checkpoint_every, .. } = self.settings;
        let is_due = |own: &Own| {
            own.unsigned >= checkpoint_events
                || (own.unsigned > 0 && own.signed_at.elapsed() >= checkpoint_every)
        };
        let due = self.chains.iter().filter(|(_, own)| is_due(own)).map(|(tenant, _)| Arc::clone(tenant));
        for tenant in due.collect::<Vec<_>>() {
            self.checkpoint(&tenant, Kind::Checkpoint).await;
        }
    }

    /// Signs a chain, with what others signed meanwhile. What fails is done with the next one.
    async fn checkpoint(&mut self, tenant: &Arc<str>, kind: Kind) {
        let Some(mut own) = self.chains.remove(tenant) else { return };
        let name = own.chain.next.chain.clone();
        let heads = tail::heads(&*self.storage, &*self.signer, tenant, &name, false).await;
        let signed = match heads {
            Ok(mut heads) => {
                heads.retain(|chain, (sequence, _)| {
                    own.named.get(chain).is_none_or(|(named, _)| *named < *sequence)
                });
                self.sign(tenant, &mut own, kind, heads).await
            }
            Err(error) => Err(error.into()),
        };
        if let Err(error) = signed {
            self.counts.failures.fetch_add(1, Relaxed);
            let tenant = &**tenant;
            tracing::warn!(tenant, %error, "the audit log cannot be signed; it is tried again");
            if matches!(error, WriteError::Storage(StorageError::Taken)) {
                return;
            }
        }
        self.chains.insert(Arc::clone(tenant), own);
    }

    /// Signs the ends of all chains.
    async fn end(&mut self) {
        for tenant in self.chains.keys().cloned().collect::<Vec<_>>() {
            self.checkpoint(&tenant, Kind::Stop).await;
        }
    }
}

fn has_stop(messages: &[Message]) -> bool {
    messages.iter().any(|message| matches!(message, Message::Stop(_)))
}
