//! What a caller may see of single resources. Every read of a version goes through here; searches put the
//! same filter into their query.

use heed::RoTxn;

use super::environment::Databases;
use super::search;
use crate::{Access, Filter, Query, StoreError};

/// Whether a caller may see a resource, by `Type/id`: if its current version fulfils the access filter. Under a
/// filter other than all, a deleted resource is not to be seen.
pub(super) fn visible(
    txn: &RoTxn<'_>,
    databases: &Databases,
    access: &Access,
    key: &str,
) -> Result<bool, StoreError> {
    let (resource_type, id) = key.split_once('/').unwrap_or((key, ""));
    match access.filter(resource_type) {
        Filter::All => Ok(true),
        Filter::None => Ok(false),
        filter => {
            let this = Filter::And(vec![Filter::Ids(vec![id.into()]), filter]);
            search::any_match(txn, &databases.index, &databases.records, resource_type, &this)
        }
    }
}

/// How many current resources of each type a caller may see; types of which there are none are left out.
pub(super) fn counts(
    txn: &RoTxn<'_>,
    databases: &Databases,
    access: &Access,
) -> Result<Vec<(Box<str>, u64)>, StoreError> {
    let mut counts = search::counts(txn, &databases.index)?;
    for (resource_type, count) in &mut counts {
        match access.filter(resource_type) {
            Filter::All => {}
            Filter::None => *count = 0,
            // A search runs under the access filter by itself.
            _ => *count = count_by_search(txn, databases, access, resource_type)?,
        }
    }
    counts.retain(|(_, count)| *count > 0);
    Ok(counts)
}

fn count_by_search(
    txn: &RoTxn<'_>,
    databases: &Databases,
    access: &Access,
    resource_type: &str,
) -> Result<u64, StoreError> {
    let query = Query {
        resource_type: Some(resource_type.into()),
        filter: Filter::All,
        sort: Vec::new(),
        after: None,
        limit: 0,
        total: true,
    };
    let page = search::run(txn, &databases.index, &databases.records, access, &query)?;
    Ok(page.total.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use crate::fixture::{IDENTIFIER, SUBJECT, batch, delete, key, open, put};
    use crate::*;

    fn identified(code: &str) -> Filter {
        Filter::Match(IDENTIFIER, Predicate::Token { system: None, code: Some(code.into()) })
    }

    /// `Patient/in` and `Group/in` are to be seen under the filter, `Patient/out` and the deleted `Patient/gone` not.
    async fn sample(store: &Store) {
        let all = Access::unrestricted();
        let (within, out, gone) = (key("Patient/in"), key("Patient/out"), key("Patient/gone"));
        let group = r#""identifier":"x","subject":"Patient/in""#;
        let batches = [
            vec![put(&within, 0, ""), put(&out, 0, r#""identifier":"x""#)],
            vec![put(&within, 1, r#""identifier":"x""#), put(&out, 1, r#""subject":"Patient/secret""#)],
            vec![put(&key("Group/in"), 0, group), put(&gone, 0, r#""identifier":"x""#)],
            vec![delete(&gone, 1)],
        ];
        for writes in batches {
            store.commit(&Tenant::default_tenant(), &all, batch(writes)).await.unwrap();
        }
    }

    async fn history(store: &Store, access: &Access, scope: HistoryScope) -> (Vec<String>, Option<u64>) {
        let query = HistoryQuery { scope, since: None, at: None, after: None, limit: 100 };
        let page = store.history(&Tenant::default_tenant(), access, &query).await.unwrap();
        (page.versions.iter().map(|v| format!("{} {}", v.key.as_str(), v.version)).collect(), page.total)
    }

    #[tokio::test]
    async fn every_read_heeds_the_access_filter() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path());
        sample(&store).await;
        let tenant = Tenant::default_tenant();
        let (some, none) = (Access::only(identified("x")), Access::only(Filter::None));
        for (text, seen) in [("Patient/in", true), ("Patient/out", false), ("Patient/gone", false)] {
            let key = key(text);
            assert!(store.read(&tenant, &Access::unrestricted(), &key).await.unwrap().is_some());
            assert_eq!(store.read(&tenant, &some, &key).await.unwrap().is_some(), seen, "{text}");
            assert_eq!(store.vread(&tenant, &some, &key, 1).await.unwrap().is_some(), seen, "{text}");
            assert!(store.read(&tenant, &none, &key).await.unwrap().is_none());
            assert!(store.vread(&tenant, &none, &key, 1).await.unwrap().is_none());
            let versions = history(&store, &some, HistoryScope::Instance(key)).await.0.len();
            assert_eq!(versions, if seen { 2 } else { 0 }, "{text}");
        }
        let system = ["Group/in 1", "Patient/in 2", "Patient/in 1"].map(str::to_owned).to_vec();
        assert_eq!(history(&store, &some, HistoryScope::System).await, (system.clone(), None));
        let patients = HistoryScope::Type("Patient".into());
        assert_eq!(history(&store, &some, patients.clone()).await, (system[1..].to_vec(), None));
        assert_eq!(history(&store, &none, patients).await, (Vec::new(), None));

        let changes = store.changes(&tenant, &some, 0, 100).await.unwrap();
        let changed: Vec<&str> = changes.iter().map(|change| change.key.as_str()).collect();
        assert_eq!(changed, ["Patient/in", "Patient/in", "Group/in"]);
        let changes = store.changes(&tenant, &some, 1, 1).await.unwrap();
        assert_eq!(changes.iter().map(|change| change.sequence).collect::<Vec<_>>(), [2]);
        let counts = store.counts(&tenant, &some).await.unwrap();
        assert_eq!(counts, [("Group".into(), 1), ("Patient".into(), 1)]);
        assert_eq!(store.counts(&tenant, &none).await.unwrap(), []);
        let from = [key("Patient/out"), key("Group/in")];
        let targets = store.references(&tenant, &some, &from, &[SUBJECT]).await.unwrap();
        assert_eq!(targets, [Box::from("Patient/in")]);
    }

    #[tokio::test]
    async fn a_commit_heeds_the_access_filter() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path());
        sample(&store).await;
        let tenant = Tenant::default_tenant();
        let some = Access::only(identified("x"));
        let commit = async |preconditions, writes| {
            store.commit(&tenant, &some, Batch { preconditions, writes }).await.map(drop)
        };
        let exists = |text| vec![Precondition::Exists(key(text))];
        assert!(commit(exists("Patient/in"), Vec::new()).await.is_ok());
        let answer = commit(exists("Patient/out"), Vec::new()).await;
        assert!(matches!(answer, Err(CommitError::Precondition { precondition: 0 })), "{answer:?}");
        let answer = commit(Vec::new(), vec![put(&key("Patient/out"), 2, "")]).await;
        assert!(matches!(answer, Err(CommitError::Conflict { write: 0, found: 2 })), "{answer:?}");
        assert!(commit(Vec::new(), vec![put(&key("Patient/in"), 2, "")]).await.is_ok());
        let secret = Filter::Match(SUBJECT, Predicate::Reference(vec!["Patient/secret".into()]));
        let no_match = Precondition::NoMatch { resource_type: "Patient".into(), filter: secret };
        assert!(commit(vec![no_match], Vec::new()).await.is_ok());
    }
}
