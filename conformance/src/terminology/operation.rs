//! What the operations share: how they name what they work on, and why they fail.

use fhirpath::issue::{Issue, IssueType};

use super::parameters::Parameters;
use super::{NotChecked, Terminology, TerminologyError, model};

/// The value set that an operation works on.
#[derive(Debug, Clone, PartialEq)]
pub enum ValueSetSource {
    /// By its canonical, perhaps with `|version`.
    Canonical(String),
    /// Handed in, or the instance that the operation is called on.
    Given(Box<model::ValueSet>),
}

/// Why an operation has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    /// What it works on is not here, or what that uses.
    #[error("{0}")]
    NotKnown(NotChecked),
    /// The codes of a code system are those of a grammar.
    #[error("the codes of {0} cannot be listed: they are a grammar's; ask whether a code is one of them")]
    NotListable(String),
    /// The code system does not have the code.
    #[error("the code system {system} has no code {code}")]
    UnknownCode {
        /// The code.
        code: String,
        /// The code system.
        system: String,
    },
    /// There is no such concept map.
    #[error("the concept map {0} is not known here")]
    UnknownConceptMap(String),
    /// A parameter is missing, unknown, repeated, or not what it must be.
    #[error("the parameter {name} {why}")]
    Parameter {
        /// Its name.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// A definition is broken, too large, or cannot be read.
    #[error(transparent)]
    Failed(#[from] TerminologyError),
}

impl From<NotChecked> for OperationError {
    fn from(why: NotChecked) -> OperationError {
        match why {
            NotChecked::Failed(error) => OperationError::Failed(error),
            why => OperationError::NotKnown(why),
        }
    }
}

impl From<OperationError> for Issue {
    fn from(error: OperationError) -> Issue {
        let code = match &error {
            OperationError::NotKnown(_) | OperationError::UnknownConceptMap(_) => IssueType::NotFound,
            OperationError::NotListable(_) => IssueType::TooCostly,
            OperationError::UnknownCode { .. } => IssueType::CodeInvalid,
            OperationError::Parameter { .. } => IssueType::Invalid,
            OperationError::Failed(error) => match error {
                TerminologyError::TooCostly { .. } => IssueType::TooCostly,
                TerminologyError::Unavailable(_) => IssueType::Exception,
                TerminologyError::Cycle(_)
                | TerminologyError::Filter { .. }
                | TerminologyError::Version { .. }
                | TerminologyError::Definition { .. } => IssueType::Processing,
            },
        };
        Issue::error(code, error.to_string())
    }
}

impl ValueSetSource {
    /// Of `url`, `valueSetVersion` and `valueSet`; `instance` is the value set that the operation is called on.
    pub(super) fn read(
        parameters: &mut Parameters,
        instance: Option<model::ValueSet>,
    ) -> Result<ValueSetSource, OperationError> {
        let given = parameters.resource("valueSet", "ValueSet")?;
        let (url, version) = (parameters.text("url")?, parameters.text("valueSetVersion")?);
        match (instance.or(given), url) {
            (Some(set), _) => Ok(ValueSetSource::Given(Box::new(set))),
            (None, Some(url)) => Ok(ValueSetSource::Canonical(match version {
                Some(version) => format!("{url}|{version}"),
                None => url,
            })),
            (None, None) => {
                let why = "or valueSet is needed".to_owned();
                Err(OperationError::Parameter { name: "url".to_owned(), why })
            }
        }
    }
}

impl Terminology {
    /// The definition that a request names or hands in.
    pub(super) fn value_set_definition(
        &self,
        source: &ValueSetSource,
    ) -> Result<model::ValueSet, OperationError> {
        match source {
            ValueSetSource::Given(set) => Ok((**set).clone()),
            ValueSetSource::Canonical(canonical) => {
                self.definition(canonical)?.or_else(|| super::resolve::implicit(canonical)).ok_or_else(|| {
                    OperationError::NotKnown(NotChecked::UnknownValueSet { url: canonical.clone() })
                })
            }
        }
    }
}
