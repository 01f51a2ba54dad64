//! What was seen, test by test, and what of the kit that covers.

use std::collections::{BTreeMap, BTreeSet};

use crate::http::{Checked, Wrong};

/// What was seen of one test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The group's id in the kit, in the form of [`KitTest::group`].
    pub group: String,
    /// The last part of the test's id, in the form of [`KitTest::test`].
    pub test: String,
    /// What is wrong; `None` if it passed.
    pub wrong: Option<Wrong>,
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
    /// It failed.
    Failed(&'r Wrong),
    /// It was not looked at.
    NotSeen,
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
        Group { report: self, id: without_version(id) }
    }

    /// How a test of the kit stands.
    pub fn covers(&self, test: &KitTest) -> Covered<'_> {
        let mut found = Covered::NotSeen;
        for seen in self.seen.iter().filter(|seen| seen.group == test.group && seen.test == test.test) {
            match &seen.wrong {
                Some(wrong) => return Covered::Failed(wrong),
                None => found = Covered::Passed,
            }
        }
        found
    }

    /// A table of tests and how they stand, one line for all option sets that have it: Markdown.
    pub fn table(&self, tests: &[KitTest]) -> String {
        let mut rows: BTreeMap<(&str, &str), (BTreeSet<&str>, &KitTest)> = BTreeMap::new();
        for test in tests {
            let row = rows.entry((&test.group, &test.test)).or_insert_with(|| (BTreeSet::new(), test));
            row.0.insert(&test.short_id);
        }
        let mut out = "| tests of the kit | what is asked | seen |\n|---|---|---|\n".to_owned();
        let mut lines: Vec<(Vec<u32>, String)> = rows
            .values()
            .map(|(ids, test)| {
                let ids: Vec<&str> = ids.iter().copied().collect();
                let seen = match self.covers(test) {
                    Covered::Passed => "passed".to_owned(),
                    Covered::Failed(wrong) => format!("**failed**: {wrong}"),
                    Covered::NotSeen if test.required => "**not looked at**".to_owned(),
                    Covered::NotSeen => "optional, not looked at".to_owned(),
                };
                let line = format!("| {} | {} | {seen} |\n", ids.join(", "), test.title);
                (order(ids.first().copied().unwrap_or_default()), line)
            })
            .collect();
        lines.sort();
        out.extend(lines.into_iter().map(|(_, line)| line));
        out
    }
}

fn order(short_id: &str) -> Vec<u32> {
    short_id.split('.').map(|part| part.parse().unwrap_or(u32::MAX)).collect()
}

/// The tests of one group, under way.
pub(crate) struct Group<'r> {
    report: &'r mut Report,
    id: String,
}

impl Group<'_> {
    /// Takes what was seen of a test, and gives what it found.
    pub fn saw<T>(&mut self, test: &str, found: Checked<T>) -> Option<T> {
        let (found, wrong) = match found {
            Ok(found) => (Some(found), None),
            Err(wrong) => (None, Some(wrong)),
        };
        let seen = Seen { group: self.id.clone(), test: without_version(test), wrong };
        self.report.seen.push(seen);
        found
    }

    /// The same for a group whose ids go on from this one's.
    pub fn within(&mut self, id: &str) -> Group<'_> {
        let id = without_version(&format!("{}-{id}", self.id));
        Group { report: self.report, id: id.trim_start_matches('-').to_owned() }
    }
}
