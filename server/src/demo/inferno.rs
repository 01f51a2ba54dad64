//! Inferno's test kit for the (g)(10) criterion (<https://inferno.healthit.gov/test-kits/g10-certification/>): the apps and
//! users that it is run with on the patients for certification, and every input that it asks for. The kit is taken to run where
//! its instructions put it, at port 4567 of the tester's machine.

use std::path::{Path, PathBuf};

use conformance::UsCore;
use serde_json::{Value, json};
use smart::{Authentication, Client, ClientError, US_CORE_TYPES, User};

use crate::authorization::command::{self as registry, RegistryCommandError};
use crate::authorization::issuer;
use crate::authorization::registry::Order;
use crate::config::Config;
use crate::open;

/// Where the kit waits for the browser.
const REDIRECT: &str = "http://127.0.0.1:4567/custom/smart/redirect";
/// Where it is opened by an EHR launch.
const LAUNCH: &str = "http://127.0.0.1:4567/custom/smart/launch";
/// Its public keys.
const KEYS: &str = "http://127.0.0.1:4567/custom/g10_certification/.well-known/jwks.json";

const CONFIDENTIAL: &str = "inferno-confidential";
const PUBLIC: &str = "inferno-public";
const ASYMMETRIC: &str = "inferno-asymmetric";
const BULK: &str = "inferno-bulk";
/// The user who is the adult patient.
pub const PATIENT_USER: &str = "inferno-patient";
/// The user who is the practitioner.
pub const PRACTITIONER_USER: &str = "inferno-practitioner";

/// All that these apps may have.
const SCOPES: &str =
    "launch launch/patient launch/encounter openid fhirUser offline_access patient/*.rs user/*.rs";
const BULK_SCOPES: &str = "system/*.rs";
/// What is changed since then is exported: all of it.
const SINCE: &str = "2025-01-01T00:00:00Z";
/// The type of the one implantable device.
const DEVICE_TYPE: &str = "14106009";
/// What stands for the secret where it is not known.
pub const SECRET_UNKNOWN: &str = "the secret that vesta demo said";

/// An input of the kit.
#[derive(Debug)]
pub struct Input {
    /// Its name in presets.
    pub name: &'static str,
    /// What the kit calls it.
    pub title: &'static str,
    /// Its value: a text, or the parts of an app's credentials.
    pub value: Value,
}

/// It could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum InfernoError {
    /// An app or a user is refused.
    #[error(transparent)]
    Registry(#[from] Box<RegistryCommandError>),
    /// A secret that cannot be one.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A password that cannot be one.
    #[error(transparent)]
    Password(#[from] smart::password::PasswordError),
    /// The preset cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    Preset {
        /// Where.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
}

/// Registers the apps and users, with a secret and a password made now, and says every input. The inputs are also written to
/// `preset`, as the kit reads them.
///
/// # Errors
/// [`InfernoError`].
pub fn set_up(config: &Config, tenant: Option<&str>, preset: Option<&Path>) -> Result<(), InfernoError> {
    let [secret, password] = [(); 2].map(|()| uuid::Uuid::new_v4().simple().to_string());
    registry::run(config, tenant, orders(&secret, &password)?).map_err(Box::new)?;
    let base = open::base_url(config, config.bind);
    let inputs = inputs(&base, config.us_core, &secret);
    println!("\nUsers, at the login of apps:");
    for (name, who) in [(PATIENT_USER, patients::ADULT), (PRACTITIONER_USER, patients::PRACTITIONER)] {
        println!("  {name}, password {password}: {who}");
    }
    println!("\nInputs of Inferno's (g)(10) kit:");
    for input in &inputs {
        println!("  {} ({}): {}", input.title, input.name, shown(&input.value));
    }
    if let Some(path) = preset {
        let text = format!("{:#}\n", self::preset(config.us_core, &inputs));
        std::fs::write(path, text).map_err(|error| InfernoError::Preset { path: path.to_owned(), error })?;
        println!("\nThe inputs are in {}, too, for config/presets of the kit.", path.display());
    }
    if !config.authorization_private_fetches {
        println!(
            "\nServe with --authorization-private-fetches, so that the kit's keys are fetched from this machine."
        );
    }
    Ok(())
}

/// A value, for people.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What registers the apps and users.
fn orders(secret: &str, password: &str) -> Result<Vec<Order>, InfernoError> {
    let launched = |id: &str, authentication| Client {
        authentication,
        redirect_uris: vec![REDIRECT.to_owned()],
        launch_uri: Some(LAUNCH.to_owned()),
        scopes: SCOPES.to_owned(),
        ..Client::new(id, "Inferno")
    };
    let backend = Client {
        authentication: Authentication::KeysAt(KEYS.to_owned()),
        scopes: BULK_SCOPES.to_owned(),
        backend: true,
        ..Client::new(BULK, "Inferno, bulk export")
    };
    let clients = [
        Client { introspects: true, ..launched(CONFIDENTIAL, Authentication::secret(secret)?) },
        launched(PUBLIC, Authentication::Public),
        launched(ASYMMETRIC, Authentication::KeysAt(KEYS.to_owned())),
        backend,
    ];
    let users = [
        (PATIENT_USER, format!("Patient/{}", patients::ADULT), "Marisol Tindalwick"),
        (PRACTITIONER_USER, format!("Practitioner/{}", patients::PRACTITIONER), "Dr. Isaura Okonjo-Vale"),
    ];
    let mut orders: Vec<Order> = clients.into_iter().map(Order::PutClient).collect();
    for (username, fhir_user, name) in users {
        orders.push(Order::PutUser(User {
            sub: uuid::Uuid::new_v4().to_string(),
            username: username.to_owned(),
            password_hash: smart::password::hash(password)?,
            totp_secret: None,
            upstream: None,
            policy: None,
            administrator: false,
            name: name.to_owned(),
            fhir_user,
            enabled: true,
        }));
    }
    Ok(orders)
}

/// Every input of the kit, in its order, for a server at `base`.
pub fn inputs(base: &str, us_core: UsCore, secret: &str) -> Vec<Input> {
    let input = |name, title, value: Value| Input { name, title, value };
    let media = (us_core >= UsCore::V7_0_0).then_some("Media");
    let scopes = |first: &str, context: &str| {
        // The kit asks for access to these with US Core 6.1.0.
        let types = US_CORE_TYPES.iter().copied().chain(media).map(|name| format!(" {context}/{name}.rs"));
        format!("{first} openid fhirUser offline_access{}", types.collect::<String>())
    };
    let confidential = |scopes: Option<String>| {
        let mut value = json!({"auth_type": "symmetric", "client_id": CONFIDENTIAL, "client_secret": secret});
        if let (Some(members), Some(scopes)) = (value.as_object_mut(), scopes) {
            members.insert("requested_scopes".to_owned(), scopes.into());
        }
        value
    };
    let alone = scopes("launch/patient", "patient");
    let [adult, others @ ..] = patients::PATIENTS;
    let everybody = [&[adult], others.as_slice()].concat().join(",");
    let public = json!({"auth_type": "public", "client_id": PUBLIC, "requested_scopes": alone});
    let asymmetric = json!({"auth_type": "asymmetric", "client_id": ASYMMETRIC, "encryption_algorithm": "ES384", "requested_scopes": alone});
    let bulk = json!({
        "auth_type": "backend_services",
        "client_id": BULK,
        "token_url": format!("{}/token", issuer(base)),
        "encryption_algorithm": "ES384",
        "requested_scopes": BULK_SCOPES
    });
    vec![
        input("url", "FHIR Endpoint", base.into()),
        input(
            "standalone_smart_auth_info",
            "Standalone Launch Credentials",
            confidential(Some(alone.clone())),
        ),
        input(
            "expected_resources",
            "expected resource grant for limited access launch",
            "patient, condition, observation".into(),
        ),
        input("ehr_smart_auth_info", "EHR Launch Credentials", confidential(Some(scopes("launch", "user")))),
        input("additional_patient_ids", "Additional Patient IDs", others.join(",").into()),
        input("implantable_device_codes", "Implantable Device Type Code", DEVICE_TYPE.into()),
        input("bulk_server_url", "Bulk Data FHIR URL", base.into()),
        input("group_id", "Group ID", patients::GROUP.into()),
        input("bulk_patient_ids_in_group", "Patient IDs in exported Group", everybody.into()),
        input(
            "bulk_device_types_in_group",
            "Implantable Device Type Codes in exported Group",
            DEVICE_TYPE.into(),
        ),
        input("bulk_timeout", "Export Times Out after (1-600)", "180".into()),
        input("bulk_smart_auth_info", "Multi-Patient API Credentials", bulk),
        input("since_timestamp", "Timestamp for _since parameter", SINCE.into()),
        input("public_smart_auth_info", "Public Launch Credentials", public),
        input(
            "ehr_patient_smart_auth_info",
            "EHR Launch with Patient Scopes Credentials",
            confidential(None),
        ),
        input("asymmetric_smart_auth_info", "Asymmetric Launch Credentials", asymmetric),
        input("v1_smart_auth_info", "Launch with v1 Scopes Credentials", confidential(None)),
        input("granular_scopes_1_auth_info", "Granular Scopes 1 Credentials", confidential(None)),
        input("granular_scopes_2_auth_info", "Granular Scopes 2 Credentials", confidential(None)),
        input(
            "granular_scopes_selection_smart_auth_info",
            "Granular Scope Selection Credentials",
            confidential(None),
        ),
    ]
}

/// The inputs as the kit's presets are written. What the tester attests is left to the tester.
pub fn preset(us_core: UsCore, inputs: &[Input]) -> Value {
    let inputs: Vec<Value> = inputs
        .iter()
        .map(|input| {
            let kind = if input.value.is_object() { "auth_info" } else { "text" };
            json!({"name": input.name, "value": input.value, "_title": input.title, "_type": kind})
        })
        .collect();
    json!({
        "title": format!("Vesta with US Core {us_core}"),
        "id": format!("vesta-us-core-{}", us_core.version().replace('.', "")),
        "test_suite_id": "g10_certification",
        "inputs": inputs
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The presets in the repository are what is written, but for the secret.
    #[test]
    fn presets() {
        let preset = |us_core| {
            let inputs = inputs("https://localhost:8443/fhir", us_core, SECRET_UNKNOWN);
            format!("{:#}\n", super::preset(us_core, &inputs))
        };
        expect_test::expect_file!["../../../inferno-tests/presets/us-core-6.1.0.json"]
            .assert_eq(&preset(UsCore::V6_1_0));
        expect_test::expect_file!["../../../inferno-tests/presets/us-core-7.0.0.json"]
            .assert_eq(&preset(UsCore::V7_0_0));
    }

    #[test]
    fn the_apps_can_be_used() {
        let orders = orders("a secret of the tester's own", "correct horse battery").unwrap();
        let clients: Vec<&Client> = orders
            .iter()
            .filter_map(|order| match order {
                Order::PutClient(client) => Some(client),
                _ => None,
            })
            .collect();
        assert_eq!((clients.len(), orders.len()), (4, 6));
        for client in clients {
            client.check(true).unwrap();
        }
    }
}
