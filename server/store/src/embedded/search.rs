//! Runs queries over the index: what matches, in what order, one page of it. Reads bodies only of the matches it
//! returns.

use heed::RoTxn;
use rustc_hash::FxHashSet;

use super::forward::{Forward, damaged};
use super::plan::{Context, Estimate, Evaluation, Plan};
use super::postings::IndexDatabases;
use super::records::Records;
use super::set::{CHUNK_BITS, Sets, chunk_of, offset_of, ordinal_at};
use super::sort::{Least, Positions, ordinal_of, walk};
use super::texts;
use crate::cursor;
use crate::texts::scores;
use crate::{Access, Cursor, Filter, Key, Page, ParameterId, Query, SortBy, StoreError, Value, units};

/// Runs a query.
pub(super) fn run(context: &Context<'_>, query: &Query) -> Result<Page, StoreError> {
    let after = match &query.after {
        Some(cursor) => read_cursor(query, cursor)?,
        None => &[],
    };
    let mut plan = Plan::new(context, query.resource_type.as_deref(), &query.filter)?;
    let wholly = query.total || !query.sort.is_empty();
    let estimate = context.estimate(&plan, wholly, units::are_explained())?;
    let (positions, total) = if query.sort.is_empty() {
        by_ordinal(context, &mut plan, query, after)?
    } else {
        by_keys(context, &mut plan, query, after)?
    };
    let mut page = page(context, query, &positions, total)?;
    page.scores = scores(&query.filter, &page.matches)?;
    units::charge(0.0, page.matches.len() as u64, || explained(context, &plan, query, estimate));
    Ok(page)
}

/// About how many resources a query finds; `None` if only counting would tell.
pub(super) fn estimate(context: &Context<'_>, query: &Query) -> Result<Option<u64>, StoreError> {
    let mut plan = Plan::new(context, query.resource_type.as_deref(), &query.filter)?;
    let total = plan.sampled_total(context)?;
    units::charge(0.0, 0, || {
        format!("estimate of the total; {} index entries were read", context.entries_read())
    });
    Ok(total)
}

/// What a query did, without what it looked for.
fn explained(context: &Context<'_>, plan: &Plan, query: &Query, estimate: Option<Estimate>) -> String {
    let searched = query.resource_type.as_deref().unwrap_or("all types");
    let order = match query.sort.len() {
        0 => "in the order of their creation".to_owned(),
        1 => "by one sort key".to_owned(),
        keys => format!("by {keys} sort keys"),
    };
    let before = match estimate {
        None => String::new(),
        Some(Estimate { entries, most: None }) => format!(" (estimated: {entries} of ranges and chains)"),
        Some(Estimate { entries, most: Some((parameter, _)) }) => {
            format!(" (estimated: {entries} of ranges and chains, most of {})", context.name(parameter))
        }
    };
    format!(
        "index of {searched}: of {} resources, {} index entries were read{before}; matches {order}, bodies of the page only",
        plan.resources,
        context.entries_read(),
    )
}

/// Reads the bodies of a page. There is one position more than the page has room for if there is a next page.
fn page(
    context: &Context<'_>,
    query: &Query,
    positions: &[Vec<u8>],
    total: Option<u64>,
) -> Result<Page, StoreError> {
    let mut matches = Vec::with_capacity(positions.len().min(query.limit));
    for position in positions.iter().take(query.limit) {
        let ordinal = ordinal_of(position).unwrap_or_default();
        let version = context.records.head(context.txn, ordinal)?;
        matches.push(version.ok_or_else(|| damaged("a resource is in postings and has no version"))?);
    }
    let last = positions.get(..query.limit).and_then(<[_]>::last);
    let next = match last {
        Some(last) if positions.len() > query.limit => Some(cursor::of_place(query, last)),
        _ => None,
    };
    Ok(Page { matches, next, total, scores: Vec::new() })
}

fn read_cursor<'q>(query: &Query, cursor: &'q Cursor) -> Result<&'q [u8], StoreError> {
    cursor::place(query, cursor)
        .and_then(|place| if place.len() >= 4 { Ok(place) } else { Err(StoreError::Cursor) })
}

type Found = (Vec<Vec<u8>>, Option<u64>);

/// Without sort keys: chunk by chunk, until the page is full.
fn by_ordinal(
    context: &Context<'_>,
    plan: &mut Plan,
    query: &Query,
    after: &[u8],
) -> Result<Found, StoreError> {
    plan.settle(context, query.total)?;
    let after = ordinal_of(after);
    let first = after.filter(|_| !query.total).map_or(0, chunk_of);
    let room = if query.limit == 0 { 0 } else { query.limit.saturating_add(1) };
    let (mut positions, mut total) = (Vec::new(), 0);
    let mut evaluation = Evaluation::new(context);
    let (mut wholly, mut next) = (query.total, first);
    while let Some(chunk) = plan.next_chunk(next) {
        if !query.total && positions.len() >= room {
            break;
        }
        if !wholly && evaluation.checked > context.limits.checked && !is_near(&evaluation, &positions, room) {
            // Matches are rare, or far: reading the ranges is cheaper than checking all candidates.
            plan.settle(context, true)?;
            wholly = true;
            continue;
        }
        next = chunk + 1;
        let matches = if query.total {
            plan.matches(&mut evaluation, chunk)?
        } else {
            let after = after.filter(|after| chunk_of(*after) == chunk);
            let from = after.map_or(0, |after| offset_of(after) + 1);
            plan.first_matches(&mut evaluation, chunk, from, room - positions.len())?
        };
        total += matches.len() as u64;
        for ordinal in matches.iter().map(|offset| ordinal_at(chunk, offset)) {
            if positions.len() >= room {
                break;
            }
            if after.is_none_or(|after| ordinal > after) {
                positions.push(ordinal.to_be_bytes().to_vec());
            }
        }
    }
    Ok((positions, query.total.then_some(total)))
}

/// How many times as many candidates as [`super::plan::Limits::checked`] are checked for a page that fills steadily.
const STEADY: u64 = 8;

/// Whether the page will soon be full, if matches come as they came so far.
fn is_near(evaluation: &Evaluation<'_>, found: &[Vec<u8>], room: usize) -> bool {
    let needed = evaluation.checked.saturating_mul(room as u64).checked_div(found.len() as u64);
    needed.is_some_and(|needed| needed <= evaluation.context.limits.checked * STEADY)
}

/// How many candidates a walk in order may look at for a page of so many matches; `None` if reading the keys of all is
/// likely to be cheaper. Were matches spread evenly, one in every so many would be one.
fn worth_walking(context: &Context<'_>, matches: u64, room: usize) -> Result<Option<u64>, StoreError> {
    let limits = &context.limits;
    if matches <= limits.few_matches {
        return Ok(None);
    }
    let all = u64::from(context.databases.chunks(context.txn)?) << CHUNK_BITS;
    let likely = (room as u64).saturating_mul(all) / matches.max(1);
    if likely.saturating_mul(limits.walk_cost) >= matches {
        return Ok(None);
    }
    // Where they are not spread so, that shows soon.
    Ok(Some(limits.walked.min(likely.saturating_mul(UNEVEN).max(limits.few_matches))))
}

/// How many times as far as is likely a walk goes.
const UNEVEN: u64 = 8;

/// With sort keys: of few matches all keys are read, of many the index is walked in order.
fn by_keys(context: &Context<'_>, plan: &mut Plan, query: &Query, after: &[u8]) -> Result<Found, StoreError> {
    let room = if query.limit == 0 { 0 } else { query.limit.saturating_add(1) };
    if room == 0 && !query.total {
        return Ok((Vec::new(), None));
    }
    if !query.total && plan.resources > context.limits.few_matches {
        plan.settle(context, false)?;
        let mut least = Least::new(room, after);
        if let Some(most) = worth_walking(context, plan.resources, room)?
            && walk(context, plan, &query.sort, most, &mut least)?
        {
            return Ok((least.into_sorted(), None));
        }
    }
    plan.settle(context, true)?;
    let matches = all(context, plan)?;
    let count = matches.len();
    let total = query.total.then_some(count);
    if room == 0 {
        return Ok((Vec::new(), total));
    }
    if query.total
        && let Some(most) = worth_walking(context, count, room)?
    {
        let mut least = Least::new(room, after);
        let known = Plan::of(matches);
        if walk(context, &known, &query.sort, most, &mut least)? {
            return Ok((least.into_sorted(), total));
        }
        return select(context, known.sets(), query, room, after).map(|positions| (positions, total));
    }
    Ok((select(context, Some(&matches), query, room, after)?, total))
}

fn all(context: &Context<'_>, plan: &Plan) -> Result<Sets, StoreError> {
    let mut sets = Sets::default();
    let mut evaluation = Evaluation::new(context);
    for &chunk in plan.chunks() {
        let matches = plan.matches(&mut evaluation, chunk)?;
        if !matches.is_empty() {
            sets.put(chunk, matches);
        }
    }
    Ok(sets)
}

/// Reads the sort keys of all matches and keeps the least.
fn select(
    context: &Context<'_>,
    matches: Option<&Sets>,
    query: &Query,
    room: usize,
    after: &[u8],
) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut least = Least::new(room, after);
    let mut positions = Positions::new(context, &query.sort)?;
    if query.sort.iter().any(|key| key.by == SortBy::Score) {
        positions.reader.ranked = texts::ranked(context, &query.filter)?;
    }
    let mut position = Vec::new();
    for (chunk, set) in matches.into_iter().flat_map(Sets::chunks) {
        context.spend(set.len() as u64)?;
        for offset in set.iter() {
            positions.position(ordinal_at(chunk, offset), &mut position)?;
            least.offer(&position);
        }
    }
    Ok(least.into_sorted())
}

/// Whether any current resource of a type that the caller may find matches.
pub(crate) fn any_match(
    txn: &RoTxn<'_>,
    databases: &IndexDatabases,
    records: &Records,
    access: &Access,
    resource_type: &str,
    filter: &Filter,
) -> Result<bool, StoreError> {
    let context = Context::new(txn, databases, records, access);
    let mut plan = Plan::new(&context, Some(resource_type), filter)?;
    plan.settle(&context, false)?;
    let mut evaluation = Evaluation::new(&context);
    for &chunk in plan.chunks() {
        if !plan.matches(&mut evaluation, chunk)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The values of reference parameters on some resources.
pub(crate) fn references(
    txn: &RoTxn<'_>,
    databases: &IndexDatabases,
    records: &Records,
    from: &[Key],
    parameters: &[ParameterId],
) -> Result<Vec<Box<str>>, StoreError> {
    let (mut seen, mut found) = (FxHashSet::default(), Vec::new());
    for key in from {
        let Some(ordinal) = records.ordinal(txn, key.as_str())? else { continue };
        // A deleted resource has none.
        let Some(bytes) = databases.forward.get(txn, &ordinal.to_be_bytes())? else { continue };
        let forward = Forward::decode(bytes)?;
        for value in parameters.iter().flat_map(|parameter| forward.values(*parameter)) {
            if let Value::Reference(target) = value
                && seen.insert(target)
            {
                found.push(target.into());
            }
        }
    }
    Ok(found)
}

/// How many current resources there are of each type, by name of the type.
pub(crate) fn counts(
    txn: &RoTxn<'_>,
    databases: &IndexDatabases,
) -> Result<Vec<(Box<str>, u64)>, StoreError> {
    databases.types(txn)
}
