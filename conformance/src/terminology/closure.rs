//! `$closure` (<https://hl7.org/fhir/R4/conceptmap-operation-closure.html>): keeps, for a client's set of codes, which
//! subsumes which, so that the client can answer such questions by itself.
//!
//! The table of a name is a value that the caller keeps ([`ClosureTable::to_json`]); what is new in it since a version is
//! the answer.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::code_system::{Content, Steps};
use super::model::Code;
use super::operation::OperationError;
use super::parameters::Parameters;
use super::{Terminology, TerminologyError};

type Result<T, E = OperationError> = std::result::Result<T, E>;

/// Most codes in a table.
pub const MAX_CLOSURE: usize = 5_000;

/// Most pairs of codes in a table.
pub const MAX_PAIRS: usize = 100_000;

/// What the operation is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct ClosureRequest {
    /// The table's name.
    pub name: String,
    /// Codes to add.
    pub concepts: Vec<Code>,
    /// Tell again what is new since this version.
    pub version: Option<u64>,
}

/// The table of a name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosureTable {
    /// Its name.
    pub name: String,
    /// How often it has grown.
    pub version: u64,
    /// Its codes.
    codes: Vec<TableCode>,
    /// Pairs of codes, by their places: the first is below the second.
    pairs: Vec<Pair>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct TableCode {
    system: String,
    code: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Pair {
    below: usize,
    above: usize,
    /// The version that it came with.
    since: u64,
}

impl ClosureRequest {
    /// Of the operation's parameters.
    ///
    /// # Errors
    /// A parameter that is missing, unknown, or not what it must be.
    pub fn read(mut parameters: Parameters) -> Result<ClosureRequest> {
        let wrong =
            |name: &str, why: &str| OperationError::Parameter { name: name.to_owned(), why: why.to_owned() };
        let name = parameters.text("name")?.ok_or_else(|| wrong("name", "is needed"))?;
        let concepts = parameters.codings("concept")?;
        let version = parameters.text("version")?;
        parameters.finish()?;
        let version =
            version.map(|version| version.parse().map_err(|_| wrong("version", "must be one that was told")));
        let version = version.transpose()?;
        if version.is_some() && !concepts.is_empty() {
            return Err(wrong("version", "and concept may not be there both"));
        }
        Ok(ClosureRequest { name, concepts, version })
    }

    /// Whether the table starts anew: the request has nothing but its name.
    pub fn starts(&self) -> bool {
        self.concepts.is_empty() && self.version.is_none()
    }
}

impl ClosureTable {
    /// An empty table.
    pub fn new(name: &str) -> ClosureTable {
        ClosureTable { name: name.to_owned(), ..ClosureTable::default() }
    }

    /// As it is kept.
    pub fn to_json(&self) -> Vec<u8> {
        json!(self).to_string().into_bytes()
    }

    /// As it was kept.
    ///
    /// # Errors
    /// It is not what [`ClosureTable::to_json`] wrote.
    pub fn from_json(json: &[u8]) -> Result<ClosureTable> {
        serde_json::from_slice(json).map_err(|error| {
            let url = "kept for $closure".to_owned();
            let resource_type = "table";
            OperationError::Failed(TerminologyError::Definition {
                resource_type,
                url,
                why: error.to_string(),
            })
        })
    }

    /// What is new since a version, as a ConceptMap. `date` is the moment of the answer, an instant of FHIR.
    pub fn since(&self, version: u64, date: &str) -> Vec<u8> {
        let mut groups: Vec<(&str, Vec<Value>)> = Vec::new();
        for pair in self.pairs.iter().filter(|pair| pair.since > version) {
            let (Some(below), Some(above)) = (self.codes.get(pair.below), self.codes.get(pair.above)) else {
                continue;
            };
            let element = json!({
                "code": below.code, "target": [{ "code": above.code, "equivalence": "subsumes" }],
            });
            match groups.iter_mut().find(|(system, _)| *system == below.system) {
                Some((_, elements)) => elements.push(element),
                None => groups.push((&below.system, vec![element])),
            }
        }
        let group = |(system, elements): (&str, Vec<Value>)| json!({ "source": system, "target": system, "element": elements });
        let groups: Vec<Value> = groups.into_iter().map(group).collect();
        let mut map = json!({
            "resourceType": "ConceptMap", "version": self.version.to_string(), "name": format!("Updates for {}", self.name),
            "status": "active", "experimental": true, "date": date,
        });
        if let (Some(map), false) = (map.as_object_mut(), groups.is_empty()) {
            map.insert("group".to_owned(), Value::Array(groups));
        }
        map.to_string().into_bytes()
    }
}

impl Terminology {
    /// Adds codes to a table. Nothing is added when one of them cannot be.
    ///
    /// # Errors
    /// A code without a system, a code system that is not here or lacks the code, a table that is full.
    pub fn close(&self, table: &mut ClosureTable, concepts: &[Code]) -> Result<()> {
        let mut grown = table.clone();
        grown.version += 1;
        let mut steps = Steps::of_list();
        for code in concepts {
            self.close_one(&mut grown, code, &mut steps)?;
        }
        *table = grown;
        Ok(())
    }

    fn close_one(&self, table: &mut ClosureTable, code: &Code, steps: &mut Steps) -> Result<()> {
        let wrong = |why: &str| OperationError::Parameter { name: "concept".to_owned(), why: why.to_owned() };
        let (Some(url), Some(text)) = (&code.system, &code.code) else {
            return Err(wrong("needs a system and a code"));
        };
        let system: Arc<dyn Content> = self.system(url, code.version.as_deref())??;
        let unknown = || OperationError::UnknownCode { code: text.clone(), system: url.clone() };
        let concept = system.find(text)?.ok_or_else(unknown)?;
        let own = TableCode { system: url.clone(), code: concept.code.to_string() };
        if table.codes.contains(&own) {
            return Ok(());
        }
        if table.codes.len() >= MAX_CLOSURE {
            let what = format!("the closure table {}", table.name);
            return Err(TerminologyError::TooCostly { what, limit: MAX_CLOSURE }.into());
        }
        let (place, since) = (table.codes.len(), table.version);
        if system.description().is_a {
            let above = system.above(&concept, steps)?;
            for (other_place, other) in
                table.codes.iter().enumerate().filter(|(_, other)| other.system == *url)
            {
                if above.contains(other.code.as_str()) {
                    table.pairs.push(Pair { below: place, above: other_place, since });
                } else if let Some(other) = system.find(&other.code)?
                    && system.is_below(&other, &concept.code, steps)?
                {
                    table.pairs.push(Pair { below: other_place, above: place, since });
                }
            }
        }
        if table.pairs.len() > MAX_PAIRS {
            let what = format!("the closure table {}", table.name);
            return Err(TerminologyError::TooCostly { what, limit: MAX_PAIRS }.into());
        }
        table.codes.push(own);
        Ok(())
    }
}
