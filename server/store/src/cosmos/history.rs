//! History, changes and counts: <https://hl7.org/fhir/R4/http.html#history>. Lists versions, newest first, of a resource out
//! of its documents, and of a type or all out of the log.
//!
//! A page ends when it is full, and also after [`PAGE_CHANGES`] changes were looked at, so that no call reads for long; then
//! it may hold fewer versions, and its cursor goes on from there.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rustc_hash::FxHashMap;

use super::container::{Scope, Sql};
use super::document::{Document, ERASED};
use super::read;
use super::record::{Entry, LOG, Record};
use super::search;
use super::shard::Shard;
use super::tail::Seen;
use crate::cursor::{self, Position, missing};
use crate::{
    Access, Change, Filter, HistoryPage, HistoryQuery, HistoryScope, Key, Query, StoreError, Timestamp,
    Version,
};

/// Most changes that one page looks at.
const PAGE_CHANGES: usize = 50_000;

/// Versions read at a time.
const READS: usize = 32;

/// A page of history.
pub(super) async fn page(
    shard: &Arc<Shard>,
    access: &Access,
    query: &HistoryQuery,
) -> Result<HistoryPage, StoreError> {
    match &query.scope {
        HistoryScope::Instance(key) => instance(shard, access, key, query).await,
        HistoryScope::Type(name) => log(shard, access, Some(name), query).await,
        HistoryScope::System => log(shard, access, None, query).await,
    }
}

/// Whether a version belongs into a history. `next` is when it was replaced, if it was.
fn wanted(query: &HistoryQuery, last_updated: Timestamp, next: Option<Timestamp>) -> bool {
    let since = query.since.is_none_or(|since| last_updated >= since);
    let at = query.at.is_none_or(|(from, to)| {
        last_updated <= to && (last_updated >= from || next.is_none_or(|next| next > from))
    });
    since && at
}

async fn instance(
    shard: &Shard,
    access: &Access,
    key: &Key,
    query: &HistoryQuery,
) -> Result<HistoryPage, StoreError> {
    let before = query.after.as_ref().map(cursor::version).transpose()?;
    let none = HistoryPage { versions: Vec::new(), next: None, total: Some(0) };
    let Some(newest) = read::current(shard, key).await? else { return Ok(none) };
    let rule = access.looked_at(key.resource_type());
    if !read::fulfils(shard, rule, &newest, None).await? {
        return Ok(none);
    }
    let mut all: Vec<u64> = if query.since.is_some() || query.at.is_some() || shard.has_erased() {
        let known = numbers(shard, key, newest.v).await?;
        known
            .into_iter()
            .filter(|one| !one.erased && wanted(query, one.last_updated, one.next))
            .map(|one| one.version)
            .collect()
    } else {
        (1..=newest.v).rev().collect()
    };
    if *rule != Filter::All {
        all = permitted(shard, rule, key, all).await?;
    }
    let total = Some(all.len() as u64);
    let mut rest = all.into_iter().filter(|number| before.is_none_or(|before| *number < before));
    let listed: Vec<u64> = rest.by_ref().take(query.limit).collect();
    let next = rest.next().and_then(|_| listed.last().copied()).map(cursor::of_version);
    let reads = listed.into_iter().map(|number| {
        let newest = &newest;
        async move {
            if number == newest.v {
                return shard.version(newest).await;
            }
            let document = read::version(shard, key, number).await?;
            shard.version(&document.ok_or_else(|| missing(key, number))?).await
        }
    });
    let mut versions: Vec<Version> = stream::iter(reads).buffered(READS).try_collect().await?;
    // Those that another process erased a moment ago.
    versions.retain(|version| !version.is_erased());
    Ok(HistoryPage { versions, next, total })
}

/// Those versions of a resource that fulfil a rule of the access decision: some may have lain outside.
async fn permitted(
    shard: &Shard,
    rule: &Filter,
    key: &Key,
    numbers: Vec<u64>,
) -> Result<Vec<u64>, StoreError> {
    let mut permitted = Vec::with_capacity(numbers.len());
    for number in numbers {
        let document = read::version(shard, key, number).await?.ok_or_else(|| missing(key, number))?;
        if read::fulfils(shard, rule, &document, None).await? {
            permitted.push(number);
        }
    }
    Ok(permitted)
}

/// What a history's filter asks of a version.
struct Known {
    version: u64,
    erased: bool,
    last_updated: Timestamp,
    next: Option<Timestamp>,
}

/// All versions of a resource up to the newest, newest first.
async fn numbers(shard: &Shard, key: &Key, newest: u64) -> Result<Vec<Known>, StoreError> {
    #[derive(serde::Deserialize)]
    struct Row {
        v: u64,
        lu: i64,
        #[serde(default)]
        g: Option<u8>,
    }
    let text = "SELECT c.v, c.lu, c.g FROM c WHERE c.v <= @newest ORDER BY c.v DESC".to_owned();
    let sql = Sql { text, parameters: vec![("@newest".to_owned(), newest.into())] };
    let mut rows: Vec<Row> = Vec::new();
    shard
        .container
        .query::<Row>(&Scope::One(shard.place(key)), &sql, |page| {
            rows.extend(page);
            true
        })
        .await?;
    rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.v));
    rows.dedup_by_key(|row| row.v);
    let mut next = None;
    let known = rows.into_iter().map(|row| {
        let last_updated = Timestamp(row.lu);
        Known { version: row.v, erased: row.g == Some(1), last_updated, next: next.replace(last_updated) }
    });
    Ok(known.collect())
}

/// A change with its place.
struct Listed {
    position: Position,
    key: Key,
    entry: Entry,
    last_updated: Timestamp,
}

async fn log(
    shard: &Arc<Shard>,
    access: &Access,
    resource_type: Option<&str>,
    query: &HistoryQuery,
) -> Result<HistoryPage, StoreError> {
    let mut end = query.after.as_ref().map(cursor::position).transpose()?;
    let total = total(shard, access, resource_type, query).await?;
    let mut page = HistoryPage { versions: Vec::new(), next: None, total };
    if query.limit == 0 {
        return Ok(page);
    }
    let mut visible = Visible { shard, access, known: FxHashMap::default() };
    let mut looked_at = 0;
    loop {
        let wanted = query.limit - page.versions.len() + 1;
        let changes = before(shard, resource_type, query, end, wanted).await?;
        let Some(last) = changes.last().map(|change| change.position) else { return Ok(page) };
        looked_at += changes.len();
        let versions: Vec<Option<Version>> = stream::iter(
            changes.iter().map(|change| listed(shard, access, query, change)).collect::<Vec<_>>(),
        )
        .buffered(READS)
        .try_collect()
        .await?;
        let mut seen = end;
        for (change, version) in changes.iter().zip(versions) {
            if let Some(version) = version
                && visible.see(&change.key).await?
            {
                if page.versions.len() == query.limit {
                    page.next = seen.map(cursor::of_position);
                    return Ok(page);
                }
                page.versions.push(version);
            }
            seen = Some(change.position);
        }
        end = Some(last);
        if looked_at >= PAGE_CHANGES {
            page.next = Some(cursor::of_position(last));
            return Ok(page);
        }
    }
}

/// The changes before a place, newest first, that the history's times do not rule out: about as many as are wanted.
async fn before(
    shard: &Shard,
    resource_type: Option<&str>,
    query: &HistoryQuery,
    end: Option<Position>,
    wanted: usize,
) -> Result<Vec<Listed>, StoreError> {
    let mut conditions = vec!["c.q > 0"];
    let mut parameters = Vec::new();
    if let Some(end) = end {
        conditions.push("c.q <= @end");
        parameters.push(("@end".to_owned(), end.sequence.into()));
    }
    if let Some(name) = resource_type {
        conditions.push("ARRAY_CONTAINS(c.x, @type)");
        parameters.push(("@type".to_owned(), name.into()));
    }
    if let Some(since) = query.since {
        conditions.push("c.lu >= @since");
        parameters.push(("@since".to_owned(), since.0.into()));
    }
    if let Some((_, to)) = query.at {
        conditions.push("c.lu <= @to");
        parameters.push(("@to".to_owned(), to.0.into()));
    }
    let text = format!("SELECT * FROM c WHERE {} ORDER BY c.q DESC", conditions.join(" AND "));
    let mut changes = Vec::new();
    let mut failed = Ok(());
    let takes = |records: Vec<Record>| {
        for record in &records {
            failed = list(record, resource_type, end, &mut changes);
            if failed.is_err() || changes.len() >= wanted {
                return false;
            }
        }
        true
    };
    shard.container.query::<Record>(&log_scope(shard), &Sql { text, parameters }, takes).await?;
    failed.map(|()| changes)
}

fn log_scope(shard: &Shard) -> Scope {
    Scope::Type(shard.tenant.as_str().to_owned(), LOG.to_owned())
}

/// Adds a record's changes, newest first.
fn list(
    record: &Record,
    resource_type: Option<&str>,
    end: Option<Position>,
    changes: &mut Vec<Listed>,
) -> Result<(), StoreError> {
    let first = record.q.unwrap_or(0);
    for (sequence, batch) in (first..).zip(&record.w).collect::<Vec<_>>().into_iter().rev() {
        for (write, entry) in (0..).zip(batch).collect::<Vec<_>>().into_iter().rev() {
            let position = Position { sequence, write };
            let here = end.is_none_or(|end| position < end);
            if here && resource_type.is_none_or(|name| entry.resource_type() == name) {
                let last_updated = Timestamp(record.lu);
                changes.push(Listed { position, key: entry.key()?, entry: entry.clone(), last_updated });
            }
        }
    }
    Ok(())
}

/// The version of a change, if the history lists it and the caller may see that version.
async fn listed(
    shard: &Shard,
    access: &Access,
    query: &HistoryQuery,
    change: &Listed,
) -> Result<Option<Version>, StoreError> {
    let document = read::version(shard, &change.key, change.entry.1).await?;
    let document = document.ok_or_else(|| missing(&change.key, change.entry.1))?;
    let next = match query.at {
        Some((from, _)) if change.last_updated < from => replaced_at(shard, &document).await?,
        _ => None,
    };
    if !wanted(query, change.last_updated, next) {
        return Ok(None);
    }
    let rule = access.searched(change.key.resource_type());
    if *rule == Filter::None || document.is_erased() {
        return Ok(None);
    }
    let version = shard.version(&document).await?;
    Ok(read::fulfils(shard, rule, &document, Some(&version)).await?.then_some(version))
}

/// When a version was superseded, if it was.
async fn replaced_at(shard: &Shard, document: &Document) -> Result<Option<Timestamp>, StoreError> {
    let mark = document.mark();
    let superseded = match shard.snapshot().superseded(&mark) {
        Seen::Unknown => shard.refresh().await?.superseded(&mark),
        seen => seen,
    };
    Ok((superseded == Seen::Yes).then_some(document.te).flatten().map(Timestamp))
}

/// What a caller may see, asked once for each resource.
struct Visible<'v> {
    shard: &'v Shard,
    access: &'v Access,
    known: FxHashMap<Key, bool>,
}

impl Visible<'_> {
    async fn see(&mut self, key: &Key) -> Result<bool, StoreError> {
        if let Some(known) = self.known.get(key) {
            return Ok(*known);
        }
        let rule = self.access.searched(key.resource_type());
        let seen = *rule == Filter::All || read::visible(self.shard, rule, key).await?;
        self.known.insert(key.clone(), seen);
        Ok(seen)
    }
}

/// How many versions there are in all, when that is known without reading them.
async fn total(
    shard: &Shard,
    access: &Access,
    resource_type: Option<&str>,
    query: &HistoryQuery,
) -> Result<Option<u64>, StoreError> {
    let everything = match resource_type {
        Some(name) => *access.searched(name) == Filter::All,
        None => access.sees_everything(),
    };
    // The log counts what was erased as well; to count that costs what it costs to find it, so a page does not.
    let erased = shard.has_erased();
    if !everything || (erased && query.limit > 0) || query.since.is_some() || query.at.is_some() {
        return Ok(None);
    }
    let erased = if erased { erased_of(shard, resource_type).await? } else { 0 };
    let snapshot = shard.refresh().await?;
    let counts = &snapshot.sum().counts;
    let all: u64 = match resource_type {
        Some(name) => counts.get(name).map_or(0, |count| count.changes),
        None => counts.values().map(|count| count.changes).sum(),
    };
    Ok(Some(all.saturating_sub(erased)))
}

/// How many versions were erased, of a type or of all.
async fn erased_of(shard: &Shard, resource_type: Option<&str>) -> Result<u64, StoreError> {
    #[derive(serde::Deserialize)]
    struct Row {
        v: u64,
    }
    let tenant = shard.tenant.as_str().to_owned();
    let scope = match resource_type {
        Some(name) => Scope::Type(tenant, name.to_owned()),
        None => Scope::Tenant(tenant),
    };
    let text = "SELECT c.v FROM c WHERE ARRAY_CONTAINS(c.x, @erased)".to_owned();
    let sql = Sql { text, parameters: vec![("@erased".to_owned(), ERASED.into())] };
    let mut erased = 0;
    let counts = |rows: Vec<Row>| {
        erased += rows.iter().filter(|row| row.v > 0).count() as u64;
        true
    };
    shard.container.query::<Row>(&scope, &sql, counts).await?;
    Ok(erased)
}

/// The changes after a commit, oldest first: whole commits until there are `limit` or more.
pub(super) async fn changes(
    shard: &Shard,
    access: &Access,
    after: u64,
    limit: usize,
) -> Result<Vec<Change>, StoreError> {
    let mut visible = Visible { shard, access, known: FxHashMap::default() };
    let (mut after, mut seen) = (after, Vec::new());
    // None that may be seen is not the end yet.
    while seen.is_empty() {
        let changes = changes_after(shard, after, limit).await?;
        let Some(last) = changes.last() else { break };
        after = last.sequence;
        for change in changes {
            if visible.see(&change.key).await? {
                seen.push(change);
            }
        }
    }
    Ok(seen)
}

async fn changes_after(shard: &Shard, after: u64, limit: usize) -> Result<Vec<Change>, StoreError> {
    let mut changes: Vec<Change> = Vec::new();
    if after >= shard.refresh().await?.sum().sequence {
        return Ok(changes);
    }
    let text = "SELECT * FROM c WHERE c.e > @after ORDER BY c.e ASC".to_owned();
    let sql = Sql { text, parameters: vec![("@after".to_owned(), after.into())] };
    let mut failed = Ok(());
    let takes = |records: Vec<Record>| {
        for record in &records {
            failed = add_changes(record, after, limit, &mut changes);
            if failed.is_err() || changes.len() >= limit {
                return false;
            }
        }
        true
    };
    shard.container.query::<Record>(&log_scope(shard), &sql, takes).await?;
    failed.map(|()| changes)
}

fn add_changes(
    record: &Record,
    after: u64,
    limit: usize,
    changes: &mut Vec<Change>,
) -> Result<(), StoreError> {
    for (sequence, batch) in (record.q.unwrap_or(0)..).zip(&record.w) {
        if sequence <= after {
            continue;
        }
        if !changes.is_empty() && changes.len() >= limit {
            break;
        }
        for entry in batch {
            changes.push(Change {
                sequence,
                key: entry.key()?,
                version: entry.1,
                last_updated: Timestamp(record.lu),
                method: entry.2.method(),
            });
        }
    }
    Ok(())
}

/// How many current resources of each type a caller may see; types of which there are none are left out.
pub(super) async fn counts(shard: &Arc<Shard>, access: &Access) -> Result<Vec<(Box<str>, u64)>, StoreError> {
    let snapshot = shard.refresh().await?;
    let mut counts = Vec::new();
    for (name, count) in &snapshot.sum().counts {
        let current = match access.searched(name) {
            Filter::All => count.current,
            Filter::None => 0,
            _ if count.current == 0 => 0,
            // A search runs under the access filter by itself.
            _ => {
                let query = Query {
                    resource_type: Some(name.as_str().into()),
                    filter: Filter::All,
                    sort: Vec::new(),
                    after: None,
                    limit: 0,
                    total: true,
                };
                search::run(shard, &snapshot, access, &query, None).await?.total.unwrap_or(0)
            }
        };
        if current > 0 {
            counts.push((name.as_str().into(), current));
        }
    }
    Ok(counts)
}
