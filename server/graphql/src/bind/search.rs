//! Searches (<https://hl7.org/fhir/R4/graphql.html#searching>): lists, connections and what these hold.

use fhirpath::IssueType;
use fhirpath::schema::TypeId;

use super::collect::Group;
use super::{Binder, Result, Scope};
use crate::arguments::Arguments;
use crate::limits::MAX_LIST;
use crate::plan::{Field, Finding, PageField, Shape, What};
use crate::response::Refusal;

/// What a search may be told beside the parameters of its type.
const RESULT_PARAMETERS: [&str; 8] =
    ["_count", "_offset", "_sort", "_total", "_filter", "_text", "_content", "_list"];
/// What GraphQL has other means for.
const REFUSED: [&str; 6] =
    ["_include", "_revinclude", "_contained", "_containedType", "_summary", "_elements"];

impl<'d> Binder<'d> {
    /// The type of `PatientList` and `PatientConnection`, and whether it is the list.
    pub(super) fn searched(&self, name: &str) -> Option<(TypeId, bool)> {
        let list = name.strip_suffix("List").and_then(|name| self.resource_type(name));
        let connection = || name.strip_suffix("Connection").and_then(|name| self.resource_type(name));
        list.map(|id| (id, true)).or_else(|| connection().map(|id| (id, false)))
    }

    pub(super) fn search_field(
        &mut self,
        id: TypeId,
        is_list: bool,
        reverse: Option<String>,
        group: &Group<'d>,
        arguments: &mut Arguments<'d>,
        depth: usize,
    ) -> Result<What> {
        self.branch(group)?;
        let finding = self.finding(id, is_list, reverse, group, arguments)?;
        if is_list {
            return Ok(What::List(finding, self.resource_plan(id, group, depth)?));
        }
        let plan = self.plan(&Scope::Connection(id), &group.selections, depth + 1)?;
        Ok(What::Connection(finding, plan))
    }

    fn finding(
        &self,
        id: TypeId,
        is_list: bool,
        reverse: Option<String>,
        group: &Group<'d>,
        arguments: &mut Arguments<'d>,
    ) -> Result<Finding> {
        let place = group.field.place;
        let resource_type = self.schema.type_name(id).to_owned();
        let fhirpath = arguments.text("fhirpath")?;
        let fhirpath = fhirpath.map(|text| self.expression(&[&resource_type], &text, place)).transpose()?;
        let may_go_on = !is_list && reverse.is_none();
        let cursor = match may_go_on {
            true => arguments.text("cursor")?.or(arguments.text("_cursor")?),
            false => None,
        };
        let reverse = reverse.map(|name| self.parameter(&resource_type, &name, group)).transpose()?;
        let mut parameters = Vec::new();
        for (name, value) in arguments.rest() {
            if cursor.is_some() {
                let details = format!("A cursor has the search's parameters in it; leave {name} out.");
                return Err(Refusal::new(IssueType::Invalid, details).at(place));
            }
            if reverse.is_some() && matches!(name, "id" | "_id") {
                let details = format!("{name} makes no sense beside _reference.");
                return Err(Refusal::new(IssueType::Invalid, details).at(place));
            }
            let code = self.parameter(&resource_type, name, group)?;
            let value = arguments.alternatives(name, &value)?;
            parameters.push((code, value));
        }
        let is_counted = parameters.iter().any(|(name, _)| name == "_count");
        let is_whole = is_list && !is_counted;
        if is_whole {
            parameters.push(("_count".to_owned(), MAX_LIST.to_string()));
        }
        Ok(Finding { resource_type, parameters, reverse, cursor, is_whole, fhirpath })
    }

    /// The search parameter that an argument names: `clinical_status` is `clinical-status`.
    fn parameter(&self, resource_type: &str, name: &str, group: &Group<'d>) -> Result<String> {
        let refuse =
            |details: String| Err(Refusal::new(IssueType::NotSupported, details).at(group.field.place));
        if REFUSED.contains(&name) {
            return refuse(format!("The search parameter {name} has no use in GraphQL."));
        }
        if RESULT_PARAMETERS.contains(&name) {
            return Ok(name.to_owned());
        }
        let code = match name.strip_prefix('_') {
            Some(rest) => format!("_{}", rest.replace('_', "-")),
            None => name.replace('_', "-"),
        };
        match self.parameters.get(resource_type, &code) {
            Some(_) => Ok(code),
            None => refuse(format!("{resource_type} has no search parameter {code}.")),
        }
    }

    pub(super) fn connection_field(&mut self, id: TypeId, group: &Group<'d>, depth: usize) -> Result<Field> {
        let field = group.field;
        let arguments = self.arguments(&field.name, &field.arguments, field.place)?;
        let name = self.schema.type_name(id);
        if field.name == "edges" {
            self.branch(group)?;
            let plan = self.plan(&Scope::Edge(id), &group.selections, depth + 1)?;
            return self.done(group, arguments, What::Edges(plan), self.shape(field, &[name])?);
        }
        self.leaf(group)?;
        let what = match field.name.as_str() {
            "__typename" => What::TypeName(Some(format!("{name}Connection"))),
            other => What::Page(PageField::of(other).ok_or_else(|| {
                let details = format!("{other} is no field of {name}Connection.");
                Refusal::new(IssueType::NotSupported, details).at(field.place)
            })?),
        };
        self.done(group, arguments, what, Shape::default())
    }

    pub(super) fn edge_field(&mut self, id: TypeId, group: &Group<'d>, depth: usize) -> Result<Field> {
        let field = group.field;
        let arguments = self.arguments(&field.name, &field.arguments, field.place)?;
        let name = self.schema.type_name(id);
        if field.name == "resource" {
            let plan = self.resource_plan(id, group, depth)?;
            return self.done(group, arguments, What::Found(plan), self.shape(field, &[name])?);
        }
        self.leaf(group)?;
        let what = match field.name.as_str() {
            "__typename" => What::TypeName(Some(format!("{name}Edge"))),
            "mode" => What::Mode,
            "score" => What::Score,
            other => {
                let details = format!("{other} is no field of {name}Edge.");
                return Err(Refusal::new(IssueType::NotSupported, details).at(field.place));
            }
        };
        self.done(group, arguments, what, self.shape(field, &[name])?)
    }
}
