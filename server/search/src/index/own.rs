//! A tenant's own parameters beside those of all: an index that knows both, and the entries of its own alone.

use std::sync::Arc;

use conformance::SearchParameter;
use conformance::table::SearchParameterDefinition;
use store::{Entries, IndexError, Indexer, OwnParameter, Parameter, ParameterId};

use super::shape::{self, Shapes};
use super::{Aspects, OF_THE_ENGINE, SearchIndex, Units, systems};

/// Computes the entries of a tenant's own parameters, and of these alone.
pub(super) struct OwnEntries(pub(super) SearchIndex);

impl SearchIndex {
    /// The same with the parameters that a tenant has of its own, each a SearchParameter of one base, as
    /// [`SearchParameterDefinition`] in JSON.
    ///
    /// # Errors
    /// One that cannot be read, does not compile, or has the code of another.
    pub fn with_own(self: &Arc<Self>, own: &[OwnParameter]) -> Result<SearchIndex, IndexError> {
        Ok(SearchIndex { shared: Some(Arc::clone(self)), ..self.extended(own)? })
    }

    /// The same, of which it is not known what it was without them.
    pub(super) fn extended(&self, own: &[OwnParameter]) -> Result<SearchIndex, IndexError> {
        let read = |parameter: &OwnParameter| {
            serde_json::from_str::<SearchParameterDefinition>(&parameter.definition)
                .map_err(|error| IndexError(format!("the search parameter {}: {error}", parameter.name)))
        };
        let more: Vec<SearchParameterDefinition> = own.iter().map(read).collect::<Result<_, _>>()?;
        let extended = self.definitions.with_search_parameters(&more);
        let definitions = Arc::new(extended.map_err(|error| IndexError(error.to_string()))?);
        if let Some(notice) = definitions.search_parameters.notices().first() {
            return Err(IndexError(notice.to_string()));
        }
        let all = definitions.search_parameters.all();
        let before = self.definitions.search_parameters.all().len();
        let added = all.get(before..).unwrap_or_default();
        let ids =
            added.iter().map(|parameter| number(own, &more, parameter)).collect::<Result<Vec<_>, _>>()?;
        let aspects = added.iter().zip(&ids).map(|(parameter, id)| Aspects::of_own(parameter, *id));
        let mut own_of_type = rustc_hash::FxHashMap::default();
        for name in definitions.resource_types() {
            let of_type = definitions.search_parameters.of(name);
            let indexed: Box<[u16]> = of_type
                .filter(|parameter| usize::from(parameter.index) >= before && parameter.is_indexed())
                .filter(|parameter| !OF_THE_ENGINE.contains(&parameter.code.as_str()))
                .map(|parameter| parameter.index)
                .collect();
            if let (false, Some(type_id)) = (indexed.is_empty(), definitions.schema.type_id(name)) {
                own_of_type.insert(type_id, indexed);
            }
        }
        Ok(SearchIndex {
            parameters: self.parameters.clone(),
            contained: self.contained,
            bases: self.bases.clone(),
            shapes: Shapes::new(&definitions.schema),
            of_type: self.of_type.clone(),
            own_of_type,
            fingerprint: self.fingerprint,
            systems: all.iter().map(systems).collect(),
            aspects: self.aspects.iter().copied().chain(aspects).collect(),
            units: Units::default(),
            own: ids.into(),
            shared: None,
            definitions,
        })
    }

    /// The index of the parameters that all tenants have, where this one has a tenant's besides.
    pub fn shared(&self) -> Option<&Arc<SearchIndex>> {
        self.shared.as_ref()
    }

    /// Whether elements of one of these types can have values of a parameter's type: a date has none of a quantity.
    pub fn gives_values(parameter: &SearchParameter) -> bool {
        let Some(expression) = &parameter.expression else { return false };
        let types = expression.result_types();
        types.iter().any(|name| shape::gives_values(parameter.kind, name))
    }
}

/// The number of a parameter that was added.
fn number(
    own: &[OwnParameter],
    definitions: &[SearchParameterDefinition],
    parameter: &SearchParameter,
) -> Result<ParameterId, IndexError> {
    let is = |definition: &SearchParameterDefinition| {
        definition.code == parameter.code && definition.base.contains(&parameter.base)
    };
    let found = own.iter().zip(definitions).find(|(_, definition)| is(definition));
    found.map(|(parameter, _)| parameter.id).ok_or_else(|| {
        IndexError(format!("the search parameter {}.{} has no number", parameter.base, parameter.code))
    })
}

impl Indexer for OwnEntries {
    fn entries(&self, resource_type: &str, body: &[u8], out: &mut Entries) -> Result<(), IndexError> {
        let OwnEntries(index) = self;
        let type_id = index.definitions.schema.type_id(resource_type);
        let Some(parameters) = type_id.and_then(|id| index.own_of_type.get(&id)) else { return Ok(()) };
        index.entries_by(parameters, &index.stored(resource_type, body)?, out);
        Ok(())
    }

    fn parameters(&self) -> &[Parameter] {
        &[]
    }

    fn fingerprint(&self) -> u64 {
        self.0.fingerprint
    }
}
