//! The order of matches: where a resource stands in it, as bytes, and the cursors made of that. Reads nothing.
//!
//! A position is, for each sort key, a byte (0: it has a value; 1: it has none) and the value as bytes that sort,
//! each inverted if the key is descending; then the resource's birth, 29 hex digits. Positions compare as bytes
//! and no two resources have the same, so a page that starts after one is right whatever has changed since.

use rustc_hash::FxHashMap;
use text::TextQuery;

use super::plan::Resource;
use crate::cursor;
use crate::embedded::encoding::{DATE, ordered_i64, sort_number, sort_text, sort_value};
use crate::texts::score;
use crate::{ParameterId, Query, SortBy, SortKey, StoreError, Value};

const PRESENT: u8 = 0;
const MISSING: u8 = 1;

/// Length of a birth.
const BIRTH: usize = 29;

/// What the resources sort by that chained keys lead to, by `Type/id`.
pub(super) type Components = FxHashMap<Box<str>, Vec<u8>>;

/// What is read beside the resources for an order.
#[derive(Default)]
pub(super) struct Beside<'q> {
    /// What makes them relevant.
    pub texts: Vec<&'q TextQuery>,
    /// For each key, what it leads to; of one that is not chained nothing.
    pub chained: Vec<Components>,
}

/// Where a resource stands.
pub(super) fn position(
    keys: &[SortKey],
    resource: &Resource<'_>,
    birth: &str,
    beside: &Beside<'_>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(BIRTH + 16 * keys.len());
    let mut chained = beside.chained.iter();
    for key in keys {
        let component = match (&key.by, chained.next()) {
            // Numbers above 0 are in the order of their bits; what fulfils the plan can be read.
            (SortBy::Score, _) => {
                let score = score(&beside.texts, resource.body).ok().flatten();
                score.into_iter().flat_map(|score| score.to_bits().to_be_bytes()).collect()
            }
            (by, Some(leading)) => component(by, key.descending, resource, leading),
            (by, None) => component(by, key.descending, resource, &Components::default()),
        };
        if component.is_empty() {
            out.push(MISSING);
            continue;
        }
        out.push(PRESENT);
        out.extend(component.into_iter().map(|byte| if key.descending { !byte } else { byte }));
    }
    out.extend_from_slice(birth.as_bytes());
    out
}

/// What a resource sorts by: its own values, or the least (or largest) of what its references lead to.
pub(super) fn component(
    by: &SortBy,
    descending: bool,
    resource: &Resource<'_>,
    leading: &Components,
) -> Vec<u8> {
    let mut component = Vec::new();
    match by {
        SortBy::Parameter(parameter) => best(resource, *parameter, descending, &mut component),
        SortBy::LastUpdated => {
            let micros = resource.last_updated.0.saturating_mul(1_000);
            sort_number(&mut component, DATE, ordered_i64(micros));
        }
        SortBy::Id => sort_text(&mut component, 0, resource.key.id().as_bytes()),
        SortBy::Score => {}
        SortBy::Chain { parameter, .. } => {
            let values = resource.entries.iter().filter(|entry| entry.0 == *parameter);
            let found = values.filter_map(|(_, value)| match value {
                Value::Reference(target) => leading.get(target),
                _ => None,
            });
            let best = if descending { found.max() } else { found.min() };
            component.extend(best.into_iter().flatten());
        }
    }
    component
}

/// The least (or largest) of a parameter's values, if one sorts.
fn best(resource: &Resource<'_>, parameter: ParameterId, largest: bool, out: &mut Vec<u8>) {
    let mut component = Vec::new();
    for (_, value) in resource.entries.iter().filter(|entry| entry.0 == parameter) {
        component.clear();
        if !sort_value(&mut component, &value) {
            continue;
        }
        if out.is_empty() || (component > *out) == largest && component != *out {
            out.clone_from(&component);
        }
    }
}

/// The position after which a query goes on.
pub(super) fn read_cursor(query: &Query) -> Result<Option<&[u8]>, StoreError> {
    let Some(cursor) = &query.after else { return Ok(None) };
    let position = cursor::place(query, cursor)?;
    birth(position).map(|_| Some(position)).ok_or(StoreError::Cursor)
}

/// The birth that a position ends with.
pub(super) fn birth(position: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(position.last_chunk::<BIRTH>()?).ok()?;
    text.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(text)
}

/// The time, ms, that a position by time begins with.
pub(super) fn time(position: &[u8], descending: bool) -> Option<i64> {
    let (_, rest) = position.split_at_checked(2)?;
    let bytes = rest.first_chunk::<8>()?.map(|byte| if descending { !byte } else { byte });
    // The inverse of `ordered_i64`: the sign bit turned.
    let micros = i64::from_be_bytes(bytes) ^ i64::MIN;
    Some(micros.div_euclid(1_000))
}
