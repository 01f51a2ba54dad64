//! How the table of an imported code system is kept, as resources of a tenant: each piece is a Binary, and a CodeSystem
//! without concepts names the table. It is put last, so that nobody sees half a table; and a table that is imported again
//! with other content has another name, so that nobody sees two of them mixed. Here are the forms alone; who imports sends
//! them, and `stored_definitions` reads them.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use conformance::terminology::Description;
use fhirpath::{Tree, tree::Limits};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::{Key, Version};

use crate::{Failure, Service};

/// The extension of a CodeSystem that names its table. It has two parts: `name`, and `pieces`, how many there are.
pub const EXTENSION: &str = "urn:vesta:code-table";

/// What ids begin with.
const PREFIX: &str = "code-table-";

/// A table, as the CodeSystem names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// Unlike that of any other content.
    pub name: String,
    /// How many pieces there are, the header counted.
    pub pieces: u32,
}

impl TableName {
    /// The name of the table of these pieces: each code system, version and content has another.
    pub fn of(description: &Description, pieces: &[(u32, Vec<u8>)]) -> TableName {
        let mut digest = of_system(description);
        for (number, bytes) in pieces {
            digest.update(number.to_be_bytes());
            digest.update(Sha256::digest(bytes));
        }
        TableName { name: hexadecimal(digest), pieces: u32::try_from(pieces.len()).unwrap_or(u32::MAX) }
    }

    /// What a CodeSystem resource says.
    pub fn read(system: &Value) -> Option<TableName> {
        let of_url = |value: &Value, url: &str| -> Option<Value> {
            let mut all = value.get("extension")?.as_array()?.iter();
            all.find(|it| it.get("url").and_then(Value::as_str) == Some(url)).cloned()
        };
        let extension = of_url(system, EXTENSION)?;
        let name = of_url(&extension, "name")?.get("valueId")?.as_str()?.to_owned();
        let pieces = of_url(&extension, "pieces")?.get("valueUnsignedInt")?.as_u64()?;
        Some(TableName { name, pieces: u32::try_from(pieces).ok()? })
    }
}

fn of_system(description: &Description) -> Sha256 {
    let version = description.version.as_deref().unwrap_or_default();
    Sha256::new().chain_update(description.url.as_bytes()).chain_update(b"|").chain_update(version)
}

fn hexadecimal(digest: Sha256) -> String {
    digest.finalize().iter().take(16).fold(PREFIX.to_owned(), |name, byte| format!("{name}{byte:02x}"))
}

/// The id of the CodeSystem of a code system and version.
pub fn system_id(description: &Description) -> String {
    hexadecimal(of_system(description))
}

/// The CodeSystem that names a table of `concepts` concepts.
pub fn system(description: &Description, concepts: usize, table: &TableName) -> Value {
    let title = description.name.as_deref().unwrap_or(&description.url);
    let name: String = title.chars().filter(char::is_ascii_alphanumeric).collect();
    let property = |it: &conformance::terminology::model::PropertyDefinition| json!({ "code": it.code, "type": it.kind });
    let mut system = json!({
        "resourceType": "CodeSystem",
        "id": system_id(description),
        "extension": [{ "url": EXTENSION, "extension": [
            { "url": "name", "valueId": table.name },
            { "url": "pieces", "valueUnsignedInt": table.pieces },
        ] }],
        "url": description.url,
        "version": description.version,
        "name": name,
        "title": title,
        "status": "active",
        "caseSensitive": description.case_sensitive,
        "hierarchyMeaning": "is-a",
        "content": "not-present",
        "count": concepts,
        "property": description.properties.iter().map(property).collect::<Vec<_>>(),
    });
    if let Some(members) = system.as_object_mut() {
        members.retain(|_, value| !value.is_null() && *value != json!([]));
    }
    system
}

/// The id of a piece.
pub fn piece_id(table: &str, number: u32) -> String {
    format!("{table}-{number}")
}

/// The Binary of a piece.
pub fn piece(table: &str, number: u32, bytes: &[u8]) -> Value {
    let form = if number == 0 { "application/json" } else { "application/x-ndjson" };
    json!({
        "resourceType": "Binary",
        "id": piece_id(table, number),
        "contentType": form,
        "data": STANDARD.encode(bytes),
    })
}

/// Where a piece is. A CodeSystem can name what no importer made; then nothing is there.
pub(crate) fn piece_key(table: &str, number: u32) -> Option<Key> {
    table.starts_with(PREFIX).then(|| Key::parse(&format!("Binary/{}", piece_id(table, number)))).flatten()
}

/// The piece that a Binary holds.
///
/// # Errors
/// Its data is none.
pub(crate) fn piece_of(service: &Service, version: &Version) -> Result<Arc<[u8]>, Failure> {
    let broken = || Failure::internal(&"a piece of a table of a code system cannot be read");
    let tree = Tree::parse_json(&service.definitions.schema, version.body.to_vec(), &Limits::DEFAULT);
    let tree = tree.map_err(|_| broken())?;
    let data = tree.root().get("data").and_then(|data| data.value()).unwrap_or_default();
    Ok(STANDARD.decode(data.as_bytes()).map_err(|_| broken())?.into())
}

/// The name of the table of a CodeSystem.
pub(crate) fn table_of(system: &Tree) -> Option<String> {
    let extension =
        system.root().all("extension").find(|it| it.get("url").is_some_and(|url| is(url, EXTENSION)))?;
    let name = extension.all("extension").find(|it| it.get("url").is_some_and(|url| is(url, "name")))?;
    Some(name.get("value")?.value()?.into_owned())
}

fn is(element: fhirpath::Element<'_>, text: &str) -> bool {
    element.value().is_some_and(|value| value == text)
}
