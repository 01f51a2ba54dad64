//! The order of matches: what a resource sorts by as bytes, the first of many, and walking an ordered index. Does not
//! decide what matches.
//!
//! A position is, for each sort key, a byte (0: it has a value; 1: it has none) and the value's sort component
//! ([`component`](super::component)), each of its bytes inverted if the key is descending; then the ordinal (u32 BE).
//! Positions compare as bytes and are unique, so a page that starts after one is right whatever has changed since.

use std::ops::Range;

use heed::types::Bytes as Raw;
use rustc_hash::FxHashSet;

use super::component::{By, Reader};
use super::encoding::{BY_LO, DATE, NUMBER, QUANTITY, REFERENCE, STRING, Stored, TOKEN, URI, prefix_end};
use super::forward::damaged;
use super::plan::{Context, Evaluation, Plan};
use super::postings::{LAST_UPDATED, split_key};
use super::set::{Posting, Set, ordinal_at};
use crate::{ParameterId, SortBy, SortKey, StoreError};

const PRESENT: u8 = 0;
const MISSING: u8 = 1;

/// Reads positions.
pub(super) struct Positions<'t> {
    /// What each key sorts by, and whether it is descending.
    keys: Vec<(By<'t>, bool)>,
    /// What components are read with.
    pub(super) reader: Reader<'t>,
}

impl<'t> Positions<'t> {
    /// For an order.
    pub(super) fn new(context: &'t Context<'t>, keys: &'t [SortKey]) -> Result<Self, StoreError> {
        let keys = keys.iter().map(|key| Ok((By::new(context, &key.by)?, key.descending)));
        Ok(Positions { keys: keys.collect::<Result<_, StoreError>>()?, reader: Reader::new(context) })
    }

    /// Puts a resource's position in place of what `out` holds.
    pub(super) fn position(&mut self, ordinal: u32, out: &mut Vec<u8>) -> Result<(), StoreError> {
        out.clear();
        for (by, descending) in &mut self.keys {
            let start = out.len();
            out.push(PRESENT);
            let has = by.component(&mut self.reader, *descending, ordinal, out)?;
            let (Some(mark), true) = (out.get_mut(start), !has || *descending) else { continue };
            if !has {
                *mark = MISSING;
            }
            if *descending {
                out.iter_mut().skip(start + 1).for_each(|byte| *byte = !*byte);
            }
        }
        out.extend_from_slice(&ordinal.to_be_bytes());
        Ok(())
    }
}

/// The ordinal of a position.
pub(super) fn ordinal_of(position: &[u8]) -> Option<u32> {
    position.last_chunk().map(|ordinal| u32::from_be_bytes(*ordinal))
}

/// The least positions of many, above one. Takes up to twice as many as it will keep, and some, before it drops the
/// larger half: cheap in whatever order they come.
pub(super) struct Least<'q> {
    /// The first 16 bytes of each, most comparisons end here, and where in `bytes` it is.
    taken: Vec<(u128, Range<usize>)>,
    bytes: Vec<u8>,
    count: usize,
    /// As many as it will keep are not above this.
    bound: Option<Vec<u8>>,
    after: &'q [u8],
}

/// How many more than twice its count [`Least`] takes.
const SPARE: usize = 64;

impl<'q> Least<'q> {
    /// Will keep `count` of those after a position; after an empty one: of all.
    pub(super) fn new(count: usize, after: &'q [u8]) -> Self {
        Least { taken: Vec::new(), bytes: Vec::new(), count, bound: None, after }
    }

    /// Whether it has as many as it will keep.
    pub(super) fn is_full(&self) -> bool {
        self.taken.len() >= self.count
    }

    /// Takes a position if it may be one of the least.
    pub(super) fn offer(&mut self, position: &[u8]) {
        if position <= self.after || self.bound.as_deref().is_some_and(|bound| position > bound) {
            return;
        }
        let mut prefix = [0; 16];
        prefix.iter_mut().zip(position).for_each(|(to, from)| *to = *from);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(position);
        self.taken.push((u128::from_be_bytes(prefix), start..self.bytes.len()));
        if self.taken.len() > self.count.saturating_mul(2).saturating_add(SPARE) {
            self.halve();
        }
    }

    fn at(bytes: &[u8], range: &Range<usize>) -> Vec<u8> {
        bytes.get(range.clone()).unwrap_or_default().to_vec()
    }

    /// Drops all but the least `count`.
    fn halve(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let Some(last) = self.count.checked_sub(1).filter(|last| *last < self.taken.len()) else {
            self.taken.clear();
            return;
        };
        let order = |a: &(u128, Range<usize>), b: &(u128, Range<usize>)| {
            a.0.cmp(&b.0).then_with(|| bytes.get(a.1.clone()).cmp(&bytes.get(b.1.clone())))
        };
        let (_, bound, _) = self.taken.select_nth_unstable_by(last, order);
        self.bound = Some(Self::at(&bytes, &bound.1));
        self.taken.truncate(self.count);
        for (_, range) in &mut self.taken {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(bytes.get(range.clone()).unwrap_or_default());
            *range = start..self.bytes.len();
        }
    }

    /// Them, in order.
    pub(super) fn into_sorted(mut self) -> Vec<Vec<u8>> {
        if self.taken.len() > self.count {
            self.halve();
        }
        let mut positions: Vec<_> =
            self.taken.iter().map(|(_, range)| Self::at(&self.bytes, range)).collect();
        positions.sort_unstable();
        positions
    }
}

/// The parameter whose index has the order of a sort key.
fn ordered_parameter(key: &SortKey) -> Option<ParameterId> {
    match key.by {
        SortBy::Parameter(parameter) => Some(parameter),
        SortBy::LastUpdated => Some(LAST_UPDATED),
        SortBy::Id | SortBy::Score | SortBy::Chain { .. } => None,
    }
}

type Entries<'t> = Box<dyn Iterator<Item = heed::Result<(&'t [u8], &'t [u8])>> + 't>;

/// One index entry of a walk.
struct Step<'t> {
    /// Its sort component.
    component: Vec<u8>,
    chunk: u32,
    posting: Posting<'t>,
}

/// The entries of one kind of value, in order: of points, and of ranges by their least.
struct Kind<'t> {
    spaces: Vec<(Entries<'t>, Option<Step<'t>>)>,
    descending: bool,
}

impl<'t> Kind<'t> {
    fn new(
        context: &Context<'t>,
        parameter: ParameterId,
        space: u8,
        from: &[u8],
        descending: bool,
    ) -> Result<Self, StoreError> {
        let spaces: &[u8] = if matches!(space, NUMBER | DATE | QUANTITY) { &[0, BY_LO] } else { &[0] };
        let mut kind = Kind { spaces: Vec::new(), descending };
        for by in spaces {
            let prefix = |rest: &[u8]| [parameter.0.to_be_bytes().as_slice(), &[space + by], rest].concat();
            let all = prefix(&[]);
            let mut entries = entries(context, &all, &prefix(from), descending)?;
            let next = step(&mut entries)?;
            kind.spaces.push((entries, next));
        }
        Ok(kind)
    }

    /// The next entry of all spaces.
    fn next(&mut self) -> Result<Option<Step<'t>>, StoreError> {
        let descending = self.descending;
        let best = self.spaces.iter_mut().filter(|space| space.1.is_some()).min_by(|a, b| {
            let order =
                a.1.as_ref().map(|step| &step.component).cmp(&b.1.as_ref().map(|step| &step.component));
            if descending { order.reverse() } else { order }
        });
        let Some((entries, next)) = best else { return Ok(None) };
        let following = step(entries)?;
        Ok(std::mem::replace(next, following))
    }
}

/// The entries of a space, from those that begin with `from`.
fn entries<'t>(
    context: &Context<'t>,
    space: &[u8],
    from: &[u8],
    descending: bool,
) -> Result<Entries<'t>, StoreError> {
    use std::ops::Bound::{Excluded, Included};
    let table = context.databases.postings.remap_types::<Raw, Raw>();
    let (start, end) =
        if descending { (space.to_vec(), prefix_end(from)) } else { (from.to_vec(), prefix_end(space)) };
    let range = (Included(start.as_slice()), Excluded(end.as_slice()));
    Ok(if descending {
        Box::new(table.rev_range(context.txn, &range)?)
    } else {
        Box::new(table.range(context.txn, &range)?)
    })
}

fn step<'t>(entries: &mut Entries<'t>) -> Result<Option<Step<'t>>, StoreError> {
    let Some((key, posting)) = entries.next().transpose()? else { return Ok(None) };
    let (value, chunk) = split_key(key).ok_or_else(|| damaged("a posting's key is too short"))?;
    let mut component = Vec::new();
    Stored::take(value)
        .and_then(|(stored, _)| stored.sort_component(&mut component))
        .ok_or_else(|| damaged("a posting's value cannot be read"))?;
    Ok(Some(Step { component, chunk, posting: Posting(posting) }))
}

/// Walks the index of the first sort key until `least` is full; whether it became so. If not (the index does not have
/// the order, too few matches have a value, or they are rarer than one in what `most` candidates are for a page), `least`
/// is of no use.
pub(super) fn walk<'t>(
    context: &'t Context<'t>,
    plan: &Plan,
    keys: &'t [SortKey],
    most: u64,
    least: &mut Least<'_>,
) -> Result<bool, StoreError> {
    let Some((key, parameter)) = keys.first().and_then(|key| Some((key, ordered_parameter(key)?))) else {
        return Ok(false);
    };
    let start = match start_of(least.after, key.descending) {
        Some(start) => start,
        None => return Ok(false),
    };
    let mut kinds = [TOKEN, STRING, URI, REFERENCE, NUMBER, DATE, QUANTITY];
    if key.descending {
        kinds.reverse();
    }
    let mut walk = Walk {
        evaluation: Evaluation::new(context),
        positions: Positions::new(context, keys)?,
        plan,
        mark: Vec::new(),
        seen: FxHashSet::default(),
        position: Vec::new(),
        left: most,
    };
    for space in kinds {
        let from = match start.split_first() {
            Some((&first, _)) if (first > space) != key.descending && first != space => continue,
            Some((&first, rest)) if first == space => rest,
            _ => &[],
        };
        let mut kind = Kind::new(context, parameter, space, from, key.descending)?;
        while let Some(step) = kind.next()? {
            context.spend(1)?;
            if walk.begins_group(&step.component, key.descending) && least.is_full() {
                return Ok(true);
            }
            if !walk.take(&step, least)? {
                return Ok(false);
            }
        }
    }
    Ok(least.is_full())
}

/// Where a walk starts: the sort component of a position, without the end of a text. Empty for the beginning;
/// `None` if the position is among the resources without a value.
fn start_of(after: &[u8], descending: bool) -> Option<Vec<u8>> {
    let Some((&mark, rest)) = after.split_first() else { return Some(Vec::new()) };
    if mark != PRESENT {
        return None;
    }
    let plain: Vec<u8> = rest.iter().map(|byte| if descending { !byte } else { *byte }).collect();
    let (&space, value) = plain.split_first()?;
    let length = match space {
        NUMBER | DATE | QUANTITY => 8,
        _ => value.iter().position(|byte| *byte == 0)?,
    };
    plain.get(..=length).map(<[u8]>::to_vec)
}

struct Walk<'t, 'p> {
    evaluation: Evaluation<'t>,
    positions: Positions<'t>,
    plan: &'p Plan,
    /// How the positions of the resources begin that sort by the value the walk is at.
    mark: Vec<u8>,
    /// Those of the resources already offered.
    seen: FxHashSet<u32>,
    position: Vec<u8>,
    /// How many candidates it may still look at.
    left: u64,
}

impl Walk<'_, '_> {
    /// Whether a component is another than the last one's.
    fn begins_group(&mut self, component: &[u8], descending: bool) -> bool {
        let turned = |byte: &u8| if descending { !*byte } else { *byte };
        if self.mark.len() == component.len() + 1
            && self.mark.iter().skip(1).copied().eq(component.iter().map(turned))
        {
            return false;
        }
        self.mark.clear();
        self.mark.push(PRESENT);
        self.mark.extend(component.iter().map(turned));
        self.seen.clear();
        true
    }

    /// Offers the matches of one posting that sort by its value. Not when that is some other of their values.
    /// `false` if the walk has looked at too many.
    fn take(&mut self, step: &Step<'_>, least: &mut Least<'_>) -> Result<bool, StoreError> {
        let mut set = Set::from(step.posting);
        let Some(left) = self.left.checked_sub(1 + set.len() as u64) else { return Ok(false) };
        self.left = left;
        self.plan.restrict(&mut self.evaluation, step.chunk, &mut set)?;
        for offset in set.iter() {
            let ordinal = ordinal_at(step.chunk, offset);
            self.positions.position(ordinal, &mut self.position)?;
            if self.position.starts_with(&self.mark) && self.seen.insert(ordinal) {
                least.offer(&self.position);
            }
        }
        Ok(true)
    }
}
