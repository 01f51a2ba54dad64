//! The requests: at least one for each row of the table of routes and each operation.

use std::collections::BTreeSet;
use std::fmt;

use interaction::OperationDescriptor;
use serde_json::{Value, json};
use vesta::http::route::{self, Interaction, ROUTES, Route, Shape};

use super::criteria;
use super::patients;
use super::seeds::{self, ASKING, Cast, OTHER, WORDS_ASKING};
use super::world::{DEFINITIONS, Way};

/// A request below the base.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: &'static str,
    pub path: String,
    pub parameters: Vec<(String, String)>,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<String>,
    /// The search parameter that it is about: `Observation?code`.
    pub parameter: Option<String>,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let query: Vec<String> =
            self.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
        write!(f, "{} {}?{} {:?}", self.method, self.path, query.join("&"), self.headers)?;
        match &self.body {
            Some(body) => write!(f, " {}", body.chars().take(200).collect::<String>()),
            None => Ok(()),
        }
    }
}

impl Request {
    pub fn new(method: &'static str, path: &str) -> Request {
        let (path, parameters, headers) = (path.to_owned(), Vec::new(), Vec::new());
        Request { method, path, parameters, headers, body: None, parameter: None }
    }

    pub fn with(mut self, name: &str, value: &str) -> Request {
        self.parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn with_header(mut self, name: &'static str, value: &str) -> Request {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn with_body(mut self, body: impl ToString) -> Request {
        self.body = Some(body.to_string());
        self
    }

    /// The page at a cursor.
    pub fn page(&self, cursor: &str) -> Request {
        self.clone().with("_cursor", cursor)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| *given == name).map(|(_, value)| value.as_str())
    }

    pub fn shape(&self) -> Shape {
        route::target(&self.path).unwrap_or_else(|| panic!("{self} has a path of the table")).shape
    }

    /// Whether the request itself has a text: then its answer may repeat it.
    pub fn says(&self, text: &str) -> bool {
        format!("{self:?}").contains(text)
    }

    /// The rows of the registries that it covers.
    pub fn rows(&self) -> Vec<String> {
        let mut rows = vec![format!("{} {}", self.method, self.shape().template())];
        if let Some((_, operation)) = self.path.split_once('$') {
            rows.push(format!("${operation}"));
        }
        rows
    }

    /// As a Bundle's entry.
    fn entry(&self) -> Value {
        let query: Vec<String> = self
            .parameters
            .iter()
            .map(|(name, value)| format!("{name}={}", value.replace('&', "%26")))
            .collect();
        let mark = if query.is_empty() { "" } else { "?" };
        let url = format!("{}{mark}{}", self.path.trim_start_matches('/'), query.join("&"));
        let mut entry = json!({"request": {"method": self.method, "url": url}});
        if let Some(body) = &self.body {
            entry["resource"] = serde_json::from_str(body).unwrap();
        }
        for (name, value) in &self.headers {
            let name = match *name {
                "If-Match" => "ifMatch",
                "If-None-Match" => "ifNoneMatch",
                "If-None-Exist" => "ifNoneExist",
                other => panic!("a Bundle has no {other}"),
            };
            entry["request"][name] = json!(value);
        }
        entry
    }
}

/// The resources that are asked for by id: all of both tenants, and one that nobody has.
fn keys(cast: Cast) -> Vec<(&'static str, String)> {
    let mut keys: Vec<(&'static str, String)> = Vec::new();
    for seed in seeds::own(cast).into_iter().chain(seeds::others(cast)) {
        let (_, id) = seed.key.split_once('/').unwrap();
        let key = (seed.resource_type(), id.to_owned());
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    if cast == Cast::Patients {
        keys.extend(["moved", "left"].map(|id| ("Observation", id.to_owned())));
    }
    keys.push(("Patient", "nobody".to_owned()));
    keys
}

fn types(cast: Cast) -> BTreeSet<&'static str> {
    keys(cast).into_iter().map(|(resource_type, _)| resource_type).collect()
}

/// Everything that is asked without changing anything.
pub fn reading(way: Way, cast: Cast) -> Vec<Request> {
    let mut all = Vec::new();
    for route in ROUTES {
        all.extend(of_route(route, cast));
    }
    let mut met = BTreeSet::new();
    for criterion in criteria::all(cast) {
        let parameter = format!("{}?{}", criterion.resource_type, criterion.code);
        // What values mean is not the way's: over HTTP one of each parameter is enough.
        if way == Way::Http && criterion.is_value && !met.insert(parameter.clone()) {
            continue;
        }
        let mut request = Request::new("GET", &format!("/{}", criterion.resource_type))
            .with(&criterion.name, &criterion.value);
        request.parameter = Some(parameter).filter(|_| criterion.is_value);
        all.push(request.clone());
        request.parameters.push(("_summary".to_owned(), "count".to_owned()));
        all.push(request);
    }
    all.extend(results(cast));
    all.extend(through_references(cast));
    if is_sample(cast) {
        // Each row of the table and every operation at least once.
        let (mut kept, mut number) = (BTreeSet::new(), 0);
        all.retain(|request| {
            number += 1;
            number % EACH == 0 || kept.insert(request.rows())
        });
    }
    if cast == Cast::Patients {
        all.extend(patients::reading());
    }
    all
}

/// Of the patients' requests, one of so many is sent to Cosmos DB: the emulator looks at every document for each, and what a rule
/// does to a query is compared on both engines by the tests of the store.
const EACH: usize = 100;

/// Whether only a sample is asked.
pub fn is_sample(cast: Cast) -> bool {
    cast == Cast::Patients && crate::ENGINE == engines::Engine::Cosmos
}

/// What a row of the table is asked, if it changes nothing. A new interaction does not compile until it says what it is asked.
fn of_route(route: &Route, cast: Cast) -> Vec<Request> {
    let request = |path: String| Request::new(route.method, &path);
    let paths = || paths(route.shape, cast);
    match route.interaction {
        Interaction::Read | Interaction::Vread | Interaction::Capabilities => {
            paths().into_iter().map(request).collect()
        }
        Interaction::HistoryInstance | Interaction::HistoryType | Interaction::HistorySystem => {
            let plain = paths().into_iter().map(request);
            plain
                .flat_map(|plain| {
                    let since = plain.clone().with("_since", "2001-01-01T00:00:00Z");
                    let at = plain.clone().with("_at", "ge2001");
                    [
                        plain.clone(),
                        plain.clone().with("_count", "1"),
                        plain.with("_summary", "count"),
                        since,
                        at,
                    ]
                })
                .collect()
        }
        Interaction::SearchType | Interaction::SearchSystem | Interaction::SearchCompartment => {
            let plain = paths().into_iter().map(request);
            plain
                .flat_map(|plain| {
                    let plain = match route.shape {
                        Shape::System | Shape::SystemSearch => {
                            plain.with("_type", "Patient,Observation,Provenance")
                        }
                        _ => plain,
                    };
                    [
                        plain.clone(),
                        plain.clone().with("_count", "1"),
                        plain.with("_total", "accurate").with("_summary", "count"),
                    ]
                })
                .collect()
        }
        Interaction::Operation => operations()
            .iter()
            .filter(|operation| !changes(operation))
            .flat_map(|operation| calls(route, operation, cast))
            .collect(),
        Interaction::Update
        | Interaction::ConditionalUpdate
        | Interaction::Patch
        | Interaction::ConditionalPatch
        | Interaction::Delete
        | Interaction::ConditionalDelete
        | Interaction::DeleteHistory
        | Interaction::DeleteHistoryVersion
        | Interaction::Create
        | Interaction::Bundle => Vec::new(),
    }
}

/// All that are offered.
pub fn operations() -> Vec<OperationDescriptor> {
    operations::descriptors(true).into_iter().chain(vesta::export::DESCRIPTORS).collect()
}

/// The calls of an operation that a row of the table offers. One that needs parameters gets them here, by its name.
fn calls(route: &Route, descriptor: &OperationDescriptor, cast: Cast) -> Vec<Request> {
    let name = descriptor.name;
    let offered = |resource_type: &str| {
        descriptor.resource_types.is_empty() || descriptor.resource_types.contains(&resource_type)
    };
    let paths: Vec<String> = match route.shape {
        Shape::SystemOperation if descriptor.system => vec![format!("/${name}")],
        // ViewDefinition is a type that nothing is stored of.
        Shape::TypeOperation if descriptor.type_level && ["run", "viewdefinition-export"].contains(&name) => {
            vec![format!("/ViewDefinition/${name}")]
        }
        Shape::TypeOperation if descriptor.type_level => {
            types(cast).into_iter().filter(|it| offered(it)).map(|it| format!("/{it}/${name}")).collect()
        }
        Shape::InstanceOperation if descriptor.instance => {
            let offered = keys(cast).into_iter().filter(|(it, _)| offered(it));
            offered.map(|(it, id)| format!("/{it}/{id}/${name}")).collect()
        }
        _ => Vec::new(),
    };
    let reads_by_get = route.method == "POST" || !changes(descriptor);
    let calls = parameters(name);
    let request = |path: &String| {
        let request = Request::new(route.method, path);
        let calls = calls.iter().map(move |parameters| match route.method {
            // Its body is one of GraphQL.
            "POST" if name == "graphql" => {
                let query: serde_json::Map<_, _> =
                    parameters.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
                request.clone().with_body(Value::Object(query))
            }
            "POST" => request.clone().with_body(in_body(parameters)),
            _ => parameters.iter().fold(request.clone(), |request, (name, value)| request.with(name, value)),
        });
        calls.collect::<Vec<_>>()
    };
    let mut all: Vec<Request> = paths.iter().filter(|_| reads_by_get).flat_map(request).collect();
    if name == "validate" && route.method == "POST" {
        // What only the other has as a profile is not known here.
        let claims = json!({"resourceType": "Patient", "meta": {"profile": ["http://example.org/hidden"]}});
        all.extend(paths.iter().map(|path| Request::new("POST", path).with_body(&claims)));
    }
    all
}

/// Whether an operation changes anything. By their definitions these do not, but `$closure` keeps a table and the others put
/// labels on resources.
fn changes(descriptor: &OperationDescriptor) -> bool {
    descriptor.affects_state || ["closure", "meta-add", "meta-delete"].contains(&descriptor.name)
}

/// The parameters of each call of an operation, in the order of the calls.
fn parameters(operation: &str) -> Vec<Vec<(&'static str, &'static str)>> {
    const SYS: &str = "http://example.org/sys";
    const HIDDEN: &str = "http://example.org/hidden";
    const NAMES: &str = r#"{"resourceType":"ViewDefinition","resource":"Patient","select":[{"column":[{"name":"id","path":"getResourceKey()"},{"name":"family","path":"name.family","collection":true}]}]}"#;
    match operation {
        "meta" | "reindex" | "purge" => vec![vec![]],
        "meta-add" => vec![vec![("meta", r#"{"tag":[{"system":"urn:t","code":"added"}]}"#)]],
        "meta-delete" => vec![vec![("meta", r#"{"tag":[{"system":"urn:t","code":"added"}]}"#)]],
        "everything" => vec![
            vec![],
            vec![("_count", "1")],
            vec![("_type", "Practitioner,Observation")],
            vec![("_since", "2001-01-01T00:00:00Z")],
        ],
        "export" => vec![
            vec![],
            vec![("_since", "2001-01-01T00:00:00Z"), ("_type", "Patient,Observation,Provenance")],
            vec![
                ("_type", "Observation"),
                ("_typeFilter", "Observation?subject:Patient._tag=tag-alderquist,tag-birchwald"),
            ],
            vec![("organizeOutputBy", "Patient"), ("_type", "Patient,Observation,Practitioner")],
        ],
        "ehi-export" => vec![vec![]],
        "viewdefinition-export" => vec![
            vec![("view", NAMES)],
            vec![("view", NAMES), ("patient", "Patient/hidden"), ("_format", "csv")],
            vec![("view", NAMES), ("group", "Group/hidden"), ("_since", "2001-01-01T00:00:00Z")],
        ],
        "graphql" => vec![
            vec![("query", "{PatientList{id name{family text}}}")],
            vec![("query", "{Patient(id:\"hidden\"){id name{family text}}}")],
            vec![("query", "{id}")],
        ],
        "lastn" => vec![
            vec![("patient", "pat"), ("code", "urn:c|")],
            vec![
                ("patient", "pat"),
                ("code", "code-alderquist,code-birchwald,hidden-birchwald"),
                ("max", "3"),
            ],
            vec![("subject", "Patient/hidden"), ("category", "cat-birchwald")],
        ],
        "docref" => vec![
            vec![("patient", "pat")],
            vec![("patient", "hidden"), ("type", "doc-alderquist,doc-birchwald")],
            vec![("patient", "pat"), ("start", "1900-01-01"), ("end", "2000-01-01")],
        ],
        "validate" => vec![vec![], vec![("profile", HIDDEN)]],
        "expand" => vec![
            vec![],
            vec![("url", "http://example.org/set/birchwald")],
            vec![("url", "http://example.org/set/alderquist")],
        ],
        "validate-code" => vec![
            vec![("url", SYS), ("code", "low"), ("system", SYS)],
            vec![("url", HIDDEN), ("code", "top"), ("system", HIDDEN)],
        ],
        "lookup" => vec![
            vec![("system", SYS), ("code", "low")],
            vec![("system", HIDDEN), ("code", "top")],
            vec![("system", "http://example.org/own/birchwald"), ("code", "top")],
        ],
        "subsumes" => vec![
            vec![("system", SYS), ("codeA", "top"), ("codeB", "low")],
            vec![("codeA", "top"), ("codeB", "none")],
            vec![("system", HIDDEN), ("codeA", "top"), ("codeB", "top")],
        ],
        "translate" => vec![
            vec![("url", "http://example.org/map"), ("system", SYS), ("code", "top")],
            vec![("system", SYS), ("code", "top"), ("targetsystem", "urn:t")],
        ],
        "viewdefinition-run" | "run" => vec![
            vec![("viewResource", NAMES)],
            vec![("viewResource", NAMES), ("patient", "Patient/hidden"), ("_format", "csv")],
            vec![("viewResource", NAMES), ("_since", "2001-01-01T00:00:00Z"), ("_limit", "1")],
        ],
        "closure" => vec![vec![("name", "table")], vec![("name", "table"), ("version", "0")]],
        other => panic!("give the operation ${other} its parameters here"),
    }
}

fn in_body(parameters: &[(&str, &str)]) -> Value {
    if parameters.is_empty() {
        return json!({"resourceType": "Parameters"});
    }
    let parameters = parameters.iter().map(|(name, value)| match serde_json::from_str(value) {
        Ok(view @ Value::Object(_)) if *name == "view" => {
            json!({"name": name, "part": [{"name": "viewResource", "resource": view}]})
        }
        Ok(resource @ Value::Object(_)) if resource.get("resourceType").is_some() => {
            json!({"name": name, "resource": resource})
        }
        Ok(meta @ Value::Object(_)) => json!({"name": name, "valueMeta": meta}),
        _ => json!({"name": name, "valueString": value}),
    });
    json!({"resourceType": "Parameters", "parameter": parameters.collect::<Vec<_>>()})
}

/// The paths of a shape, for all that is seeded.
fn paths(shape: Shape, cast: Cast) -> Vec<String> {
    let each_key = |form: &dyn Fn(&str, &str) -> Vec<String>| {
        keys(cast).into_iter().flat_map(|(kind, id)| form(kind, &id)).collect()
    };
    let each_type = |form: &dyn Fn(&str) -> String| types(cast).into_iter().map(form).collect();
    match shape {
        Shape::System => vec!["/".to_owned()],
        Shape::Metadata => vec!["/metadata".to_owned()],
        Shape::SystemSearch => vec!["/_search".to_owned()],
        Shape::SystemHistory => vec!["/_history".to_owned()],
        Shape::Type => each_type(&|kind| format!("/{kind}")),
        Shape::TypeSearch => each_type(&|kind| format!("/{kind}/_search")),
        Shape::TypeHistory => each_type(&|kind| format!("/{kind}/_history")),
        Shape::Instance => each_key(&|kind, id| vec![format!("/{kind}/{id}")]),
        Shape::InstanceHistory => each_key(&|kind, id| vec![format!("/{kind}/{id}/_history")]),
        Shape::Version => {
            each_key(&|kind, id| (1..=5).map(|number| format!("/{kind}/{id}/_history/{number}")).collect())
        }
        Shape::Compartment => compartments("", cast),
        Shape::CompartmentSearch => compartments("/_search", cast),
        Shape::SystemOperation | Shape::TypeOperation | Shape::InstanceOperation => Vec::new(),
    }
}

fn compartments(end: &str, cast: Cast) -> Vec<String> {
    let codes = DEFINITIONS.compartments.codes();
    let mut paths = Vec::new();
    for (owner, id) in keys(cast).into_iter().filter(|(kind, _)| codes.contains(kind)) {
        let of = DEFINITIONS.compartments.resource_types(owner);
        for kind in types(cast).into_iter().filter(|kind| of.contains(kind)).chain(["*"]) {
            paths.push(format!("/{owner}/{id}/{kind}{end}"));
        }
    }
    paths
}

/// Parameters of the result: order, pages, what is included, what is left out.
fn results(cast: Cast) -> Vec<Request> {
    let mut all = Vec::new();
    for kind in types(cast) {
        let plain = Request::new("GET", &format!("/{kind}"));
        for (name, value) in [
            ("_id", "pat,obs,hidden,org,doc1,set,app,enc"),
            ("_lastUpdated", "gt2001"),
            ("_lastUpdated", "lt2001"),
            ("_elements", "identifier"),
            ("_summary", "true"),
            ("_summary", "data"),
            ("_total", "accurate"),
            ("_total", "estimate"),
            ("_include", "*"),
        ] {
            all.push(plain.clone().with(name, value));
        }
        let sortable = DEFINITIONS.search_parameters.of(kind).filter(|it| it.is_sortable());
        for parameter in sortable {
            for sign in ["", "-"] {
                all.push(plain.clone().with("_sort", &format!("{sign}{}", parameter.code)));
            }
        }
    }
    all
}

/// Includes in both directions, and chains through every reference to what the other tenant is found by.
fn through_references(cast: Cast) -> Vec<Request> {
    let mut all = Vec::new();
    let parameters = &DEFINITIONS.search_parameters;
    for kind in types(cast) {
        let references = parameters
            .of(kind)
            .filter(|it| it.is_indexed() && it.kind == conformance::SearchParameterType::Reference);
        for parameter in references {
            let code = &parameter.code;
            let of = Request::new("GET", &format!("/{kind}"));
            all.push(of.clone().with("_include", &format!("{kind}:{code}")));
            for target in
                types(cast).into_iter().filter(|target| parameter.targets.iter().any(|it| it == target))
            {
                let to = Request::new("GET", &format!("/{target}"));
                all.push(to.with("_revinclude", &format!("{kind}:{code}")));
                let from = format!("_has:{kind}:{code}");
                for id in ["pat", "hidden"] {
                    let to = Request::new("GET", &format!("/{target}"));
                    all.push(to.clone().with(&format!("{from}:_id"), id));
                    // Of what refers, by what that refers to.
                    all.push(to.with(&format!("{from}:{code}"), &format!("{target}/{id}")));
                }
                for mark in [ASKING, OTHER] {
                    for field in ["identifier", "code", "name", "title"] {
                        if parameters.get(kind, field).is_some() {
                            let to = Request::new("GET", &format!("/{target}"));
                            all.push(to.with(&format!("{from}:{field}"), &format!("{field}-{mark}")));
                        }
                    }
                    for (field, value) in [
                        ("identifier", format!("urn:{mark}|")),
                        ("name", mark.to_owned()),
                        ("_tag", format!("tag-{mark}")),
                        ("_id", "hidden".to_owned()),
                    ] {
                        if field.starts_with('_') || parameters.get(target, field).is_some() {
                            all.push(of.clone().with(&format!("{code}:{target}.{field}"), &value));
                        }
                    }
                }
            }
        }
    }
    all
}

/// Searches and histories that have more than one page for each tenant.
pub fn paged() -> Vec<Request> {
    let mut all = Vec::new();
    for route in ROUTES {
        let all_pages = match route.interaction {
            Interaction::SearchSystem => {
                vec![format!("{}?_type=Patient,Observation", paths(route.shape, Cast::Tenants)[0])]
            }
            Interaction::SearchType => vec![
                route.shape.template().replace("{type}", "Patient"),
                route.shape.template().replace("{type}", "Observation?_sort=date"),
            ],
            Interaction::SearchCompartment => {
                vec![route.shape.template().replace("{compartment}/{id}/{type}", "Patient/pat/Observation")]
            }
            Interaction::HistorySystem => vec![route.shape.template().to_owned()],
            Interaction::HistoryType => vec![route.shape.template().replace("{type}", "Patient")],
            Interaction::HistoryInstance => {
                vec![route.shape.template().replace("{type}/{id}", "Patient/pat")]
            }
            _ => Vec::new(),
        };
        for page in all_pages {
            // A template goes on after the type.
            let (path, query) = match page.split_once('?') {
                Some((path, query)) => {
                    let (query, rest) = query
                        .split_once("/_")
                        .map_or((query, String::new()), |(q, rest)| (q, format!("/_{rest}")));
                    (format!("{path}{rest}"), Some(query.to_owned()))
                }
                None => (page, None),
            };
            let mut request = Request::new(route.method, &path);
            if let Some((name, value)) = query.as_deref().and_then(|query| query.split_once('=')) {
                request = request.with(name, value);
            }
            all.push(request.with("_count", "1"));
        }
    }
    all
}

/// Everything that may change something: aimed at what only the other has, at what both have, and at the tenant's own.
pub fn writing(reading: &[Request], cast: Cast) -> Vec<Request> {
    let mut all = Vec::new();
    for route in ROUTES {
        match route.interaction {
            Interaction::Create => all.extend(creates()),
            Interaction::Update => all.extend(updates()),
            Interaction::ConditionalUpdate => all.extend(conditional_updates()),
            Interaction::Patch => all.extend(patches()),
            Interaction::ConditionalPatch => all.extend(conditional_patches()),
            Interaction::Delete => all.extend(deletes()),
            Interaction::ConditionalDelete => all.extend(conditional_deletes()),
            Interaction::DeleteHistory => {
                all.extend(paths(route.shape, cast).iter().map(|path| Request::new(route.method, path)));
            }
            Interaction::DeleteHistoryVersion => {
                // Something is left for the whole history.
                let first = paths(route.shape, cast).into_iter().filter(|path| path.ends_with("/1"));
                all.extend(first.map(|path| Request::new(route.method, &path)));
            }
            Interaction::Bundle => all.extend(bundles(reading, cast)),
            Interaction::Operation => {
                let all_of_them = operations();
                let changing = all_of_them.iter().filter(|operation| changes(operation));
                all.extend(changing.flat_map(|operation| calls(route, operation, cast)));
            }
            Interaction::Read
            | Interaction::Vread
            | Interaction::HistoryInstance
            | Interaction::HistoryType
            | Interaction::HistorySystem
            | Interaction::SearchType
            | Interaction::SearchSystem
            | Interaction::SearchCompartment
            | Interaction::Capabilities => {}
        }
        all.extend(between_patients(cast, &|request| {
            request.method == route.method && request.shape() == route.shape
        }));
    }
    all
}

/// What one patient writes to come at the other's, of those requests that are wanted.
fn between_patients(cast: Cast, wanted: &dyn Fn(&Request) -> bool) -> Vec<Request> {
    match cast {
        Cast::Tenants => Vec::new(),
        Cast::Patients => patients::writing().into_iter().filter(wanted).collect(),
    }
}

fn patient(id: &str, note: &str) -> String {
    let id = if id.is_empty() { String::new() } else { format!(r#""id":"{id}","#) };
    let note = note.replace(['"', '\\'], "'");
    format!(r#"{{"resourceType":"Patient",{id}"name":[{{"family":"{ASKING}","text":"{note}"}}]}}"#)
}

/// Criteria that the other's resources fulfil, and the tenant's own.
const CRITERIA_OTHER: &[(&str, &str)] = &[
    ("identifier", "urn:birchwald|"),
    ("family", "birchwald"),
    ("_id", "hidden"),
    ("birthdate", "1977-03-04"),
    ("general-practitioner", "Practitioner/doc2"),
];
const CRITERION_OWN: (&str, &str) = ("identifier", "twin-alderquist");

fn creates() -> Vec<Request> {
    let new = |note: &str| Request::new("POST", "/Patient").with_body(patient("", note));
    let mut all = vec![new("plain")];
    let criteria = CRITERIA_OTHER.iter().chain([&CRITERION_OWN]);
    all.extend(
        criteria.map(|(name, value)| new(name).with_header("If-None-Exist", &format!("{name}={value}"))),
    );
    all
}

fn updates() -> Vec<Request> {
    let mut all = Vec::new();
    for condition in
        [None, Some(("If-Match", "W/\"4\"")), Some(("If-Match", "W/\"2\"")), Some(("If-None-Match", "*"))]
    {
        for id in ["pat", "hidden", "fresh"] {
            let request = Request::new("PUT", &format!("/Patient/{id}"));
            let request = request.with_body(patient(id, &format!("{condition:?}")));
            all.push(match condition {
                Some((name, value)) => request.with_header(name, value),
                None => request,
            });
        }
    }
    // With the conditions first, while the versions are the seeded ones.
    all.reverse();
    all
}

fn conditional_updates() -> Vec<Request> {
    let criteria = CRITERIA_OTHER.iter().chain([&CRITERION_OWN]);
    let update = |(name, value): &(&str, &str)| {
        Request::new("PUT", "/Patient")
            .with(name, value)
            .with_body(patient("", &format!("updated by {name}")))
    };
    criteria.map(update).collect()
}

/// A FHIRPath Patch that leaves a note in a Patient.
fn note(text: &str) -> Value {
    json!({"resourceType": "Parameters", "parameter": [{"name": "operation", "part": [
        {"name": "type", "valueCode": "add"},
        {"name": "path", "valueString": "Patient"},
        {"name": "name", "valueString": "contact"},
        {"name": "value", "part": [{"name": "name", "valueHumanName": {"text": text}}]},
    ]}]})
}

fn patches() -> Vec<Request> {
    let mut all = Vec::new();
    for (condition, id) in
        [("W/\"1\"", "pat"), ("", "hidden"), ("", "pat"), ("W/\"1\"", "hidden"), ("*", "nobody")]
    {
        let request =
            Request::new("PATCH", &format!("/Patient/{id}")).with_body(note(&format!("patched {id}")));
        all.push(match condition {
            "" => request,
            tag => request.with_header("If-Match", tag),
        });
    }
    all
}

fn conditional_patches() -> Vec<Request> {
    let criteria = CRITERIA_OTHER.iter().chain([&CRITERION_OWN]);
    let patch = |(name, value): &(&str, &str)| {
        Request::new("PATCH", "/Patient").with(name, value).with_body(note(&format!("patched by {name}")))
    };
    criteria.map(patch).collect()
}

fn deletes() -> Vec<Request> {
    let keys = [
        "Observation/hidden",
        "Provenance/hidden",
        "Patient/nobody",
        "Appointment/app",
        "RiskAssessment/risk",
    ];
    let mut all: Vec<Request> = keys.iter().map(|key| Request::new("DELETE", &format!("/{key}"))).collect();
    all.insert(0, Request::new("DELETE", "/Encounter/enc").with_header("If-Match", "W/\"4\""));
    all
}

fn conditional_deletes() -> Vec<Request> {
    let delete =
        |kind: &str, name: &str, value: &str| Request::new("DELETE", &format!("/{kind}")).with(name, value);
    vec![
        delete("Observation", "code", "hidden-birchwald"),
        delete("Observation", "code", "code-birchwald"),
        delete("Provenance", "target", "Patient/pat"),
        delete("ValueSet", "url", "http://example.org/set/birchwald"),
        delete("ValueSet", "url", "http://example.org/set/alderquist"),
    ]
}

/// Batches of everything that is asked by GET, and transactions that meet the other's resources in each way a Bundle can.
fn bundles(reading: &[Request], cast: Cast) -> Vec<Request> {
    let bundle = |kind: &str, entries: Vec<Value>| {
        let body = json!({"resourceType": "Bundle", "type": kind, "entry": entries});
        Request::new("POST", "/").with_body(body)
    };
    let mut all = Vec::new();
    let gets = reading.iter().filter(|request| {
        request.method == "GET" && !request.path.contains('$') && request.path != "/metadata"
    });
    let gets: Vec<Value> = gets.map(Request::entry).collect();
    all.extend(gets.chunks(200).map(|part| bundle("batch", part.to_vec())));
    all.extend(gets.chunks(200).map(|part| bundle("transaction", part.to_vec())));
    let observation = |reference: &str| {
        Request::new("POST", "/Observation")
            .with_body(json!({"resourceType": "Observation", "status": "final", "code": {"text": ASKING},
            "subject": {"reference": reference}}))
    };
    // References by a search that only the other's resources answer, then the tenant's own.
    for (name, value) in CRITERIA_OTHER.iter().chain([&("identifier", "pat-alderquist")]) {
        all.push(bundle("transaction", vec![observation(&format!("Patient?{name}={value}")).entry()]));
    }
    let writes: Vec<Request> = [
        creates(),
        updates(),
        conditional_updates(),
        patches(),
        conditional_patches(),
        deletes(),
        conditional_deletes(),
        between_patients(cast, &|_| true),
    ]
    .concat();
    // Each by itself, as both kinds; together they would contradict each other.
    for write in &writes {
        all.extend(["transaction", "batch"].map(|kind| bundle(kind, vec![write.entry()])));
    }
    all.push(bundle(
        "transaction",
        vec![
            observation("Patient/hidden").entry(),
            Request::new("PUT", "/Patient/own")
                .with_body(WORDS_ASKING.resource("Patient/own", r#""name":[{"family":"MARK"}]"#))
                .entry(),
        ],
    ));
    all
}
