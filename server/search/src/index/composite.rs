//! Values of composite parameters (<https://hl7.org/fhir/R4/search.html#composite>): for one element that the
//! parameter selects, every combination of its components' values. A component without a value leaves none.

use conformance::{Component, SearchParameterType};
use fhirpath::Element;
use fhirpath::expression::Item;
use smallvec::SmallVec;
use store::{Entries, ParameterId, Value};

use super::Source;

/// Most combinations taken from one element; beyond them it is no data but an attack.
const MAX_COMBINATIONS: usize = 4_096;

pub(super) fn values(
    source: Source<'_>,
    components: &[Component],
    element: Element<'_>,
    found: &mut dyn FnMut(Value<'_>),
) {
    let Some(selected) = select(components, element) else { return };
    let mut parts = Vec::with_capacity(components.len());
    for (component, items) in components.iter().zip(&selected) {
        let values = of_component(source, component.kind, items);
        if values.is_empty() {
            return;
        }
        parts.push(values);
    }
    let mut rows: Vec<Vec<Value<'_>>> = vec![Vec::new()];
    for part in &parts {
        let longer = rows.iter().flat_map(|row| {
            part.iter().map(move |(_, value)| {
                let mut row = row.clone();
                row.push(value);
                row
            })
        });
        rows = longer.take(MAX_COMBINATIONS).collect();
    }
    rows.into_iter().for_each(|row| found(Value::Composite(row)));
}

/// What each component selects; `None` when one selects nothing. The last is asked first: most elements have a code, few
/// the kind of value that a composite is about.
fn select<'t>(components: &[Component], element: Element<'t>) -> Option<SmallVec<[Vec<Item<'t>>; 3]>> {
    let mut selected = SmallVec::new();
    for component in components.iter().rev() {
        let mut items = Vec::new();
        component.expression.evaluate(element, &mut items).ok()?;
        if items.is_empty() {
            return None;
        }
        selected.push(items);
    }
    selected.reverse();
    Some(selected)
}

/// The values of one component, kept in entries of its own so that they outlive the walk that found them.
fn of_component(source: Source<'_>, kind: SearchParameterType, items: &[Item<'_>]) -> Entries {
    let mut values = Entries::new();
    let mut keep = |value: Value<'_>| values.push(ParameterId(0), &value);
    items.iter().for_each(|item| source.values(kind, item, &mut keep));
    values
}
