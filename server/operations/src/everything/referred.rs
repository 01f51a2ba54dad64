//! What the resources of a compartment refer to, and what that refers to in turn: practitioners, organizations, locations,
//! medications, devices, binaries.
//!
//! What is in the compartments of other patients alone is left alone: a reference to it gives no right to see it. What is
//! in no patient's compartment belongs to the record, and so does what it refers to.

use std::collections::BTreeMap;

use fhirpath::{IssueType, Tree};
use interaction::{Caller, Failure, Service, Status};
use rustc_hash::FxHashSet;
use store::{Key, ParameterId, Version};

/// Most resources that one compartment may refer to.
const MAX_REFERRED: usize = 10_000;

/// Collects references.
pub(super) struct References<'a> {
    service: &'a Service,
    caller: &'a Caller,
    /// The resources that need not be found: they are in the compartment.
    own: FxHashSet<Key>,
    /// What they refer to; some of it may be in the compartment itself.
    targets: FxHashSet<Key>,
}

impl<'a> References<'a> {
    pub(super) fn new(service: &'a Service, caller: &'a Caller) -> References<'a> {
        References { service, caller, own: FxHashSet::default(), targets: FxHashSet::default() }
    }

    /// Adds a resource of the compartment.
    pub(super) fn add(&mut self, version: &Version) -> Result<(), Failure> {
        self.own.insert(version.key.clone());
        let targets = targets(self.service, version)?;
        self.targets.extend(targets);
        Ok(())
    }

    /// What is referred to, by key. `patients` are those whose record it is.
    ///
    /// # Errors
    /// `too-costly` when that is more than [`MAX_REFERRED`] resources; the store failed.
    pub(super) async fn follow(self, patients: &FxHashSet<Key>) -> Result<BTreeMap<Key, Version>, Failure> {
        let References { service, caller, own, targets: first } = self;
        let mut found = BTreeMap::new();
        let mut asked: FxHashSet<Key> = own;
        let mut next: Vec<Key> = first.into_iter().filter(|key| !asked.contains(key)).collect();
        asked.extend(next.iter().cloned());
        while let Some(key) = next.pop() {
            let read = service.store.read(&caller.tenant, &caller.access, &key).await?;
            let Some(version) = read.filter(|version| !version.is_deleted()) else { continue };
            let owners = owners(service, caller, &key).await?;
            if owners.is_empty() {
                for target in targets(service, &version)? {
                    if asked.insert(target.clone()) {
                        next.push(target);
                    }
                }
            } else if owners.is_disjoint(patients) {
                continue;
            }
            if found.len() >= MAX_REFERRED {
                let details = format!(
                    "The record refers to more than {MAX_REFERRED} other resources. Ask for a shorter time with start and end."
                );
                return Err(Failure::new(Status::BadRequest, IssueType::TooCostly, details));
            }
            found.insert(key, version);
        }
        Ok(found)
    }
}

/// The patients in whose compartments a resource is.
pub(super) async fn owners(service: &Service, caller: &Caller, key: &Key) -> Result<FxHashSet<Key>, Failure> {
    let resource_type = key.resource_type();
    let mut owners = FxHashSet::default();
    if resource_type == "Patient" {
        owners.insert(key.clone());
    }
    let definitions = &service.definitions;
    let codes = definitions.compartments.parameters("Patient", resource_type).unwrap_or_default();
    let parameters: Vec<ParameterId> = codes
        .iter()
        .filter_map(|code| definitions.search_parameters.get(resource_type, code))
        .map(|parameter| service.index.id(parameter))
        .collect();
    if !parameters.is_empty() {
        let from = std::slice::from_ref(key);
        let texts = service.store.references(&caller.tenant, &caller.access, from, &parameters).await?;
        let keys = texts.iter().filter_map(|text| Key::parse(text));
        owners.extend(keys.filter(|key| key.resource_type() == "Patient"));
    }
    Ok(owners)
}

/// The resources of this server that a resource refers to: its literal references, and the URLs of its attachments.
fn targets(service: &Service, version: &Version) -> Result<Vec<Key>, Failure> {
    let schema = &service.definitions.schema;
    let limits = fhirpath::tree::Limits::DEFAULT;
    let tree = Tree::parse_json(schema, version.body.to_vec(), &limits).map_err(|_| unreadable())?;
    let mut found = Vec::new();
    let (reference, attachment) = (schema.type_id("Reference"), schema.type_id("Attachment"));
    for element in tree.descendants() {
        let kind = Some(element.type_id());
        let holder = if kind == reference {
            "reference"
        } else if kind == attachment {
            "url"
        } else {
            continue;
        };
        let text = element.get(holder).and_then(|text| text.value());
        found.extend(text.and_then(|text| service.index.local_target(&text)));
    }
    Ok(found)
}

pub(super) fn unreadable() -> Failure {
    Failure::new(Status::Internal, IssueType::Exception, "A stored resource cannot be read.")
}
