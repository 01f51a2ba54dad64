//! A query that was typed against the schema: what each field takes, of which types. Made by `bind`, run by `execute`.

use fhirpath::Expression;
use fhirpath::schema::{PropertyId, TypeId};

use crate::document::Place;
use crate::resources::Change;

/// The fields of one selection, in order; those of equal key, name and arguments are one.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub fields: Vec<Field>,
}

#[derive(Debug)]
pub(crate) struct Field {
    /// The response key: its alias or its name.
    pub key: String,
    /// The types of elements it is a field of; `None` for the root, connections and edges.
    pub owners: Option<Box<[TypeId]>>,
    pub what: What,
    pub shape: Shape,
    pub place: Place,
}

/// How what it takes is laid out (<https://hl7.org/fhir/R4/graphql.html#flattening>).
#[derive(Debug, Default)]
pub(crate) struct Shape {
    pub flatten: bool,
    pub first: bool,
    pub singleton: bool,
    pub slice: Option<Slice>,
}

#[derive(Debug)]
pub(crate) enum Slice {
    /// `$index`
    Index,
    Path(Expression),
}

/// A property of a type, by owner.
pub(crate) type Properties = Vec<(TypeId, PropertyId)>;

#[derive(Debug)]
pub(crate) enum What {
    /// `__typename`, with what it is where no element says so.
    TypeName(Option<String>),
    /// `resourceType`
    ResourceType,
    /// The values of a primitive.
    Values(Properties),
    /// `_name`: the ids and extensions of a primitive.
    Extras(Properties, Plan),
    /// Elements, those that pass.
    Elements(Properties, Filter, Plan),
    /// `resource` of a Reference.
    Target { optional: bool, wanted: Option<TypeId>, plan: Plan },
    /// `Patient(id: ...)`
    Read { reference: String, plan: Plan },
    /// `PatientList(...)`
    List(Finding, Plan),
    /// `PatientConnection(...)`
    Connection(Finding, Plan),
    /// A field of a connection that is a value.
    Page(PageField),
    /// `edges`
    Edges(Plan),
    /// `mode` of an edge.
    Mode,
    /// `score` of an edge.
    Score,
    /// `resource` of an edge.
    Found(Plan),
    /// A mutation; its number among those of the request.
    Change { number: usize, resource_type: String, change: Change, plan: Plan },
}

/// Which elements of a list are taken (<https://hl7.org/fhir/R4/graphql.html#list>).
#[derive(Debug, Default)]
pub(crate) struct Filter {
    pub fhirpath: Option<Expression>,
    /// Names in JSON, and the value that each has.
    pub equal: Vec<(String, String)>,
    pub offset: usize,
    pub count: Option<usize>,
}

/// A search.
#[derive(Debug)]
pub(crate) struct Finding {
    pub resource_type: String,
    pub parameters: Vec<(String, String)>,
    /// The parameter that is to match the resource that has the field.
    pub reverse: Option<String>,
    pub cursor: Option<String>,
    /// Whether more matches than were asked for are an error.
    pub is_whole: bool,
    pub fhirpath: Option<Expression>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PageField {
    Count,
    Offset,
    PageSize,
    First,
    Previous,
    Next,
    Last,
}

impl PageField {
    pub fn of(name: &str) -> Option<PageField> {
        Some(match name {
            "count" => PageField::Count,
            "offset" => PageField::Offset,
            // The page writes it both ways.
            "pagesize" | "pageSize" => PageField::PageSize,
            "first" => PageField::First,
            "previous" => PageField::Previous,
            "next" => PageField::Next,
            "last" => PageField::Last,
            _ => return None,
        })
    }
}
