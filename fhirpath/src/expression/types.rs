//! Static types: what the items of an expression can be, and type specifiers
//! (<https://hl7.org/fhirpath/N1/#types>, <https://hl7.org/fhir/R4/fhirpath.html#types>).

use smallvec::SmallVec;

use super::ast::TypeSpecifier;
use crate::primitive::Primitive;
use crate::schema::{Schema, TypeId, TypeKind};

/// A type of the namespace `System`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)] // https://hl7.org/fhirpath/N1/#literals
pub enum System {
    Boolean,
    String,
    Integer,
    Decimal,
    Date,
    DateTime,
    Time,
    Quantity,
    /// What `type()` returns.
    TypeInfo,
}

/// Each type with its name and, if one has it, the FHIR type its values are written as.
const SYSTEM: [(System, &str, &str); 9] = [
    (System::Boolean, "Boolean", "boolean"),
    (System::String, "String", "string"),
    (System::Integer, "Integer", "integer"),
    (System::Decimal, "Decimal", "decimal"),
    (System::Date, "Date", "date"),
    (System::DateTime, "DateTime", "dateTime"),
    (System::Time, "Time", "time"),
    (System::Quantity, "Quantity", "Quantity"),
    (System::TypeInfo, "TypeInfo", ""),
];

impl System {
    /// `Boolean`
    pub fn name(self) -> &'static str {
        SYSTEM.iter().find(|(system, ..)| *system == self).map_or("", |(_, name, _)| name)
    }

    /// The type of a primitive's values.
    pub fn of(primitive: Primitive) -> System {
        match primitive {
            Primitive::Boolean => System::Boolean,
            Primitive::Integer | Primitive::UnsignedInt | Primitive::PositiveInt => System::Integer,
            Primitive::Decimal => System::Decimal,
            Primitive::Date => System::Date,
            Primitive::DateTime | Primitive::Instant => System::DateTime,
            Primitive::Time => System::Time,
            _ => System::String,
        }
    }
}

/// One type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Type {
    Fhir(TypeId),
    System(System),
}

/// The types that items can have. None of them: there is never an item.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Types {
    /// Ascending.
    list: SmallVec<[Type; 4]>,
    /// Whether they can be anything at all.
    any: bool,
}

impl Types {
    pub fn none() -> Types {
        Types::default()
    }

    pub fn any() -> Types {
        Types { any: true, ..Types::default() }
    }

    pub fn is_any(&self) -> bool {
        self.any
    }

    pub fn is_none(&self) -> bool {
        !self.any && self.list.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = Type> + '_ {
        self.list.iter().copied()
    }

    pub fn insert(&mut self, found: Type) {
        if self.any {
            return;
        }
        if let Err(at) = self.list.binary_search(&found) {
            self.list.insert(at, found);
        }
    }

    /// Those of both.
    #[must_use]
    pub fn with(mut self, other: &Types) -> Types {
        if other.any {
            return Types::any();
        }
        other.iter().for_each(|found| self.insert(found));
        self
    }

    /// Names for a message, the first few.
    pub fn names(&self, schema: &Schema) -> String {
        if self.any {
            return "any type".to_owned();
        }
        let name = |found: &Type| match found {
            Type::Fhir(id) => schema.type_name(*id).to_owned(),
            Type::System(system) => format!("System.{}", system.name()),
        };
        let shown: Vec<String> = self.list.iter().take(3).map(name).collect();
        let more = if self.list.len() > 3 { " and others" } else { "" };
        shown.join(", ") + more
    }
}

impl From<System> for Types {
    fn from(system: System) -> Types {
        Types::from(Type::System(system))
    }
}

impl From<Type> for Types {
    fn from(found: Type) -> Types {
        let mut types = Types::none();
        types.insert(found);
        types
    }
}

/// What `is`, `as` and `ofType` ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TypeTest {
    /// Elements of this type and of those that specialise it.
    pub fhir: Option<TypeId>,
    /// Values of this type.
    pub system: Option<System>,
    /// Whether a primitive must be of exactly this type, as `as` and `ofType` have it: a code is a string, but is not
    /// taken for one.
    pub is_cast: bool,
}

impl TypeTest {
    /// The test that a specifier names. When `lenient`, the name of a System type also means the FHIR type of such
    /// values: R4's own search parameters say `value.as(DateTime)`.
    pub fn resolve(schema: &Schema, specifier: &TypeSpecifier, lenient: bool) -> Option<TypeTest> {
        let name = specifier.name.as_str();
        let fhir = || schema.type_id(name).filter(|_| !name.contains('.'));
        let known = SYSTEM.iter().find(|(_, known, _)| *known == name);
        let system = || known.map(|(system, ..)| *system);
        let test = match specifier.namespace.as_deref() {
            Some("FHIR") => TypeTest { fhir: fhir(), system: None, is_cast: false },
            Some("System") => TypeTest { fhir: None, system: system(), is_cast: false },
            Some(_) => return None,
            None => match fhir() {
                // A quantity literal is a Quantity in both namespaces.
                Some(id) => TypeTest {
                    fhir: Some(id),
                    system: (name == "Quantity").then_some(System::Quantity),
                    is_cast: false,
                },
                None => TypeTest {
                    fhir: known.filter(|_| lenient).and_then(|(_, _, fhir)| schema.type_id(fhir)),
                    system: system(),
                    is_cast: false,
                },
            },
        };
        (test.fhir.is_some() || test.system.is_some()).then_some(test)
    }

    pub fn of_type(id: TypeId) -> TypeTest {
        TypeTest { fhir: Some(id), system: None, is_cast: false }
    }

    /// Whether an item of exactly this type passes.
    pub fn accepts(&self, schema: &Schema, found: Type) -> bool {
        match found {
            Type::Fhir(id) => self.fhir.is_some_and(|wanted| {
                // Only primitives specialise primitives.
                let exactly =
                    || self.is_cast && (schema.primitive(id).is_some() || schema.primitive(wanted).is_some());
                id == wanted || !exactly() && schema.is_subtype(id, wanted)
            }),
            Type::System(system) => self.system == Some(system),
        }
    }

    /// The types that can pass, of those that there can be.
    pub fn narrow(&self, schema: &Schema, types: &Types) -> Types {
        if types.is_any() {
            let mut all = Types::none();
            self.fhir.into_iter().for_each(|id| all.insert(Type::Fhir(id)));
            self.system.into_iter().for_each(|system| all.insert(Type::System(system)));
            return all;
        }
        let mut out = Types::none();
        for found in types.iter() {
            if self.accepts(schema, found) {
                out.insert(found);
            } else if let (Type::Fhir(id), Some(wanted)) = (found, self.fhir)
                && schema.is_abstract(id)
                && schema.is_subtype(wanted, id)
            {
                out.insert(Type::Fhir(wanted));
            }
        }
        out
    }
}

/// The types that an element of the static type `id` can turn out to have: itself, or, for an abstract one, all that
/// specialise it and can have instances.
pub(super) fn instances(schema: &Schema, id: TypeId) -> SmallVec<[TypeId; 1]> {
    if !schema.is_abstract(id) {
        return SmallVec::from_slice(&[id]);
    }
    let concrete = |other: &TypeId| !schema.is_abstract(*other) && schema.is_subtype(*other, id);
    schema.type_ids().filter(concrete).collect()
}

/// The resource type that `context` belongs to: `Observation` for `Observation.component`; `None` for a data type's.
pub(super) fn resource_of(schema: &Schema, context: &str) -> Option<TypeId> {
    let name = context.split('.').next().unwrap_or(context);
    schema.type_id(name).filter(|id| schema.kind(*id) == TypeKind::Resource)
}
