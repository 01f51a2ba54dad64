//! Files of whole records, where `organizeOutputBy` is Patient
//! (<https://build.fhir.org/ig/HL7/bulk-data/async.html#bulk-data-output-file-organization>): of each patient a header, the patient,
//! what is in their compartment, and what that refers to. Each block can be understood alone: what several refer to is in each of
//! them. A file ends only between blocks.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use rustc_hash::FxHashSet;

use crate::job::{Position, Section, Stage};
use crate::referred::{self, MAX_REFERRED};
use crate::run::{Run, STEP};
use crate::source::Wanted;
use crate::{ExportError, PATIENT, manifest, scan};

/// Writes the blocks of the patients from one on.
pub(crate) async fn write(run: &mut Run<'_, '_>, from: usize) -> Result<(), ExportError> {
    let patients = run.patients.clone().unwrap_or_default();
    for (number, patient) in patients.iter().enumerate().skip(from) {
        let block =
            Block { run, patient, is_begun: false, asked: FxHashSet::default(), pending: BTreeMap::new() };
        block.write().await?;
        if run.writer.is_full() {
            let next = Position { part: number + 1, ..Position::at(Stage::Walk, 0) };
            run.writer.finish(run.job, &next)?;
        }
    }
    run.writer.finish(run.job, &Position::at(Stage::Deleted, 0))
}

/// The block of a patient.
struct Block<'b, 'e, 'j> {
    run: &'b mut Run<'e, 'j>,
    patient: &'b String,
    /// Whether its header is written: there is none without a resource.
    is_begun: bool,
    /// What its resources refer to outside the compartments, by reference.
    asked: FxHashSet<String>,
    /// Of these, those that are not looked at yet, by type.
    pending: BTreeMap<String, BTreeSet<String>>,
}

impl Block<'_, '_, '_> {
    async fn write(mut self) -> Result<(), ExportError> {
        let request = self.run.job.request.clone();
        let (snapshot_ms, patients) = (self.run.job.snapshot_ms, std::slice::from_ref(self.patient));
        // The patient follows the header.
        let (patient, others): (Vec<&String>, Vec<_>) =
            request.types.iter().partition(|kind| *kind == PATIENT);
        for kind in patient.into_iter().chain(others) {
            let wanted = Wanted {
                request: &request,
                snapshot_ms,
                resource_type: kind,
                patients: Some(patients),
                part: 0..1,
            };
            let (mut written, mut cursor) = (BTreeSet::new(), None::<Vec<u8>>);
            loop {
                self.run.check()?;
                let page = self.run.environment.source.page(&wanted, cursor.as_deref()).await?;
                written.extend(page.resources.iter().filter_map(|line| scan::id(line)).map(str::to_owned));
                self.add(&page.resources)?;
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            let mut missing = self.run.changed_ids(&wanted).await?;
            missing.retain(|id| !written.contains(id));
            for ids in missing.into_iter().collect::<Vec<_>>().chunks(STEP) {
                let lines = self.run.environment.source.at_snapshot(&wanted, ids).await?;
                self.add(&lines)?;
            }
        }
        while let Some((kind, ids)) = self.pending.pop_first() {
            let wanted =
                Wanted { request: &request, snapshot_ms, resource_type: &kind, patients: None, part: 0..0 };
            for ids in ids.into_iter().collect::<Vec<_>>().chunks(STEP) {
                self.run.check()?;
                let lines = self.run.environment.source.referred(&wanted, ids).await?;
                self.add(&lines)?;
            }
        }
        Ok(())
    }

    /// Writes resources, and remembers what they refer to.
    fn add(&mut self, lines: &[Bytes]) -> Result<(), ExportError> {
        for line in lines {
            if !self.is_begun {
                self.is_begun = true;
                let header = manifest::header(self.patient);
                self.run.writer.line(self.run.job, Section::Output, PATIENT, header.as_bytes())?;
            }
            self.run.writer.line(self.run.job, Section::Output, PATIENT, line)?;
            for reference in scan::references(line) {
                if self.asked.contains(reference) {
                    continue;
                }
                let Some((kind, id)) = referred::target(self.run, reference) else { continue };
                if self.asked.len() >= MAX_REFERRED {
                    let details = format!(
                        "The record of Patient/{} refers to more than {MAX_REFERRED} other resources; name types in _type.",
                        self.patient
                    );
                    return Err(ExportError::too_costly(details));
                }
                self.asked.insert(reference.to_owned());
                self.pending.entry(kind).or_default().insert(id);
            }
        }
        self.run.tell(lines.len());
        Ok(())
    }
}
