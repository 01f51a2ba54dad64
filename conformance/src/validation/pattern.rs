//! `fixed[x]` and `pattern[x]` (<https://hl7.org/fhir/R4/elementdefinition.html#fixed>): a value of a definition, compared with
//! elements. It never says where they differ more closely than the element compared.

use fhirpath::Element;
use fhirpath::Schema;
use fhirpath::schema::{PropertyId, TypeId};
use serde_json::Value;

/// A value to compare with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Pattern {
    /// A primitive's text.
    Text(Box<str>),
    /// A decimal: equal when its number is.
    Number(Box<str>, f64),
    /// Properties with their values.
    Object(Box<[(PropertyId, Box<[Pattern]>)]>),
}

impl Pattern {
    /// Reads the JSON of a value of a type; `None` where the type does not have what it has.
    pub fn new(schema: &Schema, type_id: TypeId, json: &Value) -> Option<Pattern> {
        match json {
            Value::String(text) => Some(Pattern::Text(text.as_str().into())),
            Value::Bool(value) => Some(Pattern::Text(value.to_string().into())),
            Value::Number(number) => {
                let text = number.to_string();
                let value = text.parse().ok()?;
                Some(Pattern::Number(text.into(), value))
            }
            Value::Object(fields) => {
                let mut properties = Vec::with_capacity(fields.len());
                for (name, value) in fields.iter().filter(|(name, _)| !name.starts_with('_')) {
                    let at = schema.properties(type_id).iter().position(|it| it.json_name == *name)?;
                    let property = schema.property_ids(type_id).nth(at)?;
                    let kind = schema.definition(property).type_id;
                    let list = match value {
                        Value::Array(list) => list.as_slice(),
                        single => std::slice::from_ref(single),
                    };
                    let values: Option<Vec<Pattern>> =
                        list.iter().map(|value| Pattern::new(schema, kind, value)).collect();
                    properties.push((property, values?.into()));
                }
                Some(Pattern::Object(properties.into()))
            }
            Value::Array(_) | Value::Null => None,
        }
    }

    /// Whether an element has at least this.
    pub fn is_in(&self, element: Element<'_>) -> bool {
        match self {
            Pattern::Object(properties) => properties.iter().all(|(property, values)| {
                values.iter().all(|value| of(element, *property).any(|child| value.is_in(child)))
            }),
            _ => self.is_text_of(element),
        }
    }

    /// Whether an element is just this.
    pub fn is(&self, element: Element<'_>) -> bool {
        let Pattern::Object(properties) = self else { return self.is_text_of(element) };
        let wanted: usize = properties.iter().map(|(_, values)| values.len()).sum();
        element.children().count() == wanted
            && properties.iter().all(|(property, values)| {
                let children = of(element, *property);
                children.clone().count() == values.len()
                    && values.iter().zip(children).all(|(value, child)| value.is(child))
            })
    }

    fn is_text_of(&self, element: Element<'_>) -> bool {
        let Some(text) = element.value() else { return false };
        match self {
            Pattern::Text(wanted) => text == wanted.as_ref(),
            Pattern::Number(wanted, number) => {
                text == wanted.as_ref()
                    || text.parse::<f64>().is_ok_and(|found| found.total_cmp(number).is_eq())
            }
            Pattern::Object(_) => false,
        }
    }
}

/// The values of one property.
fn of(element: Element<'_>, property: PropertyId) -> fhirpath::tree::Children<'_> {
    element.children_in(property.only())
}
