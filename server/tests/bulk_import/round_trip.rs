//! Export, import into an empty store, export again: the content is the same, for Synthea's patients.

use std::collections::BTreeMap;

use serde_json::Value;

use super::support::{Server, directory, done};
use super::{ASYNC, JSON, begin, below, manifest, wait};

/// The resources of an export by type and id, without what each server writes itself; and the manifest's files.
fn exported(server: &Server) -> (BTreeMap<String, Value>, Vec<(String, String)>) {
    let accepted = server.send("GET", "/fhir/$export", &[ASYNC], b"").expect(202);
    let complete = wait(server, &below(accepted.header("content-location"))).expect(200).json();
    let (mut resources, mut files) = (BTreeMap::new(), Vec::new());
    for file in complete["output"].as_array().unwrap() {
        let (kind, url) = (file["type"].as_str().unwrap(), file["url"].as_str().unwrap());
        files.push((kind.to_owned(), url.to_owned()));
        for line in server.get(&below(url)).expect(200).text().lines() {
            let mut resource: Value = serde_json::from_str(line).unwrap();
            let key = format!("{kind}/{}", resource["id"].as_str().unwrap());
            let meta = resource["meta"].as_object_mut().unwrap();
            assert!(meta.remove("lastUpdated").is_some() && meta.remove("versionId").is_some());
            assert!(resources.insert(key, resource).is_none(), "a resource is there once");
        }
    }
    (resources, files)
}

fn check(folder: &std::path::Path, least: usize) {
    let (first, second) = (directory(), directory());
    let off = ["--validation", "off"];
    let load = ["load", folder.to_str().unwrap(), "--data", first.path().to_str().unwrap()];
    done(&[&load[..], &off[..]].concat());
    let from = Server::start(first.path());
    let (before, files) = exported(&from);
    assert!(before.len() >= least, "{} resources", before.len());
    let host = from.address.to_string();
    let to = Server::start_with(second.path(), &[&off[..], &["--import-hosts", &host]].concat());
    // In no order that references ask for.
    let sources: Vec<(&str, String)> =
        files.iter().rev().map(|(kind, url)| (kind.as_str(), url.clone())).collect();
    for is_again in [false, true] {
        let told = wait(&to, &begin(&to, "", JSON, &manifest(&sources))).expect(200).json();
        assert_eq!(told["error"], serde_json::json!([]));
        let of = |name: &str| -> u64 {
            told["output"].as_array().unwrap().iter().map(|one| one[name].as_u64().unwrap()).sum()
        };
        let all = before.len() as u64;
        let expected = if is_again { (0, 0, all) } else { (all, 0, 0) };
        assert_eq!((of("created"), of("updated"), of("unchanged")), expected);
    }
    let (after, _) = exported(&to);
    assert_eq!(after.len(), before.len());
    for (key, resource) in &before {
        assert_eq!(after.get(key), Some(resource), "{key}");
    }
}

fn unpacked(test: &str, archive: &str, wanted: impl Fn(&str) -> bool) -> Option<tempfile::TempDir> {
    let folder = directory();
    testdata::select(test, archive, wanted, |file| {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        std::fs::write(folder.path().join(name), file.bytes).unwrap();
    })?;
    Some(folder)
}

#[test]
fn what_was_exported_is_what_is_imported() {
    let test = "what_was_exported_is_what_is_imported";
    // Two of its 60 patients with all hospitals and practitioners; all patients, and the larger set, with `VESTA_ALL_PATIENTS`.
    let is_all = std::env::var_os("VESTA_ALL_PATIENTS").is_some();
    let first = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        is_all || name.starts_with("ab") || name.starts_with("ac") || name.contains("information")
    };
    if let Some(folder) = unpacked(test, "synthea-us-core.tar.gz", first) {
        check(folder.path(), 500);
    }
    if is_all && let Some(folder) = unpacked(test, "synthea-bulk-ndjson.tar.gz", |_| true) {
        // Of its 126,740 lines some are of the same resource.
        check(folder.path(), 125_376);
    }
}
