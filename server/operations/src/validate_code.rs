//! `$validate-code` of CodeSystem (<https://hl7.org/fhir/R4/codesystem-operation-validate-code.html>) and of ValueSet
//! (<https://hl7.org/fhir/R4/valueset-operation-validate-code.html>): whether a code, with its display, is right.

use conformance::terminology::{CodeSystemSource, ValidateCodeRequest, ValueSetSource};
use interaction::{Caller, Failure, OperationDescriptor, Outcome, Service};

use crate::{Invocation, Operation, Running, terminology};

pub(crate) const IN_CODE_SYSTEM: Operation = Operation {
    descriptor: OperationDescriptor {
        name: "validate-code",
        definition: "http://hl7.org/fhir/OperationDefinition/CodeSystem-validate-code",
        resource_types: &["CodeSystem"],
        system: false,
        type_level: true,
        instance: true,
        affects_state: false,
    },
    handler: |service, caller, invocation| {
        Box::pin(in_code_system(service, caller, invocation)) as Running<'_>
    },
};

pub(crate) const IN_VALUE_SET: Operation = Operation {
    descriptor: OperationDescriptor {
        name: "validate-code",
        definition: "http://hl7.org/fhir/OperationDefinition/ValueSet-validate-code",
        resource_types: &["ValueSet"],
        system: false,
        type_level: true,
        instance: true,
        affects_state: false,
    },
    handler: |service, caller, invocation| Box::pin(in_value_set(service, caller, invocation)) as Running<'_>,
};

async fn in_code_system(
    service: &Service,
    caller: &Caller,
    invocation: Invocation,
) -> Result<Outcome, Failure> {
    let parameters = terminology::parameters(service, &invocation)?;
    let instance = terminology::instance(service, caller, &invocation).await?;
    let request = ValidateCodeRequest::<CodeSystemSource>::read(parameters, instance);
    let request = request.map_err(terminology::refuse)?;
    let ask = service.ask(caller, |_, terminology| terminology.validate_in_code_system(&request));
    terminology::answer(ask.await?.map(|found| found.to_json()))
}

async fn in_value_set(
    service: &Service,
    caller: &Caller,
    invocation: Invocation,
) -> Result<Outcome, Failure> {
    let parameters = terminology::parameters(service, &invocation)?;
    let instance = terminology::instance(service, caller, &invocation).await?;
    let request = ValidateCodeRequest::<ValueSetSource>::read(parameters, instance);
    let request = request.map_err(terminology::refuse)?;
    let ask = service.ask(caller, |_, terminology| terminology.validate_in_value_set(&request));
    terminology::answer(ask.await?.map(|found| found.to_json()))
}
