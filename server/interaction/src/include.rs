//! What `_include` and `_revinclude` add to a page (<https://hl7.org/fhir/R4/search.html#revinclude>): round by round, where
//! `:iterate` asks for more. Each resource comes once, so that circles end; what a limit leaves out is told.

use ::search::{Include, References, SearchRequest};
use fhirpath::{Issue, IssueType, Severity};
use rustc_hash::FxHashSet;
use store::{Access, Filter, Key, Permission, Predicate, Query, Version};

use crate::{Caller, Failure, Service};

/// Most rounds of `:iterate`, the first one on the matches.
const MAX_ROUNDS: usize = 16;

/// What is added.
#[derive(Default)]
pub(crate) struct Included {
    /// In the order they were found.
    pub versions: Vec<Version>,
    /// Said when there is more than may be added.
    pub left_out: Option<Issue>,
}

/// Collects what is added to a page.
struct Inclusion<'a> {
    service: &'a Service,
    caller: &'a Caller,
    /// What is included must be permitted to be read, whatever was searched.
    access: &'a Access,
    seen: FxHashSet<Key>,
    included: Included,
}

/// What a request adds to a page of matches.
pub(crate) async fn included(
    service: &Service,
    caller: &Caller,
    request: &SearchRequest,
    matches: &[Version],
) -> Result<Included, Failure> {
    let seen = matches.iter().map(|version| version.key.clone()).collect();
    let access = &caller.access.to(Permission::Read);
    let mut inclusion = Inclusion { service, caller, access, seen, included: Included::default() };
    let mut from: Vec<Key> = matches.iter().map(|version| version.key.clone()).collect();
    for round in 0.. {
        let asked = |include: &&Include| round == 0 || include.iterate;
        if from.is_empty() || !request.includes.iter().chain(&request.revincludes).any(|one| asked(&one)) {
            break;
        }
        if round == MAX_ROUNDS {
            let details = format!(
                "References were followed {MAX_ROUNDS} times; what :iterate would find beyond is left out."
            );
            inclusion.leave_out(details);
            break;
        }
        let start = inclusion.included.versions.len();
        for include in request.includes.iter().filter(asked) {
            inclusion.forward(include, &from).await?;
        }
        for include in request.revincludes.iter().filter(asked) {
            inclusion.reverse(include, &from).await?;
        }
        let found = inclusion.included.versions.iter().skip(start);
        from = found.map(|version| version.key.clone()).collect();
    }
    Ok(inclusion.included)
}

impl Inclusion<'_> {
    fn leave_out(&mut self, details: String) {
        let issue = Issue::error(IssueType::TooCostly, details).severity(Severity::Warning);
        self.included.left_out.get_or_insert(issue);
    }

    fn is_full(&mut self) -> bool {
        let limit = self.service.limits.includes;
        let full = self.included.versions.len() >= limit;
        if full {
            self.leave_out(format!(
                "More than {limit} resources would be included; the rest is left out. Ask for smaller pages with _count."
            ));
        }
        full
    }

    /// `_include`: what some resources refer to.
    async fn forward(&mut self, include: &Include, from: &[Key]) -> Result<(), Failure> {
        for References { source, parameters } in &include.references {
            let of_type = from.iter().filter(|key| key.resource_type() == source);
            let of_type: Vec<Key> = of_type.cloned().collect();
            if !of_type.is_empty() && !self.targets(include, &of_type, parameters).await? {
                break;
            }
        }
        Ok(())
    }

    /// Adds the targets of references; `false` where there is no more room.
    async fn targets(
        &mut self,
        include: &Include,
        from: &[Key],
        parameters: &[store::ParameterId],
    ) -> Result<bool, Failure> {
        let store = &self.service.store;
        let (tenant, access) = (&self.caller.tenant, self.access);
        for target in store.references(tenant, access, from, parameters).await? {
            // An absolute URL is another server's resource: nothing here to include.
            let Some(key) = Key::parse(&target) else { continue };
            if !is_wanted(include, &key) || self.seen.contains(&key) {
                continue;
            }
            let Some(version) = store.read(tenant, access, &key).await? else { continue };
            if version.is_deleted() {
                continue;
            }
            if self.is_full() {
                return Ok(false);
            }
            self.seen.insert(key);
            self.included.versions.push(version);
        }
        Ok(true)
    }

    /// `_revinclude`: what refers to some resources.
    async fn reverse(&mut self, include: &Include, from: &[Key]) -> Result<(), Failure> {
        let targets = from.iter().filter(|key| is_wanted(include, key));
        let targets: Vec<Box<str>> = targets.map(|key| key.as_str().into()).collect();
        if targets.is_empty() {
            return Ok(());
        }
        let mut query = Query {
            resource_type: None,
            filter: referrers(&include.references, &targets),
            sort: Vec::new(),
            after: None,
            // Those already on the page may be found again and do not count.
            limit: self.service.limits.includes + 1,
            total: false,
        };
        if let [one] = include.references.as_slice() {
            query.resource_type = Some(one.source.as_str().into());
        }
        loop {
            let page = self.service.store.search(&self.caller.tenant, self.access, &query).await?;
            for version in page.matches {
                if self.seen.contains(&version.key) {
                    continue;
                }
                if self.is_full() {
                    return Ok(());
                }
                self.seen.insert(version.key.clone());
                self.included.versions.push(version);
            }
            match page.next {
                Some(next) => query.after = Some(next),
                None => return Ok(()),
            }
        }
    }
}

fn is_wanted(include: &Include, key: &Key) -> bool {
    include.target.as_ref().is_none_or(|wanted| key.resource_type() == wanted)
}

/// Those that point to one of some resources. Several types share parameters; each is asked once.
fn referrers(references: &[References], targets: &[Box<str>]) -> Filter {
    let mut parameters: Vec<_> = references.iter().flat_map(|of_type| &of_type.parameters).copied().collect();
    parameters.sort_unstable();
    parameters.dedup();
    let refers = |parameter| Filter::Match(parameter, Predicate::Reference(targets.to_vec()));
    Filter::Or(parameters.into_iter().map(refers).collect())
}
