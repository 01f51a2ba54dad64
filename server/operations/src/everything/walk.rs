//! Goes through compartments, from a position on, until a page is full.

use std::ops::Bound;

use interaction::{Caller, Failure, Mode, Service};
use rustc_hash::FxHashSet;
use store::{Key, Query, Version};

use super::position::{Position, Within};
use super::referred::{References, owners};
use super::request::Request;
use super::subjects::Subjects;
use super::{WHOLE_BYTES, scope};

/// Resources asked of the store at once.
const STEP: usize = 200;
/// Most subjects that one page looks at; a page may so have fewer resources than asked for, and a next one.
const MAX_SUBJECTS: usize = 100;

/// A page of everything.
#[derive(Default)]
pub(super) struct Page {
    pub(super) entries: Vec<(Version, Mode)>,
    /// Where the next begins.
    pub(super) next: Option<Position>,
    /// About how long it is.
    pub(super) bytes: usize,
    keys: FxHashSet<Key>,
}

impl Page {
    /// A resource in several compartments is on a page once.
    fn push(&mut self, version: Version, mode: Mode) {
        if self.keys.insert(version.key.clone()) {
            self.bytes += version.body.len() + 192;
            self.entries.push((version, mode));
        }
    }

    fn room(&self, limit: usize) -> usize {
        if self.bytes >= WHOLE_BYTES { 0 } else { limit.saturating_sub(self.entries.len()) }
    }
}

/// What is walked through.
pub(super) struct Walk<'a> {
    service: &'a Service,
    caller: &'a Caller,
    request: &'a Request,
    subjects: &'a Subjects,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        service: &'a Service,
        caller: &'a Caller,
        request: &'a Request,
        subjects: &'a Subjects,
    ) -> Walk<'a> {
        Walk { service, caller, request, subjects }
    }

    /// The resources from a position on, at most `limit`.
    ///
    /// # Errors
    /// `too-costly` when a compartment refers to too much; the store failed.
    pub(super) async fn page(&self, from: Option<Position>, limit: usize) -> Result<Page, Failure> {
        let mut page = Page::default();
        let (mut next, mut looked_at) = (from, 0);
        while let Some(mut position) = next {
            if page.room(limit) == 0 || looked_at == MAX_SUBJECTS {
                page.next = Some(position);
                break;
            }
            let done = self.subject(&mut position, &mut page, limit).await?;
            if !done {
                page.next = Some(position);
                break;
            }
            looked_at += 1;
            next = self.subjects.after(self.service, self.caller, position).await?;
        }
        Ok(page)
    }

    /// Adds what a subject has from a position on. Whether that was all; if not, the position is where to go on.
    async fn subject(&self, position: &mut Position, page: &mut Page, limit: usize) -> Result<bool, Failure> {
        let mut references = None;
        if let Within::Compartment(after) = &position.within {
            // What is seen from its beginning to its end need not be walked through again for what it refers to.
            let complete = after.is_none() && self.request.types.is_empty() && self.request.since.is_none();
            let mut seen = complete.then(|| References::new(self.service, self.caller));
            if !self.compartment(position, page, limit, &mut seen).await? {
                return Ok(false);
            }
            references = seen;
        }
        self.referred(position, references, page, limit).await
    }

    /// Adds the compartment from a position on. Whether that was all.
    async fn compartment(
        &self,
        position: &mut Position,
        page: &mut Page,
        limit: usize,
        seen: &mut Option<References<'_>>,
    ) -> Result<bool, Failure> {
        let wants = |name: &str| self.request.wants(name);
        let filter = scope::filter(self.service, &position.subject, self.request, &wants)?;
        let mut query = all(scope::since(filter, self.request.since));
        while let Within::Compartment(after) = &mut position.within {
            query.after = after.take();
            query.limit = page.room(limit).min(STEP);
            if query.limit == 0 {
                *after = query.after;
                return Ok(false);
            }
            let found = self.service.store.search(&self.caller.tenant, &self.caller.access, &query).await?;
            for version in found.matches {
                if let Some(references) = seen {
                    references.add(&version)?;
                }
                page.push(version, Mode::Match);
            }
            position.within = match found.next {
                Some(next) => Within::Compartment(Some(next)),
                None => Within::Referred(None),
            };
        }
        Ok(true)
    }

    /// Adds what the compartment refers to, from a position on. Whether that was all.
    async fn referred(
        &self,
        position: &mut Position,
        seen: Option<References<'_>>,
        page: &mut Page,
        limit: usize,
    ) -> Result<bool, Failure> {
        let references = match seen {
            Some(references) => references,
            None => self.references(&position.subject).await?,
        };
        let patients = owners(self.service, self.caller, &position.subject).await?;
        let found = references.follow(&patients).await?;
        let Within::Referred(after) = &mut position.within else { return Ok(true) };
        let start = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let since = |version: &Version| {
            self.request.since.is_none_or(|since| version.last_updated.0.saturating_mul(1000) >= since)
        };
        let wanted =
            |(key, version): &(&Key, &Version)| self.request.wants(key.resource_type()) && since(version);
        let mut last = None;
        for (key, version) in found.range::<Key, _>((start, Bound::Unbounded)).filter(wanted) {
            if page.room(limit) == 0 {
                if last.is_some() {
                    *after = last;
                }
                return Ok(false);
            }
            last = Some(key.clone());
            page.push(version.clone(), Mode::Include);
        }
        Ok(true)
    }

    /// What the whole compartment refers to, whichever part of it is asked for.
    async fn references(&self, subject: &Key) -> Result<References<'a>, Failure> {
        let mut references = References::new(self.service, self.caller);
        let mut query = all(scope::filter(self.service, subject, self.request, &|_| true)?);
        query.limit = STEP;
        loop {
            let found = self.service.store.search(&self.caller.tenant, &self.caller.access, &query).await?;
            for version in &found.matches {
                references.add(version)?;
            }
            match found.next {
                Some(next) => query.after = Some(next),
                None => return Ok(references),
            }
        }
    }
}

fn all(filter: store::Filter) -> Query {
    Query { resource_type: None, filter, sort: Vec::new(), after: None, limit: 0, total: false }
}
