//! `=` and `~` (<https://hl7.org/fhirpath/N1/#equality>).

use std::cmp::Ordering;

use super::super::decimal::Decimal;
use super::super::distinct::{Distinct, FEW};
use super::super::evaluate::{Machine, Result};
use super::super::item::{Item, Items, Quantity};
use super::super::temporal::{DateTime, Time};
use super::super::ucum;
use crate::tree::Element;

/// `left = right`: empty when either is, or when a date's precision leaves it open.
pub(in super::super) fn equal<'t>(
    machine: &Machine<'t>,
    left: &[Item<'t>],
    right: &[Item<'t>],
) -> Result<Option<bool>> {
    if left.is_empty() || right.is_empty() {
        return Ok(None);
    }
    if left.len() != right.len() {
        return Ok(Some(false));
    }
    let mut open = false;
    for (left, right) in left.iter().zip(right) {
        match equal_items(machine, left, right)? {
            Some(true) => {}
            Some(false) => return Ok(Some(false)),
            None => open = true,
        }
    }
    Ok((!open).then_some(true))
}

/// Whether two items are equal.
pub(in super::super) fn equal_items<'t>(
    machine: &Machine<'t>,
    left: &Item<'t>,
    right: &Item<'t>,
) -> Result<Option<bool>> {
    machine.step(1)?;
    if let (Item::Element(left), Item::Element(right)) = (left, right) {
        return equal_elements(machine, *left, *right);
    }
    let (Some(left), Some(right)) = (left.value_or_quantity(), right.value_or_quantity()) else {
        return Ok(Some(false));
    };
    Ok(equal_values(&left, &right))
}

fn equal_elements<'t>(machine: &Machine<'t>, left: Element<'t>, right: Element<'t>) -> Result<Option<bool>> {
    if left == right {
        return Ok(Some(true));
    }
    let values = (Item::Element(left), Item::Element(right));
    if let (Some(left), Some(right)) = (values.0.value(), values.1.value()) {
        return Ok(equal_values(&left, &right));
    }
    if left.has_value() != right.has_value() || left.type_id() != right.type_id() {
        return Ok(Some(false));
    }
    let (mut left, mut right) = (left.children(), right.children());
    let mut open = false;
    loop {
        let (left, right) = match (left.next(), right.next()) {
            (None, None) => return Ok((!open).then_some(true)),
            (Some(left), Some(right)) if left.property_id() == right.property_id() => (left, right),
            _ => return Ok(Some(false)),
        };
        machine.step(1)?;
        match equal_elements(machine, left, right)? {
            Some(true) => {}
            Some(false) => return Ok(Some(false)),
            None => open = true,
        }
    }
}

fn equal_values(left: &Item<'_>, right: &Item<'_>) -> Option<bool> {
    let same = |order: Option<Ordering>| order.map(Ordering::is_eq);
    match (left, right) {
        (Item::Boolean(a), Item::Boolean(b)) => Some(a == b),
        (Item::Integer(a), Item::Integer(b)) => Some(a == b),
        (Item::Integer(a), Item::Decimal(b)) | (Item::Decimal(b), Item::Integer(a)) => {
            Some(Decimal::from(*a) == *b)
        }
        (Item::Decimal(a), Item::Decimal(b)) => Some(a == b),
        (Item::String(a), Item::String(b)) => Some(a == b),
        (Item::Date(a), Item::Date(b)) => same(DateTime::from(*a).compare(DateTime::from(*b))),
        (Item::DateTime(a), Item::DateTime(b)) => same(a.compare(*b)),
        (Item::Date(a), Item::DateTime(b)) | (Item::DateTime(b), Item::Date(a)) => {
            same(DateTime::from(*a).compare(*b))
        }
        (Item::Time(a), Item::Time(b)) => same(a.compare(*b)),
        (Item::Quantity(a), Item::Quantity(b)) => equal_quantities(a, b),
        (Item::Quantity(a), Item::Integer(b)) | (Item::Integer(b), Item::Quantity(a)) => {
            equal_quantities(a, &Quantity::plain(Decimal::from(*b)))
        }
        (Item::Quantity(a), Item::Decimal(b)) | (Item::Decimal(b), Item::Quantity(a)) => {
            equal_quantities(a, &Quantity::plain(*b))
        }
        (Item::TypeInfo(a), Item::TypeInfo(b)) => Some(a == b),
        _ => Some(false),
    }
}

/// Empty when the units cannot be compared.
fn equal_quantities(left: &Quantity, right: &Quantity) -> Option<bool> {
    ucum::compare(left, right).map(Ordering::is_eq)
}

/// `left ~ right`: never empty; order is no matter.
pub(in super::super) fn equivalent<'t>(
    machine: &Machine<'t>,
    left: &[Item<'t>],
    right: &[Item<'t>],
) -> Result<bool> {
    if left.len() != right.len() {
        return Ok(false);
    }
    let mut rest: Vec<&Item<'t>> = right.iter().collect();
    for item in left {
        let mut found = None;
        for (at, other) in rest.iter().enumerate() {
            if equivalent_items(machine, item, other)? {
                found = Some(at);
                break;
            }
        }
        match found {
            Some(at) => rest.swap_remove(at),
            None => return Ok(false),
        };
    }
    Ok(true)
}

fn equivalent_items<'t>(machine: &Machine<'t>, left: &Item<'t>, right: &Item<'t>) -> Result<bool> {
    machine.step(1)?;
    if let (Some(left), Some(right)) = (left.value_or_quantity(), right.value_or_quantity()) {
        return Ok(equivalent_values(&left, &right));
    }
    let (Some(left), Some(right)) = (left.element(), right.element()) else { return Ok(false) };
    if left.type_id() != right.type_id() {
        return Ok(false);
    }
    let children = |element: Element<'t>| element.children().map(Item::Element).collect::<Items<'t>>();
    let (left, right) = (children(left), children(right));
    if left.len() != right.len() {
        return Ok(false);
    }
    for item in &left {
        let name = item.element().map(Element::name);
        let same = |other: &&Item<'t>| other.element().map(Element::name) == name;
        let (ours, theirs): (Items, Items) =
            (left.iter().filter(same).cloned().collect(), right.iter().filter(same).cloned().collect());
        if !equivalent(machine, &ours, &theirs)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn equivalent_values(left: &Item<'_>, right: &Item<'_>) -> bool {
    match (left, right) {
        (Item::String(a), Item::String(b)) => folded(a) == folded(b),
        (Item::Decimal(a), Item::Decimal(b)) => {
            let scale = a.normalized().scale().min(b.normalized().scale());
            a.rescaled(scale) == b.rescaled(scale)
        }
        (Item::Integer(a), Item::Decimal(b)) | (Item::Decimal(b), Item::Integer(a)) => {
            Some(Decimal::from(*a)) == b.rescaled(0)
        }
        (Item::Quantity(a), Item::Quantity(b)) => ucum::in_larger(a, b)
            .is_some_and(|(a, b)| equivalent_values(&Item::Decimal(a), &Item::Decimal(b))),
        (Item::Time(a), Item::Time(b)) => a.compare(*b) == Some(Ordering::Equal) && same_precision(*a, *b),
        _ => equal_values(left, right) == Some(true),
    }
}

fn same_precision(left: Time, right: Time) -> bool {
    left.minute.is_some() == right.minute.is_some()
        && left.milliseconds.is_some() == right.milliseconds.is_some()
}

/// Lower case, white space as single spaces.
fn folded(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Whether a collection has an item equal to this.
pub(in super::super) fn contains<'t>(
    machine: &Machine<'t>,
    items: &[Item<'t>],
    wanted: &Item<'t>,
) -> Result<bool> {
    for item in items {
        if equal_items(machine, item, wanted)? == Some(true) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Appends each item of `items` that is equal to none before it.
pub(in super::super) fn distinct<'t>(
    machine: &Machine<'t>,
    items: Items<'t>,
    out: &mut Items<'t>,
) -> Result<()> {
    if items.len() > FEW {
        out.extend(Distinct::of(machine, items)?.into_items());
        return Ok(());
    }
    let first = out.len();
    for item in items {
        if !contains(machine, out.get(first..).unwrap_or_default(), &item)? {
            out.push(item);
        }
    }
    Ok(())
}
