//! Writers that go on while a tenant is moved, and what must be there afterwards.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test that panics has failed"
)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use archive::{content, move_tenant};
use store::*;

use super::fixture::*;

pub fn tenant() -> Tenant {
    Tenant::default_tenant()
}

/// Where the tenant is, as a table of tenants says it.
#[derive(Clone)]
struct Home(Arc<Mutex<Store>>);

impl Home {
    fn of(store: &Store) -> Home {
        Home(Arc::new(Mutex::new(store.clone())))
    }

    fn store(&self) -> Store {
        self.0.lock().unwrap().clone()
    }

    fn switch(&self, store: &Store) {
        *self.0.lock().unwrap() = store.clone();
    }
}

/// Writers that go on until they are told to stop, wherever the tenant is. Each tells how many of its own resources, and how
/// many versions of one that it changes again and again, were acknowledged.
struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    refused: Arc<AtomicU64>,
    writers: Vec<tokio::task::JoinHandle<(u64, u64)>>,
}

impl Load {
    fn start(home: &Home, writers: usize, pause: Duration) -> Load {
        let (stop, acknowledged, refused) = <(Arc<AtomicBool>, Arc<AtomicU64>, Arc<AtomicU64>)>::default();
        let writers = (0..writers)
            .map(|writer| {
                let (home, stop) = (home.clone(), stop.clone());
                let (acknowledged, refused) = (acknowledged.clone(), refused.clone());
                tokio::spawn(async move {
                    let changed = key(&format!("Group/{writer}"));
                    let mut n = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let own = put(&key(&format!("Patient/{writer}-{n}")), 0, r#""name":"Written""#);
                        let writes = vec![own, put(&changed, n, &format!(r#""amount":{n}"#))];
                        match home.store().commit(&tenant(), &Access::unrestricted(), batch(writes)).await {
                            Ok(_) => n += 1,
                            Err(CommitError::Store(StoreError::Moving(_))) => {
                                refused.fetch_add(1, Ordering::Relaxed);
                                tokio::time::sleep(Duration::from_millis(1)).await;
                                continue;
                            }
                            Err(error) => panic!("{error}"),
                        }
                        acknowledged.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(pause).await;
                    }
                    (n, n)
                })
            })
            .collect();
        Load { stop, acknowledged, refused, writers }
    }

    /// Waits until some more writes were acknowledged.
    async fn go_on(&self, more: u64) {
        let enough = self.acknowledged.load(Ordering::Relaxed) + more;
        while self.acknowledged.load(Ordering::Relaxed) < enough {
            assert!(!self.writers.iter().all(tokio::task::JoinHandle::is_finished), "the writers ended");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Stops them; all that they were acknowledged must be in the store.
    async fn assert_all_in(self, store: &Store) {
        self.stop.store(true, Ordering::Relaxed);
        let mut commits = 0;
        for (writer, ended) in self.writers.into_iter().enumerate() {
            let (own, versions) = ended.await.unwrap();
            commits += own;
            let access = Access::unrestricted();
            for n in 0..own {
                let read =
                    store.read(&tenant(), &access, &key(&format!("Patient/{writer}-{n}"))).await.unwrap();
                assert_eq!(read.unwrap().version, 1, "{writer}-{n}");
            }
            let changed =
                store.read(&tenant(), &access, &key(&format!("Group/{writer}"))).await.unwrap().unwrap();
            assert_eq!(changed.version, versions);
            assert_eq!(element(&changed, "amount"), versions - 1);
        }
        // And nothing that was not acknowledged.
        let held = content(store, &tenant(), u64::MAX).await.unwrap();
        assert_eq!((held.sequence, held.versions), (commits, commits * 2));
        assert_whole(store, &tenant()).await;
    }
}

/// Moves a tenant under load, with a switch that fails first. Each of four writers pauses after a write.
pub async fn check_move(source: &Store, destination: &Store, pause: Duration, more: u64) {
    let home = Home::of(source);
    let load = Load::start(&home, 4, pause);
    load.go_on(more).await;
    let failing = async || Err("no table".into());
    let failed = move_tenant(source, destination, &tenant(), failing, &|_, _| {}).await.unwrap_err();
    assert_eq!(failed.to_string(), "the tenant's new home cannot be entered: no table");
    // Nothing changed, and the writers go on where they were.
    load.go_on(more).await;

    let (sealed_at, refused) = (Mutex::new(0), load.refused.load(Ordering::Relaxed));
    let switch = async || {
        *sealed_at.lock().unwrap() = content(source, &tenant(), u64::MAX).await.unwrap().sequence;
        home.switch(destination);
        Ok(())
    };
    let moved = move_tenant(source, destination, &tenant(), switch, &|_, _| {}).await.unwrap();
    load.go_on(more).await;
    println!("{} commits, sealed for {:?}", moved.content.sequence, moved.sealed_for);
    let met = load.refused.load(Ordering::Relaxed) > refused;
    assert!(met || moved.sealed_for < pause, "no writer met the seal");
    assert_eq!(moved.content.sequence, *sealed_at.lock().unwrap());
    assert_eq!(content(source, &tenant(), u64::MAX).await.unwrap(), moved.content);
    let copied = content(destination, &tenant(), moved.content.sequence).await.unwrap();
    assert_eq!(copied, moved.content);
    load.assert_all_in(destination).await;
    let late = batch(vec![put(&key("Patient/late"), 0, "")]);
    let late = source.commit(&tenant(), &Access::unrestricted(), late).await;
    assert!(matches!(late, Err(CommitError::Store(StoreError::Moving(_)))));
}
