//! `$meta` (<https://hl7.org/fhir/R4/resource-operation-meta.html>): the profiles, tags and security labels of a resource, or
//! those in use on a type or the whole server.

use interaction::{Caller, Failure, OperationDescriptor, Outcome, Service};

use crate::{Invocation, Operation, Running};

pub(crate) const META: Operation = Operation {
    descriptor: OperationDescriptor {
        name: "meta",
        definition: "http://hl7.org/fhir/OperationDefinition/Resource-meta",
        resource_types: &[],
        system: true,
        type_level: true,
        instance: true,
        affects_state: false,
    },
    handler: start,
};

fn start<'a>(service: &'a Service, caller: &'a Caller, invocation: Invocation) -> Running<'a> {
    Box::pin(meta(service, caller, invocation))
}

async fn meta(service: &Service, caller: &Caller, invocation: Invocation) -> Result<Outcome, Failure> {
    let _ = (service, caller, invocation);
    todo!()
}
