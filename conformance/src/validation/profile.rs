//! A profile, compiled: only what it asks for beyond FHIR itself, as a table of nodes that point to properties of the schema.

use std::ops::Range;
use std::sync::{Arc, OnceLock, Weak};

use fhirpath::Schema;
use fhirpath::schema::{PropertyId, TypeId, TypeKind};
use serde_json::Value;

use super::invariant::{Invariant, is_native};
use super::pattern::Pattern;
use super::rules::{BaseRules, PropertyRules};
use super::slicing::{Matcher, SlicingRules};
use super::snapshot::{Snapshot, SnapshotError, Structures};
use super::structure::{Context, ElementRule, MANY, Structure, TypeRule};
use super::terms::BindingRule;

/// A profile.
pub(super) struct Profile {
    pub url: Arc<str>,
    /// The type it constrains.
    pub type_id: TypeId,
    /// The root first.
    pub nodes: Box<[Node]>,
    pub context: Vec<Context>,
    pub context_invariants: Box<[Invariant]>,
    /// Of an extension: whether it changes the meaning of what surrounds it.
    pub is_modifier: bool,
}

/// What is asked of an element, or of a slice of one.
#[derive(Default)]
pub(super) struct Node {
    /// `Patient.extension:race`.
    pub id: Box<str>,
    pub step: Step,
    pub min: u32,
    pub max: u32,
    /// The only types it may have; empty where FHIR's own say it.
    pub types: Box<[AllowedType]>,
    pub fixed: Option<Pattern>,
    pub pattern: Option<Pattern>,
    /// The text of the value wanted, for messages.
    pub wanted: Box<str>,
    pub binding: Option<Arc<BindingRule>>,
    pub invariants: Box<[Invariant]>,
    pub max_length: Option<u32>,
    pub min_value: Option<Bound>,
    pub max_value: Option<Bound>,
    pub must_support: bool,
    pub slicing: Option<SlicingRules>,
    pub children: Box<[usize]>,
    /// Children that only must be supported.
    pub supported: Box<[usize]>,
}

/// `minValue[x]` or `maxValue[x]`.
pub(super) struct Bound {
    pub value: Box<str>,
    /// Of a Quantity: its code, or else its unit.
    pub unit: Option<Box<str>>,
}

impl Bound {
    fn new(json: &Value) -> Option<Bound> {
        match json {
            Value::String(text) => Some(Bound { value: text.as_str().into(), unit: None }),
            Value::Number(number) => Some(Bound { value: number.to_string().into(), unit: None }),
            Value::Object(fields) => {
                let unit = fields.get("code").or_else(|| fields.get("unit")).and_then(Value::as_str);
                let value = fields.get("value")?.to_string();
                Some(Bound { value: value.into(), unit: unit.map(Into::into) })
            }
            _ => None,
        }
    }
}

/// How to get from an element to its children of a name.
#[derive(Default, Clone)]
pub(super) struct Step {
    pub name: Box<str>,
    /// Where the type of the element is known.
    pub of: Option<(TypeId, Range<PropertyId>)>,
}

/// A type that an element may have.
pub(super) struct AllowedType {
    pub type_id: TypeId,
    pub profiles: Box<[ProfileReference]>,
    pub targets: Box<[ProfileReference]>,
    pub aggregation: Box<[Box<str>]>,
}

/// A profile by its canonical URL, looked up once.
pub(super) struct ProfileReference {
    pub canonical: Box<str>,
    pub found: OnceLock<Weak<Profile>>,
}

impl ProfileReference {
    pub fn new(canonical: &str) -> ProfileReference {
        ProfileReference { canonical: canonical.into(), found: OnceLock::new() }
    }
}

impl Step {
    #[inline]
    pub fn children<'t>(&self, element: fhirpath::Element<'t>) -> fhirpath::tree::Children<'t> {
        match &self.of {
            Some((id, range)) if *id == element.type_id() => element.children_in(range.clone()),
            _ => element.all(&self.name),
        }
    }
}

/// What a profile is compiled with.
pub(super) struct Compiler<'c> {
    pub schema: &'c Schema,
    pub library: &'c dyn Structures,
    pub base: &'c BaseRules,
    snapshot: Arc<Snapshot>,
    source: Arc<str>,
    nodes: Vec<Node>,
}

impl<'c> Compiler<'c> {
    /// Compiles a structure.
    pub fn compile(
        schema: &'c Schema,
        library: &'c dyn Structures,
        base: &'c BaseRules,
        structure: &Structure,
    ) -> Result<Profile, ProfileError> {
        let snapshot = Arc::new(Snapshot::of(library, structure)?);
        let type_id = schema.type_id(&structure.type_name).ok_or_else(|| ProfileError::UnknownType {
            url: structure.url.clone(),
            name: structure.type_name.clone(),
        })?;
        let source: Arc<str> = structure.url.as_str().into();
        let root = snapshot.root().map(|root| root.rule.clone()).unwrap_or_default();
        let is_modifier = root.is_modifier == Some(true);
        let mut compiler = Compiler { schema, library, base, snapshot, source, nodes: Vec::new() };
        compiler.root(&root, structure, type_id);
        let context_invariants = structure.context_invariant.iter().filter_map(|expression| {
            let constraint = super::structure::Constraint {
                key: "contextInvariant".to_owned(),
                human: expression.clone(),
                expression: Some(expression.clone()),
                ..Default::default()
            };
            Invariant::new(schema, &constraint, &compiler.source, &[])
        });
        Ok(Profile {
            type_id,
            context: structure.context.clone(),
            context_invariants: context_invariants.collect(),
            is_modifier,
            url: compiler.source.clone(),
            nodes: compiler.nodes.into(),
        })
    }

    fn root(&mut self, rule: &ElementRule, structure: &Structure, type_id: TypeId) {
        self.nodes.push(Node::default());
        let known = self.base.of(self.schema, self.library, type_id);
        let is_new = |key: &str| !known.invariants.iter().any(|it| it.key.as_ref() == key);
        let wanted = rule.constraint.iter().filter(|it| is_new(&it.key) && !is_native(&it.key));
        let invariants: Vec<Invariant> =
            wanted.filter_map(|it| Invariant::new(self.schema, it, &self.source, &[type_id])).collect();
        let mut node = Node {
            id: structure.type_name.as_str().into(),
            max: MANY,
            invariants: invariants.into(),
            must_support: rule.must_support == Some(true),
            ..Node::default()
        };
        if let Some(value) = &rule.fixed {
            node.fixed = Pattern::new(self.schema, type_id, value);
        }
        if let Some(value) = &rule.pattern {
            node.pattern = Pattern::new(self.schema, type_id, value);
        }
        node.wanted = wanted_text(rule);
        (node.children, node.supported) = self.children(0, Some(type_id), &structure.type_name);
        if let Some(root) = self.nodes.first_mut() {
            *root = node;
        }
    }

    /// The children of an element that ask for something, and those that only must be supported.
    fn children(&mut self, at: usize, owner: Option<TypeId>, id: &str) -> (Box<[usize]>, Box<[usize]>) {
        let mut children = Vec::new();
        let mut supported = Vec::new();
        let list = self.snapshot.node(at).map(|node| node.children.clone()).unwrap_or_default();
        for child in list {
            if let Some(made) = self.element(child, owner, id, false) {
                let asks = self.nodes.get(made).is_some_and(Node::asks);
                if asks { children.push(made) } else { supported.push(made) }
            }
        }
        (children.into(), supported.into())
    }

    /// Whether a profile itself says which code an element has: by a fixed value or pattern of its own, or of its `code`.
    fn names_code(&self, at: usize) -> bool {
        let Some(node) = self.snapshot.node(at) else { return false };
        fn said(rule: &ElementRule) -> Option<&Value> {
            rule.fixed.as_ref().or(rule.pattern.as_ref())
        }
        let has_code = |value: &Value| {
            let coding = value.get("coding").and_then(|codings| codings.get(0)).unwrap_or(value);
            coding.is_string() || coding.get("code").is_some()
        };
        let mut children = node.children.iter().filter_map(|&child| self.snapshot.node(child));
        said(&node.rule).is_some_and(has_code)
            || children.any(|child| child.name == "code" && said(&child.rule).is_some())
    }

    /// An element or a slice. `None` where it asks for nothing.
    fn element(&mut self, at: usize, owner: Option<TypeId>, parent: &str, is_slice: bool) -> Option<usize> {
        let source = self.snapshot.node(at)?;
        let (rule, name) = (source.rule.clone(), source.name.clone());
        let stem = name.strip_suffix("[x]").unwrap_or(&name).to_owned();
        let id = match &rule.slice {
            Some(slice) if is_slice => format!("{parent}.{name}:{slice}"),
            _ => format!("{parent}.{name}"),
        };
        let place = self.nodes.len();
        self.nodes.push(Node::default());
        let range = owner.and_then(|owner| self.schema.property(owner, &stem));
        let owner_rules = owner.map(|owner| self.base.of(self.schema, self.library, owner));
        let mut types = self.types_of(range.clone(), &rule);
        let base: Option<&PropertyRules> = range.as_ref().and_then(|range| {
            let rules = owner_rules.as_ref()?;
            let wanted = types.first()?;
            let mut each = (range.start.index()..range.end.index()).map(|at| at - rules.first);
            let first = each.next();
            let same = |&at: &usize| {
                let properties = self.schema.properties(owner?);
                (properties.get(at)?.type_id == *wanted).then_some(())
            };
            let at = each.find(|at| same(at).is_some()).or(first)?;
            rules.properties.get(at)
        });
        let property = range.as_ref().map(|range| self.schema.definition(range.start));
        let base_min = property.map_or(0, |property| property.min);
        let base_max = property.map_or(MANY, |property| property.max.unwrap_or(MANY));
        let (min, max) = (rule.min.unwrap_or(0), rule.max.unwrap_or(MANY));
        let known =
            |key: &str| base.is_some_and(|base| base.invariants.iter().any(|it| it.key.as_ref() == key));
        let own_type_known = |key: &str| {
            types.iter().any(|&id| {
                let rules = self.base.of(self.schema, self.library, id);
                rules.invariants.iter().any(|it| it.key.as_ref() == key)
            })
        };
        let wanted = rule.constraint.iter();
        let wanted = wanted.filter(|it| !is_native(&it.key) && !known(&it.key) && !own_type_known(&it.key));
        let invariants: Vec<Invariant> =
            wanted.filter_map(|it| Invariant::new(self.schema, it, &self.source, &types)).collect();
        let allowed = self.allowed(&rule, range.clone(), base);
        let binding = rule
            .binding
            .as_ref()
            .filter(|binding| {
                let same = |known: &Arc<BindingRule>| known.is_of(binding);
                !base.and_then(|base| base.binding.as_ref()).is_some_and(same)
            })
            .and_then(BindingRule::new)
            .map(|binding| Arc::new(BindingRule { is_beside_code: self.names_code(at), ..binding }));
        let pattern = |value: &Option<Value>| {
            let value = value.as_ref()?;
            types.iter().find_map(|&id| Pattern::new(self.schema, id, value))
        };
        let mut node = Node {
            id: id.as_str().into(),
            step: Step { name: stem.as_str().into(), of: owner.zip(range) },
            min: if min > base_min || is_slice { min } else { 0 },
            max: if max < base_max || is_slice { max } else { MANY },
            types: allowed,
            fixed: pattern(&rule.fixed),
            pattern: pattern(&rule.pattern),
            wanted: wanted_text(&rule),
            binding,
            invariants: invariants.into(),
            max_length: rule.max_length,
            min_value: rule.min_value.as_ref().and_then(Bound::new),
            max_value: rule.max_value.as_ref().and_then(Bound::new),
            must_support: rule.must_support == Some(true),
            ..Node::default()
        };
        types.dedup();
        let own = match types.as_slice() {
            [one] => Some(*one),
            _ => None,
        };
        if max > 0 {
            node.slicing = self.slicing(at, &rule, owner, parent);
            (node.children, node.supported) = self.children(at, own, &id);
        }
        let is_kept = is_slice || node.asks() || node.must_support || !node.supported.is_empty();
        if !is_kept {
            // Nothing below is kept either.
            self.nodes.truncate(place);
            return None;
        }
        if let Some(slot) = self.nodes.get_mut(place) {
            *slot = node;
        }
        Some(place)
    }

    /// The types that an element can have, as far as is known.
    fn types_of(&self, range: Option<Range<PropertyId>>, rule: &ElementRule) -> Vec<TypeId> {
        let stated = || rule.types.iter().filter_map(|it| self.schema.type_id(&it.code));
        let Some(range) = range else { return stated().collect() };
        let possible: Vec<TypeId> = (range.start.index()..range.end.index())
            .filter_map(|index| self.property(&range, index))
            .map(|id| self.schema.definition(id).type_id)
            .collect();
        let narrowed: Vec<TypeId> =
            stated().filter(|&id| possible.iter().any(|&known| self.schema.is_subtype(id, known))).collect();
        if narrowed.is_empty() { possible } else { narrowed }
    }

    fn property(&self, range: &Range<PropertyId>, index: usize) -> Option<PropertyId> {
        let owner = self.schema.definition(range.start).owner;
        self.schema.property_ids(owner).find(|id| id.index() == index)
    }

    /// The types a profile leaves, with their profiles; empty where it says no more than FHIR.
    fn allowed(
        &self,
        rule: &ElementRule,
        range: Option<Range<PropertyId>>,
        base: Option<&PropertyRules>,
    ) -> Box<[AllowedType]> {
        let is_backbone = |it: &TypeRule| matches!(it.code.as_str(), "BackboneElement" | "Element");
        if rule.types.iter().any(is_backbone) {
            return Box::new([]);
        }
        let mut found: Vec<AllowedType> = Vec::new();
        for stated in &rule.types {
            let Some(type_id) = self.schema.type_id(&stated.code) else { continue };
            let profiles: Vec<&String> = stated
                .profile
                .iter()
                .filter(|url| {
                    !base.is_some_and(|base| base.profiles.iter().any(|it| it.as_ref() == url.as_str()))
                })
                .collect();
            let targets = self.targets(stated, range.as_ref(), type_id);
            let reference =
                |urls: Vec<&String>| urls.into_iter().map(|url| ProfileReference::new(url)).collect();
            match found.iter_mut().find(|it| it.type_id == type_id) {
                Some(known) => {
                    let mut all = std::mem::take(&mut known.profiles).into_vec();
                    all.extend(profiles.into_iter().map(|url| ProfileReference::new(url)));
                    known.profiles = all.into();
                }
                None => found.push(AllowedType {
                    type_id,
                    profiles: reference(profiles),
                    targets: reference(targets),
                    aggregation: stated.aggregation.iter().map(|it| it.as_str().into()).collect(),
                }),
            }
        }
        let count = range.map_or(0, |range| range.end.index() - range.start.index());
        let says_more = found.iter().any(|it| {
            !it.profiles.is_empty()
                || !it.targets.is_empty()
                || !it.aggregation.is_empty()
                || (self.schema.kind(it.type_id) == TypeKind::Resource
                    && !self.schema.is_abstract(it.type_id))
        });
        if says_more || (found.len() < count && !found.is_empty()) { found.into() } else { Box::new([]) }
    }

    /// The target profiles, unless they are just what FHIR says.
    fn targets<'r>(
        &self,
        stated: &'r TypeRule,
        range: Option<&Range<PropertyId>>,
        type_id: TypeId,
    ) -> Vec<&'r String> {
        let of_type = range.and_then(|range| {
            (range.start.index()..range.end.index())
                .filter_map(|index| self.property(range, index))
                .map(|id| self.schema.definition(id))
                .find(|property| property.type_id == type_id)
        });
        let mut plain: Vec<&str> = stated
            .target_profile
            .iter()
            .filter_map(|url| url.strip_prefix("http://hl7.org/fhir/StructureDefinition/"))
            .filter(|name| self.schema.type_id(name).is_some())
            .collect();
        plain.sort_unstable();
        let is_any = plain.contains(&"Resource");
        let is_base = plain.len() == stated.target_profile.len()
            && of_type.is_some_and(|property| {
                property.targets.iter().map(String::as_str).eq(plain.iter().copied())
                    || (is_any && property.targets.is_empty())
            });
        if is_base || is_any { Vec::new() } else { stated.target_profile.iter().collect() }
    }

    fn slicing(
        &mut self,
        at: usize,
        rule: &ElementRule,
        owner: Option<TypeId>,
        parent: &str,
    ) -> Option<SlicingRules> {
        let slices = self.snapshot.node(at)?.slices.clone();
        let slicing = rule.slicing.as_ref();
        if slices.is_empty() && slicing.is_none_or(|it| it.rules != "closed") {
            return None;
        }
        let discriminators = slicing.map(|it| it.discriminator.clone()).unwrap_or_default();
        let mut made = Vec::with_capacity(slices.len());
        for slice in slices {
            let matcher = Matcher::new(self.schema, self.library, &self.snapshot, slice, &discriminators);
            if let Some(node) = self.element(slice, owner, parent, true) {
                made.push((node, matcher));
            }
        }
        let rules = slicing.map_or("open", |it| it.rules.as_str());
        Some(SlicingRules {
            is_closed: rules == "closed",
            is_open_at_end: rules == "openAtEnd",
            is_ordered: slicing.is_some_and(|it| it.ordered),
            slices: made.into(),
        })
    }
}

impl Node {
    /// Whether there is anything to check.
    fn asks(&self) -> bool {
        self.min > 0
            || self.max != MANY
            || !self.types.is_empty()
            || self.fixed.is_some()
            || self.pattern.is_some()
            || self.binding.is_some()
            || !self.invariants.is_empty()
            || self.max_length.is_some()
            || self.min_value.is_some()
            || self.max_value.is_some()
            || self.slicing.is_some()
            || !self.children.is_empty()
    }
}

/// The value wanted, as JSON, for messages.
fn wanted_text(rule: &ElementRule) -> Box<str> {
    let value = rule.fixed.as_ref().or(rule.pattern.as_ref());
    value.map(Value::to_string).unwrap_or_default().into()
}

/// Why a profile cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// It has no elements that could be checked.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// It constrains a type that FHIR does not have.
    #[error("{url} constrains the type {name}, which is not known")]
    UnknownType {
        /// The profile.
        url: String,
        /// The type.
        name: String,
    },
    /// It cannot be read.
    #[error("the StructureDefinition {url} cannot be read: {why}")]
    Broken {
        /// The profile.
        url: String,
        /// Why.
        why: String,
    },
}
