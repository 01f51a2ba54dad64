//! Faults: which requests meet one, and what happens to them. Knows no connections; see `host` for those.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::Operation;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "effect")]
pub enum Effect {
    /// It is answered with an error; nothing is done.
    Refused {
        /// The HTTP status.
        status: u16,
        /// `x-ms-substatus`; 0 for none.
        #[serde(default)]
        substatus: u32,
        /// `x-ms-retry-after-ms`.
        #[serde(default)]
        retry_after_ms: Option<u64>,
    },
    /// The connection ends; nothing is done.
    Dropped,
    /// It is done after a while.
    Late {
        /// How long it waits, ms.
        ms: u64,
    },
    /// It is done; then the connection ends without an answer.
    Lost,
    /// It is done, and answered with an error.
    Misanswered {
        /// The HTTP status.
        status: u16,
    },
    /// It is done; the answer comes after a while.
    AnsweredLate {
        /// How long the answer waits, ms.
        ms: u64,
    },
}

/// A fault: of the requests that are of one of `operations`, and whose partition key has the text `key`, the first `skip`
/// pass; then every `every`-th meets the effect, until it has happened `times` times.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// What happens.
    pub effect: Effect,
    /// Kinds of requests; empty for all that touch documents.
    #[serde(default)]
    pub operations: Vec<Operation>,
    /// A part of the partition key as JSON, such as `"$log"`.
    #[serde(default)]
    pub key: Option<String>,
    /// How many pass first.
    #[serde(default)]
    pub skip: u64,
    /// Each how-many-th is met.
    #[serde(default = "one")]
    pub every: u64,
    /// How often it happens; `None`: until it is ended.
    #[serde(default)]
    pub times: Option<u64>,
}

fn one() -> u64 {
    1
}

impl Fault {
    /// One that every request for documents meets, until it is ended.
    pub fn new(effect: Effect) -> Fault {
        Fault { effect, operations: Vec::new(), key: None, skip: 0, every: 1, times: None }
    }

    /// 429, with the wait that the service asks for.
    pub fn throttled(retry_after_ms: u64) -> Fault {
        Fault::new(Effect::Refused { status: 429, substatus: 3200, retry_after_ms: Some(retry_after_ms) })
    }

    /// 503.
    pub fn unavailable() -> Fault {
        Fault::new(Effect::Refused { status: 503, substatus: 0, retry_after_ms: None })
    }

    /// Only these kinds of requests.
    #[must_use]
    pub fn on(mut self, operations: &[Operation]) -> Fault {
        self.operations = operations.to_vec();
        self
    }

    /// Only where the partition key has this text.
    #[must_use]
    pub fn of(mut self, key: &str) -> Fault {
        self.key = Some(key.to_owned());
        self
    }

    /// After so many.
    #[must_use]
    pub fn after(mut self, skip: u64) -> Fault {
        self.skip = skip;
        self
    }

    /// Each so-many-th.
    #[must_use]
    pub fn every(mut self, every: u64) -> Fault {
        self.every = every;
        self
    }

    /// So many times.
    #[must_use]
    pub fn times(mut self, times: u64) -> Fault {
        self.times = Some(times);
        self
    }

    fn concerns(&self, operation: Operation, key: &str) -> bool {
        let kinds: &[Operation] =
            if self.operations.is_empty() { &Operation::DOCUMENTS } else { &self.operations };
        kinds.contains(&operation) && self.key.as_ref().is_none_or(|part| key.contains(part.as_str()))
    }
}

/// A fault that happens, or has.
#[derive(Debug, Clone)]
pub struct Injected(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    fault: Fault,
    seen: AtomicU64,
    happened: AtomicU64,
}

impl Injected {
    /// How often it happened.
    pub fn happened(&self) -> u64 {
        self.0.happened.load(Relaxed)
    }

    pub(crate) fn fault(&self) -> &Fault {
        &self.0.fault
    }
}

/// The faults of an account.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    all: Mutex<Vec<Injected>>,
}

impl Faults {
    pub(crate) fn add(&self, fault: Fault) -> Injected {
        let counted = Counted { fault, seen: AtomicU64::new(0), happened: AtomicU64::new(0) };
        let injected = Injected(Arc::new(counted));
        self.all.lock().unwrap_or_else(PoisonError::into_inner).push(injected.clone());
        injected
    }

    pub(crate) fn clear(&self) {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(crate) fn all(&self) -> Vec<Injected> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a request meets: the effect of the first fault that is due. Each fault counts it, met or not.
    pub(crate) fn meet(&self, operation: Operation, key: &str) -> Option<Effect> {
        // The lock is held throughout: counts of requests that come together stay exact.
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let mut met = None;
        for Injected(counted) in all.iter() {
            let fault = &counted.fault;
            if !fault.concerns(operation, key) {
                continue;
            }
            let seen = counted.seen.fetch_add(1, Relaxed);
            let due = seen >= fault.skip && (seen - fault.skip) % fault.every.max(1) == 0;
            let left = fault.times.is_none_or(|times| counted.happened.load(Relaxed) < times);
            if met.is_none() && due && left {
                counted.happened.fetch_add(1, Relaxed);
                met = Some(fault.effect);
            }
        }
        met
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_meets_those_it_names() {
        let check = |fault: Fault, expected: &str| {
            let faults = Faults::default();
            let injected = faults.add(fault);
            let requests = [
                (Operation::Create, r#"["t","Patient","1"]"#),
                (Operation::Create, r#"["t","$log","0"]"#),
                (Operation::Read, r#"["t","Patient","1"]"#),
                (Operation::Create, r#"["t","Patient","2"]"#),
                (Operation::Batch, r#"["t","Patient","2"]"#),
                (Operation::Metadata, ""),
            ];
            let met: String = requests
                .iter()
                .map(|(operation, key)| if faults.meet(*operation, key).is_some() { 'x' } else { '.' })
                .collect();
            assert_eq!(met, expected);
            assert_eq!(injected.happened(), met.matches('x').count() as u64);
        };
        let lost = || Fault::new(Effect::Lost);
        check(lost(), "xxxxx.");
        check(lost().on(&[Operation::Create]), "xx.x..");
        check(lost().on(&Operation::WRITES), "xx.xx.");
        check(lost().of("$log"), ".x....");
        check(lost().after(1), ".xxxx.");
        check(lost().every(2), "x.x.x.");
        check(lost().times(2), "xx....");
        check(lost().after(1).every(2).times(1).on(&[Operation::Create]), ".x....");
        check(lost().on(&[Operation::Metadata]), ".....x");
    }

    #[test]
    fn a_fault_is_written_as_json() {
        let text = r#"{"effect":{"effect":"refused","status":429,"retry_after_ms":5},"operations":["create"],"times":3}"#;
        let fault: Fault = serde_json::from_str(text).unwrap();
        let refused = Effect::Refused { status: 429, substatus: 0, retry_after_ms: Some(5) };
        assert_eq!(fault.effect, refused);
        assert_eq!((fault.operations, fault.times, fault.every), (vec![Operation::Create], Some(3), 1));
        assert!(serde_json::from_str::<Fault>(r#"{"effect":{"effect":"lost"},"time":3}"#).is_err());
    }
}
