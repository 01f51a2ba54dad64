//! What a request has read so far, and what it needs next.

use std::sync::Arc;

use fhirpath::{Issue, IssueType, Tree};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::limits::{MAX_RESOURCES, MAX_ROUNDS, MAX_SEARCHES};
use crate::resources::{Page, Resources, Search};
use crate::response::Refusal;

/// Resources and pages, by what was asked for.
#[derive(Default)]
pub(crate) struct Loaded {
    pub reads: FxHashMap<String, Option<Arc<Tree>>>,
    pub searches: FxHashMap<Search, Arc<Page>>,
    /// What the mutations left, in their order.
    pub changes: Vec<Option<Arc<Tree>>>,
    rounds: usize,
    resources: usize,
}

/// What is to be read next, each once, in the order it was met.
#[derive(Default)]
pub(crate) struct Needs {
    reads: Vec<String>,
    searches: Vec<Search>,
    known_reads: FxHashSet<String>,
    known_searches: FxHashSet<Search>,
}

impl Needs {
    pub fn read(&mut self, reference: &str) {
        if self.known_reads.insert(reference.to_owned()) {
            self.reads.push(reference.to_owned());
        }
    }

    pub fn search(&mut self, search: Search) {
        if self.known_searches.insert(search.clone()) {
            self.searches.push(search);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.reads.is_empty() && self.searches.is_empty()
    }
}

impl Loaded {
    /// Reads all that is needed, at once.
    pub async fn load(&mut self, needs: Needs, resources: &dyn Resources) -> Result<(), Refusal> {
        self.rounds += 1;
        if self.rounds > MAX_ROUNDS {
            return Err(too_costly(format!("The query follows more than {MAX_ROUNDS} references in a row.")));
        }
        self.count(needs.reads.len())?;
        if self.searches.len() + needs.searches.len() > MAX_SEARCHES {
            return Err(too_costly(format!("The query needs more than {MAX_SEARCHES} searches.")));
        }
        if !needs.reads.is_empty() {
            let found = resources.read(&needs.reads).await?;
            expect(found.len(), needs.reads.len())?;
            self.reads.extend(needs.reads.into_iter().zip(found));
        }
        if !needs.searches.is_empty() {
            let found = resources.search(&needs.searches).await?;
            expect(found.len(), needs.searches.len())?;
            self.count(found.iter().map(|page| page.matches.len()).sum())?;
            self.searches.extend(needs.searches.into_iter().zip(found));
        }
        Ok(())
    }

    fn count(&mut self, more: usize) -> Result<(), Refusal> {
        self.resources += more;
        match self.resources > MAX_RESOURCES {
            true => Err(too_costly(format!("The query reads more than {MAX_RESOURCES} resources."))),
            false => Ok(()),
        }
    }
}

fn too_costly(details: String) -> Refusal {
    Refusal::new(IssueType::TooCostly, details)
}

/// An answer for each question.
fn expect(found: usize, asked: usize) -> Result<(), Issue> {
    match found == asked {
        true => Ok(()),
        false => {
            Err(Issue::error(IssueType::Exception, "The store answered other questions than were asked."))
        }
    }
}
