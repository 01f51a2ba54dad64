//! Where versions come from: where that is switched on, a commit has, for each resource that it writes, a Provenance
//! (<https://hl7.org/fhir/R4/provenance.html>) after US Core's profile. Each is of one resource, so that it says nothing of others
//! to who may see that one. A Provenance that a client writes is its own affair, and gets none.

use fhirpath::Tree;
use serde_json::{Value, json};
use store::{Batch, Entries, Key, Method, Write};

use crate::time::instant;
use crate::{Agent, Caller, Failure, Service, commit};

const TYPE: &str = "Provenance";
const PROFILE: &str = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-provenance";
const ACTIVITY: &str = "http://terminology.hl7.org/CodeSystem/v3-DataOperation";
const PARTICIPANT: &str = "http://terminology.hl7.org/CodeSystem/provenance-participant-type";
const US_CORE_PARTICIPANT: &str =
    "http://hl7.org/fhir/us/core/CodeSystem/us-core-provenance-participant-type";

/// The batch with what is told of its writes, which stands at its end, and the keys of that.
///
/// # Errors
/// Internal, if a Provenance of the server's own cannot be read.
pub(crate) fn told(
    service: &Service,
    caller: &Caller,
    mut batch: Batch,
) -> Result<(Batch, Vec<Key>), Failure> {
    let Some(organization) = &service.provenance else { return Ok((batch, Vec::new())) };
    let agents = agents(&caller.agent, &service.base, organization);
    let recorded = instant((service.clock)());
    let (mut keys, mut more) = (Vec::new(), Vec::new());
    for write in batch.writes.iter().filter(|write| write.key().resource_type() != TYPE) {
        let (previous, activity) = match write {
            Write::Put { previous: 0, .. } => (0, "CREATE"),
            Write::Put { previous, .. } => (*previous, "UPDATE"),
            Write::Delete { previous, .. } => (*previous, "DELETE"),
        };
        let meta = match labels(write) {
            Some(labels) => json!({"profile": [PROFILE], "security": labels}),
            None => json!({"profile": [PROFILE]}),
        };
        let told = json!({
            "resourceType": TYPE,
            "meta": meta,
            "target": [{"reference": format!("{}/_history/{}", write.key().as_str(), previous + 1)}],
            "recorded": recorded,
            "activity": {"coding": [{"system": ACTIVITY, "code": activity}]},
            "agent": agents,
        });
        let key = Key::new(TYPE, &(service.new_id)());
        more.push(put(service, &key, &told)?);
        keys.push(key);
    }
    batch.writes.extend(more);
    Ok((batch, keys))
}

/// The security labels of what is written: what tells of a restricted resource is as restricted.
fn labels(write: &Write) -> Option<Value> {
    let Write::Put { body, .. } = write else { return None };
    let body: Value = serde_json::from_slice(body).ok()?;
    body.pointer("/meta/security").cloned()
}

fn put(service: &Service, key: &Key, told: &Value) -> Result<Write, Failure> {
    let body = told.to_string().into_bytes();
    let mut tree = Tree::parse_json(&service.definitions.schema, body, &service.limits.body)
        .map_err(|issues| Failure::internal(&format!("a Provenance of the server's own: {issues:?}")))?;
    tree.set_id(key.id());
    let (body, stamp) = commit::write(&mut tree, 1)?;
    let mut entries = Entries::new();
    service.index.tree_entries(&tree, &mut entries);
    Ok(Write::Put { key: key.clone(), previous: 0, method: Method::Post, body, stamp, entries })
}

/// The author is the user, or an app that acts for itself; the transmitter, the app that a user has.
fn agents(agent: &Agent, base: &str, organization: &str) -> Value {
    let kind = |system: &str, code: &str| json!({"coding": [{"system": system, "code": code}]});
    let app = agent.client.as_ref().map(|client| json!({"identifier": {"value": &**client}}));
    let user = agent.user.as_ref().map(|user| {
        let below = user.strip_prefix(base).and_then(|rest| rest.strip_prefix('/'));
        json!({"reference": below.unwrap_or(user)})
    });
    let (author, transmitter) = match (user, app) {
        (Some(user), app) => (user, app),
        (None, Some(app)) => (app, None),
        (None, None) => (json!({"display": "unknown"}), None),
    };
    let behalf = json!({"display": organization});
    let author = json!({"type": kind(PARTICIPANT, "author"), "who": author, "onBehalfOf": behalf});
    let transmitter = transmitter.map(
        |who| json!({"type": kind(US_CORE_PARTICIPANT, "transmitter"), "who": who, "onBehalfOf": behalf}),
    );
    Value::Array([author].into_iter().chain(transmitter).collect())
}
