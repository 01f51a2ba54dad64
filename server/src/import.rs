//! `vesta import`: a publisher's release of a code system into a tenant's store. Its table becomes Binaries, and a CodeSystem
//! that names them is put last; [`interaction::code_tables`] says how. The same release again changes nothing and so ends what
//! was interrupted; other content for the same version takes the place of what was there; another version stands beside it.

use std::path::Path;
use std::time::Instant;

use conformance::terminology::CodeTable;
use conformance::terminology::import::{ImportError, Release};
use fhirpath::Issue;
use interaction::code_tables::{self, TableName};
use serde_json::{Value, json};

use crate::load::{Destination, LoadError, Refused, ResponseEntry, transaction_of};
use crate::progress::Progress;

/// Pieces of one transaction: some 3 MB.
const PIECES: usize = 32;

/// A release that was not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportFailure {
    /// Its files.
    #[error("cannot import the release: {0}")]
    Release(#[from] ImportError),
    /// Its files say nothing.
    #[error("cannot import the release: there are no concepts in it")]
    Empty,
    /// Its concepts cannot be written as JSON.
    #[error("cannot import the release: {0}")]
    Table(#[from] serde_json::Error),
    /// The destination is gone.
    #[error(transparent)]
    Gone(#[from] LoadError),
    /// The destination refuses it.
    #[error("the code system was refused: {0}")]
    Refused(String),
}

/// Reads a release from the folder that it was unpacked to, and puts it into the store. `version` is what code systems call it.
///
/// # Errors
/// [`ImportFailure`]; then nobody sees anything of it, and the same command can be given again.
pub fn import(
    release: Release,
    folder: &Path,
    version: &str,
    destination: &Destination,
) -> Result<(), ImportFailure> {
    let (started, progress) = (Instant::now(), Progress::new("Importing"));
    progress.say(&format!("Reading {}", folder.display()));
    let table = release.read(folder, version)?;
    if table.is_empty() {
        return Err(ImportFailure::Empty);
    }
    let (description, concepts) = (table.description().clone(), table.len());
    let pieces = pieces(table)?;
    let name = TableName::of(&description, &pieces);
    let system = code_tables::system(&description, concepts, &name);
    let before = named(destination, &code_tables::system_id(&description))?;
    let (mut sent, all) = (0, u64::from(name.pieces));
    for some in pieces.chunks(PIECES) {
        let some = some.iter().map(|(number, bytes)| code_tables::piece(&name.name, *number, bytes));
        sent += put(destination, &some.collect::<Vec<_>>())?;
        progress.at(sent, all, &format!("{sent} of {all} pieces"));
    }
    put(destination, &[system])?;
    if let Some(before) = before.filter(|before| before.name != name.name) {
        remove(destination, &before)?;
    }
    progress.end(&format!(
        "Imported {} {version}: {concepts} codes in {} pieces, {:.1} s",
        description.url,
        name.pieces,
        started.elapsed().as_secs_f64(),
    ));
    Ok(())
}

/// The pieces of a table, the header last.
fn pieces(table: CodeTable) -> Result<Vec<(u32, Vec<u8>)>, serde_json::Error> {
    let mut pieces = Vec::new();
    table.write(|number, bytes| -> Result<(), serde_json::Error> {
        pieces.push((number, bytes));
        Ok(())
    })?;
    Ok(pieces)
}

/// The table that is named now by a CodeSystem.
fn named(destination: &Destination, id: &str) -> Result<Option<TableName>, ImportFailure> {
    let read = json!({ "request": { "method": "GET", "url": format!("CodeSystem/{id}") } });
    let bundle = json!({ "resourceType": "Bundle", "type": "batch", "entry": [read] });
    let entries = send(destination, bundle.to_string().into_bytes())?;
    Ok(entries.first().and_then(|entry| entry.resource.as_ref()).and_then(TableName::read))
}

/// Puts resources in one transaction, and counts them.
fn put(destination: &Destination, resources: &[Value]) -> Result<u64, ImportFailure> {
    let entries = send(destination, transaction_of(resources))?;
    for entry in &entries {
        entry.imported().map_err(refused)?;
    }
    Ok(u64::try_from(entries.len()).unwrap_or(u64::MAX))
}

/// Deletes the pieces of a table that nothing names any more.
fn remove(destination: &Destination, table: &TableName) -> Result<(), ImportFailure> {
    let numbers: Vec<u32> = (0..table.pieces).collect();
    for some in numbers.chunks(PIECES) {
        let delete = |number: &u32| {
            let url = format!("Binary/{}", code_tables::piece_id(&table.name, *number));
            json!({ "request": { "method": "DELETE", "url": url } })
        };
        let entries: Vec<Value> = some.iter().map(delete).collect();
        let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries });
        send(destination, bundle.to_string().into_bytes())?;
    }
    Ok(())
}

fn send(destination: &Destination, bundle: Vec<u8>) -> Result<Vec<ResponseEntry>, ImportFailure> {
    destination.bundle(bundle).map_err(|error| match error {
        Refused::Gone(error) => ImportFailure::Gone(error),
        Refused::Issues(issues) => refused(issues),
    })
}

fn refused(issues: Vec<Issue>) -> ImportFailure {
    let said = |issue: Issue| match issue.expression {
        Some(expression) => format!("{} ({expression})", issue.details),
        None => issue.details,
    };
    ImportFailure::Refused(issues.into_iter().map(said).collect::<Vec<_>>().join("; "))
}
