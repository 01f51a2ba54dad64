//! The page that evaluates FHIRPath over a resource that the user pastes, or one that is stored. Changes nothing.

use std::cell::RefCell;
use std::sync::Arc;

use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use fhirpath::expression::{Item, Trace};
use fhirpath::{Issue, Limits, Tree};
use interaction::{OutcomeBody, ReadConditions};

use super::parameters::Parameters;
use super::refusal::Refusal;
use super::{App, long, respond};
use crate::evaluate;
use crate::page::{self, Evaluated, Form};
use crate::tenants::Site;

/// Longest form, bytes.
const MAX_FORM: usize = 8 << 20;
/// Longest expression, bytes.
const MAX_EXPRESSION: usize = 64 << 10;
/// Most items and traces that are shown.
const MAX_SHOWN: usize = 1_000;
/// What the form holds when it is first seen.
const EXAMPLE: &str = "name.where(use = 'official').given";

/// Answers with the page. What is wrong with the expression or the resource stands in it.
///
/// # Errors
/// A form that cannot be read; a stored resource that is not there.
pub(super) async fn answer(app: &App, site: &Site, request: Request) -> Result<Response, Refusal> {
    let mut typed = Parameters::read(request.uri().query())?;
    if request.method() == Method::POST {
        let (body, _share) = app.bodies.collect(request.into_body(), MAX_FORM).await?;
        typed.add(&body)?;
    }
    typed.only(&["expression", "reference", "resource"], "this page")?;
    let mut form = Form::default();
    for (name, value) in typed.others {
        match name.as_str() {
            "expression" => form.expression = value,
            "reference" => value.trim().clone_into(&mut form.reference),
            _ => form.resource = value,
        }
    }
    let is_first = form.expression.is_empty();
    if is_first {
        EXAMPLE.clone_into(&mut form.expression);
    }
    let evaluated = match is_first && form.resource.is_empty() && form.reference.is_empty() {
        true => Evaluated::Nothing,
        false => evaluate(site, &form).await?,
    };
    let status = match evaluated {
        Evaluated::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Evaluated::Nothing | Evaluated::Items { .. } => StatusCode::OK,
    };
    let base = page::Base { url: &site.service.base, path: &site.path };
    Ok(respond::page(status, page::fhirpath(base, &form, &evaluated)))
}

async fn evaluate(site: &Site, form: &Form) -> Result<Evaluated, Refusal> {
    if form.expression.len() > MAX_EXPRESSION {
        return Ok(Evaluated::Refused(format!("The expression has more than {MAX_EXPRESSION} bytes.")));
    }
    let bytes = match form.resource.trim() {
        "" => stored(site, &form.reference).await?,
        pasted => Some(pasted.as_bytes().to_vec()),
    };
    let Some(bytes) = bytes else {
        return Ok(Evaluated::Refused("Paste a resource, or name a stored one as Type/id.".to_owned()));
    };
    let Site { service, caller, .. } = site;
    let tree = match Tree::parse_json(&service.definitions.schema, bytes, &Limits::DEFAULT) {
        Ok(tree) => Arc::new(tree),
        Err(issues) => return Ok(Evaluated::Refused(evaluate::lines(&issues))),
    };
    let question = service.ask(caller, |_, terminology| {
        let told = Told::default();
        let shown = |items: &[Item<'_>]| items.iter().take(MAX_SHOWN).map(Item::pair).collect();
        match evaluate::with_items(&tree, &form.expression, terminology, &told, shown) {
            Ok(items) => Evaluated::Items { items, traces: told.0.into_inner() },
            Err(why) => Evaluated::Refused(why),
        }
    });
    Ok(long::run(true, question).await?)
}

/// The bytes of a stored resource; `None` where none is named.
async fn stored(site: &Site, reference: &str) -> Result<Option<Vec<u8>>, Refusal> {
    if reference.is_empty() {
        return Ok(None);
    }
    if site.authority.is_some() {
        let details = "This page reads no stored resource where requests need a token; paste one.";
        let refusal = Refusal::new(StatusCode::FORBIDDEN, fhirpath::IssueType::Forbidden, details);
        return Err(refusal.at("http.reference"));
    }
    let Some((kind, id)) = reference.split_once('/') else {
        let issue = Issue::error(fhirpath::IssueType::Value, "A stored resource is named as Type/id.");
        return Err(Refusal::bad_request(vec![issue.at("http.reference")]));
    };
    let none = ReadConditions::default();
    let found = interaction::read(&site.service, &site.caller, kind, id, &none).await?;
    match found.body {
        OutcomeBody::Resource(bytes) => Ok(Some(bytes.to_vec())),
        _ => Err(Refusal::internal()),
    }
}

/// Keeps what `trace()` says.
#[derive(Default)]
struct Told(RefCell<Vec<(String, String, String)>>);

impl Trace for Told {
    fn trace(&self, name: &str, items: &[Item<'_>]) {
        let mut told = self.0.borrow_mut();
        for item in items {
            if told.len() < MAX_SHOWN {
                let (kind, value) = item.pair();
                told.push((name.to_owned(), kind, value));
            }
        }
    }
}
