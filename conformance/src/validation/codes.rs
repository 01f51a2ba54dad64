//! The codes of an element: in the value set it is bound to, in their code systems, with displays they have.

use fhirpath::expression::Coding;
use fhirpath::{Element, IssueType, Severity};

use super::extension::excerpt;
use super::terms::{BindingRule, Codes, Strength, coding};
use super::walk::Walk;
use crate::terminology::{CodeCheck, InvalidCode, NotChecked};

impl<'w> Walk<'w> {
    /// Whether an element's code is in its value set.
    pub fn bound(&mut self, element: Element<'w>, binding: &BindingRule) {
        if binding.strength == Strength::Preferred && !self.options.information && binding.max.is_none() {
            return;
        }
        match self.v.shared.code_types.codes(element) {
            Codes::Lone(code) => {
                if element.has_value() {
                    self.lone(element, binding, &code);
                } else if binding.strength == Strength::Required {
                    self.no_code(element, binding);
                }
            }
            Codes::Codings(codings) if codings.is_empty() => {
                let is_concept = self.v.shared.code_types.is_concept(element.type_id());
                if binding.strength == Strength::Required && is_concept && !has_reason(element) {
                    self.no_code(element, binding);
                }
            }
            Codes::Codings(codings) => {
                let is_known = codings.iter().any(|(_, coding)| self.is_known(binding, coding));
                if !is_known {
                    let codings: Vec<Coding<'_>> = codings.into_iter().map(|(_, coding)| coding).collect();
                    self.look_up(element, binding, &codings);
                }
            }
        }
    }

    #[cold]
    fn no_code(&mut self, element: Element<'w>, binding: &BindingRule) {
        self.error(IssueType::CodeInvalid, element, "Terminology_TX_Code_ValueSet", || {
            format!("A code from the value set {} is required, and there is none.", binding.value_set)
        });
    }

    fn is_known(&mut self, binding: &BindingRule, coding: &Coding<'_>) -> bool {
        let mut buffer = std::mem::take(&mut self.buffer);
        let found = self.v.knows(&binding.known, &binding.value_set, coding, &mut buffer);
        self.buffer = buffer;
        found
    }

    fn lone(&mut self, element: Element<'w>, binding: &BindingRule, code: &Coding<'w>) {
        if self.is_known(binding, code) {
            return;
        }
        self.look_up(element, binding, std::slice::from_ref(code));
    }

    #[cold]
    fn look_up(&mut self, element: Element<'w>, binding: &BindingRule, codings: &[Coding<'_>]) {
        // The display is another question.
        let plain: Vec<Coding<'_>> = codings.iter().map(|coding| plain(coding, binding)).collect();
        let check = self.v.terminology.validate_code(&binding.value_set, &plain);
        let severity = match binding.strength {
            Strength::Required => Severity::Error,
            Strength::Extensible if binding.is_beside_code => Severity::Information,
            Strength::Extensible => Severity::Warning,
            Strength::Preferred => Severity::Information,
        };
        let id = match (binding.strength, codings.first().is_some_and(|it| it.system.is_some())) {
            (Strength::Required, true) => "Terminology_TX_NoValid_1_CC",
            (Strength::Required, false) => "Terminology_TX_NoValid_16",
            (Strength::Extensible, true) => "Terminology_TX_NoValid_2_CC",
            (Strength::Extensible, false) => "Terminology_TX_NoValid_17",
            (Strength::Preferred, true) => "Terminology_TX_NoValid_3_CC",
            (Strength::Preferred, false) => "Terminology_TX_NoValid_18",
        };
        match &check {
            CodeCheck::Valid { .. } => {
                if let [one] = codings {
                    self.v.learns(&binding.known, &binding.value_set, one);
                }
                return;
            }
            CodeCheck::Invalid { why } => {
                let details = format!("{}.", sentence(&why.to_string()));
                if binding.strength == Strength::Extensible && binding.is_beside_code {
                    self.excuse(element, &details);
                }
                self.tell(severity, IssueType::CodeInvalid, element, id, || details);
            }
            CodeCheck::NotChecked { why } => {
                self.not_checked(element, &binding.value_set, why);
            }
        }
        if let Some(max) = &binding.max {
            let check = self.v.terminology.validate_code(max, &plain);
            if let CodeCheck::Invalid { why } = check {
                self.error(IssueType::CodeInvalid, element, "Terminology_TX_NoValid_10", || {
                    format!("{}, which is the largest allowed.", sentence(&why.to_string()))
                });
            }
        }
    }

    /// Told once for a code system or value set: a resource may have many of its codes.
    fn not_checked(&mut self, element: Element<'w>, value_set: &str, why: &NotChecked) {
        let what = why.to_string();
        if !self.is_news(&format!("{value_set} {what}")) {
            return;
        }
        self.tell(Severity::Warning, IssueType::NotFound, element, "UNKNOWN_CODESYSTEM", || {
            if value_set.is_empty() {
                format!("The code was not checked: {what}.")
            } else {
                format!("The code was not checked against the value set {value_set}: {what}.")
            }
        });
    }

    /// Whether a Coding's system has its code, and the code that display.
    pub fn coding(&mut self, element: Element<'w>) {
        let Some(coding) = coding(element) else { return };
        if coding.system.is_none() {
            return;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let is_known = self.v.knows(&self.v.shared.known_codes, "", &coding, &mut buffer);
        if !is_known && self.is_system(element, coding.system.as_deref().unwrap_or_default()) {
            let is_right = self.look_up_system(element, &coding);
            if is_right {
                self.v.learns(&self.v.shared.known_codes, "", &coding);
            }
        }
        self.buffer = buffer;
    }

    /// Whether a coding's system is a stored one that only supplements another.
    fn is_supplement(&self, coding: &Coding<'_>) -> bool {
        let (Some(stored), Some(system)) = (&self.v.stored, coding.system.as_deref()) else { return false };
        let found = stored.resources.by_canonical("CodeSystem", system, coding.version.as_deref());
        let content = |tree: &fhirpath::Tree| {
            tree.root().get("content").is_some_and(|it| it.value().as_deref() == Some("supplement"))
        };
        found.ok().flatten().is_some_and(|tree| content(&tree))
    }

    /// Whether a text can be the URL of a code system.
    #[cold]
    fn is_system(&mut self, element: Element<'w>, system: &str) -> bool {
        if !system.contains(':') {
            self.error(IssueType::Value, element, "Terminology_TX_System_Relative", || {
                format!("The system of a code must be absolute, and '{}' is not.", excerpt(system))
            });
            return false;
        }
        // Some code systems have such a URL; what counts is whether there is a value set of it.
        let is_value_set = system.contains("/ValueSet/")
            && matches!(
                self.v.terminology.validate_code(system, &[]),
                CodeCheck::Invalid { why: InvalidCode::NoCode { .. } }
            );
        if is_value_set {
            self.error(IssueType::Value, element, "Terminology_TX_System_ValueSet", || {
                format!("'{}' is a value set; the system of a code is a code system.", excerpt(system))
            });
            return false;
        }
        true
    }

    #[cold]
    fn look_up_system(&mut self, element: Element<'w>, coding: &Coding<'_>) -> bool {
        if self.is_supplement(coding) {
            self.error(IssueType::CodeInvalid, element, "CODESYSTEM_CS_NO_SUPPLEMENT", || {
                "The system is a supplement to another; the system of a code is that other one.".to_owned()
            });
            return false;
        }
        match self.v.terminology.validate_in_system(coding) {
            CodeCheck::Valid { display_issue: None } => return true,
            CodeCheck::Valid { display_issue: Some(display) } => {
                self.tell(
                    Severity::Warning,
                    IssueType::Invalid,
                    element,
                    "Display_Name_for__should_be_one_of__instead_of_one",
                    || format!("{}.", sentence(&display.to_string())),
                );
            }
            CodeCheck::Invalid { why } => {
                self.error(IssueType::CodeInvalid, element, "Unknown_Code_in", || {
                    format!("{}.", sentence(&why.to_string()))
                });
            }
            CodeCheck::NotChecked { why } => self.not_checked(element, "", &why),
        }
        false
    }
}

/// A code as its value set has it. Parameters of a media type are left out: FHIR itself writes some that would need quotes
/// (`application/fhir+json;canonicalization=http://..`).
fn plain<'c>(coding: &Coding<'c>, binding: &BindingRule) -> Coding<'c> {
    let mut plain = Coding { display: None, ..coding.clone() };
    if binding.value_set.starts_with("http://hl7.org/fhir/ValueSet/mimetypes")
        && let Some((kind, _)) = plain.code.split_once(';')
    {
        plain.code = kind.trim_end().to_owned().into();
    }
    plain
}

/// Whether an extension may say why there is no code (`data-absent-reason`).
fn has_reason(element: Element<'_>) -> bool {
    element.get("extension").is_some()
}

/// With a capital at its beginning.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(chars).collect()
}
