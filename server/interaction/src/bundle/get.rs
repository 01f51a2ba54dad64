//! GET in a batch or transaction: a URL below the base to the reading interaction it names, and that interaction.

use ::search::Handling;
use fhirpath::IssueType;
use store::HistoryScope;

use super::entry::{no_operation, refuse, shown};
use crate::{Caller, Failure, Outcome, Projection, ReadConditions, Service, parameters};

/// A reading interaction.
#[derive(Debug)]
pub(super) struct Get {
    kind: Kind,
    parameters: Vec<(String, String)>,
}

#[derive(Debug)]
enum Kind {
    Read(String, String),
    Vread(String, String, String),
    History(HistoryScope),
    Search(Option<String>),
    Compartment(String, String, Option<String>),
}

impl Get {
    /// Reads `Patient/1`, `Patient?name=x`, `Patient/1/_history/2` ..
    ///
    /// # Errors
    /// BadRequest for a URL that names none of these.
    pub(super) fn parse(service: &Service, url: &str) -> Result<Get, Failure> {
        no_operation(url)?;
        let (path, query) = url.split_once('?').unwrap_or((url, ""));
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let owned = str::to_owned;
        let kind = match segments.as_slice() {
            [] => Kind::Search(None),
            ["_history"] => Kind::History(HistoryScope::System),
            ["metadata"] => {
                let details = "The CapabilityStatement is not answered in a Bundle; GET it from metadata.";
                return Err(refuse(IssueType::NotSupported, details));
            }
            [resource_type] => Kind::Search(Some(owned(resource_type))),
            [resource_type, "_history"] => Kind::History(HistoryScope::Type((*resource_type).into())),
            [resource_type, id] => Kind::Read(owned(resource_type), owned(id)),
            [resource_type, id, "_history"] => {
                Kind::History(HistoryScope::Instance(service.key(resource_type, id)?))
            }
            [resource_type, id, "*"] => Kind::Compartment(owned(resource_type), owned(id), None),
            [owner, id, resource_type] => {
                Kind::Compartment(owned(owner), owned(id), Some(owned(resource_type)))
            }
            [resource_type, id, "_history", version] => {
                Kind::Vread(owned(resource_type), owned(id), owned(version))
            }
            _ => {
                let details = format!("The url {} is that of no interaction.", shown(url));
                return Err(refuse(IssueType::NotSupported, &details));
            }
        };
        let mut parameters = parameters::decode(query);
        parameters.retain(|(name, _)| name != "_format" && name != "_pretty");
        Ok(Get { kind, parameters })
    }

    /// Does it.
    pub(super) async fn run(
        &self,
        service: &Service,
        caller: &Caller,
        conditions: &ReadConditions,
    ) -> Result<Outcome, Failure> {
        let parameters = &self.parameters;
        let projection = Projection::from_parameters(parameters);
        match &self.kind {
            Kind::Read(resource_type, id) => {
                let outcome = crate::read(service, caller, resource_type, id, conditions).await?;
                projection?.apply(service, outcome)
            }
            Kind::Vread(resource_type, id, version) => {
                let outcome = crate::vread(service, caller, resource_type, id, version, conditions).await?;
                projection?.apply(service, outcome)
            }
            Kind::History(scope) => crate::history(service, caller, scope.clone(), parameters).await,
            Kind::Search(resource_type) => {
                crate::search(service, caller, resource_type.as_deref(), None, parameters, Handling::Strict)
                    .await
            }
            Kind::Compartment(owner, id, resource_type) => {
                let compartment = Some((owner.as_str(), id.as_str()));
                let resource_type = resource_type.as_deref();
                crate::search(service, caller, resource_type, compartment, parameters, Handling::Strict).await
            }
        }
    }
}
