//! batch (<https://hl7.org/fhir/R4/http.html#brules>): each entry is an interaction of its own, with its own answer.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

use fhirpath::Tree;
use rustc_hash::FxHashMap;

use super::entry::{Entry, Request};
use super::response::{self, Answer};
use crate::{Caller, Failure, Outcome, OutcomeBody, Return, Service, create, delete, patch, update};

/// How many entries run at once, so that their commits share a write to disk.
const AT_ONCE: usize = 256;

/// Processes a batch: deletions, then creates, then updates and patches, then reads. `refused` are entries whose resource could not be read.
pub(super) async fn batch(
    service: &Service,
    caller: &Caller,
    tree: &Tree,
    refused: Vec<(usize, Failure)>,
    prefer: Return,
) -> Result<Outcome, Failure> {
    let mut refused: FxHashMap<usize, Failure> = refused.into_iter().collect();
    let mut answers: Vec<Option<Answer>> = Vec::new();
    let mut due: Vec<(usize, Entry)> = Vec::new();
    for (number, element) in tree.root().all("entry").enumerate() {
        let read = match refused.remove(&number) {
            Some(failure) => Err(failure),
            None => Entry::read(service, number, element),
        };
        answers.push(match read {
            Ok(entry) => {
                due.push((number, entry));
                None
            }
            Err(failure) => Some(Answer { result: Err(failure), tells: false }),
        });
    }
    due.sort_by_key(|(number, entry)| (entry.request.turn(), *number));
    for group in groups(&due) {
        let running: Vec<_> =
            group.iter().map(|(_, entry)| Box::pin(process(service, caller, tree, entry, prefer))).collect();
        for ((number, entry), result) in group.iter().zip(all(running).await) {
            if let Some(answer) = answers.get_mut(*number) {
                let place = format!("Bundle.entry[{number}]");
                let result = result.map_err(|failure| failure.within(&place));
                *answer = Some(Answer { result, tells: entry.request.tells(prefer) });
            }
        }
    }
    let answers: Vec<Answer> = answers.into_iter().flatten().collect();
    Ok(response::write("batch-response", &answers))
}

/// Splits what is due where the order matters: between one kind of request and the next, and before a resource comes again.
fn groups(due: &[(usize, Entry)]) -> Vec<&[(usize, Entry)]> {
    let mut groups = Vec::new();
    let mut rest = due;
    while let Some((_, first)) = rest.first() {
        let mut seen = rustc_hash::FxHashSet::default();
        let length = rest
            .iter()
            .take(AT_ONCE)
            .take_while(|(_, entry)| {
                entry.request.turn() == first.request.turn()
                    && entry.request.key().is_none_or(|key| seen.insert(key.as_str().to_owned()))
            })
            .count();
        let (group, tail) = rest.split_at(length.max(1));
        groups.push(group);
        rest = tail;
    }
    groups
}

async fn process(
    service: &Service,
    caller: &Caller,
    tree: &Tree,
    entry: &Entry,
    prefer: Return,
) -> Result<Outcome, Failure> {
    let resource = || entry.extract(tree);
    match &entry.request {
        Request::Create { if_none_exist, .. } => {
            let criteria = if_none_exist.as_ref().map(|on| &on.criteria);
            let outcome = create::create_tree(service, caller, resource()?, criteria, prefer).await;
            outcome.map_err(Failure::without_positions)
        }
        Request::Update { key, conditions } => {
            let outcome = update::update_tree(service, caller, key, resource()?, conditions, prefer).await;
            outcome.map_err(Failure::without_positions)
        }
        Request::ConditionalUpdate { on, conditions } => {
            let criteria = &on.criteria;
            let outcome =
                update::conditional_update_tree(service, caller, criteria, resource()?, conditions, prefer)
                    .await;
            outcome.map_err(Failure::without_positions)
        }
        Request::Patch { key, conditions } => {
            let patch = entry.patch(tree, key.resource_type())?;
            let outcome = patch::patch_key(service, caller, key, &patch, conditions, prefer).await;
            outcome.map_err(|failure| patch::in_entry(failure, &patch))
        }
        Request::ConditionalPatch { on, conditions } => {
            let patch = entry.patch(tree, &on.resource_type)?;
            let criteria = &on.criteria;
            let outcome = patch::patch_matched(service, caller, criteria, &patch, conditions, prefer).await;
            outcome.map_err(|failure| patch::in_entry(failure, &patch))
        }
        Request::Delete { key, conditions } => {
            delete::delete_key(service, caller, key, conditions, prefer).await
        }
        Request::ConditionalDelete { on, conditions } => {
            delete::delete_matched(service, caller, &on.criteria, conditions, prefer).await
        }
        Request::Get { get, conditions, head } => {
            let outcome = get.run(service, caller, conditions).await?;
            Ok(if *head { Outcome { body: OutcomeBody::Empty, ..outcome } } else { outcome })
        }
    }
}

/// Runs futures side by side; their outputs in their order.
async fn all<F: Future + Unpin>(mut running: Vec<F>) -> Vec<F::Output> {
    let mut done: Vec<Option<F::Output>> = running.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        let mut waiting = false;
        for (future, slot) in running.iter_mut().zip(&mut done) {
            if slot.is_none() {
                match Pin::new(future).poll(context) {
                    Poll::Ready(output) => *slot = Some(output),
                    Poll::Pending => waiting = true,
                }
            }
        }
        if waiting { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    done.into_iter().flatten().collect()
}
