//! history (<https://hl7.org/fhir/R4/http.html#history>) of a resource, a type or everything.

use ::search::Summary;
use fhirpath::{Issue, IssueType, primitive};
use store::{HistoryQuery, HistoryScope, Permission, Timestamp};

use crate::page::PageWriter;
use crate::page_link::Pages;
use crate::{Caller, Failure, Outcome, Projection, Service, Status, read};

/// A history Bundle, newest first. Parameters: `_since`, `_at`, `_count`, `_summary`, `_elements`, and the `_cursor` of page links.
///
/// # Errors
/// NotFound for an unknown type or id, BadRequest for an unknown parameter or a bad value, Forbidden for a type of which none
/// may be seen.
pub async fn history(
    service: &Service,
    caller: &Caller,
    scope: HistoryScope,
    parameters: &[(String, String)],
) -> Result<Outcome, Failure> {
    let path = path(service, &scope)?;
    match &scope {
        HistoryScope::Instance(key) => caller.require(Permission::Read, key.resource_type())?,
        HistoryScope::Type(name) => caller.require(Permission::Search, name)?,
        HistoryScope::System => caller.require_any(Permission::Search)?,
    }
    let asked = Asked::read(service, parameters)?;
    let projection = Projection::from_parameters(parameters)?;
    let pages = Pages::new(service, caller, &path, &asked.honoured);
    let after = asked.cursor.as_deref().map(|text| pages.position(text)).transpose()?;
    let limit = if projection.summary == Some(Summary::Count) { 0 } else { asked.count };
    let first = after.is_none();
    let query = HistoryQuery { scope, since: asked.since, at: asked.at, after, limit };
    let page = service.store.history(&caller.tenant, &caller.access, &query).await?;
    if page.versions.is_empty()
        && first
        && let HistoryScope::Instance(key) = &query.scope
        && service.store.read(&caller.tenant, &caller.access, key).await?.is_none()
    {
        return Err(read::unknown(key));
    }
    let mut links = vec![("self", pages.url(limit, asked.cursor.as_deref()))];
    if let Some(next) = page.next.as_ref().filter(|_| limit > 0) {
        links.push(("first", pages.url(limit, None)));
        links.push(("next", pages.url(limit, Some(&pages.sign(next)))));
    }
    let subset = projection.subset();
    let bytes = page.versions.iter().map(|version| version.body.len() + 384).sum();
    let mut out = PageWriter::open(service, subset.as_ref(), "history", page.total, &links, bytes);
    for version in &page.versions {
        out.version(version)?;
    }
    Ok(Outcome::resource(out.close()))
}

fn path(service: &Service, scope: &HistoryScope) -> Result<String, Failure> {
    Ok(match scope {
        HistoryScope::Instance(key) => {
            service.known_type(key.resource_type())?;
            format!("{}/_history", key.as_str())
        }
        HistoryScope::Type(resource_type) => {
            service.known_type(resource_type)?;
            format!("{resource_type}/_history")
        }
        HistoryScope::System => "_history".to_owned(),
    })
}

/// The parameters, understood.
struct Asked {
    since: Option<Timestamp>,
    at: Option<(Timestamp, Timestamp)>,
    count: usize,
    cursor: Option<String>,
    honoured: Vec<(String, String)>,
}

impl Asked {
    fn read(service: &Service, parameters: &[(String, String)]) -> Result<Asked, Failure> {
        let mut asked = Asked {
            since: None,
            at: None,
            count: service.limits.default_count,
            cursor: None,
            honoured: vec![],
        };
        let mut issues = Vec::new();
        for (name, value) in parameters {
            if let Err((code, details)) = asked.take(service, name, value) {
                let shown: String = name.chars().take(64).collect();
                issues.push(Issue::error(code, format!("{shown} {details}.")).at(format!("http.{shown}")));
            }
        }
        if issues.is_empty() { Ok(asked) } else { Err(Failure::of(Status::BadRequest, issues)) }
    }

    fn take(&mut self, service: &Service, name: &str, value: &str) -> Result<(), (IssueType, &'static str)> {
        let bad = |details| (IssueType::Value, details);
        let milliseconds =
            |(lo, hi): (i64, i64)| (Timestamp(lo.div_euclid(1000)), Timestamp(hi.div_euclid(1000)));
        match name {
            "_since" => {
                let span =
                    primitive::span(value).ok_or(bad("is not an instant (2026-11-22T02:10:33.123Z)"))?;
                self.since = Some(milliseconds(span).0);
            }
            "_at" => {
                let span = primitive::span(value)
                    .ok_or(bad("is not a date or a time (2026-11, 2026-11-22T02:10:33Z)"))?;
                self.at = Some(milliseconds(span));
            }
            "_count" => {
                let count: usize = value.parse().map_err(|_| bad("is not a whole number"))?;
                self.count = count.min(service.limits.max_count);
            }
            "_cursor" => {
                self.cursor = Some(value.to_owned());
                return Ok(());
            }
            "_summary" | "_elements" => {}
            _ => return Err((IssueType::NotSupported, "is not a parameter of history")),
        }
        self.honoured.push((name.to_owned(), value.to_owned()));
        Ok(())
    }
}
