//! The tenants' requests, given to the interactions as the server gives them: without HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bulk::Jobs as _;
use engines::{Engine, Opened};
use interaction::{
    Caller, Failure, Handling, Limits, Outcome, OutcomeBody, PatchDocument, PatchFormat, ReadConditions,
    Return, Service, VersionMatch, WriteConditions,
};
use operations::Invocation;
use store::{Access, HistoryScope, Key, Tenant, Timestamp};
use vesta::authorization::decision;
use vesta::export;
use vesta::http::route::{self, Interaction, Shape};

use super::requests::Request;
use super::seeds::{self, Cast};
use super::world::{BASE, DEFINITIONS, INDEX, Said, Who};

/// The interactions on an open store, validating.
pub fn service(opened: &Opened) -> Service {
    let ids = AtomicU64::new(0);
    let limits = Limits {
        body: fhirpath::tree::Limits::DEFAULT,
        bundle_entries: 10_000,
        default_count: 50,
        max_count: 1000,
        includes: 1000,
        erasure: true,
    };
    Service {
        store: opened.store.clone(),
        validation: interaction::Validation::embedded(interaction::ValidationLevel::Profiles, &DEFINITIONS),
        provenance: None,
        rulings: interaction::Rulings::default(),
        definitions: Arc::clone(&DEFINITIONS),
        index: Arc::clone(&INDEX),
        limits,
        base: BASE.to_owned(),
        clock: Arc::new(|| Timestamp(1_795_313_433_123)),
        new_id: Arc::new(move || format!("n{}", ids.fetch_add(1, Ordering::Relaxed) + 1)),
    }
}

/// Of the patient who asks: all that is theirs, and definitions, which belong to nobody.
const TOKEN: &str = "patient/*.cruds user/ValueSet.cruds user/CodeSystem.rs user/ConceptMap.rs user/Binary.cruds \
                     user/StructureDefinition.rs user/SearchParameter.rs";

/// What [`TOKEN`] says, as an access policy.
fn policy() -> smart::Policy {
    let readonly =
        smart::PATIENTLESS.iter().map(|name| format!(r#"{{"resourceType":"{name}","readonly":true}}"#));
    let own = r#"{"resourceType":"*","compartment":"Patient/pat","restricted":true},
        {"resourceType":"Device","criteria":"patient=Patient/pat","restricted":true},
        {"resourceType":"ValueSet"},{"resourceType":"CodeSystem","readonly":true},
        {"resourceType":"ConceptMap","readonly":true},{"resourceType":"Binary","restricted":true},
        {"resourceType":"StructureDefinition","readonly":true},{"resourceType":"SearchParameter","readonly":true}"#;
    let rules: Vec<String> = readonly.chain([own.to_owned()]).collect();
    serde_json::from_str(&format!(r#"{{"name":"patient","resource":[{}]}}"#, rules.join(","))).unwrap()
}

/// A token with scopes, of a patient in context and a user; without a user a client's own.
pub fn token(scopes: &str, patient: Option<&str>, user: &str) -> smart::Verified {
    let (scopes, unread) = smart::ScopeSet::read(scopes).unwrap();
    assert!(unread.is_empty());
    let patient = patient.map(str::to_owned);
    let context = smart::Context {
        patient: patient.clone(),
        user: (!user.is_empty()).then(|| user.to_owned()),
        system: user.is_empty(),
    };
    let access = smart::Access::compile(&scopes, &context);
    let policies = smart::Policies::default();
    smart::Verified {
        client_id: "app".into(),
        user: None,
        patient,
        scopes,
        access,
        policies,
        expires_s: i64::MAX,
    }
}

/// The interactions on a store.
pub struct InProcess {
    service: Service,
    cast: Cast,
    asking: Caller,
    other: Caller,
    _opened: Opened,
}

impl InProcess {
    pub async fn new(engine: Engine, cast: Cast, by_policy: bool) -> InProcess {
        let tenants = ["asking", "other"].map(|name| Tenant::new(name).unwrap());
        let opened = engine.open_for(Arc::clone(&INDEX) as _, &tenants).await;
        let [mut asking, mut other] = tenants.map(|tenant| Caller::new(tenant, Access::unrestricted()));
        let service = service(&opened);
        if cast == Cast::Patients {
            other.tenant = asking.tenant.clone();
            let mut token = token(TOKEN, Some("pat"), "Practitioner/doc1");
            if by_policy {
                // Scopes to everything, and a policy that leaves what the patient's scopes say.
                let everything = smart::ScopeSet::read("user/*.cruds").unwrap().0;
                let user = Some("Practitioner/doc1".to_owned());
                let context = smart::Context { user, ..smart::Context::default() };
                token.access = smart::Access::compile(&everything, &context);
                token.policies.user = Some(policy());
            }
            asking.access = decision::compile(&service, &token, &[]).unwrap();
        }
        InProcess { service, cast, asking, other, _opened: opened }
    }

    fn caller(&self, who: Who) -> &Caller {
        match who {
            Who::Asking => &self.asking,
            Who::Other => &self.other,
        }
    }

    /// Everything that is stored of one of them: counts, and each change with its version.
    pub async fn state(&self, who: Who) -> String {
        let Caller { tenant, .. } = self.caller(who);
        let (store, access) = (&self.service.store, &Access::unrestricted());
        let mut counts = store.counts(tenant, access).await.unwrap();
        counts.sort();
        let mut text = match self.cast {
            Cast::Tenants => format!("{counts:?}\n"),
            Cast::Patients => String::new(),
        };
        let of_other = |key: &Key| {
            let seeds = seeds::others(self.cast);
            seeds.iter().any(|seed| seed.key == key.as_str()) || key.as_str() == seeds::LEFT[0].0
        };
        for change in store.changes(tenant, access, 0, usize::MAX).await.unwrap() {
            if self.cast == Cast::Patients && of_other(&change.key) != (who == Who::Other) {
                continue;
            }
            let version = store.vread(tenant, access, &change.key, change.version).await.unwrap();
            let version = version.expect("each change has its version");
            let body = String::from_utf8_lossy(&version.body).into_owned();
            // What others commit counts between.
            let sequence = if self.cast == Cast::Tenants { change.sequence } else { 0 };
            let key = change.key.as_str();
            text.push_str(&format!("{sequence} {key} {} {:?} {body}\n", change.version, change.method));
        }
        text
    }

    /// Sends a request.
    pub async fn send(&self, who: Who, request: &Request) -> Said {
        match self.call(who, request).await {
            Ok(outcome) => {
                let body = match outcome.body {
                    OutcomeBody::Resource(bytes) | OutcomeBody::Other { bytes, .. } => {
                        String::from_utf8(bytes.to_vec()).unwrap()
                    }
                    OutcomeBody::Empty => String::new(),
                };
                let head = format!("{:?} {:?}", outcome.location, outcome.version);
                Said { status: outcome.status.code(), head, body }
            }
            Err(failure) => {
                let body = String::from_utf8(failure.body().to_vec()).unwrap();
                Said { status: failure.status.code(), head: String::new(), body }
            }
        }
    }

    /// As `http/export.rs` and a client do: the lines of all files.
    async fn export(&self, who: Who, request: &Request) -> Result<Outcome, Failure> {
        let (service, caller) = (&self.service, self.caller(who));
        let target = route::target(&request.path).expect("requests have paths of the table");
        let refused = |issues| Failure::of(interaction::Status::BadRequest, issues);
        let types = export::types(service);
        let asked = if target.last == export::VIEWS_NAME {
            let body = request.body.as_deref().unwrap_or(r#"{"resourceType":"Parameters"}"#);
            export::read_views(service, body.as_bytes(), &types)?
        } else {
            let mut parameters = request.parameters.clone();
            if let Some(body) = &request.body {
                parameters.extend(bulk::of_body(&serde_json::from_str(body).unwrap()).map_err(refused)?);
            }
            let level = export::level(target.last, target.resource_type, target.id)?;
            let is_post = request.method == "POST";
            let documented = target.last == export::EHI_NAME;
            let asked =
                bulk::Kickoff { level, parameters, is_post, lenient: false, documented, types: &types };
            asked.read().map_err(refused)?
        };
        let (mut job, patients) =
            export::begin(service, caller, caller, asked, String::new(), "job".to_owned()).await?;
        let kept = tempfile::tempdir().unwrap();
        let directory = bulk::Directory::at(kept.path());
        directory.save(&job).unwrap();
        if let Some(patients) = patients {
            directory.save_patients("job", &patients).unwrap();
        }
        export::Snapshot { time_ms: job.snapshot_ms }.settle().await;
        let records = export::Records::new(service.clone(), caller.clone(), &job.request, job.snapshot_ms)?;
        let views = job.request.views.as_ref();
        let tables = views.map(|views| export::Compiled::new(service, views, job.snapshot_ms).unwrap());
        let environment = bulk::Environment {
            source: &records,
            output: &directory,
            jobs: &directory,
            url: "http://files.example",
            file_bytes: 1 << 30,
            control: &|| bulk::Control::Go,
            tables: tables.as_ref().map(|tables| tables as &dyn bulk::Tables),
            progress: &|_| (),
        };
        bulk::run(&environment, &mut job).await.unwrap();
        let read =
            |file: &bulk::File| std::fs::read_to_string(kept.path().join("job").join(&file.name)).unwrap();
        let text: String = job.files.iter().map(read).collect();
        let body = OutcomeBody::Other { media_type: "application/fhir+ndjson", bytes: text.into() };
        let status = interaction::Status::Ok;
        Ok(Outcome { status, body, version: None, last_modified: None, location: None })
    }

    /// As `http/fhir.rs` does.
    async fn call(&self, who: Who, request: &Request) -> Result<Outcome, Failure> {
        let (service, caller) = (&self.service, self.caller(who));
        let target = route::target(&request.path).expect("requests have paths of the table");
        let (kind, id, last) = (target.resource_type, target.id, target.last);
        let versions =
            |name: &str| request.header(name).map(|text| VersionMatch::parse(name, text)).transpose();
        let write =
            WriteConditions { if_match: versions("If-Match")?, if_none_match: versions("If-None-Match")? };
        let body = || request.body.clone().unwrap_or_default().into_bytes();
        let document = || PatchDocument { format: PatchFormat::FhirPathPatch, body: body() };
        let (parameters, returns) = (&request.parameters, Return::default());
        match request.interaction() {
            Interaction::Read => {
                interaction::read(service, caller, kind, id, &ReadConditions::default()).await
            }
            Interaction::Vread => {
                interaction::vread(service, caller, kind, id, last, &ReadConditions::default()).await
            }
            Interaction::Create => {
                interaction::create(service, caller, kind, body(), request.header("If-None-Exist"), returns)
                    .await
            }
            Interaction::Update => {
                interaction::update(service, caller, kind, id, body(), &write, returns).await
            }
            Interaction::ConditionalUpdate => {
                interaction::conditional_update(service, caller, kind, parameters, body(), &write, returns)
                    .await
            }
            Interaction::Patch => {
                interaction::patch(service, caller, kind, id, document(), &write, returns).await
            }
            Interaction::ConditionalPatch => {
                interaction::conditional_patch(service, caller, kind, parameters, document(), &write, returns)
                    .await
            }
            Interaction::Delete => interaction::delete(service, caller, kind, id, &write, returns).await,
            Interaction::ConditionalDelete => {
                interaction::conditional_delete(service, caller, kind, parameters, &write, returns).await
            }
            Interaction::DeleteHistory => {
                interaction::delete_history(service, caller, kind, id, returns).await
            }
            Interaction::DeleteHistoryVersion => {
                interaction::delete_history_version(service, caller, kind, id, last, returns).await
            }
            Interaction::HistoryInstance => {
                interaction::history(service, caller, HistoryScope::Instance(Key::new(kind, id)), parameters)
                    .await
            }
            Interaction::HistoryType => {
                interaction::history(service, caller, HistoryScope::Type(kind.into()), parameters).await
            }
            Interaction::HistorySystem => {
                interaction::history(service, caller, HistoryScope::System, parameters).await
            }
            Interaction::SearchType | Interaction::SearchSystem | Interaction::SearchCompartment => {
                let (kind, compartment) = match target.shape {
                    Shape::Compartment | Shape::CompartmentSearch => {
                        (Some(last).filter(|last| *last != "*"), Some((kind, id)))
                    }
                    Shape::System | Shape::SystemSearch => (None, None),
                    _ => (Some(kind), None),
                };
                interaction::search(service, caller, kind, compartment, parameters, Handling::Strict).await
            }
            Interaction::Bundle => interaction::bundle(service, caller, body(), None).await,
            Interaction::Capabilities => {
                let bytes =
                    interaction::capabilities(service, &operations::descriptors(service.limits.erasure));
                let (status, body) = (interaction::Status::Ok, OutcomeBody::Resource(bytes));
                Ok(Outcome { status, body, version: None, last_modified: None, location: None })
            }
            Interaction::Operation if vesta::export::is_export(last) => self.export(who, request).await,
            Interaction::Operation => {
                let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
                let invocation = Invocation {
                    resource_type: some(kind),
                    id: some(id),
                    parameters: parameters.clone(),
                    body: request.body.clone().map(String::into_bytes),
                    is_xml: false,
                    accept: None,
                };
                operations::invoke(service, caller, last, invocation).await
            }
        }
    }
}
