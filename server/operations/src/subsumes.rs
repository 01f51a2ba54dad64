//! `$subsumes` (<https://hl7.org/fhir/R4/codesystem-operation-subsumes.html>): how two codes relate.

use conformance::terminology::SubsumesRequest;
use interaction::{Caller, Failure, OperationDescriptor, Outcome, Service};

use crate::{Invocation, Operation, Running, terminology};

pub(crate) const SUBSUMES: Operation = Operation {
    descriptor: OperationDescriptor {
        name: "subsumes",
        definition: "http://hl7.org/fhir/OperationDefinition/CodeSystem-subsumes",
        resource_types: &["CodeSystem"],
        system: false,
        type_level: true,
        instance: true,
        affects_state: false,
    },
    handler: |service, caller, invocation| Box::pin(subsumes(service, caller, invocation)) as Running<'_>,
};

async fn subsumes(service: &Service, caller: &Caller, invocation: Invocation) -> Result<Outcome, Failure> {
    let parameters = terminology::parameters(service, &invocation)?;
    let instance = terminology::instance(service, caller, &invocation).await?;
    let request = SubsumesRequest::read(parameters, instance).map_err(terminology::refuse)?;
    let found = service
        .ask(caller, |_, terminology| terminology.subsumption(&request).map(|found| found.to_json()))
        .await?;
    terminology::answer(found)
}
