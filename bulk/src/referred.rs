//! What the resources of patients' compartments refer to: practitioners, organizations, locations, medications, devices, and what
//! these refer to in turn. Which that is, is read from the files that are finished.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashSet;

use crate::job::{Position, Section, Stage};
use crate::run::{Run, STEP};
use crate::source::Wanted;
use crate::{ExportError, PATIENT, scan};

/// Most resources that an export may refer to outside the compartments.
pub const MAX_REFERRED: usize = 200_000;

/// Writes them.
pub(crate) async fn write(run: &mut Run<'_, '_>) -> Result<(), ExportError> {
    let at = Position::at(Stage::Referred, 0);
    let (mut asked, mut scanned) = (FxHashSet::default(), 0);
    loop {
        let targets = targets(run, scanned, &mut asked)?;
        scanned = run.job.files.len();
        if targets.is_empty() {
            return Ok(());
        }
        for (kind, mut ids) in targets {
            run.leave_out_written(&kind, &mut ids)?;
            let ids: Vec<String> = ids.into_iter().collect();
            write_type(run, &kind, &ids, &at).await?;
        }
    }
}

/// What the lines of files refer to, by type; each only once in all rounds.
fn targets(
    run: &Run<'_, '_>,
    from: usize,
    asked: &mut FxHashSet<String>,
) -> Result<BTreeMap<String, BTreeSet<String>>, ExportError> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let files = run.job.files.iter().skip(from).filter(|file| file.section == Section::Output);
    for file in files {
        run.check()?;
        scan::lines(run.environment.output, &run.job.id, &file.name, |line| {
            for reference in scan::references(line) {
                if asked.contains(reference) {
                    continue;
                }
                let Some((kind, id)) = target(run, reference) else { continue };
                if asked.len() >= MAX_REFERRED {
                    let details = format!(
                        "The export refers to more than {MAX_REFERRED} other resources; ask for fewer patients, or name types in _type."
                    );
                    return Err(ExportError::too_costly(details));
                }
                asked.insert(reference.to_owned());
                found.entry(kind).or_default().insert(id);
            }
            Ok(())
        })?;
    }
    Ok(found)
}

/// The type and id of what a reference leads to, where that may be in no compartment and is wanted.
pub(crate) fn target(run: &Run<'_, '_>, reference: &str) -> Option<(String, String)> {
    // A patient is in a compartment of their own.
    if reference.starts_with("Patient/") {
        return None;
    }
    let (kind, id) = run.environment.source.local(reference)?;
    let is_wanted = kind != PATIENT && run.job.request.wants_referred(&kind) && !is_walked(run, &kind);
    is_wanted.then_some((kind, id))
}

/// Types whose resources are nearly always in a patient's compartment: a reference from there leads to what was written, or to
/// what is of another patient. Those that can also be of none are looked at.
fn is_walked(run: &Run<'_, '_>, kind: &str) -> bool {
    const MAY_BE_OF_NONE: [&str; 6] = ["Device", "Group", "RelatedPerson", "Person", "List", "Schedule"];
    run.job.request.types.iter().any(|name| name == kind) && !MAY_BE_OF_NONE.contains(&kind)
}

async fn write_type(
    run: &mut Run<'_, '_>,
    kind: &str,
    ids: &[String],
    at: &Position,
) -> Result<(), ExportError> {
    let request = run.job.request.clone();
    let snapshot_ms = run.job.snapshot_ms;
    let wanted = Wanted { request: &request, snapshot_ms, resource_type: kind, patients: None, part: 0..0 };
    for ids in ids.chunks(STEP) {
        run.check()?;
        let lines = run.environment.source.referred(&wanted, ids).await?;
        for line in &lines {
            run.writer.line(run.job, Section::Output, kind, line)?;
            if run.writer.is_full() {
                run.writer.finish(run.job, at)?;
            }
        }
        run.tell(lines.len());
    }
    run.writer.finish(run.job, at)
}
