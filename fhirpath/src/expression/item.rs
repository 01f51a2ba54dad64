//! The items of a collection: elements of the tree, and values computed from them
//! (<https://hl7.org/fhirpath/N1/#literals>, <https://hl7.org/fhir/R4/fhirpath.html#types>).

use std::borrow::Cow;
use std::fmt;

use smallvec::SmallVec;

use super::decimal::Decimal;
use super::temporal::{Date, DateTime, Time};
use super::types::{System, Type};
use crate::tree::Element;

/// One item of a result.
#[derive(Debug, Clone)]
pub enum Item<'t> {
    /// A node of the tree.
    Element(Element<'t>),
    /// `System.Boolean`
    Boolean(bool),
    /// `System.Integer`, 32 bits
    Integer(i64),
    /// `System.Decimal`
    Decimal(Decimal),
    /// `System.String`
    String(Cow<'t, str>),
    /// `System.Date`
    Date(Date),
    /// `System.DateTime`
    DateTime(DateTime),
    /// `System.Time`
    Time(Time),
    /// `System.Quantity`
    Quantity(Box<Quantity>),
    /// What `type()` returns.
    TypeInfo(Box<TypeInfo>),
}

/// A number with a unit.
#[derive(Debug, Clone)]
pub struct Quantity {
    /// The number.
    pub value: Decimal,
    /// A UCUM code, or the singular of a calendar duration; `1` without unit.
    pub unit: String,
    /// Whether the unit is a calendar duration (`year`).
    pub calendar: bool,
}

/// A type, as an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeInfo {
    /// `FHIR` or `System`.
    pub namespace: &'static str,
    /// `Patient`, `Boolean`.
    pub name: String,
}

/// A collection; a few items need no allocation.
pub(super) type Items<'t> = SmallVec<[Item<'t>; 4]>;

impl<'t> Item<'t> {
    /// Its type.
    pub(super) fn type_of(&self) -> Type {
        match self {
            Item::Element(element) => Type::Fhir(element.type_id()),
            Item::Boolean(_) => Type::System(System::Boolean),
            Item::Integer(_) => Type::System(System::Integer),
            Item::Decimal(_) => Type::System(System::Decimal),
            Item::String(_) => Type::System(System::String),
            Item::Date(_) => Type::System(System::Date),
            Item::DateTime(_) => Type::System(System::DateTime),
            Item::Time(_) => Type::System(System::Time),
            Item::Quantity(_) => Type::System(System::Quantity),
            Item::TypeInfo(_) => Type::System(System::TypeInfo),
        }
    }

    /// The element it is, if it is one.
    pub fn element(&self) -> Option<Element<'t>> {
        match self {
            Item::Element(element) => Some(*element),
            _ => None,
        }
    }

    /// Its type and its value, as a user is shown them: `HumanName` with canonical JSON, `code` with its text,
    /// `System.Quantity` with `4 'mg'`. A primitive without a value has an empty text.
    pub fn pair(&self) -> (String, String) {
        let system = |system: System, value: String| (format!("System.{}", system.name()), value);
        match self {
            Item::Element(element) => {
                let kind = element.type_name().to_owned();
                if element.tree().schema().primitive(element.type_id()).is_some() {
                    return (kind, element.value().unwrap_or_default().into_owned());
                }
                let mut json = Vec::new();
                element.write_json(&mut json);
                (kind, String::from_utf8_lossy(&json).into_owned())
            }
            Item::Boolean(value) => system(System::Boolean, value.to_string()),
            Item::Integer(value) => system(System::Integer, value.to_string()),
            Item::Decimal(value) => system(System::Decimal, value.to_string()),
            Item::String(value) => system(System::String, value.to_string()),
            Item::Date(value) => system(System::Date, value.to_string()),
            Item::DateTime(value) => system(System::DateTime, value.to_string()),
            Item::Time(value) => system(System::Time, value.to_string()),
            Item::Quantity(value) => system(System::Quantity, value.to_string()),
            Item::TypeInfo(value) => system(System::TypeInfo, format!("{}.{}", value.namespace, value.name)),
        }
    }

    /// The value of the language that it is or, for a primitive element, has. `None` for a complex element (a Quantity
    /// too) and for a primitive without a value.
    pub(super) fn value(&self) -> Option<Cow<'_, Item<'t>>> {
        match self {
            Item::Element(element) => primitive_value(*element).map(Cow::Owned),
            _ => Some(Cow::Borrowed(self)),
        }
    }

    /// Whether it has a [`Item::value`]; a text need not be taken out for that.
    pub(super) fn has_value(&self) -> bool {
        let Item::Element(element) = self else { return true };
        match element.primitive().map(System::of) {
            Some(System::String | System::Boolean) => element.has_value(),
            Some(_) => element.has_value() && primitive_value(*element).is_some(),
            None => false,
        }
    }

    /// The same, and a Quantity element as a quantity.
    pub(super) fn value_or_quantity(&self) -> Option<Cow<'_, Item<'t>>> {
        match self {
            Item::Element(element) => self.value().or_else(|| quantity(*element).map(Cow::Owned)),
            _ => self.value(),
        }
    }

    /// The text of a String, or of an element whose value is one.
    pub(super) fn text(&self) -> Option<Cow<'t, str>> {
        match self {
            Item::String(text) => Some(text.clone()),
            Item::Element(element) => {
                (System::of(element.primitive()?) == System::String).then(|| element.value())?
            }
            _ => None,
        }
    }
}

/// The value of a primitive element.
fn primitive_value(element: Element<'_>) -> Option<Item<'_>> {
    let primitive = element.primitive()?;
    let text = element.value()?;
    Some(match System::of(primitive) {
        System::Boolean => Item::Boolean(text == "true"),
        System::Integer => Item::Integer(text.parse().ok()?),
        System::Decimal => Item::Decimal(Decimal::parse(&text)?),
        System::Date => Item::Date(Date::parse(&text)?),
        System::DateTime => Item::DateTime(DateTime::parse(&text)?),
        System::Time => Item::Time(Time::parse(&text)?),
        System::String | System::Quantity | System::TypeInfo => Item::String(text),
    })
}

/// A FHIR Quantity as one of the language: its UCUM code, else its unit's text. One with a comparator is none.
fn quantity(element: Element<'_>) -> Option<Item<'_>> {
    let schema = element.tree().schema();
    let quantity = schema.type_id("Quantity")?;
    if !schema.is_subtype(element.type_id(), quantity) || element.get("comparator").is_some() {
        return None;
    }
    let value = Decimal::parse(&element.get("value")?.value()?)?;
    let unit = element.get("code").or_else(|| element.get("unit")).and_then(Element::value);
    let unit = unit.map_or_else(|| "1".to_owned(), Cow::into_owned);
    Some(Item::Quantity(Box::new(Quantity { value, unit, calendar: false })))
}

impl Quantity {
    /// A number without unit.
    pub fn plain(value: Decimal) -> Quantity {
        Quantity { value, unit: "1".to_owned(), calendar: false }
    }
}

impl From<bool> for Item<'_> {
    fn from(value: bool) -> Self {
        Item::Boolean(value)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.calendar {
            let plural = if self.value == Decimal::from(1) { "" } else { "s" };
            write!(f, "{} {}{plural}", self.value, self.unit)
        } else {
            write!(f, "{} '{}'", self.value, self.unit)
        }
    }
}
