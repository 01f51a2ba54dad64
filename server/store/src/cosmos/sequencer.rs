//! The one task of a tenant in this process that commits: takes what waits, group by group. What a commit is, is
//! `commit`'s.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc;

use super::commit;
use super::group::{self, Job};
use super::settle::Held;
use super::shard::Shard;

/// Batches that may wait; more wait to get in.
pub(super) const QUEUE: usize = 1024;

/// Commits what comes until nobody can send any more, and all that came is answered.
pub(super) async fn run(shard: Arc<Shard>, mut queue: mpsc::Receiver<Job>) {
    let mut waiting = VecDeque::new();
    // Jobs that wait for another process's transaction; they hold up no others.
    let mut settling: FuturesUnordered<BoxFuture<'static, Job>> = FuturesUnordered::new();
    loop {
        if waiting.is_empty() {
            tokio::select! {
                Some(job) = queue.recv() => waiting.push_back(job),
                Some(job) = settling.next() => waiting.push_back(job),
                else => break,
            }
        }
        while let Ok(job) = queue.try_recv() {
            waiting.push_back(job);
        }
        while let Some(Some(job)) = settling.next().now_or_never() {
            waiting.push_back(job);
        }
        let group = group::take(&mut waiting);
        for mut job in commit::commit(&shard, group).await.into_iter().rev() {
            match job.after.take() {
                Some(held) => settling.push(settled(shard.clone(), held, job).boxed()),
                None => waiting.push_front(job),
            }
        }
    }
}

/// A job once the place it waits for is free; or where that cannot be found out: then it finds so itself.
async fn settled(shard: Arc<Shard>, held: Held, job: Job) -> Job {
    if let Err(error) = shard.settle(&held, None).await {
        tracing::warn!(%error, "a transaction of another process could not be settled");
    }
    job
}
