//! Bulk import over the store: what crate `bulk` writes to (`records`), from where sources are brought (`fetch`), and the jobs of
//! this process (`importer`). Its requests are taken apart by `http::import`.

mod fetch;
mod importer;
mod records;

use interaction::OperationDescriptor;

pub use fetch::permitted;
pub(crate) use importer::root;
pub use importer::{Found, Importer, jobs};
pub use records::Records;

/// The operation's name, without `$`.
pub const NAME: &str = "import";

/// What the CapabilityStatement lists.
pub const DESCRIPTOR: OperationDescriptor = OperationDescriptor {
    name: NAME,
    definition: "https://github.com/smart-on-fhir/bulk-import/OperationDefinition/import",
    resource_types: &[],
    system: true,
    type_level: false,
    instance: false,
    affects_state: true,
};
