//! `vesta conform`: follows the test procedure of ONC's (g)(10) criterion against a running server, this one or another, and
//! writes what was found. The procedure is the crate `procedure`, which knows nothing of this server; here is what a tester
//! types in, who judges resources, and what is written.

mod inputs;
mod judge;
mod results;

use std::path::{Path, PathBuf};

use procedure::{Guide, Judge, Outcome, Report, Wrong, groups};

pub use inputs::InputsError;
pub use judge::Conformance;

/// The procedure was not followed, or found what is not as it asks.
#[derive(Debug, thiserror::Error)]
pub enum ConformError {
    /// What the tester types in.
    #[error(transparent)]
    Inputs(#[from] InputsError),
    /// The definitions to judge by.
    #[error("cannot read the definitions: {0}")]
    Definitions(#[from] conformance::DefinitionsError),
    /// The procedure cannot begin.
    #[error(transparent)]
    Procedure(#[from] Wrong),
    /// What was found cannot be written.
    #[error("cannot write {}: {error}", .path.display())]
    Write {
        /// Where.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The system refuses threads.
    #[error("cannot start: {0}")]
    Io(#[from] std::io::Error),
    /// What was found was written.
    #[error("{failed} tests failed, {lacking} found no records to test with")]
    NotPassed {
        /// How many failed.
        failed: usize,
        /// How many need records that are not there.
        lacking: usize,
    },
}

/// A part of the procedure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Launches, tokens and scopes: groups 1, 2, 3 and 9
    Launches,
    /// The records of patients, one by one: groups 10 and 12
    SinglePatient,
    /// The records of a group of patients: group 8
    Bulk,
}

/// What to do.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// TOML file with the server's base URL, clients, users, patients and packages; see inferno-tests/conform.toml
    #[arg(long, value_name = "FILE")]
    pub inputs: PathBuf,
    /// Follow this part alone; may be repeated
    #[arg(long, value_enum)]
    pub part: Vec<Part>,
    /// Where to write results for programs
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Where to write the report, in Markdown; by default standard output
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// Follows the procedure and writes what was found.
///
/// # Errors
/// The inputs cannot be read; something failed, after all was written.
pub fn conform(options: &Options) -> Result<(), ConformError> {
    let known = inputs::read(&options.inputs)?;
    let mut guides = Vec::new();
    for path in &known.guides {
        guides.push((Guide::read(path, &known.core)?, Conformance::new(&[path])?));
    }
    let guides: Vec<(&Guide, &dyn Judge)> =
        guides.iter().map(|(guide, judge)| (guide, judge as &dyn Judge)).collect();
    let has = |part: Part| options.part.is_empty() || options.part.contains(&part);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        let mut report = Report::default();
        if has(Part::SinglePatient) {
            for (guide, judge) in &guides {
                report.add(groups::single_patient(&known.inputs, guide, *judge).await?);
            }
        }
        if has(Part::Bulk) && (known.inputs.bulk.is_some() || options.part.contains(&Part::Bulk)) {
            report.add(groups::bulk(&known.inputs, &guides).await?);
        }
        // Last: it takes tokens away.
        if has(Part::Launches) {
            report.add(groups::launches(&known.inputs).await?);
        }
        Ok::<Report, Wrong>(report)
    })?;
    let text = results::text(&known, &report);
    match &options.report {
        Some(path) => write(path, &text)?,
        None => print!("{text}"),
    }
    if let Some(path) = &options.json {
        write(path, &format!("{:#}\n", results::json(&known, &report)))?;
    }
    let count = |is: fn(&Outcome) -> bool| report.seen.iter().filter(|seen| is(&seen.outcome)).count();
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    let lacking = count(|outcome| matches!(outcome, Outcome::Lacking(_)));
    match failed + lacking {
        0 => Ok(()),
        _ => Err(ConformError::NotPassed { failed, lacking }),
    }
}

fn write(path: &Path, text: &str) -> Result<(), ConformError> {
    std::fs::write(path, text).map_err(|error| ConformError::Write { path: path.to_owned(), error })
}
