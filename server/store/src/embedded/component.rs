//! What resources sort by, as bytes: their own values, and those of what a reference leads to. Decides neither what matches
//! nor what comes first.

use rustc_hash::FxHashMap;

use super::encoding;
use super::forward::{ForwardReader, damaged};
use super::plan::{Context, Evaluation, Plan};
use super::postings::LAST_UPDATED;
use super::set::{Set, chunk_of, offset_of};
use crate::{ParameterId, SortBy, StoreError, Value};

/// What components are read with.
pub(super) struct Reader<'t> {
    context: &'t Context<'t>,
    forward: ForwardReader<'t>,
    /// How relevant resources are, by ordinal, where the order asks for it.
    pub(super) ranked: FxHashMap<u32, f32>,
}

impl<'t> Reader<'t> {
    /// Nothing is read yet.
    pub(super) fn new(context: &'t Context<'t>) -> Self {
        let forward = ForwardReader::new(context.txn, context.databases);
        Reader { context, forward, ranked: FxHashMap::default() }
    }

    /// Numbers above 0 are in the order of their bits.
    fn score(&self, ordinal: u32, out: &mut Vec<u8>) -> bool {
        let score = self.ranked.get(&ordinal);
        out.extend(score.into_iter().flat_map(|score| score.to_bits().to_be_bytes()));
        score.is_some()
    }

    fn id(&self, ordinal: u32, out: &mut Vec<u8>) -> Result<bool, StoreError> {
        let key = self.context.records.head_key(self.context.txn, ordinal)?;
        let key = key.ok_or_else(|| damaged("a resource is in postings and has no version"))?;
        let id = key.split_once('/').map_or(key, |(_, id)| id);
        encoding::sort_text(out, 0, id.as_bytes());
        Ok(true)
    }

    /// What a reference parameter of a resource leads to: type and ordinal of each.
    fn targets(&mut self, parameter: ParameterId, ordinal: u32) -> Result<Vec<(&'t str, u32)>, StoreError> {
        let mut found = Vec::new();
        for value in self.forward.get(ordinal)?.values(parameter) {
            let Value::Reference(target) = value else { continue };
            self.context.spend(1)?;
            let ordinal = self.context.records.ordinal(self.context.txn, target)?;
            found.extend(target.split_once('/').zip(ordinal).map(|((name, _), ordinal)| (name, ordinal)));
        }
        Ok(found)
    }
}

/// What one key sorts by.
pub(super) enum By<'t> {
    Parameter(ParameterId),
    Id,
    Score,
    Chain(Chain<'t>),
}

/// A reference, and what is sorted by where it leads.
pub(super) struct Chain<'t> {
    parameter: ParameterId,
    targets: Vec<Target<'t>>,
}

/// The resources of a type that a chain leads to.
struct Target<'t> {
    resource_type: &'t str,
    /// Which of them the caller may see.
    seen: Plan,
    by: By<'t>,
    /// Components by ordinal: many refer to the same.
    known: FxHashMap<u32, Option<Box<[u8]>>>,
}

impl<'t> By<'t> {
    /// Makes a key ready.
    pub(super) fn new(context: &'t Context<'t>, by: &'t SortBy) -> Result<Self, StoreError> {
        Ok(match by {
            SortBy::Parameter(parameter) => By::Parameter(*parameter),
            SortBy::LastUpdated => By::Parameter(LAST_UPDATED),
            SortBy::Id => By::Id,
            SortBy::Score => By::Score,
            SortBy::Chain { parameter, targets } => {
                let targets = targets.iter().map(|(name, by)| {
                    let seen = Plan::seen(context, name)?;
                    let by = By::new(context, by)?;
                    Ok(Target { resource_type: name, seen, by, known: FxHashMap::default() })
                });
                By::Chain(Chain {
                    parameter: *parameter,
                    targets: targets.collect::<Result<_, StoreError>>()?,
                })
            }
        })
    }

    /// Appends the least component of a resource, or the largest; whether there is one.
    pub(super) fn component(
        &mut self,
        reader: &mut Reader<'t>,
        largest: bool,
        ordinal: u32,
        out: &mut Vec<u8>,
    ) -> Result<bool, StoreError> {
        match self {
            By::Parameter(parameter) => {
                Ok(reader.forward.get(ordinal)?.sort_component(*parameter, largest, out))
            }
            By::Id => reader.id(ordinal, out),
            By::Score => Ok(reader.score(ordinal, out)),
            By::Chain(chain) => chain.component(reader, largest, ordinal, out),
        }
    }
}

impl<'t> Chain<'t> {
    fn component(
        &mut self,
        reader: &mut Reader<'t>,
        largest: bool,
        ordinal: u32,
        out: &mut Vec<u8>,
    ) -> Result<bool, StoreError> {
        let start = out.len();
        for (name, ordinal) in reader.targets(self.parameter, ordinal)? {
            for target in self.targets.iter_mut().filter(|target| target.resource_type == name) {
                let Some(found) = target.component(reader, largest, ordinal)? else { continue };
                let best = out.get(start..).unwrap_or_default();
                if best.is_empty() || (found > best) == largest {
                    out.truncate(start);
                    out.extend_from_slice(found);
                }
            }
        }
        Ok(out.len() > start)
    }
}

impl<'t> Target<'t> {
    fn component(
        &mut self,
        reader: &mut Reader<'t>,
        largest: bool,
        ordinal: u32,
    ) -> Result<Option<&[u8]>, StoreError> {
        if !self.known.contains_key(&ordinal) {
            let found = self.read(reader, largest, ordinal)?;
            self.known.insert(ordinal, found);
        }
        Ok(self.known.get(&ordinal).and_then(Option::as_deref))
    }

    fn read(
        &mut self,
        reader: &mut Reader<'t>,
        largest: bool,
        ordinal: u32,
    ) -> Result<Option<Box<[u8]>>, StoreError> {
        reader.context.spend(1)?;
        let mut set = Set::Few(vec![offset_of(ordinal)]);
        self.seen.restrict(&mut Evaluation::new(reader.context), chunk_of(ordinal), &mut set)?;
        let mut found = Vec::new();
        let has = !set.is_empty() && self.by.component(reader, largest, ordinal, &mut found)?;
        Ok(has.then(|| found.into_boxed_slice()))
    }
}
