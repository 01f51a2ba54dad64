//! Whether codes are right: in a value set, in their code system, with a display that they have.

use fhirpath::expression::{Coding, EvaluationError, Terminology as Asked};

use super::code_system::{Concept, Steps};
use super::operation::OperationError;
use super::subsumes::{Subsumption, compare};
use super::value_set::{Membership, ValueSet};
use super::{CodeCheck, DisplayIssue, InvalidCode, NotChecked, Terminology, TerminologyError, model};

impl Terminology {
    /// Whether one of the codings of an element is in a value set, as a binding has it. `value_set` is a canonical,
    /// perhaps with `|version`; a coding without a system is a lone code, whose system the value set implies.
    pub fn validate_code(&self, value_set: &str, codings: &[Coding<'_>]) -> CodeCheck {
        let set = match self.value_set(value_set) {
            Ok(Ok(set)) => set,
            Ok(Err(why)) => return CodeCheck::NotChecked { why },
            Err(error) => return CodeCheck::NotChecked { why: NotChecked::Failed(error) },
        };
        let mut why_not_checked = None;
        for coding in codings {
            match in_value_set(&set, coding) {
                Ok(CodeCheck::Invalid { .. }) => {}
                Ok(CodeCheck::NotChecked { why }) => why_not_checked = Some(why),
                Ok(valid) => return valid,
                Err(error) => why_not_checked = Some(NotChecked::Failed(error)),
            }
        }
        if let Some(why) = why_not_checked {
            return CodeCheck::NotChecked { why };
        }
        let value_set = value_set.to_owned();
        let why = match codings.first() {
            Some(coding) => InvalidCode::NotInValueSet { code: shown(coding), value_set },
            None => InvalidCode::NoCode { value_set },
        };
        CodeCheck::Invalid { why }
    }

    /// Whether a coding's system has its code.
    pub fn validate_in_system(&self, coding: &Coding<'_>) -> CodeCheck {
        self.in_system(coding)
            .unwrap_or_else(|error| CodeCheck::NotChecked { why: NotChecked::Failed(error) })
    }

    fn in_system(&self, coding: &Coding<'_>) -> Result<CodeCheck, TerminologyError> {
        let Some(url) = coding.system.as_deref() else {
            return Ok(CodeCheck::NotChecked { why: NotChecked::NoSystem { code: coding.code.to_string() } });
        };
        let system = match self.system(url, coding.version.as_deref())? {
            Ok(system) => system,
            Err(why) => return Ok(CodeCheck::NotChecked { why }),
        };
        Ok(match system.find(&coding.code)? {
            Some(concept) => CodeCheck::Valid { display_issue: display_issue(coding, &concept, None) },
            None if system.description().is_complete => CodeCheck::Invalid {
                why: InvalidCode::UnknownCode { code: coding.code.to_string(), system: url.to_owned() },
            },
            None => CodeCheck::NotChecked { why: NotChecked::IncompleteSystem { url: url.to_owned() } },
        })
    }
}

/// Whether a value set has a coding, and its display.
fn in_value_set(set: &ValueSet, coding: &Coding<'_>) -> Result<CodeCheck, TerminologyError> {
    Ok(match set.membership(coding, &mut Steps::of_question())? {
        Membership::In if coding.display.is_none() => CodeCheck::Valid { display_issue: None },
        Membership::In => {
            let concept = set.concept(coding)?;
            let issue = concept.and_then(|concept| display_issue(coding, &concept, set.listed(coding)));
            CodeCheck::Valid { display_issue: issue }
        }
        Membership::Out => CodeCheck::Invalid {
            why: InvalidCode::NotInValueSet { code: shown(coding), value_set: set.url.clone() },
        },
        Membership::Unknown(why) => CodeCheck::NotChecked { why },
    })
}

/// A code with its system.
pub(super) fn shown(coding: &Coding<'_>) -> String {
    coding
        .system
        .as_deref()
        .map_or_else(|| coding.code.to_string(), |system| format!("{system}#{}", coding.code))
}

/// What is wrong with a display: it is none of those that the concept, or the value set, gives the code.
pub(super) fn display_issue(
    coding: &Coding<'_>,
    concept: &Concept,
    listed: Option<&model::ListedConcept>,
) -> Option<DisplayIssue> {
    let given = coding.display.as_deref()?;
    let expected = concept.display.as_deref()?;
    let designations = concept.designations.iter().map(|designation| designation.value.as_str());
    let listed_texts = listed.into_iter().flat_map(|listed| {
        listed.display.as_deref().into_iter().chain(listed.designation.iter().map(|it| it.value.as_str()))
    });
    let mut texts = std::iter::once(expected).chain(designations).chain(listed_texts);
    if texts.any(|text| is_same_text(text, given)) {
        return None;
    }
    Some(DisplayIssue {
        code: coding.code.to_string(),
        given: given.to_owned(),
        expected: expected.to_owned(),
    })
}

/// Whether two displays differ in no more than case and white space.
fn is_same_text(one: &str, other: &str) -> bool {
    let folded = |text: &str| text.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>();
    one == other || folded(one) == folded(other)
}

/// What `memberOf()` and `subsumes()` of FHIRPath ask.
impl Asked for Terminology {
    fn member_of(&self, coding: &Coding<'_>, value_set: &str) -> Result<Option<bool>, EvaluationError> {
        match self.validate_code(value_set, std::slice::from_ref(coding)) {
            CodeCheck::Valid { .. } => Ok(Some(true)),
            CodeCheck::Invalid { .. } => Ok(Some(false)),
            CodeCheck::NotChecked {
                why: why @ (NotChecked::UnknownValueSet { .. } | NotChecked::Failed(_)),
            } => Err(EvaluationError::new(why.to_string())),
            CodeCheck::NotChecked { .. } => Ok(None),
        }
    }

    fn subsumes(
        &self,
        ancestor: &Coding<'_>,
        descendant: &Coding<'_>,
    ) -> Result<Option<bool>, EvaluationError> {
        let failed = |error: TerminologyError| EvaluationError::new(error.to_string());
        let (Some(url), Some(other)) = (ancestor.system.as_deref(), descendant.system.as_deref()) else {
            return Ok(None);
        };
        if url != other {
            return Ok(Some(false));
        }
        let system = match self.system(url, ancestor.version.as_deref()).map_err(failed)? {
            Ok(system) => system,
            Err(why) => return Err(EvaluationError::new(why.to_string())),
        };
        match compare(&*system, &ancestor.code, &descendant.code) {
            Ok(found) => Ok(Some(matches!(found, Subsumption::Equivalent | Subsumption::Subsumes))),
            Err(OperationError::UnknownCode { .. }) => Ok(None),
            Err(error) => Err(EvaluationError::new(error.to_string())),
        }
    }
}
