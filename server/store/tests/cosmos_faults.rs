//! The Cosmos engine while the network and the service fail: writers go on through faults of every kind, and at the end what
//! was acknowledged is there, what was refused is not, nothing is there twice, and nobody has seen what was not committed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed"
)]

mod fixture;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use cosmos_emulator::{Effect, Fault, Operation, Options};
use engines::CosmosPlace;
use fixture::*;
use store::cosmos::{Patience, Throughput};
use store::*;

const WRITERS: usize = 4;
const ROUNDS: usize = 5;
const COUNTERS: usize = 2;

/// Tries of one increment before the faults are taken to leave no way through.
const TRIES: usize = 60;

/// What is sent late or answered late comes when the client has given up.
const TOO_LATE_MS: u64 = 1300;

async fn start() -> CosmosPlace {
    let place = CosmosPlace::emulated(&Options::default(), Throughput::Account).await;
    impatient(place)
}

fn impatient(mut place: CosmosPlace) -> CosmosPlace {
    place.options.patience =
        Patience { operation: Duration::from_secs(1), throttled: Duration::from_millis(300) };
    place
}

/// A store with the arguments that calls have.
#[derive(Clone)]
struct Client {
    store: Store,
    tenant: Tenant,
    access: Access,
}

impl Client {
    async fn open(place: &CosmosPlace) -> Client {
        let store = place.open(FourElements::new()).await;
        Client { store, tenant: Tenant::default_tenant(), access: Access::unrestricted() }
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<Vec<Version>, CommitError> {
        self.store.commit(&self.tenant, &self.access, batch(writes)).await
    }

    async fn read(&self, key: &Key) -> Result<Option<Version>, StoreError> {
        self.store.read(&self.tenant, &self.access, key).await
    }

    /// All changes, as `Type/id version`, by sequence.
    async fn changes(&self) -> Result<Vec<(u64, String)>, StoreError> {
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let changes = self.store.changes(&self.tenant, &self.access, after, 1000).await?;
            let Some(last) = changes.last() else { return Ok(all) };
            after = last.sequence;
            let told =
                |change: &Change| (change.sequence, format!("{} {}", change.key.as_str(), change.version));
            all.extend(changes.iter().map(told));
        }
    }
}

fn counter(number: usize) -> Key {
    key(&format!("Basic/counter-{number}"))
}

/// What became of each try to write a resource of its own together with a counter.
#[derive(Debug, Default)]
struct Tried {
    acknowledged: BTreeSet<String>,
    refused: BTreeSet<String>,
    unsettled: BTreeSet<String>,
}

/// Adds one to counters, again and again; each try has a resource of its own, so that each can be told afterwards.
async fn write(client: Client, writer: usize) -> Tried {
    let mut tried = Tried::default();
    for round in 0..ROUNDS {
        let counter = counter((writer + round) % COUNTERS);
        for attempt in 0.. {
            assert!(attempt < TRIES, "no way through the faults");
            let Ok(current) = client.read(&counter).await else {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let version = current.map_or(0, |current| current.version);
            let amount = format!(r#""amount":{}"#, version + 1);
            let own = format!("Basic/own-{writer}-{round}-{attempt}");
            let writes = vec![put(&counter, version, &amount), put(&key(&own), 0, "")];
            match client.commit(writes).await {
                Ok(_) => {
                    tried.acknowledged.insert(own);
                    break;
                }
                Err(CommitError::Conflict { write: 0, found }) if found != version => {
                    tried.refused.insert(own);
                }
                Err(CommitError::Store(StoreError::Unsettled(_))) => {
                    tried.unsettled.insert(own);
                }
                Err(CommitError::Store(StoreError::Throttled { .. } | StoreError::Unavailable(_))) => {
                    tried.refused.insert(own);
                }
                Err(other) => panic!("{own} at version {version}: {other:?}"),
            }
        }
    }
    tried
}

/// Reads until it is over. What it sees must be in the log that is read after it, and a counter's amount is its version.
async fn watch(client: Client, over: Arc<AtomicBool>) -> usize {
    let mut seen = 0;
    while !over.load(Relaxed) {
        for number in 0..COUNTERS {
            let Ok(Some(read)) = client.read(&counter(number)).await else { continue };
            assert_eq!(element(&read, "amount"), read.version);
            let Ok(changes) = client.changes().await else { continue };
            let name = format!("{} {}", read.key.as_str(), read.version);
            assert!(changes.iter().any(|(_, change)| *change == name), "{name} is seen, and not committed");
            seen += 1;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    seen
}

/// Two processes write and read; then faults end, and a third judges.
async fn run(place: &CosmosPlace) -> Tried {
    let clients = [Client::open(place).await, Client::open(place).await];
    run_with(place, &clients).await
}

async fn run_with(place: &CosmosPlace, clients: &[Client; 2]) -> Tried {
    let over = Arc::new(AtomicBool::new(false));
    let watcher = tokio::spawn(watch(clients[1].clone(), over.clone()));
    let writers: Vec<_> =
        (0..WRITERS).map(|writer| tokio::spawn(write(clients[writer % 2].clone(), writer))).collect();
    let mut all = Tried::default();
    for writer in writers {
        let tried = writer.await.unwrap();
        all.acknowledged.extend(tried.acknowledged);
        all.refused.extend(tried.refused);
        all.unsettled.extend(tried.unsettled);
    }
    place.account().clear_faults();
    // What was sent late has come by now.
    tokio::time::sleep(Duration::from_millis(TOO_LATE_MS)).await;
    over.store(true, Relaxed);
    watcher.await.unwrap();
    judge(&Client::open(place).await, &all).await;
    all
}

async fn judge(client: &Client, tried: &Tried) {
    assert_eq!(tried.acknowledged.len(), WRITERS * ROUNDS);
    let mut present = BTreeSet::new();
    for own in tried.acknowledged.iter().chain(&tried.refused).chain(&tried.unsettled) {
        if client.read(&key(own)).await.unwrap().is_some() {
            present.insert(own.clone());
        }
    }
    let lost: Vec<_> = tried.acknowledged.difference(&present).collect();
    assert!(lost.is_empty(), "acknowledged, and not there: {lost:?}");
    let undead: Vec<_> = tried.refused.intersection(&present).collect();
    assert!(undead.is_empty(), "refused, and there: {undead:?}");

    let mut increments = 0;
    for number in 0..COUNTERS {
        let current = client.read(&counter(number)).await.unwrap().unwrap();
        assert_eq!(element(&current, "amount"), current.version);
        increments += current.version;
    }
    assert_eq!(increments, present.len() as u64, "each increment has one resource of its own");

    let changes = client.changes().await.unwrap();
    let sequences: BTreeSet<u64> = changes.iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(sequences, (1..=increments).collect(), "sequences have no gap");
    assert_eq!(changes.len() as u64, 2 * increments, "each commit is whole");
    assert_eq!(changes.iter().map(|(_, name)| name).collect::<BTreeSet<_>>().len(), changes.len());
    assert_whole(&client.store, &client.tenant).await;
}

/// Runs under a fault, which must have happened.
async fn check(fault: Fault) {
    let text = format!("{fault:?}");
    let start = Instant::now();
    let place = self::start().await;
    let clients = [Client::open(&place).await, Client::open(&place).await];
    let injected = place.account().inject(fault);
    let tried = run_with(&place, &clients).await;
    assert!(injected.happened() > 0, "{text}");
    eprintln!(
        "{text}: {} times; {} acknowledged, {} refused, {} unsettled, {} ms",
        injected.happened(),
        tried.acknowledged.len(),
        tried.refused.len(),
        tried.unsettled.len(),
        start.elapsed().as_millis()
    );
}

/// A test for each fault.
macro_rules! faults {
    ($($name:ident: $fault:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            check($fault).await;
        }
    )*};
}

fn lost() -> Fault {
    Fault::new(Effect::Lost)
}

/// The SDK asks once or twice again by itself; so often in a row is a fault for the engine.
fn answered(status: u16) -> Fault {
    Fault::new(Effect::Misanswered { status })
}

faults! {
    storms_of_429: Fault::throttled(20).every(2);
    storms_of_429_on_the_log: Fault::throttled(20).of("$log").every(2);
    unavailable_now_and_then: Fault::unavailable().every(3);
    dropped_connections: Fault::new(Effect::Dropped).every(3);
    lost_answers_of_creates: lost().on(&[Operation::Create]).of("Basic").every(2);
    lost_answers_of_batches: lost().on(&[Operation::Batch]).every(2);
    lost_answers_of_appends: lost().on(&[Operation::Create]).of("$log").every(2);
    lost_answers_of_taking_back: lost().on(&[Operation::Delete, Operation::Batch]).every(2);
    lost_answers_of_anything: lost().every(4);
    timed_out_writes_that_were_done: answered(408).on(&Operation::WRITES).every(3);
    timed_out_appends_that_were_done: answered(408).of("$log").on(&Operation::WRITES).every(2);
    unavailable_though_done: answered(503).on(&Operation::WRITES).every(3);
    answers_that_come_too_late: Fault::new(Effect::AnsweredLate { ms: TOO_LATE_MS }).every(15);
    writes_that_come_too_late: Fault::new(Effect::Late { ms: TOO_LATE_MS }).on(&Operation::WRITES).every(9);
    appends_that_come_too_late: Fault::new(Effect::Late { ms: TOO_LATE_MS }).on(&Operation::WRITES).of("$log").every(4);
    queries_that_fail: Fault::unavailable().on(&[Operation::Query]).every(2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_faults_nothing_is_refused_for_long() {
    let tried = run(&start().await).await;
    assert!(tried.unsettled.is_empty(), "{:?}", tried.unsettled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_split_under_load() {
    let place = start().await;
    let splits = async {
        let mut done = 0;
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_millis(150)).await;
            done += place.account().split_all("vesta", "fhir").await.unwrap();
        }
        done
    };
    let (_, done) = tokio::join!(run(&place), splits);
    assert!(done >= 2, "{done}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn provisioned_units_run_out() {
    let options = Options { throttling: true, ..Options::default() };
    let place = impatient(CosmosPlace::emulated(&options, Throughput::Manual(2000)).await);
    let before = Instant::now();
    run(&place).await;
    // A quarter of them is for the one partition of the tenant.
    assert!(before.elapsed() > Duration::from_secs(1), "{:?}: nothing was throttled", before.elapsed());
}

/// What reads, commits and readiness answer under a fault of everything.
async fn answers(fault: Fault) -> (Result<Option<Version>, StoreError>, CommitError, StoreError) {
    let place = start().await;
    let client = Client::open(&place).await;
    client.commit(vec![put(&counter(0), 0, "")]).await.unwrap();
    place.account().inject(fault);
    let began = Instant::now();
    let answers = (
        client.read(&counter(0)).await,
        client.commit(vec![put(&counter(1), 0, "")]).await.unwrap_err(),
        client.store.ready(&client.tenant).await.unwrap_err(),
    );
    assert!(began.elapsed() < Duration::from_secs(45), "{:?}", began.elapsed());
    place.account().clear_faults();
    assert!(client.read(&counter(0)).await.unwrap().is_some());
    assert!(client.read(&counter(1)).await.unwrap().is_none());
    client.commit(vec![put(&counter(1), 0, "")]).await.unwrap();
    client.store.ready(&client.tenant).await.unwrap();
    assert_whole(&client.store, &client.tenant).await;
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttled_for_ever_says_when_to_try_again() {
    for after_ms in [70, 60_000] {
        let after = Duration::from_millis(after_ms);
        let (read, commit, ready) = answers(Fault::throttled(after_ms)).await;
        let is =
            |error: &StoreError| matches!(error, StoreError::Throttled { after: told } if *told == after);
        assert!(matches!(&read, Err(error) if is(error)), "{read:?}");
        assert!(matches!(&commit, CommitError::Store(error) if is(error)), "{commit:?}");
        assert!(is(&ready), "{ready:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_say_what_to_do() {
    let cases = [
        (401, 0, "refuses the credential; configure its present key, or an identity it knows"),
        (403, 5300, "give this server's identity the role Cosmos DB Built-in Data Contributor"),
        (404, 1003, "make it by `vesta cosmos init`"),
        (503, 0, "cannot be reached"),
    ];
    for (status, substatus, sentence) in cases {
        let fault = Fault::new(Effect::Refused { status, substatus, retry_after_ms: None });
        let (read, commit, ready) = answers(fault).await;
        let says =
            |error: &StoreError| matches!(error, StoreError::Unavailable(why) if why.contains(sentence));
        assert!(matches!(&read, Err(error) if says(error)), "{read:?}");
        assert!(matches!(&commit, CommitError::Store(error) if says(error)), "{commit:?}");
        assert!(says(&ready), "{ready:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resource_too_large_is_refused_with_all_of_its_batch() {
    let place = start().await;
    let client = Client::open(&place).await;
    let (large, other) = (key("Binary/large"), key("Binary/other"));
    let writes = |bytes: usize| vec![put(&other, 0, ""), put(&large, 0, &noise(bytes))];
    match client.commit(writes(4 << 20)).await {
        Err(CommitError::Store(StoreError::TooLarge { key, bytes, most })) => {
            assert_eq!(&*key, "Binary/large");
            assert!(bytes > most, "{bytes} {most}");
        }
        answer => panic!("{answer:?}"),
    }
    assert!(client.read(&other).await.unwrap().is_none());
    client.commit(writes(1 << 20)).await.unwrap();
    assert!(client.read(&large).await.unwrap().unwrap().body.len() > 1 << 20);
    assert_whole(&client.store, &client.tenant).await;
}

/// A text that no compression makes smaller by much.
fn noise(bytes: usize) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut text = String::with_capacity(bytes + 16);
    text.push_str(r#""data":""#);
    while text.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push(
            char::from(b'0' + u8::try_from(state % 75).unwrap()).to_string().replace('\\', "x").remove(0),
        );
    }
    text.push('"');
    text
}

#[test]
fn the_server_has_nothing_of_the_emulator() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--offline", "-p", "vesta", "-e", "normal,features", "--prefix", "none"])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(tree.contains("azure_data_cosmos_driver"), "the driver is there");
    for one in ["__internal_in_memory_emulator", "fault_injection", "cosmos-emulator"] {
        let found: Vec<&str> = tree.lines().filter(|line| line.contains(one)).collect();
        assert!(found.is_empty(), "{found:?}");
    }
}
