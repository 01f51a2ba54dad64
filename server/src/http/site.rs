//! What is not FHIR: the root page and its search box, the page that evaluates FHIRPath, health and metrics, and the program's own commands.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{self, HeaderValue};
use axum::response::Response;
use fhirpath::IssueType;
use interaction::Failure;
use store::Access;

use super::metrics::TenantFigures;
use super::negotiate::Format;
use super::parameters::{self, Parameters};
use super::refusal::Refusal;
use super::respond;
use super::router::{Part, Place};
use super::{App, Exchange, admin};
use crate::authorization::AUTH_PATH;
use crate::demo::inferno as demo;
use crate::open::BASE_PATH;
use crate::page;
use crate::tenants::Site;

/// Answers a request outside the base.
///
/// # Errors
/// Whatever is not served.
pub(super) async fn answer(
    app: &App,
    part: Part,
    request: Request,
    exchange: &mut Exchange,
) -> Result<Response, Refusal> {
    exchange.format = format(&request);
    exchange.template = part.path();
    exchange.address = part.path().to_owned();
    match part {
        Part::Root | Part::Find | Part::Fhirpath | Part::Inferno | Part::ServiceBaseUrls => {
            let site = app.site(None, request.headers())?;
            exchange.site = Some(Arc::clone(&site));
            match part {
                Part::Root => root(app, &site).await,
                Part::Find => find(&site, request.uri().query()),
                Part::Inferno => Ok(inferno(app, &site)),
                Part::ServiceBaseUrls => service_base_urls(app, &site),
                _ => super::evaluate::answer(app, &site, request).await,
            }
        }
        Part::Healthz => Ok(respond::text(StatusCode::OK, "ok\n")),
        Part::Readyz => Ok(super::ready::answer(app).await),
        Part::Metrics => metrics(app).await,
        Part::Backup | Part::Lag | Part::Check | Part::Registry | Part::Audit | Part::Jobs => {
            admin::answer(app, part, request).await
        }
    }
}

/// A method that a path does not take, or a path that is not served.
pub(super) fn refuse(place: Place, request: &Request, exchange: &mut Exchange) -> Refusal {
    exchange.format = format(request);
    request.uri().path().clone_into(&mut exchange.address);
    if let Place::WrongMethod(part) = place {
        exchange.template = part.path();
        let details = format!("{} takes {}.", part.path(), part.methods());
        return Refusal::new(StatusCode::METHOD_NOT_ALLOWED, IssueType::NotSupported, details)
            .allow(part.methods().to_owned());
    }
    let details = format!("Nothing is served here; the FHIR API is below {BASE_PATH}.");
    Refusal::new(StatusCode::NOT_FOUND, IssueType::NotFound, details)
}

/// A page for browsers, JSON for the others, also when something else was asked for.
fn format(request: &Request) -> Format {
    match Format::of_accept(request.headers().get(header::ACCEPT)) {
        Ok(Format::Html) => Format::Html,
        _ => Format::Json,
    }
}

async fn root(app: &App, site: &Site) -> Result<Response, Refusal> {
    let Site { service, caller, path, .. } = site;
    let base = page::Base { url: &service.base, path };
    if site.authority.is_some() {
        // How many of what there are is nobody's business who has not said who they are.
        return Ok(respond::page(StatusCode::OK, page::closed(base, AUTH_PATH)));
    }
    let counts = service.store.counts(&caller.tenant, &caller.access).await.map_err(Failure::from)?;
    Ok(respond::page(StatusCode::OK, page::root(base, &counts, app.started.elapsed())))
}

/// The inputs of the tester's kit.
fn inferno(app: &App, site: &Site) -> Response {
    let base = page::Base { url: &site.service.base, path: &site.path };
    let inputs = demo::inputs(base.url, app.us_core, demo::SECRET_UNKNOWN);
    let preset = format!("{:#}", demo::preset(app.us_core, &inputs));
    respond::page(StatusCode::OK, page::inferno(base, &inputs, &preset))
}

/// The Bundle of who offers the API and where. Every page in a browser may read it, as an app's that looks for a patient's
/// provider does.
fn service_base_urls(app: &App, site: &Site) -> Result<Response, Refusal> {
    let Some(brand) = &app.brand else {
        let details = "No organization is configured; set organization_name.".to_owned();
        return Err(Refusal::new(StatusCode::NOT_FOUND, IssueType::NotFound, details));
    };
    let text = brand.bundle(&site.service.base).to_string();
    let mut response = respond::body(StatusCode::OK, Format::Json.content_type(), text.into());
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    Ok(response)
}

async fn metrics(app: &App) -> Result<Response, Refusal> {
    let store = &app.directory.service().store;
    let mut tenants = Vec::new();
    for (tenant, usage) in app.directory.tenants() {
        // What cannot be counted now is left out: the other figures tell why.
        let counts = store.counts(&tenant, &Access::unrestricted()).await.unwrap_or_else(|error| {
            tracing::warn!(%error, tenant = tenant.as_str(), "counting failed");
            Vec::new()
        });
        tenants.push(TenantFigures { tenant, usage, counts });
    }
    let audit = app.audit.as_ref().map(|audit| audit.log.counts());
    let text = app.metrics.render(&tenants, audit, app.limits.refused());
    let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    Ok(respond::body(StatusCode::OK, content_type, text.into()))
}

/// The search box: sends the browser to the resource or the search that was typed.
fn find(site: &Site, query: Option<&str>) -> Result<Response, Refusal> {
    let typed = Parameters::read(query)?;
    let value = |name: &str| {
        typed.others.iter().find(|(n, _)| n == name).map(|(_, value)| value.trim()).unwrap_or_default()
    };
    let address = destination(site, value("type"), value("q"))?;
    let mut response = respond::empty(StatusCode::SEE_OTHER);
    if let Ok(location) = HeaderValue::try_from(address) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

fn destination(site: &Site, resource_type: &str, typed: &str) -> Result<String, Refusal> {
    let known = |name: &str| site.service.definitions.schema.is_resource(name);
    if let Some((kind, id)) = typed.split_once('/')
        && known(kind)
        && store::Key::parse(typed).is_some()
    {
        return Ok(format!("{BASE_PATH}/{kind}/{id}"));
    }
    if !known(resource_type) {
        let details =
            format!("There is no resource type {}.", resource_type.chars().take(40).collect::<String>());
        return Err(Refusal::new(StatusCode::NOT_FOUND, IssueType::NotFound, details));
    }
    let mut address = format!("{BASE_PATH}/{resource_type}");
    if typed.is_empty() {
        return Ok(address);
    }
    if typed.contains('=') {
        let mut pairs = Parameters::read(Some(typed))?.others.into_iter();
        let mut separator = '?';
        for (name, value) in pairs.by_ref() {
            address.push(separator);
            parameters::encode(&name, &mut address);
            address.push('=');
            parameters::encode(&value, &mut address);
            separator = '&';
        }
        return Ok(address);
    }
    let by_name = site.service.definitions.search_parameters.get(resource_type, "name").is_some();
    address.push_str(if by_name { "?name=" } else { "?_id=" });
    parameters::encode(typed, &mut address);
    Ok(address)
}
