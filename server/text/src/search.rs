//! Searches an index. Only words, phrases and beginnings are asked of its lists; how they are combined is decided here, on
//! ascending lists of documents, segment by segment.

use std::cmp::Ordering;
use std::ops::Bound;

use tantivy::query::{Bm25StatisticsProvider, EnableScoring, PhraseQuery, Query, RangeQuery, TermQuery};
use tantivy::schema::{Field, IndexRecordOption, Value as _};
use tantivy::{DocAddress, DocId, SegmentReader, TantivyDocument, TantivyError, Term};

use crate::evaluate::{DOCUMENTS, FREQUENCY, LENGTH, PLAIN, shown, stepped};
use crate::index::{MAX_EXPANSIONS, NUMBER, Snapshot, TextError};
use crate::query::{Expression, TextQuery};

/// Documents of a segment, ascending, each with its score.
type Found = Vec<(DocId, f32)>;

impl Snapshot {
    /// The numbers of the resources that fulfil a query, in any order.
    ///
    /// # Errors
    /// [`TextError::Broad`], or files that cannot be read.
    pub fn numbers(&self, query: &TextQuery) -> Result<Vec<u32>, TextError> {
        Ok(self.numbered(query, false)?.into_iter().map(|(number, _)| number).collect())
    }

    /// The same, each with its score, above 0 and below 1.
    ///
    /// # Errors
    /// The same.
    pub fn scores(&self, query: &TextQuery) -> Result<Vec<(u32, f32)>, TextError> {
        self.numbered(query, true)
    }

    fn numbered(&self, query: &TextQuery, scored: bool) -> Result<Vec<(u32, f32)>, TextError> {
        let mut all = Vec::new();
        for segment in self.searcher.segment_readers() {
            let numbers = segment.fast_fields().u64(NUMBER)?;
            let found = self.in_segment(segment, scored).find(query)?;
            all.reserve(found.len());
            for (document, score) in found {
                let number = numbers.first(document).and_then(|number| u32::try_from(number).ok());
                all.extend(number.map(|number| (number, if scored { shown(score) } else { score })));
            }
        }
        Ok(all)
    }

    /// The keys of the resources, of a type or of any, that fulfil a query.
    ///
    /// # Errors
    /// [`TextError::TooMany`] when there are more than `limit`, [`TextError::Broad`], or files that cannot be read.
    pub fn keys(&self, query: &TextQuery, of: Option<&str>, limit: usize) -> Result<Vec<String>, TextError> {
        let mut keys = Vec::new();
        for (ordinal, segment) in (0..).zip(self.searcher.segment_readers()) {
            let lists = self.in_segment(segment, false);
            let mut found = lists.find(query)?;
            if let Some(name) = of {
                let term = Term::from_field_text(self.fields.resource_type, name);
                found = both(found, &lists.ask(&TermQuery::new(term, IndexRecordOption::Basic))?);
            }
            if keys.len() + found.len() > limit {
                return Err(TextError::TooMany(limit));
            }
            for (document, _) in found {
                let stored: TantivyDocument = self.searcher.doc(DocAddress::new(ordinal, document))?;
                let key = stored.get_first(self.fields.key).and_then(|key| key.as_str().map(str::to_owned));
                keys.extend(key);
            }
        }
        Ok(keys)
    }

    fn in_segment<'s>(&'s self, segment: &'s SegmentReader, scored: bool) -> Lists<'s> {
        Lists { snapshot: self, segment, scored }
    }
}

/// The lists of one segment.
struct Lists<'s> {
    snapshot: &'s Snapshot,
    segment: &'s SegmentReader,
    scored: bool,
}

impl Lists<'_> {
    fn find(&self, query: &TextQuery) -> Result<Found, TextError> {
        self.of(self.snapshot.fields.of(query.part), &query.expression)
    }

    fn of(&self, field: Field, expression: &Expression) -> Result<Found, TextError> {
        let term = |word: &String| Term::from_field_text(field, word);
        match expression {
            Expression::Words(words) => match words.as_slice() {
                [word] => self.ask(&TermQuery::new(term(word), IndexRecordOption::WithFreqs)),
                words => self.ask(&PhraseQuery::new(words.iter().map(term).collect())),
            },
            Expression::Prefix(start) => self.prefix(field, start),
            Expression::All(parts) => self.all(field, parts),
            Expression::Any(parts) => {
                let mut any = Found::new();
                for part in parts {
                    any = either(any, self.of(field, part)?);
                }
                Ok(any)
            }
            Expression::Not(_) => self.all(field, std::slice::from_ref(expression)),
        }
    }

    fn all(&self, field: Field, parts: &[Expression]) -> Result<Found, TextError> {
        let mut all: Option<Found> = None;
        for part in parts.iter().filter(|part| !matches!(part, Expression::Not(_))) {
            let found = self.of(field, part)?;
            all = Some(match all {
                Some(all) => both(all, &found),
                None => found,
            });
            if all.as_ref().is_some_and(Vec::is_empty) {
                return Ok(Found::new());
            }
        }
        let mut all =
            all.unwrap_or_else(|| self.segment.doc_ids_alive().map(|document| (document, PLAIN)).collect());
        for part in parts {
            if let Expression::Not(inner) = part {
                all = without(all, &self.of(field, inner)?);
            }
        }
        Ok(all)
    }

    /// What has a word that begins so, if these words are not too many.
    fn prefix(&self, field: Field, start: &str) -> Result<Found, TextError> {
        let mut after = start.to_owned();
        after.push(char::MAX);
        let inverted = self.segment.inverted_index(field)?;
        let mut words = inverted.terms().range().ge(start).lt(&after).into_stream()?;
        let mut count = 0;
        while words.advance() {
            count += 1;
            if count > MAX_EXPANSIONS {
                return Err(TextError::Broad(start.to_owned()));
            }
        }
        let term = |text: &str| Term::from_field_text(field, text);
        let mut found =
            self.ask(&RangeQuery::new(Bound::Included(term(start)), Bound::Excluded(term(&after))))?;
        found.iter_mut().for_each(|(_, score)| *score = PLAIN);
        Ok(found)
    }

    /// Reads one list.
    fn ask(&self, query: &dyn Query) -> Result<Found, TextError> {
        let alive = self.segment.alive_bitset();
        let is_alive = |document| alive.is_none_or(|alive| alive.is_alive(document));
        let searcher = &self.snapshot.searcher;
        let mut found = Found::new();
        if self.scored {
            let weight =
                query.weight(EnableScoring::enabled_from_statistics_provider(&Constant, searcher))?;
            weight.for_each(self.segment, &mut |document, score| {
                if is_alive(document) {
                    found.push((document, stepped(score)));
                }
            })?;
        } else {
            let weight = query.weight(EnableScoring::disabled_from_searcher(searcher))?;
            weight.for_each_no_score(self.segment, &mut |documents| {
                let alive = documents.iter().filter(|document| is_alive(**document));
                found.extend(alive.map(|document| (*document, 0.0)));
            })?;
        }
        Ok(found)
    }
}

/// What is in both, with the sum of the scores.
fn both(mut some: Found, others: &Found) -> Found {
    let mut rest = others.iter().peekable();
    some.retain_mut(|(document, score)| {
        while rest.next_if(|other| other.0 < *document).is_some() {}
        match rest.peek() {
            Some(other) if other.0 == *document => {
                *score += other.1;
                true
            }
            _ => false,
        }
    });
    some
}

/// What is in the first and not in the other.
fn without(mut some: Found, others: &Found) -> Found {
    let mut rest = others.iter().peekable();
    some.retain(|(document, _)| {
        while rest.next_if(|other| other.0 < *document).is_some() {}
        rest.peek().is_none_or(|other| other.0 != *document)
    });
    some
}

/// What is in either, with the sum of the scores.
fn either(some: Found, others: Found) -> Found {
    if some.is_empty() {
        return others;
    }
    let mut all = Found::with_capacity(some.len() + others.len());
    let (mut some, mut others) = (some.into_iter().peekable(), others.into_iter().peekable());
    loop {
        let order = match (some.peek(), others.peek()) {
            (Some(one), Some(other)) => one.0.cmp(&other.0),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return all,
        };
        let one = if order.is_le() { some.next() } else { None };
        let other = if order.is_ge() { others.next() } else { None };
        match (one, other) {
            (Some(one), Some(other)) => all.push((one.0, one.1 + other.1)),
            (one, other) => all.extend(one.or(other)),
        }
    }
}

/// Every word as rare as any other, every text compared with one length; see `evaluate`.
struct Constant;

impl Bm25StatisticsProvider for Constant {
    fn total_num_tokens(&self, _: Field) -> Result<u64, TantivyError> {
        Ok(DOCUMENTS * LENGTH)
    }

    fn total_num_docs(&self) -> Result<u64, TantivyError> {
        Ok(DOCUMENTS)
    }

    fn doc_freq(&self, _: &Term) -> Result<u64, TantivyError> {
        Ok(FREQUENCY)
    }
}
