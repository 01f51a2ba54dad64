//! The resources of FHIR packages (<https://hl7.org/fhir/packages.html>), by the names of their files. Looks into none of them.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::http::{Checked, Wrong};

/// Largest unpacked package, bytes.
const MAX_BYTES: u64 = 1 << 30;

/// The files of packages as they are: parsed when asked for, because few of thousands are.
#[derive(Debug, Default)]
pub(super) struct Package {
    files: BTreeMap<String, Vec<u8>>,
}

impl Package {
    /// Adds the resources of these types.
    pub fn add(&mut self, path: &Path, types: &[&str]) -> Checked {
        let failed = |error: std::io::Error| Wrong(format!("{} cannot be unpacked: {error}", path.display()));
        let file = std::fs::File::open(path).map_err(failed)?;
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file).take(MAX_BYTES));
        for entry in archive.entries().map_err(failed)? {
            let mut entry = entry.map_err(failed)?;
            let name = entry.path().map_err(failed)?.to_string_lossy().into_owned();
            let Some(name) = name.strip_prefix("package/").and_then(|name| name.strip_suffix(".json")) else {
                continue;
            };
            let is_asked = |kind: &str| name.strip_prefix(kind).is_some_and(|rest| rest.starts_with('-'));
            if name.contains('/') || !types.iter().any(|kind| is_asked(kind)) {
                continue;
            }
            let name = name.to_owned();
            let mut text = Vec::new();
            entry.read_to_end(&mut text).map_err(failed)?;
            self.files.insert(name, text);
        }
        Ok(())
    }

    /// A resource: the name of its file is its type and its id.
    pub fn get(&self, kind: &str, id: &str) -> Option<Value> {
        serde_json::from_slice(self.files.get(&format!("{kind}-{id}"))?).ok()
    }

    /// A resource by its canonical URL, whose last part is its id.
    pub fn canonical(&self, kind: &str, url: &str) -> Option<Value> {
        let url = url.split('|').next().unwrap_or_default();
        self.get(kind, url.rsplit('/').next()?)
    }

    /// All of a type.
    pub fn of_type<'p>(&'p self, kind: &'p str) -> impl Iterator<Item = Value> + 'p {
        let is = move |name: &str| name.strip_prefix(kind).is_some_and(|rest| rest.starts_with('-'));
        let found = self.files.iter().filter(move |(name, _)| is(name));
        found.filter_map(|(_, text)| serde_json::from_slice(text).ok())
    }
}
