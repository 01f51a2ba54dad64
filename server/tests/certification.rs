//! The procedure of the (g)(10) criterion, followed over TLS against the built program with the patients that Inferno's own
//! reference server passes with, and with those of `vesta demo --us-core`. What it covers of the kit stands in `inferno-tests/coverage.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test, and its support

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use procedure::{
    Attested, Bulk, Client, Covered, Ehr, Guide, Inputs, Key, KitTest, Outcome, Report, Secret, User,
};
use procedure::{groups, table};
use serde_json::{Value, json};
use support::{Server, directory, done, said, vesta};
use vesta::conform::Conformance;

const TEST: &str = "the procedure of certification";
const REDIRECT: &str = "http://127.0.0.1:4567/custom/smart/redirect";
const LAUNCH: &str = "http://127.0.0.1:4567/custom/smart/launch";
const PASSWORD: &str = "correct horse battery";
const SECRET: &str = "a secret of the tester's own";
const SCOPES: &str =
    "launch launch/patient launch/encounter openid fhirUser offline_access patient/*.cruds user/*.cruds";
/// Those that the kit's own settings for the reference server name; 355 has conditions and observations of every category.
const REFERENCE: Records = Records { patients: ["355", "85", "907"], group: "1a" };
const DEMO: Records = Records { patients: patients::PATIENTS, group: patients::GROUP };

/// Whose records the procedure asks for; the first one's in launches.
struct Records {
    patients: [&'static str; 3],
    group: &'static str,
}

const HEAD: &str = "# What the (g)(10) test kit asks, and what was seen

Every test of the kit 8.0.0 for its three option sets: US Core 6.1.0 and 7.0.0, SMART 2.0.0 and 2.2.0, Bulk Data 2.0.0.
`cargo test -p vesta --test certification` follows them over TLS against the built program and writes this table; it fails
where a required test has not passed, unless the data of the run lacks what the test asks and a file in
`server/tests/certification` says so with the reason. Tests that are answered by hand stand in [attestations.md](attestations.md).
Tests whose ids differ by version alone are one row. What is judged against profiles is judged by this workspace's validator,
outside the server, and not by the validator of the kit; like that one it holds to a largest value set of extensible bindings alone.

";

/// The table of the kit's tests.
fn kit() -> Option<Vec<KitTest>> {
    let path = testdata::path(TEST, "inferno/g10-tests.tsv.gz")?;
    let mut table = String::new();
    let file = std::fs::File::open(path).unwrap();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(file), &mut table).unwrap();
    Some(KitTest::read(&table).unwrap())
}

/// A command on a directory, with authorization.
fn command(data: &Path, arguments: &[&str]) -> String {
    let mut command = vesta(arguments);
    command.args(["--data", data.to_str().unwrap(), "--authorization"]).env("VESTA_PASSWORD", PASSWORD);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    said(&output)
}

/// Loads Inferno's patients under the ids of their files: the first practitioner of the first one's.
fn reference_data(data: &Path) -> Option<String> {
    let folder = data.join("records");
    std::fs::create_dir(&folder).unwrap();
    let mut found = None;
    for file in testdata::archive(TEST, "inferno-reference-data.tar.gz")? {
        let name = file.path.rsplit('/').next().unwrap_or_default().to_owned();
        if name.starts_with("uscore_group_") {
            let group: Value = serde_json::from_slice(&file.bytes).unwrap();
            let url = format!("Group/{}", group["id"].as_str().unwrap());
            let entry = json!({"resource": group, "request": {"method": "PUT", "url": url}});
            let bundle = json!({"resourceType": "Bundle", "type": "batch", "entry": [entry]});
            // After the patients, whom it refers to.
            std::fs::write(folder.join(format!("z{name}")), bundle.to_string()).unwrap();
        }
        let is_asked = |id: &&str| name == format!("uscore_bundle_patient_{id}.json");
        if !REFERENCE.patients.iter().any(is_asked) {
            continue;
        }
        let mut bundle: Value = serde_json::from_slice(&file.bytes).unwrap();
        for entry in bundle["entry"].as_array_mut().unwrap() {
            let (kind, id) = (&entry["resource"]["resourceType"], &entry["resource"]["id"]);
            let url = format!("{}/{}", kind.as_str().unwrap(), id.as_str().unwrap());
            entry["request"] = json!({"method": "PUT", "url": url});
            // One observation's period says `stop`, which is no element of R4.
            let period = entry["resource"].get_mut("effectivePeriod").and_then(Value::as_object_mut);
            if let Some(period) = period
                && let Some(stop) = period.remove("stop")
            {
                period.insert("end".to_owned(), stop);
            }
        }
        if is_asked(&REFERENCE.patients[0]) {
            let of = |kind: &str| {
                let mut entries = bundle["entry"].as_array().unwrap().iter().map(|entry| &entry["resource"]);
                let one = entries.find(|one| one["resourceType"] == kind).unwrap();
                one["id"].as_str().unwrap().to_owned()
            };
            found = Some(of("Practitioner"));
        }
        std::fs::write(folder.join(name), bundle.to_string()).unwrap();
    }
    command(data, &["load", "--validation", "off", folder.to_str().unwrap()]);
    found
}

fn client(data: &Path, id: &str, more: &[&str]) {
    let common =
        ["client", "add", id, "--name", "Inferno", "--redirect-uri", REDIRECT, "--launch-uri", LAUNCH];
    command(data, &[common.as_slice(), &["--scopes", SCOPES], more].concat());
}

/// Loads the demo's patients for a version of US Core.
fn demo(data: &Path, version: &str) {
    done(&["demo", "--data", data.to_str().unwrap(), "--us-core", version]);
}

/// A directory with users and apps, and what a tester types in.
fn prepare(data: &Path, practitioner: &str, records: &Records) -> (Inputs, Vec<String>) {
    let patient = records.patients[0];
    let patients = records.patients.map(str::to_owned).to_vec();
    let certificates = data.join("certificates");
    done(&["dev-cert", certificates.to_str().unwrap()]);
    let secret = data.join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let (key, bulk) = (Key::es384("inferno").unwrap(), Key::rs384("bulk").unwrap());
    let (keys, bulk_keys) = (data.join("jwks.json"), data.join("bulk.json"));
    std::fs::write(&keys, key.jwks().to_string()).unwrap();
    std::fs::write(&bulk_keys, bulk.jwks().to_string()).unwrap();
    client(data, "confidential", &["--secret", secret.to_str().unwrap()]);
    client(data, "public", &[]);
    client(data, "asymmetric", &["--jwks", keys.to_str().unwrap()]);
    let jwks = bulk_keys.to_str().unwrap();
    let backend = ["client", "add", "bulk", "--name", "Inferno", "--backend", "--jwks", jwks];
    command(data, &[backend.as_slice(), &["--scopes", "system/*.rs"]].concat());
    command(data, &["user", "add", "patient", "--fhir-user", &format!("Patient/{patient}")]);
    command(data, &["user", "add", "doctor", "--fhir-user", &format!("Practitioner/{practitioner}")]);
    let file = |name: &str| certificates.join(name).to_str().unwrap().to_owned();
    let tls =
        ["--authorization", "--tls-certificate", &file("server.pem"), "--tls-key", &file("server-key.pem")]
            .map(str::to_owned);
    let user = |name: &str| User { name: name.to_owned(), password: PASSWORD.to_owned() };
    let app = |id: &str, secret: Secret| Client { id: id.to_owned(), secret };
    let inputs = Inputs {
        ehr: Ehr::Page { url: String::new() },
        base: String::new(),
        authority: Some(std::fs::read_to_string(certificates.join("ca.pem")).unwrap()),
        redirect_uri: REDIRECT.to_owned(),
        launch_uri: LAUNCH.to_owned(),
        confidential: app("confidential", Secret::Basic(SECRET.to_owned())),
        public: app("public", Secret::Public),
        asymmetric: app("asymmetric", Secret::Key(key)),
        patient: patient.to_owned(),
        patients: patients.clone(),
        bulk: Some(Bulk {
            client: app("bulk", Secret::Key(bulk)),
            scope: "system/*.rs".to_owned(),
            group: records.group.to_owned(),
            patients,
        }),
        user: user("patient"),
        practitioner: user("doctor"),
    };
    (inputs, tls.to_vec())
}

/// Serves the directory and makes the inputs about that server.
fn serve(data: &Path, arguments: &[String], inputs: &mut Inputs) -> Server {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let server = Server::start_with(data, &arguments);
    inputs.base = format!("https://{}/fhir", server.address);
    inputs.ehr = Ehr::Page { url: format!("https://{}/auth/apps", server.address) };
    server
}

/// A version of US Core, and who judges by it.
fn guide(name: &str) -> Option<(Guide, Conformance)> {
    let package = testdata::path(TEST, &format!("packages/{name}"))?;
    let core = testdata::path(TEST, "packages/hl7.fhir.r4.core-4.0.1.tgz")?;
    let guide = Guide::read(&package, &core).unwrap();
    let judge = Conformance::new(&[&package]).unwrap();
    Some((guide, judge))
}

/// All of the procedure: once on a server with each version of US Core, before which `later` changes the records.
fn follow(data: &Path, practitioner: &str, records: &Records, later: fn(&Path)) -> Option<Report> {
    let (guide_6, judge_6) = guide("us_core_610.tgz")?;
    let (guide_7, judge_7) = guide("us_core_700.tgz")?;
    let (mut inputs, mut arguments) = prepare(data, practitioner, records);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut report = Report::default();
    let server = serve(data, &arguments, &mut inputs);
    runtime.block_on(async {
        report.add(groups::single_patient(&inputs, &guide_6, &judge_6).await.unwrap());
        report.add(groups::bulk(&inputs, &[(&guide_6, &judge_6)]).await.unwrap());
        report.add(groups::launches(&inputs).await.unwrap());
    });
    drop(server);
    later(data);
    arguments.extend(["--us-core", "7.0.0"].map(str::to_owned));
    let server = serve(data, &arguments, &mut inputs);
    runtime.block_on(async {
        report.add(groups::single_patient(&inputs, &guide_7, &judge_7).await.unwrap());
        report.add(groups::bulk(&inputs, &[(&guide_7, &judge_7)]).await.unwrap());
    });
    drop(server);
    Some(report)
}

/// Refuses what a list does not say of the tests that have not passed, and what it says of those that have.
fn check(name: &str, tests: &[KitTest], report: &Report, attested: &Attested, listed: &str) -> Vec<String> {
    let mut listed: BTreeSet<&str> = listed
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(' '))
        .map(|(id, _)| id)
        .collect();
    let all = listed.clone();
    let mut wrong: Vec<String> = Vec::new();
    for test in tests {
        let found = match report.covers(test) {
            Covered::Failed(why) => format!("{} failed: {}: {why}", test.short_id, test.title),
            Covered::Lacking(why) => format!("{} lacks: {}: {why}", test.short_id, test.title),
            Covered::NotSeen if test.required && !attested.has(test) => {
                format!("{} {} is not looked at", test.short_id, test.title)
            }
            Covered::Passed | Covered::Omitted(_) | Covered::NotSeen => continue,
        };
        listed.remove(test.short_id.as_str());
        if !all.contains(test.short_id.as_str()) {
            wrong.push(found);
        }
    }
    wrong.extend(listed.iter().map(|id| format!("{id} is listed, but passed")));
    // What the kit has no test for must not fail either.
    let is_kit = |group: &str, test: &str| tests.iter().any(|one| one.group == group && one.test == test);
    for seen in &report.seen {
        if let (Outcome::Failed(why), false) = (&seen.outcome, is_kit(&seen.group, &seen.test)) {
            wrong.push(format!(
                "{} {} {}: {why}",
                seen.option.as_deref().unwrap_or_default(),
                seen.group,
                seen.test
            ));
        }
    }
    wrong.sort();
    wrong.dedup();
    wrong.into_iter().map(|one| format!("{name}: {one}")).collect()
}

#[test]
fn every_test_of_the_kit() {
    let Some(tests) = kit() else { return };
    let (of_inferno, of_demo) = (directory(), directory());
    let Some(practitioner) = reference_data(of_inferno.path()) else { return };
    let Some(of_reference) = follow(of_inferno.path(), &practitioner, &REFERENCE, |_| {}) else { return };
    demo(of_demo.path(), "6.1.0");
    let Some(of_demo) = follow(of_demo.path(), patients::PRACTITIONER, &DEMO, |data| demo(data, "7.0.0"))
    else {
        return;
    };
    let attested = Attested::read(include_str!("../../inferno-tests/attestations.md"));
    assert_eq!(attested.unknown(&tests).next(), None, "attestations.md answers what is not asked");
    let listed = include_str!("certification/reference-data.txt");
    let mut wrong = check("reference data", &tests, &of_reference, &attested, listed);
    wrong.extend(check("demo", &tests, &of_demo, &attested, include_str!("certification/demo.txt")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let reports = [("`vesta demo --us-core`", &of_demo), ("Inferno's reference data", &of_reference)];
    let table = table(&tests, &reports, &attested);
    expect_test::expect_file!["../../inferno-tests/coverage.md"].assert_eq(&format!("{HEAD}{table}"));
}
