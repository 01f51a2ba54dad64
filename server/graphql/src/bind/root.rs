//! Fields of the system: one resource, searches (<https://hl7.org/fhir/R4/graphql.html#searching>) and mutations
//! (<https://hl7.org/fhir/R4/graphql.html#mutations>).

use fhirpath::IssueType;
use fhirpath::schema::TypeId;
use serde_json::Value as Json;

use super::collect::Group;
use super::{Binder, Result};
use crate::arguments::Arguments;
use crate::document::OperationKind;
use crate::limits::MAX_MUTATIONS;
use crate::plan::{Field, Plan, Shape, What};
use crate::resources::Change;
use crate::response::Refusal;

impl<'d> Binder<'d> {
    pub(super) fn root_field(
        &mut self,
        kind: OperationKind,
        group: &Group<'d>,
        depth: usize,
    ) -> Result<Field> {
        let field = group.field;
        let mut arguments = self.arguments(&field.name, &field.arguments, field.place)?;
        if field.name == "__typename" {
            self.leaf(group)?;
            let name = if kind == OperationKind::Query { "Query" } else { "Mutation" };
            let what = What::TypeName(Some(name.to_owned()));
            return self.done(group, arguments, what, Shape::default());
        }
        let found = match kind {
            OperationKind::Query => self.query(group, &mut arguments, depth)?,
            OperationKind::Mutation => self.mutation(group, &mut arguments, depth)?,
        };
        let Some((id, what)) = found else {
            let details = match field.name.as_str() {
                "__schema" | "__type" => {
                    "Introspection (__schema, __type) is not offered; the fields are those of FHIR R4's types."
                        .to_owned()
                }
                name => format!("{name} is no field of the system: it has Patient(id), PatientList and so on."),
            };
            return Err(Refusal::new(IssueType::NotSupported, details).at(field.place));
        };
        let shape = self.shape(field, &[self.schema.type_name(id)])?;
        self.done(group, arguments, what, shape)
    }

    fn query(
        &mut self,
        group: &Group<'d>,
        arguments: &mut Arguments<'d>,
        depth: usize,
    ) -> Result<Option<(TypeId, What)>> {
        let name = &group.field.name;
        if let Some(id) = self.resource_type(name) {
            let key = arguments.text("id")?.or(arguments.text("_id")?);
            let key = key.ok_or_else(|| arguments.missing("id"))?;
            let reference = format!("{name}/{key}");
            let plan = self.resource_plan(id, group, depth)?;
            return Ok(Some((id, What::Read { reference, plan })));
        }
        let Some((id, is_list)) = self.searched(name) else { return Ok(None) };
        let what = self.search_field(id, is_list, None, group, arguments, depth)?;
        Ok(Some((id, what)))
    }

    fn mutation(
        &mut self,
        group: &Group<'d>,
        arguments: &mut Arguments<'d>,
        depth: usize,
    ) -> Result<Option<(TypeId, What)>> {
        let field = group.field;
        let known = ["Create", "Update", "Delete"].into_iter().find_map(|verb| {
            let name = field.name.strip_suffix(verb)?;
            Some((self.resource_type(name)?, name.to_owned(), verb))
        });
        let Some((id, resource_type, verb)) = known else { return Ok(None) };
        let change = match verb {
            "Create" => Change::Create { resource: self.resource(&resource_type, None, group, arguments)? },
            "Update" => {
                let key = arguments.text("id")?.ok_or_else(|| arguments.missing("id"))?;
                let resource = self.resource(&resource_type, Some(&key), group, arguments)?;
                Change::Update { id: key, resource }
            }
            _ => Change::Delete { id: arguments.text("id")?.ok_or_else(|| arguments.missing("id"))? },
        };
        let plan = match change {
            Change::Delete { .. } => {
                self.leaf(group)?;
                Plan::default()
            }
            _ => self.resource_plan(id, group, depth)?,
        };
        if self.changes >= MAX_MUTATIONS {
            let details = format!("A request may make {MAX_MUTATIONS} changes; use a transaction for more.");
            return Err(Refusal::new(IssueType::TooCostly, details).at(field.place));
        }
        let number = self.changes;
        self.changes += 1;
        Ok(Some((id, What::Change { number, resource_type, change, plan })))
    }

    pub(super) fn resource_plan(&mut self, id: TypeId, group: &Group<'d>, depth: usize) -> Result<Plan> {
        self.branch(group)?;
        let scope = self.resource_scope(id);
        self.plan(&scope, &group.selections, depth + 1)
    }

    /// The argument `res`, with its type and id in place.
    fn resource(
        &self,
        resource_type: &str,
        id: Option<&str>,
        group: &Group<'d>,
        arguments: &mut Arguments<'d>,
    ) -> Result<Json> {
        let sent = arguments.object("res")?;
        let mut resource = serde_json::Map::new();
        resource.insert("resourceType".to_owned(), Json::String(resource_type.to_owned()));
        resource.extend(id.map(|id| ("id".to_owned(), Json::String(id.to_owned()))));
        for (name, value) in sent {
            match resource.get(&name) {
                Some(known) if *known != value => {
                    let details = format!("The argument res states another {name} than the mutation.");
                    return Err(Refusal::new(IssueType::Value, details).at(group.field.place));
                }
                Some(_) => {}
                None => {
                    resource.insert(name, value);
                }
            }
        }
        Ok(Json::Object(resource))
    }
}
