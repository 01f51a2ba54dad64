//! `$subsumes` (<https://hl7.org/fhir/R4/codesystem-operation-subsumes.html>): how two codes of a code system relate.

use std::sync::Arc;

use super::code_system::{Content, Steps};
use super::operation::OperationError;
use super::parameters::{Answer, Parameters};
use super::{Terminology, model};

type Result<T, E = OperationError> = std::result::Result<T, E>;

/// Two codes to compare.
#[derive(Debug, Clone, PartialEq)]
pub struct SubsumesRequest {
    /// URL of the code system; that of the instance when the operation is called on one.
    pub system: String,
    /// Its version.
    pub version: Option<String>,
    /// The code system, when the operation is called on one.
    pub instance: Option<Box<model::CodeSystem>>,
    /// The one.
    pub code_a: String,
    /// The other.
    pub code_b: String,
}

/// How code A relates to code B (<https://hl7.org/fhir/R4/valueset-concept-subsumption-outcome.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subsumption {
    /// They are the same.
    Equivalent,
    /// A is above B.
    Subsumes,
    /// A is below B.
    SubsumedBy,
    /// Neither.
    NotSubsumed,
}

impl SubsumesRequest {
    /// Of the operation's parameters.
    ///
    /// # Errors
    /// A parameter that is missing, unknown, or not what it must be.
    pub fn read(mut parameters: Parameters, instance: Option<model::CodeSystem>) -> Result<SubsumesRequest> {
        let wrong =
            |name: &str, why: &str| OperationError::Parameter { name: name.to_owned(), why: why.to_owned() };
        let (codings, codes) = (
            (parameters.coding("codingA")?, parameters.coding("codingB")?),
            (parameters.text("codeA")?, parameters.text("codeB")?),
        );
        let stated = (parameters.text("system")?, parameters.text("version")?);
        parameters.finish()?;
        let of_instance = instance.as_ref().map(|system| system.url.clone());
        let (code_a, code_b, system, version) = match (codings, codes) {
            ((Some(a), Some(b)), (None, None)) => {
                let (system_a, system_b) = (a.system.or(of_instance.clone()), b.system.or(of_instance));
                if system_a != system_b {
                    return Err(wrong("codingB", "is of another code system than codingA"));
                }
                (a.code, b.code, system_a, a.version.or(stated.1))
            }
            ((None, None), (a, b)) => (a, b, of_instance.or(stated.0), stated.1),
            _ => return Err(wrong("codeA", "and codeB are needed, or codingA and codingB")),
        };
        Ok(SubsumesRequest {
            system: system.ok_or_else(|| wrong("system", "is needed"))?,
            version,
            instance: instance.map(Box::new),
            code_a: code_a.ok_or_else(|| wrong("codeA", "is needed"))?,
            code_b: code_b.ok_or_else(|| wrong("codeB", "is needed"))?,
        })
    }
}

impl Terminology {
    /// How two codes of a code system relate.
    ///
    /// # Errors
    /// The code system is not here, does not have one of the codes, or its hierarchy says nothing of meaning.
    pub fn subsumption(&self, request: &SubsumesRequest) -> Result<Subsumption> {
        let system: Arc<dyn Content> = match &request.instance {
            Some(system) => self.given_system(system)??,
            None => self.system(&request.system, request.version.as_deref())??,
        };
        compare(&*system, &request.code_a, &request.code_b)
    }
}

/// How two codes of a code system relate.
pub(super) fn compare(system: &dyn Content, a: &str, b: &str) -> Result<Subsumption> {
    let description = system.description();
    let find = |code: &str| -> Result<_> {
        let unknown =
            || OperationError::UnknownCode { code: code.to_owned(), system: description.url.clone() };
        system.find(code)?.ok_or_else(unknown)
    };
    let (a, b) = (find(a)?, find(b)?);
    let mut steps = Steps::of_question();
    Ok(if a.code == b.code {
        Subsumption::Equivalent
    } else if !description.is_a {
        Subsumption::NotSubsumed
    } else if system.is_below(&b, &a.code, &mut steps)? {
        Subsumption::Subsumes
    } else if system.is_below(&a, &b.code, &mut steps)? {
        Subsumption::SubsumedBy
    } else {
        Subsumption::NotSubsumed
    })
}

impl Subsumption {
    /// The code as FHIR writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Subsumption::Equivalent => "equivalent",
            Subsumption::Subsumes => "subsumes",
            Subsumption::SubsumedBy => "subsumed-by",
            Subsumption::NotSubsumed => "not-subsumed",
        }
    }

    /// The Parameters resource.
    pub fn to_json(self) -> Vec<u8> {
        let mut answer = Answer::default();
        answer.add("outcome", "valueCode", self.as_str());
        answer.into_json()
    }
}
