//! Runs a program over elements. Paths over a single input run without allocating; every item visited counts
//! as a step, and steps are bounded.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::ast::Operator;
use super::distinct::Prepared;
use super::functions::{Function, Pattern};
use super::item::{Item, Items};
use super::program::{Code, Op, Question};
use super::{Environment, EvaluationError};
use super::{operators, reference};
use crate::schema::Schema;
use crate::tree::Element;

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
    pub fn resource(&self) -> Element<'t> {
        self.environment.resource.unwrap_or_else(|| reference::resource(self.input))
    }

    /// Counts work.
    #[inline]
    pub fn step(&self, count: usize) -> Result<()> {
        let steps = self.steps.get().saturating_add(count as u64);
        self.steps.set(steps);
        if steps > MAX_STEPS {
            return Err(Machine::too_long());
        }
        Ok(())
    }

    /// Refuses a collection that is too large.
    #[inline]
    pub fn bounded(items: &Items<'t>) -> Result<()> {
        if items.len() > MAX_ITEMS {
            return Err(Machine::too_many());
        }
        Ok(())
    }

    #[cold]
    pub fn too_many() -> EvaluationError {
        EvaluationError::too_costly(format!("a collection has more than {MAX_ITEMS} items"))
    }

    #[cold]
    fn too_long() -> EvaluationError {
        EvaluationError::too_costly(format!("the evaluation takes more than {MAX_STEPS} steps"))
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
            Code::Walk { .. } => return self.collect(code, scope, out),
            Code::Ask { question: Question::Count, operand } => {
                let count = self.tally(operand, scope, usize::MAX)?;
                out.push(Item::Integer(i64::try_from(count).unwrap_or(i64::MAX)));
            }
            Code::Ask { .. }
            | Code::All { .. }
            | Code::Is { .. }
            | Code::ReferenceIs { .. }
            | Code::EqualsText { .. }
            | Code::Logic { .. }
            | Code::Counts { .. }
            | Code::SameTruth { .. } => {
                out.extend(self.test(code, scope)?.map(Item::Boolean));
            }
            Code::Binary { operator, left, right } => {
                if let Some(result) = self.membership(*operator, left, right, scope)? {
                    out.extend(result.map(Item::Boolean));
                    return Ok(());
                }
                let (left, right) = (self.items(left, scope)?, self.items(right, scope)?);
                out.extend(operators::binary(self, *operator, &left, &right)?);
            }
        }
        Ok(())
    }

    /// What a shared code yields: evaluated when it is first asked for.
    pub fn shared(&self, slot: usize, code: &Code, scope: &Scope<'_, 't>) -> Result<Rc<Prepared<'t>>> {
        self.prepared(slot, || self.items(code, scope))
    }

    fn prepared(
        &self,
        slot: usize,
        evaluate: impl FnOnce() -> Result<Items<'t>>,
    ) -> Result<Rc<Prepared<'t>>> {
        let known = self.shared.borrow().get(slot).cloned().flatten();
        if let Some(known) = known {
            return Ok(known);
        }
        let prepared = Rc::new(Prepared::new(evaluate()?));
        if let Some(place) = self.shared.borrow_mut().get_mut(slot) {
            *place = Some(prepared.clone());
        }
        Ok(prepared)
    }

    /// What is asked only whether it has an item: of a union, an item of several branches may stay several times.
    fn members(&self, code: &Code, scope: &Scope<'_, 't>) -> Result<Items<'t>> {
        let Code::Union(branches) = code else { return self.items(code, scope) };
        let mut all = Items::new();
        for branch in branches {
            self.run(branch, scope, &mut all)?;
            Machine::bounded(&all)?;
        }
        Ok(all)
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
        let prepared = self.prepared(slot, || self.members(code, scope))?;
        prepared.contains(self, item).map(|found| Some(Some(found)))
    }

    pub fn items(&self, code: &Code, scope: &Scope<'_, 't>) -> Result<Items<'t>> {
        let mut out = Items::new();
        self.run(code, scope, &mut out)?;
        Ok(out)
    }

    fn chain(&self, base: &Code, ops: &[Op], scope: &Scope<'_, 't>, out: &mut Items<'t>) -> Result<()> {
        let mut current = self.items(base, scope)?;
        let mut rest = ops;
        loop {
            let itemwise = rest.iter().take_while(|op| op.is_itemwise()).count();
            let Some((now, later)) = rest.split_at_checked(itemwise) else { return Ok(()) };
            let Some((whole, later)) = later.split_first() else { return self.walk_all(now, &current, out) };
            if !now.is_empty() {
                let mut next = Items::new();
                self.walk_all(now, &current, &mut next)?;
                current = next;
            }
            current = self.whole(whole, current, scope)?;
            rest = later;
        }
    }

    fn walk_all(&self, ops: &[Op], items: &Items<'t>, out: &mut Items<'t>) -> Result<()> {
        for item in items {
            self.walk(ops, item, &mut |item| {
                if out.len() >= MAX_ITEMS {
                    return Err(Machine::too_many().into());
                }
                out.push(item.clone());
                Ok(true)
            })?;
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
            Op::Children(_) | Op::OfType(_) | Op::Where(_) | Op::Extension(_) | Op::Descendants => {
                Err(EvaluationError::new("an operation over single items was met out of place"))
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
