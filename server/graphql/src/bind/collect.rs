//! Which fields a selection has: fragments spread, `@skip` and `@include` heeded, and what is asked twice put together
//! (<https://spec.graphql.org/October2021/#CollectFields()>).

use std::collections::BTreeMap;

use fhirpath::IssueType;
use fhirpath::schema::TypeId;
use rustc_hash::FxHashMap;

use super::{Binder, Result, Scope, graphql_name};
use crate::document::{Directive, Field, OperationKind, Place, Selection};
use crate::limits::MAX_DEPTH;
use crate::response::Refusal;

/// A field and the selections that are made of it, for some types.
#[derive(Debug)]
pub(super) struct Group<'d> {
    /// The first of the fields that it stands for.
    pub field: &'d Field,
    /// Those of all of them.
    pub selections: Vec<&'d [Selection]>,
    /// The types it is asked of; empty where there are no elements.
    pub owners: Vec<TypeId>,
}

/// A field as it is met.
struct Part<'d> {
    field: &'d Field,
    owners: Vec<TypeId>,
}

impl<'d> Group<'d> {
    pub fn key(&self) -> &'d str {
        key(self.field)
    }
}

fn key(field: &Field) -> &str {
    field.alias.as_deref().unwrap_or(&field.name)
}

/// Whether two fields ask for the same.
fn is_same(one: &Field, other: &Field) -> bool {
    let layout = |field: &'_ Field| -> Vec<(String, Vec<crate::document::Argument>)> {
        let kept = field.directives.iter().filter(|it| !matches!(it.name.as_str(), "skip" | "include"));
        kept.map(|it| (it.name.clone(), it.arguments.clone())).collect()
    };
    one.name == other.name && one.arguments == other.arguments && layout(one) == layout(other)
}

impl<'d> Binder<'d> {
    pub(super) fn collect(&mut self, scope: &Scope, sets: &[&'d [Selection]]) -> Result<Vec<Group<'d>>> {
        let owners = match scope {
            Scope::Elements { owners, .. } => owners.clone(),
            _ => Vec::new(),
        };
        let mut parts = Vec::new();
        for set in sets {
            self.parts(scope, set, &owners, &mut parts)?;
        }
        let mut alike: Vec<Vec<Part<'d>>> = Vec::new();
        let mut by_key: FxHashMap<&str, Vec<usize>> = FxHashMap::default();
        for part in parts {
            let candidates = by_key.entry(key(part.field)).or_default();
            let known = candidates.iter().copied().find(|&at| {
                let first = alike.get(at).and_then(|group| group.first());
                first.is_some_and(|first| is_same(first.field, part.field))
            });
            match known.and_then(|at| alike.get_mut(at)) {
                Some(group) => group.push(part),
                None => {
                    candidates.push(alike.len());
                    alike.push(vec![part]);
                }
            }
        }
        Ok(alike.into_iter().flat_map(grouped).collect())
    }

    fn parts(
        &mut self,
        scope: &Scope,
        selections: &'d [Selection],
        owners: &[TypeId],
        out: &mut Vec<Part<'d>>,
    ) -> Result<()> {
        for selection in selections {
            match selection {
                Selection::Field(field) => {
                    self.count_field(field.place)?;
                    if self.is_included(&field.directives)? {
                        out.push(Part { field, owners: owners.to_vec() });
                    }
                }
                Selection::Inline { condition, directives, selections, place } => {
                    self.count_field(*place)?;
                    if self.is_spread(directives)? {
                        let owners = match condition {
                            Some(condition) => self.narrowed(scope, owners, condition, *place)?,
                            None => owners.to_vec(),
                        };
                        self.parts(scope, selections, &owners, out)?;
                    }
                }
                Selection::Spread { fragment, directives, place } => {
                    self.count_field(*place)?;
                    if self.is_spread(directives)? {
                        self.spread(scope, fragment, *place, owners, out)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn is_spread(&self, directives: &'d [Directive]) -> Result<bool> {
        let other = directives.iter().find(|it| !matches!(it.name.as_str(), "skip" | "include"));
        if let Some(other) = other {
            let details = format!("@{} cannot stand at a fragment.", other.name);
            return Err(Refusal::new(IssueType::NotSupported, details).at(other.place));
        }
        self.is_included(directives)
    }

    fn spread(
        &mut self,
        scope: &Scope,
        name: &'d str,
        place: Place,
        owners: &[TypeId],
        out: &mut Vec<Part<'d>>,
    ) -> Result<()> {
        let document = self.document;
        let Some(fragment) = document.fragments.get(name) else {
            let details = format!("There is no fragment {name}.");
            return Err(Refusal::new(IssueType::NotFound, details).at(place));
        };
        if self.spreading.contains(&name) {
            let details = format!("The fragment {name} is a part of itself.");
            return Err(Refusal::new(IssueType::Invalid, details).at(place));
        }
        if self.spreading.len() >= MAX_DEPTH {
            let details = format!("Fragments nest deeper than {MAX_DEPTH}.");
            return Err(Refusal::new(IssueType::TooCostly, details).at(place));
        }
        let owners = self.narrowed(scope, owners, &fragment.condition, fragment.place)?;
        self.spreading.push(name);
        self.parts(scope, &fragment.selections, &owners, out)?;
        self.spreading.pop();
        Ok(())
    }

    /// Those of some types that a type condition lets through.
    fn narrowed(
        &mut self,
        scope: &Scope,
        owners: &[TypeId],
        condition: &str,
        place: Place,
    ) -> Result<Vec<TypeId>> {
        let own_name = match scope {
            Scope::Elements { .. } => None,
            Scope::Root(OperationKind::Query) => Some("Query".to_owned()),
            Scope::Root(OperationKind::Mutation) => Some("Mutation".to_owned()),
            Scope::Connection(id) => Some(format!("{}Connection", self.schema.type_name(*id))),
            Scope::Edge(id) => Some(format!("{}Edge", self.schema.type_name(*id))),
        };
        let refuse = |details: String| Err(Refusal::new(IssueType::NotSupported, details).at(place));
        if let Some(own_name) = own_name {
            return match own_name == condition {
                true => Ok(Vec::new()),
                false => refuse(format!("A fragment on {condition} cannot stand in {own_name}.")),
            };
        }
        self.count_lookups(owners.len(), place)?;
        let Some(wanted) = self.named_type(condition, owners) else {
            return refuse(format!("There is no type {condition}."));
        };
        let kept: Vec<TypeId> =
            owners.iter().copied().filter(|id| self.schema.is_subtype(*id, wanted)).collect();
        match kept.is_empty() && !owners.is_empty() {
            true => refuse(format!("Nothing here is of type {condition}.")),
            false => Ok(kept),
        }
    }

    /// A type by its name in the schema, or in GraphQL (`PatientContact`).
    fn named_type(&self, name: &str, near: &[TypeId]) -> Option<TypeId> {
        let known = self.schema.type_id(name).filter(|_| !name.contains('.'));
        known.or_else(|| near.iter().copied().find(|id| graphql_name(self.schema.type_name(*id)) == name))
    }
}

/// Equal fields as one, for each set of types that asks for the same of them.
fn grouped<'d>(parts: Vec<Part<'d>>) -> Vec<Group<'d>> {
    let Some(field) = parts.first().map(|part| part.field) else { return Vec::new() };
    let selections = |numbers: &[usize]| -> Vec<&'d [Selection]> {
        let part = |number: &usize| parts.get(*number).map(|part| part.field.selections.as_slice());
        numbers.iter().filter_map(part).collect()
    };
    if parts.windows(2).all(|pair| matches!(pair, [one, other] if one.owners == other.owners)) {
        let all: Vec<usize> = (0..parts.len()).collect();
        let owners = parts.first().map(|part| part.owners.clone()).unwrap_or_default();
        return vec![Group { field, selections: selections(&all), owners }];
    }
    let mut asked: BTreeMap<TypeId, Vec<usize>> = BTreeMap::new();
    for (number, part) in parts.iter().enumerate() {
        for owner in &part.owners {
            asked.entry(*owner).or_default().push(number);
        }
    }
    let mut sets: BTreeMap<Vec<usize>, Vec<TypeId>> = BTreeMap::new();
    for (owner, numbers) in asked {
        sets.entry(numbers).or_default().push(owner);
    }
    sets.into_iter()
        .map(|(numbers, owners)| Group { field, selections: selections(&numbers), owners })
        .collect()
}
