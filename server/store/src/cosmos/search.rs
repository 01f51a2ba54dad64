//! Runs searches: follows chains, reads what the queries find, keeps what the snapshot sees and what fulfils the
//! plan, and puts it in order. Everything that is found is checked on the entries of its body, so the index fields
//! decide what is read, never what is found.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::Value as Json;
use text::Snapshot as Texts;

use super::container::Scope;
use super::document::Document;
use super::order::{Beside, Components, birth, component, position, read_cursor, time};
use super::plan::{Elsewhere, Keys, Plan, Resource, and, elsewhere, or};
use super::shard::Shard;
use super::sql::{Writer, parts};
use super::tail::{Seen, Snapshot};
use super::texts;
use super::walk::{Axis, Merged, Walk, Way};
use crate::cursor;
use crate::texts::scores;
use crate::{
    Access, Entries, Filter, Key, Page, ParameterId, Query, SortBy, SortKey, StoreError, Timestamp, Value,
    Version,
};

/// Longest that a search may take. Superseded versions are found for twice as long.
const LONGEST: Duration = Duration::from_secs(60);

/// How many resources one query names.
const IDS: usize = 256;

/// A page of matches.
pub(super) async fn run(
    shard: &Shard,
    snapshot: &Snapshot,
    access: &Access,
    query: &Query,
    texts: Option<&Texts>,
) -> Result<Page, StoreError> {
    read_cursor(query)?;
    let mut attempt = Attempt { texts, ..Attempt::new(shard, snapshot) };
    loop {
        let found = attempt.search(access).page(query).await;
        if let Some(page) = attempt.settle(found).await? {
            return Ok(page);
        }
    }
}

/// Whether any current resource of the type that the caller may see fulfils a filter.
pub(super) async fn any_match(
    shard: &Shard,
    snapshot: &Snapshot,
    access: &Access,
    resource_type: &str,
    filter: &Filter,
) -> Result<bool, StoreError> {
    let mut attempt = Attempt::new(shard, snapshot);
    loop {
        let found = attempt.search(access).any(resource_type, filter).await;
        if let Some(any) = attempt.settle(found).await? {
            return Ok(any);
        }
    }
}

/// Whether a resource fulfils a rule of the access decision: one that is stored, or is to be.
pub(super) async fn fulfils(
    shard: &Shard,
    snapshot: &Snapshot,
    rule: &Filter,
    resource: &Resource<'_>,
) -> Result<bool, StoreError> {
    let open = Access::unrestricted();
    let mut attempt = Attempt::new(shard, snapshot);
    loop {
        let plan =
            attempt.search(&open).plan(Asker::Decision, Some(resource.key.resource_type()), rule).await;
        if let Some(plan) = attempt.settle(plan).await? {
            return Ok(plan.holds(resource));
        }
    }
}

/// The values of reference parameters on current resources that the caller may see, each once, in the order met.
pub(super) async fn references(
    shard: &Shard,
    snapshot: &Snapshot,
    access: &Access,
    from: &[Key],
    parameters: &[ParameterId],
) -> Result<Vec<Box<str>>, StoreError> {
    let mut attempt = Attempt::new(shard, snapshot);
    let entries = loop {
        let found = attempt.search(access).entries(from).await;
        if let Some(entries) = attempt.settle(found).await? {
            break entries;
        }
    };
    let (mut seen, mut targets) = (FxHashSet::default(), Vec::new());
    for entries in from.iter().filter_map(|key| entries.get(key)) {
        for parameter in parameters {
            for (_, value) in entries.iter().filter(|entry| entry.0 == *parameter) {
                if let Value::Reference(target) = value
                    && seen.insert(target)
                {
                    targets.push(target.into());
                }
            }
        }
    }
    Ok(targets)
}

/// Why a search stops.
enum Stop {
    /// It met a version of which the log may have more to say.
    Unknown,
    Failed(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Stop {
        Stop::Failed(error)
    }
}

/// Searches at a snapshot; if that does not know enough, or another process has committed since, once more at a fresh one.
struct Attempt<'s> {
    shard: &'s Shard,
    texts: Option<&'s Texts>,
    snapshot: Snapshot,
    fresh: bool,
    started: Instant,
}

impl<'s> Attempt<'s> {
    fn new(shard: &'s Shard, snapshot: &Snapshot) -> Attempt<'s> {
        Attempt { shard, texts: None, snapshot: snapshot.clone(), fresh: false, started: Instant::now() }
    }

    fn search<'a>(&'a self, access: &'a Access) -> Search<'a> {
        let Attempt { shard, texts, snapshot, fresh, started } = self;
        Search { shard, snapshot, access, texts: *texts, fresh: *fresh, started: *started }
    }

    /// What was found, unless the search is to be run again.
    async fn settle<T>(&mut self, found: Result<T, Stop>) -> Result<Option<T>, StoreError> {
        match found {
            Ok(found) => Ok(Some(found)),
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Unknown) if self.fresh => {
                Err(StoreError::Unavailable("the log of the tenant cannot be read".into()))
            }
            Err(Stop::Unknown) => {
                self.snapshot = self.shard.refresh().await?;
                self.fresh = true;
                Ok(None)
            }
        }
    }
}

/// One search at one snapshot.
struct Search<'s> {
    shard: &'s Shard,
    snapshot: &'s Snapshot,
    access: &'s Access,
    /// The index of texts, if the query asks of any.
    texts: Option<&'s Texts>,
    /// Whether what the snapshot does not know is not committed.
    fresh: bool,
    started: Instant,
}

/// Whose question a filter is.
#[derive(Debug, Clone, Copy)]
enum Asker {
    /// The caller's: chains lead only through what may be seen.
    Caller,
    /// The access decision's own: it sees everything. Were it held to itself, a rule with a chain would have no end.
    Decision,
}

/// Where to read, and what of it counts.
struct Ready {
    scope: Scope,
    plan: Plan,
}

/// What takes matches.
trait Sink: Send {
    /// Whether it asks for entries, besides what the plan does.
    fn needs_entries(&self) -> bool;
    /// Takes one.
    fn take(&mut self, resource: &Resource<'_>, found: Match);
    /// Whether those that come later cannot matter.
    fn is_enough(&self) -> bool;
}

/// A match; its version if it was needed.
struct Match {
    document: Document,
    version: Option<Version>,
}

/// The matches that a page needs.
struct Found<'q> {
    sort: &'q [SortKey],
    beside: Beside<'q>,
    after: Option<&'q [u8]>,
    room: usize,
    /// By position.
    kept: BTreeMap<Vec<u8>, Match>,
    /// With so many it is enough, because they come in order.
    full: Option<usize>,
    /// The births of all matches, if they are to be counted.
    all: Option<FxHashSet<String>>,
}

impl<'q> Found<'q> {
    fn new(sort: &'q [SortKey], after: Option<&'q [u8]>, room: usize) -> Found<'q> {
        Found { sort, beside: Beside::default(), after, room, kept: BTreeMap::new(), full: None, all: None }
    }
}

impl Sink for Found<'_> {
    fn needs_entries(&self) -> bool {
        self.sort
            .iter()
            .any(|key| matches!(key.by, SortBy::Parameter(_) | SortBy::Score | SortBy::Chain { .. }))
    }

    fn take(&mut self, resource: &Resource<'_>, found: Match) {
        let position = position(self.sort, resource, &found.document.b, &self.beside);
        if let Some(all) = &mut self.all {
            all.insert(found.document.b.clone());
        }
        if self.after.is_some_and(|after| *position <= *after) {
            return;
        }
        self.kept.insert(position, found);
        if self.kept.len() > self.room {
            self.kept.pop_last();
        }
    }

    fn is_enough(&self) -> bool {
        self.full.is_some_and(|full| self.kept.len() >= full)
    }
}

/// The keys of all matches.
#[derive(Default)]
struct Named(FxHashSet<Box<str>>);

impl Sink for Named {
    fn needs_entries(&self) -> bool {
        false
    }

    fn take(&mut self, resource: &Resource<'_>, _: Match) {
        self.0.insert(resource.key.as_str().into());
    }

    fn is_enough(&self) -> bool {
        false
    }
}

/// What the matches point to by a parameter.
struct Referred {
    parameter: ParameterId,
    targets: FxHashSet<Box<str>>,
}

impl Sink for Referred {
    fn needs_entries(&self) -> bool {
        true
    }

    fn take(&mut self, resource: &Resource<'_>, _: Match) {
        let values = resource.entries.iter().filter(|entry| entry.0 == self.parameter);
        self.targets.extend(values.filter_map(|(_, value)| match value {
            Value::Reference(target) => Some(Box::from(target)),
            _ => None,
        }));
    }

    fn is_enough(&self) -> bool {
        false
    }
}

/// What all matches sort by.
struct Sorted<'q> {
    by: &'q SortBy,
    descending: bool,
    /// What they lead to, if that is what they sort by.
    leading: Components,
    found: Components,
}

impl Sink for Sorted<'_> {
    fn needs_entries(&self) -> bool {
        matches!(self.by, SortBy::Parameter(_) | SortBy::Chain { .. })
    }

    fn take(&mut self, resource: &Resource<'_>, _: Match) {
        let component = component(self.by, self.descending, resource, &self.leading);
        if !component.is_empty() {
            self.found.insert(resource.key.as_str().into(), component);
        }
    }

    fn is_enough(&self) -> bool {
        false
    }
}

/// The entries of all matches.
#[derive(Default)]
struct Indexed(FxHashMap<Key, Entries>);

impl Sink for Indexed {
    fn needs_entries(&self) -> bool {
        true
    }

    fn take(&mut self, resource: &Resource<'_>, _: Match) {
        self.0.insert(resource.key.clone(), resource.entries.clone());
    }

    fn is_enough(&self) -> bool {
        false
    }
}

/// The way through the documents that meets matches in their order, from a position on. Of other orders all
/// matches are read.
fn way(sort: &[SortKey], after: Option<&[u8]>, wanted: usize) -> Way {
    match sort {
        [] => {
            let from = after.and_then(birth).map(Json::from);
            Way { axis: Axis::Birth, descending: false, from, wanted }
        }
        &[SortKey { by: SortBy::LastUpdated, descending }] => {
            let from = after.and_then(|after| time(after, descending)).map(Json::from);
            Way { axis: Axis::LastUpdated, descending, from, wanted }
        }
        _ => EVERYTHING,
    }
}

const EVERYTHING: Way = Way { axis: Axis::Birth, descending: false, from: None, wanted: usize::MAX };

fn is_in_order(sort: &[SortKey]) -> bool {
    matches!(sort, [] | [SortKey { by: SortBy::LastUpdated, .. }])
}

impl Search<'_> {
    async fn page(&self, query: &Query) -> Result<Page, Stop> {
        let ready = self.prepare(query.resource_type.as_deref(), &query.filter).await?;
        let known = self.known(query, &ready);
        let counting = query.total && known.is_none();
        let after = read_cursor(query)?;
        let room = if query.limit == 0 { 0 } else { query.limit.saturating_add(1) };
        let mut found = Found::new(&query.sort, after, room);
        if room > 0 {
            found.beside.texts = query.filter.texts();
            found.beside.chained = self.chained(&ready, &query.sort).await?;
        }
        found.all = counting.then(FxHashSet::default);
        found.full = (!counting && is_in_order(&query.sort)).then_some(room);
        if counting {
            self.each(&ready, EVERYTHING, &mut found).await?;
        } else if room > 0 {
            self.each(&ready, way(&query.sort, after, room), &mut found).await?;
        }
        let counted = found.all.as_ref().map(|all| all.len() as u64);
        let total = if query.total { known.or(counted) } else { None };
        let more = found.kept.len() > query.limit;
        let mut page =
            Page { matches: Vec::with_capacity(found.kept.len()), next: None, total, scores: Vec::new() };
        for (position, found) in found.kept.into_iter().take(query.limit) {
            page.matches.push(match found.version {
                Some(version) => version,
                None => self.shard.version(&found.document).await?,
            });
            if more && page.matches.len() == query.limit {
                page.next = Some(cursor::of_place(query, &position));
            }
        }
        page.scores = scores(&query.filter, &page.matches)?;
        Ok(page)
    }

    /// What the matches' references lead to, for each key.
    async fn chained(&self, ready: &Ready, sort: &[SortKey]) -> Result<Vec<Components>, Stop> {
        let mut chained = Vec::with_capacity(sort.len());
        for key in sort {
            chained.push(self.leading(ready, &key.by, key.descending).await?);
        }
        Ok(chained)
    }

    /// What the resources sort by that a key leads to from some matches; nothing of a key that is not chained. Boxed, for
    /// it may lead further.
    fn leading<'a>(
        &'a self,
        ready: &'a Ready,
        by: &'a SortBy,
        descending: bool,
    ) -> Pin<Box<dyn Future<Output = Result<Components, Stop>> + Send + 'a>> {
        Box::pin(async move {
            let mut found = Components::default();
            let SortBy::Chain { parameter, targets } = by else { return Ok(found) };
            let mut referred = Referred { parameter: *parameter, targets: FxHashSet::default() };
            self.each(ready, EVERYTHING, &mut referred).await?;
            for (name, by) in targets {
                let of_type = |target: &str| match target.split_once('/') {
                    Some((of, id)) if of == &**name => Some(Box::from(id)),
                    _ => None,
                };
                let ids: Vec<Box<str>> = referred.targets.iter().filter_map(|key| of_type(key)).collect();
                for ids in ids.chunks(IDS) {
                    let ready = self.prepare_link(Asker::Caller, name, &Filter::Ids(ids.to_vec())).await?;
                    let leading = self.leading(&ready, by, descending).await?;
                    let mut sorted = Sorted { by, descending, leading, found: Components::default() };
                    self.each(&ready, EVERYTHING, &mut sorted).await?;
                    found.extend(sorted.found);
                }
            }
            Ok(found)
        })
    }

    async fn any(&self, resource_type: &str, filter: &Filter) -> Result<bool, Stop> {
        let ready = self.prepare(Some(resource_type), filter).await?;
        let mut found = Found { full: Some(1), ..Found::new(&[], None, 1) };
        self.each(&ready, way(&[], None, 1), &mut found).await?;
        Ok(!found.kept.is_empty())
    }

    /// How many match, if the log says so.
    fn known(&self, query: &Query, ready: &Ready) -> Option<u64> {
        let counts = &self.snapshot.sum().counts;
        match (&ready.plan, &query.resource_type) {
            (Plan::All, Some(name)) => Some(counts.get(&**name).map_or(0, |count| count.current)),
            (Plan::All, None) => Some(counts.values().map(|count| count.current).sum()),
            (Plan::Nothing, _) => Some(0),
            _ => None,
        }
    }

    /// The entries of those of some resources that the caller may see.
    async fn entries(&self, keys: &[Key]) -> Result<FxHashMap<Key, Entries>, Stop> {
        let mut of_type: BTreeMap<&str, Vec<Box<str>>> = BTreeMap::new();
        for key in keys {
            of_type.entry(key.resource_type()).or_default().push(key.id().into());
        }
        let mut indexed = Indexed::default();
        for (name, ids) in of_type {
            for ids in ids.chunks(IDS) {
                let ready = self.prepare_link(Asker::Caller, name, &Filter::Ids(ids.to_vec())).await?;
                self.each(&ready, EVERYTHING, &mut indexed).await?;
            }
        }
        Ok(indexed.0)
    }

    /// Follows a filter's chains, and adds what access leaves.
    async fn prepare(&self, resource_type: Option<&str>, filter: &Filter) -> Result<Ready, Stop> {
        let asked = self.plan(Asker::Caller, resource_type, filter).await?;
        let permitted = match resource_type {
            Some(name) => self.plan(Asker::Decision, resource_type, self.access.searched(name)).await?,
            None => self.visible().await?,
        };
        Ok(self.ready(resource_type, and(vec![asked, permitted])))
    }

    /// The same of resources that were seen, or that a chain leads to.
    async fn prepare_link(&self, asker: Asker, resource_type: &str, filter: &Filter) -> Result<Ready, Stop> {
        let asked = self.plan(asker, Some(resource_type), filter).await?;
        let permitted = match asker {
            Asker::Caller => {
                self.plan(Asker::Decision, Some(resource_type), self.access.seen(resource_type)).await?
            }
            Asker::Decision => Plan::All,
        };
        Ok(self.ready(Some(resource_type), and(vec![asked, permitted])))
    }

    fn ready(&self, resource_type: Option<&str>, plan: Plan) -> Ready {
        let tenant = self.shard.tenant.as_str().to_owned();
        let key = |name: &str| only_id(&plan).and_then(|id| Key::parse(&format!("{name}/{id}")));
        let scope = match resource_type {
            Some(name) => match key(name) {
                Some(key) => Scope::One(self.shard.place(&key)),
                None => Scope::Type(tenant, name.to_owned()),
            },
            None => Scope::Tenant(tenant),
        };
        Ready { scope, plan }
    }

    /// What access leaves of all types.
    async fn visible(&self) -> Result<Plan, Stop> {
        let (mut any, mut limited) = (Vec::new(), false);
        for name in self.snapshot.sum().counts.keys() {
            let filter = self.access.searched(name);
            limited |= *filter != Filter::All;
            let permitted = self.plan(Asker::Decision, Some(name), filter).await?;
            any.push(and(vec![Plan::Type(name.as_str().into()), permitted]));
        }
        Ok(if limited { or(any) } else { Plan::All })
    }

    async fn plan(&self, asker: Asker, resource_type: Option<&str>, filter: &Filter) -> Result<Plan, Stop> {
        let mut followed = Vec::new();
        for elsewhere in elsewhere(filter) {
            followed.push(self.follow(asker, resource_type, elsewhere).await?);
        }
        Ok(Plan::of(filter, &mut followed.into_iter()))
    }

    /// The resources that a chain leads to, in either direction, or that texts may be of. Boxed, for a filter elsewhere may have chains of its own.
    fn follow<'a>(
        &'a self,
        asker: Asker,
        resource_type: Option<&'a str>,
        elsewhere: Elsewhere<'a>,
    ) -> Pin<Box<dyn Future<Output = Result<Keys, Stop>> + Send + 'a>> {
        Box::pin(async move {
            match elsewhere {
                Elsewhere::Text(query) => {
                    Ok(texts::found(self.shard, self.texts, resource_type, query).await?)
                }
                Elsewhere::Targets(targets) => {
                    let mut named = Named::default();
                    for (name, filter) in targets {
                        let ready = self.prepare_link(asker, name, filter).await?;
                        self.each(&ready, EVERYTHING, &mut named).await?;
                    }
                    Ok(Arc::new(named.0))
                }
                Elsewhere::Referrers(name, parameter, filter) => {
                    let mut referred = Referred { parameter, targets: FxHashSet::default() };
                    let ready = self.prepare_link(asker, name, filter).await?;
                    self.each(&ready, EVERYTHING, &mut referred).await?;
                    Ok(Arc::new(referred.targets))
                }
            }
        })
    }

    /// Hands over the matches that a way meets.
    async fn each(&self, ready: &Ready, way: Way, sink: &mut dyn Sink) -> Result<(), Stop> {
        let parts = parts(&ready.plan);
        let descending = way.descending;
        let walks = parts.iter().map(|part| {
            let mut writer = Writer::new(self.shard.indexer.parameters());
            let condition = writer.over(part);
            Walk::new(&self.shard.container, &ready.scope, condition, writer.parameters, way.clone())
        });
        let mut merged = Merged::new(walks.collect(), descending);
        while !sink.is_enough() {
            if self.started.elapsed() > LONGEST {
                return Err(too_long().into());
            }
            let group = merged.next().await?;
            if group.is_empty() {
                break;
            }
            for document in group {
                self.consider(&ready.plan, document, sink).await?;
            }
        }
        Ok(())
    }

    /// Hands a document over if the snapshot sees it and it fulfils the plan.
    async fn consider(&self, plan: &Plan, document: Document, sink: &mut dyn Sink) -> Result<(), Stop> {
        let mark = document.mark();
        // Another process's commit that this one learned of since may be older than the search.
        if !self.fresh && self.snapshot.is_behind(&mark, &self.shard.transactions) {
            return Err(Stop::Unknown);
        }
        match self.snapshot.sees(&mark) {
            Seen::Yes => {}
            Seen::No => return Ok(()),
            Seen::Unknown if !self.fresh => return Err(Stop::Unknown),
            Seen::Unknown => {
                // What a fresh snapshot does not know is not committed: neither the version, nor what supersedes it.
                let superseded = self.snapshot.superseded(&mark) == Seen::Yes;
                if self.snapshot.knows(&mark) != Seen::Yes || superseded {
                    return Ok(());
                }
            }
        }
        let (key, mut entries, mut version) = (document.key(), Entries::new(), None);
        if plan.needs_entries() || sink.needs_entries() {
            let read = self.shard.version(&document).await?;
            self.shard.entries(&key, &read.body, &mut entries)?;
            version = Some(read);
        }
        let body = version.as_ref().map(|version| version.body.clone()).unwrap_or_default();
        let resource =
            Resource { key: &key, last_updated: Timestamp(document.lu), entries: &entries, body: &body };
        if plan.holds(&resource) {
            sink.take(&resource, Match { document, version });
        }
        Ok(())
    }
}

fn too_long() -> StoreError {
    StoreError::TooCostly(format!(
        "the search takes more than {} s; add a parameter that few resources fulfil (a patient, an identifier, a \
         code) or narrow its dates, numbers or texts",
        LONGEST.as_secs()
    ))
}

/// The id that all matches have.
fn only_id(plan: &Plan) -> Option<&str> {
    match plan {
        Plan::Ids(ids) => match ids.as_slice() {
            [id] => Some(id),
            _ => None,
        },
        Plan::And(plans) => plans.iter().find_map(only_id),
        _ => None,
    }
}
