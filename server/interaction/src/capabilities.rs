//! capabilities (<https://hl7.org/fhir/R4/http.html#capabilities>): the CapabilityStatement
//! (<https://hl7.org/fhir/R4/capabilitystatement.html>), written from the registries: [`INTERACTIONS`], the definitions' types,
//! search parameters and profiles, and the operations. States nothing that is in none of them.

use bytes::Bytes;
use conformance::{SearchParameter, SearchParameterType};
use fhirpath::tree::write_string;

use crate::Service;
use crate::json::Object;
use crate::patch::PATCH_FORMATS;
use crate::time::instant;

/// An operation, as the CapabilityStatement lists it; crate `operations` keeps the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperationDescriptor {
    /// Name without `$`.
    pub name: &'static str,
    /// Canonical URL of its OperationDefinition.
    pub definition: &'static str,
    /// The types it is for at type and instance level; empty for all.
    pub resource_types: &'static [&'static str],
    /// Whether it is called at the base.
    pub system: bool,
    /// Whether it is called on a type.
    pub type_level: bool,
    /// Whether it is called on a resource.
    pub instance: bool,
    /// Whether it changes anything; then GET is refused.
    pub affects_state: bool,
}

/// An interaction, as the CapabilityStatement lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interaction {
    /// Its code (<https://hl7.org/fhir/R4/valueset-restful-interaction.html>).
    pub code: &'static str,
    /// Whether it is listed for each type, or else for the system.
    pub on_types: bool,
}

/// All interactions.
pub const INTERACTIONS: &[Interaction] = &[
    Interaction { code: "read", on_types: true },
    Interaction { code: "vread", on_types: true },
    Interaction { code: "update", on_types: true },
    Interaction { code: "patch", on_types: true },
    Interaction { code: "delete", on_types: true },
    Interaction { code: "history-instance", on_types: true },
    Interaction { code: "history-type", on_types: true },
    Interaction { code: "create", on_types: true },
    Interaction { code: "search-type", on_types: true },
    Interaction { code: "transaction", on_types: false },
    Interaction { code: "batch", on_types: false },
    Interaction { code: "search-system", on_types: false },
    Interaction { code: "history-system", on_types: false },
];

/// The CapabilityStatement, canonical JSON. It changes only with the program and its definitions: make it once.
pub fn capabilities(service: &Service, operations: &[OperationDescriptor]) -> Bytes {
    let mut out = Vec::with_capacity(1 << 20);
    let mut statement = Object::open(&mut out);
    statement
        .text("resourceType", "CapabilityStatement")
        .text("version", env!("CARGO_PKG_VERSION"))
        .text("name", "Vesta")
        .text("title", "Vesta FHIR R4 server")
        .text("status", "active")
        .text("date", &instant((service.clock)()))
        .text("kind", "instance");
    list(&mut statement, "instantiates", packages(service, |package| &package.capability_statements));
    statement
        .object("software", |software| {
            software.text("name", "Vesta").text("version", env!("CARGO_PKG_VERSION"));
        })
        .object("implementation", |implementation| {
            implementation.text("description", "Vesta FHIR R4 server").text("url", &service.base);
        })
        .text("fhirVersion", "4.0.1")
        .texts("format", ["application/fhir+json", "json", "application/fhir+xml", "xml"])
        .texts("patchFormat", PATCH_FORMATS.iter().map(|(media_type, _)| *media_type));
    list(&mut statement, "implementationGuide", packages(service, |package| &package.implementation_guides));
    statement.objects("rest", [()], |(), rest| write_rest(service, operations, rest));
    statement.close();
    out.into()
}

fn packages(service: &Service, of: fn(&conformance::Package) -> &Vec<String>) -> Vec<&str> {
    service.definitions.packages.iter().flat_map(of).map(String::as_str).collect()
}

/// A member with texts; none where there are none.
fn list(object: &mut Object<'_>, name: &str, texts: Vec<&str>) {
    if !texts.is_empty() {
        object.texts(name, texts);
    }
}

/// What no registry has a place for.
const DOCUMENTATION: &str = "Besides FHIR's own parameters, every search takes `_explain=true`: an OperationOutcome entry at \
    the end of the Bundle then lists each step that ran, with its request units and items.";

/// The same where versions may be erased: the interactions are R6's, for which R4 has no codes.
const ERASURE: &str = " What a resource was before is erased for good by `DELETE [type]/[id]/_history` (all versions but the \
    current one) and `DELETE [type]/[id]/_history/[vid]`, the delete-history and delete-history-version of R6.";

fn write_rest(service: &Service, operations: &[OperationDescriptor], rest: &mut Object<'_>) {
    let erasure = if service.limits.erasure { ERASURE } else { "" };
    rest.text("mode", "server").text("documentation", &format!("{DOCUMENTATION}{erasure}"));
    let revincludes = revincludes(service);
    let types = service.definitions.resource_types();
    rest.objects("resource", types, |name, out| resource(service, operations, name, &revincludes, out));
    interactions(rest, false);
    let shared = service.definitions.search_parameters.all().iter();
    let shared = shared.filter(|parameter| match parameter.code.as_str() {
        "_text" => parameter.base == "DomainResource",
        _ => parameter.base == "Resource" && is_searched(parameter),
    });
    rest.objects("searchParam", shared, search_parameter);
    rest_operations(rest, operations.iter().filter(|operation| operation.system));
    let compartments = service.definitions.compartments.codes();
    rest.array("compartment", compartments, |code, out| {
        let url = format!("http://hl7.org/fhir/CompartmentDefinition/{}", code.to_ascii_lowercase());
        write_string(out, &url);
    });
}

fn resource(
    service: &Service,
    operations: &[OperationDescriptor],
    name: &str,
    revincludes: &[(&str, String)],
    out: &mut Object<'_>,
) {
    let base = format!("http://hl7.org/fhir/StructureDefinition/{name}");
    let profile = service.validation.required(name).unwrap_or(&base);
    let searches = service.definitions.combined_searches(name);
    if !searches.is_empty() {
        out.objects("extension", searches, combined_search);
    }
    out.text("type", name).text("profile", profile);
    let profiles = service.definitions.profiles(name).into_iter().filter(|url| *url != base).collect();
    list(out, "supportedProfile", profiles);
    interactions(out, true);
    out.text("versioning", "versioned-update")
        .boolean("readHistory", true)
        .boolean("updateCreate", true)
        .boolean("conditionalCreate", true)
        .text("conditionalRead", "full-support")
        .boolean("conditionalUpdate", true)
        .text("conditionalDelete", "single")
        .texts("referencePolicy", ["literal", "logical", "local"]);
    let parameters: Vec<&SearchParameter> = service.definitions.search_parameters.of(name).collect();
    let parameters = || parameters.iter().copied().filter(|parameter| is_searched(parameter));
    let includes: Vec<String> = parameters()
        .filter(|parameter| parameter.kind == SearchParameterType::Reference)
        .map(|parameter| format!("{name}:{}", parameter.code))
        .collect();
    list(out, "searchInclude", includes.iter().map(String::as_str).collect());
    let reverse = revincludes.iter().filter(|(target, _)| *target == name || *target == ANY);
    list(out, "searchRevInclude", reverse.map(|(_, text)| text.as_str()).collect());
    out.objects("searchParam", parameters(), search_parameter);
    let here = |operation: &&OperationDescriptor| {
        (operation.type_level || operation.instance)
            && (operation.resource_types.is_empty() || operation.resource_types.contains(&name))
    };
    rest_operations(out, operations.iter().filter(here));
}

/// Whether it finds anything: what has values in the index, and texts.
fn is_searched(parameter: &SearchParameter) -> bool {
    parameter.is_indexed() || matches!(parameter.code.as_str(), "_text" | "_content")
}

/// Parameters that are given together, as an extension
/// (<https://hl7.org/fhir/R4/extension-capabilitystatement-search-parameter-combination.html>).
fn combined_search(parameters: &[String], out: &mut Object<'_>) {
    out.objects("extension", parameters, |code, out| {
        out.text("url", "required").text("valueString", code);
    });
    out.text(
        "url",
        "http://hl7.org/fhir/StructureDefinition/capabilitystatement-search-parameter-combination",
    );
}

fn interactions(out: &mut Object<'_>, on_types: bool) {
    let listed = INTERACTIONS.iter().filter(|interaction| interaction.on_types == on_types);
    out.objects("interaction", listed, |interaction, out| {
        out.text("code", interaction.code);
    });
}

fn search_parameter(parameter: &SearchParameter, out: &mut Object<'_>) {
    out.text("name", &parameter.code);
    if let Some(url) = parameter.urls.first() {
        out.text("definition", url);
    }
    out.text("type", parameter.kind.as_str());
    // R4 has no element for them.
    let modifiers = ::search::modifiers(parameter.kind).iter().map(|name| format!(":{name}"));
    out.text("documentation", &format!("Modifiers: {}", modifiers.collect::<Vec<_>>().join(" ")));
}

fn rest_operations<'o>(out: &mut Object<'_>, operations: impl Iterator<Item = &'o OperationDescriptor>) {
    let operations: Vec<&OperationDescriptor> = operations.collect();
    if !operations.is_empty() {
        out.objects("operation", operations, |operation, out| {
            out.text("name", operation.name).text("definition", operation.definition);
        });
    }
}

/// A reference that may point to every type.
const ANY: &str = "Resource";

/// What may refer to a type: each target type, or [`ANY`], with `Observation:subject`.
fn revincludes(service: &Service) -> Vec<(&str, String)> {
    let definitions = &service.definitions;
    let mut found = Vec::new();
    for source in definitions.resource_types() {
        let references = definitions
            .search_parameters
            .of(source)
            .filter(|parameter| parameter.is_indexed() && parameter.kind == SearchParameterType::Reference);
        for parameter in references {
            let text = format!("{source}:{}", parameter.code);
            match parameter.targets.as_slice() {
                [] => found.push((ANY, text)),
                targets => found.extend(targets.iter().map(|target| (target.as_str(), text.clone()))),
            }
        }
    }
    found
}
