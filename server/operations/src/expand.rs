//! `$expand` (<https://hl7.org/fhir/R4/valueset-operation-expand.html>): the codes of a value set.

use conformance::terminology::ExpandRequest;
use interaction::{Caller, Failure, OperationDescriptor, Outcome, Service};

use crate::{Invocation, Operation, Running, terminology};

pub(crate) const EXPAND: Operation = Operation {
    descriptor: OperationDescriptor {
        name: "expand",
        definition: "http://hl7.org/fhir/OperationDefinition/ValueSet-expand",
        resource_types: &["ValueSet"],
        system: false,
        type_level: true,
        instance: true,
        affects_state: false,
    },
    handler: |service, caller, invocation| Box::pin(expand(service, caller, invocation)) as Running<'_>,
};

async fn expand(service: &Service, caller: &Caller, invocation: Invocation) -> Result<Outcome, Failure> {
    let parameters = terminology::parameters(service, &invocation)?;
    let instance = terminology::instance(service, caller, &invocation).await?;
    let request = ExpandRequest::read(parameters, instance).map_err(terminology::refuse)?;
    let found = service.ask(caller, |_, terminology| terminology.expand(&request)).await?;
    let now = (service.clock)().to_string();
    let identifier = format!("urn:uuid:{}", (service.new_id)());
    let written = found.map(|found| found.to_json(&request, &now, &identifier));
    terminology::answer(written)
}
