//! `$reindex` at the base and on SearchParameter: how far the index has the search parameters that the tenant stored. GET
//! tells; POST reads the stored ones again first. The work itself goes on in the background, and needs no call.
//!
//! FHIR R4 has no such operation. It has the name of HAPI's and of Microsoft's; as Microsoft's `GET _operations/reindex/ID` it
//! answers a Parameters resource with `status`, `progress` and the resources done, and there is one job at a time. A
//! stored SearchParameter is `active`, `indexing` (searches by it are answered 503 and told how far it is) or `inactive`, with
//! the reason.

use fhirpath::tree::write_string;
use interaction::{Caller, Failure, OperationDescriptor, Outcome, Service, StoredParameter};
use store::{OwnParameters, Permission};

use crate::parameters::{refuse, shown, simple};
use crate::{Invocation, Operation, Running};

pub(crate) const REINDEX: Operation = Operation {
    descriptor: OperationDescriptor {
        name: "reindex",
        definition: "urn:vesta:operation:reindex",
        resource_types: &["SearchParameter"],
        system: true,
        type_level: true,
        instance: false,
        affects_state: false,
    },
    handler: |service, caller, invocation| Box::pin(reindex(service, caller, invocation)) as Running<'_>,
};

async fn reindex(service: &Service, caller: &Caller, invocation: Invocation) -> Result<Outcome, Failure> {
    caller.require(Permission::Search, "SearchParameter")?;
    if let Some((name, _)) = simple(service, &invocation)?.first() {
        let name = shown(name);
        let details = format!("The operation $reindex has no parameter {name}.");
        return Err(refuse(fhirpath::IssueType::NotSupported, details, format!("http.{name}")));
    }
    let stored = service.stored_parameters(&caller.tenant, invocation.body.is_some()).await?;
    let index = service.store.own_parameters(&caller.tenant).await?;
    Ok(Outcome::resource(answer(&stored, &index)))
}

/// The Parameters resource.
fn answer(stored: &[StoredParameter], index: &OwnParameters) -> Vec<u8> {
    let mut out = br#"{"resourceType":"Parameters","parameter":["#.to_vec();
    let status = if index.progress.is_some() { "running" } else { "completed" };
    code(&mut out, "status", status);
    if let Some((done, total)) = index.progress {
        let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100);
        for (name, value) in [("progress", percent), ("resourcesDone", done), ("resourcesTotal", total)] {
            out.extend_from_slice(format!(r#",{{"name":"{name}","valueDecimal":{value}}}"#).as_bytes());
        }
    }
    for parameter in stored {
        out.extend_from_slice(
            br#",{"name":"searchParameter","part":[{"name":"resource","valueReference":{"reference":"#,
        );
        write_string(&mut out, parameter.key.as_str());
        out.extend_from_slice(br#"}},{"name":"url","valueUri":"#);
        write_string(&mut out, &parameter.url);
        out.extend_from_slice(b"},");
        code(&mut out, "status", standing(parameter, index));
        if let Some(why) = &parameter.inactive {
            text(&mut out, "reason", why);
        }
        parameter.names.iter().for_each(|name| text(&mut out, "name", name));
        out.extend_from_slice(b"]}");
    }
    out.extend_from_slice(b"]}");
    out
}

/// Of a stored parameter: whether searches by it are answered.
fn standing(parameter: &StoredParameter, index: &OwnParameters) -> &'static str {
    let answers = |name: &String| index.parameters.iter().any(|(own, answers)| own.name == *name && *answers);
    match () {
        () if parameter.inactive.is_some() => "inactive",
        () if parameter.names.iter().all(answers) => "active",
        () => "indexing",
    }
}

fn code(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(format!(r#"{{"name":"{name}","valueCode":"{value}"}}"#).as_bytes());
}

fn text(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(format!(r#",{{"name":"{name}","valueString":"#).as_bytes());
    write_string(out, value);
    out.push(b'}');
}
