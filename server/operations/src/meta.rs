//! `$meta` (<https://hl7.org/fhir/R4/resource-operation-meta.html>): the profiles, tags and security labels of a resource, or
//! those in use on a type or the whole server. Reads every current resource for the latter two.

use std::collections::{BTreeSet, HashSet};

use fhirpath::tree::{Limits, write_string};
use fhirpath::{Element, Issue, IssueType, Tree};
use interaction::{
    Caller, Failure, OperationDescriptor, Outcome, OutcomeBody, ReadConditions, Service, Status,
};
use store::{Filter, Permission, Query};

use crate::{Invocation, Operation, Running};

pub(crate) const META: Operation = Operation {
    descriptor: OperationDescriptor {
        name: "meta",
        definition: "http://hl7.org/fhir/OperationDefinition/Resource-meta",
        resource_types: &[],
        system: true,
        type_level: true,
        instance: true,
        affects_state: false,
    },
    handler: start,
};

/// Resources read at once when all of a type are looked at.
const PAGE: usize = 500;

fn start<'a>(service: &'a Service, caller: &'a Caller, invocation: Invocation) -> Running<'a> {
    Box::pin(meta(service, caller, invocation))
}

async fn meta(service: &Service, caller: &Caller, invocation: Invocation) -> Result<Outcome, Failure> {
    without_parameters(service, &invocation)?;
    let mut value = Vec::new();
    match (&invocation.resource_type, &invocation.id) {
        (Some(resource_type), Some(id)) => {
            of_resource(service, caller, resource_type, id, &mut value).await?
        }
        (resource_type, _) => of_all(service, caller, resource_type.as_deref(), &mut value).await?,
    }
    if value == b"{}" {
        // FHIR has no empty objects: where nothing is in use, there is no parameter.
        return Ok(Outcome::resource(&br#"{"resourceType":"Parameters"}"#[..]));
    }
    Ok(answer(&value))
}

/// The Parameters of a meta's JSON.
pub(crate) fn answer(value: &[u8]) -> Outcome {
    let mut out = br#"{"resourceType":"Parameters","parameter":[{"name":"return","valueMeta":"#.to_vec();
    out.extend_from_slice(value);
    out.extend_from_slice(b"}]}");
    Outcome::resource(out)
}

/// The operation has no parameters of its own; what is given is refused by name.
fn without_parameters(service: &Service, invocation: &Invocation) -> Result<(), Failure> {
    let refuse = |name: &str, place: String| {
        let details = format!("The operation $meta has no parameter {name}.");
        let issue = Issue::error(IssueType::NotSupported, details).at(place);
        Err(Failure::of(Status::BadRequest, vec![issue]))
    };
    if let Some((name, _)) = invocation.parameters.first() {
        let name: String = name.chars().take(64).collect();
        return refuse(&name, format!("http.{name}"));
    }
    let Some(body) = invocation.body.as_ref().filter(|body| !body.is_empty()) else { return Ok(()) };
    let tree = Tree::parse_json(&service.definitions.schema, body.clone(), &service.limits.body)
        .map_err(|issues| Failure::of(Status::BadRequest, issues))?;
    if tree.resource_type() != "Parameters" {
        let details = format!("An operation takes a Parameters resource, not a {}.", tree.resource_type());
        return Err(Failure::new(Status::BadRequest, IssueType::Invalid, details));
    }
    let first = tree.root().get("parameter").and_then(|parameter| parameter.get("name")?.value());
    match first {
        Some(name) => {
            refuse(&name.chars().take(64).collect::<String>(), "Parameters.parameter[0]".to_owned())
        }
        None => Ok(()),
    }
}

async fn of_resource(
    service: &Service,
    caller: &Caller,
    resource_type: &str,
    id: &str,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let outcome = interaction::read(service, caller, resource_type, id, &ReadConditions::default()).await?;
    let OutcomeBody::Resource(bytes) = outcome.body else { return Err(unreadable()) };
    let tree = stored(service, bytes.to_vec())?;
    match tree.root().get("meta") {
        Some(meta) => meta.write_json(out),
        None => return Err(unreadable()),
    }
    Ok(())
}

async fn of_all(
    service: &Service,
    caller: &Caller,
    resource_type: Option<&str>,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    if let Some(name) = resource_type.filter(|name| !service.definitions.schema.is_resource(name)) {
        let name: String = name.chars().take(64).collect();
        let details = format!("{name} is not a resource type of FHIR R4.");
        return Err(Failure::new(Status::NotFound, IssueType::NotSupported, details));
    }
    if let Some(name) = resource_type {
        caller.require(Permission::Search, name)?;
    }
    let mut query = Query {
        resource_type: resource_type.map(Box::from),
        filter: Filter::All,
        sort: Vec::new(),
        after: None,
        limit: PAGE,
        total: false,
    };
    let mut in_use = InUse::default();
    loop {
        let page = service.store.search(&caller.tenant, &caller.access, &query).await?;
        for version in &page.matches {
            in_use.add(service, &version.body)?;
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    in_use.write(out);
    Ok(())
}

/// Profiles, security labels and tags, each once, as JSON.
#[derive(Default)]
struct InUse {
    /// Texts of `meta` after its lastUpdated that were looked at: most resources share theirs with many.
    seen: HashSet<Vec<u8>>,
    profiles: BTreeSet<Vec<u8>>,
    security: BTreeSet<Vec<u8>>,
    tags: BTreeSet<Vec<u8>>,
}

impl InUse {
    fn add(&mut self, service: &Service, body: &[u8]) -> Result<(), Failure> {
        let text = meta_labels(body).ok_or_else(unreadable)?;
        if self.seen.contains(text) {
            return Ok(());
        }
        self.seen.insert(text.to_vec());
        let tree = stored(service, body.to_vec())?;
        let Some(meta) = tree.root().get("meta") else { return Ok(()) };
        for (name, set) in
            [("profile", &mut self.profiles), ("security", &mut self.security), ("tag", &mut self.tags)]
        {
            set.extend(meta.all(name).map(json));
        }
        Ok(())
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        let mut first = true;
        for (name, set) in [("profile", &self.profiles), ("security", &self.security), ("tag", &self.tags)] {
            if set.is_empty() {
                continue;
            }
            if !std::mem::replace(&mut first, false) {
                out.push(b',');
            }
            write_string(out, name);
            out.extend_from_slice(b":[");
            for (number, value) in set.iter().enumerate() {
                if number > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(value);
            }
            out.push(b']');
        }
        out.push(b'}');
    }
}

fn json(element: Element<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    element.write_json(&mut text);
    text
}

/// What follows lastUpdated in the meta of a stored resource, up to the brace that closes meta.
fn meta_labels(body: &[u8]) -> Option<&[u8]> {
    let start = find(body, b"\"meta\":{")?;
    let meta = body.get(start..)?;
    let stamp = find(meta, b"\"lastUpdated\":\"")? + 15 + store::Write::STAMP_LENGTH + 1;
    let rest = meta.get(stamp..)?;
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, byte) in rest.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => depth += 1,
            b'}' if depth == 0 => return rest.get(..at),
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

fn stored(service: &Service, bytes: Vec<u8>) -> Result<Tree, Failure> {
    Tree::parse_json(&service.definitions.schema, bytes, &Limits::DEFAULT).map_err(|_| unreadable())
}

pub(crate) fn unreadable() -> Failure {
    Failure::new(Status::Internal, IssueType::Exception, "A stored resource cannot be read.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_a_stored_resource() {
        let check = |meta: &str, expected: Option<&str>| {
            let body = format!(r#"{{"resourceType":"Patient","id":"1","meta":{{{meta}}},"active":true}}"#);
            let found =
                meta_labels(body.as_bytes()).map(|text| std::str::from_utf8(text).unwrap().to_owned());
            assert_eq!(found.as_deref(), expected, "{meta}");
        };
        let time = r#""versionId":"1","lastUpdated":"2026-11-22T02:10:33.123Z""#;
        check(time, Some(""));
        check(
            &format!(r#"{time},"tag":[{{"display":"a}}]\"{{"}}]"#),
            Some(r#","tag":[{"display":"a}]\"{"}]"#),
        );
        check(r#""tag":[]"#, None);
    }
}
