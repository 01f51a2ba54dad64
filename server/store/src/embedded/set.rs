//! Sets of resources within one chunk of 4,096 ordinals, in memory and as postings hold them. Touches no database.
//!
//! A posting is either the members' offsets in the chunk (u16 LE each, ascending, at most 255 of them), or, of
//! exactly 512 bytes, a bitmap (64 words of 8 bytes LE, the least bit first).

/// Ordinals of one chunk: `1 << CHUNK_BITS`.
pub(super) const CHUNK_BITS: u32 = 12;
/// Most members of a posting that lists them.
const LISTED: usize = 255;
/// Bytes of a bitmap.
const BITMAP: usize = 512;
const WORDS: usize = 64;

type Words = [u64; WORDS];

/// The chunk of an ordinal.
pub(super) fn chunk_of(ordinal: u32) -> u32 {
    ordinal >> CHUNK_BITS
}

/// The offset of an ordinal in its chunk.
pub(super) fn offset_of(ordinal: u32) -> u16 {
    u16::try_from(ordinal & 0xfff).unwrap_or(0)
}

/// The ordinal at an offset in a chunk.
pub(super) fn ordinal_at(chunk: u32, offset: u16) -> u32 {
    (chunk << CHUNK_BITS) | u32::from(offset)
}

/// A posting as it is stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Posting<'a>(pub &'a [u8]);

impl<'a> Posting<'a> {
    fn is_bitmap(self) -> bool {
        self.0.len() == BITMAP
    }

    /// How many members it has.
    pub(super) fn len(self) -> usize {
        if self.is_bitmap() {
            self.words().map(|word| word.count_ones() as usize).sum()
        } else {
            self.0.len() / 2
        }
    }

    fn words(self) -> impl Iterator<Item = u64> + use<'a> {
        self.0.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word))
    }

    fn listed(self) -> impl Iterator<Item = u16> + use<'a> {
        self.0.as_chunks().0.iter().map(|offset| u16::from_le_bytes(*offset))
    }

    fn contains(self, offset: u16) -> bool {
        if self.is_bitmap() {
            return self.0.get(usize::from(offset >> 3)).is_some_and(|byte| byte >> (offset & 7) & 1 == 1);
        }
        let listed: &[[u8; 2]] = self.0.as_chunks().0;
        listed.binary_search_by_key(&offset, |bytes| u16::from_le_bytes(*bytes)).is_ok()
    }
}

/// A set in memory. The list is ascending; either form may hold any number.
#[derive(Debug, Clone)]
pub(super) enum Set {
    /// Its members.
    Few(Vec<u16>),
    /// A bit for each offset.
    Many(Box<Words>),
}

impl Default for Set {
    fn default() -> Set {
        Set::Few(Vec::new())
    }
}

impl From<Posting<'_>> for Set {
    fn from(posting: Posting<'_>) -> Set {
        if !posting.is_bitmap() {
            return Set::Few(posting.listed().collect());
        }
        let mut words = Box::new([0; WORDS]);
        words.iter_mut().zip(posting.words()).for_each(|(word, stored)| *word = stored);
        Set::Many(words)
    }
}

fn has(words: &Words, offset: u16) -> bool {
    words.get(usize::from(offset >> 6)).is_some_and(|word| word >> (offset & 63) & 1 == 1)
}

fn put(words: &mut Words, offset: u16) {
    if let Some(word) = words.get_mut(usize::from(offset >> 6)) {
        *word |= 1 << (offset & 63);
    }
}

fn bits(word: u64) -> impl Iterator<Item = u16> {
    let mut left = word;
    std::iter::from_fn(move || {
        let bit = u16::try_from(left.trailing_zeros()).ok()?;
        let some = left != 0;
        left &= left.wrapping_sub(1);
        some.then_some(bit)
    })
}

impl Set {
    /// All offsets of a chunk.
    pub(super) fn all() -> Set {
        Set::Many(Box::new([u64::MAX; WORDS]))
    }

    /// How many members it has.
    pub(super) fn len(&self) -> usize {
        match self {
            Set::Few(list) => list.len(),
            Set::Many(words) => words.iter().map(|word| word.count_ones() as usize).sum(),
        }
    }

    /// Whether it has none.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Set::Few(list) => list.is_empty(),
            Set::Many(words) => words.iter().all(|word| *word == 0),
        }
    }

    /// Whether an offset is a member.
    pub(super) fn contains(&self, offset: u16) -> bool {
        match self {
            Set::Few(list) => list.binary_search(&offset).is_ok(),
            Set::Many(words) => has(words, offset),
        }
    }

    /// The members, ascending.
    pub(super) fn iter(&self) -> Box<dyn Iterator<Item = u16> + '_> {
        match self {
            Set::Few(list) => Box::new(list.iter().copied()),
            Set::Many(words) => Box::new(
                (0_u16..).zip(words.iter()).flat_map(|(at, word)| bits(*word).map(move |bit| at << 6 | bit)),
            ),
        }
    }

    /// Adds a member.
    pub(super) fn insert(&mut self, offset: u16) {
        match self {
            Set::Few(list) => match list.last() {
                Some(last) if *last >= offset => {
                    if let Err(at) = list.binary_search(&offset) {
                        list.insert(at, offset);
                    }
                }
                _ => list.push(offset),
            },
            Set::Many(words) => put(words, offset),
        }
    }

    /// Takes a member out.
    pub(super) fn remove(&mut self, offset: u16) {
        match self {
            Set::Few(list) => {
                if let Ok(at) = list.binary_search(&offset) {
                    list.remove(at);
                }
            }
            Set::Many(words) => {
                if let Some(word) = words.get_mut(usize::from(offset >> 6)) {
                    *word &= !(1 << (offset & 63));
                }
            }
        }
    }

    /// Makes it a bitmap, and changes the words.
    fn change_words(&mut self, change: impl FnOnce(&mut Words)) {
        let mut words = match std::mem::take(self) {
            Set::Many(words) => words,
            Set::Few(list) => {
                let mut words = Box::new([0; WORDS]);
                list.iter().for_each(|offset| put(&mut words, *offset));
                words
            }
        };
        change(&mut words);
        *self = Set::Many(words);
    }

    /// Keeps what the posting has too.
    pub(super) fn and_posting(&mut self, posting: Posting<'_>) {
        match self {
            Set::Few(list) => list.retain(|offset| posting.contains(*offset)),
            Set::Many(words) if posting.is_bitmap() => {
                words.iter_mut().zip(posting.words()).for_each(|(word, stored)| *word &= stored);
            }
            Set::Many(words) => {
                *self = Set::Few(posting.listed().filter(|offset| has(words, *offset)).collect());
            }
        }
    }

    /// Adds what the posting has.
    pub(super) fn or_posting(&mut self, posting: Posting<'_>) {
        if posting.is_bitmap() {
            self.change_words(|words| {
                words.iter_mut().zip(posting.words()).for_each(|(word, stored)| *word |= stored);
            });
        } else if self.is_empty() {
            *self = Set::Few(posting.listed().collect());
        } else {
            self.add_all(posting.listed(), posting.0.len() / 2);
        }
    }

    fn add_all(&mut self, offsets: impl Iterator<Item = u16>, count: usize) {
        if let Set::Few(list) = self
            && list.len() + count > LISTED / 4
        {
            self.change_words(|_| ());
        }
        offsets.for_each(|offset| self.insert(offset));
    }

    /// Keeps what the other has too.
    pub(super) fn and(&mut self, other: &Set) {
        match (&mut *self, other) {
            (Set::Few(list), _) => list.retain(|offset| other.contains(*offset)),
            (Set::Many(words), Set::Many(others)) => {
                words.iter_mut().zip(others.iter()).for_each(|(word, other)| *word &= other);
            }
            (Set::Many(words), Set::Few(list)) => {
                *self = Set::Few(list.iter().copied().filter(|offset| has(words, *offset)).collect());
            }
        }
    }

    /// Adds what the other has.
    pub(super) fn or(&mut self, other: &Set) {
        match other {
            Set::Few(list) => self.add_all(list.iter().copied(), list.len()),
            Set::Many(others) => {
                self.change_words(|words| {
                    words.iter_mut().zip(others.iter()).for_each(|(word, other)| *word |= other);
                });
            }
        }
    }

    /// Takes out what the other has.
    pub(super) fn and_not(&mut self, other: &Set) {
        match (&mut *self, other) {
            (Set::Few(list), _) => list.retain(|offset| !other.contains(*offset)),
            (Set::Many(words), Set::Many(others)) => {
                words.iter_mut().zip(others.iter()).for_each(|(word, other)| *word &= !other);
            }
            (Set::Many(_), Set::Few(list)) => list.iter().for_each(|offset| self.remove(*offset)),
        }
    }

    /// Writes it as a posting in place of what `out` holds.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.clear();
        if self.len() <= LISTED {
            self.iter().for_each(|offset| out.extend_from_slice(&offset.to_le_bytes()));
            return;
        }
        match self {
            Set::Many(words) => words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes())),
            Set::Few(list) => {
                let mut words = [0; WORDS];
                list.iter().for_each(|offset| put(&mut words, *offset));
                words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
            }
        }
    }
}

/// Sets of many chunks, by chunk.
#[derive(Debug, Default)]
pub(super) struct Sets {
    chunks: std::collections::BTreeMap<u32, Set>,
}

impl Sets {
    /// Adds what the posting has.
    pub(super) fn or_posting(&mut self, chunk: u32, posting: Posting<'_>) {
        self.chunks.entry(chunk).or_default().or_posting(posting);
    }

    /// Those with some members, ascending.
    pub(super) fn of_sorted(ordinals: &[u32]) -> Sets {
        let mut sets = Sets::default();
        for some in ordinals.chunk_by(|one, next| chunk_of(*one) == chunk_of(*next)) {
            let Some(first) = some.first() else { continue };
            let mut set = Set::Few(some.iter().map(|ordinal| offset_of(*ordinal)).collect());
            if some.len() > LISTED {
                set.change_words(|_| ());
            }
            sets.put(chunk_of(*first), set);
        }
        sets
    }

    /// Takes a resource out.
    pub(super) fn remove(&mut self, ordinal: u32) {
        if let Some(set) = self.chunks.get_mut(&chunk_of(ordinal)) {
            set.remove(offset_of(ordinal));
        }
    }

    /// Sets that of a chunk.
    pub(super) fn put(&mut self, chunk: u32, set: Set) {
        self.chunks.insert(chunk, set);
    }

    /// Adds a resource.
    pub(super) fn insert(&mut self, ordinal: u32) {
        self.chunks.entry(chunk_of(ordinal)).or_default().insert(offset_of(ordinal));
    }

    /// That of a chunk, if it has members.
    pub(super) fn get(&self, chunk: u32) -> Option<&Set> {
        self.chunks.get(&chunk)
    }

    /// The chunks that have members, ascending.
    pub(super) fn chunks(&self) -> impl Iterator<Item = (u32, &Set)> {
        self.chunks.iter().map(|(chunk, set)| (*chunk, set))
    }

    /// How many members there are.
    pub(super) fn len(&self) -> u64 {
        self.chunks.values().map(|set| set.len() as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn members() -> impl Strategy<Value = BTreeSet<u16>> {
        let some = |length| proptest::collection::vec(0..4096_u16, length).prop_map(BTreeSet::from_iter);
        prop_oneof![some(0..8), some(250..275), some(1000..1010)]
    }

    fn set(members: &BTreeSet<u16>, many: bool) -> Set {
        let mut set = Set::Few(members.iter().copied().collect());
        if many {
            set.change_words(|_| ());
        }
        set
    }

    fn encoded(set: &Set) -> Vec<u8> {
        let mut out = Vec::new();
        set.encode(&mut out);
        out
    }

    proptest! {
        #[test]
        fn agrees_with_a_set(a in members(), b in members(), forms in 0..4_u8, one in 0..4096_u16) {
            let (many_a, many_b) = (forms & 1 == 1, forms & 2 == 2);
            let other = set(&b, many_b);
            let bytes = encoded(&other);
            prop_assert_eq!(bytes.len(), if b.len() > 255 { 512 } else { 2 * b.len() });
            prop_assert_eq!(encoded(&Set::from(Posting(&bytes))), bytes.clone());
            prop_assert_eq!(Posting(&bytes).len(), b.len());
            let check = |change: &dyn Fn(&mut Set), expected: BTreeSet<u16>| {
                let mut set = set(&a, many_a);
                change(&mut set);
                prop_assert_eq!(set.len(), expected.len());
                prop_assert_eq!(set.is_empty(), expected.is_empty());
                prop_assert_eq!(set.contains(one), expected.contains(&one));
                prop_assert_eq!(set.iter().collect::<Vec<_>>(), expected.into_iter().collect::<Vec<_>>());
                Ok(())
            };
            check(&|s| s.and(&other), &a & &b)?;
            check(&|s| s.and_posting(Posting(&bytes)), &a & &b)?;
            check(&|s| s.or(&other), &a | &b)?;
            check(&|s| s.or_posting(Posting(&bytes)), &a | &b)?;
            check(&|s| s.and_not(&other), &a - &b)?;
            check(&|s| s.insert(one), &a | &BTreeSet::from([one]))?;
            check(&|s| s.remove(one), &a - &BTreeSet::from([one]))?;
        }
    }
}
