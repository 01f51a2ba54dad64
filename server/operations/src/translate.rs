//! `$translate` (<https://hl7.org/fhir/R4/conceptmap-operation-translate.html>): what concept maps make of a code.

use conformance::terminology::TranslateRequest;
use interaction::{Caller, Failure, OperationDescriptor, Outcome, Service};

use crate::{Invocation, Operation, Running, terminology};

pub(crate) const TRANSLATE: Operation = Operation {
    descriptor: OperationDescriptor {
        name: "translate",
        definition: "http://hl7.org/fhir/OperationDefinition/ConceptMap-translate",
        resource_types: &["ConceptMap"],
        system: false,
        type_level: true,
        instance: true,
        affects_state: false,
    },
    handler: |service, caller, invocation| Box::pin(translate(service, caller, invocation)) as Running<'_>,
};

async fn translate(service: &Service, caller: &Caller, invocation: Invocation) -> Result<Outcome, Failure> {
    let parameters = terminology::parameters(service, &invocation)?;
    let instance = terminology::instance(service, caller, &invocation).await?;
    let request = TranslateRequest::read(parameters, instance).map_err(terminology::refuse)?;
    let found = service
        .ask(caller, |_, terminology| terminology.translate(&request).map(|found| found.to_json()))
        .await?;
    terminology::answer(found)
}
