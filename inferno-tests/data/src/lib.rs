#![allow(clippy::expect_used)] // test support: a broken archive should stop the test
//! Opens the official suites and patients that tests run on, straight from their archives.
//!
//! The data stands beside the project in `../shared/data` and is never committed. Where it is absent a test
//! reports itself skipped by name and passes, unless `VESTA_REQUIRE_SUITES` is set (CI does), in which case
//! it fails.

use std::io::Read;
use std::path::PathBuf;

/// One file of an archive: its path inside, and its bytes with `.bz2` or `.gz` undone.
pub struct File {
    /// Path inside the archive, with a `.bz2` or `.gz` ending removed.
    pub path: String,
    /// Content, decompressed.
    pub bytes: Vec<u8>,
}

/// The directory of the suites, if it is there: `VESTA_SHARED_DATA`, else the nearest `shared/data` in a
/// folder above the workspace.
pub fn directory() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("VESTA_SHARED_DATA") {
        return Some(PathBuf::from(named)).filter(|path| path.is_dir());
    }
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().map(|folder| folder.join("shared/data")).find(|path| path.is_dir())
}

/// The path of one file of the suites. `None`, with a line that names the test, when it is absent.
///
/// # Panics
/// When the file is absent and `VESTA_REQUIRE_SUITES` is set.
pub fn path(test: &str, name: &str) -> Option<PathBuf> {
    let found = directory().map(|folder| folder.join(name)).filter(|path| path.exists());
    if found.is_none() {
        assert!(
            std::env::var_os("VESTA_REQUIRE_SUITES").is_none(),
            "{test}: shared/data/{name} is required here and is missing"
        );
        eprintln!("skipped: {test} (shared/data/{name} is not there)");
    }
    found
}

/// All regular files of a `.tar.gz` or `.tgz` of the suites, in archive order. `None` when it is absent, as
/// [`path`] says.
///
/// # Panics
/// When the archive cannot be read.
pub fn archive(test: &str, name: &str) -> Option<Vec<File>> {
    let mut files = Vec::new();
    each(test, name, |file| files.push(file))?;
    Some(files)
}

/// Like [`archive`], one file at a time, for archives that are too large to hold.
///
/// # Panics
/// When the archive cannot be read.
pub fn each(test: &str, name: &str, visit: impl FnMut(File)) -> Option<()> {
    select(test, name, |_| true, visit)
}

/// Like [`each`], but only the files whose path (with its `.bz2` or `.gz`) is wanted; the others are not decompressed.
///
/// # Panics
/// When the archive cannot be read.
pub fn select(
    test: &str,
    name: &str,
    wanted: impl Fn(&str) -> bool,
    mut visit: impl FnMut(File),
) -> Option<()> {
    let path = path(test, name)?;
    let file = std::fs::File::open(&path).expect("the archive opens");
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    for entry in archive.entries().expect("the archive is a tar") {
        let mut entry = entry.expect("the archive is whole");
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let mut inside = entry.path().expect("the path is readable").to_string_lossy().into_owned();
        if !wanted(&inside) {
            continue;
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("the entry is whole");
        if let Some(plain) = inside.strip_suffix(".bz2") {
            let mut out = Vec::new();
            bzip2::read::MultiBzDecoder::new(bytes.as_slice()).read_to_end(&mut out).expect("bzip2");
            (inside, bytes) = (plain.to_owned(), out);
        } else if let Some(plain) = inside.strip_suffix(".gz") {
            let mut out = Vec::new();
            flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut out).expect("gzip");
            (inside, bytes) = (plain.to_owned(), out);
        }
        visit(File { path: inside, bytes });
    }
    Some(())
}
