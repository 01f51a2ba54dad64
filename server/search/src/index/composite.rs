//! Values of composite parameters (<https://hl7.org/fhir/R4/search.html#composite>): for one element that the
//! parameter selects, every combination of its components' values. A component without a value leaves none.

use conformance::{Component, SearchParameterType};
use fhirpath::Element;
use fhirpath::expression::Item;
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
    let mut parts = Vec::with_capacity(components.len());
    for component in components {
        let entries = of_component(source, component, element);
        if entries.iter().next().is_none() {
            return;
        }
        parts.push(entries);
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

/// The values of one component, kept in entries of its own so that they outlive the walk that found them.
fn of_component(source: Source<'_>, component: &Component, element: Element<'_>) -> Entries {
    let mut values = Entries::new();
    let mut items: Vec<Item<'_>> = Vec::new();
    if component.kind != SearchParameterType::Composite
        && component.expression.evaluate(element, &mut items).is_ok()
    {
        let mut keep = |value: Value<'_>| values.push(ParameterId(0), &value);
        items.iter().for_each(|item| source.values(component.kind, item, &mut keep));
    }
    values
}
