//! Where the chains of others end, as far as the store tells.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use smart::jwt::{Jwks, Signer};

use crate::checkpoint::Checkpoint;
use crate::link::{Hash, Link, Place};
use crate::writer::{Storage, StorageError};

/// How many checkpoints are looked at: each vouches for those before it, so the newest of each process count.
const CHECKPOINTS: usize = 100;
/// How many records are followed behind the last checkpoint of a chain.
const MAX_STEPS: usize = 100_000;

/// The ends of chains that no later checkpoint of another chain vouches for, but of the chain `own`. With `to_the_end`, records
/// behind a chain's last checkpoint are followed: for a process that died.
pub(crate) async fn heads(
    storage: &dyn Storage,
    signer: &dyn Signer,
    tenant: &str,
    own: &str,
    to_the_end: bool,
) -> Result<BTreeMap<String, (u64, Hash)>, StorageError> {
    let keys: Jwks = signer.published().into_iter().collect();
    let stored = storage.checkpoints(tenant, CHECKPOINTS).await?;
    let signed: Vec<Checkpoint> = stored.iter().filter_map(|body| checkpoint(body, tenant, &keys)).collect();
    let mut ends: BTreeMap<String, (u64, Hash)> = BTreeMap::new();
    for checkpoint in signed.iter().filter(|checkpoint| checkpoint.chain != own) {
        let Some(hash) = Hash::parse(&checkpoint.hash) else { continue };
        let end = ends.entry(checkpoint.chain.clone()).or_insert((checkpoint.sequence, hash));
        if end.0 < checkpoint.sequence {
            *end = (checkpoint.sequence, hash);
        }
    }
    if to_the_end {
        for (chain, end) in &mut ends {
            *end = follow(storage, tenant, chain, *end).await?;
        }
    }
    let is_named = |chain: &str, sequence: u64| {
        signed.iter().any(|other| other.heads.get(chain).is_some_and(|(named, _)| *named >= sequence))
    };
    ends.retain(|chain, (sequence, _)| !is_named(chain, *sequence));
    Ok(ends)
}

fn checkpoint(body: &[u8], tenant: &str, keys: &Jwks) -> Option<Checkpoint> {
    let record: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let text = Link::of(&record)?.checkpoint?;
    Checkpoint::verified(&text, keys).ok().filter(|checkpoint| checkpoint.tenant == tenant)
}

async fn follow(
    storage: &dyn Storage,
    tenant: &str,
    chain: &str,
    (mut sequence, mut hash): (u64, Hash),
) -> Result<(u64, Hash), StorageError> {
    for _ in 0..MAX_STEPS {
        let next = Place { chain: chain.to_owned(), sequence: sequence + 1 };
        let Some(body) = storage.read(tenant, &next.id()).await? else { break };
        let record: Option<Map<String, Value>> = serde_json::from_slice(&body).ok();
        let link = record.as_ref().and_then(Link::of);
        // What does not follow is for the verification to tell.
        let Some(link) = link.filter(|link| link.place == next && link.previous == hash) else { break };
        (sequence, hash) = (next.sequence, link.hash);
    }
    Ok((sequence, hash))
}
