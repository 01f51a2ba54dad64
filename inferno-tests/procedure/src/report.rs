//! What was seen, test by test, and what of the kit that covers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::http::{Checked, Wrong};

/// What was seen of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The group's id in the kit, in the form of [`KitTest::group`].
    pub group: String,
    /// The last part of the test's id, in the form of [`KitTest::test`].
    pub test: String,
    /// `uscore6`: the option sets that it was seen for, where that matters.
    pub option: Option<String>,
    /// What was found.
    pub outcome: Outcome,
}

/// What was found by a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All is as the procedure asks.
    Passed,
    /// The records at hand have not what it asks for; the kit says `skip`, which is not passed.
    Lacking(Wrong),
    /// It is about what this server need not do; the kit says `omit`.
    Omitted(Wrong),
    /// Something is wrong.
    Failed(Wrong),
}

impl Outcome {
    /// How it is called in results.
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Passed => "passed",
            Outcome::Lacking(_) => "lacking",
            Outcome::Omitted(_) => "omitted",
            Outcome::Failed(_) => "failed",
        }
    }

    /// Why, if it did not pass.
    pub fn why(&self) -> Option<&Wrong> {
        match self {
            Outcome::Passed => None,
            Outcome::Lacking(why) | Outcome::Omitted(why) | Outcome::Failed(why) => Some(why),
        }
    }
}

impl From<Checked> for Outcome {
    fn from(found: Checked) -> Outcome {
        found.map_or_else(Outcome::Failed, |()| Outcome::Passed)
    }
}

/// All that was seen.
#[derive(Debug, Default)]
pub struct Report {
    /// In order.
    pub seen: Vec<Seen>,
}

/// A test of the kit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KitTest {
    /// `uscore6+smart2.0+bulk2`
    pub option_set: String,
    /// `1.4.05`
    pub short_id: String,
    /// The group's id, without what tells versions of SMART and US Core apart: they ask the same.
    pub group: String,
    /// The last part of the test's id, likewise.
    pub test: String,
    /// What it asks.
    pub title: String,
    /// Whether it has to pass.
    pub required: bool,
}

/// How a test of the kit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Covered<'r> {
    /// It passed, each time that it was looked at.
    Passed,
    /// The records at hand have not what it asks for.
    Lacking(&'r Wrong),
    /// It does not apply.
    Omitted(&'r Wrong),
    /// It failed.
    Failed(&'r Wrong),
    /// It was not looked at.
    NotSeen,
}

/// The tests that are answered by hand, in a document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attested(BTreeSet<String>);

impl Attested {
    /// Those that a document answers: each in a section whose title begins with their numbers (`## 11.18, 11.19: ..`).
    pub fn read(document: &str) -> Attested {
        let titles = document.lines().filter_map(|line| line.strip_prefix("## "));
        let ids = titles.filter_map(|title| title.split_once(':')).flat_map(|(ids, _)| ids.split(','));
        Attested(ids.map(|id| id.trim().to_owned()).filter(|id| id.contains('.')).collect())
    }

    /// Whether a test is answered.
    pub fn has(&self, test: &KitTest) -> bool {
        self.0.contains(&test.short_id)
    }

    /// The numbers that are no test of these.
    pub fn unknown<'a>(&'a self, tests: &'a [KitTest]) -> impl Iterator<Item = &'a str> {
        let is_known = move |id: &&String| tests.iter().any(|test| test.short_id == **id);
        self.0.iter().filter(move |id| !is_known(id)).map(String::as_str)
    }
}

/// What tells the versions of the same group or test apart.
const VERSIONS: [(&str, &str); 9] = [
    ("_stu2_2", ""),
    ("_stu2", ""),
    ("v2_2_scopes", "v2_scopes"),
    ("Group06-", ""),
    ("g10_us_core_7_smart", "g10_smart"),
    ("g10_us_core_7_", "g10_"),
    ("g10_us_core_6_", "g10_"),
    ("_us_core_7", ""),
    ("_us_core_6", ""),
];

fn without_version(id: &str) -> String {
    let id = id.strip_prefix("g10_certification-").unwrap_or(id).replace("us_core_v700", "us_core_v610");
    VERSIONS.iter().fold(id, |id, (from, to)| id.replace(from, to))
}

impl KitTest {
    /// Those of a table like `inferno/g10-tests.tsv`: a line each, with the columns that its first line names.
    ///
    /// # Errors
    /// A column is missing.
    pub fn read(table: &str) -> Result<Vec<KitTest>, Wrong> {
        let mut lines = table.lines();
        let names: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
        let column = |name: &str| {
            let place = names.iter().position(|known| *known == name);
            place.ok_or_else(|| Wrong(format!("the table has no column {name}")))
        };
        let places = [
            column("option_set")?,
            column("test_short_id")?,
            column("group_id")?,
            column("test_id")?,
            column("test_title")?,
            column("optional")?,
        ];
        let tests = lines.map(|line| {
            let cells: Vec<&str> = line.split('\t').collect();
            let [option_set, short_id, group, test, title, optional] =
                places.map(|place| cells.get(place).copied().unwrap_or_default());
            let last = test.strip_prefix(group).unwrap_or(test).trim_start_matches('-');
            KitTest {
                option_set: option_set.to_owned(),
                short_id: short_id.to_owned(),
                group: without_version(group),
                test: without_version(last),
                title: title.trim().to_owned(),
                required: optional == "required",
            }
        });
        Ok(tests.collect())
    }

    /// The number of its top group: 1 is the standalone launch, 8 bulk data.
    pub fn top_group(&self) -> Option<u32> {
        self.short_id.split('.').next()?.parse().ok()
    }
}

impl Report {
    /// The tests of a group, under way.
    pub(crate) fn group(&mut self, id: &str) -> Group<'_> {
        Group { report: self, id: without_version(id), option: None }
    }

    /// The same for option sets that begin so.
    pub(crate) fn group_of(&mut self, id: &str, option: &str) -> Group<'_> {
        Group { report: self, id: without_version(id), option: Some(option.to_owned()) }
    }

    /// How a test of the kit stands.
    pub fn covers(&self, test: &KitTest) -> Covered<'_> {
        let is_of = |seen: &&Seen| {
            let option = seen.option.as_deref();
            seen.group == test.group
                && seen.test == test.test
                && option.is_none_or(|option| test.option_set.starts_with(option))
        };
        let mut found = Covered::NotSeen;
        for seen in self.seen.iter().filter(is_of) {
            found = match (&seen.outcome, found) {
                (Outcome::Failed(wrong), _) => return Covered::Failed(wrong),
                (_, Covered::Lacking(wrong)) | (Outcome::Lacking(wrong), _) => Covered::Lacking(wrong),
                (Outcome::Passed, _) | (_, Covered::Passed) => Covered::Passed,
                (Outcome::Omitted(why), _) => Covered::Omitted(why),
            };
        }
        found
    }

    /// Adds what another part of the procedure saw.
    pub fn add(&mut self, other: Report) {
        self.seen.extend(other.seen);
    }

    /// All that was seen, for programs: a list of `{group, test, option?, outcome, why?}`.
    pub fn json(&self) -> Value {
        let each = self.seen.iter().map(|seen| {
            let mut one = json!({"group": seen.group, "test": seen.test, "outcome": seen.outcome.name()});
            if let Value::Object(members) = &mut one {
                members.extend(seen.option.iter().map(|option| ("option".to_owned(), json!(option))));
                let why = seen.outcome.why();
                members.extend(why.map(|why| ("why".to_owned(), json!(why.to_string()))));
            }
            one
        });
        Value::Array(each.collect())
    }
}

/// A table of tests and how they stand by each of some reports, one line for all option sets that have it: Markdown.
pub fn table(tests: &[KitTest], reports: &[(&str, &Report)], attested: &Attested) -> String {
    let mut rows: BTreeMap<(&str, &str), Vec<&KitTest>> = BTreeMap::new();
    for test in tests {
        rows.entry((&test.group, &test.test)).or_default().push(test);
    }
    let names: Vec<&str> = reports.iter().map(|(name, _)| *name).collect();
    let mut out = format!("| tests of the kit | what is asked | {} |\n", names.join(" | "));
    out.push_str(&format!("|---|---|{}\n", "---|".repeat(reports.len())));
    let mut lines: Vec<(Vec<u32>, String)> = rows
        .values()
        .map(|tests| {
            let ids: BTreeSet<&str> = tests.iter().map(|test| test.short_id.as_str()).collect();
            let ids: Vec<&str> = ids.into_iter().collect();
            let seen: Vec<String> =
                reports.iter().map(|(_, report)| stands(tests, report, attested)).collect();
            let title = tests.first().map(|test| test.title.as_str()).unwrap_or_default();
            let line = format!("| {} | {title} | {} |\n", ids.join(", "), seen.join(" | "));
            (order(ids.first().copied().unwrap_or_default()), line)
        })
        .collect();
    lines.sort();
    out.extend(lines.into_iter().map(|(_, line)| line));
    out
}

/// How the tests of a line stand: once, if all stand alike, or by option set.
fn stands(tests: &[&KitTest], report: &Report, attested: &Attested) -> String {
    let mut ways: Vec<(String, Vec<&str>)> = Vec::new();
    for test in tests {
        let way = stand(test, report, attested);
        let option = test.option_set.split('+').next().unwrap_or_default();
        match ways.iter_mut().find(|(known, _)| *known == way) {
            Some((_, options)) if !options.contains(&option) => options.push(option),
            Some(_) => {}
            None => ways.push((way, vec![option])),
        }
    }
    match ways.as_slice() {
        [(way, _)] => way.clone(),
        ways => {
            let each = ways.iter().map(|(way, options)| format!("{}: {way}", options.join(", ")));
            each.collect::<Vec<_>>().join("; ")
        }
    }
}

fn stand(test: &KitTest, report: &Report, attested: &Attested) -> String {
    // A cell ends at a line's end or a bar.
    let cell = |why: &Wrong| why.0.replace('\n', " ").replace('|', "\\|");
    match report.covers(test) {
        Covered::Passed => "passed".to_owned(),
        Covered::Lacking(why) => format!("the records lack it: {}", cell(why)),
        Covered::Omitted(why) => format!("does not apply: {}", cell(why)),
        Covered::Failed(wrong) => format!("**failed**: {}", cell(wrong)),
        Covered::NotSeen if attested.has(test) => "[by hand](attestations.md)".to_owned(),
        Covered::NotSeen if test.required => "**not covered**".to_owned(),
        Covered::NotSeen => "optional, not looked at".to_owned(),
    }
}

fn order(short_id: &str) -> Vec<u32> {
    short_id.split('.').map(|part| part.parse().unwrap_or(u32::MAX)).collect()
}

/// The tests of one group, under way.
pub(crate) struct Group<'r> {
    report: &'r mut Report,
    id: String,
    option: Option<String>,
}

impl Group<'_> {
    /// Takes what was seen of a test, and gives what it found.
    pub fn saw<T>(&mut self, test: &str, found: Checked<T>) -> Option<T> {
        let (found, outcome) = match found {
            Ok(found) => (Some(found), Outcome::Passed),
            Err(wrong) => (None, Outcome::Failed(wrong)),
        };
        self.found(test, outcome);
        found
    }

    /// Takes how a test ended.
    pub fn found(&mut self, test: &str, outcome: Outcome) {
        let (group, option) = (self.id.clone(), self.option.clone());
        self.report.seen.push(Seen { group, test: without_version(test), option, outcome });
    }

    /// The same for a group whose ids go on from this one's.
    pub fn within(&mut self, id: &str) -> Group<'_> {
        let id = without_version(&format!("{}-{id}", self.id));
        let option = self.option.clone();
        Group { report: self.report, id: id.trim_start_matches('-').to_owned(), option }
    }
}
