//! Fields of elements (<https://hl7.org/fhir/R4/graphql.html#fields>): values, children, `resource` of References, and
//! searches for what refers to a resource.

use fhirpath::schema::{PropertyId, TypeId};
use fhirpath::{IssueType, Schema};

use super::collect::Group;
use super::{Binder, Result, Scope};
use crate::arguments::{Arguments, scalar};
use crate::plan::{Field, Filter, Properties, Shape, What};
use crate::response::Refusal;

impl<'d> Binder<'d> {
    pub(super) fn element_field(
        &mut self,
        targets: &[TypeId],
        group: &Group<'d>,
        depth: usize,
    ) -> Result<Field> {
        let field = group.field;
        let mut arguments = self.arguments(&field.name, &field.arguments, field.place)?;
        if field.name == "__typename" {
            self.leaf(group)?;
            return self.done(group, arguments, What::TypeName(None), Shape::default());
        }
        if field.name.starts_with("__") {
            return Err(self.unknown(group));
        }
        self.count_lookups(group.owners.len(), field.place)?;
        let properties = self.properties(group, &field.name);
        if !properties.is_empty() {
            return self.property_field(group, properties, arguments, depth);
        }
        if let Some(name) = field.name.strip_prefix('_') {
            let mut primitives = self.properties(group, name);
            primitives.retain(|(_, id)| self.is_extensible(*id));
            if !primitives.is_empty() {
                return self.extras_field(group, primitives, arguments, depth);
            }
        }
        let resources: Vec<TypeId> =
            group.owners.iter().copied().filter(|id| self.is_resource(*id)).collect();
        if field.name == "resourceType" && !resources.is_empty() {
            self.leaf(group)?;
            return self.done(group, arguments, What::ResourceType, self.shape(field, &[])?);
        }
        if field.name == "resource" && self.are_references(&group.owners) {
            return self.target_field(targets, group, arguments, depth);
        }
        if !resources.is_empty()
            && let Some((id, is_list)) = self.searched(&field.name)
        {
            let reverse = arguments.text("_reference")?.ok_or_else(|| arguments.missing("_reference"))?;
            let what = self.search_field(id, is_list, Some(reverse), group, &mut arguments, depth)?;
            let shape = self.shape(field, &[self.schema.type_name(id)])?;
            return self.done(group, arguments, what, shape);
        }
        Err(self.unknown(group))
    }

    fn unknown(&self, group: &Group<'d>) -> Refusal {
        let field = group.field;
        let mut names: Vec<&str> = group.owners.iter().map(|id| self.schema.type_name(*id)).collect();
        let more = if names.len() > 3 { " and others" } else { "" };
        names.truncate(3);
        let details = format!("{} is no field of {}{more}.", field.name, names.join(", "));
        Refusal::new(IssueType::NotSupported, details).at(field.place)
    }

    /// The property of a name in JSON, in each type that has one.
    fn properties(&self, group: &Group<'d>, name: &str) -> Properties {
        let find = |owner: &TypeId| Some((*owner, property(self.schema, *owner, name)?));
        group.owners.iter().filter_map(find).collect()
    }

    fn is_extensible(&self, id: PropertyId) -> bool {
        let property = self.schema.definition(id);
        self.schema.primitive(property.type_id).is_some() && property.name != "id"
    }

    fn are_references(&self, owners: &[TypeId]) -> bool {
        let reference = self.schema.type_id("Reference");
        owners.iter().any(|id| Some(*id) == reference)
    }

    fn property_field(
        &mut self,
        group: &Group<'d>,
        mut properties: Properties,
        mut arguments: Arguments<'d>,
        depth: usize,
    ) -> Result<Field> {
        let field = group.field;
        let is_value = field.selections.is_empty();
        let fits = |(_, id): &(TypeId, PropertyId)| {
            self.schema.primitive(self.schema.definition(*id).type_id).is_some() == is_value
        };
        properties.retain(fits);
        if properties.is_empty() {
            let details = match is_value {
                true => format!("{} is no value: say which of its fields are wanted.", field.name),
                false => format!("{} is a value and has no fields.", field.name),
            };
            return Err(Refusal::new(IssueType::Invalid, details).at(field.place));
        }
        let types = self.types_of(&properties);
        let names: Vec<&str> = types.iter().map(|id| self.schema.type_name(*id)).collect();
        let shape = self.shape(field, &names)?;
        if is_value {
            return self.done(group, arguments, What::Values(properties), shape);
        }
        let filter = self.filter(&types, &names, group, &mut arguments)?;
        let targets = self.targets(&properties);
        let scope = Scope::Elements { owners: types, targets };
        let plan = self.plan(&scope, &group.selections, depth + 1)?;
        self.done(group, arguments, What::Elements(properties, filter, plan), shape)
    }

    fn extras_field(
        &mut self,
        group: &Group<'d>,
        properties: Properties,
        arguments: Arguments<'d>,
        depth: usize,
    ) -> Result<Field> {
        self.branch(group)?;
        let types = self.types_of(&properties);
        let names: Vec<&str> = types.iter().map(|id| self.schema.type_name(*id)).collect();
        let shape = self.shape(group.field, &names)?;
        let scope = Scope::Elements { owners: types, targets: Vec::new() };
        let plan = self.plan(&scope, &group.selections, depth + 1)?;
        self.done(group, arguments, What::Extras(properties, plan), shape)
    }

    /// `resource` (<https://hl7.org/fhir/R4/graphql.html#references>).
    fn target_field(
        &mut self,
        targets: &[TypeId],
        group: &Group<'d>,
        mut arguments: Arguments<'d>,
        depth: usize,
    ) -> Result<Field> {
        self.branch(group)?;
        let field = group.field;
        let optional = arguments.flag("optional")?.unwrap_or(false);
        let wanted = match arguments.text("type")? {
            None => None,
            Some(name) => Some(self.resource_type(&name).ok_or_else(|| {
                let details = format!("{name} is not a resource type of FHIR R4.");
                Refusal::new(IssueType::NotSupported, details).at(field.place)
            })?),
        };
        let owners = match wanted {
            Some(wanted) => vec![wanted],
            None if targets.is_empty() => {
                self.schema.type_id("Resource").map(|id| self.instances(id)).unwrap_or_default()
            }
            None => targets.to_vec(),
        };
        let names: Vec<&str> = owners.iter().map(|id| self.schema.type_name(*id)).collect();
        let shape = self.shape(field, &names)?;
        let plan =
            self.plan(&Scope::Elements { owners, targets: Vec::new() }, &group.selections, depth + 1)?;
        self.done(group, arguments, What::Target { optional, wanted, plan }, shape)
    }

    /// The types of what properties hold, none abstract.
    fn types_of(&self, properties: &Properties) -> Vec<TypeId> {
        let of = |(_, id): &(TypeId, PropertyId)| self.instances(self.schema.definition(*id).type_id);
        let mut types: Vec<TypeId> = properties.iter().flat_map(of).collect();
        types.sort_unstable();
        types.dedup();
        types
    }

    /// The types that References in properties may point to; empty for any.
    fn targets(&self, properties: &Properties) -> Vec<TypeId> {
        let mut targets = Vec::new();
        for (_, id) in properties {
            let named = &self.schema.definition(*id).targets;
            if named.is_empty() {
                return Vec::new();
            }
            let known = named.iter().filter_map(|name| self.schema.type_id(name));
            targets.extend(known.flat_map(|id| self.instances(id)));
        }
        targets.sort_unstable();
        targets.dedup();
        targets
    }

    /// The arguments that choose among elements.
    fn filter(
        &self,
        types: &[TypeId],
        names: &[&str],
        group: &Group<'d>,
        arguments: &mut Arguments<'d>,
    ) -> Result<Filter> {
        let place = group.field.place;
        let fhirpath = arguments.text("fhirpath")?;
        let fhirpath = fhirpath.map(|text| self.expression(names, &text, place)).transpose()?;
        let mut filter = Filter {
            fhirpath,
            equal: Vec::new(),
            offset: arguments.number("_offset")?.unwrap_or(0),
            count: arguments.number("_count")?,
        };
        for (name, value) in arguments.rest() {
            let is_value =
                |id: PropertyId| self.schema.primitive(self.schema.definition(id).type_id).is_some();
            let known = types.iter().any(|id| property(self.schema, *id, name).is_some_and(is_value));
            let Some(value) = scalar(&value).filter(|_| known) else {
                let details = match known {
                    true => format!("The argument {name} of {} takes one value.", group.field.name),
                    false => format!("{} has no argument {name}.", group.field.name),
                };
                return Err(Refusal::new(IssueType::NotSupported, details).at(place));
            };
            filter.equal.push((name.to_owned(), value));
        }
        Ok(filter)
    }

    /// Refuses fields of what has none.
    pub(super) fn leaf(&self, group: &Group<'d>) -> Result<()> {
        if group.field.selections.is_empty() {
            return Ok(());
        }
        let details = format!("{} is a value and has no fields.", group.field.name);
        Err(Refusal::new(IssueType::Invalid, details).at(group.field.place))
    }

    /// Refuses what has fields without any.
    pub(super) fn branch(&self, group: &Group<'d>) -> Result<()> {
        if !group.field.selections.is_empty() {
            return Ok(());
        }
        let details = format!("{} is no value: say which of its fields are wanted.", group.field.name);
        Err(Refusal::new(IssueType::Invalid, details).at(group.field.place))
    }

    pub(super) fn done(
        &self,
        group: &Group<'d>,
        arguments: Arguments<'d>,
        what: What,
        shape: Shape,
    ) -> Result<Field> {
        arguments.finish()?;
        let owners = (!group.owners.is_empty()).then(|| group.owners.clone().into_boxed_slice());
        Ok(Field { key: group.key().to_owned(), owners, what, shape, place: group.field.place })
    }
}

/// The property of a name in JSON.
pub(crate) fn property(schema: &Schema, owner: TypeId, name: &str) -> Option<PropertyId> {
    let mut all = schema.property_ids(owner).zip(schema.properties(owner));
    all.find(|(_, property)| property.json_name == name).map(|(id, _)| id)
}
