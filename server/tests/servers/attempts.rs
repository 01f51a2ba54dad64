//! What clients tried, and what they were told.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::support::Answer;

/// What a client knows of its transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged: these versions, as `Type/id` and number.
    Done(Vec<(String, u64)>),
    /// Refused: nothing of it may be there.
    Refused,
    /// The server was killed before it answered: all of it or nothing.
    Unknown,
    /// Under way.
    Sent,
}

/// A transaction. Its resources carry its name and how many they are as tags.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub name: String,
    pub size: usize,
    pub outcome: Outcome,
    /// Whether it only makes resources, which stay as they are: `Basic/<name>-<number>`.
    pub lasting: bool,
}

/// All attempts, in the order they began.
#[derive(Default)]
pub struct Attempts {
    all: Mutex<Vec<Attempt>>,
    done: AtomicU64,
    writers: AtomicU64,
}

impl Attempts {
    /// Begins one; its number.
    pub fn begin(&self, name: &str, size: usize, lasting: bool) -> usize {
        let mut all = self.all.lock().unwrap();
        all.push(Attempt { name: name.to_owned(), size, outcome: Outcome::Sent, lasting });
        all.len() - 1
    }

    pub fn end(&self, number: usize, outcome: Outcome) {
        if matches!(outcome, Outcome::Done(_)) {
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        self.all.lock().unwrap()[number].outcome = outcome;
    }

    /// How many were acknowledged.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// A writer has ended.
    pub fn writer_ended(&self) {
        self.writers.fetch_add(1, Ordering::Relaxed);
    }

    /// How many writers have ended.
    pub fn writers(&self) -> u64 {
        self.writers.load(Ordering::Relaxed)
    }

    pub fn all(&self) -> Vec<Attempt> {
        self.all.lock().unwrap().clone()
    }

    /// The lasting ones among the latest.
    pub fn latest(&self, count: usize) -> Vec<Attempt> {
        let all = self.all.lock().unwrap();
        all.iter().rev().take(count).filter(|attempt| attempt.lasting).cloned().collect()
    }
}

/// What the answer to a transaction says of it.
///
/// # Panics
/// For an answer that no transaction here may get.
pub fn outcome(name: &str, answer: &io::Result<Answer>) -> Outcome {
    let Ok(answer) = answer else { return Outcome::Unknown };
    match answer.status {
        200 => {
            let bundle = answer.json();
            let entries = bundle["entry"].as_array().unwrap_or_else(|| panic!("{name}: {bundle}"));
            Outcome::Done(entries.iter().map(|entry| version(&entry["response"]["location"])).collect())
        }
        409 | 412 => Outcome::Refused,
        status => panic!("{name} was answered with {status}: {}", answer.text()),
    }
}

/// `Basic/1/_history/3`, with or without a base before it.
pub fn version(location: &serde_json::Value) -> (String, u64) {
    let location = location.as_str().unwrap_or_else(|| panic!("{location} is no location"));
    let (path, version) = location.split_once("/_history/").unwrap();
    let mut parts = path.rsplit('/');
    let (id, resource_type) = (parts.next().unwrap(), parts.next().unwrap());
    (format!("{resource_type}/{id}"), version.parse().unwrap())
}
