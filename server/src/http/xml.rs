//! XML at the border (<https://hl7.org/fhir/R4/xml.html>): what comes in is made JSON before an interaction sees it, and an outcome
//! is made XML when it is sent. Nothing behind this module knows XML.

use std::sync::Arc;

use axum::http::StatusCode;
use bytes::Bytes;
use fhirpath::{Issue, IssueType, Limits, Schema, Tree};

use super::refusal::Refusal;

/// What the server itself has written, of any size and depth.
const OWN: Limits = Limits { bytes: usize::MAX, depth: usize::MAX, issues: 1 };

/// The JSON of a resource in XML.
///
/// # Errors
/// Every fault found, at its line and column: 413 where it is too long, 400 where it is no XML, 415 for another encoding,
/// 422 where it is no resource.
pub fn to_json(schema: &Arc<Schema>, body: Vec<u8>, limits: &Limits) -> Result<Vec<u8>, Refusal> {
    let tree = Tree::parse_xml(schema, body, limits).map_err(|issues| {
        let of = |code| issues.iter().any(|issue: &Issue| issue.code == code);
        let status = match () {
            () if of(IssueType::TooLong) || of(IssueType::TooCostly) => StatusCode::PAYLOAD_TOO_LARGE,
            () if of(IssueType::Invalid) => StatusCode::BAD_REQUEST,
            () if of(IssueType::NotSupported) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            () => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Refusal::of(status, issues)
    })?;
    let mut json = Vec::new();
    tree.write_json(&mut json);
    Ok(json)
}

/// The XML of a resource in JSON that the server has written.
///
/// # Errors
/// 406 for what XML cannot hold, with its place; 500 for what is no resource: that is the server's fault.
pub fn of_json(schema: &Arc<Schema>, json: &[u8], pretty: bool) -> Result<Bytes, Refusal> {
    let tree = Tree::parse_json(schema, json.to_vec(), &OWN).map_err(|issues| {
        let place = issues.iter().find_map(|issue| issue.expression.as_deref());
        tracing::error!(place, "what the server has written is no resource");
        Refusal::internal()
    })?;
    let mut xml = Vec::new();
    let written = if pretty { tree.write_xml_pretty(&mut xml) } else { tree.write_xml(&mut xml) };
    written.map_err(|issue| Refusal::of(StatusCode::NOT_ACCEPTABLE, vec![issue]))?;
    Ok(xml.into())
}
