//! Reads the documents that fulfil a condition in the order of one of their fields, some at a time. Several walks
//! in one order are merged. Knows neither snapshots nor plans.

use std::collections::VecDeque;

use serde_json::Value as Json;

use super::container::{Container, Scope, Sql};
use super::document::Document;
use super::sql::Condition;
use crate::StoreError;

/// Documents in the first query of a walk, at least.
const FIRST: usize = 24;

/// Most documents in one query, but for those that have one value of the field.
const MOST: usize = 1_000;

/// The field that a walk follows. Every document that searches find has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Axis {
    /// When the resource came to be.
    Birth,
    /// When the version was committed.
    LastUpdated,
}

impl Axis {
    fn path(self) -> &'static str {
        match self {
            Axis::Birth => "c.b",
            Axis::LastUpdated => "c.lu",
        }
    }

    fn of(self, document: &Document) -> Json {
        match self {
            Axis::Birth => Json::from(document.b.as_str()),
            Axis::LastUpdated => Json::from(document.lu),
        }
    }
}

/// Where a walk starts, and which way it goes.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub axis: Axis,
    pub descending: bool,
    /// The first value of the field, included.
    pub from: Option<Json>,
    /// About how many documents are wanted.
    pub wanted: usize,
}

/// A walk.
pub(super) struct Walk<'w> {
    container: &'w Container,
    scope: &'w Scope,
    condition: Condition,
    parameters: Vec<(String, Json)>,
    way: Way,
    /// Whether documents with the value `from` have been handed out.
    beyond: bool,
    done: bool,
    size: usize,
}

impl<'w> Walk<'w> {
    /// Over the documents that searches may find and that fulfil a condition.
    pub(super) fn new(
        container: &'w Container,
        scope: &'w Scope,
        condition: Condition,
        parameters: Vec<(String, Json)>,
        way: Way,
    ) -> Walk<'w> {
        let done = condition == Condition::False;
        let size = way.wanted.saturating_add(2).clamp(FIRST, MOST);
        Walk { container, scope, condition, parameters, way, beyond: false, done, size }
    }

    /// The next documents; all that have the same value of the field come at once. Empty at the end.
    pub(super) async fn next(&mut self) -> Result<Vec<Document>, StoreError> {
        if self.done {
            return Ok(Vec::new());
        }
        let bound = match (self.beyond, self.way.descending) {
            (false, false) => ">=",
            (false, true) => "<=",
            (true, false) => ">",
            (true, true) => "<",
        };
        let mut found = self.query(bound, Some(self.size)).await?;
        let Some(last) = found.last().filter(|_| found.len() >= self.size) else {
            self.done = true;
            return Ok(found);
        };
        // Others may have the value of the last as well.
        let last = self.way.axis.of(last);
        let whole = found.iter().position(|document| self.way.axis.of(document) == last).unwrap_or(0);
        self.way.from = Some(last);
        self.beyond = whole == 0;
        if whole == 0 {
            found = self.query("=", None).await?;
        } else {
            found.truncate(whole);
        }
        self.size = self.size.saturating_mul(2).min(MOST);
        Ok(found)
    }

    async fn query(&self, bound: &str, most: Option<usize>) -> Result<Vec<Document>, StoreError> {
        let path = self.way.axis.path();
        let mut text = "SELECT ".to_owned();
        if let Some(most) = most {
            text.push_str(&format!("TOP {most} "));
        }
        text.push_str("* FROM c WHERE c.l = 1");
        if let Condition::Text(condition) = &self.condition {
            text.push_str(&format!(" AND {condition}"));
        }
        let mut parameters = self.parameters.clone();
        if let Some(from) = &self.way.from {
            text.push_str(&format!(" AND {path} {bound} @from"));
            parameters.push(("@from".to_owned(), from.clone()));
        }
        let direction = if self.way.descending { "DESC" } else { "ASC" };
        text.push_str(&format!(" ORDER BY {path} {direction}"));
        let mut found = Vec::new();
        self.container
            .query::<Document>(self.scope, &Sql { text, parameters }, |documents| {
                found.extend(documents);
                true
            })
            .await?;
        Ok(found)
    }
}

/// Several walks of one axis as one. What is in two of them comes twice.
pub(super) struct Merged<'w> {
    walks: Vec<(Walk<'w>, VecDeque<Document>)>,
    descending: bool,
}

impl<'w> Merged<'w> {
    pub(super) fn new(walks: Vec<Walk<'w>>, descending: bool) -> Merged<'w> {
        Merged { walks: walks.into_iter().map(|walk| (walk, VecDeque::new())).collect(), descending }
    }

    /// The documents with the next value of the field; empty at the end.
    pub(super) async fn next(&mut self) -> Result<Vec<Document>, StoreError> {
        for (walk, ahead) in &mut self.walks {
            if ahead.is_empty() {
                ahead.extend(walk.next().await?);
            }
        }
        let heads = self.walks.iter().filter_map(|(walk, ahead)| Some((walk.way.axis, ahead.front()?)));
        let first = heads.map(|(axis, document)| Place::of(axis, document));
        let Some(first) = (if self.descending { first.max() } else { first.min() }) else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for (walk, ahead) in &mut self.walks {
            while ahead.front().is_some_and(|document| Place::of(walk.way.axis, document) == first) {
                found.extend(ahead.pop_front());
            }
        }
        Ok(found)
    }
}

/// A value of the field, in its order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place(i64, String);

impl Place {
    fn of(axis: Axis, document: &Document) -> Place {
        match axis {
            Axis::Birth => Place(0, document.b.clone()),
            Axis::LastUpdated => Place(document.lu, String::new()),
        }
    }
}
