//! The criteria of conditional interactions (<https://hl7.org/fhir/R4/http.html#cond-update>): search parameters that are to match
//! at most one resource. Parameters that only shape a result page are refused by name.

use ::search::{Handling, ParseContext};
use fhirpath::{Issue, IssueType};
use store::{Filter, Permission, Precondition, Query, Version};

use crate::{Caller, Failure, Service, Status, parameters};

/// What a conditional interaction looks for.
#[derive(Debug, Clone)]
pub(crate) struct Criteria {
    resource_type: Box<str>,
    filter: Filter,
}

impl Criteria {
    /// Reads the criteria of a query string.
    pub(crate) fn of_query(service: &Service, resource_type: &str, query: &str) -> Result<Criteria, Failure> {
        let query = query.strip_prefix('?').unwrap_or(query);
        Criteria::new(service, resource_type, &parameters::decode(query))
    }

    /// Reads the criteria of decoded parameters.
    ///
    /// # Errors
    /// BadRequest without any, for a parameter that is not known, and for one that shapes pages.
    pub(crate) fn new(
        service: &Service,
        resource_type: &str,
        parameters: &[(String, String)],
    ) -> Result<Criteria, Failure> {
        if parameters.is_empty() {
            let details = "A conditional interaction needs at least one search parameter.";
            return Err(Failure::new(Status::BadRequest, IssueType::Required, details));
        }
        let filter = filter(service, resource_type, parameters)?;
        Ok(Criteria { resource_type: resource_type.into(), filter })
    }

    /// The type that is searched.
    pub(crate) fn resource_type(&self) -> &str {
        &self.resource_type
    }

    /// The one resource that matches, if there is one.
    ///
    /// # Errors
    /// PreconditionFailed when several do, Forbidden for a type that may not be searched.
    pub(crate) async fn find(&self, service: &Service, caller: &Caller) -> Result<Option<Version>, Failure> {
        caller.require(Permission::Search, &self.resource_type)?;
        let mut matches = self.find_all(service, caller, 2).await?;
        if matches.len() > 1 {
            let details =
                format!("Several {} resources match the criteria, so none was chosen.", self.resource_type);
            return Err(Failure::new(Status::PreconditionFailed, IssueType::MultipleMatches, details));
        }
        Ok(matches.pop())
    }

    /// The first resources that match.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) async fn find_all(
        &self,
        service: &Service,
        caller: &Caller,
        limit: usize,
    ) -> Result<Vec<Version>, Failure> {
        let query = Query {
            resource_type: Some(self.resource_type.clone()),
            filter: self.filter.clone(),
            sort: Vec::new(),
            after: None,
            limit,
            total: false,
        };
        Ok(service.store.search(&caller.tenant, &caller.access, &query).await?.matches)
    }

    /// That nothing matches, still, when the commit happens.
    pub(crate) fn none(&self) -> Precondition {
        Precondition::NoMatch { resource_type: self.resource_type.clone(), filter: self.filter.clone() }
    }
}

/// The filter of the criteria of a query string (`category=a|b&status=final`).
///
/// # Errors
/// BadRequest for a parameter that is not known, and for one that shapes pages.
pub fn criteria(service: &Service, resource_type: &str, query: &str) -> Result<Filter, Failure> {
    filter(service, resource_type, &parameters::decode(query))
}

fn filter(
    service: &Service,
    resource_type: &str,
    parameters: &[(String, String)],
) -> Result<Filter, Failure> {
    refuse_page_parameters(parameters)?;
    let context = ParseContext {
        index: &service.index,
        handling: Handling::Strict,
        now: (service.clock)().0.saturating_mul(1000),
        default_count: service.limits.default_count,
        max_count: service.limits.max_count,
        terminology: None,
    };
    let request = ::search::parse(&context, Some(resource_type), None, parameters);
    let request = request.map_err(|issues| Failure::of(Status::BadRequest, issues))?;
    refuse_texts(&request.query.filter, parameters)?;
    Ok(request.query.filter)
}

/// Texts are searched in an index that follows what is committed; no condition may lean on it, however deep it asks.
fn refuse_texts(filter: &Filter, parameters: &[(String, String)]) -> Result<(), Failure> {
    if !filter.asks_texts() {
        return Ok(());
    }
    let asks = |name: &&str| name.split([':', '.']).any(|part| matches!(part, "_text" | "_content"));
    let name = parameters.iter().map(|(name, _)| name.as_str()).find(asks).unwrap_or("_filter");
    let details = format!(
        "{name} searches texts; what it finds cannot be a condition of a write or of access. Use identifiers, codes or references."
    );
    let issue = Issue::error(IssueType::NotSupported, details).at(format!("http.{name}"));
    Err(Failure::of(Status::BadRequest, vec![issue]))
}

fn refuse_page_parameters(parameters: &[(String, String)]) -> Result<(), Failure> {
    const PAGE: [&str; 11] = [
        "_sort",
        "_count",
        "_include",
        "_revinclude",
        "_summary",
        "_total",
        "_elements",
        "_contained",
        "_containedType",
        "_cursor",
        "_explain",
    ];
    let base = |name: &str| name.split(':').next().unwrap_or_default().to_owned();
    let issues: Vec<Issue> = parameters
        .iter()
        .map(|(name, _)| base(name))
        .filter(|name| PAGE.contains(&name.as_str()))
        .map(|name| {
            let details =
                format!("{name} shapes a result page; criteria of a conditional interaction cannot have it.");
            Issue::error(IssueType::NotSupported, details).at(format!("http.{name}"))
        })
        .collect();
    if issues.is_empty() { Ok(()) } else { Err(Failure::of(Status::BadRequest, issues)) }
}
