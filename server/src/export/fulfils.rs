//! Whether one version of a resource fulfils a filter, found without the index: for versions that are no longer current, which no
//! search finds. What a filter asks of other resources, it asks of those that are current.

use std::future::Future;
use std::pin::Pin;

use fhirpath::Tree;
use interaction::{Caller, Service};
use store::{Entries, Filter, Key, Predicate, Query, StoreError, Value, Version};

/// A version, and its index entries.
pub(super) struct Candidate<'a> {
    service: &'a Service,
    caller: &'a Caller,
    version: &'a Version,
    entries: Entries,
}

/// A version, parsed.
pub(super) fn tree(service: &Service, version: &Version) -> Result<Tree, StoreError> {
    let limits = fhirpath::tree::Limits::DEFAULT;
    Tree::parse_json(&service.definitions.schema, version.body.to_vec(), &limits)
        .map_err(|_| StoreError::Damaged(format!("{} cannot be read", version.key.as_str())))
}

type Answer<'f> = Pin<Box<dyn Future<Output = Result<bool, StoreError>> + Send + 'f>>;

impl<'a> Candidate<'a> {
    pub(super) fn new(
        service: &'a Service,
        caller: &'a Caller,
        version: &'a Version,
    ) -> Result<Candidate<'a>, StoreError> {
        let tree = tree(service, version)?;
        let mut entries = Entries::new();
        service.index.tree_entries(&tree, &mut entries);
        Ok(Candidate { service, caller, version, entries })
    }

    /// Of which resource.
    pub(super) fn key(&self) -> &Key {
        &self.version.key
    }

    /// The values of its index entries.
    pub(super) fn values(&self) -> impl Iterator<Item = (store::ParameterId, Value<'_>)> {
        self.entries.iter()
    }

    /// Whether it fulfils a filter.
    pub(super) fn fulfils<'f>(&'f self, filter: &'f Filter) -> Answer<'f> {
        Box::pin(async move {
            let key = &self.version.key;
            Ok(match filter {
                Filter::All => true,
                Filter::None => false,
                Filter::And(all) => {
                    for filter in all {
                        if !self.fulfils(filter).await? {
                            return Ok(false);
                        }
                    }
                    true
                }
                Filter::Or(any) => {
                    for filter in any {
                        if self.fulfils(filter).await? {
                            return Ok(true);
                        }
                    }
                    false
                }
                Filter::Not(filter) => !self.fulfils(filter).await?,
                Filter::Match(parameter, predicate) => {
                    self.values().any(|(id, value)| id == *parameter && predicate.matches(&value))
                }
                Filter::Present(parameter) => self.values().any(|(id, _)| id == *parameter),
                // Texts are known of what is current only; exports do not ask by them.
                Filter::Text(_) => {
                    let all = vec![Filter::Ids(vec![key.id().into()]), filter.clone()];
                    self.exists(key.resource_type(), Filter::And(all)).await?
                }
                Filter::Contained { .. } => {
                    !filter.contained(&self.entries, self.version.last_updated).is_empty()
                }
                Filter::Ids(ids) => ids.iter().any(|id| **id == *key.id()),
                Filter::Type(name) => **name == *key.resource_type(),
                Filter::LastUpdated(comparison, from, to) => {
                    let time = self.version.last_updated.0.saturating_mul(1000);
                    let as_date = Predicate::Date(*comparison, *from, *to);
                    as_date.matches(&Value::Date { lo: time, hi: time })
                }
                Filter::Chain { parameter, targets } => self.chain(*parameter, targets).await?,
                Filter::Has { resource_type, parameter, filter } => {
                    let here = Predicate::Reference(vec![key.as_str().into()]);
                    let all = vec![Filter::Match(*parameter, here), (**filter).clone()];
                    self.exists(resource_type, Filter::And(all)).await?
                }
            })
        })
    }

    async fn chain(
        &self,
        parameter: store::ParameterId,
        targets: &[(Box<str>, Filter)],
    ) -> Result<bool, StoreError> {
        let mut keys = Vec::new();
        for (id, value) in self.values() {
            if let (true, Value::Reference(text)) = (id == parameter, value) {
                keys.extend(Key::parse(text));
            }
        }
        for key in keys {
            let wanted = targets.iter().filter(|(name, _)| **name == *key.resource_type());
            for (resource_type, filter) in wanted {
                let all = vec![Filter::Ids(vec![key.id().into()]), filter.clone()];
                if self.exists(resource_type, Filter::And(all)).await? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    async fn exists(&self, resource_type: &str, filter: Filter) -> Result<bool, StoreError> {
        let query = Query {
            resource_type: Some(resource_type.into()),
            filter,
            sort: Vec::new(),
            after: None,
            limit: 1,
            total: false,
        };
        let page = self.service.store.search(&self.caller.tenant, &self.caller.access, &query).await?;
        Ok(!page.matches.is_empty())
    }
}
