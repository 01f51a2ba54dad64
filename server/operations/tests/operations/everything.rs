//! `$everything` over a small record of two patients who share a practitioner, a group and a visit.

use serde_json::Value;

use super::{Server, server};

/// `Type/id`, and what is in it besides its type.
const RECORD: &[(&str, &str)] = &[
    ("Organization/o", r#""name":"O","partOf":{"reference":"Organization/top"}"#),
    ("Organization/top", r#""name":"Top""#),
    ("Organization/other", r#""name":"Nobody refers to it""#),
    ("Practitioner/d", r#""active":true"#),
    (
        "PractitionerRole/r",
        r#""practitioner":{"reference":"Practitioner/d"},"organization":{"reference":"Organization/o"}"#,
    ),
    ("Location/l", r#""name":"L","managingOrganization":{"reference":"http://x/fhir/Organization/top"}"#),
    ("Medication/m", r#""status":"active""#),
    ("Binary/b", r#""contentType":"text/plain","data":"eA==""#),
    ("Patient/1", r#""generalPractitioner":[{"reference":"PractitionerRole/r"}],"birthDate":"1980-01-01""#),
    ("Patient/2", r#""gender":"female""#),
    (
        "Encounter/e1",
        r#""status":"finished","class":{"code":"AMB"},"subject":{"reference":"Patient/1"},"period":{"start":"2020-01-01","end":"2020-01-31"},"location":[{"location":{"reference":"Location/l"}}],"diagnosis":[{"condition":{"reference":"Condition/c1"}}]"#,
    ),
    (
        "Encounter/e2",
        r#""status":"finished","class":{"code":"AMB"},"subject":{"reference":"Patient/2"},"period":{"start":"2021-01-01"}"#,
    ),
    (
        "Condition/c1",
        r#""subject":{"reference":"Patient/1"},"onsetDateTime":"2019-05","asserter":{"reference":"Practitioner/d"}"#,
    ),
    (
        "Condition/c2",
        r#""subject":{"reference":"Patient/1"},"clinicalStatus":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/condition-clinical","code":"resolved"}]},"onsetDateTime":"2015","abatementDateTime":"2016""#,
    ),
    (
        "Observation/o1",
        r#""status":"final","code":{"text":"x"},"subject":{"reference":"Patient/1"},"encounter":{"reference":"Encounter/e1"},"effectiveDateTime":"2020-01-15","focus":[{"reference":"Patient/2"}]"#,
    ),
    (
        "Observation/o2",
        r#""status":"final","code":{"text":"x"},"subject":{"reference":"Patient/1"},"effectiveDateTime":"2022-03-01","performer":[{"reference":"Practitioner/gone"}]"#,
    ),
    (
        "Observation/o3",
        r#""status":"final","code":{"text":"x"},"subject":{"reference":"Patient/2"},"effectiveDateTime":"2022-03-01","performer":[{"reference":"Practitioner/d"}]"#,
    ),
    (
        "MedicationRequest/q",
        r#""status":"active","intent":"order","subject":{"reference":"Patient/1"},"medicationReference":{"reference":"Medication/m"},"authoredOn":"2020-01-20""#,
    ),
    (
        "DocumentReference/d",
        r#""status":"current","subject":{"reference":"Patient/1"},"content":[{"attachment":{"url":"Binary/b"}}]"#,
    ),
    (
        "Coverage/v",
        r#""status":"active","beneficiary":{"reference":"Patient/1"},"payor":[{"reference":"Organization/o"}]"#,
    ),
    (
        "Group/g",
        r#""type":"person","actual":true,"member":[{"entity":{"reference":"Patient/2"}},{"entity":{"reference":"Group/inner"}},{"entity":{"reference":"Practitioner/d"}}]"#,
    ),
    (
        "Group/inner",
        r#""type":"person","actual":true,"member":[{"entity":{"reference":"Group/g"}},{"entity":{"reference":"Patient/1"},"inactive":true}]"#,
    ),
    ("Group/empty", r#""type":"person","actual":true"#),
];

async fn recorded() -> Server {
    let server = server().await;
    for (key, rest) in RECORD {
        let (resource_type, id) = key.split_once('/').expect("Type/id");
        server.put(key, &format!(r#"{{"resourceType":"{resource_type}","id":"{id}",{rest}}}"#)).await;
    }
    server
}

fn texts<'v>(bundle: &'v Value, list: &str, name: &str, value: &str) -> Vec<(&'v str, &'v str)> {
    let items = bundle.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |item: &'v Value, path: &str| item.pointer(path).and_then(Value::as_str).unwrap_or_default();
    items.iter().map(|item| (text(item, name), text(item, value))).collect()
}

impl Server {
    /// `Type/id` of a page, what is included behind a `+`, and the next page's call.
    pub(super) async fn page(&self, call: &str, body: Option<&str>) -> (Vec<String>, Option<String>) {
        let (status, text) = self.call(call, body).await;
        assert_eq!(status, 200, "{call} {text}");
        let bundle: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(bundle.get("type").and_then(Value::as_str), Some("searchset"));
        let shown = |(url, mode): (&str, &str)| {
            let key = url.strip_prefix("http://x/fhir/").expect("a URL below the base");
            if mode == "match" { key.to_owned() } else { format!("+{key}") }
        };
        let found = texts(&bundle, "entry", "/fullUrl", "/search/mode").into_iter().map(shown).collect();
        let links = texts(&bundle, "link", "/relation", "/url");
        let next = links.iter().find(|(relation, _)| *relation == "next");
        (found, next.and_then(|(_, url)| url.strip_prefix("http://x/fhir/")).map(str::to_owned))
    }

    /// All pages, each of at most `count`.
    async fn pages(&self, call: &str, count: usize) -> Vec<String> {
        let mark = if call.contains('?') { '&' } else { '?' };
        let (mut found, mut next) = self.page(&format!("{call}{mark}_count={count}"), None).await;
        assert!(found.len() <= count);
        while let Some(call) = next {
            let (more, after) = self.page(&call, None).await;
            assert!(more.len() <= count);
            found.extend(more);
            next = after;
        }
        found
    }

    /// What a call gives in one Bundle and, unless it is of several patients, in pages.
    async fn everything(&self, call: &str, expected: &[&str]) {
        let (mut found, next) = self.page(call, None).await;
        assert_eq!(next, None);
        for count in [1, 3] {
            let mut paged = self.pages(call, count).await;
            if call.starts_with("Patient/1") || call.starts_with("Encounter") {
                assert_eq!(paged, found, "{call} by {count}");
            }
            // What several patients' records refer to may be on several pages.
            paged.sort();
            paged.dedup();
            let mut once = found.clone();
            once.sort();
            once.dedup_by(|one, other| one.trim_start_matches('+') == other.trim_start_matches('+'));
            assert_eq!(paged, once, "{call} by {count}");
        }
        found.sort();
        assert_eq!(found, expected, "{call}");
    }
}

#[tokio::test]
async fn of_a_patient() {
    let server = recorded().await;
    let support = [
        "+Binary/b",
        "+Location/l",
        "+Medication/m",
        "+Organization/o",
        "+Organization/top",
        "+Practitioner/d",
        "+PractitionerRole/r",
    ];
    let own = [
        "Condition/c1",
        "Condition/c2",
        "Coverage/v",
        "DocumentReference/d",
        "Encounter/e1",
        "Group/inner",
        "MedicationRequest/q",
        "Observation/o1",
        "Observation/o2",
        "Patient/1",
    ];
    server.everything("Patient/1/$everything", &[&support[..], &own[..]].concat()).await;
    // What the time of care leaves out is there again where something within refers to it.
    server
        .everything(
            "Patient/1/$everything?start=2020-01-10&end=2020-01-31",
            &[
                "+Binary/b",
                "+Location/l",
                "+Medication/m",
                "+Organization/o",
                "+Organization/top",
                "+Practitioner/d",
                "+PractitionerRole/r",
                "Condition/c1",
                "Coverage/v",
                "DocumentReference/d",
                "Encounter/e1",
                "Group/inner",
                "MedicationRequest/q",
                "Observation/o1",
                "Patient/1",
            ],
        )
        .await;
    server.everything("Patient/1/$everything?start=2023&_type=Observation,Encounter", &[]).await;
    server.everything("Patient/1/$everything?end=2016&_type=Condition,Encounter", &["Condition/c2"]).await;
    server.everything("Patient/1/$everything?_type=Practitioner", &["+Practitioner/d"]).await;
    server
        .everything(
            "Patient/1/$everything?_type=Observation&_type=Location",
            &["+Location/l", "Observation/o1", "Observation/o2"],
        )
        .await;
    server.everything("Patient/2/$everything?_since=2999-01-01T00:00:00Z", &[]).await;
    server
        .everything(
            "Patient/2/$everything?_since=2000-01-01T00:00:00Z",
            &["+Practitioner/d", "Encounter/e2", "Group/g", "Observation/o3", "Patient/2"],
        )
        .await;
    let body = r#"{"resourceType":"Parameters","parameter":[{"name":"_type","valueCode":"Condition"},{"name":"_type","valueCode":"Coverage"},{"name":"_count","valueInteger":2}]}"#;
    let (found, next) = server.page("Patient/1/$everything", Some(body)).await;
    assert_eq!(found, ["Condition/c1", "Condition/c2"]);
    let (found, next) = server.page(&next.expect("a next page"), None).await;
    assert_eq!((found, next), (vec!["Coverage/v".to_owned()], None));
}

#[tokio::test]
async fn of_an_encounter_a_group_and_all_patients() {
    let server = recorded().await;
    server
        .everything(
            "Encounter/e1/$everything",
            &[
                "+Condition/c1",
                "+Location/l",
                "+Organization/top",
                "+Patient/1",
                "Encounter/e1",
                "Observation/o1",
            ],
        )
        .await;
    let of_2 = ["+Practitioner/d", "Encounter/e2", "Group/g", "Observation/o3", "Patient/2"];
    server.everything("Group/g/$everything", &of_2).await;
    server.everything("Group/empty/$everything", &[]).await;
    let (found, next) = server.page("Patient/$everything", None).await;
    assert_eq!((found.len(), next), (21, None));
    assert_eq!(
        server.pages("Patient/$everything?_type=Patient,Observation", 2).await,
        ["Patient/1", "Observation/o1", "Observation/o2", "Patient/2", "Observation/o3"]
    );
}

#[tokio::test]
async fn what_is_refused() {
    let server = server().await;
    server.put("Patient/1", r#"{"resourceType":"Patient","id":"1"}"#).await;
    server
        .put(
            "Encounter/1",
            r#"{"resourceType":"Encounter","id":"1","status":"finished","class":{"code":"AMB"}}"#,
        )
        .await;
    let (_, next) = server.page("Patient/1/$everything?_count=1", None).await;
    assert_eq!(next, None, "a page that holds the last has no next");
    for (call, status, place, text) in [
        ("Patient/none/$everything", 404, "", "There is no resource Patient/none."),
        ("Group/$everything", 404, "", "The operation $everything cannot be called on a type."),
        ("Observation/1/$everything", 404, "", "The operation $everything cannot be called on Observation."),
        ("Patient/1/$everything?_count=0", 400, "http._count", "_count is at least 1."),
        ("Patient/1/$everything?_count=x", 400, "http._count", "_count is not a whole number."),
        (
            "Patient/1/$everything?start=soon",
            400,
            "http.start",
            "start is not a date (2026-11-22) or a time with a zone.",
        ),
        ("Patient/1/$everything?start=2020&start=2021", 400, "http.start", "start is given twice."),
        (
            "Encounter/1/$everything?start=2020",
            400,
            "http.start",
            "start is not a parameter of $everything here.",
        ),
        (
            "Patient/1/$everything?_type=Patience",
            400,
            "http._type",
            "_type names Patience, which is no resource type of FHIR R4.",
        ),
        (
            "Patient/1/$everything?_sort=date",
            400,
            "http._sort",
            "_sort is not a parameter of $everything here.",
        ),
    ] {
        let (found, body) = server.call(call, None).await;
        let outcome: Value = serde_json::from_str(&body).expect("JSON");
        let at = |path: &str| outcome.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let found = (found, at("/issue/0/expression/0"), at("/issue/0/details/text"));
        assert_eq!(found, (status, place.to_owned(), text.to_owned()), "{call}");
    }
    let (status, body) = server.call("Patient/1/$everything?_cursor=00", None).await;
    assert!(status == 400 && body.contains("This is not a page link"), "{body}");
}
