//! transaction (<https://hl7.org/fhir/R4/http.html#trules>): all entries or none, in one commit. Looks up what each entry is
//! about, sets the references between them, writes; when others changed what was found, from the look-ups again. Reads run after
//! the commit, so they see what it wrote; one that fails is told in its own response entry.

use std::borrow::Cow;

use fhirpath::{Issue, IssueType, Tree};
use rustc_hash::FxHashMap;
use store::{Batch, Key, Permission, Precondition, Version, Write};

use super::entry::{Conditional, Entry, Request};
use super::links::Links;
use super::response::{self, Answer};
use crate::criteria::Criteria;
use crate::update::Target;
use crate::{
    Caller, Failure, Outcome, OutcomeBody, Return, Service, Status, commit, create, delete, patch, update,
};

/// Processes a transaction.
pub(super) async fn transaction(
    service: &Service,
    caller: &Caller,
    mut tree: Tree,
    prefer: Return,
) -> Result<Outcome, Failure> {
    let entries = read_all(service, &tree)?;
    let links = Links::find(service, &tree, &entries)?;
    for _ in 0..commit::ATTEMPTS {
        let mut lookups = Lookups { service, caller, found: FxHashMap::default(), preconditions: Vec::new() };
        let steps = steps(&mut lookups, &tree, &entries).await?;
        distinct(&steps)?;
        let resolved = lookups.references(&tree, &links).await?;
        let keys: Vec<_> = steps.iter().map(|step| step.key().map(Cow::Borrowed)).collect();
        links.set(&mut tree, &entries, &keys, &resolved);
        let plan = plan(service, caller, &tree, &entries, &steps).await?;
        let batch = Batch { preconditions: lookups.preconditions, writes: plan.writes };
        let versions = match batch.writes.is_empty() {
            true => Vec::new(),
            false => match commit::many(service, caller, batch).await? {
                Some(versions) => versions,
                None => continue,
            },
        };
        let written: FxHashMap<usize, Version> = plan.entries.into_iter().zip(versions).collect();
        return answer(service, caller, &entries, steps, written, prefer).await;
    }
    Err(commit::contended())
}

/// Reads all entries, or tells what is wrong with each.
fn read_all(service: &Service, tree: &Tree) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    let mut failure: Option<Failure> = None;
    for (number, element) in tree.root().all("entry").enumerate() {
        match (Entry::read(service, number, element), &mut failure) {
            (Ok(entry), _) => entries.push(entry),
            (Err(further), Some(failure)) => failure.issues.extend(further.issues),
            (Err(first), none) => *none = Some(first),
        }
        if failure.as_ref().is_some_and(|failure| failure.issues.len() >= service.limits.body.issues) {
            break;
        }
    }
    failure.map_or(Ok(entries), Err)
}

/// What an entry leads to, as the record is now.
enum Step {
    /// A version to write.
    Put(Target),
    /// A deletion.
    Remove(Target),
    /// Nothing to delete.
    Gone,
    /// A conditional create found this.
    Found(Version),
    /// The same as an earlier entry with the same criteria.
    Same(usize, String),
    /// A read.
    Get,
}

impl Step {
    /// `Type/id` that references to the entry become.
    fn key(&self) -> Option<&str> {
        match self {
            Step::Put(target) => Some(target.key.as_str()),
            Step::Found(version) => Some(version.key.as_str()),
            Step::Same(_, key) => Some(key),
            Step::Remove(_) | Step::Gone | Step::Get => None,
        }
    }
}

/// Looks up what the entries are about, in the order of processing.
async fn steps(lookups: &mut Lookups<'_>, tree: &Tree, entries: &[Entry]) -> Result<Vec<Step>, Failure> {
    let mut steps = Vec::with_capacity(entries.len());
    let mut made: FxHashMap<(&str, &str), (usize, String)> = FxHashMap::default();
    for (number, entry) in entries.iter().enumerate() {
        let step = step(lookups, tree, entry, &mut made, number).await;
        steps.push(step.map_err(|failure| failure.within(&format!("Bundle.entry[{number}]")))?);
    }
    Ok(steps)
}

async fn step<'e>(
    lookups: &mut Lookups<'_>,
    tree: &Tree,
    entry: &'e Entry,
    made: &mut FxHashMap<(&'e str, &'e str), (usize, String)>,
    number: usize,
) -> Result<Step, Failure> {
    let (service, caller) = (lookups.service, lookups.caller);
    match &entry.request {
        Request::Get { .. } => Ok(Step::Get),
        Request::Create { resource_type, if_none_exist } => {
            caller.require(Permission::Create, resource_type)?;
            if let Some(on) = if_none_exist {
                if let Some((first, key)) = made.get(&(on.resource_type.as_str(), on.text.as_str())) {
                    return Ok(Step::Same(*first, key.clone()));
                }
                if let Some(version) = lookups.find(on).await? {
                    return Ok(Step::Found(version));
                }
            }
            let target = create::new_target(service, resource_type);
            if let Some(on) = if_none_exist {
                lookups.preconditions.push(on.criteria.none());
                made.insert((&on.resource_type, &on.text), (number, target.key.as_str().to_owned()));
            }
            Ok(Step::Put(target))
        }
        Request::Update { key, conditions } => {
            let target = Target::to_update(service, caller, key.clone()).await?;
            target.check(conditions)?;
            Ok(Step::Put(target))
        }
        Request::ConditionalUpdate { on, conditions } => {
            caller.require(Permission::Update, &on.resource_type)?;
            let id = tree.element(entry.resource).and_then(|resource| resource.get("id")?.value());
            let found = lookups.find(on).await?;
            let mut target =
                update::target_of(service, caller, &on.resource_type, &on.criteria, found, id.as_deref())
                    .await?;
            target.check(conditions)?;
            lookups.preconditions.extend(target.precondition.take());
            Ok(Step::Put(target))
        }
        Request::Patch { key, conditions } => {
            let target = patch::target_at(service, caller, key).await?;
            target.check(conditions)?;
            Ok(Step::Put(target))
        }
        Request::ConditionalPatch { on, conditions } => {
            caller.require(Permission::Update, &on.resource_type)?;
            let target = patch::target_of(lookups.find(on).await?)?;
            target.check(conditions)?;
            Ok(Step::Put(target))
        }
        Request::Delete { key, conditions } => {
            let target = Target::at(service, caller, key.clone(), Permission::Delete).await?;
            target.check(conditions)?;
            Ok(if target.alive().is_some() { Step::Remove(target) } else { Step::Gone })
        }
        Request::ConditionalDelete { on, conditions } => {
            caller.require(Permission::Delete, &on.resource_type)?;
            let Some(version) = lookups.find(on).await? else { return Ok(Step::Gone) };
            let target = delete::target_of(version);
            target.check(conditions)?;
            Ok(Step::Remove(target))
        }
    }
}

/// Searches, each made once for a transaction.
struct Lookups<'s> {
    service: &'s Service,
    caller: &'s Caller,
    /// By type and criteria.
    found: FxHashMap<(String, String), Option<Version>>,
    /// What must still hold when the commit happens.
    preconditions: Vec<Precondition>,
}

impl Lookups<'_> {
    async fn find(&mut self, on: &Conditional) -> Result<Option<Version>, Failure> {
        let by = (on.resource_type.clone(), on.text.clone());
        if let Some(found) = self.found.get(&by) {
            return Ok(found.clone());
        }
        let found = on.criteria.find(self.service, self.caller).await?;
        self.found.insert(by, found.clone());
        Ok(found)
    }

    /// What conditional references refer to: `Practitioner/1` for each of `Practitioner?identifier=x|y`.
    async fn references(&mut self, tree: &Tree, links: &Links) -> Result<Vec<String>, Failure> {
        let mut keys = Vec::with_capacity(links.texts.len());
        for (number, text) in links.texts.iter().enumerate() {
            let key = self.reference(text).await.map_err(|failure| Failure {
                issues: failure
                    .issues
                    .into_iter()
                    .map(|issue| Issue { expression: links.place(tree, number), ..about(issue, text) })
                    .collect(),
                ..failure
            })?;
            keys.push(key.as_str().to_owned());
            self.preconditions.push(Precondition::Exists(key));
        }
        Ok(keys)
    }

    async fn reference(&self, text: &str) -> Result<Key, Failure> {
        let (resource_type, query) = text.split_once('?').unwrap_or((text, ""));
        let criteria = Criteria::of_query(self.service, resource_type, query)?;
        let found = criteria.find(self.service, self.caller).await?;
        found.map(|version| version.key).ok_or_else(|| {
            Failure::new(Status::PreconditionFailed, IssueType::NotFound, "No resource matches the criteria.")
        })
    }
}

/// The issue, told of a reference. Only the parameters' names are told: the values may identify a person.
fn about(issue: Issue, reference: &str) -> Issue {
    let (resource_type, query) = reference.split_once('?').unwrap_or((reference, ""));
    let names: Vec<&str> = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default()).collect();
    let details = format!("Conditional reference {resource_type}?{}: {}", names.join("&"), issue.details);
    Issue { details, ..issue }
}

/// Refuses two entries that write one resource.
fn distinct(steps: &[Step]) -> Result<(), Failure> {
    let mut written: FxHashMap<&str, usize> = FxHashMap::default();
    let refuse = |first: usize, number: usize, key: &str| {
        let details = format!(
            "The entries {first} and {number} are both about {key}; an entry may be about a resource once."
        );
        let issue = Issue::error(IssueType::Duplicate, details).at(format!("Bundle.entry[{number}]"));
        Err(Failure::of(Status::BadRequest, vec![issue]))
    };
    for (number, step) in steps.iter().enumerate() {
        if let Step::Put(target) | Step::Remove(target) = step
            && let Some(first) = written.insert(target.key.as_str(), number)
        {
            return refuse(first, number, target.key.as_str());
        }
    }
    for (number, step) in steps.iter().enumerate() {
        if let Step::Found(version) = step
            && let Some(first) = written.get(version.key.as_str())
        {
            return refuse(*first, number, version.key.as_str());
        }
    }
    Ok(())
}

/// The writes of a transaction, each with the number of its entry.
#[derive(Default)]
struct Plan {
    writes: Vec<Write>,
    entries: Vec<usize>,
}

async fn plan(
    service: &Service,
    caller: &Caller,
    tree: &Tree,
    entries: &[Entry],
    steps: &[Step],
) -> Result<Plan, Failure> {
    let mut order: Vec<(u8, usize)> =
        entries.iter().enumerate().map(|(number, entry)| (entry.request.turn(), number)).collect();
    order.sort_unstable();
    let mut plan = Plan::default();
    for (_, number) in order {
        let (Some(entry), Some(step)) = (entries.get(number), steps.get(number)) else { continue };
        let write = match step {
            Step::Put(target) => {
                let write = write(service, caller, tree, entry, target).await;
                write.map_err(|failure| failure.within(&format!("Bundle.entry[{number}]")))?
            }
            Step::Remove(target) => delete::removal(target),
            Step::Gone | Step::Found(_) | Step::Same(..) | Step::Get => None,
        };
        if let Some(write) = write {
            plan.writes.push(write);
            plan.entries.push(number);
        }
    }
    Ok(plan)
}

/// What an entry writes to its target.
async fn write(
    service: &Service,
    caller: &Caller,
    tree: &Tree,
    entry: &Entry,
    target: &Target,
) -> Result<Option<Write>, Failure> {
    let mut resource = resource(service, tree, entry, target)?;
    let put =
        commit::put(service, caller, &mut resource, &target.key, target.current.as_ref(), target.method);
    put.await.map_err(Failure::without_positions)
}

/// What an entry is to leave as its target's content.
fn resource(service: &Service, tree: &Tree, entry: &Entry, target: &Target) -> Result<Tree, Failure> {
    if !entry.request.is_patch() {
        return entry.extract(tree);
    }
    let patch = entry.patch(tree, target.key.resource_type())?;
    patch::patched(service, target, &patch).map_err(|failure| patch::in_entry(failure, &patch))
}

async fn answer(
    service: &Service,
    caller: &Caller,
    entries: &[Entry],
    steps: Vec<Step>,
    written: FxHashMap<usize, Version>,
    prefer: Return,
) -> Result<Outcome, Failure> {
    let mut answers = Vec::with_capacity(entries.len());
    for (number, (entry, step)) in entries.iter().zip(steps).enumerate() {
        let result = match (step, &entry.request) {
            (Step::Get, Request::Get { get, conditions, head }) => {
                let outcome = get.run(service, caller, conditions).await;
                let outcome = outcome.map_err(|failure| failure.within(&format!("Bundle.entry[{number}]")));
                outcome.map(|outcome| match head {
                    true => Outcome { body: OutcomeBody::Empty, ..outcome },
                    false => outcome,
                })
            }
            (Step::Found(version), _) => Ok(commit::answer(Status::Ok, version, prefer)),
            (Step::Same(first, _), _) => match written.get(&first) {
                Some(version) => Ok(commit::answer(Status::Ok, version.clone(), prefer)),
                None => Err(Failure::internal(&"a transaction's entry was not written")),
            },
            (Step::Put(target), request) => {
                let key = target.key.clone();
                match put_answer(target, written.get(&number), prefer) {
                    Ok(outcome) if request.is_patch() => {
                        patch::shown(service, caller, &key, prefer, outcome).await
                    }
                    answer => answer,
                }
            }
            (Step::Remove(target), _) => Ok(delete::answer(Some(&target.key), written.get(&number), prefer)),
            (Step::Gone, request) => Ok(delete::answer(request.key(), None, prefer)),
            (Step::Get, _) => Err(Failure::internal(&"a transaction's entry was taken for a read")),
        };
        answers.push(Answer { result, tells: entry.request.tells(prefer) });
    }
    Ok(response::write("transaction-response", &answers))
}

fn put_answer(target: Target, written: Option<&Version>, prefer: Return) -> Result<Outcome, Failure> {
    let status = if target.alive().is_some() { Status::Ok } else { Status::Created };
    // Where nothing was written, the content was that of the current version.
    match written.cloned().or(target.current) {
        Some(version) => Ok(commit::answer(status, version, prefer)),
        None => Err(Failure::internal(&"a transaction's entry was not written")),
    }
}
