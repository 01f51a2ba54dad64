//! `$meta-add` (<https://hl7.org/fhir/R4/resource-operation-meta-add.html>) and `$meta-delete`
//! (<https://hl7.org/fhir/R4/resource-operation-meta-delete.html>): profiles, security labels and tags put on a resource and taken
//! from it. What changes makes a new version, and is validated as any other is: versions never change.

use std::borrow::Cow;

use fhirpath::tree::{Limits, write_string};
use fhirpath::{Element, IssueType, Tree};
use interaction::{
    Caller, Failure, OperationDescriptor, Outcome, OutcomeBody, PatchDocument, PatchFormat, ReadConditions,
    Return, Service, Status, VersionMatch, WriteConditions,
};

use crate::parameters::{refuse, resource};
use crate::{Invocation, Operation, Running, meta};

pub(crate) const META_ADD: Operation = operation(
    "meta-add",
    "http://hl7.org/fhir/OperationDefinition/Resource-meta-add",
    |service, caller, invocation| Box::pin(change(service, caller, invocation, Change::Add)) as Running<'_>,
);
pub(crate) const META_DELETE: Operation = operation(
    "meta-delete",
    "http://hl7.org/fhir/OperationDefinition/Resource-meta-delete",
    |service, caller, invocation| {
        Box::pin(change(service, caller, invocation, Change::Delete)) as Running<'_>
    },
);

const fn operation(
    name: &'static str,
    definition: &'static str,
    handler: for<'a> fn(&'a Service, &'a Caller, Invocation) -> Running<'a>,
) -> Operation {
    let descriptor = OperationDescriptor {
        name,
        definition,
        resource_types: &[],
        system: false,
        type_level: false,
        instance: true,
        // They do, but their definitions do not say so.
        affects_state: false,
    };
    Operation { descriptor, handler }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Add,
    Delete,
}

impl Change {
    fn name(self) -> &'static str {
        match self {
            Change::Add => "meta-add",
            Change::Delete => "meta-delete",
        }
    }
}

/// The lists of a meta that are changed.
const LISTS: [&str; 3] = ["profile", "security", "tag"];
/// How often a resource is looked at again when others changed it.
const ATTEMPTS: usize = 16;

async fn change(
    service: &Service,
    caller: &Caller,
    invocation: Invocation,
    change: Change,
) -> Result<Outcome, Failure> {
    if invocation.body.is_none() {
        let details = format!("The operation ${} changes resources; call it with POST.", change.name());
        return Err(Failure::new(Status::MethodNotAllowed, IssueType::NotSupported, details));
    }
    let (Some(resource_type), Some(id)) = (&invocation.resource_type, &invocation.id) else {
        return Err(Failure::new(Status::NotFound, IssueType::NotSupported, "This is called on a resource."));
    };
    let given = given(service, &invocation)?;
    for _ in 0..ATTEMPTS {
        let found = interaction::read(service, caller, resource_type, id, &ReadConditions::default()).await?;
        let (OutcomeBody::Resource(bytes), Some(version)) = (&found.body, found.version) else {
            return Err(meta::unreadable());
        };
        let current = Tree::parse_json(&service.definitions.schema, bytes.to_vec(), &Limits::DEFAULT)
            .map_err(|_| meta::unreadable())?;
        let Some(body) = patch(&current, &given, change) else { return answer(&current) };
        let document = PatchDocument { format: PatchFormat::JsonPatch, body };
        let conditions =
            WriteConditions { if_match: Some(VersionMatch::Versions(vec![version])), if_none_match: None };
        let patch = interaction::patch(
            service,
            caller,
            resource_type,
            id,
            document,
            &conditions,
            Return::Representation,
        );
        match patch.await {
            Ok(Outcome { body: OutcomeBody::Resource(bytes), .. }) => {
                let changed = Tree::parse_json(&service.definitions.schema, bytes.to_vec(), &Limits::DEFAULT);
                return answer(&changed.map_err(|_| meta::unreadable())?);
            }
            // It is done, and may not be read any more.
            Ok(_) => return Ok(Outcome::resource(&br#"{"resourceType":"Parameters"}"#[..])),
            Err(failure) if failure.status == Status::PreconditionFailed => {}
            Err(failure) => return Err(failure),
        }
    }
    let details = "Others kept changing the same resource; nothing was changed. Try again.";
    Err(Failure::new(Status::Conflict, IssueType::Conflict, details))
}

/// The Parameters resource with the one parameter, a Meta.
fn given(service: &Service, invocation: &Invocation) -> Result<Tree, Failure> {
    let missing = || {
        let details = "Give a Parameters resource with the parameter meta, a Meta (valueMeta).".to_owned();
        refuse(IssueType::Required, details, "Parameters.parameter".to_owned())
    };
    let tree = resource(service, invocation)?.ok_or_else(missing)?;
    for (number, parameter) in tree.root().all("parameter").enumerate() {
        let is_meta = parameter.get("value").is_some_and(|value| value.type_name() == "Meta");
        let name = parameter.get("name").and_then(|name| name.value()).unwrap_or_default();
        if number > 0 || name != "meta" || !is_meta {
            let details = "The operation has one parameter, meta, a Meta (valueMeta).".to_owned();
            return Err(refuse(IssueType::NotSupported, details, format!("Parameters.parameter[{number}]")));
        }
    }
    Ok(tree)
}

fn meta_of(given: &Tree) -> Option<Element<'_>> {
    given.root().get("parameter")?.get("value")
}

/// The JSON Patch that makes the change; `None` when nothing changes.
fn patch(current: &Tree, given: &Tree, change: Change) -> Option<Vec<u8>> {
    let mut steps = Vec::new();
    for list in LISTS {
        let (had, given) = (all(current.root().get("meta"), list), all(meta_of(given), list));
        let same = |one: &Element<'_>, other: &Element<'_>| label(*one) == label(*other);
        let mut has: Vec<Element<'_>> = had.clone();
        match change {
            Change::Add => {
                for label in given {
                    if !has.iter().any(|other| same(&label, other)) {
                        has.push(label);
                    }
                }
            }
            Change::Delete => has.retain(|label| !given.iter().any(|other| same(label, other))),
        }
        if has.len() != had.len() {
            steps.push(step(list, &has));
        }
    }
    (!steps.is_empty()).then(|| format!("[{}]", steps.join(",")).into_bytes())
}

fn all<'t>(meta: Option<Element<'t>>, list: &str) -> Vec<Element<'t>> {
    meta.into_iter().flat_map(|meta| meta.all(list)).collect()
}

/// What makes two labels the same: a profile's URL, or a coding's system and code.
fn label(element: Element<'_>) -> [Option<Cow<'_, str>>; 3] {
    let text = |name: &str| element.get(name).and_then(Element::value);
    [element.value(), text("system"), text("code")]
}

/// Sets a list of the meta, or takes it away.
fn step(list: &str, labels: &[Element<'_>]) -> String {
    if labels.is_empty() {
        return format!(r#"{{"op":"remove","path":"/meta/{list}"}}"#);
    }
    let mut out = Vec::new();
    for (number, label) in labels.iter().enumerate() {
        if number > 0 {
            out.push(b',');
        }
        match label.value() {
            Some(text) => write_string(&mut out, &text),
            None => label.write_json(&mut out),
        }
    }
    let values = String::from_utf8_lossy(&out);
    format!(r#"{{"op":"add","path":"/meta/{list}","value":[{values}]}}"#)
}

fn answer(resource: &Tree) -> Result<Outcome, Failure> {
    let mut value = Vec::new();
    resource.root().get("meta").ok_or_else(meta::unreadable)?.write_json(&mut value);
    Ok(meta::answer(&value))
}
