//! `$closure` (<https://hl7.org/fhir/R4/conceptmap-operation-closure.html>): which codes of a client subsume which, told step by
//! step. The table of a name is kept as a Binary of the tenant, so that each server has it and a backup, too.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use conformance::terminology::{ClosureRequest, ClosureTable};
use fhirpath::{Issue, IssueType, Tree};
use interaction::{
    Caller, Failure, OperationDescriptor, Outcome, OutcomeBody, ReadConditions, Return, Service, Status,
    VersionMatch, WriteConditions,
};
use sha2::{Digest, Sha256};

use crate::{Invocation, Operation, Running, terminology};

pub(crate) const CLOSURE: Operation = Operation {
    descriptor: OperationDescriptor {
        name: "closure",
        definition: "http://hl7.org/fhir/OperationDefinition/ConceptMap-closure",
        resource_types: &["ConceptMap"],
        system: true,
        type_level: false,
        instance: false,
        affects_state: false,
    },
    handler: |service, caller, invocation| Box::pin(closure(service, caller, invocation)) as Running<'_>,
};

/// How often a table is looked at again when others changed it.
const ATTEMPTS: usize = 16;

async fn closure(service: &Service, caller: &Caller, invocation: Invocation) -> Result<Outcome, Failure> {
    if invocation.body.is_none() {
        // Its definition does not say so, but it keeps what it is told.
        let details = "The operation $closure changes a table; call it with POST.";
        return Err(Failure::new(Status::MethodNotAllowed, IssueType::NotSupported, details));
    }
    let parameters = terminology::parameters(service, &invocation)?;
    let request = ClosureRequest::read(parameters).map_err(terminology::refuse)?;
    let id = id(&request.name);
    for _ in 0..ATTEMPTS {
        let kept = kept(service, caller, &id).await?;
        let (table, since) = match (&kept, request.starts()) {
            (_, true) => (ClosureTable::new(&request.name), 0),
            (None, false) => return Err(unknown()),
            (Some((table, _)), false) => match request.version {
                Some(version) => return Ok(answer(service, table, version)),
                None => (grown(service, caller, table, &request).await?, table.version),
            },
        };
        if keep(service, caller, &id, &table, kept.map(|(_, version)| version)).await? {
            return Ok(answer(service, &table, since));
        }
    }
    let details = "Others kept changing the same table; nothing was changed. Try again.";
    Err(Failure::new(Status::Conflict, IssueType::Conflict, details))
}

/// The table with the codes of the request.
async fn grown(
    service: &Service,
    caller: &Caller,
    table: &ClosureTable,
    request: &ClosureRequest,
) -> Result<ClosureTable, Failure> {
    let close = service.ask(caller, |_, terminology| {
        let mut grown = table.clone();
        terminology.close(&mut grown, &request.concepts).map(|()| grown)
    });
    close.await?.map_err(terminology::refuse)
}

/// Any text may name a table.
fn id(name: &str) -> String {
    let digest = Sha256::digest(name.as_bytes());
    digest.iter().take(16).fold("closure-".to_owned(), |id, byte| format!("{id}{byte:02x}"))
}

/// The table that is kept, with the version of its Binary.
async fn kept(service: &Service, caller: &Caller, id: &str) -> Result<Option<(ClosureTable, u64)>, Failure> {
    let outcome = match interaction::read(service, caller, "Binary", id, &ReadConditions::default()).await {
        Ok(outcome) => outcome,
        Err(failure) if matches!(failure.status, Status::NotFound | Status::Gone) => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let (OutcomeBody::Resource(bytes), Some(version)) = (outcome.body, outcome.version) else {
        return Err(unreadable());
    };
    let limits = fhirpath::tree::Limits::DEFAULT;
    let binary =
        Tree::parse_json(&service.definitions.schema, bytes.to_vec(), &limits).map_err(|_| unreadable())?;
    let data = binary.root().get("data").and_then(|data| data.value()).unwrap_or_default();
    let table = STANDARD.decode(data.as_bytes()).map_err(|_| unreadable())?;
    let table = ClosureTable::from_json(&table).map_err(terminology::refuse)?;
    Ok(Some((table, version)))
}

/// Keeps the table, unless others changed it.
async fn keep(
    service: &Service,
    caller: &Caller,
    id: &str,
    table: &ClosureTable,
    follows: Option<u64>,
) -> Result<bool, Failure> {
    let data = STANDARD.encode(table.to_json());
    let body = format!(
        r#"{{"resourceType":"Binary","id":"{id}","contentType":"application/json","data":"{data}"}}"#
    );
    let conditions = match follows {
        Some(version) => WriteConditions {
            if_match: Some(VersionMatch::parse("If-Match", &format!("W/\"{version}\""))?),
            ..WriteConditions::default()
        },
        None => WriteConditions {
            if_none_match: Some(VersionMatch::parse("If-None-Match", "*")?),
            ..WriteConditions::default()
        },
    };
    let (body, prefer) = (body.into_bytes(), Return::Minimal);
    match interaction::update(service, caller, "Binary", id, body, &conditions, prefer).await {
        Ok(_) => Ok(true),
        Err(failure) if failure.status == Status::PreconditionFailed => Ok(false),
        Err(failure) => Err(failure),
    }
}

fn answer(service: &Service, table: &ClosureTable, since: u64) -> Outcome {
    let now = (service.clock)().to_string();
    Outcome::resource(table.since(since, &now))
}

fn unknown() -> Failure {
    let details = "There is no closure table of this name; call $closure with nothing but the name first.";
    Failure::of(Status::NotFound, vec![Issue::error(IssueType::NotFound, details).at("http.name")])
}

fn unreadable() -> Failure {
    Failure::new(Status::Internal, IssueType::Exception, "A stored closure table cannot be read.")
}
