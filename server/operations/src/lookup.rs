//! `$lookup` (<https://hl7.org/fhir/R4/codesystem-operation-lookup.html>): what a code system says of a code.

use conformance::terminology::LookupRequest;
use interaction::{Caller, Failure, OperationDescriptor, Outcome, Service};

use crate::{Invocation, Operation, Running, terminology};

pub(crate) const LOOKUP: Operation = Operation {
    descriptor: OperationDescriptor {
        name: "lookup",
        definition: "http://hl7.org/fhir/OperationDefinition/CodeSystem-lookup",
        resource_types: &["CodeSystem"],
        system: false,
        type_level: true,
        instance: false,
        affects_state: false,
    },
    handler: |service, caller, invocation| Box::pin(lookup(service, caller, invocation)) as Running<'_>,
};

async fn lookup(service: &Service, caller: &Caller, invocation: Invocation) -> Result<Outcome, Failure> {
    let parameters = terminology::parameters(service, &invocation)?;
    let instance = terminology::instance(service, caller, &invocation).await?;
    let request = LookupRequest::read(parameters, instance).map_err(terminology::refuse)?;
    let found = service
        .ask(caller, |_, terminology| terminology.lookup(&request).map(|found| found.to_json()))
        .await?;
    terminology::answer(found)
}
