//! `$everything` (<https://hl7.org/fhir/R4/patient-operation-everything.html>,
//! <https://hl7.org/fhir/R4/encounter-operation-everything.html>, <https://hl7.org/fhir/R4/group-operation-everything.html>): the
//! compartment of a patient, of each patient of a group, of all patients, or of an encounter, and what its resources refer to.
//!
//! Without `_count` all comes in one Bundle, as the definition has it, up to [`WHOLE`] resources or [`WHOLE_BYTES`]; what
//! is more, and what is more than `_count`, is behind the `next` link. Nothing is left out.

mod position;
mod referred;
mod request;
mod scope;
mod subjects;
mod walk;

use interaction::{
    Caller, Failure, OperationDescriptor, Outcome, PageWriter, Pages, ReadConditions, Service,
};
use store::Permission;

pub(crate) use scope::{has as compartment_has, members as in_compartment};
pub(crate) use subjects::members;

use crate::{Invocation, Operation, Running};
use position::Position;
use request::Request;
use subjects::Subjects;
use walk::Walk;

pub(crate) const PATIENT: Operation =
    operation("http://hl7.org/fhir/OperationDefinition/Patient-everything", &["Patient"], true);
pub(crate) const ENCOUNTER: Operation =
    operation("http://hl7.org/fhir/OperationDefinition/Encounter-everything", &["Encounter"], false);
pub(crate) const GROUP: Operation =
    operation("http://hl7.org/fhir/OperationDefinition/Group-everything", &["Group"], false);

const fn operation(
    definition: &'static str,
    resource_types: &'static [&'static str],
    type_level: bool,
) -> Operation {
    Operation {
        descriptor: OperationDescriptor {
            name: "everything",
            definition,
            resource_types,
            system: false,
            type_level,
            instance: true,
            affects_state: false,
        },
        handler: |service, caller, invocation| {
            Box::pin(everything(service, caller, invocation)) as Running<'_>
        },
    }
}

/// Most resources of a Bundle when the request does not say how many.
const WHOLE: usize = 10_000;
/// A Bundle takes no more resources when those it has are this long together.
const WHOLE_BYTES: usize = 32 << 20;

async fn everything(service: &Service, caller: &Caller, invocation: Invocation) -> Result<Outcome, Failure> {
    let resource_type = invocation.resource_type.as_deref().unwrap_or_default();
    let request = Request::read(service, resource_type, &invocation)?;
    let path = match &invocation.id {
        Some(id) => {
            interaction::read(service, caller, resource_type, id, &ReadConditions::default()).await?;
            format!("{resource_type}/{id}/$everything")
        }
        None => {
            caller.require(Permission::Search, resource_type)?;
            format!("{resource_type}/$everything")
        }
    };
    let subjects = Subjects::of(service, caller, resource_type, invocation.id.as_deref()).await?;
    let pages = Pages::new(service, caller, &path, &request.honoured);
    let position = match &request.cursor {
        Some(text) => Some(Position::read(&pages.position(text)?)?),
        None => subjects.first(service, caller).await?,
    };
    let walk = Walk::new(service, caller, &request, &subjects);
    let page = walk.page(position, request.count.unwrap_or(WHOLE)).await?;

    let count = request.count.unwrap_or(0);
    let mut links = vec![("self", pages.url(count, request.cursor.as_deref()))];
    if request.cursor.is_some() || page.next.is_some() {
        links.push(("first", pages.url(count, None)));
    }
    if let Some(next) = &page.next {
        links.push(("next", pages.url(count, Some(&pages.sign(&next.write())))));
    }
    let mut out = PageWriter::open(service, None, "searchset", None, &links, page.bytes);
    for (version, mode) in &page.entries {
        out.found(version, *mode)?;
    }
    Ok(Outcome::resource(out.close()))
}
