//! What running a plan would read of the index, estimated before it reads: by the lengths of postings and, where a range is
//! a part of a parameter's values, by a sample of resources. Refuses nothing itself.
//!
//! How many resources a plan finds is estimated by asking it of a sample of those that its rarest condition leaves.
//!
//! An estimate is of the way that [`super::settle`] would take. What nobody can tell beforehand (which part of a composite's
//! values a range has, how many resources a chain leaves) counts as little, so that nothing is refused for a guess;
//! [`super::Context::spend`] stops what turns out larger.

use super::super::forward::ForwardReader;
use super::super::postings::{LAST_UPDATED, TYPE};
use super::super::set::{Posting, Set};
use super::{Chain, Context, Evaluation, Has, Node, Plan, Scan, settle, within};
use crate::{ParameterId, StoreError};

/// Chunks that a sample looks at, and resources in each.
const SAMPLED_CHUNKS: u32 = 64;
const SAMPLED_IN_CHUNK: usize = 4;
/// Entries of a range that are read to see whether it is small.
const PROBED: u64 = 64;
/// Postings of a term that are read for their lengths.
const BUDGET: usize = 64;

/// Index entries that would be read.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Estimate {
    /// In all.
    pub entries: u64,
    /// The parameter that most of them are read for, and how many.
    pub most: Option<(ParameterId, u64)>,
}

impl Estimate {
    fn add(&mut self, parameter: ParameterId, entries: u64) {
        self.entries = self.entries.saturating_add(entries);
        if entries > self.most.map_or(0, |(_, most)| most) {
            self.most = Some((parameter, entries));
        }
    }
}

impl Plan {
    /// What it would read, if it is not settled yet; `wholly` if all matches will be asked for.
    pub(in super::super) fn estimate(
        &self,
        context: &Context<'_>,
        wholly: bool,
    ) -> Result<Estimate, StoreError> {
        let mut estimate = Estimate::default();
        reads(context, &self.root, self.resources, wholly, &mut estimate)?;
        Ok(estimate)
    }

    /// About how many match, rather too few than too many.
    fn expected(&self, context: &Context<'_>) -> Result<u64, StoreError> {
        Ok(expected(context, &self.root)?.map_or(0, |expected| expected.min(self.resources)))
    }
}

impl Plan {
    /// About how many match; exactly, if few may. `None` if no condition says how many it leaves.
    pub(in super::super) fn sampled_total(
        &mut self,
        context: &Context<'_>,
    ) -> Result<Option<u64>, StoreError> {
        settle(context, &mut self.root, context.limits.sampled, false, &mut false)?;
        let nodes = match &self.root {
            Node::And(nodes) => nodes.as_slice(),
            other => std::slice::from_ref(other),
        };
        let mut rarest: Option<(&Node, u64)> = None;
        // What is checked one by one would be checked of all that is there, and of what is not.
        for node in nodes.iter().filter(|node| !node.is_checked()) {
            if let Some(count) = leaves(context, node)?
                && rarest.is_none_or(|(_, least)| count < least)
            {
                rarest = Some((node, count));
            }
        }
        let Some((rarest, count)) = rarest else { return Ok(None) };
        let step = count.div_ceil(context.limits.sampled.max(1)).max(1);
        let mut evaluation = Evaluation::new(context);
        let (mut seen, mut looked_at, mut hits) = (0_u64, 0_u64, 0_u64);
        for &chunk in &self.chunks {
            let mut set = Set::all();
            evaluation.restrict(rarest, chunk, &mut set)?;
            let sample = set.iter().zip(seen..).filter(|(_, number)| number % step == 0);
            let sample: Vec<u16> = sample.map(|(offset, _)| offset).collect();
            seen += set.len() as u64;
            looked_at += sample.len() as u64;
            let mut set = Set::Few(sample);
            evaluation.restrict(&self.root, chunk, &mut set)?;
            hits += set.len() as u64;
        }
        Ok(Some(hits.saturating_mul(seen).checked_div(looked_at).unwrap_or(0)))
    }
}

/// At most how many resources fulfil a condition, if its postings tell.
fn leaves(context: &Context<'_>, node: &Node) -> Result<Option<u64>, StoreError> {
    match node {
        Node::Presence(parameter, name) => holders(context, *parameter, name).map(Some),
        node => Ok(within(context, node, usize::MAX)?.map(|footprint| footprint.resources)),
    }
}

fn reads(
    context: &Context<'_>,
    node: &Node,
    candidates: u64,
    wholly: bool,
    out: &mut Estimate,
) -> Result<(), StoreError> {
    match node {
        Node::And(nodes) | Node::Or(nodes) => {
            nodes.iter().try_for_each(|node| reads(context, node, candidates, wholly, out))
        }
        Node::Not(inner) => reads(context, inner, candidates, wholly, out),
        Node::Scan(scan) => {
            let few = candidates <= context.limits.few_candidates;
            let entries = match (scan.is_checkable(), wholly) {
                (true, _) if few => candidates,
                (true, false) => scan.length(context)?.min(context.limits.first_entries),
                _ => scan.length(context)?,
            };
            out.add(scan.parameter, entries);
            Ok(())
        }
        Node::Chain(Chain { parameter, targets }) => {
            let plans = targets.iter().map(|(_, plan)| plan);
            linked(context, *parameter, plans, candidates, out)
        }
        Node::Has(Has { parameter, plan }) => {
            linked(context, *parameter, std::iter::once(&**plan), candidates, out)
        }
        Node::All
        | Node::Nothing
        | Node::Term(_)
        | Node::Presence(..)
        | Node::Known(_)
        | Node::Contained(_) => Ok(()),
    }
}

/// Either the candidates are followed, or all resources that the plans find.
fn linked<'p>(
    context: &Context<'_>,
    parameter: ParameterId,
    plans: impl Iterator<Item = &'p Plan> + Clone,
    candidates: u64,
    out: &mut Estimate,
) -> Result<(), StoreError> {
    let most = plans.clone().fold(0_u64, |sum, plan| sum.saturating_add(plan.resources));
    let followed = candidates <= context.limits.few_candidates && candidates < most;
    let mut others = 0_u64;
    for plan in plans {
        reads(context, &plan.root, plan.resources, !followed, out)?;
        others = others.saturating_add(plan.expected(context)?);
    }
    out.add(parameter, if followed { candidates } else { others.saturating_mul(2) });
    Ok(())
}

/// About how many resources fulfil a condition; `None` if only running it would tell.
fn expected(context: &Context<'_>, node: &Node) -> Result<Option<u64>, StoreError> {
    Ok(match node {
        Node::Presence(TYPE, name) => Some(holders(context, TYPE, name)?),
        Node::Presence(parameter, name) => Some(holders(context, *parameter, name)?),
        Node::Scan(scan) => {
            scan.sample(context)?.map(|share| share.of(context, scan.parameter)).transpose()?
        }
        Node::And(nodes) => {
            let mut least = None;
            for node in nodes {
                // A condition that cannot be told may leave nothing.
                let Some(found) = expected(context, node)? else { return Ok(None) };
                least = Some(least.map_or(found, |least: u64| least.min(found)));
            }
            least
        }
        Node::Or(nodes) => {
            let mut sum = 0_u64;
            for node in nodes {
                sum = sum.saturating_add(expected(context, node)?.unwrap_or(0));
            }
            Some(sum)
        }
        Node::Term(_) | Node::Known(_) | Node::Nothing => {
            within(context, node, BUDGET)?.map(|footprint| footprint.resources)
        }
        Node::All | Node::Chain(_) | Node::Has(_) | Node::Contained(_) | Node::Not(_) => None,
    })
}

/// How many resources have a value of a parameter.
fn holders(context: &Context<'_>, parameter: ParameterId, name: &str) -> Result<u64, StoreError> {
    let (parameter, name) = if parameter == LAST_UPDATED { (TYPE, "") } else { (parameter, name) };
    let mut sum = 0;
    for chunk in 0..context.databases.chunks(context.txn)? {
        if let Some(posting) = context.presence(chunk, parameter, name)? {
            sum += posting.len() as u64;
        }
    }
    Ok(sum)
}

/// A part of the resources that have a value of a parameter.
struct Share {
    hits: u64,
    looked_at: u64,
}

impl Share {
    fn of(&self, context: &Context<'_>, parameter: ParameterId) -> Result<u64, StoreError> {
        let holders = holders(context, parameter, "")?;
        Ok(holders.saturating_mul(self.hits).checked_div(self.looked_at).unwrap_or(0))
    }
}

impl Scan {
    /// About how many entries its ranges have.
    fn length(&self, context: &Context<'_>) -> Result<u64, StoreError> {
        let (mut probed, mut members, mut ended) = (0, 0, true);
        for (from, to) in &self.ranges {
            let range =
                (std::ops::Bound::Included(from.as_slice()), std::ops::Bound::Excluded(to.as_slice()));
            let mut left = PROBED;
            for found in context.databases.postings.range(context.txn, &range)? {
                let (_, posting) = found?;
                let Some(less) = left.checked_sub(1) else {
                    ended = false;
                    break;
                };
                left = less;
                probed += 1;
                members += Posting(posting).len() as u64;
            }
        }
        if ended {
            return Ok(probed);
        }
        let Some(share) = self.sample(context)? else { return Ok(probed) };
        let resources = share.of(context, self.parameter)?;
        Ok(resources.saturating_mul(probed).checked_div(members).unwrap_or(0).max(probed))
    }

    /// How many of some resources that have a value have one in the ranges; `None` if their records do not tell.
    fn sample(&self, context: &Context<'_>) -> Result<Option<Share>, StoreError> {
        let total = context.databases.chunks(context.txn)?;
        let step = usize::try_from(total / SAMPLED_CHUNKS).unwrap_or(usize::MAX).max(1);
        let (parameter, name) = (self.parameter, "");
        let of = if parameter == LAST_UPDATED { TYPE } else { parameter };
        let mut forward = ForwardReader::new(context.txn, context.databases);
        let (mut share, mut component, mut told) = (Share { hits: 0, looked_at: 0 }, Vec::new(), false);
        for chunk in (0..total).step_by(step) {
            let Some(posting) = context.presence(chunk, of, name)? else { continue };
            let set = Set::from(posting);
            for offset in set.iter().step_by((set.len() / SAMPLED_IN_CHUNK).max(1)) {
                let record = forward.at(chunk, offset)?;
                share.looked_at += 1;
                let hit = if self.is_checkable() {
                    told = true;
                    record.matches(parameter, &self.predicate)
                } else {
                    component.clear();
                    let has = record.sort_component(parameter, false, &mut component);
                    told |= has;
                    has && self.has(&component)
                };
                share.hits += u64::from(hit);
            }
        }
        Ok(told.then_some(share))
    }

    /// Whether the value of a sort component would be in a range.
    fn has(&self, component: &[u8]) -> bool {
        self.ranges.iter().any(|(from, to)| {
            let bounds = from.get(2..).zip(to.get(2..));
            bounds.is_some_and(|(from, to)| from <= component && component < to)
        })
    }
}
