//! The patients that the measurements run on.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};

const NDJSON: &str = "synthea-bulk-ndjson.tar.gz";
const BUNDLES: &str = "synthea-us-core.tar.gz";

/// Where the run keeps its stores: beside the build, on a disk rather than in memory.
pub fn scratch() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

/// The archives, read.
pub struct Archives {
    ndjson: Vec<testdata::File>,
}

/// Reads them, if they are there.
pub fn archives() -> Option<Archives> {
    Some(Archives { ndjson: testdata::archive("side_by_side", NDJSON)? })
}

/// Name, body, number of entries.
pub type Bundle = (String, Vec<u8>, usize);

impl Archives {
    /// Writes the NDJSON set `times` times over, with other ids each time but the first; how many resources that is.
    pub fn ndjson(&self, directory: &Path, times: usize) -> usize {
        std::fs::create_dir_all(directory).expect("a directory");
        let mut count = 0;
        for n in 0..times {
            for file in &self.ndjson {
                let name = file.path.rsplit('/').next().unwrap_or(&file.path);
                let mut out = std::fs::File::create(directory.join(format!("{n}-{name}"))).expect("a file");
                let bytes = if n == 0 { file.bytes.clone() } else { renumber(&file.bytes, n) };
                out.write_all(&bytes).expect("the disk takes it");
                count += bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
            }
        }
        count
    }

    /// The first `count` lines over all types, taken in turn.
    pub fn sample(&self, count: usize) -> Vec<Vec<u8>> {
        let mut files: Vec<_> =
            self.ndjson.iter().map(|file| file.bytes.split(|byte| *byte == b'\n')).collect();
        let mut lines = Vec::with_capacity(count);
        while lines.len() < count {
            let before = lines.len();
            lines.extend(
                files.iter_mut().filter_map(|file| file.find(|line| !line.is_empty())).map(<[u8]>::to_vec),
            );
            if lines.len() == before {
                break;
            }
        }
        lines.truncate(count);
        lines
    }

    /// The resources of a type, a line each.
    pub fn lines(&self, name: &str) -> Vec<&[u8]> {
        let end = format!("{name}.ndjson");
        let file =
            self.ndjson.iter().find(|file| file.path.rsplit('/').next().is_some_and(|path| path == end));
        let lines = file.into_iter().flat_map(|file| file.bytes.split(|byte| *byte == b'\n'));
        lines.filter(|line| !line.is_empty()).collect()
    }

    /// The id of the patient whose number of laboratory results is the median of those that have any.
    pub fn typical_patient(&self) -> String {
        let file =
            self.ndjson.iter().find(|file| file.path.ends_with("Observation.ndjson")).expect("Observations");
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for line in std::str::from_utf8(&file.bytes)
            .expect("text")
            .lines()
            .filter(|line| line.contains("\"laboratory\""))
        {
            let patient =
                line.split("\"Patient/").nth(1).and_then(|rest| rest.split('"').next()).expect("a patient");
            *counts.entry(patient).or_default() += 1;
        }
        let mut ranked: Vec<_> = counts.into_iter().map(|(patient, count)| (count, patient)).collect();
        ranked.sort_unstable();
        let (count, patient) = ranked[ranked.len() / 2];
        println!("patient {patient}: {count} laboratory results");
        patient.to_owned()
    }

    /// The US Core bundles: those that come first, and the patients'.
    pub fn bundles(&self) -> (Vec<Bundle>, Vec<Bundle>) {
        let mut all = Vec::new();
        testdata::each("side_by_side", BUNDLES, |file| {
            if !file.path.ends_with(".json") {
                return;
            }
            let entries = file.bytes.windows(11).filter(|window| window == b"\"request\": ").count();
            all.push((file.path, file.bytes, entries));
        });
        all.into_iter().partition(|(name, _, _)| name.contains("Information"))
    }
}

/// Other ids, and references to them: the last hex digits of each UUID are replaced by the number.
fn renumber(text: &[u8], n: usize) -> Vec<u8> {
    let suffix = format!("{n:04x}");
    let mut out = text.to_vec();
    let is_hex = |byte: &u8| byte.is_ascii_hexdigit();
    let mut at = 0;
    while at + 36 <= out.len() {
        let window = &out[at..at + 36];
        let dashes = [8, 13, 18, 23].iter().all(|dash| window[*dash] == b'-');
        if dashes && window.iter().filter(|byte| is_hex(byte)).count() == 32 {
            out[at + 32..at + 36].copy_from_slice(suffix.as_bytes());
            at += 36;
        } else {
            at += 1;
        }
    }
    out
}
