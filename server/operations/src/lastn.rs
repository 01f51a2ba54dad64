//! `Observation/$lastn` (<https://hl7.org/fhir/R4/observation-operation-lastn.html>): of the observations that a search of a
//! subject matches, the most recent of each code. Codes that some observation has together are one. Where the last that is
//! to be given has equals in time, these are given, too.
//!
//! Groups come with that of the most recent observation first, and so do the observations of a group.

use fhirpath::{Element, IssueType, Tree, primitive};
use interaction::{
    Caller, Failure, Handling, Mode, OperationDescriptor, Outcome, PageWriter, Pages, Service, Status,
};
use rustc_hash::FxHashMap;
use search::{ParseContext, SearchRequest};
use store::{Cursor, Permission, Query, SortBy, SortKey, Version};

use crate::parameters::{refuse, shown, simple};
use crate::{Invocation, Operation, Running};

pub(crate) const LASTN: Operation = Operation {
    descriptor: OperationDescriptor {
        name: "lastn",
        definition: "http://hl7.org/fhir/OperationDefinition/Observation-lastn",
        resource_types: &["Observation"],
        system: false,
        type_level: true,
        instance: false,
        affects_state: false,
    },
    handler: |service, caller, invocation| Box::pin(lastn(service, caller, invocation)) as Running<'_>,
};

/// Observations asked of the store at once.
const STEP: usize = 500;
/// Most observations of a code that may be asked for.
const MAX_MAX: usize = 1_000;
/// What shapes the result of a search has no meaning here, where the operation does.
const SHAPES: [&str; 9] = [
    "_sort",
    "_include",
    "_revinclude",
    "_total",
    "_summary",
    "_elements",
    "_explain",
    "_contained",
    "_containedType",
];

async fn lastn(service: &Service, caller: &Caller, invocation: Invocation) -> Result<Outcome, Failure> {
    caller.require(Permission::Search, "Observation")?;
    let Asked { max, request, honoured } = asked(service, &invocation)?;
    let pages = Pages::new(service, caller, "Observation/$lastn", &honoured);
    let skip = request.cursor.as_deref().map(|text| pages.position(text)).transpose()?;
    let skip = skip.as_ref().map_or(0, offset);
    let counted = honoured.iter().any(|(name, _)| name == "_count");
    let limit = if counted { request.query.limit } else { service.limits.max_count };
    if limit == 0 {
        return Err(refuse(IssueType::Value, "_count is at least 1.".to_owned(), "http._count".to_owned()));
    }
    let found = most_recent(service, caller, &request, max).await?;
    let page: Vec<&Version> = found.iter().skip(skip).take(limit).collect();

    let count = if counted { limit } else { 0 };
    let mut links = vec![("self", pages.url(count, request.cursor.as_deref()))];
    if found.len() > limit {
        links.push(("first", pages.url(count, None)));
    }
    if let Some(next) = skip.checked_add(limit).filter(|next| *next < found.len()) {
        let next = Cursor(u64::try_from(next).unwrap_or(u64::MAX).to_le_bytes().into());
        links.push(("next", pages.url(count, Some(&pages.sign(&next)))));
    }
    let bytes = page.iter().map(|version| version.body.len() + 192).sum();
    let total = u64::try_from(found.len()).ok();
    let mut out = PageWriter::open(service, None, "searchset", total, &links, bytes);
    for version in page {
        out.found(version, Mode::Match)?;
    }
    if !request.ignored.is_empty() {
        out.outcome(&request.ignored);
    }
    Ok(Outcome::resource(out.close()))
}

fn offset(cursor: &Cursor) -> usize {
    let bytes = cursor.0.first_chunk::<8>().copied().unwrap_or_default();
    usize::try_from(u64::from_le_bytes(bytes)).unwrap_or(usize::MAX)
}

/// What is asked.
struct Asked {
    max: usize,
    request: SearchRequest,
    honoured: Vec<(String, String)>,
}

fn asked(service: &Service, invocation: &Invocation) -> Result<Asked, Failure> {
    let mut criteria = simple(service, invocation)?;
    let mut max = None;
    for (name, value) in criteria.iter().filter(|(name, _)| name == "max") {
        let number = value.parse().ok().filter(|number| (1..=MAX_MAX).contains(number));
        let number = number.ok_or_else(|| wrong(name, &format!("is a number from 1 to {MAX_MAX}")))?;
        if max.replace(number).is_some() {
            return Err(wrong(name, "is given twice"));
        }
    }
    let maxima: Vec<(String, String)> = criteria.extract_if(.., |(name, _)| name == "max").collect();
    let base = |name: &str| name.split([':', '.']).next().unwrap_or_default().to_owned();
    if let Some((name, _)) = criteria.iter().find(|(name, _)| SHAPES.contains(&base(name).as_str())) {
        let name = shown(name);
        let details = format!("{name} shapes the result of a search; $lastn has a form of its own.");
        return Err(refuse(IssueType::NotSupported, details, format!("http.{name}")));
    }
    let names: Vec<String> = criteria.iter().map(|(name, _)| base(name)).collect();
    if !names.iter().any(|name| name == "patient" || name == "subject") {
        let details = "$lastn needs a subject: give patient or subject.".to_owned();
        return Err(refuse(IssueType::Required, details, "http".to_owned()));
    }
    let is_code = |name: &String| name == "category" || name.split('-').any(|word| word == "code");
    if !names.iter().any(is_code) {
        let details =
            "$lastn needs a category or a code: give category, code or another parameter of a code."
                .to_owned();
        return Err(refuse(IssueType::Required, details, "http".to_owned()));
    }
    let context = ParseContext {
        index: &service.index,
        handling: Handling::Strict,
        now: (service.clock)().0.saturating_mul(1000),
        default_count: service.limits.max_count,
        max_count: service.limits.max_count,
        terminology: None,
    };
    let request = search::parse(&context, Some("Observation"), None, &criteria)
        .map_err(|issues| Failure::of(Status::BadRequest, issues))?;
    let honoured = maxima.into_iter().chain(request.honoured.iter().cloned()).collect();
    Ok(Asked { max: max.unwrap_or(1), request, honoured })
}

fn wrong(name: &str, why: &str) -> Failure {
    refuse(IssueType::Value, format!("{name} {why}."), format!("http.{name}"))
}

/// The observations to give, in order.
async fn most_recent(
    service: &Service,
    caller: &Caller,
    request: &SearchRequest,
    max: usize,
) -> Result<Vec<Version>, Failure> {
    let date = service.definitions.search_parameters.get("Observation", "date");
    let by_date =
        date.map(|date| SortKey { by: SortBy::Parameter(service.index.id(date)), descending: true });
    let mut query = Query {
        sort: by_date.into_iter().collect(),
        limit: STEP,
        total: false,
        after: None,
        ..request.query.clone()
    };
    let mut groups = Groups::new(max);
    loop {
        let page = service.store.search(&caller.tenant, &caller.access, &query).await?;
        for version in page.matches {
            let (codes, time) = code_and_time(service, &version)?;
            groups.add(&codes, time, version);
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => return Ok(groups.finish()),
        }
    }
}

/// Observations by code, as they come from the most recent on.
struct Groups<V> {
    max: usize,
    /// The group of each code.
    of_code: FxHashMap<String, usize>,
    groups: Vec<Group>,
    /// Those that may be given, in order, each with its group and time.
    kept: Vec<(usize, i64, V)>,
}

struct Group {
    /// The group it was joined to; itself, if to none.
    joined: usize,
    /// How many there were, and the time of the last.
    seen: usize,
    last: Option<i64>,
}

impl<V> Groups<V> {
    fn new(max: usize) -> Groups<V> {
        Groups { max, of_code: FxHashMap::default(), groups: Vec::new(), kept: Vec::new() }
    }

    /// The group that a group has become part of.
    fn root(&self, mut group: usize) -> usize {
        while let Some(joined) = self.groups.get(group).map(|it| it.joined).filter(|joined| *joined != group)
        {
            group = joined;
        }
        group
    }

    /// Adds one that is no more recent than those before.
    fn add(&mut self, codes: &[String], time: i64, version: V) {
        let new = self.groups.len();
        let mut roots: Vec<usize> =
            codes.iter().filter_map(|code| self.of_code.get(code)).map(|group| self.root(*group)).collect();
        roots.sort_unstable();
        roots.dedup();
        let root = roots.first().copied().unwrap_or(new);
        if root == new {
            self.groups.push(Group { joined: new, seen: 0, last: None });
        }
        let (mut seen, mut last) = (0, None);
        for joined in roots {
            if let Some(group) = self.groups.get_mut(joined) {
                group.joined = root;
                seen += group.seen;
                last = match (last, group.last) {
                    (Some(one), Some(other)) => Some(i64::min(one, other)),
                    (one, other) => one.or(other),
                };
            }
        }
        for code in codes {
            self.of_code.insert(code.clone(), root);
        }
        if seen < self.max || last == Some(time) {
            self.kept.push((root, time, version));
        }
        if let Some(group) = self.groups.get_mut(root) {
            (group.seen, group.last) = (seen + 1, Some(time));
        }
    }

    /// The most recent of each group, those that are equal to the last of them included.
    fn finish(mut self) -> Vec<V> {
        let kept = std::mem::take(&mut self.kept);
        let mut given: Vec<(Vec<V>, i64)> = Vec::new();
        let mut place_of: FxHashMap<usize, usize> = FxHashMap::default();
        for (group, time, version) in kept {
            let next = given.len();
            let place = *place_of.entry(self.root(group)).or_insert(next);
            if place == next {
                given.push((Vec::new(), time));
            }
            if let Some((versions, last)) = given.get_mut(place)
                && (versions.len() < self.max || *last == time)
            {
                versions.push(version);
                *last = time;
            }
        }
        given.into_iter().flat_map(|(versions, _)| versions).collect()
    }
}

/// What an observation is grouped by, and when it was made (microseconds; the least where it does not say).
fn code_and_time(service: &Service, version: &Version) -> Result<(Vec<String>, i64), Failure> {
    let limits = fhirpath::tree::Limits::DEFAULT;
    let tree =
        Tree::parse_json(&service.definitions.schema, version.body.to_vec(), &limits).map_err(|_| {
            Failure::new(Status::Internal, IssueType::Exception, "A stored resource cannot be read.")
        })?;
    let text = |element: Element<'_>, name: &str| {
        element.get(name).and_then(|value| value.value()).map(|value| value.into_owned())
    };
    let mut codes = Vec::new();
    if let Some(code) = tree.root().get("code") {
        for coding in code.all("coding") {
            let system = text(coding, "system").unwrap_or_default();
            codes.extend(text(coding, "code").map(|code| format!("{system}|{code}")));
        }
        if codes.is_empty() {
            // No coding begins so: a code has no line breaks.
            codes.extend(text(code, "text").map(|text| format!("\n{text}")));
        }
    }
    Ok((codes, tree.root().get("effective").and_then(began).unwrap_or(i64::MIN)))
}

/// The first microsecond of a dateTime, an instant or a Period, and of the last event of a Timing.
fn began(effective: Element<'_>) -> Option<i64> {
    let first = |element: Element<'_>| Some(primitive::span(&element.value()?)?.0);
    match effective.type_name() {
        "Period" => effective.get("start").and_then(first),
        "Timing" => effective.all("event").filter_map(first).max(),
        _ => first(effective),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(max: usize, observations: &[(&str, i64)], expected: &str) {
        let mut groups = Groups::new(max);
        for (number, (codes, time)) in observations.iter().enumerate() {
            let codes: Vec<String> = codes.chars().map(String::from).collect();
            groups.add(&codes, *time, number.to_string());
        }
        assert_eq!(groups.finish().concat(), expected, "{max} of {observations:?}");
    }

    #[test]
    fn groups() {
        check(1, &[], "");
        check(1, &[("a", 9), ("b", 8), ("a", 7), ("", 6), ("", 5)], "0134");
        check(2, &[("a", 9), ("b", 8), ("a", 7), ("a", 6), ("b", 5)], "0214");
        // Codes that one observation has together are one, from whichever on.
        check(1, &[("a", 9), ("b", 8), ("c", 7), ("ab", 6)], "02");
        check(2, &[("a", 9), ("b", 8), ("a", 7), ("b", 6), ("ab", 5)], "01");
        check(3, &[("a", 9), ("b", 8), ("ab", 7), ("bc", 6), ("c", 5)], "012");
        // What is equal to the last in time is given, too.
        check(1, &[("a", 9), ("a", 9), ("a", 8)], "01");
        check(2, &[("a", 9), ("a", 8), ("a", 8), ("a", 8), ("a", 7)], "0123");
        check(1, &[("a", 9), ("b", 9), ("ab", 9), ("a", 8)], "012");
        check(1, &[("a", 9), ("b", 8), ("b", 8), ("ab", 1)], "0");
    }
}
