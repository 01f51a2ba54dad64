//! StructureDefinition (<https://hl7.org/fhir/R4/structuredefinition.html>) to [`TypeDefinition`]s: one for the type, one
//! for each backbone element in it. It never judges instances.

use std::collections::{HashMap, HashSet};

use fhirpath::schema::{ElementDefinition, TypeDefinition, TypeKind, TypeReference};
use serde::Deserialize;

use crate::package::DefinitionRule;

const FHIR_TYPE: &str = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type";
const SYSTEM_TYPE: &str = "http://hl7.org/fhirpath/System.";

/// The parts of a StructureDefinition that a type is made of.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StructureDefinition {
    pub(crate) url: String,
    pub(crate) version: Option<String>,
    pub(crate) kind: String,
    #[serde(rename = "abstract")]
    is_abstract: bool,
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    base_definition: Option<String>,
    pub(crate) derivation: Option<String>,
    snapshot: Option<Snapshot>,
}

#[derive(Debug, Deserialize)]
struct Snapshot {
    element: Vec<SnapshotElement>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SnapshotElement {
    path: String,
    #[serde(rename = "type", default)]
    types: Vec<ElementType>,
    content_reference: Option<String>,
    #[serde(default)]
    min: u32,
    max: Option<String>,
    base: Option<ElementBase>,
    #[serde(default)]
    is_summary: bool,
    #[serde(default)]
    is_modifier: bool,
}

#[derive(Debug, Deserialize)]
struct ElementBase {
    path: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ElementType {
    code: String,
    #[serde(default)]
    extension: Vec<TypeExtension>,
    #[serde(default)]
    target_profile: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TypeExtension {
    url: String,
    value_url: Option<String>,
}

impl StructureDefinition {
    /// What kind of type it defines; `None` for a profile and for a logical model, which define none.
    pub(crate) fn type_kind(&self) -> Option<TypeKind> {
        if self.derivation.as_deref() == Some("constraint") {
            return None;
        }
        match self.kind.as_str() {
            "primitive-type" => Some(TypeKind::PrimitiveType),
            "complex-type" => Some(TypeKind::ComplexType),
            "resource" => Some(TypeKind::Resource),
            _ => None,
        }
    }

    /// The type and its backbone elements, in the order of the snapshot.
    pub(crate) fn types(&self, kind: TypeKind) -> Result<Vec<TypeDefinition>, DefinitionRule> {
        let elements = self.snapshot.as_ref().map_or(&[][..], |snapshot| &snapshot.element);
        let Some((root, below)) = elements.split_first() else {
            return Err(DefinitionRule::NoSnapshot);
        };
        let own = TypeDefinition {
            name: self.type_name.clone(),
            kind,
            base: self.base_definition.as_deref().map(|url| last_segment(url).to_owned()),
            is_abstract: self.is_abstract,
            elements: Vec::new(),
        };
        let mut types = vec![own];
        let mut positions = HashMap::from([(root.path.as_str(), 0)]);
        let mut seen = HashSet::new();
        for (at, element) in below.iter().enumerate() {
            let has_children = below.get(at + 1).is_some_and(|next| is_below(&next.path, &element.path));
            let definition = element.definition(has_children)?;
            let parent = element.path.rsplit_once('.').and_then(|(parent, _)| positions.get(parent));
            let owner = parent.and_then(|&parent| types.get_mut(parent));
            let owner = owner.ok_or_else(|| DefinitionRule::NoParent(element.path.clone()))?;
            if !seen.insert(element.path.trim_end_matches("[x]")) {
                return Err(DefinitionRule::Repeated(element.path.clone()));
            }
            if element.exists_in(kind) {
                owner.elements.push(definition);
            }
            if has_children {
                positions.insert(&element.path, types.len());
                types.push(element.backbone());
            }
        }
        Ok(types)
    }
}

impl SnapshotElement {
    /// Whether it is an element at all: not one that a specialization prohibits (`xhtml.extension`), and not the
    /// value of a primitive, which is what the primitive is.
    fn exists_in(&self, kind: TypeKind) -> bool {
        self.max.as_deref() != Some("0") && (kind != TypeKind::PrimitiveType || self.name() != "value")
    }

    fn name(&self) -> &str {
        let last = self.path.rsplit_once('.').map_or(self.path.as_str(), |(_, last)| last);
        last.strip_suffix("[x]").unwrap_or(last)
    }

    fn definition(&self, has_children: bool) -> Result<ElementDefinition, DefinitionRule> {
        Ok(ElementDefinition {
            name: self.name().to_owned(),
            types: self.type_references(has_children)?,
            min: self.min,
            max: self.max_count()?,
            is_choice: self.path.ends_with("[x]"),
            is_summary: self.is_summary,
            is_modifier: self.is_modifier,
        })
    }

    fn max_count(&self) -> Result<Option<u32>, DefinitionRule> {
        match self.max.as_deref() {
            Some("*") => Ok(None),
            Some(max) => max.parse().map(Some).map_err(|_| DefinitionRule::Max(self.path.clone())),
            None => Err(DefinitionRule::Max(self.path.clone())),
        }
    }

    fn type_references(&self, has_children: bool) -> Result<Vec<TypeReference>, DefinitionRule> {
        if has_children {
            return Ok(vec![TypeReference { code: self.path.clone(), targets: Vec::new() }]);
        }
        if let Some(reference) = &self.content_reference {
            let path = reference.rsplit_once('#').map_or(reference.as_str(), |(_, path)| path);
            return Ok(vec![TypeReference { code: path.to_owned(), targets: Vec::new() }]);
        }
        let mut references: Vec<TypeReference> = Vec::new();
        for element_type in &self.types {
            let code = self.fhir_type(element_type)?;
            // One type may be there twice with different profiles (Quantity and SimpleQuantity).
            if !references.iter().any(|known| known.code == code) {
                references.push(TypeReference { code, targets: targets(&element_type.target_profile) });
            }
        }
        if references.is_empty() {
            return Err(DefinitionRule::NoType(self.path.clone()));
        }
        Ok(references)
    }

    /// The FHIR type of an element: its code, or for a type of FHIRPath's own (`System.String`, of ids and URLs) what
    /// the fhir-type extension says. That of `Resource.id` says `string` in 4.0.1 by mistake; the specification says
    /// `id` (<https://hl7.org/fhir/R4/resource.html>).
    fn fhir_type(&self, element_type: &ElementType) -> Result<String, DefinitionRule> {
        let Some(system) = element_type.code.strip_prefix(SYSTEM_TYPE) else {
            return Ok(element_type.code.clone());
        };
        if self.base.as_ref().is_some_and(|base| base.path == "Resource.id") {
            return Ok("id".to_owned());
        }
        let named = element_type.extension.iter().find(|extension| extension.url == FHIR_TYPE);
        match named.and_then(|extension| extension.value_url.clone()) {
            Some(named) => Ok(named),
            None if system == "String" => Ok("string".to_owned()),
            None => Err(DefinitionRule::NoType(self.path.clone())),
        }
    }

    /// The type that an element with children stands for; its children follow.
    fn backbone(&self) -> TypeDefinition {
        TypeDefinition {
            name: self.path.clone(),
            kind: TypeKind::ComplexType,
            base: self.types.first().map(|base| base.code.clone()),
            is_abstract: false,
            elements: Vec::new(),
        }
    }
}

/// The types that profiles in `targetProfile` stand for, sorted; empty for any.
fn targets(profiles: &[String]) -> Vec<String> {
    let mut targets: Vec<String> = profiles.iter().map(|url| last_segment(url).to_owned()).collect();
    targets.sort_unstable();
    targets.dedup();
    if targets.iter().any(|target| target == "Resource") {
        targets.clear();
    }
    targets
}

/// `Patient` of `http://hl7.org/fhir/StructureDefinition/Patient`.
pub(crate) fn last_segment(url: &str) -> &str {
    url.rsplit_once('/').map_or(url, |(_, last)| last)
}

fn is_below(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const STRING: &str = "http://hl7.org/fhirpath/System.String";

    fn types(kind: &str, elements: Value) -> Result<Vec<TypeDefinition>, DefinitionRule> {
        let structure = json!({
            "url": "http://hl7.org/fhir/StructureDefinition/Thing", "kind": kind, "abstract": false, "type": "Thing",
            "baseDefinition": "http://hl7.org/fhir/StructureDefinition/DomainResource",
            "derivation": "specialization", "snapshot": { "element": elements },
        });
        let structure: StructureDefinition = serde_json::from_value(structure).unwrap();
        structure.types(structure.type_kind().unwrap())
    }

    #[test]
    fn a_resource_and_its_backbone_elements() {
        let found = types(
            "resource",
            json!([
                { "path": "Thing", "min": 0, "max": "*" },
                { "path": "Thing.id", "max": "1", "base": { "path": "Resource.id" }, "type": [{ "code": STRING }] },
                { "path": "Thing.part", "min": 1, "max": "*", "isSummary": true, "type": [{ "code": "BackboneElement" }] },
                { "path": "Thing.part.id", "max": "1", "base": { "path": "Element.id" }, "type": [{ "code": STRING }] },
                { "path": "Thing.part.value[x]", "max": "1", "type": [
                    { "code": "Quantity" }, { "code": "Quantity", "profile": ["x"] },
                    { "code": "Reference", "targetProfile": ["http://x/Patient", "http://x/Group"] } ] },
                { "path": "Thing.part.part", "max": "*", "contentReference": "#Thing.part" },
                { "path": "Thing.subject", "max": "1", "isModifier": true, "type": [
                    { "code": "Reference", "targetProfile": ["http://x/Patient", "http://x/Resource"] } ] },
            ]),
        );
        let text: Vec<String> = found.unwrap().iter().map(|it| serde_json::to_string(it).unwrap()).collect();
        assert_eq!(
            text,
            [
                concat!(
                    r#"{"name":"Thing","kind":"resource","base":"DomainResource","elements":["#,
                    r#"{"name":"id","types":[{"code":"id"}],"max":1},"#,
                    r#"{"name":"part","types":[{"code":"Thing.part"}],"min":1,"is_summary":true},"#,
                    r#"{"name":"subject","types":[{"code":"Reference"}],"max":1,"is_modifier":true}]}"#
                ),
                concat!(
                    r#"{"name":"Thing.part","kind":"complex-type","base":"BackboneElement","elements":["#,
                    r#"{"name":"id","types":[{"code":"string"}],"max":1},"#,
                    r#"{"name":"value","types":[{"code":"Quantity"},"#,
                    r#"{"code":"Reference","targets":["Group","Patient"]}],"max":1,"is_choice":true},"#,
                    r#"{"name":"part","types":[{"code":"Thing.part"}]}]}"#
                ),
            ]
        );
    }

    #[test]
    fn a_primitive_keeps_what_an_element_has() {
        let found = types(
            "primitive-type",
            json!([
                { "path": "Thing" },
                { "path": "Thing.id", "max": "1", "type": [{ "code": STRING }] },
                { "path": "Thing.extension", "max": "*", "type": [{ "code": "Extension" }] },
                { "path": "Thing.value", "max": "1", "type": [{ "code": STRING }] },
            ]),
        );
        let found = found.unwrap();
        let names: Vec<&str> = found.iter().flat_map(|it| &it.elements).map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["id", "extension"]);
    }

    #[test]
    fn broken_snapshots_are_refused() {
        let check =
            |elements: Value, rule: DefinitionRule| assert_eq!(types("resource", elements), Err(rule));
        check(json!([]), DefinitionRule::NoSnapshot);
        let string = json!([{ "code": "string" }]);
        let with = |element: Value| json!([{ "path": "Thing" }, element]);
        let orphan = json!({ "path": "Thing.a.b", "max": "1", "type": string });
        check(with(orphan), DefinitionRule::NoParent("Thing.a.b".to_owned()));
        let untyped = json!({ "path": "Thing.a", "max": "1" });
        check(with(untyped), DefinitionRule::NoType("Thing.a".to_owned()));
        let boundless = json!({ "path": "Thing.a", "max": "many", "type": string });
        check(with(boundless), DefinitionRule::Max("Thing.a".to_owned()));
        let system = json!({ "path": "Thing.a", "max": "1", "type": [{ "code": "http://hl7.org/fhirpath/System.Any" }] });
        check(with(system), DefinitionRule::NoType("Thing.a".to_owned()));
        let one = json!({ "path": "Thing.a", "max": "1", "type": string });
        check(json!([{ "path": "Thing" }, one, one]), DefinitionRule::Repeated("Thing.a".to_owned()));
    }
}
