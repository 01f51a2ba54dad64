//! Evaluates a query on the texts of one resource: whether it is fulfilled, and how relevant that is. Agrees with the index in
//! both, so that what the index has not yet can be searched beside it.
//!
//! A score is BM25 with every word held as rare as any other and every text compared with one length: it depends on the
//! query and the resource alone, so it does not change while others are written, and pages in its order fit together.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use rustc_hash::FxHasher;
use tantivy::fieldnorm::FieldNormReader;

use crate::query::{Expression, Part, TextQuery};
use crate::words::each_word;
use crate::{Texts, Unreadable, texts};

/// Every word counts as one that so many of [`DOCUMENTS`] texts have.
pub(crate) const FREQUENCY: u64 = 100;
/// See [`FREQUENCY`].
pub(crate) const DOCUMENTS: u64 = 1_000;
/// The length, words, that texts are compared with.
pub(crate) const LENGTH: u64 = 100;

/// What is found without being more or less relevant: a word by its beginning, or that something is not there.
pub(crate) const PLAIN: f32 = 1.0;

impl TextQuery {
    /// How relevant a resource, JSON, is, above 0 and below 1; `None` where the query is not fulfilled.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn score(&self, body: &[u8]) -> Result<Option<f32>, Unreadable> {
        Ok(self.score_of(&texts(body)?))
    }

    /// The same, of texts.
    pub fn score_of(&self, texts: &Texts) -> Option<f32> {
        let text = match self.part {
            Part::Narrative => &texts.narrative,
            Part::Content => &texts.content,
        };
        Words::of(text).score(&self.expression).map(shown)
    }
}

/// The score of one list in steps of 1/4096: whoever adds some of them up, in whatever order, comes to the same.
pub(crate) fn stepped(score: f32) -> f32 {
    const STEPS: f32 = 4096.0;
    (score * STEPS).round() / STEPS
}

/// A score as it is shown: between 0 and 1, in the same order.
pub(crate) fn shown(score: f32) -> f32 {
    let score = score.max(f32::MIN_POSITIVE);
    score / (score + 1.0)
}

/// The words of a text, each with its places, ascending.
struct Words {
    places: HashMap<String, Vec<u32>, BuildHasherDefault<FxHasher>>,
    count: u32,
}

impl Words {
    fn of(text: &str) -> Words {
        let mut words = Words { places: HashMap::default(), count: 0 };
        each_word(text, |place, word| {
            words.count = words.count.saturating_add(1);
            match words.places.get_mut(word) {
                Some(places) => places.push(place),
                None => {
                    words.places.insert(word.to_owned(), vec![place]);
                }
            }
        });
        words
    }

    fn score(&self, expression: &Expression) -> Option<f32> {
        match expression {
            Expression::Words(words) => self.phrase(words),
            Expression::Prefix(start) => {
                self.places.keys().any(|word| word.starts_with(start.as_str())).then_some(PLAIN)
            }
            Expression::All(parts) => self.all(parts),
            Expression::Any(parts) => {
                parts.iter().filter_map(|part| self.score(part)).reduce(|sum, score| sum + score)
            }
            Expression::Not(_) => self.all(std::slice::from_ref(expression)),
        }
    }

    fn all(&self, parts: &[Expression]) -> Option<f32> {
        let mut sum = None;
        for part in parts {
            match part {
                Expression::Not(inner) if self.score(inner).is_some() => return None,
                Expression::Not(_) => {}
                part => sum = Some(sum.unwrap_or(0.0) + self.score(part)?),
            }
        }
        Some(sum.unwrap_or(PLAIN))
    }

    /// How often words stand one after the other, weighed by the length of the text.
    fn phrase(&self, words: &[String]) -> Option<f32> {
        let mut each = words.iter().map(|word| self.places.get(word));
        let first = each.next()??;
        let others: Vec<&Vec<u32>> = each.collect::<Option<_>>()?;
        let follow = |start: &&u32| {
            (1..).zip(&others).all(|(after, places)| places.binary_search(&(**start + after)).is_ok())
        };
        let count = u16::try_from(first.iter().filter(follow).count()).unwrap_or(u16::MAX);
        (count > 0).then(|| stepped(self.weight(f32::from(count), words.len())))
    }

    /// BM25 of something of so many words that is there so often.
    fn weight(&self, count: f32, words: usize) -> f32 {
        const K1: f32 = 1.2;
        const B: f32 = 0.75;
        let length = FieldNormReader::id_to_fieldnorm(FieldNormReader::fieldnorm_to_id(self.count));
        let norm = K1 * (1.0 - B + B * small(length) / small(u32::try_from(LENGTH).unwrap_or(u32::MAX)));
        let words = small(u32::try_from(words).unwrap_or(u32::MAX));
        words * rarity() * (1.0 + K1) * count / (count + norm)
    }
}

/// How much a word counts for being rare.
fn rarity() -> f32 {
    let (all, some) =
        (small(u32::try_from(DOCUMENTS).unwrap_or(0)), small(u32::try_from(FREQUENCY).unwrap_or(0)));
    (1.0 + (all - some + 0.5) / (some + 0.5)).ln()
}

/// As the index has lengths: coarse when they are large.
#[allow(clippy::cast_precision_loss)]
fn small(number: u32) -> f32 {
    number as f32
}
