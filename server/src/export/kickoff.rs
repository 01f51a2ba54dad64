//! The beginning of an export: at which snapshot, and of which patients.

use std::collections::BTreeSet;
use std::time::Duration;

use bulk::{Job, Level, Request, Types};
use fhirpath::{Element, Issue, IssueType, Tree, primitive};
use interaction::{Caller, Failure, ReadConditions, Service, Status};
use store::{Access, HistoryQuery, HistoryScope, Key, Permission, Tenant, Version};

use super::source::Records;
use super::{EHI_NAME, NAME};

const PATIENT: &str = "Patient";
/// Most patients of an export that names them.
const MAX_PATIENTS: usize = 200_000;
/// Most groups that a group may lead to by members that are groups.
const MAX_GROUPS: usize = 1_000;
/// How long ago the snapshot's last commit was when the first resource is read: nothing of its millisecond comes after that.
const SETTLED_MS: i64 = 50;

/// The time an export is of.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot {
    /// That of the newest commit: milliseconds since 1970.
    pub time_ms: i64,
}

impl Snapshot {
    /// The newest commit of a tenant; of an empty record, now. Commits have times that never go back, so what was committed
    /// at this time or before is one state of the record.
    ///
    /// # Errors
    /// The store failed.
    pub async fn take(service: &Service, tenant: &Tenant) -> Result<Snapshot, Failure> {
        let query =
            HistoryQuery { scope: HistoryScope::System, since: None, at: None, after: None, limit: 1 };
        // When something was written last is no part of the record.
        let page = service.store.history(tenant, &Access::unrestricted(), &query).await?;
        let newest = page.versions.first().map(|version| version.last_updated.0);
        Ok(Snapshot { time_ms: newest.unwrap_or_else(|| (service.clock)().0) })
    }

    /// Waits until the snapshot's millisecond is over for everyone.
    pub async fn settle(self) {
        let age_ms = store::Timestamp::now().0.saturating_sub(self.time_ms).max(0);
        let rest = u64::try_from(SETTLED_MS.saturating_sub(age_ms)).unwrap_or(0);
        tokio::time::sleep(Duration::from_millis(rest)).await;
    }
}

/// What an export of a type, or of a resource, is of.
///
/// # Errors
/// NotFound where none is offered.
pub fn level(operation: &str, resource_type: &str, id: &str) -> Result<Level, Failure> {
    let refuse = |details: &str| Err(Failure::new(Status::NotFound, IssueType::NotSupported, details));
    match (operation, resource_type, id) {
        (NAME | EHI_NAME, "", _) => Ok(Level::System),
        (NAME, "Patient", "") => Ok(Level::Patient),
        (NAME, "Group", id) if !id.is_empty() => Ok(Level::Group(id.to_owned())),
        (EHI_NAME, "Patient", id) if !id.is_empty() => Ok(Level::One(id.to_owned())),
        (EHI_NAME, ..) => refuse("$ehi-export is offered at the base, and on a Patient."),
        _ => refuse("$export is offered at the base, on Patient, and on a Group."),
    }
}

/// The types there are.
pub fn types(service: &Service) -> Types<'_> {
    let definitions = &service.definitions;
    let all: Vec<&str> = definitions.resource_types().iter().map(String::as_str).collect();
    let is_of_patient = |name: &&str| {
        let parameters = definitions.compartments.parameters("Patient", name).unwrap_or_default();
        *name == "Patient" || !parameters.is_empty()
    };
    let of_patients = all.iter().copied().filter(is_of_patient).collect();
    Types { all, of_patients }
}

/// A job that is not kept yet, with the ids of its patients where it is about some. Who is in a group is looked up as `of_groups`.
///
/// # Errors
/// What the request is refused for: a group or patient that there is not (or that the caller may not see), a `_typeFilter` that is
/// no search.
pub async fn begin(
    service: &Service,
    caller: &Caller,
    of_groups: &Caller,
    mut request: Request,
    url: String,
    id: String,
) -> Result<(Job, Option<Vec<String>>), Failure> {
    permitted(service, caller, &mut request)?;
    match &request.level {
        Level::Group(group) => {
            interaction::read(service, of_groups, "Group", group, &ReadConditions::default()).await?;
        }
        Level::One(patient) => {
            interaction::read(service, caller, "Patient", patient, &ReadConditions::default()).await?;
        }
        Level::System | Level::Patient => {}
    }
    let snapshot = Snapshot::take(service, &caller.tenant).await?;
    // What filters cannot be read is refused now.
    Records::new(service.clone(), caller.clone(), &request, snapshot.time_ms)?;
    let patients = patients(service, caller, of_groups, &request, snapshot).await?;
    let tenant = caller.tenant.as_str().to_owned();
    let job = Job::new(id, tenant, url, request, snapshot.time_ms, (service.clock)().0);
    Ok((Job { base: service.base.clone(), ..job }, patients))
}

/// Leaves of the types those that the caller may both read and search. One that was named is refused, or where the client is lenient,
/// left out and reported.
fn permitted(service: &Service, caller: &Caller, request: &mut Request) -> Result<(), Failure> {
    if caller.access.sees_everything() {
        return Ok(());
    }
    let may = |name: &String| {
        [Permission::Read, Permission::Search].iter().all(|asked| caller.access.permits(*asked, name))
    };
    let named = request.referred.take();
    for name in named.iter().flatten().filter(|name| !may(name)) {
        let details = format!("This access does not permit to export {name} resources.");
        match request.lenient {
            true => request.ignored.push(details),
            false => return Err(Failure::new(Status::Forbidden, IssueType::Forbidden, details)),
        }
    }
    if let (Some(_), Some(name)) = (&request.views, request.types.iter().find(|name| !may(name))) {
        let details = format!("This access does not permit to export {name} resources.");
        return Err(Failure::new(Status::Forbidden, IssueType::Forbidden, details));
    }
    let left_out: Vec<&str> = request.types.iter().filter(|name| !may(name)).map(String::as_str).collect();
    if request.documented && named.is_none() && !left_out.is_empty() {
        // Who is to have everything is told what they do not have.
        let details = format!("This access does not permit to export these types: {}.", left_out.join(", "));
        request.ignored.push(details);
    }
    request.types.retain(may);
    if request.types.is_empty() {
        let details = "This access does not permit to export any of these resources.";
        return Err(Failure::new(Status::Forbidden, IssueType::Forbidden, details));
    }
    let all = named.unwrap_or_else(|| service.definitions.resource_types().to_vec());
    request.referred = Some(all.into_iter().filter(may).collect());
    Ok(())
}

/// Of whom; `None` for all.
async fn patients(
    service: &Service,
    caller: &Caller,
    of_groups: &Caller,
    request: &Request,
    snapshot: Snapshot,
) -> Result<Option<Vec<String>>, Failure> {
    let members = match &request.level {
        Level::Group(group) => {
            let plain = Request { filters: Vec::new(), ..request.clone() };
            let records = Records::new(service.clone(), of_groups.clone(), &plain, snapshot.time_ms)?;
            Some(members(service, &records, Key::new("Group", group), snapshot).await?)
        }
        Level::One(patient) => Some(BTreeSet::from([patient.clone()])),
        Level::System | Level::Patient => None,
    };
    if request.patients.is_empty() {
        return match members {
            None if request.organized => Ok(Some(all(service, caller, request, snapshot).await?)),
            members => Ok(members.map(|members| members.into_iter().collect())),
        };
    }
    let mut named = BTreeSet::new();
    for reference in &request.patients {
        let key = service.index.local_target(reference).filter(|key| key.resource_type() == "Patient");
        let Some(key) = key else {
            return Err(refuse(IssueType::Value, "patient is a reference to a Patient of this server."));
        };
        let found = service.store.read(&caller.tenant, &caller.access, &key).await?;
        let is_member = members.as_ref().is_none_or(|members| members.contains(key.id()));
        if !is_member || found.is_none_or(|version| version.is_deleted()) {
            let details = match members {
                Some(_) => "patient names a Patient that is no active member of the group.",
                None => "patient names a Patient that there is not.",
            };
            return Err(refuse(IssueType::NotFound, details));
        }
        named.insert(key.id().to_owned());
    }
    Ok(Some(named.into_iter().collect()))
}

/// All patients at the snapshot. Whoever may not see one gets nothing of theirs, and learns nothing of this list.
async fn all(
    service: &Service,
    caller: &Caller,
    request: &Request,
    snapshot: Snapshot,
) -> Result<Vec<String>, Failure> {
    let request = Request {
        level: Level::System,
        filters: Vec::new(),
        since_ms: None,
        until_ms: None,
        ..request.clone()
    };
    let caller = Caller { access: Access::unrestricted(), ..caller.clone() };
    let records = Records::new(service.clone(), caller, &request, snapshot.time_ms)?;
    let unread = |error: bulk::ExportError| Failure::of(Status::Unavailable, vec![error.issue()]);
    let found = records.ids_at(PATIENT, snapshot.time_ms, MAX_PATIENTS).await.map_err(unread)?;
    found.ok_or_else(|| {
        let details = format!(
            "There are more than {MAX_PATIENTS} patients: leave organizeOutputBy out, or export groups of them."
        );
        let issue = Issue::error(IssueType::TooCostly, details).at("http.organizeOutputBy");
        Failure::of(Status::BadRequest, vec![issue])
    })
}

/// The patients of a group and of the groups in it at the snapshot; those that had left it are none.
async fn members(
    service: &Service,
    records: &Records,
    group: Key,
    snapshot: Snapshot,
) -> Result<BTreeSet<String>, Failure> {
    let (mut patients, mut groups, mut next) = (BTreeSet::new(), BTreeSet::new(), vec![group]);
    while let Some(key) = next.pop() {
        if !groups.insert(key.clone()) {
            continue;
        }
        if groups.len() > MAX_GROUPS {
            let details = format!("The group leads to more than {MAX_GROUPS} groups; export those in it.");
            return Err(Failure::new(Status::BadRequest, IssueType::TooCostly, details));
        }
        let found = records.as_of(&key, snapshot.time_ms).await;
        let found = found.map_err(|error| Failure::of(Status::Unavailable, vec![error.issue()]))?;
        let Some(version) = found.filter(|version| !version.is_deleted()) else { continue };
        for member in active(service, &version, snapshot)? {
            match member.resource_type() {
                "Patient" => _ = patients.insert(member.id().to_owned()),
                "Group" => next.push(member),
                _ => {}
            }
        }
        if patients.len() > MAX_PATIENTS {
            let details = format!("The group has more than {MAX_PATIENTS} patients; export groups in it.");
            return Err(Failure::new(Status::BadRequest, IssueType::TooCostly, details));
        }
    }
    Ok(patients)
}

fn active(service: &Service, group: &Version, snapshot: Snapshot) -> Result<Vec<Key>, Failure> {
    let limits = fhirpath::tree::Limits::DEFAULT;
    let tree = Tree::parse_json(&service.definitions.schema, group.body.to_vec(), &limits).map_err(|_| {
        Failure::new(Status::Internal, IssueType::Exception, "A stored resource cannot be read.")
    })?;
    let now_us = snapshot.time_ms.saturating_mul(1000);
    let left = |member: Element<'_>| {
        let inactive = member.get("inactive").and_then(|it| it.value()).is_some_and(|it| it == "true");
        let end = member.get("period").and_then(|period| period.get("end")?.value());
        let ended = end.and_then(|end| primitive::span(&end)).is_some_and(|(_, last)| last < now_us);
        inactive || ended
    };
    let members = tree.root().all("member").filter(|member| !left(*member));
    let references = members.filter_map(|member| member.get("entity")?.get("reference")?.value());
    Ok(references.filter_map(|text| service.index.local_target(&text)).collect())
}

fn refuse(code: IssueType, details: &str) -> Failure {
    Failure::of(Status::BadRequest, vec![Issue::error(code, details).at("http.patient")])
}
