//! The one task of a tenant in this process that commits: takes what waits, group by group. What a commit is, is
//! `commit`'s.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::commit;
use super::group::{self, Job};
use super::settle::Held;
use super::shard::Shard;

/// Batches that may wait; more wait to get in.
pub(super) const QUEUE: usize = 1024;

/// Commits what comes until nobody can send any more, and all that came is answered.
pub(super) async fn run(shard: Arc<Shard>, mut queue: mpsc::Receiver<Job>) {
    let mut waiting = VecDeque::new();
    // Jobs that wait for another process's transaction; they hold up no others. Each is a task, and goes on while a group
    // is committed: a future that nobody polls could keep the log from being read.
    let mut settling: JoinSet<Job> = JoinSet::new();
    loop {
        if waiting.is_empty() {
            tokio::select! {
                Some(job) = queue.recv() => waiting.push_back(job),
                Some(job) = settling.join_next() => waiting.extend(job),
                else => break,
            }
        }
        while let Ok(job) = queue.try_recv() {
            waiting.push_back(job);
        }
        while let Some(job) = settling.try_join_next() {
            waiting.extend(job);
        }
        let group = group::take(&mut waiting);
        for mut job in commit::commit(&shard, group).await.into_iter().rev() {
            match job.after.take() {
                Some(held) => {
                    settling.spawn(settled(shard.clone(), held, job));
                }
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
