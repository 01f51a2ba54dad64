//! Whose compartments an `$everything` goes through, one after the other.

use std::collections::BTreeSet;

use fhirpath::IssueType;
use fhirpath::Tree;
use interaction::{Caller, Failure, Service, Status};
use store::{Cursor, Filter, Key, Query, Version};

use super::position::Position;
use super::referred::unreadable;

/// Most groups that a group may lead to by members that are groups.
const MAX_GROUPS: usize = 1_000;

/// The subjects.
pub(super) enum Subjects {
    /// A patient or an encounter.
    One(Key),
    /// The patients of a group.
    Members(BTreeSet<Key>),
    /// All patients.
    All,
}

impl Subjects {
    /// Those of a call on a type, or on a resource that is there.
    ///
    /// # Errors
    /// A group of too many groups; the store failed.
    pub(super) async fn of(
        service: &Service,
        caller: &Caller,
        resource_type: &str,
        id: Option<&str>,
    ) -> Result<Subjects, Failure> {
        let Some(id) = id else { return Ok(Subjects::All) };
        let key = Key::new(resource_type, id);
        match resource_type {
            "Group" => members(service, caller, key).await.map(Subjects::Members),
            _ => Ok(Subjects::One(key)),
        }
    }

    /// The beginning of the first.
    pub(super) async fn first(
        &self,
        service: &Service,
        caller: &Caller,
    ) -> Result<Option<Position>, Failure> {
        match self {
            Subjects::One(key) => Ok(Some(Position::at(key.clone(), None))),
            Subjects::Members(members) => Ok(members.first().map(|key| Position::at(key.clone(), None))),
            Subjects::All => patient(service, caller, None).await,
        }
    }

    /// The beginning of the one after a position's.
    pub(super) async fn after(
        &self,
        service: &Service,
        caller: &Caller,
        position: Position,
    ) -> Result<Option<Position>, Failure> {
        match self {
            Subjects::One(_) => Ok(None),
            Subjects::Members(members) => {
                let next = members.iter().find(|key| **key > position.subject);
                Ok(next.map(|key| Position::at(key.clone(), None)))
            }
            Subjects::All => match position.others {
                Some(others) => patient(service, caller, Some(others)).await,
                None => Ok(None),
            },
        }
    }
}

/// The patient after a position in all of them.
async fn patient(
    service: &Service,
    caller: &Caller,
    after: Option<Cursor>,
) -> Result<Option<Position>, Failure> {
    let query = Query {
        resource_type: Some("Patient".into()),
        filter: Filter::All,
        sort: Vec::new(),
        after,
        limit: 1,
        total: false,
    };
    let page = service.store.search(&caller.tenant, &caller.access, &query).await?;
    Ok(page.matches.into_iter().next().map(|found| Position::at(found.key, page.next)))
}

/// The patients of a group and of the groups in it; those that left it are none.
pub(crate) async fn members(
    service: &Service,
    caller: &Caller,
    group: Key,
) -> Result<BTreeSet<Key>, Failure> {
    let (mut patients, mut groups, mut next) = (BTreeSet::new(), BTreeSet::new(), vec![group]);
    while let Some(key) = next.pop() {
        if !groups.insert(key.clone()) {
            continue;
        }
        if groups.len() > MAX_GROUPS {
            let details = format!("The group leads to more than {MAX_GROUPS} groups; ask for those in it.");
            return Err(Failure::new(Status::BadRequest, IssueType::TooCostly, details));
        }
        let found = service.store.read(&caller.tenant, &caller.access, &key).await?;
        let Some(version) = found.filter(|version| !version.is_deleted()) else { continue };
        for member in active_members(service, &version)? {
            match member.resource_type() {
                "Patient" => _ = patients.insert(member),
                "Group" => next.push(member),
                _ => {}
            }
        }
    }
    Ok(patients)
}

fn active_members(service: &Service, group: &Version) -> Result<Vec<Key>, Failure> {
    let limits = fhirpath::tree::Limits::DEFAULT;
    let tree = Tree::parse_json(&service.definitions.schema, group.body.to_vec(), &limits)
        .map_err(|_| unreadable())?;
    let left = |member: fhirpath::Element<'_>| {
        member.get("inactive").and_then(|it| it.value()).is_some_and(|it| it == "true")
    };
    let members = tree.root().all("member").filter(|member| !left(*member));
    let references = members.filter_map(|member| member.get("entity")?.get("reference")?.value());
    Ok(references.filter_map(|text| service.index.local_target(&text)).collect())
}
