//! Walks: operations over single items, from one item on, without a collection in between and no further than is asked
//! for; and the questions that need no more than that.

use super::EvaluationError;
use super::ast::Operator;
use super::evaluate::{MAX_ITEMS, Machine, Result, Scope, truth};
use super::item::{Item, Items, TypeInfo};
use super::program::{Code, Op, Question, Start, Step};
use super::reference;
use crate::tree::{Children, Element};

/// Whether more is wanted. The error is boxed, so that the answer fits in registers.
pub(super) type Seen = std::result::Result<bool, Box<EvaluationError>>;

impl<'t> Machine<'t> {
    /// Shows `visit` what `code` yields, item by item, until it has seen enough.
    pub fn each<V>(&self, code: &Code, scope: &Scope<'_, 't>, visit: &mut V) -> Seen
    where
        V: FnMut(&Item<'t>) -> Seen,
    {
        match code {
            Code::Nothing => Ok(true),
            Code::This => visit(scope.this),
            Code::Walk { start: Start::This, ops } => self.walk(ops, scope.this, visit),
            Code::Walk { start, ops } => self.walk(ops, &Item::Element(self.start(*start)), visit),
            Code::Shared { slot, code } => show(self.shared(*slot, code, scope)?.items(), visit),
            _ => show(&self.items(code, scope)?, visit),
        }
    }

    /// Appends what `code` yields to `out`, up to the most items that a collection may have.
    pub fn collect(&self, code: &Code, scope: &Scope<'_, 't>, out: &mut impl Extend<Item<'t>>) -> Result<()> {
        let mut room = MAX_ITEMS;
        self.each(code, scope, &mut |item| {
            room = room.checked_sub(1).ok_or_else(Machine::too_many)?;
            out.extend(Some(item.clone()));
            Ok(true)
        })?;
        Ok(())
    }

    /// Takes an item through operations, depth first, and shows `visit` each that comes out.
    pub fn walk<V>(&self, ops: &[Op], item: &Item<'t>, visit: &mut V) -> Seen
    where
        V: FnMut(&Item<'t>) -> Seen,
    {
        self.step(1)?;
        let Some((op, rest)) = ops.split_first() else { return visit(item) };
        match (op, item) {
            (Op::Children(step), Item::Element(element)) => match children_of(step, *element) {
                Some(children) => self.walk_children(children, rest, visit),
                None => Ok(true),
            },
            (Op::Children(step), Item::TypeInfo(info)) => match part_of(step, info) {
                Some(text) => self.walk(rest, &Item::String(text.into()), visit),
                None => Ok(true),
            },
            (Op::OfType(test), _) => match test.accepts(self.schema, item.type_of()) {
                true => self.walk(rest, item, visit),
                false => Ok(true),
            },
            (Op::Where(criteria), _) => {
                let inner = Scope { this: item, index: 0, total: &[] };
                match self.test(criteria, &inner)? {
                    Some(true) => self.walk(rest, item, visit),
                    _ => Ok(true),
                }
            }
            (Op::Extension(url), Item::Element(element)) => self.walk_extensions(*element, url, rest, visit),
            (Op::Descendants, Item::Element(element)) => self.walk_below(*element, rest, visit),
            (Op::Children(_) | Op::Extension(_) | Op::Descendants, _) => Ok(true),
            (Op::Index(_) | Op::Function { .. }, _) => {
                let message = "an operation over a whole collection was met out of place";
                Err(Box::new(EvaluationError::new(message)))
            }
        }
    }

    fn walk_children<V>(&self, children: Children<'t>, rest: &[Op], visit: &mut V) -> Seen
    where
        V: FnMut(&Item<'t>) -> Seen,
    {
        for child in children {
            let child = Item::Element(child);
            let wants_more = if rest.is_empty() {
                self.step(1)?;
                visit(&child)?
            } else {
                self.walk(rest, &child, visit)?
            };
            if !wants_more {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn walk_extensions<V>(&self, element: Element<'t>, url: &str, rest: &[Op], visit: &mut V) -> Seen
    where
        V: FnMut(&Item<'t>) -> Seen,
    {
        for extension in element.all("extension") {
            let found = extension.get("url").and_then(Element::value);
            if found.is_some_and(|found| found == url)
                && !self.walk(rest, &Item::Element(extension), visit)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Each element below after its parent. As deep as the tree is, which is bounded.
    fn walk_below<V>(&self, element: Element<'t>, rest: &[Op], visit: &mut V) -> Seen
    where
        V: FnMut(&Item<'t>) -> Seen,
    {
        for child in element.children() {
            if !self.walk(rest, &Item::Element(child), visit)? || !self.walk_below(child, rest, visit)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn start(&self, start: Start) -> Element<'t> {
        match start {
            Start::This | Start::Context => self.input,
            Start::Resource => self.resource(),
            Start::RootResource => reference::root_resource(self.resource()),
        }
    }

    /// The one truth value of `code`; one item that is no Boolean counts as true
    /// (<https://hl7.org/fhirpath/N1/#singleton-evaluation-of-collections>).
    pub fn test(&self, code: &Code, scope: &Scope<'_, 't>) -> Result<Option<bool>> {
        match code {
            Code::Logic { operator, left, right } => {
                super::operators::logic(self, *operator, left, right, scope)
            }
            Code::Ask { question, operand } => self.ask(*question, operand, scope),
            Code::Counts { operator, left, right } => {
                self.compare_counts(*operator, left, right, scope).map(Some)
            }
            Code::SameTruth { equal, left, right } => {
                let (left, right) = (self.test(left, scope)?, self.test(right, scope)?);
                Ok(left.zip(right).map(|(left, right)| (left == right) == *equal))
            }
            Code::EqualsText { operand, text } => self.equals_text(operand, text, scope),
            Code::All { operand, criteria } => {
                let mut index = 0;
                let all = self.each(operand, scope, &mut |item| {
                    let inner = Scope { this: item, index, total: scope.total };
                    index += 1;
                    Ok(self.test(criteria, &inner)? == Some(true))
                })?;
                Ok(Some(all))
            }
            Code::Is { operand, test } => {
                let found = self.items(operand, scope)?;
                let item = super::evaluate::one("is", &found)?;
                Ok(item.map(|item| test.accepts(self.schema, item.type_of())))
            }
            Code::ReferenceIs { operand, test } => {
                let found = self.items(operand, scope)?;
                Ok(super::evaluate::one("is", &found)?
                    .and_then(|item| reference::target(item))
                    .map(|id| test.accepts(self.schema, super::types::Type::Fhir(id))))
            }
            Code::Shared { slot, code } => truth(self.shared(*slot, code, scope)?.items()),
            _ => truth(&self.items(code, scope)?),
        }
    }

    fn ask(&self, question: Question, operand: &Code, scope: &Scope<'_, 't>) -> Result<Option<bool>> {
        match question {
            Question::Exists => self.any(operand, scope).map(Some),
            Question::Empty => self.any(operand, scope).map(|found| Some(!found)),
            Question::Not => Ok(self.test(operand, scope)?.map(|value| !value)),
            Question::HasValue => {
                let mut found = None;
                self.each(operand, scope, &mut |item| {
                    let is_first = found.is_none();
                    found = Some(is_first && item.has_value());
                    Ok(is_first)
                })?;
                Ok(Some(found == Some(true)))
            }
            // One item, which is no Boolean.
            Question::Count => Ok(Some(true)),
        }
    }

    /// Whether `code` yields anything.
    fn any(&self, code: &Code, scope: &Scope<'_, 't>) -> Result<bool> {
        let Code::Union(branches) = code else { return Ok(self.tally(code, scope, 1)? > 0) };
        for branch in branches {
            if self.any(branch, scope)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many items `code` yields; when there are `most`, the rest are not counted.
    pub fn tally(&self, code: &Code, scope: &Scope<'_, 't>, most: usize) -> Result<usize> {
        let mut found = 0;
        self.each(code, scope, &mut |_| {
            found += 1;
            Ok(found < most)
        })?;
        Ok(found)
    }

    /// A comparison of counts and Integers. The left one is counted no further than it takes to tell.
    fn compare_counts(
        &self,
        operator: Operator,
        left: &Code,
        right: &Code,
        scope: &Scope<'_, 't>,
    ) -> Result<bool> {
        let right = self.number(right, scope, usize::MAX)?;
        let most = usize::try_from(right.saturating_add(1)).unwrap_or(0).max(1);
        let left = self.number(left, scope, most)?;
        Ok(match operator {
            Operator::Equal => left == right,
            Operator::NotEqual => left != right,
            Operator::Less => left < right,
            Operator::LessOrEqual => left <= right,
            Operator::Greater => left > right,
            _ => left >= right,
        })
    }

    fn number(&self, code: &Code, scope: &Scope<'_, 't>, most: usize) -> Result<i64> {
        match code {
            Code::Constant(Item::Integer(value)) => Ok(*value),
            Code::Ask { question: Question::Count, operand } => {
                Ok(i64::try_from(self.tally(operand, scope, most)?).unwrap_or(i64::MAX))
            }
            // A count that is shared.
            _ => match self.items(code, scope)?.as_slice() {
                [Item::Integer(value)] => Ok(*value),
                _ => Err(EvaluationError::new("what is no count was met out of place")),
            },
        }
    }

    fn equals_text(&self, operand: &Code, text: &str, scope: &Scope<'_, 't>) -> Result<Option<bool>> {
        let mut same = None;
        self.each(operand, scope, &mut |item| {
            let is_first = same.is_none();
            same = Some(is_first && item.text().is_some_and(|found| found == text));
            Ok(is_first)
        })?;
        Ok(same)
    }
}

fn show<'t, V>(items: &Items<'t>, visit: &mut V) -> Seen
where
    V: FnMut(&Item<'t>) -> Seen,
{
    for item in items {
        if !visit(item)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The children that a step leads to.
#[inline]
fn children_of<'t>(step: &Step, element: Element<'t>) -> Option<Children<'t>> {
    Some(match step {
        Step::One(range) => element.children_in(range.clone()),
        Step::Several(ranges) => {
            let owner = element.type_id();
            let found = ranges.binary_search_by_key(&owner, |(id, _)| *id).ok().and_then(|at| ranges.get(at));
            element.children_in(found?.1.clone())
        }
        Step::Any(table) => element.children_in(table.get(usize::from(element.type_id().0))?.clone()),
        Step::Named(name) => element.all(name),
        Step::All => element.children(),
    })
}

/// What a step leads to from a type's description.
fn part_of(step: &Step, info: &TypeInfo) -> Option<String> {
    match step {
        Step::Named(name) if name.as_ref() == "name" => Some(info.name.clone()),
        Step::Named(name) if name.as_ref() == "namespace" => Some(info.namespace.to_owned()),
        _ => None,
    }
}
