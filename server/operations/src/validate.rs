//! `$validate` (<https://hl7.org/fhir/R4/resource-operation-validate.html>): what is wrong with a resource that is sent, or with
//! the one stored, as an OperationOutcome. Stores nothing. That something is wrong is an answer, not a refusal.

use fhirpath::{Element, Issue, IssueType, Severity, Tree};
use interaction::{
    Caller, Failure, OperationDescriptor, Outcome, OutcomeBody, ReadConditions, Service, Status, outcome_body,
};

use crate::{Invocation, Operation, Running};

pub(crate) const VALIDATE: Operation = Operation {
    descriptor: OperationDescriptor {
        name: "validate",
        definition: "http://hl7.org/fhir/OperationDefinition/Resource-validate",
        resource_types: &[],
        system: false,
        type_level: true,
        instance: true,
        affects_state: false,
    },
    handler: |service, caller, invocation| Box::pin(validate(service, caller, invocation)) as Running<'_>,
};

/// What the resource is validated for (<https://hl7.org/fhir/R4/valueset-resource-validation-mode.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Create,
    Update,
    Delete,
    Profile,
}

impl Mode {
    const ALL: [(&str, Mode); 4] = [
        ("create", Mode::Create),
        ("update", Mode::Update),
        ("delete", Mode::Delete),
        ("profile", Mode::Profile),
    ];
}

/// What the operation is asked.
#[derive(Default)]
struct Request {
    mode: Option<Mode>,
    profiles: Vec<String>,
    resource: Option<Sent>,
}

/// A resource, in the text that it was sent in: so that the lines that are told are those of the text.
struct Sent {
    text: Tree,
    /// The number of the parameter that holds it; without one it is the whole.
    parameter: Option<usize>,
}

impl Sent {
    fn whole(text: Tree) -> Sent {
        Sent { text, parameter: None }
    }

    fn resource(&self) -> Option<Element<'_>> {
        let root = self.text.root();
        match self.parameter {
            Some(number) => root.all("parameter").nth(number)?.get("resource"),
            None => Some(root),
        }
    }
}

async fn validate(service: &Service, caller: &Caller, invocation: Invocation) -> Result<Outcome, Failure> {
    let Some(resource_type) = invocation.resource_type.as_deref() else {
        return Err(refuse(IssueType::NotSupported, "$validate is called on a type or a resource.", "http"));
    };
    if !service.definitions.schema.is_resource(resource_type) {
        let shown: String = resource_type.chars().take(64).collect();
        let details = format!("{shown} is not a resource type of FHIR R4.");
        return Err(Failure::new(Status::NotFound, IssueType::NotSupported, details));
    }
    let mut request = Request::default();
    for (name, value) in &invocation.parameters {
        request.parameter(name, value, &format!("http.{}", shown(name)))?;
    }
    let body = invocation.body.as_ref().filter(|body| !body.is_empty());
    if let Some(Err(issues)) = body.map(|body| request.body(service, resource_type, body, invocation.is_xml))
    {
        return issues.map(|issues| answer(&issues));
    }
    let request = known_profiles(service, caller, request).await?;
    let id = invocation.id.as_deref();
    match (request.mode, id) {
        (Some(mode @ (Mode::Update | Mode::Delete | Mode::Profile)), None) => {
            let details = format!("The mode {} is about a stored resource: call it on one.", mode.name());
            return Err(refuse(IssueType::Invalid, &details, "http.mode"));
        }
        (Some(Mode::Create), Some(_)) => {
            let details = "The mode create is about a new resource: call it on the type.";
            return Err(refuse(IssueType::Invalid, details, "http.mode"));
        }
        (Some(Mode::Profile), Some(_)) if request.resource.is_some() || request.profiles.is_empty() => {
            let details =
                "The mode profile is about the stored resource and a profile: give profile, and no resource.";
            return Err(refuse(IssueType::Invalid, details, "http.mode"));
        }
        _ => {}
    }
    judge(service, caller, resource_type, id, request).await
}

async fn judge(
    service: &Service,
    caller: &Caller,
    resource_type: &str,
    id: Option<&str>,
    request: Request,
) -> Result<Outcome, Failure> {
    let sent = match (request.resource, id) {
        (Some(_), Some(id)) if request.mode == Some(Mode::Delete) => {
            Sent::whole(stored(service, caller, resource_type, id).await?)
        }
        (Some(sent), _) => sent,
        (None, Some(id)) => Sent::whole(stored(service, caller, resource_type, id).await?),
        (None, None) => {
            let details = "$validate on a type needs a resource.";
            return Err(refuse(IssueType::Required, details, "Parameters.parameter"));
        }
    };
    if request.mode == Some(Mode::Delete) {
        return Ok(answer(&[]));
    }
    let resource = sent.resource().ok_or_else(unreadable)?;
    let (own_type, place) = (resource.type_name(), resource.path());
    let mut found = Vec::new();
    if own_type != resource_type {
        let details =
            format!("The resource is of type {own_type}, but the operation was called on {resource_type}.");
        found.push(Issue::error(IssueType::Invalid, details).at(place.as_str()));
    }
    if let (Some(Mode::Update), Some(id)) = (request.mode, id)
        && resource.get("id").and_then(|own| own.value()).as_deref() != Some(id)
    {
        let details = "An update needs the id of the resource that it is to update.";
        found.push(Issue::error(IssueType::Value, details).at(format!("{place}.id")));
    }
    let profiles: Vec<&str> = request.profiles.iter().map(String::as_str).collect();
    let options = conformance::validation::Options { information: true, ..service.validation_options() };
    let judged =
        service.ask(caller, |validator, _| validator.validate(resource, &profiles, &options)).await?;
    found.extend(judged);
    for issue in &mut found {
        let inner =
            issue.expression.as_deref().and_then(|expression| expression.strip_prefix(place.as_str()));
        issue.expression = inner.map(|inner| format!("{own_type}{inner}")).or(issue.expression.take());
    }
    Ok(answer(&found))
}

impl Mode {
    fn name(self) -> &'static str {
        Mode::ALL.iter().find(|(_, mode)| *mode == self).map_or("", |(name, _)| name)
    }
}

impl Request {
    fn parameter(&mut self, name: &str, value: &str, place: &str) -> Result<(), Failure> {
        match name {
            "mode" if self.mode.is_some() => {
                Err(refuse(IssueType::Invalid, "The parameter mode may be there once.", place))
            }
            "mode" => {
                let found = Mode::ALL.iter().find(|(code, _)| *code == value);
                let (_, mode) = found.ok_or_else(|| {
                    let details = format!(
                        "There is no mode {}; there are create, update, delete and profile.",
                        shown(value)
                    );
                    refuse(IssueType::NotSupported, &details, place)
                })?;
                self.mode = Some(*mode);
                Ok(())
            }
            "profile" => {
                self.profiles.push(value.to_owned());
                Ok(())
            }
            _ => {
                let details = format!("The operation $validate has no parameter {}.", shown(name));
                Err(refuse(IssueType::NotSupported, &details, place))
            }
        }
    }

    /// Reads a body: Parameters, or the resource alone. The inner result is a resource that breaks the schema: an answer.
    fn body(
        &mut self,
        service: &Service,
        resource_type: &str,
        body: &[u8],
        is_xml: bool,
    ) -> Result<(), Result<Vec<Issue>, Failure>> {
        let parse = if is_xml { Tree::parse_xml } else { Tree::parse_json };
        let tree = parse(&service.definitions.schema, body.to_vec(), &service.limits.body);
        let tree =
            tree.map_err(|issues| match issues.iter().any(|issue| issue.code == IssueType::Invalid) {
                true => Err(Failure::of(Status::BadRequest, issues)),
                false => Ok(issues),
            })?;
        if tree.resource_type() != "Parameters" || (resource_type == "Parameters" && !is_call(&tree)) {
            self.resource = Some(Sent::whole(tree));
            return Ok(());
        }
        let mut resources = Vec::new();
        for (number, parameter) in tree.root().all("parameter").enumerate() {
            let place = format!("Parameters.parameter[{number}]");
            let name = parameter.get("name").and_then(|name| name.value()).unwrap_or_default();
            if name == "resource" {
                resources.push(number);
                if parameter.get("resource").is_none() || resources.len() > 1 {
                    let details = "The parameter resource holds one resource, once.";
                    return Err(Err(refuse(IssueType::Invalid, details, &place)));
                }
                continue;
            }
            let value = parameter.children().find(|child| child.name().starts_with("value"));
            let value = value.and_then(|value| value.value()).unwrap_or_default();
            self.parameter(&name, &value, &place).map_err(Err)?;
        }
        self.resource = resources.pop().map(|number| Sent { text: tree, parameter: Some(number) });
        Ok(())
    }
}

/// Whether Parameters are those of a call, where they could also be what is to be validated.
fn is_call(tree: &Tree) -> bool {
    let is_resource = |name: Option<std::borrow::Cow<'_, str>>| name.as_deref() == Some("resource");
    tree.root().all("parameter").any(|parameter| is_resource(parameter.get("name").and_then(|it| it.value())))
}

/// Refuses profiles that are not known, or broken, by name.
async fn known_profiles(service: &Service, caller: &Caller, request: Request) -> Result<Request, Failure> {
    for profile in &request.profiles {
        let known = service.ask(caller, |validator, _| validator.has_profile(profile)).await?;
        let refused = |code, details: String| Err(refuse(code, &details, "http.profile"));
        match known {
            Ok(true) => {}
            Ok(false) => {
                let profile: String = profile.chars().take(256).collect();
                return refused(IssueType::NotFound, format!("The profile {profile} is not known here."));
            }
            Err(error) => {
                return refused(IssueType::Structure, format!("The profile cannot be used: {error}."));
            }
        }
    }
    Ok(request)
}

async fn stored(service: &Service, caller: &Caller, resource_type: &str, id: &str) -> Result<Tree, Failure> {
    let outcome = interaction::read(service, caller, resource_type, id, &ReadConditions::default()).await?;
    let OutcomeBody::Resource(bytes) = outcome.body else { return Err(unreadable()) };
    Tree::parse_json(&service.definitions.schema, bytes.to_vec(), &fhirpath::tree::Limits::DEFAULT)
        .map_err(|_| unreadable())
}

fn unreadable() -> Failure {
    Failure::new(Status::Internal, IssueType::Exception, "A stored resource cannot be read.")
}

fn answer(issues: &[Issue]) -> Outcome {
    if !issues.is_empty() {
        return Outcome::resource(outcome_body(issues));
    }
    let nothing = Issue::error(IssueType::Informational, "Nothing is wrong.").severity(Severity::Information);
    Outcome::resource(outcome_body(&[nothing]))
}

fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

fn refuse(code: IssueType, details: &str, place: &str) -> Failure {
    Failure::of(Status::BadRequest, vec![Issue::error(code, details).at(place)])
}
