//! search (<https://hl7.org/fhir/R4/http.html#search>) over a type, everything, or a compartment: the query to a page of
//! stored resources, what they include, and links. What parameters mean is the crate `search`'s concern.

use ::search::{Handling, ParseContext, SearchRequest, Summary};
use conformance::terminology::Terminology;
use fhirpath::tree::Subset;
use fhirpath::{Issue, IssueType, Severity};
use store::units::{Ledger, Step};
use store::{Page, Permission, Query};

use crate::include::included;
use crate::page::{Mode, PageWriter};
use crate::page_link::Pages;
use crate::{Caller, Failure, Outcome, Projection, Service, Status, contained};

/// A searchset Bundle. `resource_type` is `None` for all types; `compartment` is `("Patient", "123")`.
///
/// # Errors
/// NotFound for an unknown type or compartment, BadRequest for a parameter that is not understood or a cursor that is not this
/// search's, Forbidden for a type that may not be searched.
pub async fn search(
    service: &Service,
    caller: &Caller,
    resource_type: Option<&str>,
    compartment: Option<(&str, &str)>,
    parameters: &[(String, String)],
    handling: Handling,
) -> Result<Outcome, Failure> {
    let path = path(service, resource_type, compartment)?;
    let now = (service.clock)().0.saturating_mul(1000);
    let read = |terminology: Option<&Terminology>| {
        let context = ParseContext {
            index: &service.index,
            handling,
            now,
            default_count: service.limits.default_count,
            max_count: service.limits.max_count,
            terminology,
        };
        ::search::parse(&context, resource_type, compartment, parameters)
    };
    let found = match ::search::asks_terminology(parameters) {
        true => service.ask(caller, |_, terminology| read(Some(terminology))).await?,
        false => read(None),
    };
    let mut request = found.map_err(|issues| Failure::of(Status::BadRequest, issues))?;
    // What contains is of any type, and may be found as far as that may be.
    let contained = request.contained.as_ref().map(|contained| contained.resource_type.as_str());
    match contained.or(request.query.resource_type.as_deref()) {
        Some(name) => caller.require(Permission::Search, name)?,
        None => caller.require_any(Permission::Search)?,
    }
    if request.explain && !caller.access.sees_everything() {
        return Err(unexplained());
    }
    let count = request.query.limit;
    if request.summary == Some(Summary::Count) || count == 0 {
        request.query.limit = 0;
        request.query.total = true;
    }
    let pages = Pages::new(service, caller, &path, &request.honoured);
    request.query.after = request.cursor.as_deref().map(|text| pages.position(text)).transpose()?;
    if !request.explain {
        return write(service, caller, &request, &pages, count, None).await;
    }
    let ledger = Ledger::explaining();
    ledger.scope(write(service, caller, &request, &pages, count, Some(&ledger))).await
}

/// Runs the search and writes its page; `ledger` is open, if what runs is to be explained.
async fn write(
    service: &Service,
    caller: &Caller,
    request: &SearchRequest,
    pages: &Pages<'_>,
    count: usize,
    ledger: Option<&Ledger>,
) -> Result<Outcome, Failure> {
    let (page, total) = found(service, caller, request).await?;
    let mut links = vec![("self", pages.url(count, request.cursor.as_deref()))];
    if request.cursor.is_some() || page.next.is_some() {
        links.push(("first", pages.url(count, None)));
    }
    if let Some(next) = page.next.as_ref().filter(|_| request.query.limit > 0) {
        links.push(("next", pages.url(count, Some(&pages.sign(next)))));
    }
    let included = included(service, caller, request, &page.matches).await?;
    let subset = subset(request);
    let resources = page.matches.iter().chain(&included.versions);
    let bytes = resources.map(|version| version.body.len() + 192).sum();
    let mut out = PageWriter::open(service, subset.as_ref(), "searchset", total, &links, bytes);
    let mut scores = page.scores.iter();
    for version in &page.matches {
        match (request.contained.as_ref().filter(|contained| contained.is_contained), scores.next()) {
            (Some(asked), _) => contained::matches(service, asked, version, &mut out)?,
            (None, Some(score)) => out.scored(version, *score)?,
            (None, None) => out.found(version, Mode::Match)?,
        }
    }
    for version in &included.versions {
        out.found(version, Mode::Include)?;
    }
    let said: Vec<Issue> = request
        .ignored
        .iter()
        .cloned()
        .chain(included.left_out)
        .chain(ledger.into_iter().flat_map(explained))
        .collect();
    if !said.is_empty() {
        out.outcome(&said);
    }
    Ok(Outcome::resource(out.close()))
}

/// A page, and how many match in all: as counted, or about, as asked.
async fn found(
    service: &Service,
    caller: &Caller,
    request: &SearchRequest,
) -> Result<(Page, Option<u64>), Failure> {
    let (store, query) = (&service.store, &request.query);
    if !request.estimate {
        let page = store.search(&caller.tenant, &caller.access, query).await?;
        let total = page.total;
        return Ok((page, total));
    }
    let estimate = store.estimate(&caller.tenant, &caller.access, query).await?;
    let counted = Query { total: estimate.is_none(), ..query.clone() };
    let page = store.search(&caller.tenant, &caller.access, &counted).await?;
    // What is on the page is there; without a next one, and without one before, it is all.
    let shown = page.matches.len() as u64;
    let total = match (page.total, estimate) {
        (Some(total), _) => Some(total),
        (None, Some(_)) if page.next.is_none() && query.after.is_none() => Some(shown),
        (None, estimate) => estimate.map(|estimate| estimate.max(shown)),
    };
    Ok((page, total))
}

/// What ran tells of resources that were looked at and are not shown.
fn unexplained() -> Failure {
    let details = "_explain is for those who may see everything.";
    Failure::of(Status::Forbidden, vec![Issue::error(IssueType::Forbidden, details).at("http._explain")])
}

/// What ran, each step an issue, and at last the sum.
fn explained(ledger: &Ledger) -> Vec<Issue> {
    let information =
        |details: String| Issue::error(IssueType::Informational, details).severity(Severity::Information);
    let steps = ledger.steps();
    let mut issues: Vec<Issue> = steps
        .iter()
        .map(|Step { what, units, items }| information(format!("{units:.2} RU, items: {items}; {what}")))
        .collect();
    issues.push(information(format!("{:.2} RU in all, steps: {}", ledger.units(), steps.len())));
    issues
}

fn path(
    service: &Service,
    resource_type: Option<&str>,
    compartment: Option<(&str, &str)>,
) -> Result<String, Failure> {
    if let Some(resource_type) = resource_type {
        service.known_type(resource_type)?;
    }
    let Some((owner, id)) = compartment else { return Ok(resource_type.unwrap_or_default().to_owned()) };
    let key = service.key(owner, id)?;
    if service.definitions.compartments.parameters(owner, owner).is_none() {
        let details = format!("There is no {owner} compartment.");
        return Err(Failure::new(Status::NotFound, IssueType::NotSupported, details));
    }
    Ok(format!("{}/{}", key.as_str(), resource_type.unwrap_or("*")))
}

fn subset(request: &SearchRequest) -> Option<Subset> {
    Projection { summary: request.summary, elements: request.elements.clone() }.subset()
}
