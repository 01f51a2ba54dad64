//! Moves a tenant under write load: every acknowledged write is at the new home, and nothing is acknowledged at the old one
//! afterwards.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

#[path = "../../store/tests/fixture/mod.rs"]
mod fixture;

mod load;

use std::time::Duration;

use archive::{content, move_tenant};
use fixture::*;
use load::{check_move, tenant};
use store::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_to_embedded() {
    let directory = tempfile::tempdir().unwrap();
    let (source, destination) = (open(&directory.path().join("a")), open(&directory.path().join("b")));
    check_move(&source, &destination, Duration::ZERO, 300).await;
}

#[tokio::test]
async fn a_tenant_is_not_moved_over_another() {
    let directory = tempfile::tempdir().unwrap();
    let (source, destination) = (open(&directory.path().join("a")), open(&directory.path().join("b")));
    for store in [&source, &destination] {
        let write = put(&key("Patient/a"), 0, "");
        store.commit(&tenant(), &Access::unrestricted(), batch(vec![write])).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let never = async || panic!("switched");
    let refused = move_tenant(&source, &destination, &tenant(), never, &|_, _| {}).await.unwrap_err();
    let expected = "the tenant has other data there, and only an empty one can be restored or moved into";
    assert_eq!(refused.to_string(), expected);
    assert_eq!(content(&destination, &tenant(), u64::MAX).await.unwrap().sequence, 1);
    let write = put(&key("Patient/a"), 1, "");
    source.commit(&tenant(), &Access::unrestricted(), batch(vec![write])).await.unwrap();
}
