//! The procedure of the (g)(10) criterion, followed over TLS against the built program with the patients that Inferno's own
//! reference server passes with. What it covers of the kit stands in `inferno-tests/launches.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a test, and its support

mod support;

use std::path::Path;

use procedure::{Client, Covered, Ehr, Inputs, Key, KitTest, Secret, User};
use serde_json::{Value, json};
use support::{Server, directory, done, said, vesta};

const TEST: &str = "the procedure of certification";
const REDIRECT: &str = "http://127.0.0.1:4567/custom/smart/redirect";
const LAUNCH: &str = "http://127.0.0.1:4567/custom/smart/launch";
const PASSWORD: &str = "correct horse battery";
const SECRET: &str = "a secret of the tester's own";
const SCOPES: &str =
    "launch launch/patient launch/encounter openid fhirUser offline_access patient/*.cruds user/*.cruds";
/// Has conditions and observations of every category.
const PATIENT: &str = "355";

const HEAD: &str = "# Launches and tokens: what the (g)(10) test kit asks, and what was seen

Groups 1, 2, 3 and 9 of the kit 8.0.0, for its three option sets (US Core 6.1.0 and 7.0.0, SMART 2.0.0 and 2.2.0). Each row is
followed by `cargo test -p vesta --test certification`, over TLS against the built program, with patient 355 of Inferno's
reference data; the test writes this table, and fails where a required row has not passed. Tests whose ids differ by version
alone are one row.

";

/// The table of the kit's tests, of groups for which something is followed.
fn kit(groups: &[u32]) -> Option<Vec<KitTest>> {
    let path = testdata::path(TEST, "inferno/g10-tests.tsv.gz")?;
    let mut table = String::new();
    let file = std::fs::File::open(path).unwrap();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(file), &mut table).unwrap();
    let tests = KitTest::read(&table).unwrap();
    Some(tests.into_iter().filter(|test| test.top_group().is_some_and(|top| groups.contains(&top))).collect())
}

/// A command on a directory, with authorization.
fn command(data: &Path, arguments: &[&str]) -> String {
    let mut command = vesta(arguments);
    command.args(["--data", data.to_str().unwrap(), "--authorization"]).env("VESTA_PASSWORD", PASSWORD);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    said(&output)
}

/// Loads the patients under the ids of their files: the first practitioner of [`PATIENT`]'s.
fn load(data: &Path) -> Option<String> {
    let folder = data.join("records");
    std::fs::create_dir(&folder).unwrap();
    let mut found = None;
    for file in testdata::archive(TEST, "inferno-reference-data.tar.gz")? {
        let name = file.path.rsplit('/').next().unwrap_or_default().to_owned();
        if !name.starts_with("uscore_bundle_patient_") {
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
        if name.contains(&format!("_{PATIENT}.")) {
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

#[test]
fn launches_and_tokens() {
    let Some(tests) = kit(&[1, 2, 3, 9]) else { return };
    let directory = directory();
    let data = directory.path();
    let Some(practitioner) = load(data) else { return };
    let certificates = data.join("certificates");
    done(&["dev-cert", certificates.to_str().unwrap()]);
    let secret = data.join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let key = Key::es384("inferno").unwrap();
    let keys = data.join("jwks.json");
    std::fs::write(&keys, key.jwks().to_string()).unwrap();
    client(data, "confidential", &["--secret", secret.to_str().unwrap()]);
    client(data, "public", &[]);
    client(data, "asymmetric", &["--jwks", keys.to_str().unwrap()]);
    command(data, &["user", "add", "patient", "--fhir-user", &format!("Patient/{PATIENT}")]);
    command(data, &["user", "add", "doctor", "--fhir-user", &format!("Practitioner/{practitioner}")]);

    let file = |name: &str| certificates.join(name).to_str().unwrap().to_owned();
    let (chain, private) = (file("server.pem"), file("server-key.pem"));
    let tls = ["--authorization", "--tls-certificate", &chain, "--tls-key", &private];
    let server = Server::start_with(data, &tls);
    let user = |name: &str| User { name: name.to_owned(), password: PASSWORD.to_owned() };
    let base = format!("https://{}/fhir", server.address);
    let inputs = Inputs {
        ehr: Ehr::Page { url: format!("https://{}/auth/apps", server.address) },
        base,
        authority: Some(std::fs::read_to_string(certificates.join("ca.pem")).unwrap()),
        redirect_uri: REDIRECT.to_owned(),
        launch_uri: LAUNCH.to_owned(),
        confidential: Client { id: "confidential".to_owned(), secret: Secret::Basic(SECRET.to_owned()) },
        public: Client { id: "public".to_owned(), secret: Secret::Public },
        asymmetric: Client { id: "asymmetric".to_owned(), secret: Secret::Key(key) },
        patient: PATIENT.to_owned(),
        user: user("patient"),
        practitioner: user("doctor"),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let report = runtime.block_on(procedure::groups::launches(&inputs)).unwrap();

    let wrong: Vec<String> = tests
        .iter()
        .filter_map(|test| match report.covers(test) {
            Covered::Failed(wrong) => Some(format!("{} {}: {wrong}", test.short_id, test.title)),
            Covered::NotSeen if test.required => {
                Some(format!("{} {} is not looked at", test.short_id, test.title))
            }
            Covered::Passed | Covered::NotSeen => None,
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let table = report.table(&tests);
    expect_test::expect_file!["../../inferno-tests/launches.md"].assert_eq(&format!("{HEAD}{table}"));
}
