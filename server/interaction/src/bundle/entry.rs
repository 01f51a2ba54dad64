//! One entry of a batch or transaction, read: `Bundle.entry.request` (<https://hl7.org/fhir/R4/bundle.html#transaction>) to a
//! typed request. Looks nothing up.

use fhirpath::{Element, Issue, IssueType, Patch, Tree};
use store::Key;

use super::get::Get;
use crate::criteria::Criteria;
use crate::{Failure, ReadConditions, Return, Service, Status, VersionMatch, WriteConditions, patch, update};

/// An entry, understood.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) full_url: Option<String>,
    /// The node of its resource; 0 for a request that needs none.
    pub(super) resource: u32,
    pub(super) request: Request,
}

impl Entry {
    /// The patch that its resource is.
    pub(super) fn patch(&self, bundle: &Tree, resource_type: &str) -> Result<Patch, Failure> {
        patch::of_resource(self.extract(bundle)?, resource_type)
    }

    /// Its resource, as a tree of its own.
    pub(super) fn extract(&self, bundle: &Tree) -> Result<Tree, Failure> {
        let resource = bundle.element(self.resource).and_then(|resource| bundle.extract(resource));
        resource.ok_or_else(|| Failure::internal(&"an entry's resource is gone"))
    }
}

/// What an entry asks for.
#[derive(Debug)]
pub(super) enum Request {
    Create { resource_type: String, if_none_exist: Option<Conditional> },
    Update { key: Key, conditions: WriteConditions },
    ConditionalUpdate { on: Conditional, conditions: WriteConditions },
    Patch { key: Key, conditions: WriteConditions },
    ConditionalPatch { on: Conditional, conditions: WriteConditions },
    Delete { key: Key, conditions: WriteConditions },
    ConditionalDelete { on: Conditional, conditions: WriteConditions },
    Get { get: Get, conditions: ReadConditions, head: bool },
}

impl Request {
    /// When it is processed (<https://hl7.org/fhir/R4/http.html#trules>): deletions, creates, updates and patches, reads.
    pub(super) fn turn(&self) -> u8 {
        match self {
            Request::Delete { .. } | Request::ConditionalDelete { .. } => 0,
            Request::Create { .. } => 1,
            Request::Update { .. }
            | Request::ConditionalUpdate { .. }
            | Request::Patch { .. }
            | Request::ConditionalPatch { .. } => 2,
            Request::Get { .. } => 3,
        }
    }

    /// Whether its resource is no content, but says what is to change.
    pub(super) fn is_patch(&self) -> bool {
        matches!(self, Request::Patch { .. } | Request::ConditionalPatch { .. })
    }

    /// The resource it names.
    pub(super) fn key(&self) -> Option<&Key> {
        match self {
            Request::Update { key, .. } | Request::Patch { key, .. } | Request::Delete { key, .. } => {
                Some(key)
            }
            Request::Create { .. }
            | Request::ConditionalUpdate { .. }
            | Request::ConditionalPatch { .. }
            | Request::ConditionalDelete { .. }
            | Request::Get { .. } => None,
        }
    }

    /// Whether the body of its answer only tells what was done.
    pub(super) fn tells(&self, prefer: Return) -> bool {
        prefer == Return::OperationOutcome && !matches!(self, Request::Get { .. })
    }
}

/// Criteria with the text they were written as, by which equal ones are known.
#[derive(Debug)]
pub(super) struct Conditional {
    pub(super) resource_type: String,
    pub(super) text: String,
    pub(super) criteria: Criteria,
}

impl Conditional {
    fn new(service: &Service, resource_type: &str, query: &str) -> Result<Conditional, Failure> {
        let criteria = Criteria::of_query(service, resource_type, query)?;
        Ok(Conditional { resource_type: resource_type.to_owned(), text: query.to_owned(), criteria })
    }
}

impl Entry {
    /// Reads the entry with a number.
    ///
    /// # Errors
    /// What is wrong with it, at its place.
    pub(super) fn read(service: &Service, number: usize, entry: Element<'_>) -> Result<Entry, Failure> {
        Entry::parse(service, entry).map_err(|failure| failure.within(&format!("Bundle.entry[{number}]")))
    }

    fn parse(service: &Service, entry: Element<'_>) -> Result<Entry, Failure> {
        let request = entry.get("request").ok_or_else(|| {
            refuse(IssueType::Required, "An entry of a batch or transaction needs a request.")
        })?;
        let parts = Parts::of(request);
        let url = relative(service, &parts.url);
        let resource = entry.get("resource");
        let request = match parts.method.as_str() {
            "GET" => parts.get(service, url, false)?,
            "HEAD" => parts.get(service, url, true)?,
            "POST" => parts.post(service, url, resource)?,
            "PUT" => parts.put(service, url, resource)?,
            "PATCH" => parts.patch(service, url, resource)?,
            "DELETE" => parts.delete(service, url)?,
            other => {
                let shown: String = other.chars().take(16).collect();
                return Err(refuse(
                    IssueType::NotSupported,
                    &format!(
                        "The method {shown} is not supported in a Bundle; use GET, HEAD, POST, PUT, PATCH or DELETE."
                    ),
                ));
            }
        };
        let needs_resource = matches!(
            request,
            Request::Create { .. }
                | Request::Update { .. }
                | Request::ConditionalUpdate { .. }
                | Request::Patch { .. }
                | Request::ConditionalPatch { .. }
        );
        Ok(Entry {
            full_url: text(entry, "fullUrl"),
            resource: resource.filter(|_| needs_resource).map_or(0, Element::node_id),
            request,
        })
    }
}

/// The texts of a request.
#[derive(Default)]
struct Parts {
    method: String,
    url: String,
    if_none_match: Option<String>,
    if_modified_since: Option<String>,
    if_match: Option<String>,
    if_none_exist: Option<String>,
}

impl Parts {
    fn of(request: Element<'_>) -> Parts {
        let mut parts = Parts::default();
        for child in request.children() {
            let Some(value) = child.value() else { continue };
            match child.name() {
                "method" => parts.method = value.into_owned(),
                "url" => parts.url = value.into_owned(),
                "ifNoneMatch" => parts.if_none_match = Some(value.into_owned()),
                "ifModifiedSince" => parts.if_modified_since = Some(value.into_owned()),
                "ifMatch" => parts.if_match = Some(value.into_owned()),
                "ifNoneExist" => parts.if_none_exist = Some(value.into_owned()),
                _ => {}
            }
        }
        parts
    }

    fn get(&self, service: &Service, url: &str, head: bool) -> Result<Request, Failure> {
        let since = self.if_modified_since.as_deref().map(|text| {
            let span = fhirpath::primitive::span(text)
                .ok_or_else(|| refuse(IssueType::Value, "ifModifiedSince is not an instant."))?;
            Ok::<_, Failure>(store::Timestamp(span.0.div_euclid(1000)))
        });
        let conditions = ReadConditions {
            if_none_match: versions("ifNoneMatch", self.if_none_match.as_deref())?,
            if_modified_since: since.transpose()?,
        };
        Ok(Request::Get { get: Get::parse(service, url)?, conditions, head })
    }

    fn post(&self, service: &Service, url: &str, resource: Option<Element<'_>>) -> Result<Request, Failure> {
        no_operation(url)?;
        service.known_type(url).map_err(|_| {
            refuse(
                IssueType::Value,
                &format!("POST creates: its url is a resource type, not {}.", shown(url)),
            )
        })?;
        of_type(resource, url)?;
        let if_none_exist =
            self.if_none_exist.as_deref().map(|query| Conditional::new(service, url, query)).transpose()?;
        Ok(Request::Create { resource_type: url.to_owned(), if_none_exist })
    }

    fn put(&self, service: &Service, url: &str, resource: Option<Element<'_>>) -> Result<Request, Failure> {
        let conditions = self.write_conditions()?;
        if let Some((resource_type, query)) = url.split_once('?') {
            service.known_type(resource_type)?;
            of_type(resource, resource_type)?;
            return Ok(Request::ConditionalUpdate {
                on: Conditional::new(service, resource_type, query)?,
                conditions,
            });
        }
        let (resource_type, id) = type_and_id(service, url)?;
        let key = update::writable(resource_type, id)?;
        let resource = of_type(resource, resource_type)?;
        update::same_id(resource.get("id").and_then(|id| id.value()).as_deref(), &key)?;
        Ok(Request::Update { key, conditions })
    }

    fn patch(&self, service: &Service, url: &str, resource: Option<Element<'_>>) -> Result<Request, Failure> {
        let conditions = self.write_conditions()?;
        let readable = |resource_type: &str| {
            let found = resource.and_then(|resource| resource.tree().extract(resource));
            let found = found.ok_or_else(|| needs_resource("PATCH needs"))?;
            // Read again when its references are set; here only to tell early what is wrong with it.
            patch::of_resource(found, resource_type).map(drop)
        };
        if let Some((resource_type, query)) = url.split_once('?') {
            service.known_type(resource_type)?;
            readable(resource_type)?;
            return Ok(Request::ConditionalPatch {
                on: Conditional::new(service, resource_type, query)?,
                conditions,
            });
        }
        let (resource_type, id) = type_and_id(service, url)?;
        let key = update::writable(resource_type, id)?;
        readable(resource_type)?;
        Ok(Request::Patch { key, conditions })
    }

    fn delete(&self, service: &Service, url: &str) -> Result<Request, Failure> {
        let conditions = self.write_conditions()?;
        if let Some((resource_type, query)) = url.split_once('?') {
            service.known_type(resource_type)?;
            return Ok(Request::ConditionalDelete {
                on: Conditional::new(service, resource_type, query)?,
                conditions,
            });
        }
        let (resource_type, id) = type_and_id(service, url)?;
        Ok(Request::Delete { key: update::writable(resource_type, id)?, conditions })
    }

    fn write_conditions(&self) -> Result<WriteConditions, Failure> {
        Ok(WriteConditions {
            if_match: versions("ifMatch", self.if_match.as_deref())?,
            if_none_match: versions("ifNoneMatch", self.if_none_match.as_deref())?,
        })
    }
}

fn versions(name: &str, text: Option<&str>) -> Result<Option<VersionMatch>, Failure> {
    text.map(|text| VersionMatch::parse(name, text)).transpose()
}

/// The url below the base, without a slash before it.
fn relative<'u>(service: &Service, url: &'u str) -> &'u str {
    let below = url.strip_prefix(service.base.as_str()).filter(|rest| rest.starts_with('/'));
    let below = below.unwrap_or(url);
    below.strip_prefix('/').unwrap_or(below)
}

fn type_and_id<'u>(service: &Service, url: &'u str) -> Result<(&'u str, &'u str), Failure> {
    no_operation(url)?;
    let (resource_type, id) = url.split_once('/').ok_or_else(|| {
        refuse(IssueType::Value, &format!("The url {} is neither Type/id nor Type?criteria.", shown(url)))
    })?;
    service.known_type(resource_type)?;
    Ok((resource_type, id))
}

pub(super) fn no_operation(url: &str) -> Result<(), Failure> {
    match url.split(['/', '?']).find(|segment| segment.starts_with('$')) {
        Some(operation) => Err(refuse(
            IssueType::NotSupported,
            &format!("The operation {} cannot be called in a Bundle.", shown(operation)),
        )),
        None => Ok(()),
    }
}

fn of_type<'t>(resource: Option<Element<'t>>, resource_type: &str) -> Result<Element<'t>, Failure> {
    let resource = resource.ok_or_else(|| needs_resource("POST and PUT need"))?;
    if resource.type_name() == resource_type {
        return Ok(resource);
    }
    let details =
        format!("The resource is of type {}, but the url is for {resource_type}.", resource.type_name());
    Err(refuse(IssueType::Invalid, &details))
}

fn needs_resource(who: &str) -> Failure {
    refuse(IssueType::Required, &format!("{who} the entry to have a resource."))
}

fn text(element: Element<'_>, name: &str) -> Option<String> {
    Some(element.get(name)?.value()?.into_owned())
}

/// The beginning of a text, for messages.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

pub(super) fn refuse(code: IssueType, details: &str) -> Failure {
    Failure::of(Status::BadRequest, vec![Issue::error(code, details).at("http.request")])
}
