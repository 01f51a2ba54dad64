//! History: <https://hl7.org/fhir/R4/http.html#history>. Lists versions, newest first, out of the change log.
//!
//! A page ends when it is full, and also after [`PAGE_CHANGES`] changes were looked at, so that no call reads
//! for long; then it may hold fewer versions, and its cursor goes on from there.

use super::changes::ChangeRecord;
use super::records::RecordRef;
use super::visible::View;
use crate::cursor::{self, missing};
use crate::{
    Access, Cursor, Filter, HistoryPage, HistoryQuery, HistoryScope, Key, StoreError, Timestamp, Version,
};

/// Most changes that one page looks at.
const PAGE_CHANGES: usize = 50_000;

/// A page of history.
pub(super) fn page(
    view: &View<'_>,
    access: &Access,
    query: &HistoryQuery,
) -> Result<HistoryPage, StoreError> {
    match &query.scope {
        HistoryScope::Instance(key) => instance(view, access, key, query),
        HistoryScope::Type(name) => log(view, access, Some(name), query),
        HistoryScope::System => log(view, access, None, query),
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

/// Collects a page.
struct Collector<'q> {
    query: &'q HistoryQuery,
    versions: Vec<Version>,
    last: Option<Cursor>,
    more: bool,
}

impl<'q> Collector<'q> {
    fn new(query: &'q HistoryQuery) -> Self {
        Collector { query, versions: Vec::new(), last: None, more: false }
    }

    /// Takes a version that belongs to the history; `false` when the page was full before it.
    fn take(&mut self, record: RecordRef<'_>, cursor: impl FnOnce() -> Cursor) -> Result<bool, StoreError> {
        if self.versions.len() >= self.query.limit {
            self.more = true;
            return Ok(false);
        }
        self.versions.push(record.to_version()?);
        self.last = Some(cursor());
        Ok(true)
    }

    fn page(self, total: Option<u64>) -> HistoryPage {
        let next = if self.more { self.last } else { None };
        HistoryPage { versions: self.versions, next, total }
    }
}

fn instance(
    view: &View<'_>,
    access: &Access,
    key: &Key,
    query: &HistoryQuery,
) -> Result<HistoryPage, StoreError> {
    let before = query.after.as_ref().map(cursor::version).transpose()?;
    let mut page = Collector::new(query);
    let (txn, records) = (view.txn, &view.databases.records);
    let rule = access.looked_at(key.resource_type());
    let ordinal = match records.ordinal(txn, key.as_str())? {
        Some(ordinal) if view.current(rule, ordinal, key.as_str())? => ordinal,
        _ => return Ok(page.page(Some(0))),
    };
    let mut replaced_by = None;
    let mut total = 0;
    let newest = records.head_ref(txn, ordinal)?.map_or(0, |head| head.version);
    let whole = view.databases.meta.erased(txn, Some(key.resource_type()))? == 0;
    let filtered = !whole || query.since.is_some() || query.at.is_some() || *rule != Filter::All;
    for number in (1..=newest).rev() {
        let listed = before.is_none_or(|before| number < before);
        if !filtered && page.more {
            break;
        }
        if !filtered && !listed {
            continue;
        }
        let record = records.version_ref(txn, ordinal, number)?.ok_or_else(|| missing(key, number))?;
        if !record.is_erased()
            && wanted(query, record.last_updated, replaced_by)
            && view.version(rule, &record)?
        {
            total += 1;
            if listed && !page.more {
                page.take(record, || cursor::of_version(number))?;
            }
        }
        replaced_by = Some(record.last_updated);
    }
    Ok(page.page(Some(if filtered { total } else { newest })))
}

fn log(
    view: &View<'_>,
    access: &Access,
    resource_type: Option<&str>,
    query: &HistoryQuery,
) -> Result<HistoryPage, StoreError> {
    let mut end = query.after.as_ref().map(cursor::position).transpose()?;
    if let Some((_, to)) = query.at {
        let first = view.databases.changes.end_of(view.txn, to)?;
        end = Some(end.map_or(first, |end| end.min(first)));
    }
    let total = total(view, access, resource_type, query)?;
    let mut page = Collector::new(query);
    if query.limit == 0 {
        return Ok(page.page(total));
    }
    for (looked_at, item) in view.databases.changes.before(view.txn, resource_type, end)?.enumerate() {
        let (position, change) = item?;
        if looked_at == PAGE_CHANGES {
            page.more = true;
            break;
        }
        if query.since.is_some_and(|since| change.last_updated < since) {
            break;
        }
        if let Some(record) = listed(view, access, query, change)?
            && !page.take(record, || cursor::of_position(position))?
        {
            break;
        }
        if page.versions.len() < query.limit {
            page.last = Some(cursor::of_position(position));
        }
    }
    Ok(page.page(total))
}

/// The version of a change, if the history lists it and the caller may see it.
fn listed<'t>(
    view: &View<'t>,
    access: &Access,
    query: &HistoryQuery,
    change: ChangeRecord,
) -> Result<Option<RecordRef<'t>>, StoreError> {
    let (txn, records) = (view.txn, &view.databases.records);
    let next = match query.at {
        Some((from, _)) if change.last_updated < from => {
            let next = records.version_ref(txn, change.ordinal, change.version + 1)?;
            next.map(|next| next.last_updated)
        }
        _ => None,
    };
    if !wanted(query, change.last_updated, next) {
        return Ok(None);
    }
    let record = records.version_ref(txn, change.ordinal, change.version)?;
    let record =
        record.ok_or_else(|| StoreError::Damaged("a change of a version that is not there".into()))?;
    if record.is_erased() {
        return Ok(None);
    }
    let resource_type = record.key.split('/').next().unwrap_or_default();
    let rule = access.searched(resource_type);
    let seen = view.current(rule, change.ordinal, record.key)? && view.version(rule, &record)?;
    Ok(seen.then_some(record))
}

/// How many versions there are in all, when that is known without reading them.
fn total(
    view: &View<'_>,
    access: &Access,
    resource_type: Option<&str>,
    query: &HistoryQuery,
) -> Result<Option<u64>, StoreError> {
    let everything = match resource_type {
        Some(name) => *access.searched(name) == Filter::All,
        None => access.sees_everything(),
    };
    if !everything || query.since.is_some() || query.at.is_some() {
        return Ok(None);
    }
    // The log counts what was erased as well.
    let erased = view.databases.meta.erased(view.txn, resource_type)?;
    let all = view.databases.changes.count(view.txn, resource_type)?;
    Ok(Some(all.saturating_sub(erased)))
}
