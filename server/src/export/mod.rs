//! Bulk Data export over the store, `$ehi-export`, which is the same with documentation, `$viewdefinition-export`, which is the
//! same with rows for resources (`views`), and `$bulk-publish`, which the server asks for itself (`publish`): what crate `bulk` reads (`source`,
//! `dictionary`), at which snapshot and for whom (`kickoff`), and the jobs
//! of this process (`exporter`), which are kept in the data directory or in a container of Azure Blob Storage (`home`). Its requests are taken apart by `http::export`.

mod container;
mod dictionary;
mod exporter;
mod fulfils;
mod home;
mod kickoff;
mod publish;
mod source;
mod views;

use bytes::Bytes;
use interaction::OperationDescriptor;
use serde_json::{Value, json};

pub(crate) use exporter::asked_again;
pub use exporter::{Exporter, Found};
pub use home::Home;
pub use kickoff::{Snapshot, begin, level, types};
pub use publish::{PUBLISH_NAME, PUBLISHED, Published};
pub use source::Records;
pub use views::{
    Compiled, VIEWS_NAME, accepted as views_accepted, read as read_views, result as views_result,
};

/// What the CapabilityStatement lists.
pub const DESCRIPTORS: [OperationDescriptor; 5] = [
    descriptor("http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export", &[], true),
    descriptor("http://hl7.org/fhir/uv/bulkdata/OperationDefinition/patient-export", &["Patient"], false),
    OperationDescriptor {
        type_level: false,
        instance: true,
        ..descriptor("http://hl7.org/fhir/uv/bulkdata/OperationDefinition/group-export", &["Group"], false)
    },
    // The guide of Argonaut has no OperationDefinition: https://build.fhir.org/ig/argonautproject/ehi-api/ehi-export.html.
    OperationDescriptor {
        name: EHI_NAME,
        instance: true,
        resource_types: &["Patient"],
        ..descriptor("http://fhir.org/argonaut/ehi-api/OperationDefinition/ehi-export", &[], true)
    },
    OperationDescriptor {
        name: VIEWS_NAME,
        type_level: true,
        ..descriptor(
            "http://sql-on-fhir.org/OperationDefinition/$viewdefinition-export",
            &["ViewDefinition"],
            true,
        )
    },
];

/// What it lists besides where something is published.
pub const PUBLISH_DESCRIPTOR: OperationDescriptor = OperationDescriptor {
    name: PUBLISH_NAME,
    ..descriptor("http://hl7.org/fhir/uv/bulkdata/OperationDefinition/bulk-publish", &[], true)
};

/// The operation's name, without `$`.
pub const NAME: &str = "export";
/// That of the operation which exports everything of a patient, or of all, with its documentation.
pub const EHI_NAME: &str = "ehi-export";

/// The status of a job, below which its files are; `base` is the FHIR base URL.
pub fn files_url(base: &str, job: &str) -> String {
    format!("{base}/bulk/{job}")
}

/// Whether an operation begins an export.
pub fn is_export(name: &str) -> bool {
    [NAME, EHI_NAME, VIEWS_NAME].contains(&name)
}

/// What a server that has these operations instantiates.
const CAPABILITIES: &str = "http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data";

/// The CapabilityStatement, which also says that it does what Bulk Data asks of a server.
pub fn declared(statement: &Bytes) -> Bytes {
    let Ok(mut value) = serde_json::from_slice::<Value>(statement) else { return statement.clone() };
    let members = value.as_object_mut();
    let all = members.map(|members| members.entry("instantiates").or_insert_with(|| json!([])));
    if let Some(Value::Array(all)) = all {
        all.push(json!(CAPABILITIES));
    }
    serde_json::to_vec(&value).map_or_else(|_| statement.clone(), Bytes::from)
}

const fn descriptor(
    definition: &'static str,
    resource_types: &'static [&'static str],
    system: bool,
) -> OperationDescriptor {
    OperationDescriptor {
        name: NAME,
        definition,
        resource_types,
        system,
        type_level: !system,
        instance: false,
        affects_state: false,
    }
}
