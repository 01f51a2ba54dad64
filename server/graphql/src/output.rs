//! An object of the answer as it grows: fields that are flattened meet here under their keys, as lists or as one value
//! (<https://hl7.org/fhir/R4/graphql.html#flattening>).

use fhirpath::IssueType;
use fhirpath::schema::TypeId;
use rustc_hash::FxHashMap;
use serde_json::{Map, Value};

use crate::document::Place;
use crate::response::Refusal;

/// How the values of a key are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cardinality {
    /// As a value.
    One,
    /// As a value because `@singleton` says so.
    Singleton,
    List,
}

/// A value for a key, and what there is to know of it.
pub(crate) struct Entry {
    pub key: String,
    pub value: Value,
    pub cardinality: Cardinality,
    /// The type of the element it comes from, where it comes from one.
    pub type_id: Option<TypeId>,
    /// The field that takes it.
    pub place: Place,
    /// Whether it takes the place of a field above it.
    pub is_flattened: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Output {
    slots: Vec<Slot>,
    by_key: FxHashMap<String, usize>,
}

#[derive(Debug)]
struct Slot {
    key: String,
    values: Vec<Value>,
    cardinality: Cardinality,
    type_id: Option<TypeId>,
    place: Place,
}

impl Output {
    pub fn add(&mut self, entry: Entry) -> Result<(), Refusal> {
        let known = self.by_key.get(&entry.key).and_then(|&at| self.slots.get_mut(at));
        let Some(slot) = known else {
            let Entry { key, value, cardinality, type_id, place, .. } = entry;
            self.by_key.insert(key.clone(), self.slots.len());
            self.slots.push(Slot { key, values: vec![value], cardinality, type_id, place });
            return Ok(());
        };
        let refuse = |details: String| Err(Refusal::new(IssueType::Invalid, details).at(entry.place));
        let conflict = || format!("Several fields are to be written as {}; give them aliases.", slot.key);
        if slot.cardinality == Cardinality::Singleton {
            return refuse(format!("{} has more than one value; @singleton takes one.", slot.key));
        }
        if slot.cardinality != entry.cardinality || (slot.place != entry.place && !entry.is_flattened) {
            return match (slot.values.last_mut(), entry.value) {
                (Some(Value::Object(known)), Value::Object(more)) if slot.cardinality == Cardinality::One => {
                    match merge(known, more) {
                        true => Ok(()),
                        false => refuse(conflict()),
                    }
                }
                _ => refuse(conflict()),
            };
        }
        if slot.type_id != entry.type_id {
            return refuse(format!("What is to be written as {} is of several types.", slot.key));
        }
        if entry.cardinality == Cardinality::List {
            slot.values.push(entry.value);
            return Ok(());
        }
        refuse(conflict())
    }

    pub fn into_value(self) -> Value {
        let value = |slot: Slot| {
            let mut values = slot.values;
            let value = match slot.cardinality {
                Cardinality::List => Value::Array(values),
                _ => values.pop().unwrap_or(Value::Null),
            };
            (slot.key, value)
        };
        Value::Object(self.slots.into_iter().map(value).collect())
    }
}

/// Puts the fields of one object into another; whether none of them was there with another value.
fn merge(known: &mut Map<String, Value>, more: Map<String, Value>) -> bool {
    more.into_iter().all(|(key, value)| match (known.get_mut(&key), value) {
        (None, value) => {
            known.insert(key, value);
            true
        }
        (Some(Value::Object(known)), Value::Object(more)) => merge(known, more),
        (Some(known), value) => *known == value,
    })
}
