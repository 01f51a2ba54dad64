//! Which items of a collection are equal to which (<https://hl7.org/fhirpath/N1/#equality>), by hashes: a large collection
//! costs about as much as it has items, not their square.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::hash::{Hash, Hasher};

use rustc_hash::{FxHashMap, FxHashSet, FxHasher};
use smallvec::SmallVec;

use super::evaluate::{Machine, Result};
use super::item::{Item, Items};
use super::operators::equal_items;
use super::temporal::DateTime;

/// As many items as are compared one by one before hashes pay.
pub(super) const FEW: usize = 16;

/// As often as a collection is looked through before a set of its texts pays.
const FEW_LOOKS: usize = 4;

/// Items no two of which are equal.
pub(super) struct Distinct<'t> {
    items: Items<'t>,
    places: Places,
}

/// How items are found.
enum Places {
    /// One by one: there are few, or one is a quantity, which can equal a number and a quantity in another unit.
    Unknown { is_final: bool },
    /// By hash.
    Known(FxHashMap<u64, SmallVec<[u32; 2]>>),
}

impl<'t> Distinct<'t> {
    pub fn new() -> Distinct<'t> {
        Distinct { items: Items::new(), places: Places::Unknown { is_final: false } }
    }

    pub fn of(machine: &Machine<'t>, items: impl IntoIterator<Item = Item<'t>>) -> Result<Distinct<'t>> {
        let mut out = Distinct::new();
        for item in items {
            out.insert(machine, item)?;
        }
        Ok(out)
    }

    pub fn items(&self) -> &Items<'t> {
        &self.items
    }

    pub fn into_items(self) -> Items<'t> {
        self.items
    }

    /// Whether there is an item equal to this.
    pub fn contains(&self, machine: &Machine<'t>, item: &Item<'t>) -> Result<bool> {
        let hash = match &self.places {
            Places::Known(places) => hash(machine, item)?.map(|hash| (places, hash)),
            Places::Unknown { .. } => None,
        };
        let Some((places, hash)) = hash else { return any_equal(machine, self.items.iter(), item) };
        let places = places.get(&hash).into_iter().flatten();
        any_equal(machine, places.filter_map(|place| self.items.get(*place as usize)), item)
    }

    /// Adds an item unless there is one equal to it; whether it did.
    pub fn insert(&mut self, machine: &Machine<'t>, item: Item<'t>) -> Result<bool> {
        if self.contains(machine, &item)? {
            return Ok(false);
        }
        self.items.push(item);
        Machine::bounded(&self.items)?;
        let last = self.items.len() - 1;
        match &self.places {
            Places::Unknown { is_final: false } if last >= FEW => {
                self.places = Places::Known(FxHashMap::default());
                (0..=last).try_for_each(|place| self.place(machine, place))?;
            }
            Places::Unknown { .. } => {}
            Places::Known(_) => self.place(machine, last)?,
        }
        Ok(true)
    }

    fn place(&mut self, machine: &Machine<'t>, place: usize) -> Result<()> {
        let Some(item) = self.items.get(place) else { return Ok(()) };
        match (hash(machine, item)?, &mut self.places) {
            (Some(hash), Places::Known(places)) => {
                places.entry(hash).or_default().push(u32::try_from(place).unwrap_or(u32::MAX));
            }
            _ => self.places = Places::Unknown { is_final: true },
        }
        Ok(())
    }
}

fn any_equal<'i, 't: 'i>(
    machine: &Machine<'t>,
    items: impl Iterator<Item = &'i Item<'t>>,
    wanted: &Item<'t>,
) -> Result<bool> {
    for item in items {
        if equal_items(machine, item, wanted)? == Some(true) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The same for items that are equal; `None` for a quantity.
fn hash<'t>(machine: &Machine<'t>, item: &Item<'t>) -> Result<Option<u64>> {
    let is_quantity = || matches!(item.value_or_quantity().as_deref(), Some(Item::Quantity(_)));
    if item.text().is_none() && is_quantity() {
        return Ok(None);
    }
    let mut hasher = FxHasher::default();
    hash_item(machine, item, &mut hasher)?;
    Ok(Some(hasher.finish()))
}

/// A code and a string can be equal, an integer and a decimal too: types of values are left out.
fn hash_item<'t>(machine: &Machine<'t>, item: &Item<'t>, hasher: &mut FxHasher) -> Result<()> {
    machine.step(1)?;
    if let Some(text) = item.text() {
        text.hash(hasher);
        return Ok(());
    }
    match item.value().as_deref() {
        Some(Item::Boolean(value)) => value.hash(hasher),
        Some(Item::Integer(value)) => value.hash(hasher),
        Some(Item::Decimal(value)) => match value.to_integer() {
            Some(whole) => whole.hash(hasher),
            None => value.normalized().to_string().hash(hasher),
        },
        Some(Item::Date(date)) => DateTime::from(*date).milliseconds().hash(hasher),
        Some(Item::DateTime(moment)) => moment.milliseconds().hash(hasher),
        Some(Item::Time(time)) => time.milliseconds_of_day().hash(hasher),
        Some(Item::TypeInfo(info)) => info.name.hash(hasher),
        Some(Item::Quantity(_) | Item::String(_) | Item::Element(_)) => {}
        None => {
            let Some(element) = item.element() else { return Ok(()) };
            element.type_id().hash(hasher);
            for child in element.children() {
                child.property_id().hash(hasher);
                hash_item(machine, &Item::Element(child), hasher)?;
            }
        }
    }
    Ok(())
}

/// A collection that is asked often whether it has an item.
pub(super) struct Prepared<'t> {
    items: Items<'t>,
    /// How often it was asked for a text.
    asked: Cell<usize>,
    texts: OnceCell<FxHashSet<Cow<'t, str>>>,
}

impl<'t> Prepared<'t> {
    pub fn new(items: Items<'t>) -> Prepared<'t> {
        Prepared { items, asked: Cell::new(0), texts: OnceCell::new() }
    }

    pub fn items(&self) -> &Items<'t> {
        &self.items
    }

    /// Whether an item is equal to this. A text is equal to nothing but texts, so they are looked up.
    pub fn contains(&self, machine: &Machine<'t>, item: &Item<'t>) -> Result<bool> {
        machine.step(1)?;
        match item.text() {
            // A set of them costs as much as some looks.
            Some(text) if self.asked.get() < FEW_LOOKS => {
                self.asked.set(self.asked.get() + 1);
                machine.step(self.items.len())?;
                Ok(self.items.iter().any(|item| item.text().is_some_and(|found| found == text)))
            }
            Some(text) => {
                let texts = self.texts.get_or_init(|| self.items.iter().filter_map(Item::text).collect());
                Ok(texts.contains(&text))
            }
            None => any_equal(machine, self.items.iter(), item),
        }
    }
}
