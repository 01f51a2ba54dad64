//! What iterations ask for again and again though nothing of it depends on the item at hand
//! (`%resource.descendants().reference` inside a `where`) is evaluated once: found here, kept by the machine.

use super::functions::{Form, Function};
use super::program::{Code, Op, Start};

/// What of its surroundings a code asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Asks {
    this: bool,
    index: bool,
    total: bool,
    /// Whether it says something to the outside, which must be said each time.
    speaks: bool,
}

impl Asks {
    fn and(self, other: Asks) -> Asks {
        Asks {
            this: self.this || other.this,
            index: self.index || other.index,
            total: self.total || other.total,
            speaks: self.speaks || other.speaks,
        }
    }

    fn any(self) -> bool {
        self.this || self.index || self.total || self.speaks
    }
}

/// Whether it asks for `$index` or `$total` of the iteration it stands in.
pub(super) fn counts(code: &Code) -> bool {
    let asked = asks(code);
    asked.index || asked.total
}

/// Marks all codes to be shared; how many.
pub(super) fn share(code: &mut Code) -> usize {
    let mut slots = 0;
    visit(code, false, &mut slots);
    slots
}

/// `inside`: within an iteration.
fn visit(code: &mut Code, inside: bool, slots: &mut usize) {
    if inside && is_costly(code) && !asks(code).any() {
        let mut shared = std::mem::replace(code, Code::Nothing);
        visit(&mut shared, false, slots);
        *code = Code::Shared { slot: *slots, code: Box::new(shared) };
        *slots += 1;
        return;
    }
    match code {
        Code::Walk { ops, .. } => ops.iter_mut().for_each(|op| visit_op(op, inside, slots)),
        Code::Chain { base, ops } => {
            visit(base, inside, slots);
            ops.iter_mut().for_each(|op| visit_op(op, inside, slots));
        }
        Code::Union(branches) => branches.iter_mut().for_each(|branch| visit(branch, inside, slots)),
        Code::Negate(operand)
        | Code::Ask { operand, .. }
        | Code::Is { operand, .. }
        | Code::ReferenceIs { operand, .. }
        | Code::EqualsText { operand, .. } => visit(operand, inside, slots),
        Code::All { operand, criteria } => {
            visit(operand, inside, slots);
            visit(criteria, true, slots);
        }
        Code::Logic { left, right, .. }
        | Code::Counts { left, right, .. }
        | Code::SameTruth { left, right, .. }
        | Code::Binary { left, right, .. } => {
            visit(left, inside, slots);
            visit(right, inside, slots);
        }
        Code::Shared { .. }
        | Code::Pattern { .. }
        | Code::Nothing
        | Code::This
        | Code::Index
        | Code::Total
        | Code::Resource
        | Code::RootResource
        | Code::Context
        | Code::Constant(_) => {}
    }
}

fn visit_op(op: &mut Op, inside: bool, slots: &mut usize) {
    match op {
        Op::Where(criteria) => visit(criteria, true, slots),
        Op::Index(index) => visit(index, inside, slots),
        Op::Function { function, arguments } => {
            for (number, argument) in arguments.iter_mut().enumerate() {
                visit(argument, inside || binds(function, number), slots);
            }
        }
        Op::Children(_) | Op::OfType(_) | Op::Extension(_) | Op::Descendants => {}
    }
}

/// Whether a function evaluates this argument for each item of its input.
fn binds(function: &Function, number: usize) -> bool {
    match function.form {
        Form::Criteria | Form::Repeat | Form::Keys => true,
        Form::Aggregate => number == 0,
        Form::Values | Form::Branch | Form::Types => false,
    }
}

/// Whether remembering it is cheaper than evaluating it.
fn is_costly(code: &Code) -> bool {
    match code {
        Code::Walk { .. } | Code::Chain { .. } | Code::All { .. } => true,
        Code::Union(branches) => branches.iter().any(is_costly),
        Code::Logic { left, right, .. }
        | Code::Counts { left, right, .. }
        | Code::SameTruth { left, right, .. }
        | Code::Binary { left, right, .. } => is_costly(left) || is_costly(right),
        Code::Negate(operand)
        | Code::Ask { operand, .. }
        | Code::Is { operand, .. }
        | Code::ReferenceIs { operand, .. }
        | Code::EqualsText { operand, .. } => is_costly(operand),
        _ => false,
    }
}

fn asks(code: &Code) -> Asks {
    let nothing = Asks::default();
    match code {
        Code::This => Asks { this: true, ..nothing },
        Code::Index => Asks { index: true, ..nothing },
        Code::Total => Asks { total: true, ..nothing },
        Code::Walk { start, ops } => {
            let from = Asks { this: *start == Start::This, ..nothing };
            ops.iter().fold(from, |sum, op| sum.and(op_asks(op)))
        }
        Code::Chain { base, ops } => ops.iter().fold(asks(base), |sum, op| sum.and(op_asks(op))),
        Code::Union(branches) => branches.iter().fold(nothing, |sum, branch| sum.and(asks(branch))),
        Code::Negate(operand)
        | Code::Ask { operand, .. }
        | Code::Is { operand, .. }
        | Code::ReferenceIs { operand, .. }
        | Code::EqualsText { operand, .. } => asks(operand),
        Code::All { operand, criteria } => asks(operand).and(iteration(criteria)),
        Code::Logic { left, right, .. }
        | Code::Counts { left, right, .. }
        | Code::SameTruth { left, right, .. }
        | Code::Binary { left, right, .. } => asks(left).and(asks(right)),
        Code::Shared { .. }
        | Code::Pattern { .. }
        | Code::Nothing
        | Code::Resource
        | Code::RootResource
        | Code::Context
        | Code::Constant(_) => nothing,
    }
}

/// The criteria of an iteration: `$this` and `$index` are its own.
fn iteration(criteria: &Code) -> Asks {
    Asks { this: false, index: false, ..asks(criteria) }
}

fn op_asks(op: &Op) -> Asks {
    match op {
        Op::Where(criteria) => iteration(criteria),
        Op::Index(index) => asks(index),
        Op::Function { function, arguments } => {
            let speaks = Asks { speaks: function.name == "trace", ..Asks::default() };
            arguments.iter().enumerate().fold(speaks, |sum, (number, argument)| {
                let inner = asks(argument);
                sum.and(match (binds(function, number), function.form) {
                    (true, Form::Aggregate) => Asks { speaks: inner.speaks, ..Asks::default() },
                    (true, _) => iteration(argument),
                    (false, _) => inner,
                })
            })
        }
        Op::Children(_) | Op::OfType(_) | Op::Extension(_) | Op::Descendants => Asks::default(),
    }
}
