//! Two processes on one account: what they race for has one winner, and what one of them leaves half done when it dies is
//! seen by nobody and in nobody's way.

use std::sync::Arc;
use std::time::Duration;

use cosmos_emulator::{Account, Effect, Fault, Operation};

use super::container::{Scope, Sql};
use super::document::Document;
use super::stop::Step;
use super::timings::{Settings, Timings};
use super::{AccountOptions, Cosmos, CosmosOptions, Patience, Throughput, init, sweep};
use crate::fixture::*;
use crate::units::Ledger;
use crate::*;

/// An account with a container.
struct Emulated {
    account: Account,
    options: CosmosOptions,
}

impl Emulated {
    async fn new() -> Emulated {
        let account = Account::start().unwrap();
        let reached = AccountOptions::from_connection_string(&account.connection_string()).unwrap();
        let mut options = CosmosOptions::single(reached, "vesta", "fhir");
        options.patience =
            Patience { operation: Duration::from_secs(2), throttled: Duration::from_millis(200) };
        init(&options, &options.default, Throughput::Account).await.unwrap();
        Emulated { account, options }
    }
}

/// Nothing happens by itself, and nobody waits long.
fn quick() -> Settings {
    let timings = Timings {
        in_flight: Duration::from_millis(300),
        snapshot_life: Duration::ZERO,
        sweep: Duration::from_secs(3600),
        ..Timings::default()
    };
    Settings { timings, ..Settings::default() }
}

/// One process.
struct Process {
    engine: Arc<Cosmos>,
    store: Store,
}

impl Process {
    async fn start(account: &Emulated, settings: Settings) -> Process {
        let engine = Cosmos::open_with(&account.options, FourElements::new(), settings).await.unwrap();
        let engine = Arc::new(engine);
        Process { store: Store { engine: Engine::Cosmos(engine.clone()), texts: Arc::default() }, engine }
    }

    async fn shard(&self) -> Arc<super::shard::Shard> {
        self.engine.tenants.get(&tenant()).await.unwrap().shard.clone()
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<Vec<Version>, CommitError> {
        self.commit_if(Vec::new(), writes).await
    }

    async fn commit_if(
        &self,
        preconditions: Vec<Precondition>,
        writes: Vec<Write>,
    ) -> Result<Vec<Version>, CommitError> {
        self.store.commit(&tenant(), &Access::unrestricted(), Batch { preconditions, writes }).await
    }

    async fn read(&self, text: &str) -> Option<Version> {
        self.store.read(&tenant(), &Access::unrestricted(), &key(text)).await.unwrap()
    }

    /// Versions of the resources, 0 where there is none, and the last sequence number.
    async fn state(&self, keys: &[&str]) -> (Vec<u64>, usize) {
        let mut versions = Vec::new();
        for key in keys {
            versions.push(self.read(key).await.map_or(0, |version| version.version));
        }
        let changes = self.store.changes(&tenant(), &Access::unrestricted(), 0, 1_000_000).await.unwrap();
        (versions, changes.len())
    }

    /// All is whole, and there is no document that belongs to no version.
    async fn assert_clean(&self) {
        let report = assert_whole(&self.store, &tenant()).await;
        let shard = self.shard().await;
        let sql = Sql { text: "SELECT * FROM c WHERE c.v > 0".into(), parameters: Vec::new() };
        let mut documents = 0;
        let scope = Scope::Tenant("default".into());
        let count = |page: Vec<Document>| {
            documents += page.len() as u64;
            true
        };
        shard.container.query(&scope, &sql, count).await.unwrap();
        assert_eq!(documents, report.versions);
    }
}

fn tenant() -> Tenant {
    Tenant::default_tenant()
}

/// A process eleven minutes later: what began before it is decided.
async fn sweep_later(account: &Emulated) {
    let timings = Timings { sweep: Duration::from_secs(60), ..quick().timings };
    let later = Settings { timings, clock: || Timestamp::now().0 + 660_000 };
    let process = Process::start(account, later).await;
    sweep::once(&process.shard().await).await.unwrap();
}

const KEYS: [&str; 3] = ["Patient/new", "Patient/old", "Patient/gone"];

async fn begin(account: &Emulated) -> Process {
    let process = Process::start(account, quick()).await;
    let old = r#""identifier":"old""#;
    process.commit(vec![put(&key(KEYS[1]), 0, old), put(&key(KEYS[2]), 0, old)]).await.unwrap();
    process
}

fn transaction() -> Vec<Write> {
    let new = r#""identifier":"new""#;
    vec![put(&key(KEYS[0]), 0, new), put(&key(KEYS[1]), 1, new), delete(&key(KEYS[2]), 1)]
}

const STEPS: [Step; 5] = [Step::Staging(0), Step::Staging(1), Step::Staging(2), Step::Staged, Step::Appended];

/// A process that commits [`transaction`] and dies at a step of it.
async fn die_at(account: &Emulated, step: Step) {
    let process = Process::start(account, quick()).await;
    let shard = process.shard().await;
    shard.stop.set(step);
    let store = process.store.clone();
    let task = tokio::spawn(async move {
        let batch = batch(transaction());
        store.commit(&tenant(), &Access::unrestricted(), batch).await
    });
    shard.stop.reached().await;
    // Writes that were begun beside the one it stands at may end.
    tokio::time::sleep(Duration::from_millis(50)).await;
    task.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_leaves_the_old_state_or_the_new() {
    for step in STEPS {
        let account = Emulated::new().await;
        let process = begin(&account).await;
        die_at(&account, step).await;
        let done = step == Step::Appended;
        let (versions, changes) = if done { (vec![1, 2, 2], 5) } else { (vec![0, 1, 1], 2) };
        assert_eq!(process.state(&KEYS).await, (versions.clone(), changes), "{step:?}");
        assert_whole(&process.store, &tenant()).await;
        // And all three can be written.
        let rest = r#""identifier":"after""#;
        let writes =
            KEYS.iter().zip(&versions).map(|(text, version)| put(&key(text), *version, rest)).collect();
        let written = process.commit(writes).await.unwrap();
        assert!(written.iter().zip(&versions).all(|(now, before)| now.version == before + 1), "{step:?}");
        process.assert_clean().await;
    }
}

/// What another process committed before a search is found, also where the search began with what was known before and this
/// process learned of the commit only then.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_finds_what_was_committed_before_it() {
    let account = Emulated::new().await;
    let (process, other) = (begin(&account).await, Process::start(&account, quick()).await);
    let shard = other.shard().await;
    let before = shard.snapshot();
    process.commit(transaction()).await.unwrap();
    let query = Query {
        resource_type: Some("Patient".into()),
        filter: Filter::All,
        sort: Vec::new(),
        after: None,
        limit: 10,
        total: false,
    };
    for learned in [false, true] {
        if learned {
            shard.refresh().await.unwrap();
        }
        let page = super::search::run(&shard, &before, &Access::unrestricted(), &query, None).await.unwrap();
        let found: Vec<_> = page.matches.iter().map(|it| (it.key.as_str(), it.version)).collect();
        assert_eq!(found, [("Patient/old", 2), ("Patient/new", 1)], "learned: {learned}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sweep_leaves_nothing_of_a_dead_process() {
    for step in STEPS {
        let account = Emulated::new().await;
        let process = begin(&account).await;
        die_at(&account, step).await;
        sweep_later(&account).await;
        process.assert_clean().await;
        let fresh = Process::start(&account, quick()).await;
        assert_eq!(fresh.state(&KEYS).await, process.state(&KEYS).await, "{step:?}");
        assert!(!fresh.shard().await.snapshot().sum().counts.is_empty());
        fresh.assert_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_transaction_is_never_committed() {
    for step in [Step::Staging(2), Step::Staged] {
        let account = Emulated::new().await;
        let (process, slow) = (begin(&account).await, Process::start(&account, quick()).await);
        let shard = slow.shard().await;
        shard.stop.set(step);
        let committing = tokio::spawn(async move { (slow.commit(transaction()).await, slow) });
        shard.stop.reached().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let written = process.commit(vec![put(&key(KEYS[1]), 1, r#""name":"mine""#)]).await.unwrap();
        assert_eq!(written[0].version, 2);
        shard.stop.release();
        let (answer, slow) = committing.await.unwrap();
        assert!(matches!(answer, Err(CommitError::Conflict { write: 1, found: 2 })), "{step:?} {answer:?}");
        assert_eq!(slow.state(&KEYS).await, (vec![0, 2, 1], 3), "{step:?}");
        slow.assert_clean().await;
        process.assert_clean().await;
    }
}

fn no_match(code: &str) -> Precondition {
    let token = Predicate::Token { system: None, code: Some(code.into()) };
    Precondition::NoMatch { resource_type: "Patient".into(), filter: Filter::Match(IDENTIFIER, token) }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_processes_wins() {
    let account = Emulated::new().await;
    let (one, two) = tokio::join!(Process::start(&account, quick()), Process::start(&account, quick()));
    assert_eq!(one.store.secret(), two.store.secret());
    for round in 0..10 {
        let code = format!("mrn-{round}");
        let create = |process: &str| {
            put(&key(&format!("Patient/{process}-{round}")), 0, &format!(r#""identifier":"{code}""#))
        };
        let (a, b) = tokio::join!(
            one.commit_if(vec![no_match(&code)], vec![create("one")]),
            two.commit_if(vec![no_match(&code)], vec![create("two")])
        );
        let lost = |answer: &Result<_, CommitError>| {
            matches!(answer, Err(CommitError::Precondition { precondition: 0 }))
        };
        assert!(a.is_ok() && lost(&b) || b.is_ok() && lost(&a), "{a:?} {b:?}");
        let same = || vec![put(&key(&format!("Patient/same-{round}")), 0, "")];
        let (a, b) = tokio::join!(one.commit(same()), two.commit(same()));
        let lost = |answer: &Result<_, CommitError>| {
            matches!(answer, Err(CommitError::Conflict { write: 0, found: 1 }))
        };
        assert!(a.is_ok() && lost(&b) || b.is_ok() && lost(&a), "{a:?} {b:?}");
    }
    one.assert_clean().await;
    two.assert_clean().await;
}

/// Adds one to two counters at once, in either order, however often others come first.
async fn increment(process: &Process, names: [&str; 2]) -> usize {
    let mut conflicts = 0;
    loop {
        let mut writes = Vec::new();
        for name in names {
            let current = process.read(name).await.map_or(0, |version| version.version);
            writes.push(put(&key(name), current, &format!(r#""amount":{}"#, current + 1)));
        }
        match process.commit(writes).await {
            Ok(_) => return conflicts,
            Err(CommitError::Conflict { .. }) => conflicts += 1,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn contend(account: &Emulated, each: usize) {
    let (one, two) = tokio::join!(Process::start(account, quick()), Process::start(account, quick()));
    let (one, two) = (Arc::new(one), Arc::new(two));
    let mut tasks = Vec::new();
    for (process, names) in
        [(&one, ["Basic/a", "Basic/b"]), (&two, ["Basic/b", "Basic/a"]), (&two, ["Basic/a", "Basic/b"])]
    {
        let process = process.clone();
        tasks.push(tokio::spawn(async move {
            for _ in 0..each {
                increment(&process, names).await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    for process in [&one, &two] {
        for name in ["Basic/a", "Basic/b"] {
            let current = process.read(name).await.unwrap();
            assert_eq!((current.version, element(&current, "amount")), (3 * each as u64, (3 * each).into()));
        }
        process.assert_clean().await;
    }
    let changes = one.store.changes(&tenant(), &Access::unrestricted(), 0, 10_000).await.unwrap();
    let pairs: Vec<u64> = changes.chunks(2).map(|pair| pair[0].sequence).collect();
    assert_eq!(pairs, (1..=3 * each as u64).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn overlapping_transactions_of_two_processes_lose_nothing() {
    contend(&Emulated::new().await, 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_answers_lose_and_double_nothing() {
    let account = Emulated::new().await;
    let writes = [Operation::Create, Operation::Batch];
    account.account.inject(Fault::new(Effect::Lost).on(&writes).every(5));
    contend(&account, 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_throttled_for_ever_is_not_done() {
    for (operation, of) in [(Operation::Batch, "Patient"), (Operation::Create, "$log")] {
        let account = Emulated::new().await;
        let process = begin(&account).await;
        let state = process.state(&KEYS).await;
        account.account.inject(Fault::throttled(10).on(&[operation]).of(of));
        let answer = process.commit(transaction()).await;
        assert!(matches!(answer, Err(CommitError::Store(StoreError::Throttled { .. }))), "{answer:?}");
        // The versions before may be restored only when the service takes batches again.
        account.account.clear_faults();
        assert_eq!(process.state(&KEYS).await, state);
        assert_whole(&process.store, &tenant()).await;
        process.commit(transaction()).await.unwrap();
        process.assert_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_does_not_say_is_unsettled() {
    for (effect, done) in [(Effect::Lost, true), (Effect::Dropped, false)] {
        let account = Emulated::new().await;
        let settings = Settings {
            timings: Timings { settle: Duration::from_millis(500), ..quick().timings },
            ..quick()
        };
        begin(&account).await;
        let process = Process::start(&account, settings).await;
        account.account.inject(Fault::new(effect).on(&[Operation::Create]).of("$log"));
        account.account.inject(Fault::new(Effect::Dropped).on(&[Operation::Read]).of("$log"));
        let answer = process.commit(transaction()).await;
        assert!(matches!(answer, Err(CommitError::Store(StoreError::Unsettled(_)))), "{answer:?}");
        account.account.clear_faults();
        let expected = if done { (vec![1, 2, 2], 5) } else { (vec![0, 1, 1], 2) };
        for process in [process, Process::start(&account, quick()).await] {
            assert_eq!(process.state(&KEYS).await, expected, "{effect:?}");
            assert_whole(&process.store, &tenant()).await;
        }
        let process = Process::start(&account, quick()).await;
        let writes =
            KEYS.iter().zip(expected.0).map(|(text, version)| put(&key(text), version, "")).collect();
        process.commit(writes).await.unwrap();
        process.assert_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_differ_stop_writes() {
    let account = Emulated::new().await;
    let ahead = Settings { clock: || Timestamp::now().0 + 120_000, ..quick() };
    let process = Process::start(&account, ahead).await;
    let answer = process.commit(vec![put(&key("Patient/a"), 0, "")]).await;
    let text = answer.unwrap_err().to_string();
    assert!(
        text.contains("s ahead of the store's, and nothing is written while it is; set the clock"),
        "{text}"
    );
    assert_eq!(process.store.ready(&tenant()).await.unwrap_err().to_string()[..20], text[..20]);
    assert!(process.read("Patient/a").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_tenant_is_written_by_no_process() {
    let account = Emulated::new().await;
    let (one, two) = (begin(&account).await, Process::start(&account, quick()).await);
    assert_eq!(one.store.seal(&tenant()).await.unwrap(), 1);
    assert_eq!(one.store.seal(&tenant()).await.unwrap(), 1);
    for process in [&one, &two] {
        let answer = process.commit(vec![put(&key("Patient/a"), 0, "")]).await;
        assert!(matches!(answer, Err(CommitError::Store(StoreError::Moving(_)))), "{answer:?}");
        assert_eq!(process.read(KEYS[1]).await.unwrap().version, 1);
        process.assert_clean().await;
    }
    two.store.unseal(&tenant()).await.unwrap();
    for (process, name) in [(&one, "Patient/a"), (&two, "Patient/b")] {
        process.commit(vec![put(&key(name), 0, "")]).await.unwrap();
    }
    two.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_reads_nothing_and_a_read_reads_once() {
    let account = Emulated::new().await;
    let process = Process::start(&account, quick()).await;
    process.commit(vec![put(&key("Patient/first"), 0, "")]).await.unwrap();
    let steps = async |write: Write| {
        let ledger = Ledger::new(true);
        ledger.scope(process.commit(vec![write])).await.unwrap();
        ledger.steps().into_iter().map(|step| step.what).collect::<Vec<_>>()
    };
    let record = "the log's record, shared by 1";
    assert_eq!(steps(put(&key("Patient/a"), 0, "")).await, ["create c", record]);
    assert_eq!(steps(put(&key("Patient/a"), 1, "")).await, ["read c", "batch of 2", record]);
    assert_eq!(steps(delete(&key("Patient/a"), 2)).await, ["read c", "batch of 2", record]);
    let ledger = Ledger::new(true);
    ledger.scope(process.read("Patient/first")).await.unwrap();
    assert_eq!((ledger.steps().len(), ledger.units()), (1, 1.0));
}
