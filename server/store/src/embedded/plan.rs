//! Turns a filter into conditions on postings, and evaluates them chunk by chunk. Knows nothing of order or pages.
//!
//! A condition is asked of a chunk and narrows the set of candidates there, so that only chunks and postings that
//! matter are read. Conditions that are one posting a chunk come first. A range (dates, numbers, prefixes ..) is
//! either read whole into sets, or, when there are few candidates, checked against their forward records; a chain,
//! in either direction, likewise. [`Plan::settle`] decides by size.

mod estimate;

use std::cell::Cell;

use heed::RoTxn;

use super::encoding::{
    self, Answer, BY_HI, BY_LO, COMPOSITE, DATE, LONG_COMPOSITE, NUMBER, QUANTITY, REFERENCE, SHORT_SPAN,
    STRING, SYSTEM, Stored, TOKEN, Test, ordered_f64, ordered_i64, prefix_end,
};
use super::forward::{ForwardReader, damaged};
use super::pending::long_key;
use super::postings::{IndexDatabases, LAST_UPDATED, TYPE, presence_key, split_key};
use super::records::{Records, stored_key};
use super::set::{CHUNK_BITS, Posting, Set, Sets, chunk_of, offset_of, ordinal_at};
use super::texts::{self, Late};
use super::writer::entries_of;
use crate::{
    Access, Comparison, Filter, Indexer, Parameter, ParameterId, Predicate, StoreError, StringMatch, Value,
};
pub(super) use estimate::Estimate;

/// Sizes that decide how a query is run, and the one that refuses it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Most index entries that one query may read.
    pub entries_read: u64,
    /// Candidates up to which a range is checked against forward records rather than read.
    pub few_candidates: u64,
    /// Entries of a range that are read to see whether it is small.
    pub first_entries: u64,
    /// Candidates that are checked in the hope that a page becomes full, before a range is read after all.
    pub checked: u64,
    /// Matches up to which all sort keys are read; of more, the index may be walked in order first.
    pub few_matches: u64,
    /// Candidates that a walk looks at before it gives up.
    pub walked: u64,
    /// Candidates that are looked at to see about how many match.
    pub sampled: u64,
    /// How much dearer than reading the sort key of a match it is to look at a candidate of a walk.
    pub walk_cost: u64,
    /// Chunks from which on a plan is estimated before it runs; a search of fewer cannot read too many entries.
    pub estimated_chunks: u32,
}

/// The engine's.
pub(super) const LIMITS: Limits = Limits {
    entries_read: 20_000_000,
    few_candidates: 4_096,
    first_entries: 8_192,
    checked: 4_096,
    few_matches: 1_000,
    walked: 20_000,
    sampled: 1_024,
    walk_cost: 2,
    estimated_chunks: 512,
};

/// Candidates of a chunk that are checked before it is seen whether they were enough.
const CHECKED_AT_ONCE: usize = 128;
/// Systems of one code that are looked up one by one.
const FEW_SYSTEMS: usize = 32;

/// What evaluating needs, and how much it has read.
pub(super) struct Context<'t> {
    pub(super) txn: &'t RoTxn<'t>,
    pub(super) databases: &'t IndexDatabases,
    pub(super) records: &'t Records,
    pub(super) access: &'t Access,
    pub(super) limits: Limits,
    /// What texts are searched in, if the query asks of any.
    pub(super) late: Option<&'t Late<'t>>,
    /// What parameters are called, by number.
    pub(super) parameters: &'t [Parameter],
    /// What computes entries of bodies, if the query asks of any.
    pub(super) indexer: Option<&'t dyn Indexer>,
    read: Cell<u64>,
}

impl<'t> Context<'t> {
    /// Nothing is read yet.
    pub(super) fn new(
        txn: &'t RoTxn<'t>,
        databases: &'t IndexDatabases,
        records: &'t Records,
        access: &'t Access,
    ) -> Self {
        let read = Cell::new(0);
        Context {
            txn,
            databases,
            records,
            access,
            limits: LIMITS,
            late: None,
            parameters: &[],
            indexer: None,
            read,
        }
    }

    /// Counts entries read.
    pub(super) fn spend(&self, entries: u64) -> Result<(), StoreError> {
        self.read.set(self.read.get() + entries);
        if self.read.get() <= self.limits.entries_read {
            return Ok(());
        }
        Err(StoreError::TooCostly(format!(
            "the search would read more than {} index entries; add a parameter that few resources fulfil \
             (a patient, an identifier, a code) or narrow its dates, numbers or texts",
            self.limits.entries_read
        )))
    }

    /// What a plan would read; it is refused if that is too much. `None` where a search cannot read so much, unless it is
    /// to be explained.
    pub(super) fn estimate(
        &self,
        plan: &Plan,
        wholly: bool,
        explained: bool,
    ) -> Result<Option<Estimate>, StoreError> {
        if !explained && self.databases.chunks(self.txn)? < self.limits.estimated_chunks {
            return Ok(None);
        }
        let estimate = plan.estimate(self, wholly)?;
        if estimate.entries <= self.limits.entries_read {
            return Ok(Some(estimate));
        }
        let most = estimate.most.map_or("nothing", |(parameter, _)| self.name(parameter));
        Err(StoreError::TooCostly(format!(
            "the search would read about {} index entries, most of them of {most}, and {} are allowed; narrow what it \
             asks of {most}, or add a parameter that few resources fulfil (a patient, an identifier, a code)",
            estimate.entries, self.limits.entries_read
        )))
    }

    /// What a parameter is called.
    pub(super) fn name(&self, parameter: ParameterId) -> &'t str {
        let known = self.parameters.get(usize::from(parameter.0)).map(|parameter| parameter.name.as_str());
        known.unwrap_or(if parameter == LAST_UPDATED { "_lastUpdated" } else { "a parameter" })
    }

    /// How many entries were counted so far.
    pub(super) fn entries_read(&self) -> u64 {
        self.read.get()
    }

    fn posting(&self, term: &[u8], chunk: u32) -> Result<Option<Posting<'t>>, StoreError> {
        let mut key = smallvec::SmallVec::<[u8; 128]>::from_slice(term);
        key.extend_from_slice(&chunk.to_be_bytes());
        Ok(self.databases.postings.get(self.txn, &key)?.map(Posting))
    }

    fn presence(
        &self,
        chunk: u32,
        parameter: ParameterId,
        name: &str,
    ) -> Result<Option<Posting<'t>>, StoreError> {
        let key = presence_key(chunk, parameter, name);
        Ok(self.databases.presence.get(self.txn, &key)?.map(Posting))
    }
}

/// A range of keys, or several, and what their values must fulfil.
#[derive(Debug)]
struct Scan {
    parameter: ParameterId,
    predicate: Predicate,
    test: Test,
    /// From the first (included) to the second (not included).
    ranges: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Scan {
    /// Whether forward records have all that it asks of.
    fn is_checkable(&self) -> bool {
        matches!(self.predicate, Predicate::Date(..) | Predicate::Number(..) | Predicate::Quantity { .. })
    }

    /// Reads the ranges, at most about `limit` entries; `None` if that is not enough.
    fn read(&self, context: &Context<'_>, limit: u64) -> Result<Option<Sets>, StoreError> {
        let mut sets = Sets::default();
        let mut left = limit;
        for (from, to) in &self.ranges {
            let range =
                (std::ops::Bound::Included(from.as_slice()), std::ops::Bound::Excluded(to.as_slice()));
            for found in context.databases.postings.range(context.txn, &range)? {
                let (key, posting) = found?;
                let Some(less) = left.checked_sub(1) else { return Ok(None) };
                left = less;
                context.spend(1)?;
                let (value, chunk) = split_key(key).ok_or_else(|| damaged("a posting's key is too short"))?;
                if self.holds(context, value)? {
                    sets.or_posting(chunk, Posting(posting));
                }
            }
        }
        Ok(Some(sets))
    }

    fn holds(&self, context: &Context<'_>, value: &[u8]) -> Result<bool, StoreError> {
        let unreadable = || damaged("a posting's value cannot be read");
        let (stored, _) = Stored::take(value).ok_or_else(unreadable)?;
        Ok(match self.test.ask(&stored) {
            Answer::Yes => true,
            Answer::No => false,
            Answer::Long(hash) => {
                let packed = context.databases.long.get(context.txn, &long_key(self.parameter.0, &hash))?;
                let packed = packed.ok_or_else(|| damaged("a long value is missing"))?;
                let (value, _) = Value::unpack(packed).ok_or_else(unreadable)?;
                self.predicate.matches(&value)
            }
        })
    }
}

/// A chain whose reference is followed from each candidate.
#[derive(Debug)]
struct Chain {
    parameter: ParameterId,
    targets: Vec<(Box<str>, Plan)>,
}

/// A chain the other way round: a match of the plan refers to the candidate.
#[derive(Debug)]
struct Has {
    parameter: ParameterId,
    plan: Box<Plan>,
}

/// A condition.
#[derive(Debug)]
enum Node {
    All,
    Nothing,
    /// One posting a chunk, by key without the chunk.
    Term(Vec<u8>),
    /// The same of `presence`, by parameter and name.
    Presence(ParameterId, Box<str>),
    Known(Sets),
    Scan(Scan),
    Chain(Chain),
    Has(Has),
    /// [`Filter::Contained`].
    Contained(Box<Filter>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Not(Box<Node>),
}

impl Node {
    /// Whether candidates are checked against it one by one.
    fn is_checked(&self) -> bool {
        match self {
            Node::Scan(_) | Node::Chain(_) | Node::Has(_) | Node::Contained(_) => true,
            Node::And(nodes) | Node::Or(nodes) => nodes.iter().any(Node::is_checked),
            Node::Not(inner) => inner.is_checked(),
            Node::All | Node::Nothing | Node::Term(_) | Node::Presence(..) | Node::Known(_) => false,
        }
    }
}

/// Where a condition may hold: chunks, ascending, and at most how many resources.
#[derive(Debug, Clone)]
struct Footprint {
    chunks: Vec<u32>,
    resources: u64,
}

/// A filter made ready, for one type or for all. [`Plan::settle`] it before use.
#[derive(Debug)]
pub(super) struct Plan {
    root: Node,
    chunks: Vec<u32>,
    /// At most how many match.
    pub(super) resources: u64,
}

/// Whose question a filter is.
#[derive(Debug, Clone, Copy)]
enum Asker {
    /// The caller's: chains lead only through what may be seen.
    Caller,
    /// The access decision's own: it sees everything. Were it held to itself, a rule with a chain would have no end.
    Decision,
}

impl Plan {
    /// Prepares a filter on the resources of a type, and what access leaves of them.
    pub(super) fn new(
        context: &Context<'_>,
        resource_type: Option<&str>,
        filter: &Filter,
    ) -> Result<Plan, StoreError> {
        let asked = compile(context, Asker::Caller, resource_type, filter)?;
        let permitted = match resource_type {
            Some(name) => permitted(context, context.access.searched(name), name)?,
            None => visible(context)?,
        };
        Plan::of_nodes(context, resource_type, asked, permitted)
    }

    /// The same of what a chain leads to.
    fn of_link(
        context: &Context<'_>,
        asker: Asker,
        resource_type: &str,
        filter: &Filter,
    ) -> Result<Plan, StoreError> {
        let asked = compile(context, asker, Some(resource_type), filter)?;
        let permitted = match asker {
            Asker::Caller => permitted(context, context.access.seen(resource_type), resource_type)?,
            Asker::Decision => Node::All,
        };
        Plan::of_nodes(context, Some(resource_type), asked, permitted)
    }

    /// The resources of a type that the caller may see where a chain leads, settled.
    pub(super) fn seen(context: &Context<'_>, resource_type: &str) -> Result<Plan, StoreError> {
        let mut plan = Plan::of_link(context, Asker::Caller, resource_type, &Filter::All)?;
        plan.settle(context, false)?;
        Ok(plan)
    }

    fn of_nodes(
        context: &Context<'_>,
        resource_type: Option<&str>,
        asked: Node,
        permitted: Node,
    ) -> Result<Plan, StoreError> {
        let of_type = Node::Presence(TYPE, resource_type.unwrap_or_default().into());
        let root = and(vec![of_type, asked, permitted]);
        let total = context.databases.chunks(context.txn)?;
        let footprint = footprint(context, &root, total)?;
        let (chunks, resources) = match footprint {
            Some(footprint) => (footprint.chunks, footprint.resources),
            None => ((0..total).collect(), u64::from(total) << CHUNK_BITS),
        };
        Ok(Plan { root, chunks, resources })
    }

    /// The plan of what is known already.
    pub(super) fn of(matches: Sets) -> Plan {
        let resources = matches.len();
        let chunks = matches.chunks().map(|(chunk, _)| chunk).collect();
        Plan { root: Node::Known(matches), chunks, resources }
    }

    /// What is known already, if that is the plan.
    pub(super) fn sets(&self) -> Option<&Sets> {
        match &self.root {
            Node::Known(sets) => Some(sets),
            _ => None,
        }
    }

    /// Decides how ranges and chains are evaluated; `wholly` if all matches will be asked for.
    pub(super) fn settle(&mut self, context: &Context<'_>, wholly: bool) -> Result<(), StoreError> {
        let mut known = false;
        settle(context, &mut self.root, self.resources, wholly, &mut known)?;
        if known {
            let total = context.databases.chunks(context.txn)?;
            if let Some(footprint) = footprint(context, &self.root, total)?
                && footprint.resources < self.resources
            {
                (self.chunks, self.resources) = (footprint.chunks, footprint.resources);
            }
        }
        Ok(())
    }

    /// The first chunk from a number on that may have matches.
    pub(super) fn next_chunk(&self, from: u32) -> Option<u32> {
        self.chunks.get(self.chunks.partition_point(|chunk| *chunk < from)).copied()
    }

    /// The chunks that may have matches, ascending.
    pub(super) fn chunks(&self) -> &[u32] {
        &self.chunks
    }

    /// Keeps of a chunk's candidates what matches.
    pub(super) fn restrict(
        &self,
        evaluation: &mut Evaluation<'_>,
        chunk: u32,
        set: &mut Set,
    ) -> Result<(), StoreError> {
        evaluation.restrict(&self.root, chunk, set)
    }

    /// Matches in a chunk from an offset on: all, or, where they are checked one by one, `wanted` or a few more.
    pub(super) fn first_matches(
        &self,
        evaluation: &mut Evaluation<'_>,
        chunk: u32,
        from: u16,
        wanted: usize,
    ) -> Result<Set, StoreError> {
        let nodes = match &self.root {
            Node::And(nodes) => nodes.as_slice(),
            other => std::slice::from_ref(other),
        };
        let mut set = Set::all();
        for node in nodes.iter().filter(|node| !node.is_checked()) {
            evaluation.restrict(node, chunk, &mut set)?;
        }
        let candidates: Vec<u16> = set.iter().filter(|offset| *offset >= from).collect();
        let mut found = Vec::new();
        for some in candidates.chunks(CHECKED_AT_ONCE) {
            let mut set = Set::Few(some.to_vec());
            for node in nodes.iter().filter(|node| node.is_checked()) {
                evaluation.restrict(node, chunk, &mut set)?;
            }
            found.extend(set.iter());
            if found.len() >= wanted {
                break;
            }
        }
        Ok(Set::Few(found))
    }

    /// All matches in a chunk.
    pub(super) fn matches(&self, evaluation: &mut Evaluation<'_>, chunk: u32) -> Result<Set, StoreError> {
        let mut set = Set::all();
        evaluation.restrict(&self.root, chunk, &mut set)?;
        Ok(set)
    }
}

/// What access leaves of all types.
fn visible(context: &Context<'_>) -> Result<Node, StoreError> {
    let mut any = Vec::new();
    let mut limited = false;
    for (name, _) in context.databases.types(context.txn)? {
        let filter = context.access.searched(&name);
        limited |= *filter != Filter::All;
        let node = permitted(context, filter, &name)?;
        any.push(and(vec![Node::Presence(TYPE, name), node]));
    }
    Ok(if limited { Node::Or(any) } else { Node::All })
}

/// What the access decision leaves of a type.
fn permitted(context: &Context<'_>, filter: &Filter, resource_type: &str) -> Result<Node, StoreError> {
    compile(context, Asker::Decision, Some(resource_type), filter)
}

fn compile(
    context: &Context<'_>,
    asker: Asker,
    resource_type: Option<&str>,
    filter: &Filter,
) -> Result<Node, StoreError> {
    let each = |filters: &[Filter]| -> Result<Vec<Node>, StoreError> {
        filters.iter().map(|filter| compile(context, asker, resource_type, filter)).collect()
    };
    Ok(match filter {
        Filter::All => Node::All,
        Filter::None => Node::Nothing,
        Filter::And(filters) => and(each(filters)?),
        Filter::Or(filters) => or(each(filters)?),
        Filter::Not(filter) => Node::Not(Box::new(compile(context, asker, resource_type, filter)?)),
        Filter::Match(parameter, predicate) => condition(context, *parameter, predicate)?,
        Filter::Present(parameter) => Node::Presence(*parameter, "".into()),
        Filter::Type(name) => Node::Presence(TYPE, name.clone()),
        Filter::Text(query) => Node::Known(texts::found(context, query)?),
        Filter::Ids(ids) => Node::Known(of_ids(context, resource_type, ids)?),
        &Filter::LastUpdated(comparison, lo, hi) => {
            condition(context, LAST_UPDATED, &Predicate::Date(comparison, lo, hi))?
        }
        Filter::Chain { parameter, targets } => {
            let mut plans = Vec::with_capacity(targets.len());
            for (name, filter) in targets {
                plans.push((name.clone(), Plan::of_link(context, asker, name, filter)?));
            }
            Node::Chain(Chain { parameter: *parameter, targets: plans })
        }
        Filter::Has { resource_type, parameter, filter } => {
            let plan = Box::new(Plan::of_link(context, asker, resource_type, filter)?);
            Node::Has(Has { parameter: *parameter, plan })
        }
        Filter::Contained { begin, resource_type: contained, filter: asked } => {
            let around = Filter::around_contained(*begin, contained, asked);
            let around = compile(context, asker, resource_type, &around)?;
            and(vec![around, Node::Contained(Box::new(filter.clone()))])
        }
    })
}

/// All of them, the cheapest to ask first.
fn and(nodes: Vec<Node>) -> Node {
    let mut flat = Vec::with_capacity(nodes.len());
    for node in nodes {
        match node {
            Node::All => (),
            Node::Nothing => return Node::Nothing,
            Node::And(inner) => flat.extend(inner),
            other => flat.push(other),
        }
    }
    flat.sort_by_key(cost);
    match flat.len() {
        0 => Node::All,
        1 => flat.pop().unwrap_or(Node::All),
        _ => Node::And(flat),
    }
}

fn or(nodes: Vec<Node>) -> Node {
    let mut flat = Vec::with_capacity(nodes.len());
    for node in nodes {
        match node {
            Node::Nothing => (),
            Node::All => return Node::All,
            Node::Or(inner) => flat.extend(inner),
            other => flat.push(other),
        }
    }
    match flat.len() {
        0 => Node::Nothing,
        1 => flat.pop().unwrap_or(Node::Nothing),
        _ => Node::Or(flat),
    }
}

fn cost(node: &Node) -> u8 {
    match node {
        Node::All | Node::Nothing => 0,
        Node::Known(_) => 1,
        Node::Term(_) => 2,
        Node::Presence(..) => 3,
        Node::And(_) | Node::Or(_) | Node::Not(_) => 4,
        Node::Scan(_) => 5,
        Node::Chain(_) | Node::Has(_) => 6,
        Node::Contained(_) => 7,
    }
}

fn of_ids(context: &Context<'_>, resource_type: Option<&str>, ids: &[Box<str>]) -> Result<Sets, StoreError> {
    let types = match resource_type {
        Some(name) => vec![name.into()],
        None => context.databases.types(context.txn)?.into_iter().map(|(name, _)| name).collect(),
    };
    let mut sets = Sets::default();
    for name in &types {
        for id in ids {
            context.spend(1)?;
            if let Some(ordinal) = context.records.ordinal(context.txn, &format!("{name}/{id}"))? {
                sets.insert(ordinal);
            }
        }
    }
    Ok(sets)
}

/// The condition that some value of a parameter fulfils a predicate.
fn condition(
    context: &Context<'_>,
    parameter: ParameterId,
    predicate: &Predicate,
) -> Result<Node, StoreError> {
    let start = parameter.0.to_be_bytes();
    let under = |value: &[u8]| [start.as_slice(), value].concat();
    let whole = |prefix: Vec<u8>| {
        let end = prefix_end(&prefix);
        (prefix, end)
    };
    let test = Test::new(predicate);
    let ranges = match &test {
        Test::Token { code: Some(code), system: Some(system) } => {
            return Ok(Node::Term(under(&[&[TOKEN], code.as_slice(), system].concat())));
        }
        Test::Token { code: Some(code), system: None } => {
            let prefix = under(&[&[TOKEN], code.as_slice()].concat());
            match each_system(context, &prefix)? {
                Some(terms) => return Ok(or(terms)),
                None => vec![whole(prefix)],
            }
        }
        // Tokens without a system are not kept by system.
        Test::Token { code: None, system: Some(system) } if *predicate != no_system() => {
            return Ok(Node::Term(under(&[&[SYSTEM], system.as_slice()].concat())));
        }
        Test::Token { .. } => vec![whole(under(&[TOKEN]))],
        Test::String { how: StringMatch::Exact, exact, .. } => return Ok(Node::Term(under(exact))),
        Test::String { how: StringMatch::StartsWith | StringMatch::Same, folded, .. } => {
            vec![whole(under(&encoding::string_prefix(folded)))]
        }
        Test::String { how: StringMatch::Contains | StringMatch::EndsWith, .. } => {
            vec![whole(under(&[STRING]))]
        }
        Test::Below(above) => vec![whole(under(&Test::below_prefix(above)))],
        Test::NoneOf(tests) => every(parameter, tests),
        Test::Texts { space, encoded } => {
            return Ok(or(encoded
                .iter()
                .map(|text| Node::Term(under(&[&[*space], text.as_slice()].concat())))
                .collect()));
        }
        &Test::Date(comparison, lo, hi) => {
            spans(parameter, DATE, comparison, (ordered_i64(lo), ordered_i64(hi)), SHORT_SPAN)
        }
        &Test::Number(comparison, lo, hi) => {
            spans(parameter, NUMBER, comparison, (ordered_f64(lo), ordered_f64(hi)), 0)
        }
        &Test::Quantity { comparison, lo, hi, .. } => {
            spans(parameter, QUANTITY, comparison, (ordered_f64(lo), ordered_f64(hi)), 0)
        }
        Test::Composite(parts) => {
            let prefix = Test::composite_prefix(parts);
            debug_assert!(prefix.first() == Some(&COMPOSITE));
            vec![whole(under(&prefix)), whole(under(&[LONG_COMPOSITE]))]
        }
    };
    Ok(Node::Scan(Scan { parameter, predicate: predicate.clone(), test, ranges }))
}

/// The ranges of all values of the kind that the first of some tests is about.
fn every(parameter: ParameterId, tests: &[Test]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let Some(test) = tests.first() else { return Vec::new() };
    let spaces = match test {
        Test::Token { .. } => vec![TOKEN],
        Test::String { .. } => vec![STRING],
        Test::Below(_) => vec![encoding::URI],
        Test::Texts { space, .. } => vec![*space],
        Test::Date(..) => vec![DATE, DATE + BY_LO],
        Test::Number(..) => vec![NUMBER, NUMBER + BY_LO],
        Test::Quantity { .. } => vec![QUANTITY, QUANTITY + BY_LO],
        Test::Composite(_) => vec![COMPOSITE, LONG_COMPOSITE],
        Test::NoneOf(tests) => return every(parameter, tests),
    };
    let range = |space: u8| {
        let mut from = parameter.0.to_be_bytes().to_vec();
        from.push(space);
        let to = prefix_end(&from);
        (from, to)
    };
    spaces.into_iter().map(range).collect()
}

fn no_system() -> Predicate {
    Predicate::Token { system: Some("".into()), code: None }
}

/// A term for each system that the code of this prefix is used with; `None` if there are too many.
fn each_system(context: &Context<'_>, prefix: &[u8]) -> Result<Option<Vec<Node>>, StoreError> {
    let mut terms = Vec::new();
    let mut from = prefix.to_vec();
    let end = prefix_end(prefix);
    loop {
        let range = (std::ops::Bound::Included(from.as_slice()), std::ops::Bound::Excluded(end.as_slice()));
        let Some(found) = context.databases.postings.range(context.txn, &range)?.next().transpose()? else {
            return Ok(Some(terms));
        };
        context.spend(1)?;
        let term = found.0.get(..prefix.len() + 8).ok_or_else(|| damaged("a posting's key is too short"))?;
        if terms.len() == FEW_SYSTEMS {
            return Ok(None);
        }
        from = prefix_end(term);
        terms.push(Node::Term(term.to_vec()));
    }
}

/// The ranges of keys whose spans may compare so with `[lo, hi]`: of points, or spans of at most `short`, by their
/// beginning; of others by either end. They may hold more; what they hold is checked.
fn spans(
    parameter: ParameterId,
    points: u8,
    comparison: Comparison,
    (lo, hi): (u64, u64),
    short: u64,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let range = |by: u8, from: u64, to: u64| {
        let key = |number: u64| {
            let mut key = parameter.0.to_be_bytes().to_vec();
            key.push(points + by);
            key.extend_from_slice(&number.to_be_bytes());
            key
        };
        (key(from), prefix_end(&key(to)))
    };
    let (before_lo, before_hi) = (lo.saturating_sub(short), hi.saturating_sub(short));
    match comparison {
        Comparison::Equal => vec![range(0, lo, hi), range(BY_LO, lo, hi)],
        Comparison::NotEqual => vec![range(0, 0, u64::MAX), range(BY_LO, 0, u64::MAX)],
        Comparison::Greater => vec![range(0, before_hi, u64::MAX), range(BY_HI, hi, u64::MAX)],
        Comparison::Less => vec![range(0, 0, lo), range(BY_LO, 0, lo)],
        Comparison::GreaterOrEqual => {
            let from = before_hi.min(lo);
            vec![range(0, from, u64::MAX), range(BY_HI, hi, u64::MAX), range(BY_LO, lo, hi)]
        }
        Comparison::LessOrEqual => vec![range(0, 0, hi.max(lo)), range(BY_LO, 0, hi.max(lo))],
        Comparison::StartsAfter => vec![range(0, hi, u64::MAX), range(BY_LO, hi, u64::MAX)],
        Comparison::EndsBefore => vec![range(0, 0, lo), range(BY_HI, 0, lo)],
        Comparison::Approximately => vec![range(0, before_lo, hi), range(BY_LO, 0, hi)],
    }
}

/// Where a condition may hold, found at a cost near that of its most selective part. `None` if only reading all
/// would tell.
fn footprint(context: &Context<'_>, node: &Node, chunks: u32) -> Result<Option<Footprint>, StoreError> {
    let mut budget = 8_usize;
    loop {
        if let Some(found) = within(context, node, budget)? {
            return Ok(Some(found));
        }
        if budget as u64 > 4 * u64::from(chunks) {
            return Ok(None);
        }
        budget *= 8;
    }
}

/// The footprint, if it is found by reading so many postings for each part.
fn within(context: &Context<'_>, node: &Node, budget: usize) -> Result<Option<Footprint>, StoreError> {
    match node {
        Node::Nothing => Ok(Some(Footprint { chunks: Vec::new(), resources: 0 })),
        Node::Known(sets) => {
            let chunks = sets.chunks().map(|(chunk, _)| chunk).collect();
            Ok(Some(Footprint { chunks, resources: sets.len() }))
        }
        Node::Term(term) => term_within(context, term, budget),
        Node::And(nodes) => {
            let mut best: Option<Footprint> = None;
            for node in nodes {
                if let Some(found) = within(context, node, budget)?
                    && best.as_ref().is_none_or(|best| found.resources < best.resources)
                {
                    best = Some(found);
                }
            }
            Ok(best)
        }
        Node::Or(nodes) => {
            let mut all = Footprint { chunks: Vec::new(), resources: 0 };
            for node in nodes {
                let left = budget.saturating_sub(all.chunks.len());
                let Some(found) = within(context, node, left)? else { return Ok(None) };
                all.chunks.extend(found.chunks);
                all.resources += found.resources;
            }
            all.chunks.sort_unstable();
            all.chunks.dedup();
            Ok(Some(all))
        }
        Node::All
        | Node::Presence(..)
        | Node::Scan(_)
        | Node::Chain(_)
        | Node::Has(_)
        | Node::Contained(_)
        | Node::Not(_) => Ok(None),
    }
}

fn term_within(context: &Context<'_>, term: &[u8], budget: usize) -> Result<Option<Footprint>, StoreError> {
    let mut all = Footprint { chunks: Vec::new(), resources: 0 };
    for found in context.databases.postings.prefix_iter(context.txn, term)? {
        let (key, posting) = found?;
        if all.chunks.len() == budget {
            return Ok(None);
        }
        context.spend(1)?;
        let (_, chunk) = split_key(key).ok_or_else(|| damaged("a posting's key is too short"))?;
        all.chunks.push(chunk);
        all.resources += Posting(posting).len() as u64;
    }
    Ok(Some(all))
}

/// Replaces ranges and chains by the sets of what fulfils them, unless checking the candidates is cheaper. `known`
/// is set if any was.
fn settle(
    context: &Context<'_>,
    node: &mut Node,
    candidates: u64,
    wholly: bool,
    known: &mut bool,
) -> Result<(), StoreError> {
    let settled = match node {
        Node::And(nodes) | Node::Or(nodes) => {
            for node in nodes {
                settle(context, node, candidates, wholly, known)?;
            }
            None
        }
        Node::Not(inner) => {
            settle(context, inner, candidates, wholly, known)?;
            None
        }
        Node::Scan(scan) if scan.is_checkable() && candidates <= context.limits.few_candidates => None,
        Node::Scan(scan) if scan.is_checkable() && !wholly => {
            scan.read(context, context.limits.first_entries)?
        }
        Node::Scan(scan) => scan.read(context, u64::MAX)?,
        Node::Chain(chain) => chain.settle(context, candidates)?,
        Node::Has(has) => has.settle(context, candidates)?,
        Node::All
        | Node::Nothing
        | Node::Term(_)
        | Node::Presence(..)
        | Node::Known(_)
        | Node::Contained(_) => None,
    };
    if let Some(sets) = settled {
        *known = true;
        *node = Node::Known(sets);
    }
    Ok(())
}

impl Chain {
    /// Either all resources that point to a match, or `None`: the candidates' references are followed.
    fn settle(&mut self, context: &Context<'_>, candidates: u64) -> Result<Option<Sets>, StoreError> {
        let mut targets = 0;
        for (_, plan) in &mut self.targets {
            plan.settle(context, candidates > context.limits.few_candidates)?;
            targets += plan.resources;
        }
        if candidates <= context.limits.few_candidates && candidates < targets {
            return Ok(None);
        }
        let mut sets = Sets::default();
        for (_, plan) in &mut self.targets {
            plan.settle(context, true)?;
            let mut evaluation = Evaluation::new(context);
            for &chunk in plan.chunks() {
                let matches = plan.matches(&mut evaluation, chunk)?;
                for offset in matches.iter() {
                    add_referrers(context, self.parameter, ordinal_at(chunk, offset), &mut sets)?;
                }
            }
        }
        Ok(Some(sets))
    }
}

impl Has {
    /// Either all resources that a match points to, or `None`: what refers to the candidates is looked up.
    fn settle(&mut self, context: &Context<'_>, candidates: u64) -> Result<Option<Sets>, StoreError> {
        self.plan.settle(context, candidates > context.limits.few_candidates)?;
        if candidates <= context.limits.few_candidates && candidates < self.plan.resources {
            return Ok(None);
        }
        self.plan.settle(context, true)?;
        let mut sets = Sets::default();
        let mut evaluation = Evaluation::new(context);
        for &chunk in self.plan.chunks() {
            for offset in self.plan.matches(&mut evaluation, chunk)?.iter() {
                context.spend(1)?;
                for value in evaluation.forward.at(chunk, offset)?.values(self.parameter) {
                    let Value::Reference(target) = value else { continue };
                    if let Some(ordinal) = context.records.ordinal(context.txn, target)? {
                        sets.insert(ordinal);
                    }
                }
            }
        }
        Ok(Some(sets))
    }

    /// Whether a match refers to a resource.
    fn refers(&self, context: &Context<'_>, target: u32) -> Result<bool, StoreError> {
        let mut referrers = Sets::default();
        add_referrers(context, self.parameter, target, &mut referrers)?;
        let mut evaluation = Evaluation::new(context);
        for (chunk, set) in referrers.chunks() {
            let mut set = set.clone();
            self.plan.restrict(&mut evaluation, chunk, &mut set)?;
            if !set.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Adds the resources whose reference parameter points to a resource.
fn add_referrers(
    context: &Context<'_>,
    parameter: ParameterId,
    target: u32,
    sets: &mut Sets,
) -> Result<(), StoreError> {
    let key = context.records.head_key(context.txn, target)?;
    let key = key.ok_or_else(|| damaged("a resource is in postings and has no version"))?;
    let mut term = parameter.0.to_be_bytes().to_vec();
    encoding::put_value(&mut term, &Value::Reference(key));
    debug_assert!(term.get(2) == Some(&REFERENCE));
    context.spend(1)?;
    for found in context.databases.postings.prefix_iter(context.txn, &term)? {
        let (key, posting) = found?;
        context.spend(1)?;
        let (_, chunk) = split_key(key).ok_or_else(|| damaged("a posting's key is too short"))?;
        sets.or_posting(chunk, Posting(posting));
    }
    Ok(())
}

/// Evaluates plans, chunks ascending if it can be.
pub(super) struct Evaluation<'t> {
    pub(super) context: &'t Context<'t>,
    forward: ForwardReader<'t>,
    /// How many candidates it has checked against their forward records.
    pub(super) checked: u64,
}

impl<'t> Evaluation<'t> {
    /// Nothing is evaluated yet.
    pub(super) fn new(context: &'t Context<'_>) -> Self {
        Evaluation { context, forward: ForwardReader::new(context.txn, context.databases), checked: 0 }
    }

    fn restrict(&mut self, node: &Node, chunk: u32, set: &mut Set) -> Result<(), StoreError> {
        let keep = |set: &mut Set, posting: Option<Posting<'_>>| match posting {
            Some(posting) => set.and_posting(posting),
            None => *set = Set::default(),
        };
        match node {
            Node::All => (),
            Node::Nothing => *set = Set::default(),
            Node::Term(term) => keep(set, self.context.posting(term, chunk)?),
            Node::Presence(parameter, name) => keep(set, self.context.presence(chunk, *parameter, name)?),
            Node::Known(sets) => match sets.get(chunk) {
                Some(known) => set.and(known),
                None => *set = Set::default(),
            },
            Node::And(nodes) => {
                for node in nodes {
                    if set.is_empty() {
                        break;
                    }
                    self.restrict(node, chunk, set)?;
                }
            }
            Node::Or(nodes) => self.any(nodes, chunk, set)?,
            Node::Not(inner) => {
                let mut fulfilling = set.clone();
                self.restrict(inner, chunk, &mut fulfilling)?;
                set.and_not(&fulfilling);
            }
            Node::Scan(scan) => {
                if scan.parameter != LAST_UPDATED {
                    keep(set, self.context.presence(chunk, scan.parameter, "")?);
                }
                self.check(chunk, set, |_, forward| Ok(forward.matches(scan.parameter, &scan.predicate)))?;
            }
            Node::Chain(chain) => {
                self.check(chunk, set, |context, forward| follow(context, chain, &forward))?;
            }
            Node::Has(has) => {
                let mut kept = Vec::new();
                for offset in set.iter() {
                    self.checked += 1;
                    if has.refers(self.context, ordinal_at(chunk, offset))? {
                        kept.push(offset);
                    }
                }
                *set = Set::Few(kept);
            }
            Node::Contained(filter) => {
                let mut kept = Vec::new();
                for offset in set.iter() {
                    self.context.spend(1)?;
                    self.checked += 1;
                    if contains(self.context, ordinal_at(chunk, offset), filter)? {
                        kept.push(offset);
                    }
                }
                *set = Set::Few(kept);
            }
        }
        Ok(())
    }

    fn any(&mut self, nodes: &[Node], chunk: u32, set: &mut Set) -> Result<(), StoreError> {
        let mut fulfilling = Set::default();
        for node in nodes {
            if let Node::Term(term) = node {
                if let Some(posting) = self.context.posting(term, chunk)? {
                    fulfilling.or_posting(posting);
                }
            } else {
                let mut some = set.clone();
                self.restrict(node, chunk, &mut some)?;
                fulfilling.or(&some);
            }
        }
        set.and(&fulfilling);
        Ok(())
    }

    /// Keeps the candidates whose forward records pass.
    fn check(
        &mut self,
        chunk: u32,
        set: &mut Set,
        mut passes: impl FnMut(&Context<'_>, super::forward::Forward<'t>) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let mut kept = Vec::new();
        for offset in set.iter() {
            self.context.spend(1)?;
            self.checked += 1;
            let forward = self.forward.at(chunk, offset)?;
            if passes(self.context, forward)? {
                kept.push(offset);
            }
        }
        *set = Set::Few(kept);
        Ok(())
    }
}

/// Whether a resource contains one that fulfils [`Filter::Contained`]: its entries say so, computed from its body.
fn contains(context: &Context<'_>, ordinal: u32, filter: &Filter) -> Result<bool, StoreError> {
    let indexer = context.indexer.ok_or_else(|| {
        StoreError::TooCostly("contained resources cannot be a condition of a write".to_owned())
    })?;
    let Some(head) = context.records.head_ref(context.txn, ordinal)? else { return Ok(false) };
    if head.is_deleted() {
        return Ok(false);
    }
    let entries = entries_of(indexer, &stored_key(head.key)?, head.body)?;
    Ok(!filter.contained(&entries, head.last_updated).is_empty())
}

/// Whether a resource's reference points to a match of the chain.
fn follow(
    context: &Context<'_>,
    chain: &Chain,
    forward: &super::forward::Forward<'_>,
) -> Result<bool, StoreError> {
    for value in forward.values(chain.parameter) {
        let Value::Reference(target) = value else { continue };
        let Some((name, _)) = target.split_once('/') else { continue };
        for (_, plan) in chain.targets.iter().filter(|(wanted, _)| **wanted == *name) {
            context.spend(1)?;
            let Some(ordinal) = context.records.ordinal(context.txn, target)? else { continue };
            let mut set = Set::Few(vec![offset_of(ordinal)]);
            plan.restrict(&mut Evaluation::new(context), chunk_of(ordinal), &mut set)?;
            if !set.is_empty() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
