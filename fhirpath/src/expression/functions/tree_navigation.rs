//! Tree navigation (<https://hl7.org/fhirpath/N1/#tree-navigation>).

use super::super::evaluate::{Call, Machine, Result};
use super::super::item::{Item, Items};

/// Each item after its parent, in the order of the document.
pub(super) fn descendants<'t>(call: &Call<'_, 't>, input: Items<'t>) -> Result<Items<'t>> {
    let mut out = Items::new();
    let mut pending: Vec<_> =
        input.iter().rev().filter_map(Item::element).map(|element| (element, false)).collect();
    while let Some((element, is_wanted)) = pending.pop() {
        call.machine.step(1)?;
        if is_wanted {
            out.push(Item::Element(element));
            Machine::bounded(&out)?;
        }
        let first = pending.len();
        pending.extend(element.children().map(|child| (child, true)));
        if let Some(added) = pending.get_mut(first..) {
            added.reverse();
        }
    }
    Ok(out)
}
