//! The store as an export reads it: by the caller's rights, and each resource in the version that was current at the snapshot.
//!
//! Searches see what is current. What they find unchanged since the snapshot is given as it is; what was changed or deleted
//! since is found in the history, and its older version looked at.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bulk::{ExportError, Ids, Level, Page, Request, Source, Wanted};
use bytes::Bytes;
use conformance::SearchParameter;
use fhirpath::tree::Subset;
use fhirpath::{Issue, IssueType};
use interaction::{Caller, Failure, Handling, Service, Status};
use search::ParseContext;
use store::{
    Comparison, Cursor, Entries, Filter, HistoryPage, HistoryQuery, HistoryScope, Key, ParameterId,
    Predicate, Query, StoreError, Timestamp, Value, Version,
};

use super::fulfils::{Candidate, tree};

/// Most resources of a page.
const STEP: usize = 500;
/// About how many bytes of resources are read at once: a page has fewer where those before it were large.
const PAGE_BYTES: usize = 4 << 20;
/// Changes looked at at once.
const CHANGES: usize = 200;
/// How often a store that is throttled or away is asked again.
const TRIES: u32 = 8;
/// In the compartment of whatever it is about.
const PROVENANCE: &str = "Provenance";
/// How long to wait for a store that is away.
const PAUSE: Duration = Duration::from_secs(2);

/// The record of a tenant, for one export.
pub struct Records {
    pub(super) service: Service,
    pub(super) caller: Caller,
    /// The searches of `_typeFilter`, by type.
    filters: Vec<(String, Filter)>,
    step: AtomicUsize,
}

impl Records {
    /// The record, by the rights of a caller.
    ///
    /// # Errors
    /// BadRequest for a `_typeFilter` that is no search, with `http._typeFilter`.
    pub fn new(
        service: Service,
        caller: Caller,
        request: &Request,
        snapshot_ms: i64,
    ) -> Result<Records, Failure> {
        let (mut filters, mut faults) = (Vec::new(), Vec::new());
        for (resource_type, query) in &request.filters {
            match compile(&service, resource_type, query, snapshot_ms) {
                Ok(filter) => filters.push((resource_type.clone(), filter)),
                Err(issues) => faults.extend(issues),
            }
        }
        if !faults.is_empty() {
            return Err(Failure::of(Status::BadRequest, faults));
        }
        Ok(Records { service, caller, filters, step: AtomicUsize::new(STEP) })
    }

    /// What a resource must fulfil besides being of a patient.
    fn asked(&self, wanted: &Wanted<'_>) -> Filter {
        let mut all = Vec::new();
        let of_type = self.filters.iter().filter(|(name, _)| name == wanted.resource_type);
        let any: Vec<Filter> = of_type.map(|(_, filter)| filter.clone()).collect();
        if !any.is_empty() {
            all.push(Filter::Or(any));
        }
        let Request { since_ms, until_ms, .. } = wanted.request;
        all.extend(since_ms.map(|ms| last_updated(Comparison::GreaterOrEqual, ms.saturating_mul(1000))));
        all.extend(until_ms.map(|ms| last_updated(Comparison::LessOrEqual, ms.saturating_mul(1000) + 999)));
        Filter::And(all)
    }

    /// What the index finds of the compartments of some patients; everything where none are named.
    fn of_patients(&self, wanted: &Wanted<'_>, ids: Option<&[String]>) -> Filter {
        let Some(ids) = ids.filter(|_| wanted.request.level != Level::System) else { return Filter::All };
        let resource_type = wanted.resource_type;
        let targets: Vec<Box<str>> = ids.iter().map(|id| format!("Patient/{id}").into()).collect();
        let mut any = self.refer_to(resource_type, &targets);
        if resource_type == "Patient" {
            any.push(Filter::Ids(ids.iter().map(|id| id.as_str().into()).collect()));
        }
        if let (PROVENANCE, Some(parameter)) = (resource_type, self.parameter(PROVENANCE, "target")) {
            let definitions = &self.service.definitions;
            let types = definitions.resource_types().iter().filter(|name| *name != PROVENANCE);
            let of = |name: &String| (name.as_str().into(), Filter::Or(self.refer_to(name, &targets)));
            let linked = types.filter(|name| !self.memberships(name).is_empty()).map(of).collect();
            any.push(Filter::Chain { parameter, targets: linked });
        }
        Filter::Or(any)
    }

    fn refer_to(&self, resource_type: &str, targets: &[Box<str>]) -> Vec<Filter> {
        let refers = |parameter| Filter::Match(parameter, Predicate::Reference(targets.to_vec()));
        self.membership_ids(resource_type).into_iter().map(refers).collect()
    }

    fn parameter(&self, resource_type: &str, code: &str) -> Option<ParameterId> {
        let found = self.service.definitions.search_parameters.get(resource_type, code)?;
        Some(self.service.index.id(found))
    }

    /// The reference parameters that put a type into a patient's compartment.
    fn memberships(&self, resource_type: &str) -> Vec<&SearchParameter> {
        let definitions = &self.service.definitions;
        let codes = definitions.compartments.parameters("Patient", resource_type).unwrap_or_default();
        codes.iter().filter_map(|code| definitions.search_parameters.get(resource_type, code)).collect()
    }

    fn membership_ids(&self, resource_type: &str) -> Vec<ParameterId> {
        let all = self.memberships(resource_type).into_iter();
        all.map(|parameter| self.service.index.id(parameter)).collect()
    }

    /// Whether a version is in the compartment of one of some patients, of any where none are named; or, of a Provenance, whether
    /// something that it is about was.
    async fn is_member(
        &self,
        wanted: &Wanted<'_>,
        candidate: &Candidate<'_>,
        among: Option<&HashSet<&str>>,
    ) -> Result<bool, ExportError> {
        if wanted.request.level == Level::System || self.is_of(candidate, among) {
            return Ok(true);
        }
        let target = self.parameter(PROVENANCE, "target").filter(|_| wanted.resource_type == PROVENANCE);
        for (id, value) in candidate.values() {
            let (true, Value::Reference(text)) = (Some(id) == target, value) else { continue };
            let Some(key) = Key::parse(text) else { continue };
            let Some(version) = self.as_of(&key, wanted.snapshot_ms).await? else { continue };
            if !version.is_deleted() && self.is_of(&self.candidate(&version)?, among) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a version is in the compartment of any patient. Asked of each resource of an export of all: only what decides is read.
    fn is_anyones(&self, version: &Version) -> Result<bool, ExportError> {
        if memchr::memmem::find(&version.body, b"Patient/").is_none() {
            return Ok(false);
        }
        let mut entries = Entries::new();
        let tree = tree(&self.service, version).map_err(failed)?;
        let memberships = self.memberships(version.key.resource_type());
        self.service.index.entries_of(&memberships, &tree, &mut entries);
        let refers =
            |value: Value<'_>| matches!(value, Value::Reference(text) if text.starts_with("Patient/"));
        Ok(entries.iter().any(|(_, value)| refers(value)))
    }

    fn is_of(&self, candidate: &Candidate<'_>, among: Option<&HashSet<&str>>) -> bool {
        let is_among = |id: &str| among.is_none_or(|among| among.contains(id));
        let key = candidate.key();
        let memberships = self.membership_ids(key.resource_type());
        let refers = |(id, value): (ParameterId, Value<'_>)| {
            let Value::Reference(text) = value else { return false };
            memberships.contains(&id) && text.strip_prefix("Patient/").is_some_and(is_among)
        };
        (key.resource_type() == "Patient" && is_among(key.id())) || candidate.values().any(refers)
    }

    fn candidate<'v>(&'v self, version: &'v Version) -> Result<Candidate<'v>, ExportError> {
        Candidate::new(&self.service, &self.caller, version).map_err(failed)
    }

    pub(super) async fn search(&self, query: &Query) -> Result<store::Page, ExportError> {
        self.patiently(|| self.service.store.search(&self.caller.tenant, &self.caller.access, query)).await
    }

    async fn history(&self, query: &HistoryQuery) -> Result<HistoryPage, ExportError> {
        self.patiently(|| self.service.store.history(&self.caller.tenant, &self.caller.access, query)).await
    }

    /// Asks the store, and again where it says so.
    async fn patiently<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        ask: impl Fn() -> F,
    ) -> Result<T, ExportError> {
        let mut tries = 0;
        loop {
            let pause = match ask().await {
                Err(StoreError::Throttled { after }) => after,
                Err(StoreError::Unavailable(_) | StoreError::Moving(_)) => PAUSE,
                Err(error) => return Err(failed(error)),
                Ok(found) => return Ok(found),
            };
            tries += 1;
            if tries == TRIES {
                let details = "The store was not available for too long; ask for the export again.";
                return Err(Issue::error(IssueType::Transient, details).into());
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// The version of a resource that was current at a time, deleted or not.
    pub(super) async fn as_of(&self, key: &Key, time_ms: i64) -> Result<Option<Version>, ExportError> {
        let time = Timestamp(time_ms);
        let query = HistoryQuery {
            scope: HistoryScope::Instance(key.clone()),
            since: None,
            at: Some((time, time)),
            after: None,
            limit: 1,
        };
        Ok(self.history(&query).await?.versions.into_iter().next())
    }

    /// The ids of the resources of a type that were there at a time; `None` where there are more than so many.
    pub(super) async fn ids_at(
        &self,
        resource_type: &str,
        time_ms: i64,
        most: usize,
    ) -> Result<Option<Vec<String>>, ExportError> {
        let mut ids = BTreeSet::new();
        let mut changed = BTreeSet::new();
        let mut query = all_of(resource_type, STEP);
        loop {
            let page = self.search(&query).await?;
            for version in page.matches {
                let of = if version.last_updated.0 <= time_ms { &mut ids } else { &mut changed };
                of.insert(version.key.id().to_owned());
            }
            query.after = page.next;
            if query.after.is_none() || ids.len() > most {
                break;
            }
        }
        let mut after: Option<Cursor> = None;
        loop {
            let page = self.changes(resource_type, time_ms + 1, after.as_ref().map(|it| &*it.0)).await?;
            changed.extend(page.versions.iter().map(|version| version.key.id().to_owned()));
            after = page.next;
            if after.is_none() || changed.len() > most {
                break;
            }
        }
        for id in changed {
            let then = self.as_of(&Key::new(resource_type, &id), time_ms).await?;
            if then.is_some_and(|version| !version.is_deleted()) {
                ids.insert(id);
            }
        }
        Ok((ids.len() <= most).then(|| ids.into_iter().collect()))
    }

    /// The changes to a type since a time, newest first.
    async fn changes(
        &self,
        resource_type: &str,
        since_ms: i64,
        after: Option<&[u8]>,
    ) -> Result<HistoryPage, ExportError> {
        let query = HistoryQuery {
            scope: HistoryScope::Type(resource_type.into()),
            since: Some(Timestamp(since_ms)),
            at: None,
            after: after.map(|bytes| Cursor(bytes.into())),
            limit: CHANGES,
        };
        self.history(&query).await
    }

    /// Whether a version is of the patients of an export, and fulfils a filter.
    async fn fulfils(
        &self,
        wanted: &Wanted<'_>,
        version: &Version,
        filter: &Filter,
    ) -> Result<bool, ExportError> {
        let candidate = self.candidate(version)?;
        let among = wanted.patients.map(|ids| ids.iter().map(String::as_str).collect::<HashSet<_>>());
        Ok(candidate.fulfils(filter).await.map_err(failed)?
            && self.is_member(wanted, &candidate, among.as_ref()).await?)
    }

    /// Whether a resource that the index found is one of a page: not given with an earlier patient, and where no patients are
    /// named, of any.
    async fn is_given(
        &self,
        wanted: &Wanted<'_>,
        version: &Version,
        before: &HashSet<&str>,
    ) -> Result<bool, ExportError> {
        let is_everyones = wanted.request.level != Level::System && wanted.patients.is_none();
        match (is_everyones, wanted.resource_type) {
            (_, "Patient") => Ok(true),
            (true, PROVENANCE) => self.is_member(wanted, &self.candidate(version)?, None).await,
            (true, _) => self.is_anyones(version),
            (false, PROVENANCE) if !before.is_empty() => {
                Ok(!self.is_member(wanted, &self.candidate(version)?, Some(before)).await?)
            }
            // Of one patient only: the one that it was found by.
            (false, _) if before.is_empty() || names_one_patient(&version.body) => Ok(true),
            (false, _) => Ok(!self.is_of(&self.candidate(version)?, Some(before))),
        }
    }

    /// The line of a resource.
    fn line(&self, wanted: &Wanted<'_>, version: &Version) -> Result<Bytes, ExportError> {
        let Some(elements) = wanted.request.elements_of(wanted.resource_type) else {
            return Ok(version.body.clone());
        };
        let tree = tree(&self.service, version).map_err(failed)?;
        let mut out = Vec::with_capacity(version.body.len());
        tree.write_subset(&Subset::Elements(elements), &mut out);
        Ok(out.into())
    }

    /// How many resources the next page has, by the size of those of this one.
    fn adapt(&self, page: &[Version]) {
        let bytes: usize = page.iter().map(|version| version.body.len()).sum();
        let each = bytes.checked_div(page.len()).unwrap_or(0).max(1);
        self.step.store((PAGE_BYTES / each).clamp(1, STEP), Ordering::Relaxed);
    }
}

#[async_trait]
impl Source for Records {
    async fn page(&self, wanted: &Wanted<'_>, after: Option<&[u8]>) -> Result<Page, ExportError> {
        let part = wanted.patients.and_then(|ids| ids.get(wanted.part.clone()));
        let query = Query {
            resource_type: Some(wanted.resource_type.into()),
            filter: Filter::And(vec![self.of_patients(wanted, part), self.asked(wanted)]),
            sort: Vec::new(),
            after: after.map(|bytes| Cursor(bytes.into())),
            limit: self.step.load(Ordering::Relaxed),
            total: false,
        };
        let found = self.search(&query).await?;
        self.adapt(&found.matches);
        let before = wanted.patients.and_then(|ids| ids.get(..wanted.part.start)).unwrap_or_default();
        let before: HashSet<&str> = before.iter().map(String::as_str).collect();
        let mut page = Page { resources: Vec::with_capacity(found.matches.len()), next: None };
        for version in &found.matches {
            if version.last_updated.0 <= wanted.snapshot_ms && self.is_given(wanted, version, &before).await?
            {
                page.resources.push(self.line(wanted, version)?);
            }
        }
        page.next = found.next.map(|cursor| cursor.0.into_vec());
        Ok(page)
    }

    async fn changed(&self, wanted: &Wanted<'_>, after: Option<&[u8]>) -> Result<Ids, ExportError> {
        let found = self.changes(wanted.resource_type, wanted.snapshot_ms + 1, after).await?;
        // Before its first version there was nothing.
        let older = found.versions.iter().filter(|version| version.version > 1);
        let ids = older.map(|version| version.key.id().to_owned()).collect();
        Ok(Ids { ids, next: found.next.map(|cursor| cursor.0.into_vec()) })
    }

    async fn at_snapshot(&self, wanted: &Wanted<'_>, ids: &[String]) -> Result<Vec<Bytes>, ExportError> {
        let filter = self.asked(wanted);
        let mut lines = Vec::new();
        for id in ids {
            let found = self.as_of(&Key::new(wanted.resource_type, id), wanted.snapshot_ms).await?;
            if let Some(version) = found.filter(|version| !version.is_deleted())
                && self.fulfils(wanted, &version, &filter).await?
            {
                lines.push(self.line(wanted, &version)?);
            }
        }
        Ok(lines)
    }

    async fn referred(&self, wanted: &Wanted<'_>, ids: &[String]) -> Result<Vec<Bytes>, ExportError> {
        let asked = self.asked(wanted);
        let mut lines = Vec::new();
        for id in ids {
            let found = self.as_of(&Key::new(wanted.resource_type, id), wanted.snapshot_ms).await?;
            let Some(version) = found.filter(|version| !version.is_deleted()) else { continue };
            let candidate = self.candidate(&version)?;
            if !self.is_of(&candidate, None) && candidate.fulfils(&asked).await.map_err(failed)? {
                lines.push(self.line(wanted, &version)?);
            }
        }
        Ok(lines)
    }

    async fn deleted(&self, wanted: &Wanted<'_>, after: Option<&[u8]>) -> Result<Ids, ExportError> {
        let since_ms = wanted.request.since_ms.unwrap_or(wanted.snapshot_ms);
        let last_ms = wanted.request.until_ms.unwrap_or(i64::MAX).min(wanted.snapshot_ms);
        let found = self.changes(wanted.resource_type, since_ms, after).await?;
        let whole = Request { since_ms: None, until_ms: None, ..wanted.request.clone() };
        let whole = Wanted { request: &whole, ..wanted.clone() };
        let filter = self.asked(&whole);
        let mut ids = Vec::new();
        let in_time = found.versions.iter().filter(|version| version.last_updated.0 <= last_ms);
        for deletion in in_time.filter(|version| version.is_deleted()) {
            let (key, number) = (&deletion.key, deletion.version);
            let was_last = self.as_of(key, wanted.snapshot_ms).await?;
            if was_last.is_none_or(|last| last.version != number) {
                continue;
            }
            let before = self
                .patiently(|| {
                    let (tenant, access) = (&self.caller.tenant, &self.caller.access);
                    self.service.store.vread(tenant, access, key, number.saturating_sub(1))
                })
                .await?;
            if let Some(before) = before.filter(|before| !before.is_deleted())
                && self.fulfils(&whole, &before, &filter).await?
            {
                ids.push(key.id().to_owned());
            }
        }
        Ok(Ids { ids, next: found.next.map(|cursor| cursor.0.into_vec()) })
    }

    async fn dictionary(&self, types: &[String]) -> Result<Bytes, ExportError> {
        super::dictionary::of(self, types).await
    }

    fn local(&self, reference: &str) -> Option<(String, String)> {
        let key = self.service.index.local_target(reference)?;
        Some((key.resource_type().to_owned(), key.id().to_owned()))
    }
}

/// The first page of all resources of a type.
pub(super) fn all_of(resource_type: &str, limit: usize) -> Query {
    Query {
        resource_type: Some(resource_type.into()),
        filter: Filter::All,
        sort: Vec::new(),
        after: None,
        limit,
        total: false,
    }
}

/// Whether a resource's text names no more than one patient.
fn names_one_patient(body: &[u8]) -> bool {
    const NAME: &[u8] = b"Patient/";
    let ends = |byte: &u8| !byte.is_ascii_alphanumeric() && !matches!(byte, b'-' | b'.');
    let ids = memchr::memmem::find_iter(body, NAME).map(|at| {
        let rest = body.get(at + NAME.len()..).unwrap_or_default();
        rest.split(ends).next().unwrap_or_default()
    });
    let mut ids = ids.peekable();
    let first = ids.peek().copied();
    ids.all(|id| Some(id) == first)
}

fn last_updated(comparison: Comparison, time_us: i64) -> Filter {
    Filter::LastUpdated(comparison, time_us, time_us)
}

/// A search of `_typeFilter`. What shapes a page of results means nothing for files.
fn compile(
    service: &Service,
    resource_type: &str,
    query: &str,
    snapshot_ms: i64,
) -> Result<Filter, Vec<Issue>> {
    const OF_PAGES: [&str; 11] = [
        "_contained",
        "_containedType",
        "_sort",
        "_count",
        "_include",
        "_revinclude",
        "_summary",
        "_elements",
        "_total",
        "_cursor",
        "_explain",
    ];
    const PLACE: &str = "http._typeFilter";
    let placed = |issue: Issue| Issue { expression: None, ..issue }.at(PLACE);
    let parameters = crate::http::parameters::Parameters::read(Some(query))
        .map_err(|refusal| refusal.issues.into_iter().map(placed).collect::<Vec<_>>())?;
    let of_page = parameters
        .others
        .iter()
        .find(|(name, _)| OF_PAGES.contains(&name.split(':').next().unwrap_or_default()));
    if let Some((name, _)) = of_page {
        let details = format!("A _typeFilter takes search parameters; {name} shapes pages of results.");
        return Err(vec![Issue::error(IssueType::Invalid, details).at(PLACE)]);
    }
    let context = ParseContext {
        index: &service.index,
        handling: Handling::Strict,
        now: snapshot_ms.saturating_mul(1000),
        default_count: 1,
        max_count: 1,
        terminology: None,
    };
    let request = search::parse(&context, Some(resource_type), None, &parameters.others)
        .map_err(|issues| issues.into_iter().map(placed).collect::<Vec<_>>())?;
    if request.query.filter.asks_texts() {
        let details = "A _typeFilter takes no texts (_text, _content): they are searched as they are now, not as they \
                       were at the snapshot.";
        return Err(vec![Issue::error(IssueType::NotSupported, details).at(PLACE)]);
    }
    Ok(request.query.filter)
}

/// What a client is told when the store fails.
fn failed(error: StoreError) -> ExportError {
    let failure = Failure::from(error);
    let issue = failure.issues.into_iter().next();
    issue.unwrap_or_else(|| Issue::error(IssueType::Exception, "The store failed.")).into()
}
