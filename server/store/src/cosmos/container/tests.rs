//! One container of the emulator: operations, charges, and what faults of the network become.

use std::time::{Duration, Instant};

use cosmos_emulator::{Account, Effect, Fault, Operation as Kind};
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::cosmos::connect::Accounts;
use crate::cosmos::{AccountOptions, CosmosOptions, Patience, Throughput, init};
use crate::units::Ledger;

const PATIENCE: Patience =
    Patience { operation: Duration::from_secs(1), throttled: Duration::from_millis(300) };

async fn start() -> (Account, Container) {
    let account = Account::start().unwrap();
    let options = options(&account);
    init(&options, &options.default, Throughput::Account).await.unwrap();
    let container = connect(&account).await;
    (account, container)
}

fn options(account: &Account) -> CosmosOptions {
    let reached = AccountOptions::from_connection_string(&account.connection_string()).unwrap();
    CosmosOptions { patience: PATIENCE, ..CosmosOptions::single(reached, "vesta", "fhir") }
}

async fn connect(account: &Account) -> Container {
    let options = options(account);
    Accounts::new(&options).await.unwrap().container(&options.default).await.unwrap()
}

fn place(tenant: &str, ty: &str, rid: &str) -> Place {
    Place { tenant: tenant.into(), ty: ty.into(), rid: rid.into() }
}

fn document(place: &Place, id: &str, more: Value) -> Value {
    let mut document = json!({"id": id, "tn": place.tenant, "ty": place.ty, "rid": place.rid});
    document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    document
}

async fn create(container: &Container, place: &Place, id: &str, more: Value) -> String {
    match container.create(place, id, &document(place, id, more)).await.unwrap() {
        Written::Yes(etag) => etag,
        Written::No => panic!("{place:?} {id} exists"),
    }
}

async fn read(container: &Container, place: &Place, id: &str) -> Option<Value> {
    container.read::<Value>(place, id).await.unwrap().map(|item| item.document)
}

/// As the engine's own: some fields by name, the rest flattened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Numbers {
    id: String,
    tn: String,
    ty: String,
    rid: String,
    count: u64,
    time: i64,
    ratio: f64,
    #[serde(flatten)]
    rest: std::collections::BTreeMap<String, Value>,
}

#[tokio::test]
async fn numbers_come_back_as_they_were() {
    let (_account, container) = start().await;
    let place = place("t", "Observation", "1");
    let written = Numbers {
        id: "c".into(),
        tn: "t".into(),
        ty: "Observation".into(),
        rid: "1".into(),
        count: 9_007_199_254_740_991,
        time: -1_763_790_000_123,
        ratio: 0.1,
        rest: [("r".to_owned(), json!({"date": [-9e15, 9e15], "value": [1.5, 2], "n": 7}))].into(),
    };
    assert!(matches!(container.create(&place, "c", &written).await.unwrap(), Written::Yes(_)));
    let mut read = container.read::<Numbers>(&place, "c").await.unwrap().unwrap().document;
    read.rest.retain(|name, _| !name.starts_with('_'));
    assert_eq!((read.count, read.time, read.ratio), (written.count, written.time, written.ratio));
    let spans = &read.rest["r"];
    assert_eq!(spans["date"][0].as_f64(), Some(-9e15));
    assert_eq!(spans["value"][0].as_f64(), Some(1.5));
    assert_eq!(spans["value"][1].as_f64(), Some(2.0));
    assert_eq!(spans["n"].as_u64(), Some(7));
    // In a batch, a replacement goes another way through the SDK.
    let etag = container.read::<Numbers>(&place, "c").await.unwrap().unwrap().etag;
    let again = Numbers { count: 5, ..written.clone() };
    let kept = Numbers { id: "v1".into(), ..written };
    let operations =
        [Operation::Create(&kept), Operation::Replace { id: "c".into(), document: &again, etag }];
    assert!(container.batch(&place, &operations).await.unwrap());
    assert_eq!(container.read::<Numbers>(&place, "c").await.unwrap().unwrap().document.count, 5);
    let kept = container.read::<Numbers>(&place, "v1").await.unwrap().unwrap().document;
    assert_eq!((kept.count, kept.rest["r"]["n"].as_u64()), (9_007_199_254_740_991, Some(7)));
    // And a query compares them as numbers.
    for (condition, matches) in [
        ("c.time = @p", 2),
        ("c.r['value'][0] <= @ratio AND c.r['value'][1] >= @ratio", 2),
        ("c.count = @five", 1),
        ("c.ratio < @ratio", 2),
        // In single quotes: the emulator does not know names in double ones.
        ("c.r['value'][0] = 1.5", 2),
        ("c.r['n'] = 7", 2),
        ("c.r['date'][0] < 0", 2),
        ("c.count > @five", 1),
    ] {
        let sql = Sql {
            text: format!("SELECT c.id FROM c WHERE {condition}"),
            parameters: vec![
                ("@p".into(), json!(-1_763_790_000_123_i64)),
                ("@ratio".into(), json!(1.75)),
                ("@five".into(), json!(5)),
            ],
        };
        let mut found = 0;
        container
            .query::<Value>(&Scope::One(place.clone()), &sql, |page| {
                found += page.len();
                true
            })
            .await
            .unwrap();
        assert_eq!(found, matches, "{condition}");
    }
}

#[tokio::test]
async fn writes_hold_to_their_conditions() {
    let (_account, container) = start().await;
    let place = place("t", "Patient", "1");
    assert_eq!(read(&container, &place, "c").await, None);
    let first = create(&container, &place, "c", json!({"n": 1})).await;
    assert_eq!(container.create(&place, "c", &document(&place, "c", json!({}))).await.unwrap(), Written::No);
    let second = document(&place, "c", json!({"n": 2}));
    let Written::Yes(newer) = container.replace(&place, "c", &second, &first).await.unwrap() else {
        panic!("the etag was the current one")
    };
    assert_ne!(first, newer);
    assert_eq!(container.replace(&place, "c", &second, &first).await.unwrap(), Written::No);
    assert_eq!(container.replace(&place, "other", &second, &first).await.unwrap(), Written::No);
    assert_eq!(container.delete(&place, "c", &first).await.unwrap(), Written::No);
    // A batch whose second part fails has done none of it.
    let third = document(&place, "c", json!({"n": 3}));
    let kept = document(&place, "v2", json!({"n": 2}));
    let batch = |etag: &str| {
        [
            Operation::Create(&kept),
            Operation::Replace { id: "c".into(), document: &third, etag: etag.to_owned() },
        ]
    };
    assert!(!container.batch(&place, &batch(&first)).await.unwrap());
    assert_eq!(read(&container, &place, "v2").await, None);
    assert!(container.batch(&place, &batch(&newer)).await.unwrap());
    assert!(!container.batch(&place, &batch(&newer)).await.unwrap());
    assert_eq!(read(&container, &place, "c").await.unwrap()["n"].as_u64(), Some(3));
    assert!(container.batch::<Value>(&place, &[Operation::Delete { id: "v2".into() }]).await.unwrap());
    assert!(!container.batch::<Value>(&place, &[Operation::Delete { id: "v2".into() }]).await.unwrap());
    let current = container.read::<Value>(&place, "c").await.unwrap().unwrap().etag;
    assert!(matches!(container.delete(&place, "c", &current).await.unwrap(), Written::Yes(_)));
    assert_eq!(container.delete(&place, "c", &current).await.unwrap(), Written::No);
}

#[tokio::test]
async fn queries_stay_in_their_scope() {
    let (account, container) = start().await;
    for tenant in ["a", "b"] {
        for ty in ["Patient", "Observation"] {
            for number in 0..40 {
                let place = place(tenant, ty, &number.to_string());
                create(&container, &place, "c", json!({"n": number, "x": [format!("p|{}", number % 3)]}))
                    .await;
            }
        }
    }
    let check = async |scope: Scope, text: &str, expected: Vec<u64>| {
        let sql = Sql { text: text.into(), parameters: vec![("@x".into(), json!("p|1"))] };
        let mut found = Vec::new();
        container
            .query::<Value>(&scope, &sql, |page| {
                found.extend(page.iter().map(|row| row["n"].as_u64().unwrap()));
                true
            })
            .await
            .unwrap();
        if !text.contains("ORDER") {
            found.sort_unstable();
        }
        assert_eq!(found, expected, "{scope:?} {text}");
    };
    let ty = || Scope::Type("a".into(), "Patient".into());
    let all: Vec<u64> = (0..40).collect();
    check(ty(), "SELECT c.n FROM c", all.clone()).await;
    check(ty(), "SELECT c.n FROM c ORDER BY c.n", all.clone()).await;
    check(ty(), "SELECT c.n FROM c ORDER BY c.n DESC", all.iter().rev().copied().collect()).await;
    check(ty(), "SELECT TOP 3 c.n FROM c ORDER BY c.n", vec![0, 1, 2]).await;
    let ones: Vec<u64> = (0..40).filter(|n| n % 3 == 1).collect();
    check(ty(), "SELECT c.n FROM c WHERE ARRAY_CONTAINS(c.x, @x) ORDER BY c.n", ones).await;
    check(Scope::Tenant("a".into()), "SELECT c.n FROM c", all.iter().flat_map(|n| [*n, *n]).collect()).await;
    check(Scope::One(place("b", "Patient", "7")), "SELECT c.n FROM c", vec![7]).await;
    check(Scope::Type("c".into(), "Patient".into()), "SELECT c.n FROM c", vec![]).await;
    // The same after partitions became two each.
    assert_eq!(account.split_all("vesta", "fhir").await.unwrap(), 2);
    assert!(account.split_all("vesta", "fhir").await.unwrap() > 2);
    check(ty(), "SELECT c.n FROM c ORDER BY c.n", all.clone()).await;
    check(Scope::Tenant("b".into()), "SELECT c.n FROM c", all.iter().flat_map(|n| [*n, *n]).collect()).await;
    assert_eq!(read(&container, &place("a", "Patient", "9"), "c").await.unwrap()["n"].as_u64(), Some(9));
    create(&container, &place("a", "Patient", "9"), "v1", json!({"n": 99})).await;
}

#[tokio::test]
async fn every_answer_is_charged() {
    let (account, container) = start().await;
    let place = place("t", "Patient", "1");
    let etag = create(&container, &place, "c", json!({})).await;
    let new = document(&place, "v1", json!({}));
    let sql = Sql { text: "SELECT * FROM c".into(), parameters: Vec::new() };
    let check = async |name: &str, least: f64, most: f64, work: &mut (dyn Future<Output = ()> + Unpin)| {
        let ledger = Ledger::new(true);
        ledger.scope(work).await;
        let units = ledger.units();
        assert!((least..=most).contains(&units), "{name}: {units} {:?}", ledger.steps());
        assert!(!ledger.steps().is_empty(), "{name}");
    };
    macro_rules! charged {
        ($name:literal, $least:expr, $most:expr, $work:expr) => {{
            let mut work = Box::pin(async {
                let _ = $work.await;
            });
            check($name, $least, $most, &mut work).await;
        }};
    }
    charged!("read", 1.0, 1.0, container.read::<Value>(&place, "c"));
    charged!("read of none", 0.0, 1.5, container.read::<Value>(&place, "none"));
    charged!("create", 5.0, 9.0, container.create(&place, "v1", &new));
    charged!("create of what exists", 0.5, 9.0, container.create(&place, "v1", &new));
    charged!("replace", 7.0, 15.0, container.replace(&place, "c", &document(&place, "c", json!({})), &etag));
    charged!("replace of another", 0.5, 15.0, container.replace(&place, "c", &new, "\"other\""));
    let batch = [Operation::Create(&new), Operation::Delete { id: "c".into() }];
    charged!("batch that fails", 0.5, 25.0, container.batch(&place, &batch));
    charged!(
        "query",
        1.0,
        20.0,
        container.query::<Value>(&Scope::Type("t".into(), "Patient".into()), &sql, |_| true)
    );
    account.inject(Fault::throttled(5).times(2));
    charged!("read after two refusals", 1.7, 1.8, container.read::<Value>(&place, "v1"));
    account.inject(Fault::unavailable());
    charged!("read that fails", 0.38, 2.0, container.read::<Value>(&place, "v1"));
}

/// What a write became, and whether it was done.
async fn outcome(container: &Container, number: u32) -> (Result<Written, StoreError>, bool) {
    let place = place("t", "Patient", &number.to_string());
    let written = container.create(&place, "c", &document(&place, "c", json!({}))).await;
    (written, read(container, &place, "c").await.is_some())
}

#[tokio::test]
async fn faults_of_writes_are_told_apart() {
    let (account, container) = start().await;
    let mut number = 0;
    let mut check = async |fault: Fault, expected: &str, done: bool| {
        number += 1;
        let text = format!("{fault:?}");
        let injected = account.inject(fault.on(&Kind::WRITES));
        let (written, found) = outcome(&container, number).await;
        account.clear_faults();
        let kind = match written {
            Ok(Written::Yes(_)) => "yes".to_owned(),
            Ok(Written::No) => "no".to_owned(),
            Err(StoreError::Throttled { after }) => format!("throttled {}", after.as_millis()),
            Err(StoreError::Unavailable(_)) => "unavailable".to_owned(),
            Err(StoreError::Unsettled(_)) => "unsettled".to_owned(),
            Err(other) => format!("{other:?}"),
        };
        assert_eq!((kind.as_str(), found), (expected, done), "{text}");
        assert!(injected.happened() > 0, "{text}");
    };
    check(Fault::throttled(10).times(3), "yes", true).await;
    check(Fault::throttled(50), "throttled 50", false).await;
    check(Fault::unavailable().times(1), "yes", true).await;
    check(Fault::unavailable(), "unsettled", false).await;
    check(Fault::new(Effect::Dropped).times(1), "yes", true).await;
    check(Fault::new(Effect::Dropped), "unsettled", false).await;
    // Done, though the answer was lost; when the SDK asks again it is told that the document exists.
    check(Fault::new(Effect::Lost).times(1), "no", true).await;
    check(Fault::new(Effect::Misanswered { status: 503 }).times(1), "no", true).await;
    check(Fault::new(Effect::Misanswered { status: 503 }), "unsettled", true).await;
    check(Fault::new(Effect::AnsweredLate { ms: 3000 }), "unsettled", true).await;
    check(
        Fault::new(Effect::Refused { status: 401, substatus: 0, retry_after_ms: None }),
        "unavailable",
        false,
    )
    .await;
    check(
        Fault::new(Effect::Refused { status: 403, substatus: 5300, retry_after_ms: None }),
        "unavailable",
        false,
    )
    .await;
    check(
        Fault::new(Effect::Refused { status: 449, substatus: 0, retry_after_ms: None }).times(1),
        "yes",
        true,
    )
    .await;
    check(
        Fault::new(Effect::Refused { status: 404, substatus: 1003, retry_after_ms: None }),
        "unavailable",
        false,
    )
    .await;
}

#[tokio::test]
async fn refused_after_a_lost_answer_is_unsettled() {
    let (account, container) = start().await;
    account.inject(Fault::new(Effect::Lost).on(&[Kind::Create]).times(1));
    account.inject(Fault::throttled(50).on(&[Kind::Create]));
    let (written, found) = outcome(&container, 1).await;
    assert!(matches!(written, Err(StoreError::Unsettled(_))), "{written:?}");
    assert!(found);
}

#[tokio::test]
async fn faults_of_reads_end_in_time() {
    let (account, container) = start().await;
    let place = place("t", "Patient", "1");
    create(&container, &place, "c", json!({})).await;
    let check = async |fault: Fault, expected: &str| {
        let text = format!("{fault:?}");
        account.inject(fault.on(&[Kind::Read]));
        let start = Instant::now();
        let read = container.read::<Value>(&place, "c").await;
        account.clear_faults();
        let kind = match read {
            Ok(Some(_)) => "yes",
            Ok(None) => "no",
            Err(StoreError::Throttled { .. }) => "throttled",
            Err(StoreError::Unavailable(_)) => "unavailable",
            Err(_) => "otherwise",
        };
        assert_eq!(kind, expected, "{text}");
        assert!(start.elapsed() < Duration::from_secs(3), "{text}: {:?}", start.elapsed());
    };
    check(Fault::throttled(10).times(3), "yes").await;
    check(Fault::throttled(50), "throttled").await;
    check(Fault::unavailable().times(1), "yes").await;
    check(Fault::unavailable(), "unavailable").await;
    check(Fault::new(Effect::Dropped), "unavailable").await;
    check(Fault::new(Effect::Late { ms: 5000 }), "unavailable").await;
    check(Fault::new(Effect::Refused { status: 404, substatus: 1002, retry_after_ms: None }), "unavailable")
        .await;
    check(Fault::new(Effect::Refused { status: 404, substatus: 1003, retry_after_ms: None }), "unavailable")
        .await;
    check(Fault::new(Effect::Refused { status: 401, substatus: 0, retry_after_ms: None }), "unavailable")
        .await;
}

#[tokio::test]
async fn what_is_too_large_says_how_large() {
    let (_account, container) = start().await;
    let place = place("t", "Binary", "1");
    let large = document(&place, "c", json!({"z": "x".repeat(MOST_BYTES)}));
    let half = document(&place, "v1", json!({"z": "x".repeat(MOST_BYTES / 2)}));
    let other = document(&place, "v2", json!({"z": "x".repeat(MOST_BYTES / 2)}));
    let check = |error: StoreError| match error {
        StoreError::TooLarge { key, bytes, most } => {
            assert_eq!((&*key, most), ("Binary/1", MOST_BYTES));
            assert!(bytes > MOST_BYTES, "{bytes}");
        }
        other => panic!("{other:?}"),
    };
    check(container.create(&place, "c", &large).await.unwrap_err());
    check(container.batch(&place, &[Operation::Create(&half), Operation::Create(&other)]).await.unwrap_err());
    assert_eq!(read(&container, &place, "v1").await, None);
}

#[tokio::test]
async fn sessions_are_handed_from_one_process_to_another() {
    let (account, ours) = start().await;
    let theirs = connect(&account).await;
    assert_eq!(ours.written(), None);
    let recording = ours.recording();
    let at = place("t", "Patient", "1");
    create(&recording, &at, "c", json!({})).await;
    let token = recording.written().unwrap();
    assert!(token.contains(':') && !token.contains(','), "{token}");
    assert_eq!(ours.written(), None);
    theirs.learn(&token);
    assert!(read(&theirs, &at, "c").await.is_some());
    for number in 2..20 {
        create(&recording, &place(&format!("t{number}"), "Patient", "1"), "c", json!({})).await;
    }
    let token = recording.written().unwrap();
    assert!(token.contains(','), "{token}");
    theirs.learn(&token);
    let sql = Sql { text: "SELECT c.id FROM c".into(), parameters: Vec::new() };
    let mut found = 0;
    let scope = Scope::Tenant("t19".into());
    theirs
        .query::<Value>(&scope, &sql, |page| {
            found += page.len();
            true
        })
        .await
        .unwrap();
    assert_eq!(found, 1);
    // What a partition has not reached is refused, not answered as of an earlier time.
    let ahead = token.split(',').map(|one| format!("{}#1000000#0=1000000", one.split('#').next().unwrap()));
    theirs.learn(&ahead.collect::<Vec<_>>().join(","));
    let behind = theirs.read::<Value>(&at, "c").await;
    assert!(matches!(behind, Err(StoreError::Unavailable(_))), "{behind:?}");
}
