//! patch (<https://hl7.org/fhir/R4/http.html#patch>), on a resource and on the one that criteria match: the operations are done
//! on the current version, and what comes out is stored as an update of that version, so that nothing that others wrote
//! meanwhile is lost. The narrative is what the operations leave of it.

use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fhirpath::{Issue, IssueType, Patch, Tree};
use store::{Filter, Key, Method, Permission, Version};

use crate::criteria::Criteria;
use crate::update::Target;
use crate::{
    Caller, Failure, Outcome, OutcomeBody, Return, Service, Status, WriteConditions, commit, read, update,
};

/// How a patch is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchFormat {
    /// JSON Patch (RFC 6902).
    JsonPatch,
    /// FHIRPath Patch (<https://hl7.org/fhir/R4/fhirpatch.html>): a Parameters resource.
    FhirPathPatch,
}

/// The formats of patches, by their media type; `CapabilityStatement.patchFormat`.
pub const PATCH_FORMATS: &[(&str, PatchFormat)] = &[
    ("application/json-patch+json", PatchFormat::JsonPatch),
    ("application/fhir+json", PatchFormat::FhirPathPatch),
    ("application/fhir+xml", PatchFormat::FhirPathPatch),
];

/// A patch as it was sent.
#[derive(Debug, Clone)]
pub struct PatchDocument {
    /// How it is written.
    pub format: PatchFormat,
    /// Its text.
    pub body: Vec<u8>,
}

impl PatchDocument {
    /// Reads it, for resources of a type.
    fn read(self, service: &Service, resource_type: &str) -> Result<Patch, Failure> {
        match self.format {
            PatchFormat::JsonPatch => Patch::json(&self.body),
            PatchFormat::FhirPathPatch => {
                Patch::fhirpath(commit::parse_any(service, self.body)?, resource_type)
            }
        }
        .map_err(|issues| refuse(Status::BadRequest, issues))
    }
}

/// Changes a resource by a patch. Content equal to the current version's makes no new version. When others change the resource
/// meanwhile, the operations are done on what they wrote, unless `If-Match` says otherwise.
///
/// # Errors
/// NotFound for an unknown type or id, Gone for a deleted resource, BadRequest for a patch that cannot be read, Unprocessable
/// for one that cannot be done here or would leave a resource that breaks the schema, PreconditionFailed when a condition does
/// not hold, PayloadTooLarge for a patch that takes too much.
pub async fn patch(
    service: &Service,
    caller: &Caller,
    resource_type: &str,
    id: &str,
    document: PatchDocument,
    conditions: &WriteConditions,
    prefer: Return,
) -> Result<Outcome, Failure> {
    let key = service.key(resource_type, id)?;
    let patch = document.read(service, resource_type)?;
    patch_key(service, caller, &key, &patch, conditions, prefer).await
}

/// The same, of a patch that is read.
pub(crate) async fn patch_key(
    service: &Service,
    caller: &Caller,
    key: &Key,
    patch: &Patch,
    conditions: &WriteConditions,
    prefer: Return,
) -> Result<Outcome, Failure> {
    for _ in 0..commit::ATTEMPTS {
        let target = target_at(service, caller, key).await?;
        if let Some(outcome) = store_at(service, caller, target, patch, conditions, prefer).await? {
            return Ok(outcome);
        }
    }
    Err(commit::contended())
}

/// Changes the one resource that the parameters match.
///
/// # Errors
/// Those of [`patch`]; NotFound when nothing matches, PreconditionFailed when several do, BadRequest without parameters.
pub async fn conditional_patch(
    service: &Service,
    caller: &Caller,
    resource_type: &str,
    parameters: &[(String, String)],
    document: PatchDocument,
    conditions: &WriteConditions,
    prefer: Return,
) -> Result<Outcome, Failure> {
    service.known_type(resource_type)?;
    let criteria = Criteria::new(service, resource_type, parameters)?;
    let patch = document.read(service, resource_type)?;
    patch_matched(service, caller, &criteria, &patch, conditions, prefer).await
}

/// The same, of criteria and a patch that are read.
pub(crate) async fn patch_matched(
    service: &Service,
    caller: &Caller,
    criteria: &Criteria,
    patch: &Patch,
    conditions: &WriteConditions,
    prefer: Return,
) -> Result<Outcome, Failure> {
    caller.require(Permission::Update, criteria.resource_type())?;
    for _ in 0..commit::ATTEMPTS {
        let target = target_of(criteria.find(service, caller).await?)?;
        if let Some(outcome) = store_at(service, caller, target, patch, conditions, prefer).await? {
            return Ok(outcome);
        }
    }
    Err(commit::contended())
}

async fn store_at(
    service: &Service,
    caller: &Caller,
    target: Target,
    patch: &Patch,
    conditions: &WriteConditions,
    prefer: Return,
) -> Result<Option<Outcome>, Failure> {
    target.check(conditions)?;
    let key = target.key.clone();
    let mut tree = patched(service, &target, patch)?;
    let stored = update::store_at(service, caller, &mut tree, target, prefer).await;
    match stored.map_err(Failure::without_positions)? {
        Some(outcome) => shown(service, caller, &key, prefer, outcome).await.map(Some),
        None => Ok(None),
    }
}

/// The answer for a caller who may change resources of a type, and perhaps read only others of them: what the operations left
/// is told where it may be read.
pub(crate) async fn shown(
    service: &Service,
    caller: &Caller,
    key: &Key,
    prefer: Return,
    outcome: Outcome,
) -> Result<Outcome, Failure> {
    let rule = |permission| caller.access.filter(permission, key.resource_type());
    let (read, update) = (rule(Permission::Read), rule(Permission::Update));
    if prefer != Return::Representation || *read == Filter::All || read == update {
        return Ok(outcome);
    }
    let found = service.store.read(&caller.tenant, &caller.access, key).await?;
    Ok(match found.map(|version| version.version) == outcome.version {
        true => outcome,
        false => Outcome { body: OutcomeBody::Empty, ..outcome },
    })
}

/// The resource of a key, which must be there.
pub(crate) async fn target_at(service: &Service, caller: &Caller, key: &Key) -> Result<Target, Failure> {
    let target = Target::at(service, caller, key.clone(), Permission::Update).await?;
    let target = Target { method: Method::Patch, ..target };
    match &target.current {
        None => Err(read::unknown(key)),
        Some(version) if version.is_deleted() => Err(read::gone(version)),
        Some(_) => Ok(target),
    }
}

/// The resource that criteria matched; there must be one.
pub(crate) fn target_of(found: Option<Version>) -> Result<Target, Failure> {
    let version = found.ok_or_else(|| {
        let details = "No resource matches the criteria, so there is nothing to patch.";
        Failure::new(Status::NotFound, IssueType::NotFound, details)
    })?;
    let key = version.key.clone();
    Ok(Target { key, current: Some(version), precondition: None, method: Method::Patch })
}

/// A resource of more bytes than this is patched while no other such is: the document that a JSON Patch works on takes ten
/// times as many.
const LARGE: usize = 1 << 20;
static TURN: Mutex<()> = Mutex::new(());

/// The current version of a target with the operations done.
pub(crate) fn patched(service: &Service, target: &Target, patch: &Patch) -> Result<Tree, Failure> {
    let version = target.alive().ok_or_else(|| read::unknown(&target.key))?;
    let _turn = (version.body.len() > LARGE).then(|| TURN.lock());
    let limits = fhirpath::tree::Limits::DEFAULT;
    let current = Tree::parse_json(&service.definitions.schema, version.body.to_vec(), &limits)
        .map_err(|_| Failure::internal(&"a stored resource cannot be read"))?;
    let tree = patch
        .apply(&current, &service.limits.body)
        .map_err(|issues| refuse(Status::Unprocessable, issues))?;
    if tree.id().as_deref() == Some(target.key.id()) {
        return Ok(tree);
    }
    let issue = Issue::error(IssueType::BusinessRule, "A patch cannot change the id of a resource.");
    Err(Failure::of(Status::Unprocessable, vec![issue.at(format!("{}.id", target.key.resource_type()))]))
}

/// A refusal, of what takes too much as such.
fn refuse(status: Status, issues: Vec<Issue>) -> Failure {
    let too_much = |issue: &Issue| matches!(issue.code, IssueType::TooCostly | IssueType::TooLong);
    let status = if issues.iter().any(too_much) { Status::PayloadTooLarge } else { status };
    Failure::of(status, issues)
}

/// Reads the patch that a Bundle's entry has as its resource (<https://hl7.org/fhir/R4/http.html#transaction>): Parameters with
/// a FHIRPath Patch, or a Binary with a JSON Patch.
///
/// # Errors
/// BadRequest for any other resource, and for a patch that cannot be read.
pub(crate) fn of_resource(resource: Tree, resource_type: &str) -> Result<Patch, Failure> {
    let refused = |issues| refuse(Status::BadRequest, issues);
    match resource.resource_type() {
        "Parameters" => Patch::fhirpath(resource, resource_type).map_err(refused),
        "Binary" => {
            let text = json_patch(&resource).map_err(|issue| refused(vec![issue]))?;
            Patch::json(&text)
                .map_err(|issues| refused(issues.into_iter().map(|issue| issue.at("Binary.data")).collect()))
        }
        other => {
            let details = format!(
                "A PATCH has Parameters with a FHIRPath Patch or a Binary with a JSON Patch, not a {other}."
            );
            Err(refused(vec![Issue::error(IssueType::Invalid, details).at(other)]))
        }
    }
}

/// The text of a JSON Patch in a Binary.
fn json_patch(binary: &Tree) -> Result<Vec<u8>, Issue> {
    let text = |name: &str| binary.root().get(name).and_then(|element| element.value());
    let content_type = text("contentType").unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let format = PATCH_FORMATS.iter().find(|(name, _)| name.eq_ignore_ascii_case(media_type));
    if format.map(|(_, format)| *format) != Some(PatchFormat::JsonPatch) {
        let details =
            "A Binary of a PATCH holds a JSON Patch: its contentType is application/json-patch+json.";
        return Err(Issue::error(IssueType::NotSupported, details).at("Binary.contentType"));
    }
    let data = text("data").unwrap_or_default();
    let data: Vec<u8> = data.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(data).map_err(|_| {
        Issue::error(IssueType::Value, "The data of the Binary is not base64.").at("Binary.data")
    })
}

/// The refusal of a patch in a Bundle's entry, told of the entry's resource. What a JSON Patch would make of the resource to be
/// patched has no place in the Binary, so it goes into the sentence.
pub(crate) fn in_entry(mut failure: Failure, patch: &Patch) -> Failure {
    if matches!(patch, Patch::FhirPath(_)) {
        return failure;
    }
    for issue in &mut failure.issues {
        // What is wrong with the request's conditions keeps its place.
        let place = issue.expression.take_if(|place| !place.starts_with("http."));
        if let Some(place) = place {
            issue.details = format!("{place}: {}", issue.details);
            issue.expression = Some("Binary.data".to_owned());
        }
    }
    failure
}
