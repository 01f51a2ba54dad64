//! Bulk Data export through the built program: kick-off, status, files, cancellation; what is refused; what a kill leaves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

mod export {
    mod clients;
    mod container;
    mod ehi;
    mod published;
    mod views;
}

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Answer, Server, directory, done, run, said};

const ASYNC: (&str, &str) = ("prefer", "respond-async");
const FHIR: (&str, &str) = ("accept", "application/fhir+json");

fn kick_off(server: &Server, path: &str) -> Answer {
    server.send("GET", path, &[ASYNC, FHIR], b"")
}

/// The path of a URL of this server.
fn path(server: &Server, url: &str) -> String {
    url.strip_prefix(&format!("http://{}", server.address)).unwrap_or_else(|| panic!("{url}")).to_owned()
}

/// Waits for a job: its last status.
fn wait(server: &Server, status: &str) -> Answer {
    let begun = Instant::now();
    loop {
        let answer = server.send("GET", status, &[("accept", "application/json")], b"");
        if answer.status != 202 {
            return answer;
        }
        assert_eq!(answer.header("retry-after"), "1");
        assert!(answer.header("x-progress").ends_with(" resources written"), "{answer:?}");
        assert!(begun.elapsed() < Duration::from_secs(120), "it does not end");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The manifest of an export.
fn export(server: &Server, address: &str) -> Value {
    let accepted = kick_off(server, address).expect(202);
    let status = path(server, accepted.header("content-location"));
    let complete = wait(server, &status).expect(200);
    assert_eq!(complete.header("content-type"), "application/json");
    assert!(complete.header("expires").ends_with(" GMT"));
    let manifest = complete.json();
    assert_eq!(manifest["request"], format!("http://{}{address}", server.address));
    assert_eq!(manifest["requiresAccessToken"], false);
    manifest
}

/// The lines of a list of a manifest, by type, sorted.
fn lines(server: &Server, manifest: &Value, list: &str) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in manifest[list].as_array().unwrap() {
        let kind = file["type"].as_str().unwrap();
        let answer = server.send(
            "GET",
            &path(server, file["url"].as_str().unwrap()),
            &[("accept", "application/fhir+ndjson")],
            b"",
        );
        let answer = answer.expect(200);
        assert_eq!(answer.header("content-type"), "application/fhir+ndjson");
        let text = String::from_utf8(answer.body).unwrap();
        assert!(text.ends_with('\n'));
        assert_eq!(text.lines().count() as u64, file["count"].as_u64().unwrap());
        for line in text.lines() {
            let resource: Value = serde_json::from_str(line).unwrap();
            assert_eq!(resource["resourceType"], kind);
        }
        found.entry(kind.to_owned()).or_default().extend(text.lines().map(str::to_owned));
    }
    found.values_mut().for_each(|lines| lines.sort());
    found
}

fn ids(lines: &BTreeMap<String, Vec<String>>) -> BTreeSet<String> {
    let of = |(kind, lines): (&String, &Vec<String>)| {
        let id = |line: &String| {
            let resource: Value = serde_json::from_str(line).unwrap();
            format!("{kind}/{}", resource["id"].as_str().unwrap())
        };
        lines.iter().map(id).collect::<Vec<_>>()
    };
    lines.iter().flat_map(of).collect()
}

fn set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Two patients of a group, one who left it, and one who is not in it; each with an observation by a practitioner of an organization.
fn fill(server: &Server) {
    let put = |resource: Value| {
        let path = format!(
            "/fhir/{}/{}",
            resource["resourceType"].as_str().unwrap(),
            resource["id"].as_str().unwrap()
        );
        let answer = server.put(&path, &resource.to_string());
        assert_eq!(answer.status, 201, "{path}: {}", answer.text());
    };
    put(json!({"resourceType": "Organization", "id": "org", "name": "O"}));
    put(json!({"resourceType": "Organization", "id": "other", "name": "Other"}));
    put(
        json!({"resourceType": "Location", "id": "ward", "name": "Ward", "managingOrganization": {"reference": "Organization/org"}}),
    );
    put(json!({"resourceType": "Practitioner", "id": "doc", "active": true}));
    put(json!({"resourceType": "Practitioner", "id": "idle", "active": true}));
    for id in ["p1", "p2", "left", "out"] {
        put(
            json!({"resourceType": "Patient", "id": id, "active": id != "p2", "name": [{"family": "Testperson"}]}),
        );
        let reference = |target: &str| json!({"reference": target});
        put(
            json!({"resourceType": "Observation", "id": format!("o-{id}"), "status": "final", "code": {"text": "x"},
            "subject": reference(&format!("Patient/{id}")), "performer": [reference("Practitioner/doc")]}),
        );
        put(
            json!({"resourceType": "Encounter", "id": format!("e-{id}"), "status": "finished", "class": {"code": "AMB"},
            "subject": reference(&format!("Patient/{id}")), "location": [{"location": reference("Location/ward")}]}),
        );
    }
    put(json!({"resourceType": "Provenance", "id": "v1", "recorded": "2026-01-01T00:00:00Z",
        "target": [{"reference": "Patient/p1"}], "agent": [{"who": {"reference": "Organization/org"}}]}));
    put(json!({"resourceType": "Group", "id": "g", "type": "person", "actual": true, "member": [
        {"entity": {"reference": "Patient/p1"}},
        {"entity": {"reference": "Patient/p2"}, "inactive": false},
        {"entity": {"reference": "Patient/left"}, "inactive": true},
    ]}));
    put(json!({"resourceType": "Group", "id": "ended", "type": "person", "actual": true, "member": [
        {"entity": {"reference": "Patient/p1"}, "period": {"end": "2020-01-01"}},
    ]}));
}

const OF_GROUP: [&str; 11] = [
    "Patient/p1",
    "Patient/p2",
    "Observation/o-p1",
    "Observation/o-p2",
    "Encounter/e-p1",
    "Encounter/e-p2",
    "Provenance/v1",
    "Group/g",
    "Practitioner/doc",
    "Location/ward",
    "Organization/org",
];

#[test]
fn what_is_exported_at_each_level() {
    let data = directory();
    let server = Server::start(data.path());
    fill(&server);

    let manifest = export(&server, "/fhir/$export");
    let all = lines(&server, &manifest, "output");
    assert_eq!(ids(&all).len(), 20);
    for (kind, lines) in &all {
        for line in lines {
            let id = serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned();
            assert_eq!(server.get(&format!("/fhir/{kind}/{id}")).expect(200).text(), *line);
        }
    }
    assert_eq!((manifest["deleted"].clone(), manifest["error"].clone()), (json!([]), json!([])));

    let mut group = ids(&lines(&server, &export(&server, "/fhir/Group/g/$export"), "output"));
    assert!(group.remove("Group/ended"), "a group of p1, if one they left: it is in their compartment");
    assert_eq!(group, set(&OF_GROUP));
    let typed =
        ids(&lines(&server, &export(&server, "/fhir/Group/g/$export?_type=Patient,Practitioner"), "output"));
    assert_eq!(typed, set(&["Patient/p1", "Patient/p2"]), "no patient refers to the practitioner");
    assert_eq!(export(&server, "/fhir/Group/ended/$export")["output"], json!([]));

    let patients =
        ids(&lines(&server, &export(&server, "/fhir/Patient/$export?_type=Patient,Observation"), "output"));
    assert_eq!(patients.len(), 8);
    let post = |path: &str, parameters: Value| {
        let body = json!({"resourceType": "Parameters", "parameter": parameters}).to_string();
        server.send("POST", path, &[ASYNC, FHIR], body.as_bytes())
    };
    let one = json!([{"name": "patient", "valueReference": {"reference": "Patient/out"}}, {"name": "_type", "valueString": "Observation"}]);
    let accepted = post("/fhir/Patient/$export", one).expect(202);
    let complete = wait(&server, &path(&server, accepted.header("content-location"))).expect(200).json();
    assert_eq!(ids(&lines(&server, &complete, "output")), set(&["Observation/o-out"]));
    let foreign = json!([{"name": "patient", "valueReference": {"reference": "Patient/out"}}]);
    let refused = post("/fhir/Group/g/$export", foreign).expect(400);
    assert_eq!(
        refused.issues(),
        ["error not-found [http.patient]: patient names a Patient that is no active member of the group."]
    );
}

/// The blocks of an export whose files are organized by patient: ids, by the patient that the header names.
fn blocks(server: &Server, manifest: &Value) -> BTreeMap<String, BTreeSet<String>> {
    assert_eq!(manifest["outputOrganizedBy"], "Patient");
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in manifest["output"].as_array().unwrap() {
        assert!(file.get("type").is_none(), "{file}");
        let text = server.get(&path(server, file["url"].as_str().unwrap())).expect(200).text();
        assert_eq!(text.lines().count() as u64, file["count"].as_u64().unwrap());
        let mut patient = String::new();
        for line in text.lines() {
            let json: Value = serde_json::from_str(line).unwrap();
            match json["parameter"][0]["valueReference"]["reference"].as_str() {
                Some(header) => {
                    patient = header.to_owned();
                    assert!(
                        found.insert(patient.clone(), BTreeSet::new()).is_none(),
                        "{patient} is one block"
                    );
                }
                None => {
                    let name = format!(
                        "{}/{}",
                        json["resourceType"].as_str().unwrap(),
                        json["id"].as_str().unwrap()
                    );
                    let block = found.get_mut(&patient).unwrap();
                    assert!(name != patient || block.is_empty(), "the patient is first");
                    assert!(block.insert(name));
                }
            }
        }
    }
    found
}

#[test]
fn files_are_organized_by_patient() {
    let data = directory();
    let server = Server::start(data.path());
    fill(&server);
    let of = |id: &str, more: &[&str]| {
        let own = [format!("Patient/{id}"), format!("Observation/o-{id}"), format!("Encounter/e-{id}")];
        let around =
            ["Practitioner/doc", "Location/ward", "Organization/org"].into_iter().chain(more.iter().copied());
        (format!("Patient/{id}"), own.into_iter().chain(around.map(str::to_owned)).collect::<BTreeSet<_>>())
    };
    let p1 = of("p1", &["Provenance/v1", "Group/g", "Group/ended"]);
    let (p2, left) = (of("p2", &["Group/g"]), of("left", &["Group/g"]));
    let group = export(&server, "/fhir/Group/g/$export?organizeOutputBy=Patient");
    assert_eq!(blocks(&server, &group), BTreeMap::from([p1.clone(), p2.clone()]));
    let all = export(&server, "/fhir/Patient/$export?organizeOutputBy=Patient");
    assert_eq!(blocks(&server, &all), BTreeMap::from([p1, p2, left, of("out", &[])]));
    // Who has nothing of what is asked for has no block.
    let narrow = "/fhir/Patient/$export?organizeOutputBy=Patient&_type=Provenance,Organization";
    let narrow = blocks(&server, &export(&server, narrow));
    assert_eq!(
        narrow,
        BTreeMap::from([("Patient/p1".to_owned(), set(&["Provenance/v1", "Organization/org"]))])
    );
    // What was deleted is told as ever, though its patient is gone.
    let before = all["transactionTime"].as_str().unwrap();
    for name in ["Observation/o-out", "Encounter/e-out", "Patient/out"] {
        server.send("DELETE", &format!("/fhir/{name}"), &[FHIR], b"").expect(204);
    }
    let since = export(&server, &format!("/fhir/Patient/$export?organizeOutputBy=Patient&_since={before}"));
    let deleted = lines(&server, &since, "deleted");
    assert_eq!(deleted["Bundle"].len(), 3, "{deleted:?}");
}

/// More patients than are looked at at once, and resources that are of two of them.
#[test]
fn a_group_of_many() {
    let (data, mut all) = (directory(), Vec::new());
    for n in 0..230 {
        let (own, other) = (format!("Patient/p{n}"), format!("Patient/p{}", (n + 210) % 230));
        let reference = |target: &str| json!({"reference": target});
        all.push(json!({"resourceType": "Patient", "id": format!("p{n}")}));
        all.push(
            json!({"resourceType": "Observation", "id": format!("o{n}"), "status": "final", "code": {"text": "x"},
            "subject": reference(&own), "performer": [reference(&other)]}),
        );
        if n % 100 == 0 {
            all.push(json!({"resourceType": "Provenance", "id": format!("v{n}"), "recorded": "2026-01-01T00:00:00Z",
                "target": [reference(&format!("Observation/o{n}")), reference(&format!("Observation/o{}", 229 - n))],
                "agent": [{"who": {"display": "x"}}]}));
        }
    }
    let members: Vec<Value> =
        (0..230).map(|n| json!({"entity": {"reference": format!("Patient/p{n}")}})).collect();
    all.push(
        json!({"resourceType": "Group", "id": "g", "type": "person", "actual": true, "member": members}),
    );
    let file = data.path().join("many.ndjson");
    std::fs::write(&file, all.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    done(&["load", file.to_str().unwrap(), "--data", data.path().to_str().unwrap()]);
    let server = Server::start(data.path());
    for address in ["/fhir/Group/g/$export", "/fhir/Patient/$export"] {
        let exported = lines(&server, &export(&server, address), "output");
        let count: usize = exported.values().map(Vec::len).sum();
        assert_eq!((count, ids(&exported).len()), (464, 464), "{address}: each once");
    }
}

#[test]
fn what_parameters_narrow() {
    let data = directory();
    let server = Server::start(data.path());
    fill(&server);
    let found = |address: &str| ids(&lines(&server, &export(&server, address), "output"));

    let filtered = "/fhir/$export?_type=Patient,Encounter&_typeFilter=Patient%3Factive%3Dfalse,Patient%3F_id%3Dout&_typeFilter=Encounter%3Fsubject%3APatient.active%3Dfalse";
    assert_eq!(found(filtered), set(&["Patient/p2", "Patient/out", "Encounter/e-p2"]));
    for format in ["application/fhir%2Bndjson", "application/ndjson", "ndjson"] {
        let accepted =
            kick_off(&server, &format!("/fhir/Group/g/$export?_outputFormat={format}&_type=Patient"))
                .expect(202);
        server.send("DELETE", &path(&server, accepted.header("content-location")), &[], b"").expect(202);
    }
    let elements = lines(
        &server,
        &export(&server, "/fhir/$export?_type=Patient,Group&_elements=Patient.active,Patient.id"),
        "output",
    );
    let patient: Value = serde_json::from_str(&elements["Patient"][0]).unwrap();
    assert!(patient.get("name").is_none() && patient.get("active").is_some(), "{patient}");
    assert_eq!(patient["meta"]["tag"][0]["code"], "SUBSETTED");
    assert!(elements["Group"][0].contains("member"), "no element of Group was named, so it is whole");

    // What happens between one export and the next.
    let first = export(&server, "/fhir/$export");
    let time = first["transactionTime"].as_str().unwrap().to_owned();
    std::thread::sleep(Duration::from_millis(5));
    server.put("/fhir/Patient/p1", r#"{"resourceType":"Patient","id":"p1","active":true}"#).expect(200);
    server.send("DELETE", "/fhir/Observation/o-p1", &[], b"").expect(204);
    server.send("DELETE", "/fhir/Observation/o-out", &[], b"").expect(204);
    let next = export(&server, &format!("/fhir/$export?_since={time}"));
    assert!(ids(&lines(&server, &next, "output")).contains("Patient/p1"));
    assert!(ids(&lines(&server, &next, "output")).len() < 3, "what is older is left out");
    let gone = |manifest: &Value| -> BTreeSet<String> {
        let lines = lines(&server, manifest, "deleted").remove("Bundle").unwrap_or_default();
        let url = |line: &String| {
            let bundle: Value = serde_json::from_str(line).unwrap();
            assert_eq!(
                (&bundle["type"], &bundle["entry"][0]["request"]["method"]),
                (&json!("transaction"), &json!("DELETE"))
            );
            bundle["entry"][0]["request"]["url"].as_str().unwrap().to_owned()
        };
        lines.iter().map(url).collect()
    };
    assert_eq!(gone(&next), set(&["Observation/o-p1", "Observation/o-out"]));
    let of_group = export(&server, &format!("/fhir/Group/g/$export?_since={time}"));
    assert_eq!(gone(&of_group), set(&["Observation/o-p1"]), "the other is of nobody in the group");
    let until = found(&format!("/fhir/$export?_type=Patient&_until={time}"));
    assert_eq!(until, set(&["Patient/p2", "Patient/left", "Patient/out"]), "p1 was changed since");
}

#[test]
fn files_are_sent_in_parts_and_compressed() {
    let data = directory();
    let server = Server::start(data.path());
    fill(&server);
    let manifest = export(&server, "/fhir/$export?_type=Patient");
    let file = path(&server, manifest["output"][0]["url"].as_str().unwrap());
    let whole = server.get(&file).expect(200);
    assert_eq!(
        (whole.header("accept-ranges"), whole.header("content-length")),
        ("bytes", whole.body.len().to_string().as_str())
    );
    let head = server.send("HEAD", &file, &[], b"").expect(200);
    assert_eq!((head.body.len(), head.header("content-length")), (0, whole.header("content-length")));
    let length = whole.body.len();
    for (asked, from, to) in
        [("bytes=0-9", 0, 10), ("bytes=10-", 10, length), ("bytes=-5", length - 5, length)]
    {
        let part =
            server.send("GET", &file, &[("range", asked), ("accept-encoding", "gzip")], b"").expect(206);
        assert_eq!(part.body, whole.body[from..to], "{asked}");
        assert_eq!(part.header("content-range"), format!("bytes {from}-{}/{length}", to - 1));
    }
    let beyond = server.send("GET", &file, &[("range", "bytes=999999-")], b"").expect(416);
    assert_eq!(beyond.header("content-range"), format!("bytes */{length}"));
    let packed = server.send("GET", &file, &[("accept-encoding", "br, gzip;q=0.5")], b"").expect(200);
    assert_eq!(packed.header("content-encoding"), "gzip");
    let mut unpacked = Vec::new();
    let body = dechunked(&packed);
    flate2::read::GzDecoder::new(body.as_slice()).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, whole.body);
    let not_accepted = server.send("GET", &file, &[("accept-encoding", "gzip;q=0")], b"").expect(200);
    assert_eq!(not_accepted.body, whole.body);
    server.send("POST", &file, &[], b"{}").expect(405);
    server.send("PUT", file.rsplit_once('/').unwrap().0, &[], b"{}").expect(405);
}

/// A body without the marks of its pieces.
fn dechunked(answer: &Answer) -> Vec<u8> {
    if answer.headers.iter().all(|(name, _)| !name.eq_ignore_ascii_case("transfer-encoding")) {
        return answer.body.clone();
    }
    let (mut rest, mut whole) = (answer.body.as_slice(), Vec::new());
    while let Some(end) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            break;
        }
        whole.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 4 + size..];
    }
    whole
}

#[test]
fn what_is_refused() {
    let data = directory();
    let server = Server::start_with(data.path(), &["--max-exports", "1"]);
    fill(&server);
    let check = |headers: &[(&str, &str)], path: &str, status: u16, expected: &str| {
        assert_eq!(server.send("GET", path, headers, b"").expect(status).issues(), [expected], "{path}");
    };
    let both = &[ASYNC, FHIR][..];
    check(
        &[FHIR],
        "/fhir/$export",
        400,
        "error required [http.Prefer]: An export runs in the background: send the header Prefer: respond-async.",
    );
    check(
        both,
        "/fhir/$export?_type=Pacient",
        400,
        "error not-supported [http._type]: Pacient is not a resource type of FHIR R4.",
    );
    check(
        both,
        "/fhir/$export?_outputFormat=text/csv",
        400,
        "error value [http._outputFormat]: _outputFormat is application/fhir+ndjson, application/ndjson or ndjson.",
    );
    check(
        both,
        "/fhir/$export?organizeOutputBy=Patient",
        400,
        "error not-supported [http.organizeOutputBy]: organizeOutputBy is offered by the $export of Patient and of a Group.",
    );
    check(
        both,
        "/fhir/$export?_typeFilter=Patient%3Fcolour%3Dred",
        400,
        "error invalid [http._typeFilter]: Patient has no search parameter 'colour'.",
    );
    check(
        both,
        "/fhir/$export?_typeFilter=Patient%3F_count%3D3",
        400,
        "error invalid [http._typeFilter]: A _typeFilter takes search parameters; _count shapes pages of results.",
    );
    check(
        both,
        "/fhir/$export?_typeFilter=Patient%3F_content%3Dann",
        400,
        "error not-supported [http._typeFilter]: A _typeFilter takes no texts (_text, _content): they are searched as they are now, not as they were at the snapshot.",
    );
    check(both, "/fhir/Group/none/$export", 404, "error not-found []: There is no resource Group/none.");
    check(
        both,
        "/fhir/Observation/$export",
        404,
        "error not-supported []: $export is offered at the base, on Patient, and on a Group.",
    );
    let none = "error not-found []: There is no such export, or file of one: it was cancelled, its time is over, or it never was.";
    for path in ["/fhir/bulk/0123456789abcdef", "/fhir/bulk/..%2f..", "/fhir/bulk/x/job.json"] {
        check(both, path, 404, none);
    }

    // Whoever is lenient is told what was left out.
    let lenient = [ASYNC, FHIR, ("prefer", "handling=lenient")];
    let accepted =
        server.send("GET", "/fhir/$export?organizeOutputBy=Patient&_type=Patient", &lenient, b"").expect(202);
    assert_eq!(
        accepted.issues(),
        ["warning not-supported []: organizeOutputBy is offered by the $export of Patient and of a Group."]
    );
    let status = path(&server, accepted.header("content-location"));
    let manifest = wait(&server, &status).expect(200).json();
    assert_eq!(lines(&server, &manifest, "error")["OperationOutcome"].len(), 1);

    // A file is had only through its job, and what was deleted is gone.
    let file = path(&server, manifest["output"][0]["url"].as_str().unwrap());
    check(both, &format!("{status}/job.json"), 404, none);
    server.send("DELETE", &status, &[], b"").expect(202);
    for path in [&status, &file] {
        check(&[("accept", "application/json")], path, 404, none);
    }
    server.send("DELETE", &status, &[], b"").expect(404);

    // One at a time: a snapshot takes a moment to settle, so that the second comes before the first is done.
    let begun = Instant::now();
    let refused = loop {
        server.put("/fhir/Patient/p1", &json!({"resourceType": "Patient", "id": "p1", "gender": "female", "multipleBirthInteger": begun.elapsed().subsec_millis()}).to_string()).expect(200);
        let answer = (kick_off(&server, "/fhir/$export"), kick_off(&server, "/fhir/$export")).1;
        if answer.status == 429 {
            break answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "two at a time");
    };
    assert_eq!(refused.header("retry-after"), "10");
    assert_eq!(
        refused.issues(),
        [
            "error throttled []: 1 exports of yours are under way, and more are not begun (max_exports); wait for one, or DELETE it."
        ]
    );
}

#[test]
fn a_job_outlives_a_kill() {
    let data = directory();
    let flags = ["--export-file-bytes", "100000"];
    done(&["demo", "--patients", "150", "--data", data.path().to_str().unwrap()]);
    let server = Server::start_with(data.path(), &flags);
    let whole = lines(&server, &export(&server, "/fhir/$export"), "output");
    let accepted = kick_off(&server, "/fhir/$export").expect(202);
    let location = accepted.header("content-location");
    let status = location.split_once("/fhir").map(|(_, path)| format!("/fhir{path}")).unwrap();
    let mut server = Some(server);
    // `VESTA_KILLS=20` for as many as a release has to stand.
    let id = status.rsplit_once('/').unwrap().1;
    let mut under_way = 0;
    let kills = std::env::var("VESTA_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(5_u64);
    for round in 0..kills {
        std::thread::sleep(Duration::from_millis(20 + 60 * (round % 7)));
        server.take().unwrap().kill();
        let job = std::fs::read(data.path().join(format!("exports/default/{id}/job.json"))).unwrap();
        under_way += u32::from(serde_json::from_slice::<Value>(&job).unwrap()["state"] == "active");
        let again = Server::start_with(data.path(), &flags);
        server = Some(again);
    }
    assert!(under_way > 0, "the job was done before the first kill");
    let server = server.unwrap();
    let manifest = wait(&server, &status).expect(200).json();
    assert!(manifest["output"].as_array().unwrap().len() > 10, "files are of bounded size");
    let again = lines(&server, &manifest, "output");
    assert!(again == whole, "what is exported in parts is what is exported at once");
}

#[test]
fn jobs_are_listed_cancelled_and_forgotten() {
    let data = directory();
    let of = ["--data", data.path().to_str().unwrap()];
    let jobs = |more: &[&str]| run(&[&["jobs"], more, &of[..]].concat());
    assert!(said(&jobs(&[])).starts_with("There are no exports and no imports."));
    let server = Server::start_with(data.path(), &["--export-keep-s", "2"]);
    fill(&server);
    let begun = |server: &Server| {
        let accepted = kick_off(server, "/fhir/$export?_type=Patient").expect(202);
        let status = path(server, accepted.header("content-location"));
        wait(server, &status).expect(200);
        status
    };
    let id = |status: &str| status.rsplit_once('/').unwrap().1.to_owned();
    let first = begun(&server);
    let listed = said(&jobs(&[]));
    assert_eq!(listed.lines().count(), 1);
    assert!(listed.contains(&id(&first)) && listed.contains("complete  ") && listed.contains(" 4 resources"));
    assert!(said(&jobs(&["--cancel", &id(&first)])).contains("Cancelled "));
    server.get(&first).expect(404);
    let unknown = jobs(&["--cancel", &id(&first)]);
    assert!(!unknown.status.success() && said(&unknown).contains("there is no job"), "{unknown:?}");

    // Its time is over, whether its files are still there or not.
    let second = begun(&server);
    std::thread::sleep(Duration::from_millis(2100));
    server.get(&second).expect(404);
    let third = begun(&server);
    server.stop();
    assert!(said(&jobs(&["--cancel", &id(&third)])).contains("Cancelled "));
    let server = Server::start_with(data.path(), &["--export-keep-s", "2"]);
    let begun = Instant::now();
    let kept = || std::fs::read_dir(data.path().join("exports/default")).unwrap().count();
    while kept() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "they are not swept");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(server);
}

#[test]
fn no_room_for_files() {
    let data = directory();
    let server = Server::start(data.path());
    let name = "x".repeat(30_000);
    for n in 0..20 {
        let patient = json!({"resourceType": "Patient", "id": format!("p{n}"), "name": [{"text": name}]});
        server.put(&format!("/fhir/Patient/p{n}"), &patient.to_string()).expect(201);
    }
    server.stop();
    // The store is larger than any file that may be written from here on, and is only read.
    let server = Server::start_in_little_room(data.path(), 400);
    let accepted = kick_off(&server, "/fhir/$export").expect(202);
    let status = path(&server, accepted.header("content-location"));
    assert_eq!(
        wait(&server, &status).expect(500).issues(),
        [
            "error no-store []: The server has no room for the files of this export; its files were removed. Ask for less, or try again when there is room."
        ]
    );
    let files = std::fs::read_dir(data.path().join("exports/default")).unwrap().next().unwrap().unwrap();
    let left: Vec<String> = std::fs::read_dir(files.path())
        .unwrap()
        .map(|file| file.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(left, ["job.json"]);
    // Another, of what has room.
    let less = export(&server, "/fhir/$export?_type=Patient&_elements=active");
    assert_eq!(less["output"][0]["count"], 20);
    drop(server);

    // Where jobs are kept, there is something else.
    std::fs::remove_dir_all(data.path().join("exports")).unwrap();
    std::fs::write(data.path().join("exports"), "").unwrap();
    let server = Server::start(data.path());
    let refused = kick_off(&server, "/fhir/$export").expect(500).issues();
    assert_eq!(
        refused,
        [
            "error exception []: The server failed to answer. Its log has the reason, under this response's X-Request-Id."
        ]
    );
    server.get("/fhir/Patient/p1").expect(200);
}

#[test]
fn a_disk_that_is_full() {
    let data = directory();
    let server = Server::start(data.path());
    let name = "x".repeat(30_000);
    for n in 0..20 {
        let patient = json!({"resourceType": "Patient", "id": format!("p{n}"), "name": [{"text": name}]});
        server.put(&format!("/fhir/Patient/p{n}"), &patient.to_string()).expect(201);
    }
    server.stop();
    let test = "a_disk_that_is_full";
    let Some(server) = Server::start_on_small_disk(test, data.path(), "exports", 200) else { return };
    for _ in 0..2 {
        let accepted = kick_off(&server, "/fhir/$export").expect(202);
        let told = wait(&server, &path(&server, accepted.header("content-location"))).expect(500).issues();
        assert!(told[0].starts_with("error no-store []: The server has no room for the files"), "{told:?}");
    }
    // Its files were removed: there is room for less, and nothing else was lost.
    let less = export(&server, "/fhir/$export?_type=Patient&_elements=active");
    assert_eq!(less["output"][0]["count"], 20);
    server.put("/fhir/Patient/new", r#"{"resourceType":"Patient","id":"new"}"#).expect(201);
    drop(server);

    // Not even a job can be kept.
    let Some(server) = Server::start_on_small_disk(test, data.path(), "exports", 4) else { return };
    let mut refused = kick_off(&server, "/fhir/$export");
    for _ in 0..10 {
        if refused.status == 202 {
            refused = kick_off(&server, "/fhir/$export");
        }
    }
    let refused = refused.expect(503);
    assert_eq!(refused.header("retry-after"), "10");
    assert_eq!(refused.issues(), ["error no-store []: The server has no room for an export."]);
    server.get("/fhir/Patient/new").expect(200);
}

#[test]
fn tenants_have_jobs_of_their_own() {
    let data = directory();
    let table = data.path().join("tenants.toml");
    std::fs::write(&table, "[tenants.a]\n\n[tenants.b]\n").unwrap();
    let server = Server::start_with(data.path(), &["--tenants", table.to_str().unwrap()]);
    for tenant in ["a", "b"] {
        let path = format!("/t/{tenant}/fhir/Patient/{tenant}");
        server.put(&path, &json!({"resourceType": "Patient", "id": tenant}).to_string()).expect(201);
    }
    let manifest = export(&server, "/t/a/fhir/$export");
    assert_eq!(ids(&lines(&server, &manifest, "output")), set(&["Patient/a"]));
    let file = path(&server, manifest["output"][0]["url"].as_str().unwrap());
    let (status, _) = file.rsplit_once('/').unwrap();
    for own in [&file, status] {
        server.get(own).expect(200);
        server.get(&own.replace("/t/a/", "/t/b/")).expect(404);
        server.send("DELETE", &own.replace("/t/a/", "/t/b/").replace(&file, status), &[], b"");
        server.get(own).expect(200);
    }
}
