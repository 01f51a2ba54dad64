//! What is wrong with one parameter, and what that means under each handling.

use fhirpath::{Issue, IssueType, Severity};

use super::Handling;

/// Longest part of an input that a message repeats, characters.
const SHOWN: usize = 40;

/// Why a parameter cannot be honoured.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is not known or not supported: lenient handling leaves it out.
    Unknown(Issue),
    /// It is known, and wrong.
    Bad(Issue),
}

impl Fault {
    pub(super) fn unknown(code: IssueType, details: impl Into<String>) -> Fault {
        Fault::Unknown(Issue::error(code, details))
    }

    pub(super) fn bad(code: IssueType, details: impl Into<String>) -> Fault {
        Fault::Bad(Issue::error(code, details))
    }

    /// A value that its parameter's type does not allow.
    pub(super) fn value(details: impl Into<String>) -> Fault {
        Fault::bad(IssueType::Value, details)
    }

    /// The same fault, met so many bytes into the parameter's name.
    pub(super) fn at(self, bytes: usize) -> Fault {
        if bytes == 0 { self } else { self.within(bytes + 1, "the parameter") }
    }

    /// The same fault, met at a character of a text, counted from 1.
    pub(super) fn within(self, character: usize, text: &str) -> Fault {
        let place = |mut issue: Issue| {
            issue.details = format!("{} That is at character {character} of {text}.", issue.details);
            issue
        };
        match self {
            Fault::Unknown(issue) => Fault::Unknown(place(issue)),
            Fault::Bad(issue) => Fault::Bad(place(issue)),
        }
    }

    /// The same fault, of a parameter as it was written.
    pub(super) fn about(self, name: &str) -> Fault {
        let place = format!("http.{}", cut(name));
        match self {
            Fault::Unknown(issue) => Fault::Unknown(issue.at(place)),
            Fault::Bad(issue) => Fault::Bad(issue.at(place)),
        }
    }

    /// A warning to go on with, or the error.
    pub(super) fn under(self, handling: Handling) -> Result<Issue, Issue> {
        match (self, handling) {
            (Fault::Unknown(issue), Handling::Lenient) => Ok(issue.severity(Severity::Warning)),
            (Fault::Unknown(issue) | Fault::Bad(issue), _) => Err(issue),
        }
    }
}

/// The beginning of a text, in quotes.
pub(super) fn shown(text: &str) -> String {
    format!("'{}'", cut(text))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN).and_then(|(end, _)| text.get(..end)) {
        Some(start) => format!("{start}…"),
        None => text.to_owned(),
    }
}
