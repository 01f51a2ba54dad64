//! Index entries out of a resource: the search parameters of its type evaluated, and each element they select
//! turned into the values it is found by (<https://hl7.org/fhir/R4/search.html#ptypes>).
//!
//! Which values an element gives depends on the parameter's type and on the element's; one file per parameter
//! type says which. An element of a type that the parameter type does not know gives none. `_id` and
//! `_lastUpdated` have no entries: engines know these.

mod aspect;
mod composite;
mod contained;
mod date;
mod number;
mod own;
mod quantity;
mod reference;
mod shape;
mod string;
mod token;
mod units;
mod uri;

use std::hash::Hasher;
use std::sync::Arc;

use conformance::{Definitions, SearchParameter, SearchParameterType};
use fhirpath::expression::Item;
use fhirpath::schema::TypeId;
use fhirpath::tree::Limits;
use fhirpath::{Element, Schema, Tree};
use rustc_hash::{FxHashMap, FxHasher};
use store::{Entries, IndexError, Indexer, Key, OwnParameter, Parameter, ParameterId, Value};

pub(crate) use aspect::Aspect;
use aspect::Aspects;
use contained::ContainedNumbers;
use own::OwnEntries;
use shape::Shapes;
pub(crate) use token::{IMPLIED_SYSTEM, Systems};
pub(crate) use units::{UCUM, Units};

/// Raised whenever the same definitions give other entries than before, so that stores are indexed anew.
const INDEX_VERSION: u64 = 3;

/// Parameters that engines know without entries.
pub(crate) const OF_THE_ENGINE: [&str; 2] = ["_id", "_lastUpdated"];

/// Bounds on a stored body. It was accepted once, under narrower ones.
const STORED: Limits = Limits { bytes: usize::MAX, depth: 1_000, issues: 1 };

/// Computes index entries by the search parameters of the definitions. The store's parameter number is the
/// parameter's [`conformance::SearchParameter::index`]; what modifiers ask of (`code:text`) follows these, and then all of them
/// again for contained resources.
pub struct SearchIndex {
    definitions: Arc<Definitions>,
    parameters: Vec<Parameter>,
    /// FHIR base URLs of this server; absolute references below one are taken as local.
    bases: Vec<String>,
    shapes: Shapes,
    /// For each resource type, the positions of its parameters that have entries.
    of_type: FxHashMap<TypeId, Box<[u16]>>,
    /// The same of a tenant's own parameters, whose entries the store asks for apart.
    own_of_type: FxHashMap<TypeId, Box<[u16]>>,
    /// The numbers of a tenant's own parameters; they are the last of the definitions.
    own: Box<[ParameterId]>,
    /// The index without them.
    shared: Option<Arc<SearchIndex>>,
    fingerprint: u64,
    /// By parameter: the systems of its tokens, or of its components' tokens.
    systems: Vec<Box<[Systems]>>,
    /// By parameter: the numbers of what modifiers ask of.
    aspects: Vec<Aspects>,
    /// What is asked of contained resources.
    contained: ContainedNumbers,
    units: Units,
}

/// What turning elements into values needs to know.
#[derive(Clone, Copy)]
struct Source<'a> {
    schema: &'a Schema,
    shapes: &'a Shapes,
    bases: &'a [String],
    units: &'a Units,
    /// Whether quantities are taken in the base units of UCUM, and only those that have them.
    canonical: bool,
}

impl SearchIndex {
    /// The index of these definitions; absolute references below one of `bases` (no slash at the end) are local.
    pub fn new(definitions: Arc<Definitions>, bases: Vec<String>) -> SearchIndex {
        let all = definitions.search_parameters.all();
        let mut of_type = FxHashMap::default();
        for name in definitions.resource_types() {
            if let Some(type_id) = definitions.schema.type_id(name) {
                of_type.insert(type_id, indexed(&definitions, name));
            }
        }
        let mut parameters: Vec<Parameter> =
            all.iter().map(|p| Parameter { name: format!("{}.{}", p.base, p.code) }).collect();
        let aspects = Aspects::of_all(all, &mut parameters);
        let contained = ContainedNumbers::after(&mut parameters);
        SearchIndex {
            contained,
            parameters,
            aspects,
            units: Units::default(),
            shapes: Shapes::new(&definitions.schema),
            fingerprint: fingerprint(all, &bases),
            systems: all.iter().map(systems).collect(),
            of_type,
            own_of_type: FxHashMap::default(),
            own: Box::default(),
            shared: None,
            bases,
            definitions,
        }
    }

    /// The definitions.
    pub fn definitions(&self) -> &Arc<Definitions> {
        &self.definitions
    }

    /// FHIR base URLs of this server.
    pub(crate) fn bases(&self) -> &[String] {
        &self.bases
    }

    /// The resource of this server that a literal reference points to, whatever version of it; `None` for any other text.
    pub fn local_target(&self, text: &str) -> Option<Key> {
        Key::parse(crate::reference::target(&self.definitions.schema, &self.bases, text)?)
    }

    /// The store's number of a parameter.
    pub fn id(&self, parameter: &SearchParameter) -> ParameterId {
        let before = self.definitions.search_parameters.all().len() - self.own.len();
        let own = usize::from(parameter.index).checked_sub(before).and_then(|at| self.own.get(at));
        own.copied().unwrap_or(ParameterId(parameter.index))
    }

    /// The systems that tokens of a parameter can have; those of its component of a number when it is a composite.
    pub(crate) fn systems(&self, parameter: &SearchParameter, component: usize) -> Systems {
        let of = self.systems.get(usize::from(parameter.index)).and_then(|systems| systems.get(component));
        of.copied().unwrap_or(Systems::Both)
    }

    /// The number of what a modifier asks of, if a parameter has such values.
    pub(crate) fn aspect(&self, parameter: &SearchParameter, aspect: Aspect) -> Option<ParameterId> {
        self.aspects.get(usize::from(parameter.index)).and_then(|aspects| aspects.get(aspect))
    }

    /// What is known of units.
    pub(crate) fn units(&self) -> &Units {
        &self.units
    }

    /// Appends the entries of a resource that is already parsed, but for those of a tenant's own parameters, which the store
    /// adds.
    ///
    /// A parameter whose expression the resource's data breaks (a singleton expected) gives none.
    pub fn tree_entries(&self, tree: &Tree, out: &mut Entries) {
        if let Some(parameters) = self.of_type.get(&tree.root().type_id()) {
            self.entries_by(parameters, tree, out);
        }
        self.contained_entries(tree, out);
    }

    /// Appends the entries by some parameters only, of the resource itself.
    pub fn entries_of(&self, parameters: &[&SearchParameter], tree: &Tree, out: &mut Entries) {
        let indexes: Vec<u16> = parameters.iter().map(|parameter| parameter.index).collect();
        self.entries_by(&indexes, tree, out);
    }

    /// Appends the entries by some parameters.
    fn entries_by(&self, parameters: &[u16], tree: &Tree, out: &mut Entries) {
        let root = tree.root();
        let source = Source {
            schema: &self.definitions.schema,
            shapes: &self.shapes,
            bases: &self.bases,
            units: &self.units,
            canonical: false,
        };
        let all = self.definitions.search_parameters.all();
        let mut items = Vec::new();
        for parameter in parameters.iter().filter_map(|index| all.get(usize::from(*index))) {
            let Some(expression) = &parameter.expression else { continue };
            items.clear();
            if expression.evaluate(root, &mut items).is_err() {
                continue;
            }
            let id = self.id(parameter);
            for item in &items {
                source.all(parameter, item, &mut |value| out.push(id, &value));
            }
            let aspects = self.aspects.get(usize::from(parameter.index)).copied().unwrap_or_default();
            for (aspect, id) in aspects.iter() {
                for item in &items {
                    source.aspect(aspect, parameter, item, &mut |value| out.push(id, &value));
                }
            }
        }
    }
}

impl Source<'_> {
    /// Hands the values of one selected item to `found`.
    fn all<'t>(self, parameter: &SearchParameter, item: &Item<'t>, found: &mut dyn FnMut(Value<'_>)) {
        match (parameter.kind, item) {
            (SearchParameterType::Composite, Item::Element(element)) => {
                composite::values(self, &parameter.components, *element, found);
            }
            (kind, item) => self.values(kind, item, found),
        }
    }

    /// Hands what a modifier asks of to `found`.
    fn aspect<'t>(
        self,
        aspect: Aspect,
        parameter: &SearchParameter,
        item: &Item<'t>,
        found: &mut dyn FnMut(Value<'_>),
    ) {
        let Item::Element(element) = item else { return };
        match aspect {
            Aspect::Text => aspect::texts(self, *element, found),
            Aspect::Identifier => aspect::identifier(self, *element, found),
            Aspect::OfType => aspect::of_type(self, *element, found),
            Aspect::Canonical => Source { canonical: true, ..self }.all(parameter, item, found),
        }
    }

    /// Hands the values of one selected item to `found`, by the type of the parameter.
    fn values<'t>(self, kind: SearchParameterType, item: &Item<'t>, found: &mut dyn FnMut(Value<'_>)) {
        let element = match item {
            Item::Element(element) => *element,
            Item::Boolean(value) => {
                if kind == SearchParameterType::Token {
                    found(Value::Token { system: "", code: if *value { "true" } else { "false" } });
                }
                return;
            }
            Item::String(text) => {
                match kind {
                    SearchParameterType::Token => found(Value::Token { system: "", code: text }),
                    SearchParameterType::String => found(Value::String(text)),
                    SearchParameterType::Uri => found(Value::Uri(text)),
                    _ => {}
                }
                return;
            }
            // No expression of R4 or US Core computes anything else.
            Item::Integer(_)
            | Item::Decimal(_)
            | Item::Date(_)
            | Item::DateTime(_)
            | Item::Time(_)
            | Item::Quantity(_)
            | Item::TypeInfo(_) => return,
        };
        match kind {
            SearchParameterType::Token => token::values(self, element, found),
            SearchParameterType::String => string::values(self, element, found),
            SearchParameterType::Date => date::values(self, element, found),
            SearchParameterType::Number => number::values(self, element, found),
            SearchParameterType::Quantity => quantity::values(self, element, found),
            SearchParameterType::Reference => reference::values(self, element, found),
            SearchParameterType::Uri => uri::values(self, element, found),
            // A composite inside a composite and the special `near` have no values.
            SearchParameterType::Composite | SearchParameterType::Special => {}
        }
    }
}

/// Hands the text of an element's child to `found`, if it has one.
fn child_text(element: Element<'_>, name: &str, found: impl FnOnce(&str)) {
    if let Some(text) = element.get(name).and_then(Element::value) {
        found(&text);
    }
}

fn systems(parameter: &SearchParameter) -> Box<[Systems]> {
    if parameter.kind == SearchParameterType::Composite {
        return parameter.components.iter().map(|component| Systems::of(&component.expression)).collect();
    }
    parameter.expression.iter().map(Systems::of).collect()
}

fn indexed(definitions: &Definitions, resource_type: &str) -> Box<[u16]> {
    let of_type = definitions.search_parameters.of(resource_type);
    let mut indexed: Vec<u16> = of_type
        .filter(|parameter| {
            parameter.expression.is_some() && !OF_THE_ENGINE.contains(&parameter.code.as_str())
        })
        .filter(|parameter| parameter.kind != SearchParameterType::Special)
        .map(|parameter| parameter.index)
        .collect();
    indexed.sort_unstable();
    indexed.dedup();
    indexed.into_boxed_slice()
}

fn fingerprint(parameters: &[SearchParameter], bases: &[String]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write_u64(INDEX_VERSION);
    let mut text = |part: &str| {
        hasher.write_usize(part.len());
        hasher.write(part.as_bytes());
    };
    for parameter in parameters {
        text(&parameter.base);
        text(&parameter.code);
        text(&format!("{:?}", parameter.kind));
        text(&parameter.expression_text);
        for component in &parameter.components {
            text(&component.code);
            text(&format!("{:?}", component.kind));
        }
    }
    bases.iter().for_each(|base| text(base));
    hasher.finish()
}

impl SearchIndex {
    /// A stored resource.
    fn stored(&self, resource_type: &str, body: &[u8]) -> Result<Tree, IndexError> {
        let tree = Tree::parse_json(&self.definitions.schema, body.to_vec(), &STORED).map_err(|issues| {
            let first = issues.first().and_then(|issue| issue.expression.as_deref()).unwrap_or("the text");
            IndexError(format!("a stored {resource_type} cannot be read at {first}"))
        })?;
        if tree.root().type_name() != resource_type {
            return Err(IndexError(format!(
                "a resource stored as {resource_type} says it is a {}",
                tree.root().type_name()
            )));
        }
        Ok(tree)
    }
}

impl Indexer for SearchIndex {
    fn entries(&self, resource_type: &str, body: &[u8], out: &mut Entries) -> Result<(), IndexError> {
        self.tree_entries(&self.stored(resource_type, body)?, out);
        Ok(())
    }

    fn own(&self, parameters: &[OwnParameter]) -> Result<Arc<dyn Indexer>, IndexError> {
        Ok(Arc::new(OwnEntries(self.extended(parameters)?)))
    }

    fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}
