//! Two who must not meet: tenants with the same ids and different secrets, or patients of one tenant, of whom the one holds a
//! token with `patient/` scopes. Each question that the registries let a client ask is asked for the one twice: when it is alone
//! in the store, and when the other is there too. The answers must be the same, byte for byte, none may show the other's secret,
//! and nothing of the other may change. The crate that has this module says on which
//! engine.
//!
//! | registry | what is made of each row |
//! |---|---|
//! | routes (`vesta::http::route::ROUTES`) | requests for every seeded resource and some that only the other tenant has ([`requests`]) |
//! | search parameters | searches for the values that either tenant's resources have ([`criteria`]) |
//! | operations, and `$export` | calls at each level that is offered ([`requests`]); of an export the files are the answer |
//!
//! A row that no request belongs to, or whose requests show and change nothing of the tenant's own, fails by its name: its
//! silence about the other tenant would say nothing.

mod criteria;
mod decisions;
mod in_process;
mod over_http;
mod patients;
mod requests;
mod seeds;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use requests::Request;
use seeds::Cast;
use vesta::http::route::{ROUTES, Shape};
use world::{Answer, DEFINITIONS, Way, Who, World};

/// Rows that show nothing of any tenant and change nothing.
const OF_NO_TENANT: [(&str, Shape); 1] = [("GET", Shape::Metadata)];

/// Rows that change nothing for a patient: they are for those who may delete everybody's.
const NOT_OF_PATIENTS: [&str; 3] =
    ["DELETE /{type}/{id}/_history", "DELETE /{type}/{id}/_history/{version}", "$purge"];

/// All that the tenant was told, in the order asked.
struct Told {
    answers: Vec<(Request, Answer)>,
    /// Its own state after each request that changed it, by the request's number.
    changed: BTreeSet<usize>,
    /// What its store holds in the end.
    state: String,
}

/// Asks everything for the first tenant.
async fn ask(world: &World, way: Way, cast: Cast) -> Told {
    let reading = requests::reading(way, cast);
    let mut told = Told { answers: Vec::new(), changed: BTreeSet::new(), state: String::new() };
    for request in &reading {
        told.answers.push((request.clone(), world.send(Who::Asking, request).await));
    }
    let mut before = world.versions().await;
    for request in requests::writing(&reading, cast) {
        let answer = world.send(Who::Asking, &request).await;
        let after = world.versions().await;
        if after != before {
            told.changed.insert(told.answers.len());
        }
        before = after;
        told.answers.push((request, answer));
    }
    // What was written is found as it was asked for before, and only that.
    for request in &reading {
        told.answers.push((request.clone(), world.send(Who::Asking, request).await));
    }
    told.state = world.state(Who::Asking).await;
    told
}

#[tokio::test]
async fn a_tenant_learns_nothing_of_another_by_the_interactions() {
    compare(Way::InProcess, Cast::Tenants).await;
}

#[tokio::test]
async fn a_patient_learns_nothing_of_another_by_the_interactions() {
    compare(Way::InProcess, Cast::Patients).await;
}

#[tokio::test]
async fn a_policy_holds_like_scopes() {
    compare(Way::ByPolicy, Cast::Patients).await;
}

#[tokio::test]
async fn a_tenant_learns_nothing_of_another_over_http() {
    compare(Way::Http, Cast::Tenants).await;
}

/// What the tenant is told when it is alone, and beside the other, whom nothing happens to.
async fn compare(way: Way, cast: Cast) {
    let alone = ask(&World::new(crate::ENGINE, way, cast, false).await, way, cast).await;
    let world = World::new(crate::ENGINE, way, cast, true).await;
    let others = world.state(Who::Other).await;
    let beside = ask(&world, way, cast).await;
    let mut leaks = Vec::new();
    for ((request, alone), (_, beside)) in alone.answers.iter().zip(&beside.answers) {
        if let Some(difference) = alone.differs(beside) {
            leaks.push(format!("{request}{difference}"));
        } else if beside.text.contains(seeds::OTHER) && !request.says(seeds::OTHER) {
            leaks.push(format!("{request} shows the other's secret: {}", beside.excerpt()));
        }
    }
    assert_eq!(alone.answers.len(), beside.answers.len());
    if alone.state != beside.state {
        leaks.push(format!("the tenant's own state\n   alone: {}\n  beside: {}", alone.state, beside.state));
    }
    let now = world.state(Who::Other).await;
    if now != others {
        leaks.push(format!("the other's state\n  before: {others}\n   after: {now}"));
    }
    if others.contains(seeds::ASKING) {
        leaks.push("the other has the tenant's secret".to_owned());
    }
    for (path, text) in world.site() {
        if [seeds::ASKING, seeds::OTHER].iter().any(|secret| text.contains(secret))
            && !path.contains(seeds::OTHER)
        {
            leaks.push(format!("{path} shows a tenant's secret: {text}"));
        }
    }
    let shown = leaks.iter().take(25).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(leaks.is_empty(), "{} leaks, the first:\n{shown}", leaks.len());
    println!("{} requests", beside.answers.len());
    if !requests::is_sample(cast) {
        every_row_is_covered(&beside, cast);
        every_parameter_is_covered(&beside, cast);
    }
}

/// Each route and each operation was asked for, and showed or changed something of the tenant's own.
fn every_row_is_covered(told: &Told, cast: Cast) {
    let mut effective: BTreeMap<String, bool> = BTreeMap::new();
    for route in ROUTES.iter().filter(|route| !OF_NO_TENANT.contains(&(route.method, route.shape))) {
        effective.insert(format!("{} {}", route.method, route.shape.template()), false);
    }
    for operation in requests::operations() {
        effective.insert(format!("${}", operation.name), false);
    }
    for (number, (request, answer)) in told.answers.iter().enumerate() {
        let own = answer.text.contains(seeds::ASKING) && !request.says(seeds::ASKING);
        if own || told.changed.contains(&number) {
            request.rows().into_iter().for_each(|row| {
                effective.insert(row, true);
            });
        }
    }
    if cast == Cast::Patients {
        for row in NOT_OF_PATIENTS {
            assert_eq!(effective.remove(row), Some(false), "a patient's {row} changes something");
        }
    }
    let silent: Vec<&String> =
        effective.iter().filter(|(_, effective)| !**effective).map(|(row, _)| row).collect();
    assert!(
        silent.is_empty(),
        "these rows of the registries showed and changed nothing of the tenant's own; give them a request: {silent:?}"
    );
}

/// Each search parameter that the tenant's resources have values of found one of them; each kind of parameter has such.
fn every_parameter_is_covered(told: &Told, cast: Cast) {
    let mut found: BTreeMap<String, bool> = BTreeMap::new();
    let mut kinds = BTreeSet::new();
    for (resource_type, parameter) in criteria::with_values(cast) {
        kinds.insert(parameter.kind.as_str());
        found.insert(format!("{resource_type}?{}", parameter.code), false);
    }
    for (request, answer) in &told.answers {
        if let Some(asked) = &request.parameter
            && answer.text.contains(seeds::ASKING)
        {
            found.insert(asked.clone(), true);
        }
    }
    let blind: Vec<&String> = found.iter().filter(|(_, found)| !**found).map(|(asked, _)| asked).collect();
    assert!(blind.is_empty(), "these parameters found nothing of the tenant's own: {blind:?}");
    if cast == Cast::Patients {
        return;
    }
    let indexed = DEFINITIONS.search_parameters.all().iter().filter(|it| it.is_indexed());
    let all: BTreeSet<&str> = indexed.map(|parameter| parameter.kind.as_str()).collect();
    assert_eq!(kinds, all, "the seeds have a value of each kind of parameter");
}

/// A page link that the other tenant was given says nothing here; the tenant's own goes on.
#[tokio::test]
async fn a_page_link_is_of_one_tenant_by_the_interactions() {
    page_links(Way::InProcess).await;
}

#[tokio::test]
async fn a_page_link_is_of_one_tenant_over_http() {
    page_links(Way::Http).await;
}

async fn page_links(way: Way) {
    let world = World::new(crate::ENGINE, way, Cast::Tenants, true).await;
    let mut interactions = BTreeSet::new();
    for request in requests::paged() {
        let interaction = request.interaction().name();
        let next = world.send(Who::Other, &request).await.next;
        let Some(next) = next else { panic!("{request}: the other has one page only") };
        let stolen = world.send(Who::Asking, &request.page(&next)).await;
        assert_eq!(stolen.status, 400, "{request} took the other's page link: {}", stolen.excerpt());
        assert!(!stolen.text.contains(seeds::OTHER), "{request}: {}", stolen.excerpt());
        let own = world.send(Who::Asking, &request).await.next;
        let own = own.unwrap_or_else(|| panic!("{request}: the tenant has one page only"));
        let second = world.send(Who::Asking, &request.page(&own)).await;
        assert_eq!(second.status, 200, "{request}: {}", second.excerpt());
        interactions.insert(interaction);
    }
    let expected = [
        "history-instance",
        "history-system",
        "history-type",
        "search-compartment",
        "search-system",
        "search-type",
    ];
    assert_eq!(interactions.into_iter().collect::<Vec<_>>(), expected);
}
