//! The profiles, code systems, value sets and concept maps that a tenant stored, and the tables of code systems that it
//! imported, as validation and terminology ask for them. They ask without waiting, so what is not at hand yet is noted,
//! fetched, and the question asked again. Judges nothing.

mod pieces;

use std::cell::RefCell;
use std::cmp::Ordering;
use std::sync::atomic::{self, AtomicU64};
use std::sync::{Arc, PoisonError, RwLock};

use conformance::resources::{Resources, Unavailable};
use conformance::terminology::CodeTables;
use fhirpath::{IssueType, Tree, tree::Limits};
use rustc_hash::{FxHashMap, FxHashSet};
use store::{Timestamp, Version, Write};

use crate::code_tables;
use crate::criteria::Criteria;
use crate::{Caller, Failure, Service, Status};
use pieces::{Held, Piece, Pieces};

/// The types that define what others must be.
const TYPES: [&str; 4] = ["StructureDefinition", "ValueSet", "CodeSystem", "ConceptMap"];
/// Bounds on what is remembered: URLs come from requests. Beyond them all is forgotten.
const MAX_KNOWN: usize = 4_096;
const MAX_BYTES: usize = 64 << 20;
/// How long what is remembered counts where other servers write to the same store, milliseconds.
const FRESH_MS: i64 = 30_000;
/// How often a question is asked again with more definitions: each may name others. How often with more pieces of tables,
/// [`pieces::MAX_PIECES`] bounds.
const ROUNDS: usize = 64;
/// Most versions of one definition that are looked at.
const VERSIONS: usize = 100;

/// What a definition is asked for by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Canonical {
    resource_type: Box<str>,
    url: Box<str>,
    version: Option<Box<str>>,
}

thread_local! {
    /// Of the question that this thread asks.
    static ASKED: RefCell<Asked> = RefCell::default();
}

/// What a question found missing, and the pieces of tables that it was given.
#[derive(Default)]
struct Asked {
    missed: FxHashSet<Canonical>,
    missed_pieces: FxHashSet<Piece>,
    pieces: Pieces,
}

/// The definitions of a tenant.
#[derive(Default)]
pub(crate) struct StoredDefinitions {
    known: RwLock<Known>,
    generation: AtomicU64,
    /// Never forgotten for what is written: the pieces that a name stands for stay the same.
    held: Held,
}

#[derive(Default)]
struct Known {
    found: FxHashMap<Canonical, Option<Arc<Tree>>>,
    bytes: usize,
    /// How often all was forgotten: what was fetched before is not remembered after.
    epoch: u64,
    /// When the first of them was fetched.
    since: Option<Timestamp>,
}

impl Resources for StoredDefinitions {
    fn by_canonical(
        &self,
        resource_type: &str,
        url: &str,
        version: Option<&str>,
    ) -> Result<Option<Arc<Tree>>, Unavailable> {
        let canonical = Canonical {
            resource_type: resource_type.into(),
            url: url.into(),
            version: version.map(Into::into),
        };
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        match known.found.get(&canonical) {
            Some(found) => Ok(found.clone()),
            None => {
                ASKED.with_borrow_mut(|asked| asked.missed.insert(canonical));
                Ok(None)
            }
        }
    }

    fn generation(&self) -> u64 {
        self.generation.load(atomic::Ordering::Acquire)
    }
}

impl StoredDefinitions {
    /// Asks a question until nothing that it needs is missing.
    ///
    /// # Errors
    /// The store failed, or the definitions name others without end, or it needs too many pieces of tables.
    pub(crate) async fn ask<T>(
        &self,
        service: &Service,
        caller: &Caller,
        question: impl Fn() -> T,
    ) -> Result<T, Failure> {
        if service.store.is_metered() {
            self.freshen((service.clock)());
        }
        let (mut rounds, mut pieces) = (0, Pieces::default());
        loop {
            let asked = match attempt(&question, pieces) {
                Ok(answer) => return Ok(answer),
                Err(asked) => asked,
            };
            pieces = asked.pieces;
            pieces::fetch(service, caller, asked.missed_pieces, &self.held, &mut pieces).await?;
            if !asked.missed.is_empty() {
                rounds += 1;
                if rounds >= ROUNDS {
                    let details = "The definitions that this needs name too many others.";
                    return Err(Failure::new(Status::Unprocessable, IssueType::TooCostly, details));
                }
                self.fetch(service, caller, asked.missed).await?;
            }
        }
    }

    async fn fetch(
        &self,
        service: &Service,
        caller: &Caller,
        missed: FxHashSet<Canonical>,
    ) -> Result<(), Failure> {
        let epoch = self.known.read().unwrap_or_else(PoisonError::into_inner).epoch;
        let mut fetched = Vec::with_capacity(missed.len());
        for canonical in missed.into_iter().take(MAX_KNOWN) {
            let found = find(service, caller, &canonical).await?;
            fetched.push((canonical, found));
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.epoch != epoch {
            return Ok(());
        }
        known.since.get_or_insert((service.clock)());
        for (canonical, found) in fetched {
            if known.found.len() >= MAX_KNOWN || known.bytes > MAX_BYTES {
                known.forget();
            }
            known.bytes += found.as_ref().map_or(0, |(_, bytes)| *bytes);
            if found.is_some() {
                self.generation.fetch_add(1, atomic::Ordering::Release);
            }
            known.found.insert(canonical, found.map(|(tree, _)| tree));
        }
        Ok(())
    }

    fn freshen(&self, now: Timestamp) {
        let since = self.known.read().unwrap_or_else(PoisonError::into_inner).since;
        if since.is_some_and(|since| now.0.saturating_sub(since.0) > FRESH_MS) {
            self.forget();
        }
    }

    /// Has all be fetched anew.
    pub(crate) fn forget(&self) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).forget();
        self.generation.fetch_add(1, atomic::Ordering::Release);
    }
}

impl Known {
    fn forget(&mut self) {
        *self = Known { epoch: self.epoch + 1, ..Known::default() };
    }
}

impl CodeTables for StoredDefinitions {
    /// Which table there is, the stored code system says.
    fn table(&self, url: &str, version: Option<&str>) -> Result<Option<String>, Unavailable> {
        let system = self.by_canonical("CodeSystem", url, version)?;
        Ok(system.and_then(|system| code_tables::table_of(&system)))
    }

    fn piece(&self, table: &str, number: u32) -> Result<Option<Arc<[u8]>>, Unavailable> {
        let piece = Piece { table: table.into(), number };
        if let Some(held) = self.held.get(&piece) {
            return Ok(Some(held));
        }
        ASKED.with_borrow_mut(|asked| match asked.pieces.get(&piece) {
            Some(found) => Ok(found.clone()),
            None => {
                asked.missed_pieces.insert(piece);
                Err(Unavailable("a piece of a table is not at hand yet".to_owned()))
            }
        })
    }

    /// Which table counts depends on the stored code systems alone.
    fn generation(&self) -> u64 {
        Resources::generation(self)
    }
}

/// The answer, or what was missing for it.
fn attempt<T>(question: impl Fn() -> T, pieces: Pieces) -> Result<T, Asked> {
    ASKED.replace(Asked { pieces, ..Asked::default() });
    let answer = question();
    let asked = ASKED.take();
    match asked.missed.is_empty() && asked.missed_pieces.is_empty() {
        true => Ok(answer),
        false => Err(asked),
    }
}

/// Whether one of the writes is of a definition.
pub(crate) fn defines(writes: &[Write]) -> bool {
    writes.iter().any(|write| TYPES.contains(&write.key().resource_type()))
}

/// The stored definition, with its size in bytes.
async fn find(
    service: &Service,
    caller: &Caller,
    canonical: &Canonical,
) -> Result<Option<(Arc<Tree>, usize)>, Failure> {
    let mut url = String::with_capacity(canonical.url.len());
    for character in canonical.url.chars() {
        if matches!(character, '\\' | ',' | '|' | '$') {
            url.push('\\');
        }
        url.push(character);
    }
    // What cannot be searched for is no URL that a definition has.
    let Ok(criteria) = Criteria::new(service, &canonical.resource_type, &[("url".to_owned(), url)]) else {
        return Ok(None);
    };
    let mut best: Option<(bool, Option<String>, Version, Tree)> = None;
    for version in criteria.find_all(service, caller, VERSIONS).await? {
        let tree = Tree::parse_json(&service.definitions.schema, version.body.to_vec(), &Limits::DEFAULT)
            .map_err(|_| Failure::internal(&"a stored definition cannot be read"))?;
        let own = tree.root().get("version").and_then(|it| it.value()).map(|it| it.into_owned());
        if canonical.version.as_deref().is_some_and(|wanted| own.as_deref() != Some(wanted)) {
            continue;
        }
        // An imported code system counts before what somebody says of it.
        let has_table = code_tables::table_of(&tree).is_some();
        let is_better = best.as_ref().is_none_or(|(other_has_table, other, current, _)| {
            let by_version = compare(own.as_deref(), other.as_deref());
            let by_time = version.last_updated.cmp(&current.last_updated);
            has_table.cmp(other_has_table).then(by_version).then(by_time) == Ordering::Greater
        });
        if is_better {
            best = Some((has_table, own, version, tree));
        }
    }
    Ok(best.map(|(_, _, version, tree)| (Arc::new(tree), version.body.len())))
}

/// Which of two versions is the later: `10.0` is later than `9.1`.
fn compare(one: Option<&str>, other: Option<&str>) -> Ordering {
    let parts = |text: Option<&str>| -> Vec<(u64, String)> {
        let parts = text.into_iter().flat_map(|text| text.split(['.', '-']));
        parts.map(|part| (part.parse().unwrap_or(0), part.to_owned())).collect()
    };
    parts(one).cmp(&parts(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_version() {
        for (one, other, expected) in [
            (Some("10.0"), Some("9.1"), Ordering::Greater),
            (Some("1.0"), Some("1.0.1"), Ordering::Less),
            (None, Some("1"), Ordering::Less),
            (Some("4.0.1"), Some("4.0.1"), Ordering::Equal),
            (Some("2020-02"), Some("2019-12"), Ordering::Greater),
        ] {
            assert_eq!(compare(one, other), expected, "{one:?} {other:?}");
        }
    }
}
