//! `$graphql` (<https://hl7.org/fhir/R4/graphql.html>) at the base and on a resource. The language is crate `graphql`'s; here its
//! reads, searches and changes become interactions of the same caller, so rights and limits are theirs.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use fhirpath::expression::DateTime;
use fhirpath::{Element, Issue, IssueType, Tree};
use graphql::{Change, Context, Level, Match, Page, Request, Resources, Search};
use interaction::{
    Caller, Failure, Handling, OperationDescriptor, Outcome, OutcomeBody, ReadConditions, Return, Service,
    Status, WriteConditions,
};
use url::form_urlencoded;

use crate::parameters::{refuse, shown};
use crate::{Invocation, Operation, Running};

pub(crate) const GRAPHQL: Operation = Operation {
    descriptor: OperationDescriptor {
        name: "graphql",
        definition: "http://hl7.org/fhir/OperationDefinition/Resource-graphql",
        resource_types: &[],
        system: true,
        type_level: false,
        instance: true,
        affects_state: false,
    },
    handler: |service, caller, invocation| Box::pin(graphql(service, caller, invocation)) as Running<'_>,
};

async fn graphql(service: &Service, caller: &Caller, invocation: Invocation) -> Result<Outcome, Failure> {
    let request = request(&invocation)?;
    let may_change = invocation.body.is_some();
    let resources = Served { service, caller, may_change, failed: Mutex::default() };
    let level = match (&invocation.resource_type, &invocation.id) {
        (Some(kind), Some(id)) => {
            let none = ReadConditions::default();
            let found = interaction::read(service, caller, kind, id, &none).await?;
            Level::Instance(Arc::new(resources.tree(body(found)?)?))
        }
        _ => Level::System,
    };
    let context = Context {
        schema: &service.definitions.schema,
        parameters: &service.definitions.search_parameters,
        now: DateTime::parse(&(service.clock)().to_string()),
    };
    let response = graphql::execute(context, &level, &request, &resources).await;
    // What the query is not to blame for is answered as everywhere, so that clients know when to try again.
    if let Some(failure) = resources.failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(failure);
    }
    // What is refused stands in the response; its status says so, too, where nothing was found out.
    let status = if response.errors.is_empty() { Status::Ok } else { Status::BadRequest };
    Ok(Outcome { status, ..Outcome::json(response.to_json()) })
}

/// The request, of the URL or of the body.
fn request(invocation: &Invocation) -> Result<Request, Failure> {
    if let Some(body) = &invocation.body {
        if let Some((name, _)) = invocation.parameters.first() {
            let name = shown(name);
            let details = format!("A request by POST has all in its body; {name} stands in the URL.");
            return Err(refuse(IssueType::Invalid, details, format!("http.{name}")));
        }
        return Request::from_json(body).map_err(|issue| Failure::of(Status::BadRequest, vec![issue]));
    }
    let mut request = Request::default();
    for (name, value) in &invocation.parameters {
        match name.as_str() {
            "query" => request.query.clone_from(value),
            "operationName" => request.operation_name = Some(value.clone()),
            "variables" => {
                request.variables = serde_json::from_str(value).map_err(|_| {
                    let details = "variables is to be a JSON object.".to_owned();
                    refuse(IssueType::Invalid, details, "http.variables".to_owned())
                })?;
            }
            _ => {
                let name = shown(name);
                let details =
                    format!("$graphql takes query, operationName and variables; {name} is none of these.");
                return Err(refuse(IssueType::NotSupported, details, format!("http.{name}")));
            }
        }
    }
    if request.query.is_empty() {
        return Err(refuse(IssueType::Required, "Give a query.".to_owned(), "http.query".to_owned()));
    }
    Ok(request)
}

/// `Bundle.entry.search.mode`.
const MODES: [&str; 3] = ["match", "include", "outcome"];

/// The text of a child.
fn value(element: Element<'_>, name: &str) -> Option<String> {
    element.get(name)?.value().map(|text| text.into_owned())
}

/// The resources of a caller.
struct Served<'s> {
    service: &'s Service,
    caller: &'s Caller,
    /// Whether the request was sent by POST.
    may_change: bool,
    /// The first failure that is the server's: of the store, or of its being too busy.
    failed: Mutex<Option<Failure>>,
}

#[async_trait]
impl Resources for Served<'_> {
    async fn read(&self, references: &[String]) -> Result<Vec<Option<Arc<Tree>>>, Issue> {
        let mut found = Vec::with_capacity(references.len());
        for reference in references {
            found.push(self.resolve(reference).await.map_err(|failure| self.noted(failure))?);
        }
        Ok(found)
    }

    async fn search(&self, searches: &[Search]) -> Result<Vec<Arc<Page>>, Issue> {
        let mut pages = Vec::with_capacity(searches.len());
        for search in searches {
            pages.push(Arc::new(self.page(search).await.map_err(|failure| self.noted(failure))?));
        }
        Ok(pages)
    }

    async fn change(&self, resource_type: &str, change: Change) -> Result<Option<Arc<Tree>>, Issue> {
        if !self.may_change {
            let details = "A mutation changes resources; send it by POST.";
            return Err(Issue::error(IssueType::NotSupported, details));
        }
        self.changed(resource_type, change).await.map_err(|failure| self.noted(failure))
    }
}

impl Served<'_> {
    /// The first reason: an error of GraphQL is one. Keeps what is the server's fault.
    fn noted(&self, failure: Failure) -> Issue {
        let nothing = || Issue::error(IssueType::Exception, "The server failed to answer.");
        let issue = failure.issues.first().cloned().unwrap_or_else(nothing);
        if matches!(failure.status, Status::TooManyRequests | Status::Internal | Status::Unavailable) {
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.get_or_insert(failure);
        }
        issue
    }

    fn tree(&self, bytes: Bytes) -> Result<Tree, Failure> {
        Tree::parse_json(&self.service.definitions.schema, bytes.to_vec(), &fhirpath::Limits::DEFAULT)
            .map_err(|_| unreadable())
    }

    /// What a reference points to; `None` where there is nothing that the caller may see.
    async fn resolve(&self, reference: &str) -> Result<Option<Arc<Tree>>, Failure> {
        let base = self.service.base.as_str();
        let local = reference.strip_prefix(base).and_then(|rest| rest.strip_prefix('/')).unwrap_or(reference);
        let none = ReadConditions::default();
        let parts: Vec<&str> = local.split('/').collect();
        let read = match parts.as_slice() {
            [kind, id] => interaction::read(self.service, self.caller, kind, id, &none).await,
            [kind, id, "_history", version] => {
                interaction::vread(self.service, self.caller, kind, id, version, &none).await
            }
            _ => return Ok(None),
        };
        match read {
            Ok(outcome) => Ok(Some(Arc::new(self.tree(body(outcome)?)?))),
            Err(failure) if matches!(failure.status, Status::NotFound | Status::Gone | Status::Forbidden) => {
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    async fn page(&self, search: &Search) -> Result<Page, Failure> {
        let parameters: Vec<(String, String)> = match &search.cursor {
            Some(query) => form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            None => search.parameters.clone(),
        };
        let (service, kind) = (self.service, Some(search.resource_type.as_str()));
        let outcome =
            interaction::search(service, self.caller, kind, None, &parameters, Handling::Strict).await?;
        let bundle = self.tree(body(outcome)?)?;
        let link = |relation: &str| {
            let is = |link: &Element<'_>| value(*link, "relation").as_deref() == Some(relation);
            let url = value(bundle.root().all("link").find(is)?, "url")?;
            Some(url.split_once('?').map_or("", |(_, query)| query).to_owned())
        };
        let count =
            parameters.iter().find(|(name, _)| name == "_count").and_then(|(_, text)| text.parse().ok());
        let mut matches = Vec::new();
        for entry in bundle.root().all("entry") {
            let Some(resource) = entry.get("resource") else { continue };
            let mut text = Vec::new();
            resource.write_json(&mut text);
            let mode = entry.get("search").and_then(|search| value(search, "mode"));
            let mode = MODES.into_iter().find(|known| mode.as_deref() == Some(*known));
            matches.push(Match { resource: Arc::new(self.tree(text.into())?), mode, score: None });
        }
        Ok(Page {
            matches,
            total: value(bundle.root(), "total").and_then(|text| text.parse().ok()),
            offset: search.cursor.is_none().then_some(0),
            page_size: count.unwrap_or(service.limits.default_count as u64),
            first: link("first"),
            previous: link("previous"),
            next: link("next"),
            last: link("last"),
        })
    }

    async fn changed(&self, kind: &str, change: Change) -> Result<Option<Arc<Tree>>, Failure> {
        let (service, caller, conditions) = (self.service, self.caller, WriteConditions::default());
        let outcome = match change {
            Change::Create { resource } => {
                let text = resource.to_string().into_bytes();
                interaction::create(service, caller, kind, text, None, Return::Representation).await?
            }
            Change::Update { id, resource } => {
                let (text, whole) = (resource.to_string().into_bytes(), Return::Representation);
                interaction::update(service, caller, kind, &id, text, &conditions, whole).await?
            }
            Change::Delete { id } => {
                interaction::delete(service, caller, kind, &id, &conditions, Return::Minimal).await?;
                return Ok(None);
            }
        };
        Ok(Some(Arc::new(self.tree(body(outcome)?)?)))
    }
}

fn body(outcome: Outcome) -> Result<Bytes, Failure> {
    match outcome.body {
        OutcomeBody::Resource(bytes) => Ok(bytes),
        OutcomeBody::Empty | OutcomeBody::Other { .. } => Err(unreadable()),
    }
}

fn unreadable() -> Failure {
    Failure::new(Status::Internal, IssueType::Exception, "A stored resource cannot be read.")
}
