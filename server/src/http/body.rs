//! Request bodies: each is read up to a bound, and the large ones together up to another, so that many at a time cannot take
//! all memory. Never looks into them.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use fhirpath::IssueType;
use http_body_util::BodyExt;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::encoding::Coding;
use super::long;
use super::refusal::Refusal;

/// A body up to this many bytes is read without asking for a share.
const SMALL: usize = 1 << 20;
/// A body waits this long for its share.
const WAIT: Duration = Duration::from_secs(5);
/// When a client that got none may come again, seconds.
const RETRY_AFTER_S: u32 = 5;

/// What large bodies may hold together.
pub(super) struct Budget {
    /// One permit is 1 KiB.
    free: Semaphore,
    kib: u32,
    wait: Duration,
}

/// The part of the budget that a body holds until its request is answered; none for a small body.
pub(super) struct Share<'b> {
    permit: Option<SemaphorePermit<'b>>,
}

impl Budget {
    /// Of so many bytes, rounded up to 1 KiB.
    pub(super) fn new(bytes: usize) -> Budget {
        let kib = kib(bytes).max(1);
        Budget { free: Semaphore::new(kib as usize), kib, wait: WAIT }
    }

    /// Reads a body, up to `limit` bytes. A length that was announced is refused before anything is read.
    ///
    /// # Errors
    /// 413 when it is longer, 400 when the connection breaks, 503 when others hold the budget for too long.
    pub(super) async fn collect(
        &self,
        mut incoming: Body,
        limit: usize,
    ) -> Result<(Vec<u8>, Share<'_>), Refusal> {
        let hint = incoming.size_hint();
        let announced = usize::try_from(hint.exact().unwrap_or(0)).unwrap_or(usize::MAX);
        if announced > limit {
            return Err(too_large(limit));
        }
        let mut share = Share::none();
        if announced > SMALL {
            share = self.share(announced).await?;
        }
        let mut first: Option<Bytes> = None;
        let mut all = BytesMut::new();
        while let Some(frame) = incoming.frame().await {
            let Ok(frame) = frame else {
                let details = "The body ended before its announced length.";
                return Err(Refusal::new(StatusCode::BAD_REQUEST, IssueType::Invalid, details));
            };
            let Ok(data) = frame.into_data() else { continue };
            let length = all.len() + first.as_ref().map_or(0, Bytes::len) + data.len();
            if length > limit {
                return Err(too_large(limit));
            }
            if length > SMALL && share.permit.is_none() {
                // How long it gets is not known. Asking bit by bit could have all wait for each other.
                share = self.share(limit).await?;
            }
            match (first.take(), all.is_empty()) {
                // Most bodies arrive in one piece, which need not be copied together.
                (None, true) => first = Some(data),
                (Some(held), _) => {
                    all.reserve(announced.max(held.len() + data.len()));
                    all.extend_from_slice(&held);
                    all.extend_from_slice(&data);
                }
                (None, false) => all.extend_from_slice(&data),
            }
        }
        let body = first.map_or_else(|| Vec::from(all), Vec::from);
        share.shrink(kib(body.len()));
        Ok((body, share))
    }

    /// Undoes the coding of a body, up to `limit` bytes of what it says.
    ///
    /// # Errors
    /// As [`Budget::collect`], and 400 where the coding is broken.
    pub(super) async fn decode<'b>(
        &'b self,
        coding: Coding,
        encoded: Vec<u8>,
        held: Share<'b>,
        limit: usize,
    ) -> Result<(Vec<u8>, Share<'b>), Refusal> {
        if let Some(body) = coding.decode(&encoded, SMALL.min(limit))? {
            return Ok((body, Share::none()));
        }
        // Not known how long it gets. What it holds it gives back first, or all could wait for each other.
        drop(held);
        let mut share = self.share(limit).await?;
        let body = long::block(true, || coding.decode(&encoded, limit))?.ok_or_else(|| too_large(limit))?;
        share.shrink(kib(body.len()));
        Ok((body, share))
    }

    /// Waits for a share. One for more than the whole budget is the whole budget.
    async fn share(&self, bytes: usize) -> Result<Share<'_>, Refusal> {
        let wanted = self.free.acquire_many(kib(bytes).min(self.kib));
        match tokio::time::timeout(self.wait, wanted).await {
            Ok(Ok(permit)) => Ok(Share { permit: Some(permit) }),
            Ok(Err(_)) | Err(_) => Err(exhausted()),
        }
    }
}

impl Share<'_> {
    /// Of nothing.
    pub(super) fn none() -> Self {
        Share { permit: None }
    }

    /// Gives back what the body did not need.
    fn shrink(&mut self, needed: u32) {
        if let Some(permit) = &mut self.permit {
            let surplus = permit.num_permits().saturating_sub(needed as usize);
            drop(permit.split(surplus));
        }
    }
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

fn too_large(limit: usize) -> Refusal {
    let details = format!(
        "The body has more than the {limit} bytes that are read (max_body_bytes); send less at a time."
    );
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, IssueType::TooLong, details)
}

fn exhausted() -> Refusal {
    let details = "Too many large bodies are being worked on (max_bodies_bytes); send this one again later.";
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, IssueType::Throttled, details).retry_after(RETRY_AFTER_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 8 * SMALL;

    fn budget(bytes: usize) -> Budget {
        Budget { wait: Duration::from_millis(20), ..Budget::new(bytes) }
    }

    fn announced(length: usize) -> Body {
        Body::from(vec![b'x'; length])
    }

    /// A body whose length is not known before its end.
    fn unannounced(length: usize) -> Body {
        Body::new(announced(length).map_frame(|frame| frame))
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    fn refused<T>(result: Result<T, Refusal>) -> (u16, Option<u32>, Vec<String>) {
        let Err(refusal) = result else { panic!("it was read") };
        let texts = refusal.issues.iter().map(|issue| format!("{:?}: {}", issue.code, issue.details));
        (refusal.status.as_u16(), refusal.retry_after_s, texts.collect())
    }

    #[test]
    fn large_bodies_share() {
        run(async {
            let budget = budget(3 * SMALL);
            for body in [announced as fn(usize) -> Body, unannounced] {
                let (read, _held) = budget.collect(body(2 * SMALL), LIMIT).await.unwrap();
                assert_eq!(read.len(), 2 * SMALL);
                assert_eq!(budget.free.available_permits(), 1024);
                let full = "Throttled: Too many large bodies are being worked on (max_bodies_bytes); send this one again later.";
                let none = refused(budget.collect(body(2 * SMALL), LIMIT).await);
                assert_eq!(none, (503, Some(5), vec![full.to_owned()]));
                let (small, _) = budget.collect(body(SMALL), LIMIT).await.unwrap();
                assert_eq!(small.len(), SMALL, "a small body needs no share");
            }
            assert_eq!(budget.free.available_permits(), 3 * 1024, "all is given back");
            let (whole, held) = budget.collect(announced(4 * SMALL), LIMIT).await.unwrap();
            assert_eq!(whole.len(), 4 * SMALL, "more than the budget goes alone");
            assert_eq!(budget.free.available_permits(), 0);
            drop(held);
        });
    }

    #[test]
    fn a_share_that_comes_free_is_taken() {
        run(async {
            let budget = Budget::new(2 * SMALL);
            let (_, held) = budget.collect(announced(2 * SMALL), LIMIT).await.unwrap();
            let free = async {
                tokio::time::sleep(Duration::from_millis(10)).await;
                drop(held);
            };
            let (second, ()) = tokio::join!(budget.collect(announced(2 * SMALL), LIMIT), free);
            assert_eq!(second.unwrap().0.len(), 2 * SMALL);
        });
    }

    #[test]
    fn too_long() {
        run(async {
            let budget = budget(SMALL);
            for body in [announced(11), unannounced(11)] {
                let text = "TooLong: The body has more than the 10 bytes that are read (max_body_bytes); send less at a time.";
                assert_eq!(refused(budget.collect(body, 10).await), (413, None, vec![text.to_owned()]));
            }
        });
    }
}
