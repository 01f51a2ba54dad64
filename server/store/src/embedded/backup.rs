//! Backup and restore of a tenant: its environment as one file. A backup is a consistent snapshot, made while
//! reads and writes go on; restoring never touches a store that exists.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use heed::CompactionOption;

use super::environment::{Environment, verify};
use crate::StoreError;

/// The name LMDB gives an environment's file.
const DATA_FILE: &str = "data.mdb";

/// Copies a snapshot into a new file, without what is free in it; its length in bytes. The file has its name
/// only when it is whole and on the disk.
pub(super) fn backup(environment: &Environment, file: &Path) -> Result<u64, StoreError> {
    if file.exists() {
        return Err(StoreError::Storage(format!("{} exists; a backup goes into a new file", file.display())));
    }
    let partial = sibling(file, ".partial");
    let mut copy = File::options().write(true).create_new(true).open(&partial)?;
    let copied = environment
        .raw()
        .copy_to_file(&mut copy, CompactionOption::Enabled)
        .map_err(StoreError::from)
        .and_then(|()| finish(&copy, &partial, file));
    if copied.is_err() {
        // The copy is of no use; that it cannot be removed either adds nothing to the error.
        let _ = fs::remove_file(&partial);
    }
    copied
}

fn finish(copy: &File, partial: &Path, file: &Path) -> Result<u64, StoreError> {
    copy.sync_all()?;
    let length = copy.metadata()?.len();
    fs::rename(partial, file)?;
    sync_parent(file)?;
    Ok(length)
}

/// Makes a tenant's directory of a backup. The directory has its name only when it is whole and was found to
/// be a store that this version can open.
pub(super) fn restore(file: &Path, directory: &Path) -> Result<(), StoreError> {
    if directory.exists() {
        let text = format!("{} exists; a backup is restored to where no store is", directory.display());
        return Err(StoreError::Storage(text));
    }
    let partial = sibling(directory, ".restoring");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(&partial)?;
    let restored = fill(file, &partial).and_then(|()| {
        fs::rename(&partial, directory)?;
        sync_parent(directory)
    });
    if restored.is_err() {
        // As above.
        let _ = fs::remove_dir_all(&partial);
    }
    restored
}

fn fill(file: &Path, partial: &Path) -> Result<(), StoreError> {
    let data = partial.join(DATA_FILE);
    fs::copy(file, &data)?;
    File::open(&data)?.sync_all()?;
    verify(partial)
}

fn sibling(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn sync_parent(path: &Path) -> Result<(), StoreError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok(File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?)
}
