//! The parameters of `$expand`, and its answer as a ValueSet.

use serde_json::{Map, Value, json};

use super::{Contained, ExpandRequest, Expansion};
use crate::terminology::model;
use crate::terminology::operation::{OperationError, ValueSetSource};
use crate::terminology::parameters::Parameters;
use crate::terminology::resolve::Versions;

impl ExpandRequest {
    /// Of the operation's parameters; `instance` is the value set that it is called on.
    ///
    /// # Errors
    /// A parameter that is missing, unknown, not served, or not what it must be.
    pub fn read(
        mut parameters: Parameters,
        instance: Option<model::ValueSet>,
    ) -> Result<ExpandRequest, OperationError> {
        parameters.refuse(&["context", "contextDirection", "date"])?;
        let value_set = ValueSetSource::read(&mut parameters, instance)?;
        let mut flag = |name: &str| parameters.boolean(name).map(|value| value.unwrap_or(false));
        let request = ExpandRequest {
            active_only: flag("activeOnly")?,
            include_designations: flag("includeDesignations")?,
            include_definition: flag("includeDefinition")?,
            exclude_nested: flag("excludeNested")?,
            exclude_not_for_ui: flag("excludeNotForUI")?,
            filter: parameters.text("filter")?,
            offset: parameters.count("offset")?,
            count: parameters.count("count")?,
            designations: parameters.texts("designation")?,
            display_language: parameters.text("displayLanguage")?,
            exclude_systems: parameters.texts("exclude-system")?,
            versions: Versions {
                default: parameters.texts("system-version")?,
                force: parameters.texts("force-system-version")?,
                check: parameters.texts("check-system-version")?,
            },
            value_set,
        };
        // No code that is put together of others is ever listed.
        parameters.boolean("excludePostCoordinated")?;
        parameters.finish()?;
        Ok(request)
    }

    /// What the answer repeats of the request.
    fn echo(&self) -> Vec<Value> {
        let mut all = Vec::new();
        let mut add = |name: &str, kind: &str, value: Value| all.push(json!({ "name": name, kind: value }));
        let texts = [("filter", &self.filter), ("displayLanguage", &self.display_language)];
        for (name, value) in texts.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))) {
            add(name, if name == "filter" { "valueString" } else { "valueCode" }, value.into());
        }
        for (name, value) in [("offset", self.offset), ("count", self.count)] {
            if let Some(value) = value {
                add(name, "valueInteger", value.into());
            }
        }
        let flags = [
            ("activeOnly", self.active_only),
            ("includeDesignations", self.include_designations),
            ("includeDefinition", self.include_definition),
            ("excludeNested", self.exclude_nested),
            ("excludeNotForUI", self.exclude_not_for_ui),
        ];
        flags
            .into_iter()
            .filter(|(_, set)| *set)
            .for_each(|(name, _)| add(name, "valueBoolean", true.into()));
        let lists = [
            ("exclude-system", &self.exclude_systems),
            ("system-version", &self.versions.default),
            ("force-system-version", &self.versions.force),
            ("check-system-version", &self.versions.check),
        ];
        for (name, values) in lists {
            values.iter().for_each(|value| add(name, "valueUri", value.as_str().into()));
        }
        self.designations.iter().for_each(|value| add("designation", "valueString", value.as_str().into()));
        all
    }
}

impl Expansion {
    /// The ValueSet. `timestamp` is the moment of the answer, a dateTime of FHIR; `identifier` a URI that nothing else has.
    pub fn to_json(&self, request: &ExpandRequest, timestamp: &str, identifier: &str) -> Vec<u8> {
        let mut set = Map::new();
        set.insert("resourceType".to_owned(), "ValueSet".into());
        let own = &self.value_set;
        if !own.url.is_empty() {
            set.insert("url".to_owned(), own.url.as_str().into());
        }
        let texts = [("version", &own.version), ("name", &own.name), ("title", &own.title)];
        for (name, value) in texts {
            if let Some(value) = value {
                set.insert(name.to_owned(), value.as_str().into());
            }
        }
        set.insert("status".to_owned(), own.status.as_deref().unwrap_or("unknown").into());
        if let (true, Some(compose)) = (request.include_definition, &own.compose) {
            set.insert("compose".to_owned(), json!(compose));
        }
        let mut expansion = Map::new();
        expansion.insert("identifier".to_owned(), identifier.into());
        expansion.insert("timestamp".to_owned(), timestamp.into());
        expansion.insert("total".to_owned(), self.total.into());
        if let Some(offset) = request.offset {
            expansion.insert("offset".to_owned(), offset.into());
        }
        let mut parameters = request.echo();
        parameters.extend(self.systems.iter().map(|used| json!({ "name": "version", "valueUri": used })));
        if !parameters.is_empty() {
            expansion.insert("parameter".to_owned(), Value::Array(parameters));
        }
        if !self.contains.is_empty() {
            expansion.insert("contains".to_owned(), contains(&self.contains));
        }
        set.insert("expansion".to_owned(), Value::Object(expansion));
        Value::Object(set).to_string().into_bytes()
    }
}

fn contains(entries: &[Contained]) -> Value {
    let entry = |entry: &Contained| {
        let mut json = Map::new();
        json.insert("system".to_owned(), entry.system.as_ref().into());
        if entry.is_abstract {
            json.insert("abstract".to_owned(), true.into());
        }
        if entry.inactive {
            json.insert("inactive".to_owned(), true.into());
        }
        json.insert("code".to_owned(), entry.code.as_ref().into());
        if let Some(display) = &entry.display {
            json.insert("display".to_owned(), display.as_str().into());
        }
        if !entry.designations.is_empty() {
            json.insert("designation".to_owned(), json!(entry.designations));
        }
        if !entry.contains.is_empty() {
            json.insert("contains".to_owned(), contains(&entry.contains));
        }
        Value::Object(json)
    };
    entries.iter().map(entry).collect()
}
