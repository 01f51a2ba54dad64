//! Finds the files of a release in the folder that it was unpacked to, by the names that publishers give them.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::super::code_table::CodeTable;
use super::{ImportError, LoincFiles, RxNormFiles, SnomedFiles, icd10cm, loinc, rxnorm, snomed};

/// Deepest folder that is looked into.
const MAX_DEPTH: usize = 8;
/// Most files that are looked at.
const MAX_FILES: usize = 100_000;

/// A code system that can be imported from its publisher's release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// LOINC's.
    Loinc,
    /// SNOMED CT's, the snapshot.
    SnomedCt,
    /// RxNorm's.
    RxNorm,
    /// The order file of ICD-10-CM.
    Icd10Cm,
}

impl Release {
    /// All of them, with the names by which a user asks for them.
    pub const ALL: [(&str, Release); 4] = [
        ("loinc", Release::Loinc),
        ("snomed", Release::SnomedCt),
        ("rxnorm", Release::RxNorm),
        ("icd-10-cm", Release::Icd10Cm),
    ];

    /// Reads a release from the folder it was unpacked to. `version` is what code systems call it; the importers say how.
    ///
    /// # Errors
    /// A file that is needed is not there, or there are several, or it is not in the format.
    pub fn read(self, folder: &Path, version: &str) -> Result<CodeTable, ImportError> {
        let mut files = Vec::new();
        list(folder, 0, &mut files)?;
        let files = Files(files);
        match self {
            Release::Loinc => {
                let release = LoincFiles {
                    table: files.need("Loinc.csv", |name| name == "Loinc.csv")?,
                    hierarchy: files.find("the hierarchy", |name| {
                        name == "ComponentHierarchyBySystem.csv" || name == "MultiAxialHierarchy.csv"
                    })?,
                    answers: files.find("AnswerList.csv", |name| name == "AnswerList.csv")?,
                };
                loinc(release, version)
            }
            Release::SnomedCt => {
                let starts = |start: &'static str| move |name: &str| name.starts_with(start);
                let release = SnomedFiles {
                    concepts: files.need("sct2_Concept_Snapshot_*.txt", starts("sct2_Concept_Snapshot_"))?,
                    descriptions: files
                        .need("sct2_Description_Snapshot-*.txt", starts("sct2_Description_Snapshot"))?,
                    relationships: files
                        .need("sct2_Relationship_Snapshot_*.txt", starts("sct2_Relationship_Snapshot_"))?,
                    languages: files.find(
                        "der2_cRefset_LanguageSnapshot-*.txt",
                        starts("der2_cRefset_LanguageSnapshot"),
                    )?,
                    refsets: files
                        .find("der2_Refset_SimpleSnapshot_*.txt", starts("der2_Refset_SimpleSnapshot"))?,
                };
                snomed(release, version)
            }
            Release::RxNorm => {
                let is = |wanted: &'static str| move |name: &str| name == wanted;
                let release = RxNormFiles {
                    concepts: files.need("RXNCONSO.RRF", is("RXNCONSO.RRF"))?,
                    relations: files.find("RXNREL.RRF", is("RXNREL.RRF"))?,
                    types: files.find("RXNSTY.RRF", is("RXNSTY.RRF"))?,
                };
                rxnorm(release, version)
            }
            Release::Icd10Cm => {
                let is_order = |name: &str| {
                    let name = name.to_ascii_lowercase().replace('_', "-");
                    name.starts_with("icd10cm-order") && !name.contains("addenda")
                };
                icd10cm(files.need("icd10cm-order-*.txt", is_order)?, version)
            }
        }
    }
}

/// Files of a release with their depth.
struct Files(Vec<(usize, PathBuf)>);

impl Files {
    /// The file of a name that is nearest to the folder: RxNorm's release has a smaller one inside.
    fn find(
        &self,
        wanted: &'static str,
        is_it: impl Fn(&str) -> bool,
    ) -> Result<Option<BufReader<File>>, ImportError> {
        let named = |path: &Path| path.file_name().and_then(|name| name.to_str()).is_some_and(&is_it);
        let mut found: Vec<&(usize, PathBuf)> = self.0.iter().filter(|(_, path)| named(path)).collect();
        found.sort();
        match found.as_slice() {
            [] => Ok(None),
            [(depth, _), (other, _), ..] if depth == other => Err(ImportError::Several(wanted)),
            [(_, path), ..] => {
                let file = File::open(path).map_err(|cause| ImportError::Io { file: wanted, cause })?;
                Ok(Some(BufReader::with_capacity(1 << 20, file)))
            }
        }
    }

    fn need(
        &self,
        wanted: &'static str,
        is_it: impl Fn(&str) -> bool,
    ) -> Result<BufReader<File>, ImportError> {
        self.find(wanted, is_it)?.ok_or(ImportError::Missing(wanted))
    }
}

fn list(folder: &Path, depth: usize, out: &mut Vec<(usize, PathBuf)>) -> Result<(), ImportError> {
    let failed = |cause| ImportError::Io { file: "the folder of the release", cause };
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() && depth < MAX_DEPTH {
            list(&entry.path(), depth + 1, out)?;
        } else if kind.is_file() {
            if out.len() >= MAX_FILES {
                return Err(ImportError::TooMany(MAX_FILES));
            }
            out.push((depth, entry.path()));
        }
    }
    Ok(())
}
