//! Requests below the base: the interaction of the route, with its arguments.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::header::{self, HeaderMap};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use fhirpath::IssueType;
use interaction::{Caller, Failure, Outcome, PatchDocument, PatchFormat, Projection, ReadConditions};
use operations::Invocation;
use store::units::Ledger;
use store::{HistoryScope, Key};

use super::audited::Asked;
use super::body::Share;
use super::headers::{self, Prefer};
use super::negotiate::{self, BodyFormat, Format};
use super::parameters::Parameters;
use super::refusal::Refusal;
use super::respond;
use super::route::{self, Interaction, Shape, Target};
use super::{App, Exchange, Meter, bearer, browser, encoding, export, long, oauth, xml};
use crate::authorization::Holder;
use crate::tenants::Site;

/// Parameters that every interaction takes besides `_format` and `_pretty`.
const PROJECTION: &[&str] = &["_summary", "_elements"];

/// Below the base.
const SMART_CONFIGURATION: &str = "/.well-known/smart-configuration";

/// A request, taken apart.
struct Call<'r> {
    app: &'r App,
    site: &'r Arc<Site>,
    caller: &'r Caller,
    /// Whose token the request came with.
    holder: Option<&'r Holder>,
    target: Target<'r>,
    headers: &'r HeaderMap,
    parameters: Parameters,
    /// Path and query as they were sent.
    address: &'r str,
}

/// Answers a request below the base.
///
/// # Errors
/// Whatever is not served.
pub(super) async fn answer(
    app: &App,
    request: Request,
    exchange: &mut Exchange,
) -> Result<Response, Refusal> {
    if request.uri().path().ends_with(SMART_CONFIGURATION) {
        return Box::pin(smart_configuration(app, request, exchange)).await;
    }
    let (head, incoming) = request.into_parts();
    let format = Format::of_accept(head.headers.get(header::ACCEPT));
    exchange.format = *format.as_ref().unwrap_or(&Format::Json);
    if exchange.format == Format::Html || head.uri.query().is_some_and(|query| query.contains("_format")) {
        exchange.address = head.uri.to_string();
    }
    let parameters = Parameters::read(head.uri.query())?;
    exchange.pretty = parameters.pretty;
    let decoded = route::decode(head.uri.path()).ok_or_else(|| no_route("The path's encoding is broken."))?;
    let (tenant, below) = route::below_base(&decoded);
    exchange.format = match &parameters.format {
        _ if has_formats(below) => Format::Json,
        Some(text) => Format::of_parameter(text)?,
        None => format?,
    };
    let site = app.site(tenant, &head.headers)?;
    exchange.site = Some(Arc::clone(&site));
    let target =
        route::target(below).ok_or_else(|| no_route("No FHIR interaction has a path of this form."))?;
    exchange.template = target.shape.template();
    if head.method == Method::OPTIONS {
        return Ok(browser::options(&target.shape.allow()));
    }
    let interaction =
        route::interaction(target.shape, &head.method).ok_or_else(|| not_allowed(target.shape))?;
    exchange.interaction = Some(interaction);
    exchange.is_safe = interaction.is_safe(&head.method);
    if app.audit.is_some() {
        exchange.asked = Asked::of(&site, interaction, &target, &head);
    }
    let decided;
    let (caller, holder) = match &site.authority {
        Some(authority) if interaction != Interaction::Capabilities => {
            decided = bearer::caller(app, &site, authority, &head.headers).await?;
            if let Some(asked) = &mut exchange.asked {
                asked.holder = decided.holder().cloned();
                asked.emergency = decided.emergency();
            }
            if interaction == Interaction::Operation && crate::export::is_export(target.last) {
                bearer::held(&decided)?;
            }
            (&*decided, decided.holder().map(|holder| &**holder))
        }
        _ => (&site.caller, None),
    };
    let address = head.uri.path_and_query().map_or("", |address| address.as_str());
    let mut call =
        Call { app, site: &site, caller, holder, target, headers: &head.headers, parameters, address };
    if interaction == Interaction::Read && !app.is_metered {
        // The most frequent by far; it waits for nothing, so it needs no timer.
        return call.read(exchange).await;
    }
    if app.is_metered {
        return Box::pin(metered(call, interaction, &head.method, incoming, exchange)).await;
    }
    // Apart, so that the future of a read stays small.
    let others = Box::pin(call.run(interaction, &head.method, incoming, exchange));
    match tokio::time::timeout(app.request_timeout, others).await {
        Ok(response) => response,
        Err(_) => Err(timed_out(app)),
    }
}

/// What apps read first; it stands below the base, and is of the authorization server.
async fn smart_configuration(
    app: &App,
    request: Request,
    exchange: &mut Exchange,
) -> Result<Response, Refusal> {
    exchange.template = SMART_CONFIGURATION;
    let path = request.uri().path().to_owned();
    let (tenant, below) = route::below_base(&path);
    let site = app.site(tenant, request.headers())?;
    match &site.authority {
        Some(authority) if below == SMART_CONFIGURATION => {
            oauth::replied(app, authority, smart::Route::SmartConfiguration, request).await
        }
        _ => Err(no_route("Authorization is off on this server.")),
    }
}

/// Answers where requests cost request units: within the tenant's budget, and counted.
async fn metered(
    mut call: Call<'_>,
    interaction: Interaction,
    method: &Method,
    incoming: Body,
    exchange: &mut Exchange,
) -> Result<Response, Refusal> {
    let (app, site) = (call.app, call.site);
    let ledger = Ledger::new(false);
    exchange.meter = Some(Meter { ledger: ledger.clone(), site: Arc::clone(site), interaction });
    site.usage.admit(site.budget, (site.service.clock)()).map_err(Failure::from)?;
    let work = ledger.scope(call.run(interaction, method, incoming, exchange));
    tokio::time::timeout(app.request_timeout, work).await.unwrap_or_else(|_| Err(timed_out(app)))
}

fn no_route(details: &str) -> Refusal {
    let details = format!("{details} GET /fhir/metadata lists what this server does.");
    Refusal::new(StatusCode::NOT_FOUND, IssueType::NotFound, details)
}

fn not_allowed(shape: Shape) -> Refusal {
    let methods = shape.allow();
    let details = format!("{} takes {methods}.", shape.template());
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, IssueType::NotSupported, details).allow(methods)
}

fn timed_out(app: &App) -> Refusal {
    let details = format!(
        "The request was not finished within {} seconds (request_timeout_s). A change may have been made; look before repeating it.",
        app.request_timeout.as_secs()
    );
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, IssueType::Transient, details)
}

impl<'r> Call<'r> {
    /// Answers with the tenant's own search parameters, if it has any.
    async fn run(
        &mut self,
        interaction: Interaction,
        method: &Method,
        incoming: Body,
        exchange: &mut Exchange,
    ) -> Result<Response, Refusal> {
        if matches!(interaction, Interaction::Read | Interaction::Vread | Interaction::HistoryInstance) {
            // They ask by no parameter.
            return self.run_on_site(interaction, method, incoming, exchange).await;
        }
        let parameters = std::mem::take(&mut self.parameters);
        let site = self.site.with_own_parameters().await?;
        let Call { app, caller, holder, target, headers, address, .. } = *self;
        let mut call = Call { app, site: &site, caller, holder, target, headers, parameters, address };
        call.run_on_site(interaction, method, incoming, exchange).await
    }

    async fn run_on_site(
        &mut self,
        interaction: Interaction,
        method: &Method,
        incoming: Body,
        exchange: &mut Exchange,
    ) -> Result<Response, Refusal> {
        match interaction {
            Interaction::Read => self.read(exchange).await,
            Interaction::Vread => self.vread(exchange).await,
            Interaction::Create => self.create(incoming, exchange).await,
            Interaction::Update | Interaction::ConditionalUpdate => self.update(incoming, exchange).await,
            Interaction::Patch | Interaction::ConditionalPatch => self.patch(incoming, exchange).await,
            Interaction::Delete | Interaction::ConditionalDelete => self.delete(exchange).await,
            Interaction::DeleteHistory | Interaction::DeleteHistoryVersion => self.erase(exchange).await,
            Interaction::HistoryInstance | Interaction::HistoryType | Interaction::HistorySystem => {
                self.history(exchange).await
            }
            Interaction::SearchType | Interaction::SearchSystem | Interaction::SearchCompartment => {
                self.search(method, incoming, exchange).await
            }
            Interaction::Bundle => self.bundle(incoming, exchange).await,
            Interaction::Capabilities => self.capabilities(exchange),
            Interaction::Operation => self.operation(method, incoming, exchange).await,
        }
    }

    async fn read(&self, exchange: &Exchange) -> Result<Response, Refusal> {
        let projection = self.projection("a read")?;
        let conditions = self.read_conditions(exchange)?;
        let Target { resource_type, id, .. } = self.target;
        let outcome =
            interaction::read(&self.site.service, self.caller, resource_type, id, &conditions).await?;
        self.finish(exchange, outcome, projection.as_ref(), false)
    }

    async fn vread(&self, exchange: &Exchange) -> Result<Response, Refusal> {
        let projection = self.projection("a vread")?;
        let conditions = self.read_conditions(exchange)?;
        let Target { resource_type, id, last, .. } = self.target;
        let outcome =
            interaction::vread(&self.site.service, self.caller, resource_type, id, last, &conditions).await?;
        self.finish(exchange, outcome, projection.as_ref(), false)
    }

    async fn create(&self, incoming: Body, exchange: &Exchange) -> Result<Response, Refusal> {
        let projection = self.projection("a create")?;
        let if_none_exist = headers::if_none_exist(self.headers)?;
        let (body, _share) = self.resource(incoming).await?;
        let length = body.len();
        let prefer = Prefer::read(self.headers).returns.unwrap_or_default();
        let (service, caller) = (&self.site.service, self.caller);
        let kind = self.target.resource_type;
        let create = interaction::create(service, caller, kind, body, if_none_exist, prefer);
        let outcome = long::run(length > long::BODY, create).await.map_err(|failure| self.failed(failure))?;
        self.finish(exchange, outcome, projection.as_ref(), true)
    }

    async fn update(&mut self, incoming: Body, exchange: &Exchange) -> Result<Response, Refusal> {
        let conditions = headers::write_conditions(self.headers)?;
        let prefer = Prefer::read(self.headers).returns.unwrap_or_default();
        let (service, caller) = (&self.site.service, self.caller);
        let Target { resource_type, id, .. } = self.target;
        let projection = if id.is_empty() { self.criteria()? } else { self.projection("an update")? };
        let (body, _share) = self.resource(incoming).await?;
        let length = body.len();
        let criteria = &self.parameters.others;
        let update = async {
            if id.is_empty() {
                let kind = resource_type;
                interaction::conditional_update(service, caller, kind, criteria, body, &conditions, prefer)
                    .await
            } else {
                interaction::update(service, caller, resource_type, id, body, &conditions, prefer).await
            }
        };
        let outcome = long::run(length > long::BODY, update).await.map_err(|failure| self.failed(failure))?;
        self.finish(exchange, outcome, projection.as_ref(), true)
    }

    async fn patch(&mut self, incoming: Body, exchange: &Exchange) -> Result<Response, Refusal> {
        let conditions = headers::write_conditions(self.headers)?;
        let prefer = Prefer::read(self.headers).returns.unwrap_or_default();
        let (service, caller) = (&self.site.service, self.caller);
        let Target { resource_type, id, .. } = self.target;
        let projection = if id.is_empty() { self.criteria()? } else { self.projection("a patch")? };
        let format = negotiate::patch_format(self.headers.get(header::CONTENT_TYPE))?;
        let (body, _share) = match format {
            PatchFormat::FhirPathPatch => self.resource(incoming).await?,
            PatchFormat::JsonPatch => self.body(incoming).await?,
        };
        let document = PatchDocument { format, body };
        let criteria = &self.parameters.others;
        let patch = async {
            if id.is_empty() {
                let kind = resource_type;
                interaction::conditional_patch(service, caller, kind, criteria, document, &conditions, prefer)
                    .await
            } else {
                interaction::patch(service, caller, resource_type, id, document, &conditions, prefer).await
            }
        };
        // How large the resource is, and what the paths have to look at, is not known before.
        let outcome = long::run(true, patch).await.map_err(|failure| self.failed(failure))?;
        self.finish(exchange, outcome, projection.as_ref(), true)
    }

    async fn delete(&mut self, exchange: &Exchange) -> Result<Response, Refusal> {
        let conditions = headers::write_conditions(self.headers)?;
        let prefer = Prefer::read(self.headers).returns.unwrap_or_default();
        let (service, caller) = (&self.site.service, self.caller);
        let Target { resource_type, id, .. } = self.target;
        let projection = if id.is_empty() { self.criteria()? } else { self.projection("a delete")? };
        let outcome = if id.is_empty() {
            let criteria = &self.parameters.others;
            interaction::conditional_delete(service, caller, resource_type, criteria, &conditions, prefer)
                .await?
        } else {
            interaction::delete(service, caller, resource_type, id, &conditions, prefer).await?
        };
        self.finish(exchange, outcome, projection.as_ref(), false)
    }

    async fn erase(&self, exchange: &Exchange) -> Result<Response, Refusal> {
        self.parameters.only(&[], "a delete of history")?;
        let prefer = Prefer::read(self.headers).returns.unwrap_or_default();
        let (service, caller) = (&self.site.service, self.caller);
        let Target { resource_type, id, last, .. } = self.target;
        let outcome = match last {
            "" => interaction::delete_history(service, caller, resource_type, id, prefer).await?,
            version => {
                interaction::delete_history_version(service, caller, resource_type, id, version, prefer)
                    .await?
            }
        };
        self.finish(exchange, outcome, None, false)
    }

    async fn history(&self, exchange: &Exchange) -> Result<Response, Refusal> {
        let Target { shape, resource_type, id, .. } = self.target;
        let scope = match shape {
            Shape::InstanceHistory => HistoryScope::Instance(
                Key::parse(&format!("{resource_type}/{id}")).ok_or_else(|| not_an_id(resource_type))?,
            ),
            Shape::TypeHistory => HistoryScope::Type(resource_type.into()),
            _ => HistoryScope::System,
        };
        let (service, caller) = (&self.site.service, self.caller);
        let outcome = interaction::history(service, caller, scope, &self.parameters.others).await?;
        self.finish(exchange, outcome, None, false)
    }

    async fn search(
        &mut self,
        method: &Method,
        incoming: Body,
        exchange: &mut Exchange,
    ) -> Result<Response, Refusal> {
        if *method == Method::POST {
            // A search without parameters may come without a body, and then without a type for it.
            if !incoming.is_end_stream() {
                negotiate::check_form(self.headers.get(header::CONTENT_TYPE))?;
            }
            let (form, _share) = self.body(incoming).await?;
            if let Some(asked) = &mut exchange.asked {
                asked.form(&form);
            }
            self.parameters.add(&form)?;
            exchange.pretty = self.parameters.pretty;
            if let Some(text) = &self.parameters.format {
                exchange.format = Format::of_parameter(text)?;
            }
        }
        let Target { shape, resource_type, id, last } = self.target;
        let (kind, compartment) = match shape {
            Shape::Compartment | Shape::CompartmentSearch => {
                ((last != "*").then_some(last), Some((resource_type, id)))
            }
            Shape::System | Shape::SystemSearch => (None, None),
            _ => (Some(resource_type), None),
        };
        let handling = Prefer::read(self.headers).handling;
        let (service, caller) = (&self.site.service, self.caller);
        let outcome =
            interaction::search(service, caller, kind, compartment, &self.parameters.others, handling)
                .await?;
        self.finish(exchange, outcome, None, false)
    }

    async fn bundle(&self, incoming: Body, exchange: &Exchange) -> Result<Response, Refusal> {
        self.parameters.only(&[], "a batch or transaction")?;
        let (body, _share) = self.resource(incoming).await?;
        let length = body.len();
        let prefer = Prefer::read(self.headers).returns;
        let bundle = interaction::bundle(&self.site.service, self.caller, body, prefer);
        let outcome = long::run(length > long::BODY, bundle).await.map_err(|failure| self.failed(failure))?;
        self.finish(exchange, outcome, None, false)
    }

    fn capabilities(&self, exchange: &Exchange) -> Result<Response, Refusal> {
        self.parameters.only(&["_summary", "_elements", "mode"], "the CapabilityStatement")?;
        if let Some((_, mode)) =
            self.parameters.others.iter().find(|(name, value)| name == "mode" && value != "full")
        {
            let details = format!("Only mode=full is offered, not {mode}.");
            return Err(
                Refusal::new(StatusCode::BAD_REQUEST, IssueType::NotSupported, details).at("http.mode")
            );
        }
        let projection = Projection::from_parameters(&self.parameters.others)?;
        let outcome = Outcome {
            status: interaction::Status::Ok,
            body: interaction::OutcomeBody::Resource(self.site.capability_statement(self.app)),
            version: None,
            last_modified: None,
            location: None,
        };
        self.finish(exchange, outcome, Some(&projection), false)
    }

    async fn operation(
        &mut self,
        method: &Method,
        incoming: Body,
        exchange: &Exchange,
    ) -> Result<Response, Refusal> {
        let is_xml = self.target.last == "validate" && self.sends_xml() && !incoming.is_end_stream();
        let (body, _share) = match *method {
            Method::POST if is_xml => self.body(incoming).await.map(|(body, share)| (Some(body), share))?,
            Method::POST => self.operation_input(incoming).await.map(|(body, share)| (Some(body), share))?,
            _ => (None, Share::none()),
        };
        // On a type or the whole server an operation may look at everything there is, and some do so on a resource.
        let everything = matches!(self.target.last, "everything" | "purge");
        let is_long = everything
            || self.target.id.is_empty()
            || body.as_ref().is_some_and(|body| body.len() > long::BODY);
        if crate::export::is_export(self.target.last) {
            let asked = export::Asked {
                operation: self.target.last,
                target: (self.target.resource_type, self.target.id),
                parameters: std::mem::take(&mut self.parameters.others),
                body,
                address: self.address,
            };
            let who = export::Who { caller: self.caller, holder: self.holder };
            return long::run(true, export::kick_off(self.app, self.site, &who, self.headers, asked)).await;
        }
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let mut accept = None;
        if operations::has_formats(self.target.last) {
            let format = self.parameters.format.take().map(|format| ("_format".to_owned(), format));
            self.parameters.others.extend(format);
            accept =
                self.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).map(str::to_owned);
        }
        let invocation = Invocation {
            resource_type: some(self.target.resource_type),
            id: some(self.target.id),
            parameters: std::mem::take(&mut self.parameters.others),
            body,
            is_xml,
            accept,
        };
        let (service, caller) = (&self.site.service, self.caller);
        let operation = operations::invoke(service, caller, self.target.last, invocation);
        let outcome = long::run(is_long, operation).await.map_err(|failure| match is_xml {
            true => failure.into(),
            false => self.failed(failure),
        })?;
        self.finish(exchange, outcome, None, false)
    }

    /// An operation's body; none at all is a Parameters resource without parameters.
    async fn operation_input(&self, incoming: Body) -> Result<(Vec<u8>, Share<'r>), Refusal> {
        if incoming.is_end_stream() {
            return Ok((br#"{"resourceType":"Parameters"}"#.to_vec(), Share::none()));
        }
        // The one operation that takes a text of its own; in JSON it is a query like any other.
        if self.target.last == "graphql" && negotiate::is_graphql(self.headers.get(header::CONTENT_TYPE)) {
            let (body, share) = self.body(incoming).await?;
            let query = String::from_utf8(body).map_err(|_| {
                Refusal::new(StatusCode::BAD_REQUEST, IssueType::Invalid, "The query is not UTF-8.")
            })?;
            return Ok((serde_json::json!({ "query": query }).to_string().into_bytes(), share));
        }
        self.resource(incoming).await
    }

    fn finish(
        &self,
        exchange: &Exchange,
        outcome: Outcome,
        projection: Option<&Projection>,
        writes: bool,
    ) -> Result<Response, Refusal> {
        let outcome = match projection {
            Some(projection) if !projection.is_whole() => projection.apply(&self.site.service, outcome)?,
            _ => outcome,
        };
        Ok(respond::outcome(self.app, exchange, outcome, writes))
    }

    /// `_summary` and `_elements`, the only parameters that the interaction takes.
    fn projection(&self, what: &str) -> Result<Option<Projection>, Refusal> {
        if self.parameters.others.is_empty() {
            return Ok(None);
        }
        self.parameters.only(PROJECTION, what)?;
        Ok(Some(Projection::from_parameters(&self.parameters.others)?))
    }

    /// `_summary` and `_elements` taken out of the parameters, the others being criteria.
    fn criteria(&mut self) -> Result<Option<Projection>, Refusal> {
        let projection = Projection::from_parameters(&self.parameters.others)?;
        self.parameters.others.retain(|(name, _)| !PROJECTION.contains(&name.as_str()));
        Ok(Some(projection))
    }

    fn read_conditions(&self, exchange: &Exchange) -> Result<ReadConditions, Refusal> {
        if exchange.format == Format::Html {
            return Ok(ReadConditions::default());
        }
        headers::read_conditions(self.headers)
    }

    /// A resource's body, as JSON.
    async fn resource(&self, incoming: Body) -> Result<(Vec<u8>, Share<'r>), Refusal> {
        let format = negotiate::body_format(self.headers.get(header::CONTENT_TYPE))?;
        let (body, share) = self.body(incoming).await?;
        let body = match format {
            BodyFormat::Json => body,
            BodyFormat::Xml => {
                let service = &self.site.service;
                let is_long = body.len() > long::BODY;
                long::block(is_long, || {
                    xml::to_json(&service.definitions.schema, body, &service.limits.body)
                })?
            }
        };
        Ok((body, share))
    }

    fn sends_xml(&self) -> bool {
        negotiate::body_format(self.headers.get(header::CONTENT_TYPE)).ok() == Some(BodyFormat::Xml)
    }

    /// What is refused of a body that was made JSON, if it came as XML: the lines are not those that were sent.
    fn failed(&self, failure: Failure) -> Refusal {
        let mut refusal = Refusal::from(failure);
        if self.sends_xml() {
            refusal.issues.iter_mut().for_each(|issue| issue.position = None);
        }
        refusal
    }

    /// The body, up to the bound.
    async fn body(&self, incoming: Body) -> Result<(Vec<u8>, Share<'r>), Refusal> {
        let coding = encoding::sent(self.headers)?;
        let app = self.app;
        let (body, share) = app.bodies.collect(incoming, app.max_body_bytes).await?;
        match coding {
            None => Ok((body, share)),
            Some(coding) => app.bodies.decode(coding, body, share, app.max_body_bytes).await,
        }
    }
}

/// Whether a path is one of an operation that has formats of its own, whatever FHIR's are.
fn has_formats(below: &str) -> bool {
    below.trim_end_matches('/').rsplit_once("/$").is_some_and(|(_, name)| operations::has_formats(name))
}

fn not_an_id(resource_type: &str) -> Refusal {
    let details = format!("There is no {resource_type} of this id: an id has 1 to 64 of A-Z a-z 0-9 - and .");
    Refusal::new(StatusCode::NOT_FOUND, IssueType::NotFound, details)
}

impl Site {
    /// The same with the search parameters that the tenant stored; made again when these change.
    pub(super) async fn with_own_parameters(self: &Arc<Site>) -> Result<Arc<Site>, Failure> {
        let service = match self.service.with_own_parameters(&self.caller.tenant).await? {
            Cow::Borrowed(_) => return Ok(Arc::clone(self)),
            Cow::Owned(service) => service,
        };
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(site) = own.as_ref().filter(|site| Arc::ptr_eq(&site.service.index, &service.index)) {
            return Ok(Arc::clone(site));
        }
        let site = Arc::new(Site {
            service,
            caller: self.caller.clone(),
            authority: self.authority.clone(),
            budget: self.budget,
            usage: Arc::clone(&self.usage),
            path: self.path.clone(),
            capabilities: OnceLock::new(),
            own: Mutex::default(),
        });
        *own = Some(Arc::clone(&site));
        Ok(site)
    }

    /// The CapabilityStatement, made once.
    pub(super) fn capability_statement(&self, app: &App) -> Bytes {
        self.capabilities
            .get_or_init(|| {
                let mut operations = operations::descriptors(self.service.limits.erasure);
                operations.extend(crate::export::DESCRIPTORS);
                operations.push(crate::bulk_import::DESCRIPTOR);
                operations
                    .extend(app.exporter.published().is_any().then_some(crate::export::PUBLISH_DESCRIPTOR));
                let statement =
                    crate::export::declared(&interaction::capabilities(&self.service, &operations));
                match &self.authority {
                    Some(authority) => authority.secured(&statement),
                    None => statement,
                }
            })
            .clone()
    }
}
