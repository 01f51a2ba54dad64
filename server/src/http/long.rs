//! Work that is known to be long must not hold up the requests that wait for the same thread: others take them over while it
//! lasts. That costs some microseconds, so reads and small bodies are worked on where they are.

use std::pin::pin;

use tokio::runtime::{Handle, RuntimeFlavor};

/// To parse, check and index a body of more than these bytes takes longer than a read by far: from about a millisecond up.
pub(super) const BODY: usize = 64 << 10;

/// Runs a future to its end; where it is long, so that other requests go on meanwhile. What it waits for, it waits for as any
/// other does.
pub(crate) async fn run<T>(is_long: bool, work: impl Future<Output = T>) -> T {
    if !is_long || Handle::current().runtime_flavor() != RuntimeFlavor::MultiThread {
        return work.await;
    }
    let mut work = pin!(work);
    std::future::poll_fn(|context| tokio::task::block_in_place(|| work.as_mut().poll(context))).await
}

/// The same for work that waits for nothing.
pub(crate) fn block<T>(is_long: bool, work: impl FnOnce() -> T) -> T {
    if !is_long || Handle::current().runtime_flavor() != RuntimeFlavor::MultiThread {
        return work();
    }
    tokio::task::block_in_place(work)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    /// On one thread, what waits behind long work goes on, and behind other work does not.
    #[test]
    fn others_go_on() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
        for (is_long, expected) in [(true, true), (false, false)] {
            let started = Instant::now();
            let (long, other) = runtime.block_on(async {
                let long = tokio::spawn(async move {
                    // Its neighbour starts to wait for the same thread before it blocks it.
                    tokio::task::yield_now().await;
                    run(is_long, async { std::thread::sleep(Duration::from_millis(500)) }).await;
                    started.elapsed()
                });
                let other = tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    started.elapsed()
                });
                (long.await.unwrap(), other.await.unwrap())
            });
            assert_eq!(other < long, expected, "long: {is_long}, {other:?} {long:?}");
        }
    }
}
