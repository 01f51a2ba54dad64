//! What FHIR itself says of each type: a table by the schema's numbers, made when a type is first met.

use std::sync::{Arc, OnceLock};

use fhirpath::Schema;
use fhirpath::primitive::Primitive;
use fhirpath::schema::{Property, TypeId, TypeKind};

use super::invariant::{Invariant, is_native};
use super::snapshot::{Snapshot, Structures};
use super::structure::{Constraint, Structure};
use super::terms::BindingRule;

/// The rules of a type.
pub(super) struct TypeRules {
    pub invariants: Box<[Invariant]>,
    /// One for each property of the type, in order.
    pub properties: Box<[PropertyRules]>,
    /// The number of the type's first property.
    pub first: usize,
    /// Elements that must be there.
    pub required: Box<[Required]>,
}

/// An element that must be there: its properties (a choice has several), by their numbers among the type's.
pub(super) struct Required {
    pub first: usize,
    pub last: usize,
}

/// The rules of a property.
pub(super) struct PropertyRules {
    pub kind: Kind,
    pub max: u32,
    pub invariants: Box<[Arc<Invariant>]>,
    pub binding: Option<Arc<BindingRule>>,
    /// Profiles on the type of which a value meets one (`SimpleQuantity`).
    pub profiles: Box<[Box<str>]>,
}

/// How its values are walked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Primitive,
    /// A primitive whose value refers to something or has rules of its own.
    Uri,
    Xhtml,
    Extension,
    Modifier,
    Reference,
    Resource,
    Coding,
    Attachment,
    Complex,
}

/// The tables of all types.
pub(super) struct BaseRules {
    types: Box<[OnceLock<Arc<TypeRules>>]>,
}

impl BaseRules {
    pub fn new(schema: &Schema) -> BaseRules {
        BaseRules { types: schema.type_ids().map(|_| OnceLock::new()).collect() }
    }

    #[inline]
    pub fn of(&self, schema: &Schema, library: &dyn Structures, id: TypeId) -> Arc<TypeRules> {
        match self.types.get(id.index()) {
            Some(slot) => slot.get_or_init(|| Arc::new(compile(schema, library, id))).clone(),
            None => Arc::new(compile(schema, library, id)),
        }
    }

    #[inline]
    pub fn get(&self, schema: &Schema, library: &dyn Structures, id: TypeId) -> Option<&TypeRules> {
        let slot = self.types.get(id.index())?;
        Some(slot.get_or_init(|| Arc::new(compile(schema, library, id))))
    }
}

fn compile(schema: &Schema, library: &dyn Structures, id: TypeId) -> TypeRules {
    let name = schema.type_name(id);
    let root = name.split('.').next().unwrap_or(name);
    let structure = library.structure(&super::library::type_url(root));
    let snapshot = structure.as_ref().and_then(|it| Snapshot::of(library, it).ok()).unwrap_or_default();
    let at = snapshot.find(name);
    let source: Arc<str> = structure.as_ref().map_or(root, |it: &Arc<Structure>| it.url.as_str()).into();
    let own = at.filter(|&at| at == 0).and_then(|at| snapshot.node(at));
    let constraints = own.map_or(&[][..], |node| &node.rule.constraint);
    let properties = schema.properties(id);
    let rules = properties.iter().map(|property| {
        let node = at.and_then(|at| snapshot.child(at, &property.name)).and_then(|at| snapshot.node(at));
        let rule = node.map(|node| &node.rule);
        let invariants =
            invariants(schema, rule.map_or(&[], |rule| &rule.constraint), &source, property.type_id);
        let type_name = schema.type_name(property.type_id);
        let of_type = rule.and_then(|rule| rule.types.iter().find(|it| it.code == type_name));
        PropertyRules {
            kind: kind(schema, property),
            max: property.max.unwrap_or(u32::MAX),
            invariants: invariants.into_iter().map(Arc::new).collect(),
            binding: rule
                .and_then(|rule| rule.binding.as_ref())
                .filter(|_| super::terms::is_bindable(type_name))
                .and_then(BindingRule::new)
                .map(Arc::new),
            profiles: of_type.map_or(&[][..], |it| &it.profile).iter().map(|it| it.as_str().into()).collect(),
        }
    });
    TypeRules {
        invariants: invariants(schema, constraints, &source, id).into(),
        properties: rules.collect(),
        first: schema.property_ids(id).next().map_or(0, |id| id.index()),
        required: required(properties),
    }
}

fn invariants(schema: &Schema, constraints: &[Constraint], source: &Arc<str>, id: TypeId) -> Vec<Invariant> {
    let wanted = constraints.iter().filter(|it| !is_native(&it.key));
    wanted.filter_map(|it| Invariant::new(schema, it, source, &[id])).collect()
}

fn required(properties: &[Property]) -> Box<[Required]> {
    let mut found: Vec<Required> = Vec::new();
    for (at, property) in properties.iter().enumerate().filter(|(_, property)| property.min > 0) {
        let same =
            |last: &&mut Required| properties.get(last.last).is_some_and(|other| other.name == property.name);
        match found.last_mut().filter(same) {
            Some(last) => last.last = at,
            None => found.push(Required { first: at, last: at }),
        }
    }
    found.into()
}

fn kind(schema: &Schema, property: &Property) -> Kind {
    match schema.type_name(property.type_id) {
        "Extension" if property.name == "modifierExtension" => Kind::Modifier,
        "Extension" => Kind::Extension,
        "Reference" => Kind::Reference,
        "Coding" => Kind::Coding,
        "Attachment" => Kind::Attachment,
        _ if schema.kind(property.type_id) == TypeKind::Resource => Kind::Resource,
        _ => match schema.primitive(property.type_id) {
            Some(Primitive::Xhtml) => Kind::Xhtml,
            Some(
                Primitive::Uri | Primitive::Url | Primitive::Canonical | Primitive::Oid | Primitive::Uuid,
            ) => Kind::Uri,
            Some(_) => Kind::Primitive,
            None => Kind::Complex,
        },
    }
}
