//! `vesta validate`: what is wrong with the resources of files, by FHIR's own rules, the profiles they claim and those named. Other
//! resources are not looked for, and no data directory is opened.

use std::io::Write;
use std::path::{Path, PathBuf};

use conformance::validation::{Options, ProfileError};
use conformance::{Definitions, DefinitionsError};
use fhirpath::expression::DateTime;
use fhirpath::{Issue, IssueType, Severity};
use jiff::Timestamp;

use crate::config::Config;
use crate::{evaluate, open};

/// Something is wrong with the files, or they are not validated.
#[derive(Debug, thiserror::Error)]
pub enum ValidateError {
    /// What was found was written.
    #[error("{invalid} of {files} files are not valid")]
    Invalid {
        /// How many files have errors.
        invalid: usize,
        /// How many there are.
        files: usize,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {error}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A profile that nobody defines.
    #[error("the profile {0} is not known; add its package with --package")]
    Profile(String),
    /// A profile that cannot be used.
    #[error(transparent)]
    Broken(#[from] ProfileError),
    /// The definitions cannot be had.
    #[error("cannot read the definitions: {0}")]
    Definitions(#[from] DefinitionsError),
    /// The result cannot be written.
    #[error("cannot write the result: {0}")]
    Output(#[from] std::io::Error),
}

/// Validates the resource of each file, `-` being standard input, and writes an OperationOutcome a line, in the files' order. A
/// summary of each goes to standard error.
///
/// # Errors
/// Files with errors, after all are validated; a file that cannot be read, a profile that is not known.
pub fn validate(
    config: &Config,
    profiles: &[String],
    files: &[PathBuf],
    out: &mut dyn Write,
) -> Result<(), ValidateError> {
    let packages: Vec<&Path> = config.package.iter().map(AsRef::as_ref).collect();
    let definitions = Definitions::of(config.us_core, &packages)?;
    let (validator, _) = open::validator(config.us_core, &packages, &definitions)?;
    if let Some(error) = profiles.iter().find_map(|profile| match validator.has_profile(profile) {
        Ok(true) => None,
        Ok(false) => Some(ValidateError::Profile(profile.clone())),
        Err(error) => Some(error.into()),
    }) {
        return Err(error);
    }
    let profiles: Vec<&str> = profiles.iter().map(String::as_str).collect();
    let options = Options {
        now: DateTime::parse(&format!("{:.3}", Timestamp::now())),
        information: true,
        issues: config.max_issues,
        ..Options::default()
    };
    let mut invalid = 0;
    for path in files {
        let text = evaluate::read(path).map_err(|error| ValidateError::File { path: path.clone(), error })?;
        let mut issues = validator.validate_json(&text, &profiles, &options);
        invalid += usize::from(tell(path, &issues));
        if issues.is_empty() {
            let nothing = Issue::error(IssueType::Informational, "Nothing is wrong.");
            issues.push(nothing.severity(Severity::Information));
        }
        out.write_all(&interaction::outcome_body(&issues))?;
        out.write_all(b"\n")?;
    }
    match invalid {
        0 => Ok(()),
        invalid => Err(ValidateError::Invalid { invalid, files: files.len() }),
    }
}

/// Says how many issues a file has; whether there are errors.
fn tell(path: &Path, issues: &[Issue]) -> bool {
    let errors = issues.iter().filter(|issue| issue.severity <= Severity::Error).count();
    let warnings = issues.iter().filter(|issue| issue.severity == Severity::Warning).count();
    eprintln!("{}: {errors} errors, {warnings} warnings", path.display());
    errors > 0
}
