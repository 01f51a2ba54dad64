//! Three made-up patients who together have everything that US Core asks a server to support
//! (<https://hl7.org/fhir/us/core/must-support.html>), for certification and for newcomers. Names, addresses and stories are
//! invented here; codes are those of the public code systems. The resources stand in `data/`, a file by topic; ids are fixed,
//! so that loading them again changes nothing. Never stores or sends anything.
//!
//! All that is valid in US Core 6.1.0 claims its profiles without a version and is valid in later ones too; what came later
//! stands in a file of its own, and is made only for the versions that know it.

mod format;
mod provenance;
mod sex;

use conformance::UsCore;
use serde_json::Value;

/// Marisol Tindalwick, who has nearly everything.
pub const ADULT: &str = "uscore-adult";
/// Pip, two years old: percentiles, and a family name that is not known.
pub const CHILD: &str = "uscore-child";
/// Anselm Quillfeather, who died.
pub const ELDER: &str = "uscore-elder";
/// All patients.
pub const PATIENTS: [&str; 3] = [ADULT, CHILD, ELDER];
/// The Group of all patients, for export.
pub const GROUP: &str = "uscore-group";
/// The Practitioner who sees the patients.
pub const PRACTITIONER: &str = "uscore-physician";
/// An Encounter of [`ADULT`], for launches in the context of one.
pub const ENCOUNTER: &str = "uscore-adult-followup";

const ALWAYS: [&str; 10] = [
    include_str!("../data/practice.json"),
    include_str!("../data/adult-record.json"),
    include_str!("../data/adult-medications.json"),
    include_str!("../data/adult-vital-signs.json"),
    include_str!("../data/adult-results.json"),
    include_str!("../data/adult-social-history.json"),
    include_str!("../data/adult-documents.json"),
    include_str!("../data/child.json"),
    include_str!("../data/elder.json"),
    include_str!("../data/group.json"),
];
const SINCE_7_0_0: &str = include_str!("../data/since-7.0.0.json");

/// Everything for a server that runs on a version of US Core: each resource has an id, and refers only to others of them.
///
/// # Errors
/// The data in the program is broken.
pub fn resources(us_core: UsCore) -> Result<Vec<Value>, serde_json::Error> {
    let later = (us_core >= UsCore::V7_0_0).then_some(SINCE_7_0_0);
    let mut resources: Vec<Value> = Vec::new();
    for text in ALWAYS.into_iter().chain(later) {
        resources.extend(serde_json::from_str::<Vec<Value>>(text)?);
    }
    if us_core < UsCore::V7_0_0 {
        resources.iter_mut().for_each(format::as_in_r4);
    }
    if us_core >= UsCore::V8_0_0 {
        resources.iter_mut().for_each(sex::as_coding);
    }
    let provenances = provenance::of(&resources);
    resources.extend(provenances);
    Ok(resources)
}
