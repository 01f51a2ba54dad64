//! `$validate-code` of ValueSet (<https://hl7.org/fhir/R4/valueset-operation-validate-code.html>) and CodeSystem
//! (<https://hl7.org/fhir/R4/codesystem-operation-validate-code.html>).
//!
//! What cannot be told is answered with `result` false, a message that says so, and an issue of severity warning; it is
//! never answered with true.

use std::sync::Arc;

use fhirpath::issue::{Issue, IssueType, Severity};
use serde_json::{Value, json};

use super::code_system::{Concept, Content, Steps};
use super::expand::is_language;
use super::model::{self, Code};
use super::operation::{OperationError, ValueSetSource};
use super::parameters::{Answer, Parameters, coding_or_code};
use super::resolve::Versions;
use super::validate::{display_issue, shown};
use super::value_set::{Membership, ValueSet};
use super::{InvalidCode, NotChecked, Terminology};

type Result<T, E = OperationError> = std::result::Result<T, E>;

/// Codes to check, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct ValidateCodeRequest<S> {
    /// What they must be in.
    pub source: S,
    /// The codings of one concept: one of them must be right.
    pub codings: Vec<Code>,
    /// Whether headings will do; they will when it isn't said.
    pub allow_abstract: Option<bool>,
    /// The language of displays.
    pub display_language: Option<String>,
}

/// The code system that an operation works on.
#[derive(Debug, Clone, PartialEq)]
pub enum CodeSystemSource {
    /// By URL and version.
    Canonical(String, Option<String>),
    /// Handed in, or the instance that the operation is called on.
    Given(Box<model::CodeSystem>),
    /// Each coding's own.
    OfCoding,
}

/// What `$validate-code` answers.
#[derive(Debug, Clone, PartialEq)]
pub struct CodeValidation {
    /// Whether the code, and its display, are right.
    pub result: bool,
    /// What is wrong, for people.
    pub message: Option<String>,
    /// The display that the code has.
    pub display: Option<String>,
    /// The coding that was found right, or the first one.
    pub coding: Option<Code>,
    /// What is wrong, and what could not be checked.
    pub issues: Vec<Issue>,
}

/// What is found of one coding.
struct Finding {
    verdict: Verdict,
    display: Option<String>,
}

enum Verdict {
    Right,
    /// In it, with another display.
    Display(String),
    Wrong(String),
    NotChecked(NotChecked),
}

impl ValidateCodeRequest<ValueSetSource> {
    /// Of `ValueSet/$validate-code`; `instance` is the value set it is called on.
    ///
    /// # Errors
    /// A parameter that is missing, unknown, or not what it must be.
    pub fn read(mut parameters: Parameters, instance: Option<model::ValueSet>) -> Result<Self> {
        parameters.refuse(&["context", "date"])?;
        let source = ValueSetSource::read(&mut parameters, instance)?;
        read(parameters, source, "systemVersion")
    }
}

impl ValidateCodeRequest<CodeSystemSource> {
    /// Of `CodeSystem/$validate-code`; `instance` is the code system it is called on.
    ///
    /// # Errors
    /// A parameter that is missing, unknown, or not what it must be.
    pub fn read(mut parameters: Parameters, instance: Option<model::CodeSystem>) -> Result<Self> {
        parameters.refuse(&["date"])?;
        let given = parameters.resource("codeSystem", "CodeSystem")?.map(Box::new);
        let url = parameters.text("url")?;
        let source = match (instance.map(Box::new).or(given), url) {
            (Some(system), _) => CodeSystemSource::Given(system),
            (None, Some(url)) => CodeSystemSource::Canonical(url, parameters.text("version")?),
            (None, None) => CodeSystemSource::OfCoding,
        };
        read(parameters, source, "version")
    }
}

fn read<S>(mut parameters: Parameters, source: S, version: &str) -> Result<ValidateCodeRequest<S>> {
    let missing = || OperationError::Parameter {
        name: "code".to_owned(),
        why: "or coding or codeableConcept is needed".to_owned(),
    };
    let concept = parameters.codeable_concept("codeableConcept")?;
    let codings = match concept {
        Some(codings) => codings,
        None => coding_or_code(&mut parameters, "coding", "code", version)?
            .map(|code| vec![code])
            .ok_or_else(missing)?,
    };
    let request = ValidateCodeRequest {
        source,
        codings,
        allow_abstract: parameters.boolean("abstract")?,
        display_language: parameters.text("displayLanguage")?,
    };
    parameters.finish()?;
    Ok(request)
}

impl Terminology {
    /// Whether a value set has a code.
    ///
    /// # Errors
    /// The value set is not here, is broken or too large.
    pub fn validate_in_value_set(
        &self,
        request: &ValidateCodeRequest<ValueSetSource>,
    ) -> Result<CodeValidation> {
        let definition = match &request.source {
            ValueSetSource::Given(set) => (**set).clone(),
            ValueSetSource::Canonical(_) => model::ValueSet::default(),
        };
        let set = self.source_set(&request.source, &definition, &Versions::default())?;
        answer(request, |coding| in_value_set(&set, coding, request))
    }

    /// Whether a code system has a code.
    ///
    /// # Errors
    /// The code system is not here, is broken or too large.
    pub fn validate_in_code_system(
        &self,
        request: &ValidateCodeRequest<CodeSystemSource>,
    ) -> Result<CodeValidation> {
        let system: Option<Arc<dyn Content>> = match &request.source {
            CodeSystemSource::Canonical(url, version) => Some(self.system(url, version.as_deref())??),
            CodeSystemSource::Given(system) => Some(self.given_system(system)??),
            CodeSystemSource::OfCoding => None,
        };
        answer(request, |coding| match &system {
            Some(system) => in_system(&**system, coding, request),
            None => match coding.system.as_deref() {
                Some(url) => match self.system(url, coding.version.as_deref())? {
                    Ok(system) => in_system(&*system, coding, request),
                    Err(why) => Ok(Finding::of(Verdict::NotChecked(why))),
                },
                None => {
                    let code = coding.code.clone().unwrap_or_default();
                    Ok(Finding::of(Verdict::NotChecked(NotChecked::NoSystem { code })))
                }
            },
        })
    }
}

impl Finding {
    fn of(verdict: Verdict) -> Finding {
        Finding { verdict, display: None }
    }
}

fn in_value_set(
    set: &ValueSet,
    code: &Code,
    request: &ValidateCodeRequest<ValueSetSource>,
) -> Result<Finding> {
    let coding = code.as_coding();
    match set.membership(&coding, &mut Steps::of_question())? {
        Membership::In => {}
        Membership::Out => {
            let url = if set.url.is_empty() { "that was handed in".to_owned() } else { set.url.clone() };
            let why = InvalidCode::NotInValueSet { code: shown(&coding), value_set: url };
            return Ok(Finding::of(Verdict::Wrong(why.to_string())));
        }
        Membership::Unknown(why) => return Ok(Finding::of(Verdict::NotChecked(why))),
    }
    let listed = set.listed(&coding);
    match set.concept(&coding)? {
        Some(concept) => Ok(judge(code, &concept, listed, request)),
        // The value set lists a code of a system that is not here: what it displays will do.
        None => {
            Ok(Finding { verdict: Verdict::Right, display: listed.and_then(|listed| listed.display.clone()) })
        }
    }
}

fn in_system(
    system: &dyn Content,
    code: &Code,
    request: &ValidateCodeRequest<CodeSystemSource>,
) -> Result<Finding> {
    let description = system.description();
    if code.system.as_deref().is_some_and(|url| url != description.url) {
        let why =
            format!("the code {} is not of the code system {}", shown(&code.as_coding()), description.url);
        return Ok(Finding::of(Verdict::Wrong(why)));
    }
    let text = code.code.clone().unwrap_or_default();
    let url = || description.url.clone();
    Ok(match system.find(&text)? {
        Some(concept) => judge(code, &concept, None, request),
        None if description.is_complete => {
            Finding::of(Verdict::Wrong(InvalidCode::UnknownCode { code: text, system: url() }.to_string()))
        }
        None => Finding::of(Verdict::NotChecked(NotChecked::IncompleteSystem { url: url() })),
    })
}

/// Looks at the display of a code that is there, and whether it is a choice.
fn judge<S>(
    code: &Code,
    concept: &Concept,
    listed: Option<&model::ListedConcept>,
    request: &ValidateCodeRequest<S>,
) -> Finding {
    let translated = request.display_language.as_deref().and_then(|wanted| {
        let is_wanted = |it: &&model::Designation| {
            it.language.as_deref().is_some_and(|language| is_language(language, wanted))
        };
        concept.designations.iter().find(is_wanted).map(|it| it.value.clone())
    });
    let display = translated
        .or_else(|| listed.and_then(|listed| listed.display.clone()))
        .or_else(|| concept.display.as_deref().map(str::to_owned));
    let verdict = if request.allow_abstract == Some(false) && concept.is_abstract {
        Verdict::Wrong(format!("the code {} is abstract: a heading, not a choice", concept.code))
    } else {
        match display_issue(&code.as_coding(), concept, listed) {
            Some(issue) => Verdict::Display(issue.to_string()),
            None => Verdict::Right,
        }
    };
    Finding { verdict, display }
}

/// One right coding is enough; a wrong display, and what could not be checked, is told.
fn answer<S>(
    request: &ValidateCodeRequest<S>,
    mut find: impl FnMut(&Code) -> Result<Finding>,
) -> Result<CodeValidation> {
    let mut issues = Vec::new();
    let mut best: Option<(bool, Option<String>, &Code)> = None;
    for code in &request.codings {
        let finding = find(code)?;
        let issue = |severity, kind, details: String| Issue::error(kind, details).severity(severity);
        let result = match finding.verdict {
            Verdict::Right => true,
            Verdict::Display(why) => {
                issues.push(issue(Severity::Error, IssueType::Invalid, why));
                false
            }
            Verdict::Wrong(why) => {
                issues.push(issue(Severity::Error, IssueType::CodeInvalid, why));
                false
            }
            Verdict::NotChecked(why) => {
                let details = format!("{} could not be checked: {why}", shown(&code.as_coding()));
                issues.push(issue(Severity::Warning, IssueType::NotFound, details));
                false
            }
        };
        let is_better = best.as_ref().is_none_or(|(known, display, _)| {
            !known && (result || (display.is_none() && finding.display.is_some()))
        });
        if is_better {
            best = Some((result, finding.display, code));
        }
    }
    let (result, display, code) = best.map_or((false, None, None), |(a, b, c)| (a, b, Some(c.clone())));
    if request.codings.is_empty() {
        issues.push(Issue::error(IssueType::CodeInvalid, "the concept has no coding"));
    }
    if result {
        // Other codings of the concept may be from elsewhere.
        issues.iter_mut().for_each(|issue| issue.severity = Severity::Information);
    }
    let messages: Vec<&str> = issues.iter().map(|issue| issue.details.as_str()).collect();
    let message = (!result).then(|| messages.join("; "));
    Ok(CodeValidation { result, message, display, coding: code, issues })
}

impl CodeValidation {
    /// The Parameters resource: `result`, `message`, `display`, and as R5 has them `code`, `system`, `issues`.
    pub fn to_json(&self) -> Vec<u8> {
        let mut answer = Answer::default();
        answer.add("result", "valueBoolean", self.result);
        answer.add_text("message", "valueString", self.message.as_deref());
        answer.add_text("display", "valueString", self.display.as_deref());
        if let Some(code) = &self.coding {
            answer.add_text("code", "valueCode", code.code.as_deref());
            answer.add_text("system", "valueUri", code.system.as_deref());
        }
        if !self.issues.is_empty() {
            let issues: Vec<Value> = self.issues.iter().map(issue_json).collect();
            answer.add("issues", "resource", json!({ "resourceType": "OperationOutcome", "issue": issues }));
        }
        answer.into_json()
    }
}

fn issue_json(issue: &Issue) -> Value {
    json!({
        "severity": issue.severity.as_str(), "code": issue.code.as_str(), "details": { "text": issue.details },
    })
}
