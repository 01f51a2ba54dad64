//! The table of routes (<https://hl7.org/fhir/R4/http.html#summary>): which interaction a method on a path is. The only list
//! of them; `Allow`, the metrics and the check against the CapabilityStatement come from it.

use std::borrow::Cow;

use axum::http::Method;

/// A form of path below the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // each is written out in [`Shape::template`]
pub enum Shape {
    System,
    Metadata,
    SystemSearch,
    SystemHistory,
    SystemOperation,
    Type,
    TypeSearch,
    TypeHistory,
    TypeOperation,
    Instance,
    InstanceHistory,
    Version,
    InstanceOperation,
    Compartment,
    CompartmentSearch,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // FHIR's own names
pub enum Interaction {
    Read,
    Vread,
    Update,
    ConditionalUpdate,
    Patch,
    ConditionalPatch,
    Delete,
    ConditionalDelete,
    DeleteHistory,
    DeleteHistoryVersion,
    Create,
    HistoryInstance,
    HistoryType,
    HistorySystem,
    SearchType,
    SearchSystem,
    SearchCompartment,
    Bundle,
    Capabilities,
    Operation,
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The method; HEAD goes where GET goes.
    pub method: &'static str,
    /// The path.
    pub shape: Shape,
    /// What it does.
    pub interaction: Interaction,
}

const fn row(method: &'static str, shape: Shape, interaction: Interaction) -> Route {
    Route { method, shape, interaction }
}

/// All routes below the base.
pub const ROUTES: &[Route] = &[
    row("GET", Shape::Instance, Interaction::Read),
    row("GET", Shape::Type, Interaction::SearchType),
    row("GET", Shape::Version, Interaction::Vread),
    row("GET", Shape::Compartment, Interaction::SearchCompartment),
    row("GET", Shape::Metadata, Interaction::Capabilities),
    row("GET", Shape::System, Interaction::SearchSystem),
    row("GET", Shape::InstanceHistory, Interaction::HistoryInstance),
    row("GET", Shape::TypeHistory, Interaction::HistoryType),
    row("GET", Shape::SystemHistory, Interaction::HistorySystem),
    row("GET", Shape::InstanceOperation, Interaction::Operation),
    row("GET", Shape::TypeOperation, Interaction::Operation),
    row("GET", Shape::SystemOperation, Interaction::Operation),
    row("PUT", Shape::Instance, Interaction::Update),
    row("PUT", Shape::Type, Interaction::ConditionalUpdate),
    row("PATCH", Shape::Instance, Interaction::Patch),
    row("PATCH", Shape::Type, Interaction::ConditionalPatch),
    row("DELETE", Shape::Instance, Interaction::Delete),
    row("DELETE", Shape::Type, Interaction::ConditionalDelete),
    row("DELETE", Shape::Version, Interaction::DeleteHistoryVersion),
    row("DELETE", Shape::InstanceHistory, Interaction::DeleteHistory),
    row("POST", Shape::Type, Interaction::Create),
    row("POST", Shape::System, Interaction::Bundle),
    row("POST", Shape::TypeSearch, Interaction::SearchType),
    row("POST", Shape::SystemSearch, Interaction::SearchSystem),
    row("POST", Shape::CompartmentSearch, Interaction::SearchCompartment),
    row("POST", Shape::InstanceOperation, Interaction::Operation),
    row("POST", Shape::TypeOperation, Interaction::Operation),
    row("POST", Shape::SystemOperation, Interaction::Operation),
];

/// A path, taken apart. Parts that its shape does not have are empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'p> {
    /// Its form.
    pub shape: Shape,
    /// `Patient`.
    pub resource_type: &'p str,
    /// `123`.
    pub id: &'p str,
    /// The version, the operation's name without `$`, or the type (or `*`) asked for in a compartment.
    pub last: &'p str,
}

impl Shape {
    /// As documentation writes it.
    pub fn template(self) -> &'static str {
        match self {
            Shape::System => "/",
            Shape::Metadata => "/metadata",
            Shape::SystemSearch => "/_search",
            Shape::SystemHistory => "/_history",
            Shape::SystemOperation => "/${operation}",
            Shape::Type => "/{type}",
            Shape::TypeSearch => "/{type}/_search",
            Shape::TypeHistory => "/{type}/_history",
            Shape::TypeOperation => "/{type}/${operation}",
            Shape::Instance => "/{type}/{id}",
            Shape::InstanceHistory => "/{type}/{id}/_history",
            Shape::Version => "/{type}/{id}/_history/{version}",
            Shape::InstanceOperation => "/{type}/{id}/${operation}",
            Shape::Compartment => "/{compartment}/{id}/{type}",
            Shape::CompartmentSearch => "/{compartment}/{id}/{type}/_search",
        }
    }

    /// The methods its paths take, for `Allow`.
    pub fn allow(self) -> String {
        let mut methods: Vec<&str> = Vec::new();
        for route in ROUTES.iter().filter(|route| route.shape == self) {
            if route.method == "GET" {
                methods.push("HEAD");
            }
            methods.push(route.method);
        }
        methods.push("OPTIONS");
        methods.sort_unstable();
        methods.join(", ")
    }
}

impl Interaction {
    /// How many there are.
    pub const COUNT: usize = Interaction::Operation as usize + 1;

    /// All, in the order of their numbers.
    pub const ALL: [Interaction; Interaction::COUNT] = [
        Interaction::Read,
        Interaction::Vread,
        Interaction::Update,
        Interaction::ConditionalUpdate,
        Interaction::Patch,
        Interaction::ConditionalPatch,
        Interaction::Delete,
        Interaction::ConditionalDelete,
        Interaction::DeleteHistory,
        Interaction::DeleteHistoryVersion,
        Interaction::Create,
        Interaction::HistoryInstance,
        Interaction::HistoryType,
        Interaction::HistorySystem,
        Interaction::SearchType,
        Interaction::SearchSystem,
        Interaction::SearchCompartment,
        Interaction::Bundle,
        Interaction::Capabilities,
        Interaction::Operation,
    ];

    /// Whether it changes nothing by this method.
    pub fn is_safe(self, method: &Method) -> bool {
        matches!(*method, Method::GET | Method::HEAD)
            || matches!(self, Self::SearchType | Self::SearchSystem | Self::SearchCompartment)
    }

    /// Its name in metrics and logs: FHIR's where it has one.
    pub fn name(self) -> &'static str {
        match self {
            Interaction::Read => "read",
            Interaction::Vread => "vread",
            Interaction::Update => "update",
            Interaction::ConditionalUpdate => "conditional-update",
            Interaction::Patch => "patch",
            Interaction::ConditionalPatch => "conditional-patch",
            Interaction::Delete => "delete",
            Interaction::ConditionalDelete => "conditional-delete",
            Interaction::DeleteHistory => "delete-history",
            Interaction::DeleteHistoryVersion => "delete-history-version",
            Interaction::Create => "create",
            Interaction::HistoryInstance => "history-instance",
            Interaction::HistoryType => "history-type",
            Interaction::HistorySystem => "history-system",
            Interaction::SearchType => "search-type",
            Interaction::SearchSystem => "search-system",
            Interaction::SearchCompartment => "search-compartment",
            Interaction::Bundle => "transaction",
            Interaction::Capabilities => "capabilities",
            Interaction::Operation => "operation",
        }
    }
}

/// The interaction of a method on a path of this shape. `None` when the path does not take the method.
pub fn interaction(shape: Shape, method: &Method) -> Option<Interaction> {
    let name = if method == Method::HEAD { "GET" } else { method.as_str() };
    ROUTES.iter().find(|route| route.shape == shape && route.method == name).map(|route| route.interaction)
}

/// Undoes percent-encoding. `None` for a broken escape, for what is not UTF-8, and for an encoded slash or control character,
/// which no path here can hold.
pub fn decode(path: &str) -> Option<Cow<'_, str>> {
    if !path.contains('%') {
        return Some(Cow::Borrowed(path));
    }
    let mut out = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let decoded = super::parameters::hex(bytes.next()?)? * 16 + super::parameters::hex(bytes.next()?)?;
        if decoded == b'/' || decoded.is_ascii_control() {
            return None;
        }
        out.push(decoded);
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

/// The tenant that a decoded path names, if it names one, and what is below its base.
pub fn below_base(path: &str) -> (Option<&str>, &str) {
    use crate::open::BASE_PATH;
    if let Some((tenant, rest)) = path.strip_prefix("/t/").and_then(|rest| rest.split_once('/'))
        && let Some(below) = rest.strip_prefix(BASE_PATH.trim_start_matches('/'))
    {
        return (Some(tenant), below);
    }
    (None, path.strip_prefix(BASE_PATH).unwrap_or(path))
}

/// Takes a decoded path below the base apart (`/Patient/1`). One slash at the end is ignored. `None` for a path of no known
/// shape; whether the type exists is not looked at.
pub fn target(path: &str) -> Option<Target<'_>> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut parts = path.split('/');
    let target = |shape, resource_type, id, last| Some(Target { shape, resource_type, id, last });
    let parts = (parts.next(), parts.next(), parts.next(), parts.next(), parts.next());
    match parts {
        (None | Some(""), None, ..) => target(Shape::System, "", "", ""),
        (Some(one), None, ..) => match (one, one.strip_prefix('$')) {
            (_, Some(name)) => target(Shape::SystemOperation, "", "", name),
            ("metadata", _) => target(Shape::Metadata, "", "", ""),
            ("_history", _) => target(Shape::SystemHistory, "", "", ""),
            ("_search", _) => target(Shape::SystemSearch, "", "", ""),
            _ => target(Shape::Type, one, "", ""),
        },
        (Some(kind), Some(two), None, ..) => match (two, two.strip_prefix('$')) {
            (_, Some(name)) => target(Shape::TypeOperation, kind, "", name),
            ("_history", _) => target(Shape::TypeHistory, kind, "", ""),
            ("_search", _) => target(Shape::TypeSearch, kind, "", ""),
            _ => target(Shape::Instance, kind, two, ""),
        },
        (Some(kind), Some(id), Some(three), None, _) => match (three, three.strip_prefix('$')) {
            (_, Some(name)) => target(Shape::InstanceOperation, kind, id, name),
            ("_history", _) => target(Shape::InstanceHistory, kind, id, ""),
            // A search of a compartment over all types may leave out the `*`.
            ("_search", _) => target(Shape::CompartmentSearch, kind, id, "*"),
            _ => target(Shape::Compartment, kind, id, three),
        },
        (Some(kind), Some(id), Some("_history"), Some(version), None) => {
            target(Shape::Version, kind, id, version)
        }
        (Some(kind), Some(id), Some(three), Some("_search"), None) => {
            target(Shape::CompartmentSearch, kind, id, three)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let cases = [
            ("", Shape::System, "", "", ""),
            ("/", Shape::System, "", "", ""),
            ("/metadata", Shape::Metadata, "", "", ""),
            ("/_history", Shape::SystemHistory, "", "", ""),
            ("/_search", Shape::SystemSearch, "", "", ""),
            ("/$meta", Shape::SystemOperation, "", "", "meta"),
            ("/Patient", Shape::Type, "Patient", "", ""),
            ("/Patient/", Shape::Type, "Patient", "", ""),
            ("/Patient/_search", Shape::TypeSearch, "Patient", "", ""),
            ("/Patient/_history", Shape::TypeHistory, "Patient", "", ""),
            ("/Patient/$match", Shape::TypeOperation, "Patient", "", "match"),
            ("/Patient/1", Shape::Instance, "Patient", "1", ""),
            ("/Patient/1/_history", Shape::InstanceHistory, "Patient", "1", ""),
            ("/Patient/1/_history/2", Shape::Version, "Patient", "1", "2"),
            ("/Patient/1/$everything", Shape::InstanceOperation, "Patient", "1", "everything"),
            ("/Patient/1/Observation", Shape::Compartment, "Patient", "1", "Observation"),
            ("/Patient/1/*", Shape::Compartment, "Patient", "1", "*"),
            ("/Patient/1/_search", Shape::CompartmentSearch, "Patient", "1", "*"),
            ("/Patient/1/Observation/_search", Shape::CompartmentSearch, "Patient", "1", "Observation"),
        ];
        for (path, shape, resource_type, id, last) in cases {
            assert_eq!(target(path), Some(Target { shape, resource_type, id, last }), "{path}");
        }
        for path in ["/Patient/1/_history/2/3", "/Patient/1/Observation/2", "/a/b/c/d/e/f"] {
            assert_eq!(target(path), None, "{path}");
        }
    }

    #[test]
    fn bases() {
        for (path, tenant, below) in [
            ("/fhir", None, ""),
            ("/fhir/Patient/1", None, "/Patient/1"),
            ("/t/acme/fhir", Some("acme"), ""),
            ("/t/acme/fhir/", Some("acme"), "/"),
            ("/t/acme/fhir/Patient/1", Some("acme"), "/Patient/1"),
            ("/t//fhir/Patient", Some(""), "/Patient"),
        ] {
            assert_eq!(below_base(path), (tenant, below), "{path}");
        }
    }

    #[test]
    fn escapes() {
        assert_eq!(decode("/Patient/1/%24everything").as_deref(), Some("/Patient/1/$everything"));
        assert_eq!(decode("/Patient/%2A").as_deref(), Some("/Patient/*"));
        for path in ["/a%2Fb", "/a%", "/a%4", "/a%zz", "/%ff", "/a%00"] {
            assert_eq!(decode(path), None, "{path}");
        }
    }

    #[test]
    fn methods() {
        assert_eq!(interaction(Shape::Instance, &Method::HEAD), Some(Interaction::Read));
        assert_eq!(interaction(Shape::Metadata, &Method::POST), None);
        assert_eq!(Shape::Instance.allow(), "DELETE, GET, HEAD, OPTIONS, PATCH, PUT");
        assert_eq!(Shape::TypeSearch.allow(), "OPTIONS, POST");
    }

    #[test]
    fn the_table_has_no_doubles_and_misses_no_interaction() {
        for (at, route) in ROUTES.iter().enumerate() {
            let same = |other: &&Route| other.method == route.method && other.shape == route.shape;
            assert_eq!(ROUTES.iter().filter(same).count(), 1, "row {at}");
        }
        for (number, interaction) in Interaction::ALL.into_iter().enumerate() {
            assert_eq!(interaction as usize, number);
            assert!(ROUTES.iter().any(|route| route.interaction == interaction), "{}", interaction.name());
        }
    }
}
