//! What is put is found, by words; damage is noticed; and the index agrees with looking at every text.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::TextQuery;

fn body(narrative: &str, content: &str) -> String {
    format!(r#"{{"resourceType":"X","text":{{"div":"<p>{narrative}</p>"}},"a":"{content}"}}"#)
}

fn put(writer: &Writer, key: &str, number: u32, body: &str) {
    writer.change(&Change { key, number, body: Some(body.as_bytes()) }).unwrap();
}

fn parsed(part: Part, text: &str) -> TextQuery {
    TextQuery::parse(part, text).unwrap()
}

#[test]
fn what_is_put_is_found() {
    let home = tempfile::tempdir().unwrap();
    let index = Arc::new(Index::open(home.path()).unwrap());
    assert_eq!(index.snapshot().position(), Position::default());
    let mut writer = index.writer().unwrap();
    put(&writer, "Patient/1", 1, &body("Bone metastases", "Müller"));
    put(&writer, "Patient/2", 2, &body("liver", "and the bone"));
    put(&writer, "Observation/3", 3, &body("", "bone bone bone of the liver"));
    put(&writer, "Patient/2", 2, &body("liver", "metastases"));
    let at = Position { sequence: 7, mark: -3 };
    writer.commit(at).unwrap();
    writer.finish().unwrap();
    let check = |index: &Index, part: Part, text: &str, of: Option<&str>, expected: &[&str]| {
        let mut keys = index.snapshot().keys(&parsed(part, text), of, 10).unwrap();
        keys.sort();
        assert_eq!(keys, expected, "{text}");
    };
    use Part::{Content, Narrative};
    let checks = |index: &Index| {
        assert_eq!(index.snapshot().position(), at);
        check(index, Content, "MULLER", None, &["Patient/1"]);
        check(index, Narrative, "muller", None, &[]);
        check(index, Content, "bone", None, &["Observation/3", "Patient/1"]);
        check(index, Content, "bone", Some("Patient"), &["Patient/1"]);
        check(index, Content, "(bone OR liver) and metastases", None, &["Patient/1", "Patient/2"]);
        check(index, Content, "\"bone metastases\" OR \"of the\"", None, &["Observation/3", "Patient/1"]);
        check(index, Content, "\"metastases bone\"", None, &[]);
        check(index, Content, "\"liver metastases\"", None, &[]);
        check(index, Content, "liver not metastases", None, &["Observation/3"]);
        check(index, Content, "not metastases", Some("Patient"), &[]);
        check(index, Content, "meta*", None, &["Patient/1", "Patient/2"]);
        check(index, Content, "liv* not bon*", None, &["Patient/2"]);
    };
    checks(&index);
    drop(index);
    let index = Arc::new(Index::open(home.path()).unwrap());
    checks(&index);
    let best = index.snapshot().scores(&parsed(Content, "bone")).unwrap();
    let score = |number| best.iter().find(|found| found.0 == number).unwrap().1;
    assert!(score(3) > score(1) && score(3) < 1.0 && score(1) > 0.0, "{best:?}");

    let before = index.snapshot();
    let mut writer = index.writer().unwrap();
    writer.change(&Change { key: "Patient/1", number: 1, body: None }).unwrap();
    writer.commit(Position { sequence: 8, mark: 0 }).unwrap();
    check(&index, Content, "metastases", None, &["Patient/2"]);
    assert_eq!(before.numbers(&parsed(Content, "metastases")).unwrap().len(), 2);
    let many = index.snapshot().keys(&parsed(Content, "liver"), None, 1).unwrap_err();
    assert_eq!(many.to_string(), "more than 1 resources have these words; add words, or name a type");
}

#[test]
fn words_that_begin_alike_are_bounded() {
    let home = tempfile::tempdir().unwrap();
    let index = Arc::new(Index::open(home.path()).unwrap());
    let mut writer = index.writer().unwrap();
    let words: Vec<String> = (0..=MAX_EXPANSIONS).map(|number| format!("b{number}")).collect();
    put(&writer, "X/1", 1, &body("", &words.join(" ")));
    writer.commit(Position::default()).unwrap();
    let error = index.snapshot().numbers(&parsed(Part::Content, "a OR b*")).unwrap_err();
    assert_eq!(error.to_string(), "b* stands for more than 10000 words; write more of the word");
    assert_eq!(index.snapshot().numbers(&parsed(Part::Content, "b1*")).unwrap(), [1]);
}

#[test]
fn damage_is_noticed() {
    let fill = |home: &Path| {
        let index = Arc::new(Index::open(home).unwrap());
        let mut writer = index.writer().unwrap();
        put(&writer, "X/1", 1, &body("", "word"));
        writer.commit(Position { sequence: 1, mark: 1 }).unwrap();
        writer.finish().unwrap();
    };
    let home = tempfile::tempdir().unwrap();
    fill(home.path());
    assert_eq!(Index::open(home.path()).unwrap().snapshot().position().sequence, 1);
    let files: Vec<PathBuf> =
        std::fs::read_dir(place(home.path())).unwrap().map(|entry| entry.unwrap().path()).collect();
    let damageable =
        |path: &&PathBuf| !path.to_string_lossy().contains(".lock") && !path.ends_with(".managed.json");
    for path in files.iter().filter(damageable) {
        for change in
            [|bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2), |bytes: &mut Vec<u8>| bytes[0] ^= 1]
        {
            let home = tempfile::tempdir().unwrap();
            fill(home.path());
            let extension = path.extension().unwrap().to_owned();
            let same =
                |entry: &PathBuf| entry.extension() == Some(&extension) && !entry.ends_with(".managed.json");
            let mut found = std::fs::read_dir(place(home.path())).unwrap().map(|entry| entry.unwrap().path());
            let path = found.find(same).unwrap();
            let mut bytes = std::fs::read(&path).unwrap();
            change(&mut bytes);
            std::fs::write(&path, bytes).unwrap();
            let index = Arc::new(Index::open(home.path()).unwrap());
            assert_eq!(index.snapshot().position(), Position::default(), "{}", path.display());
            assert_eq!(index.snapshot().resources(), 0);
            index.writer().unwrap();
        }
    }
}

/// A query as it is made up, with its meaning by looking at every word.
#[derive(Debug, Clone)]
enum Naive {
    Phrase(Vec<&'static str>),
    Begins(&'static str),
    And(Vec<Naive>),
    Or(Vec<Naive>),
    Not(Box<Naive>),
}

impl Naive {
    fn written(&self) -> String {
        let each = |parts: &[Naive], by: &str| parts.iter().map(Naive::written).collect::<Vec<_>>().join(by);
        match self {
            Naive::Phrase(words) => format!("\"{}\"", words.join(" ")),
            Naive::Begins(start) => format!("{start}*"),
            Naive::And(parts) => format!("({})", each(parts, " AND ")),
            Naive::Or(parts) => format!("({})", each(parts, " OR ")),
            Naive::Not(inner) => format!("(NOT ({}))", inner.written()),
        }
    }

    fn holds(&self, strings: &[Vec<&str>]) -> bool {
        match self {
            Naive::Phrase(words) => strings.iter().any(|text| {
                text.windows(words.len()).any(|some| some.iter().zip(words).all(|(a, b)| a == b))
            }),
            Naive::Begins(start) => strings.iter().flatten().any(|word| word.starts_with(start)),
            Naive::And(parts) => parts.iter().all(|part| part.holds(strings)),
            Naive::Or(parts) => parts.iter().any(|part| part.holds(strings)),
            Naive::Not(inner) => !inner.holds(strings),
        }
    }
}

const VOCABULARY: [&str; 7] = ["bone", "bones", "liver", "live", "a", "ab", "metastases"];

fn word() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(VOCABULARY.to_vec())
}

fn naive() -> impl Strategy<Value = Naive> {
    let leaf = prop_oneof![
        proptest::collection::vec(word(), 1..4).prop_map(Naive::Phrase),
        proptest::sample::select(vec!["a", "bon", "liv", "x"]).prop_map(Naive::Begins),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let some = proptest::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            some.clone().prop_map(Naive::And),
            some.prop_map(Naive::Or),
            inner.prop_map(|inner| Naive::Not(Box::new(inner))),
        ]
    })
}

type Strings = Vec<Vec<&'static str>>;

fn resource(strings: &Strings) -> String {
    let each: Vec<String> = strings.iter().map(|words| format!("{:?}", words.join(" "))).collect();
    format!(r#"{{"a":[{}]}}"#, each.join(","))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_looking_at_every_text(
        writes in proptest::collection::vec(
            (0..12_u32, proptest::collection::vec(proptest::collection::vec(word(), 0..6), 0..4), 0..4_u8), 1..40),
        queries in proptest::collection::vec(naive(), 40),
    ) {
        let home = tempfile::tempdir().unwrap();
        let index = Arc::new(Index::open(home.path()).unwrap());
        let mut writer = index.writer().unwrap();
        let mut model: BTreeMap<u32, Strings> = BTreeMap::new();
        for (sequence, (number, strings, what)) in (1..).zip(&writes) {
            let key = format!("X/{number}");
            let text = resource(strings);
            let body = (*what > 0).then_some(text.as_bytes());
            writer.change(&Change { key: &key, number: *number, body }).unwrap();
            match body {
                Some(_) => model.insert(*number, strings.clone()),
                None => model.remove(number),
            };
            if *what == 3 {
                writer.commit(Position { sequence, mark: 0 }).unwrap();
            }
        }
        writer.commit(Position { sequence: 1_000, mark: 0 }).unwrap();
        let snapshot = index.snapshot();
        prop_assert_eq!(snapshot.resources(), model.len() as u64);
        for naive in &queries {
            let query = parsed(Part::Content, &naive.written());
            let expected: Vec<u32> =
                model.iter().filter(|(_, strings)| naive.holds(strings)).map(|(number, _)| *number).collect();
            let mut found = snapshot.numbers(&query).unwrap();
            found.sort_unstable();
            prop_assert_eq!(&found, &expected, "{}", naive.written());
            let scores: BTreeMap<u32, f32> = snapshot.scores(&query).unwrap().into_iter().collect();
            for (number, strings) in &model {
                let score = query.score(resource(strings).as_bytes()).unwrap();
                prop_assert_eq!(score.is_some(), expected.contains(number), "{}", naive.written());
                if let (Some(score), Some(found)) = (score, scores.get(number)) {
                    prop_assert!((score - found).abs() < 1e-5, "{} {score} {found}", naive.written());
                }
            }
        }
    }
}
