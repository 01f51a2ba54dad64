//! Runs a program over elements. Paths over a single input run without allocating; every item visited counts
//! as a step, and steps are bounded.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::ast::Operator;
use super::distinct::Prepared;
use super::functions::{Function, Pattern};
use super::item::{Item, Items};
use super::program::{Code, Op, Question, Step};
use super::{Environment, EvaluationError};
use super::{operators, reference};
use crate::schema::Schema;
use crate::tree::{Children, Element};

/// Most steps of one evaluation: an item visited, a comparison, a character of a text made.
pub const MAX_STEPS: u64 = 20_000_000;
/// Most items of one collection, the result's too.
pub const MAX_ITEMS: usize = 1_000_000;

pub(super) type Result<T, E = EvaluationError> = std::result::Result<T, E>;

/// One evaluation.
pub(super) struct Machine<'t> {
    pub schema: &'t Schema,
    /// `%context`
    pub input: Element<'t>,
    pub environment: Environment<'t>,
    steps: Cell<u64>,
    /// By slot, what is evaluated once.
    shared: RefCell<Vec<Option<Rc<Prepared<'t>>>>>,
}

/// What an expression sees around it.
#[derive(Clone, Copy)]
pub(super) struct Scope<'s, 't> {
    pub this: &'s Item<'t>,
    pub index: usize,
    pub total: &'s [Item<'t>],
}

/// A function's call: its arguments are evaluated when it asks for them.
pub(super) struct Call<'a, 't> {
    pub machine: &'a Machine<'t>,
    pub function: &'static Function,
    scope: &'a Scope<'a, 't>,
    arguments: &'a [Code],
}

impl<'t> Machine<'t> {
    #[inline]
    pub fn new(input: Element<'t>, environment: Environment<'t>, slots: usize) -> Machine<'t> {
        let shared = RefCell::new(vec![None; slots]);
        Machine { schema: input.tree().schema(), input, environment, steps: Cell::new(0), shared }
    }

    /// Counts on from the steps of evaluations before this one.
    #[inline]
    pub fn count_on_from(&self, steps: u64) {
        self.steps.set(steps);
    }

    /// The steps counted so far.
    #[inline]
    pub fn steps(&self) -> u64 {
        self.steps.get()
    }

    /// `%resource`
    fn resource(&self) -> Element<'t> {
        self.environment.resource.unwrap_or_else(|| reference::resource(self.input))
    }

    /// Counts work.
    #[inline]
    pub fn step(&self, count: usize) -> Result<()> {
        let steps = self.steps.get().saturating_add(count as u64);
        self.steps.set(steps);
        if steps > MAX_STEPS {
            let message = format!("the evaluation takes more than {MAX_STEPS} steps");
            return Err(EvaluationError::too_costly(message));
        }
        Ok(())
    }

    /// Refuses a collection that is too large.
    #[inline]
    pub fn bounded(items: &Items<'t>) -> Result<()> {
        if items.len() > MAX_ITEMS {
            let message = format!("a collection has more than {MAX_ITEMS} items");
            return Err(EvaluationError::too_costly(message));
        }
        Ok(())
    }

    /// Appends what `code` yields to `out`.
    pub fn run(&self, code: &Code, scope: &Scope<'_, 't>, out: &mut Items<'t>) -> Result<()> {
        self.step(1)?;
        match code {
            Code::Nothing => {}
            Code::This => out.push(scope.this.clone()),
            Code::Index => out.push(Item::Integer(i64::try_from(scope.index).unwrap_or(i64::MAX))),
            Code::Total => out.extend(scope.total.iter().cloned()),
            Code::Resource => out.push(Item::Element(self.resource())),
            Code::RootResource => out.push(Item::Element(reference::root_resource(self.resource()))),
            Code::Context => out.push(Item::Element(self.input)),
            Code::Constant(item) => out.push(item.clone()),
            Code::Pattern { text, .. } => out.push(Item::String(text.to_string().into())),
            Code::Shared { slot, code } => {
                let prepared = self.shared(*slot, code, scope)?;
                self.step(prepared.items().len())?;
                out.extend(prepared.items().iter().cloned());
            }
            Code::Chain { base, ops } => return self.chain(base, ops, scope, out),
            Code::Union(branches) => {
                let mut all = Items::new();
                for branch in branches {
                    self.run(branch, scope, &mut all)?;
                }
                Machine::bounded(&all)?;
                operators::distinct(self, all, out)?;
            }
            Code::Negate(operand) => out.extend(operators::negate(self.items(operand, scope)?)?),
            Code::Ask { question: Question::Count, operand } => {
                let count = self.tally(operand, scope, usize::MAX)?;
                out.push(Item::Integer(i64::try_from(count).unwrap_or(i64::MAX)));
            }
            Code::Ask { .. }
            | Code::All { .. }
            | Code::Is { .. }
            | Code::ReferenceIs { .. }
            | Code::EqualsText { .. } => {
                out.extend(self.test(code, scope)?.map(Item::Boolean));
            }
            Code::Binary { operator, left, right } => {
                if let Some(result) = operators::logic(self, *operator, left, right, scope)? {
                    out.extend(result.map(Item::Boolean));
                    return Ok(());
                }
                if let Some(result) = self.membership(*operator, left, right, scope)? {
                    out.extend(result.map(Item::Boolean));
                    return Ok(());
                }
                if let Some(result) = self.answered(*operator, left, right, scope)? {
                    out.push(Item::Boolean(result));
                    return Ok(());
                }
                let (left, right) = (self.items(left, scope)?, self.items(right, scope)?);
                out.extend(operators::binary(self, *operator, &left, &right)?);
            }
        }
        Ok(())
    }

    /// What a shared code yields: evaluated when it is first asked for.
    fn shared(&self, slot: usize, code: &Code, scope: &Scope<'_, 't>) -> Result<Rc<Prepared<'t>>> {
        let known = self.shared.borrow().get(slot).cloned().flatten();
        if let Some(known) = known {
            return Ok(known);
        }
        let prepared = Rc::new(Prepared::new(self.items(code, scope)?));
        if let Some(place) = self.shared.borrow_mut().get_mut(slot) {
            *place = Some(prepared.clone());
        }
        Ok(prepared)
    }

    /// `item in shared` and `shared contains item`, answered from a set; `None` for any other operation.
    #[allow(clippy::option_option)] // the inner one is the language's third value
    fn membership(
        &self,
        operator: Operator,
        left: &Code,
        right: &Code,
        scope: &Scope<'_, 't>,
    ) -> Result<Option<Option<bool>>> {
        let (item, slot, code) = match (operator, left, right) {
            (Operator::In, item, Code::Shared { slot, code })
            | (Operator::Contains, Code::Shared { slot, code }, item) => (item, *slot, code),
            _ => return Ok(None),
        };
        let item = self.items(item, scope)?;
        let Some(item) = one("membership", &item)? else { return Ok(Some(None)) };
        let prepared = self.shared(slot, code, scope)?;
        prepared.contains(self, item).map(|found| Some(Some(found)))
    }

    pub fn items(&self, code: &Code, scope: &Scope<'_, 't>) -> Result<Items<'t>> {
        let mut out = Items::new();
        self.run(code, scope, &mut out)?;
        Ok(out)
    }

    /// The one truth value of `code`; one item that is no Boolean counts as true
    /// (<https://hl7.org/fhirpath/N1/#singleton-evaluation-of-collections>).
    pub fn test(&self, code: &Code, scope: &Scope<'_, 't>) -> Result<Option<bool>> {
        match code {
            Code::EqualsText { operand, text } => {
                let found = self.items(operand, scope)?;
                Ok(match found.as_slice() {
                    [] => None,
                    [item] => Some(item.text().is_some_and(|found| found == text.as_ref())),
                    _ => Some(false),
                })
            }
            Code::Is { operand, test } => {
                let found = self.items(operand, scope)?;
                Ok(one("is", &found)?.map(|item| test.accepts(self.schema, item.type_of())))
            }
            Code::ReferenceIs { operand, test } => {
                let found = self.items(operand, scope)?;
                Ok(one("is", &found)?
                    .and_then(|item| reference::target(item))
                    .map(|id| test.accepts(self.schema, super::types::Type::Fhir(id))))
            }
            Code::Binary { operator, left, right } => {
                if let Some(result) = operators::logic(self, *operator, left, right, scope)? {
                    return Ok(result);
                }
                match self.answered(*operator, left, right, scope)? {
                    Some(result) => Ok(Some(result)),
                    None => truth(&self.items(code, scope)?),
                }
            }
            Code::Ask { question, operand } => self.ask(*question, operand, scope),
            Code::All { operand, criteria } => {
                let items = self.items(operand, scope)?;
                self.step(items.len())?;
                for (index, item) in items.iter().enumerate() {
                    if self.test(criteria, &Scope { this: item, index, total: scope.total })? != Some(true) {
                        return Ok(Some(false));
                    }
                }
                Ok(Some(true))
            }
            _ => truth(&self.items(code, scope)?),
        }
    }

    fn ask(&self, question: Question, operand: &Code, scope: &Scope<'_, 't>) -> Result<Option<bool>> {
        match question {
            Question::Exists => Ok(Some(self.tally(operand, scope, 1)? > 0)),
            Question::Empty => Ok(Some(self.tally(operand, scope, 1)? == 0)),
            Question::Not => Ok(self.test(operand, scope)?.map(|value| !value)),
            Question::HasValue if matches!(operand, Code::This) => Ok(Some(scope.this.value().is_some())),
            Question::HasValue => {
                let found = self.items(operand, scope)?;
                Ok(Some(matches!(found.as_slice(), [item] if item.value().is_some())))
            }
            // One item, which is no Boolean.
            Question::Count => Ok(Some(true)),
        }
    }

    /// A comparison of counts, and of answers that are never empty; `None` for any other operation.
    fn answered(
        &self,
        operator: Operator,
        left: &Code,
        right: &Code,
        scope: &Scope<'_, 't>,
    ) -> Result<Option<bool>> {
        let number = |code: &Code| match code {
            Code::Ask { question: Question::Count, operand } => {
                self.tally(operand, scope, usize::MAX).map(|count| i64::try_from(count).ok())
            }
            Code::Ask { question: question @ (Question::Exists | Question::Empty), operand } => {
                Ok(self.ask(*question, operand, scope)?.map(i64::from))
            }
            Code::Constant(Item::Integer(value)) => Ok(Some(*value)),
            _ => Ok(None),
        };
        let kind = |code: &Code| match code {
            Code::Ask { question: Question::Exists | Question::Empty, .. } => 1,
            Code::Ask { question: Question::Count, .. } | Code::Constant(Item::Integer(_)) => 2,
            _ => 0,
        };
        let orders = matches!(
            operator,
            Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual
        );
        let equals = matches!(operator, Operator::Equal | Operator::NotEqual);
        let is_known = match (kind(left), kind(right)) {
            (1, 1) => equals,
            (2, 2) => equals || orders,
            _ => false,
        };
        if !is_known {
            return Ok(None);
        }
        let (Some(left), Some(right)) = (number(left)?, number(right)?) else { return Ok(None) };
        Ok(Some(match operator {
            Operator::Equal => left == right,
            Operator::NotEqual => left != right,
            Operator::Less => left < right,
            Operator::LessOrEqual => left <= right,
            Operator::Greater => left > right,
            _ => left >= right,
        }))
    }

    /// How many items `code` yields; when there are `most`, the rest are not counted.
    fn tally(&self, code: &Code, scope: &Scope<'_, 't>, most: usize) -> Result<usize> {
        let streamed = |base: &Code| matches!(base, Code::This);
        match code {
            Code::Nothing => Ok(0),
            Code::Chain { base, ops } if streamed(base) && ops.iter().all(Op::is_itemwise) => {
                let mut found = 0;
                self.count(ops, scope.this, most, &mut found)?;
                Ok(found)
            }
            _ => Ok(self.items(code, scope)?.len()),
        }
    }

    /// As [`Machine::stream`], counting only.
    fn count(&self, ops: &[Op], item: &Item<'t>, most: usize, found: &mut usize) -> Result<()> {
        self.step(1)?;
        let Some((op, rest)) = ops.split_first() else {
            *found += 1;
            return Ok(());
        };
        let (Op::Children(step), Item::Element(element)) = (op, item) else {
            let mut items = Items::new();
            self.stream(std::slice::from_ref(op), item.clone(), &mut items)?;
            for item in &items {
                if *found >= most {
                    break;
                }
                self.count(rest, item, most, found)?;
            }
            return Ok(());
        };
        let Some(children) = children_of(step, *element) else { return Ok(()) };
        if rest.is_empty() {
            let count = children.take(most.saturating_sub(*found)).count();
            *found += count;
            return self.step(count);
        }
        for child in children {
            self.count(rest, &Item::Element(child), most, found)?;
            if *found >= most {
                break;
            }
        }
        Ok(())
    }

    fn chain(&self, base: &Code, ops: &[Op], scope: &Scope<'_, 't>, out: &mut Items<'t>) -> Result<()> {
        if matches!(base, Code::This) && ops.iter().all(Op::is_itemwise) {
            return self.stream(ops, scope.this.clone(), out);
        }
        let mut current = Items::new();
        self.run(base, scope, &mut current)?;
        let mut rest = ops;
        loop {
            let itemwise = rest.iter().take_while(|op| op.is_itemwise()).count();
            let Some((now, later)) = rest.split_at_checked(itemwise) else { return Ok(()) };
            let Some((whole, later)) = later.split_first() else {
                for item in current {
                    self.stream(now, item, out)?;
                }
                return Ok(());
            };
            if !now.is_empty() {
                let mut next = Items::new();
                for item in current {
                    self.stream(now, item, &mut next)?;
                }
                current = next;
            }
            current = self.whole(whole, current, scope)?;
            rest = later;
        }
    }

    /// Takes one item through operations that treat each by itself, depth first.
    fn stream(&self, ops: &[Op], item: Item<'t>, out: &mut Items<'t>) -> Result<()> {
        self.step(1)?;
        let Some((op, rest)) = ops.split_first() else {
            out.push(item);
            return Ok(());
        };
        match op {
            Op::Children(step) => self.children(step, &item, rest, out),
            Op::OfType(test) if test.accepts(self.schema, item.type_of()) => self.stream(rest, item, out),
            Op::OfType(_) => Ok(()),
            Op::Where(criteria) => {
                let inner = Scope { this: &item, index: 0, total: &[] };
                match self.test(criteria, &inner)? {
                    Some(true) => self.stream(rest, item, out),
                    _ => Ok(()),
                }
            }
            Op::Extension(url) => {
                let Some(element) = item.element() else { return Ok(()) };
                for extension in element.all("extension") {
                    if extension
                        .get("url")
                        .and_then(Element::value)
                        .is_some_and(|found| found == url.as_ref())
                    {
                        self.stream(rest, Item::Element(extension), out)?;
                    }
                }
                Ok(())
            }
            Op::Index(_) | Op::Function { .. } => {
                Err(EvaluationError::new("an operation over a whole collection was met out of place"))
            }
        }
    }

    fn children(&self, step: &Step, item: &Item<'t>, rest: &[Op], out: &mut Items<'t>) -> Result<()> {
        let element = match item {
            Item::Element(element) => *element,
            Item::TypeInfo(info) => {
                let text = match step {
                    Step::Named(name) if name.as_ref() == "name" => info.name.clone(),
                    Step::Named(name) if name.as_ref() == "namespace" => info.namespace.to_owned(),
                    _ => return Ok(()),
                };
                return self.stream(rest, Item::String(text.into()), out);
            }
            _ => return Ok(()),
        };
        let Some(children) = children_of(step, element) else { return Ok(()) };
        if rest.is_empty() {
            let known = out.len();
            out.extend(children.map(Item::Element));
            return self.step(out.len() - known);
        }
        for child in children {
            self.stream(rest, Item::Element(child), out)?;
        }
        Ok(())
    }

    /// An operation over a whole collection.
    fn whole(&self, op: &Op, mut input: Items<'t>, scope: &Scope<'_, 't>) -> Result<Items<'t>> {
        match op {
            Op::Index(index) => {
                let index = operators::integer("an index", &self.items(index, scope)?)?;
                let index = index.and_then(|index| usize::try_from(index).ok());
                Ok(match index {
                    Some(index) if index < input.len() => Items::from_iter([input.swap_remove(index)]),
                    _ => Items::new(),
                })
            }
            Op::Function { function, arguments } => {
                self.step(input.len())?;
                let out = (function.run)(&Call { machine: self, function, scope, arguments }, input)?;
                Machine::bounded(&out)?;
                Ok(out)
            }
            Op::Children(_) | Op::OfType(_) | Op::Where(_) | Op::Extension(_) => {
                let mut out = Items::new();
                for item in input {
                    self.stream(std::slice::from_ref(op), item, &mut out)?;
                }
                Ok(out)
            }
        }
    }
}

impl<'t> Call<'_, 't> {
    /// Whether it has an argument of this number.
    pub fn has(&self, number: usize) -> bool {
        self.arguments.len() > number
    }

    /// An argument's collection; empty when it is not given.
    pub fn argument(&self, number: usize) -> Result<Items<'t>> {
        self.arguments.get(number).map_or(Ok(Items::new()), |code| self.machine.items(code, self.scope))
    }

    /// An argument's text.
    pub fn text(&self, number: usize) -> Result<Option<std::borrow::Cow<'t, str>>> {
        operators::text(self.function.name, &self.argument(number)?)
    }

    /// An argument's integer.
    pub fn integer(&self, number: usize) -> Result<Option<i64>> {
        operators::integer(self.function.name, &self.argument(number)?)
    }

    /// The argument evaluated for one item of the input.
    pub fn each(&self, number: usize, item: &Item<'t>, index: usize) -> Result<Items<'t>> {
        self.each_with(number, item, index, self.scope.total)
    }

    /// The argument evaluated for an item that is no new iteration: `$index` stays.
    pub fn within(&self, number: usize, item: &Item<'t>) -> Result<Items<'t>> {
        self.each_with(number, item, self.scope.index, self.scope.total)
    }

    /// As [`Call::each`], with `$total`.
    pub fn each_with(
        &self,
        number: usize,
        item: &Item<'t>,
        index: usize,
        total: &[Item<'t>],
    ) -> Result<Items<'t>> {
        let Some(code) = self.arguments.get(number) else { return Ok(Items::new()) };
        self.machine.items(code, &Scope { this: item, index, total })
    }

    /// The argument's truth for one item of the input.
    pub fn test(&self, number: usize, item: &Item<'t>, index: usize) -> Result<Option<bool>> {
        let Some(code) = self.arguments.get(number) else { return Ok(Some(true)) };
        self.machine.test(code, &Scope { this: item, index, total: self.scope.total })
    }

    /// The sort key for one item of the input, and whether it counts downwards.
    pub fn key(&self, number: usize, item: &Item<'t>) -> Result<(Option<Item<'t>>, bool)> {
        let (code, descends) = match self.arguments.get(number) {
            Some(Code::Negate(code)) => (code.as_ref(), true),
            Some(code) => (code, false),
            None => return Ok((Some(item.clone()), false)),
        };
        let scope = Scope { this: item, index: 0, total: self.scope.total };
        let key = self.machine.items(code, &scope)?;
        Ok((one("a sort key", &key)?.cloned(), descends))
    }

    /// How many arguments it has.
    pub fn count(&self) -> usize {
        self.arguments.len()
    }

    /// The regular expression that an argument is, when it was compiled with the expression.
    pub fn pattern(&self, number: usize) -> Option<&Pattern> {
        match self.arguments.get(number) {
            Some(Code::Pattern { pattern, .. }) => Some(pattern),
            _ => None,
        }
    }

    /// The one item of the input.
    pub fn single<'i>(&self, input: &'i [Item<'t>]) -> Result<Option<&'i Item<'t>>> {
        one(self.function.name, input)
    }
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
        Step::Named(name) => element.all(name),
        Step::All => element.children(),
    })
}

/// The one item of a collection, or none.
pub(super) fn one<'i, 't>(name: &str, items: &'i [Item<'t>]) -> Result<Option<&'i Item<'t>>> {
    match items {
        [] => Ok(None),
        [item] => Ok(Some(item)),
        _ => Err(EvaluationError::new(format!("{name} needs one item and has {}", items.len()))),
    }
}

/// The truth value of a collection.
pub(super) fn truth(items: &[Item<'_>]) -> Result<Option<bool>> {
    let Some(item) = one("a condition", items)? else { return Ok(None) };
    Ok(Some(match item.value().as_deref() {
        Some(Item::Boolean(value)) => *value,
        _ => true,
    }))
}
