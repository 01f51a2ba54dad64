//! How many requests an address, or an app, may send: buckets that fill with time, in the memory of this process. What is over is
//! answered 429 with `Retry-After` (RFC 6585 section 4).

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use axum::http::StatusCode;
use fhirpath::IssueType;

use super::refusal::Refusal;
use crate::config::Config;

/// The most senders that are remembered; then those who have not used anything are forgotten.
const MAX_KNOWN: usize = 100_000;
/// Of an IPv6 address, what a provider gives one customer: the first 64 bits.
const CUSTOMER: u128 = !0 << 64;

/// The limits of a server.
pub struct Limits {
    addresses: Option<Buckets<IpAddr>>,
    /// By tenant and client_id.
    clients: Option<Buckets<(String, String)>>,
}

impl Limits {
    /// What a configuration says.
    pub fn new(config: &Config) -> Limits {
        Limits {
            addresses: Buckets::per_minute(config.rate_limit_address),
            clients: Buckets::per_minute(config.rate_limit_client),
        }
    }

    /// Counts a request of an address.
    ///
    /// # Errors
    /// 429: it has sent too many.
    pub fn address(&self, address: IpAddr) -> Result<(), Refusal> {
        let Some(buckets) = &self.addresses else { return Ok(()) };
        let customer = match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & CUSTOMER)),
            address => address,
        };
        buckets.take(customer, Instant::now()).map_err(|wait_s| {
            let details = format!(
                "Too many requests come from this address: {} in a minute are answered (rate_limit_address).",
                buckets.size
            );
            throttled(details, wait_s)
        })
    }

    /// Counts a request of an app of a tenant.
    ///
    /// # Errors
    /// 429: it has sent too many.
    pub fn client(&self, tenant: &str, client: &str) -> Result<(), Refusal> {
        let Some(buckets) = &self.clients else { return Ok(()) };
        buckets.take((tenant.to_owned(), client.to_owned()), Instant::now()).map_err(|wait_s| {
            let details = format!(
                "This app sends too many requests: {} in a minute are answered (rate_limit_client).",
                buckets.size
            );
            throttled(details, wait_s)
        })
    }

    /// How many requests were refused: by address, by app.
    pub fn refused(&self) -> [u64; 2] {
        let of = |count: Option<&AtomicU64>| count.map_or(0, |count| count.load(Relaxed));
        [
            of(self.addresses.as_ref().map(|buckets| &buckets.refused)),
            of(self.clients.as_ref().map(|buckets| &buckets.refused)),
        ]
    }
}

fn throttled(details: String, wait_s: u32) -> Refusal {
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, IssueType::Throttled, details).retry_after(wait_s)
}

/// A bucket for each sender: a whole minute's requests at once, and from then on as many as come in with time.
struct Buckets<K> {
    size: u32,
    known: Mutex<HashMap<K, Bucket>>,
    refused: AtomicU64,
}

struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    /// What is left at a time.
    fn filled(&self, size: f64, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        (self.left + since * size / 60.0).min(size)
    }
}

impl<K: Hash + Eq> Buckets<K> {
    /// `None` for 0, which is no limit.
    fn per_minute(size: u32) -> Option<Buckets<K>> {
        (size > 0).then(|| Buckets { size, known: Mutex::default(), refused: AtomicU64::new(0) })
    }

    /// Takes one; else in how many seconds there will be one.
    fn take(&self, key: K, now: Instant) -> Result<(), u32> {
        let size = f64::from(self.size);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN && !known.contains_key(&key) {
            known.retain(|_, bucket| bucket.filled(size, now) < size);
        }
        if known.len() >= MAX_KNOWN && !known.contains_key(&key) {
            // Who they are cannot be told apart any more: all begin anew.
            known.clear();
        }
        let bucket = known.entry(key).or_insert(Bucket { left: size, at: now });
        *bucket = Bucket { left: bucket.filled(size, now), at: now };
        if bucket.left >= 1.0 {
            bucket.left -= 1.0;
            return Ok(());
        }
        self.refused.fetch_add(1, Relaxed);
        // At most 60, for a size of one.
        let wait_s = ((1.0 - bucket.left) * 60.0 / size).ceil();
        Err((1..=60).find(|seconds| f64::from(*seconds) >= wait_s).unwrap_or(60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_bucket_fills_with_time() {
        let buckets = Buckets::per_minute(3).unwrap();
        let start = Instant::now();
        let take = |key: &'static str, ms: u64| buckets.take(key, start + Duration::from_millis(ms));
        for _ in 0..3 {
            assert_eq!(take("a", 0), Ok(()));
        }
        assert_eq!(take("a", 0), Err(20));
        assert_eq!(take("b", 0), Ok(()), "another's is another");
        assert_eq!(take("a", 15_000), Err(5));
        assert_eq!(take("a", 20_000), Ok(()));
        assert_eq!(take("a", 20_500), Err(20));
        assert_eq!(take("a", 600_000), Ok(()));
        assert_eq!(buckets.refused.load(Relaxed), 3);
        assert!(Buckets::<u8>::per_minute(0).is_none());
    }

    #[test]
    fn a_customer_is_one_however_many_addresses_it_has() {
        let addresses = Buckets::per_minute(1);
        let limits = Limits { addresses, clients: None };
        let asked = |address: &str| limits.address(address.parse().unwrap()).is_ok();
        assert!(asked("2001:db8:0:1::1") && !asked("2001:db8:0:1:ffff::9") && asked("2001:db8:0:2::1"));
        assert!(asked("192.0.2.1") && !asked("::ffff:192.0.2.1") && asked("192.0.2.2"));
        assert_eq!(limits.refused(), [2, 0]);
    }
}
