//! JSON files: a Bundle each, several at a time. A file with another resource is loaded as a line of NDJSON is.

use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::destination::Refused;
use super::resume::Done;
use super::sources::Source;
use super::{Load, LoadError, lines};

/// Loads files, in no order among themselves.
///
/// # Errors
/// The destination is gone.
pub(super) fn load(load: &Load<'_>, sources: &[&Source]) -> Result<(), LoadError> {
    let next = AtomicUsize::new(0);
    let gone: Mutex<Option<LoadError>> = Mutex::new(None);
    let work = || {
        while let Some(source) = sources.get(next.fetch_add(1, Relaxed)) {
            if let Err(error) = file(load, source) {
                next.store(sources.len(), Relaxed);
                *gone.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..load.jobs.min(sources.len()) {
            scope.spawn(work);
        }
        work();
    });
    gone.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "resourceType", default)]
    resource_type: String,
    #[serde(flatten)]
    _rest: std::collections::HashMap<String, IgnoredAny>,
}

fn file(load: &Load<'_>, source: &Source) -> Result<(), LoadError> {
    let fault = |error| LoadError::Path { path: source.path.clone(), error };
    let digest = source.digest().map_err(fault)?;
    if load.record.of(&digest) == Done::All {
        load.tally.passed_over.fetch_add(1, Relaxed);
        load.read.fetch_add(source.bytes, Relaxed);
        return Ok(());
    }
    let mut body = Vec::new();
    source.open(&load.read).and_then(|mut reader| reader.read_to_end(&mut body)).map_err(fault)?;
    let place = source.path.display().to_string();
    let is_bundle = serde_json::from_slice::<Kind>(&body).is_ok_and(|kind| kind.resource_type == "Bundle");
    let whole = if is_bundle {
        bundle(load, &place, body)?
    } else {
        let before = load.tally.failed.load(Relaxed);
        lines::single(load, &place, &body)?;
        before == load.tally.failed.load(Relaxed)
    };
    if whole {
        load.remember(&digest, Done::All);
    }
    load.show();
    Ok(())
}

/// Whether all of it was stored.
fn bundle(load: &Load<'_>, place: &str, body: Vec<u8>) -> Result<bool, LoadError> {
    let entries = match load.destination.bundle(body) {
        Ok(entries) => entries,
        Err(Refused::Issues(issues)) => {
            load.fault(place, &issues);
            return Ok(false);
        }
        Err(Refused::Gone(error)) => return Err(error),
    };
    let mut whole = true;
    for (number, entry) in entries.iter().enumerate() {
        match entry.imported() {
            Ok(imported) => load.count(imported),
            Err(issues) => {
                whole = false;
                load.fault(&format!("{place}: entry {number}"), &issues);
            }
        }
    }
    Ok(whole)
}
