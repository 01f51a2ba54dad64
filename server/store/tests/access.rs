//! What a caller with a narrow access decision can see and write, on both engines and by every call of [`Store`].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that panics has failed"
)]

mod fixture;

use engines::Engine;
use fixture::*;
use store::*;

const TYPES: [&str; 3] = ["Patient", "Observation", "Group"];

fn identified(code: &str) -> Filter {
    Filter::Match(IDENTIFIER, Predicate::Token { system: None, code: Some(code.into()) })
}

fn refers(target: &str) -> Filter {
    Filter::Match(SUBJECT, Predicate::Reference(vec![target.into()]))
}

fn chain(target: &str, filter: Filter) -> Filter {
    Filter::Chain { parameter: SUBJECT, targets: vec![(target.into(), filter)] }
}

fn has(resource_type: &str, filter: Filter) -> Filter {
    Filter::Has { resource_type: resource_type.into(), parameter: SUBJECT, filter: Box::new(filter) }
}

/// The same rule for every permission and type.
fn only(rule: &Filter) -> Access {
    Access::granted(TYPES.map(|name| (name.into(), Rules::all(rule.clone()))))
}

/// A store, and whom it answers.
struct World {
    opened: engines::Opened,
    tenant: Tenant,
}

impl World {
    async fn new(engine: Engine) -> World {
        let tenant = Tenant::default_tenant();
        let opened = engine.open_for(FourElements::new(), std::slice::from_ref(&tenant)).await;
        World { opened, tenant }
    }

    fn store(&self) -> &Store {
        &self.opened.store
    }

    async fn write(&self, writes: Vec<Write>) {
        self.store().commit(&self.tenant, &Access::unrestricted(), batch(writes)).await.unwrap();
    }

    async fn commit(
        &self,
        access: &Access,
        preconditions: Vec<Precondition>,
        writes: Vec<Write>,
    ) -> Result<(), CommitError> {
        self.store().commit(&self.tenant, access, Batch { preconditions, writes }).await.map(drop)
    }

    async fn reads(&self, access: &Access, text: &str) -> bool {
        self.store().read(&self.tenant, access, &key(text)).await.unwrap().is_some()
    }

    async fn search(&self, access: &Access, resource_type: Option<&str>, filter: Filter) -> Vec<String> {
        let query = Query {
            resource_type: resource_type.map(Into::into),
            filter,
            sort: Vec::new(),
            after: None,
            limit: 100,
            total: true,
        };
        let page = self.store().search(&self.tenant, access, &query).await.unwrap();
        assert_eq!(page.total, Some(page.matches.len() as u64));
        page.matches.iter().map(|version| version.key.as_str().to_owned()).collect()
    }

    async fn history(&self, access: &Access, scope: HistoryScope) -> (Vec<String>, Option<u64>) {
        let query = HistoryQuery { scope, since: None, at: None, after: None, limit: 100 };
        let page = self.store().history(&self.tenant, access, &query).await.unwrap();
        (page.versions.iter().map(|v| format!("{} {}", v.key.as_str(), v.version)).collect(), page.total)
    }
}

/// Runs a case on each engine.
async fn on_both(case: impl AsyncFn(World)) {
    for engine in [Engine::Embedded, Engine::Cosmos] {
        case(World::new(engine).await).await;
    }
}

/// `Patient/in` and `Group/in` fulfil `identifier=x`, `Patient/out` did and does not, the deleted `Patient/gone` did.
async fn sample(world: &World) {
    let (within, out, gone) = (key("Patient/in"), key("Patient/out"), key("Patient/gone"));
    for writes in [
        vec![put(&within, 0, ""), put(&out, 0, r#""identifier":"x""#)],
        vec![put(&within, 1, r#""identifier":"x""#), put(&out, 1, r#""subject":"Patient/secret""#)],
        vec![put(&key("Group/in"), 0, r#""identifier":"x","subject":"Patient/in""#)],
        vec![put(&gone, 0, r#""identifier":"x""#)],
        vec![delete(&gone, 1)],
    ] {
        world.write(writes).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_read_heeds_the_decision() {
    on_both(async |world| {
        sample(&world).await;
        let (store, tenant) = (world.store(), &world.tenant);
        let (some, none) = (only(&identified("x")), only(&Filter::None));
        for (text, seen) in [("Patient/in", true), ("Patient/out", false), ("Patient/gone", false)] {
            assert!(world.reads(&Access::unrestricted(), text).await);
            assert_eq!(world.reads(&some, text).await, seen, "{text}");
            assert!(!world.reads(&none, text).await, "{text}");
            let key = key(text);
            // The first version of the one that is seen lay outside; that of the others within.
            assert!(store.vread(tenant, &some, &key, 1).await.unwrap().is_none(), "{text}");
            assert_eq!(store.vread(tenant, &some, &key, 2).await.unwrap().is_some(), seen, "{text}");
            assert!(store.vread(tenant, &none, &key, 2).await.unwrap().is_none(), "{text}");
            let (versions, total) = world.history(&some, HistoryScope::Instance(key)).await;
            assert_eq!((versions.len(), total), (usize::from(seen), Some(u64::from(seen))), "{text}");
        }
        let system = ["Group/in 1", "Patient/in 2"].map(str::to_owned).to_vec();
        assert_eq!(world.history(&some, HistoryScope::System).await, (system.clone(), None));
        let patients = HistoryScope::Type("Patient".into());
        assert_eq!(world.history(&some, patients.clone()).await, (system[1..].to_vec(), None));
        assert_eq!(world.history(&none, patients).await, (Vec::new(), None));
        assert_eq!(world.search(&some, None, Filter::All).await, ["Patient/in", "Group/in"]);
        assert_eq!(world.search(&some, Some("Patient"), Filter::All).await, ["Patient/in"]);
        assert_eq!(world.search(&none, None, Filter::All).await, [""; 0]);

        let changes = store.changes(tenant, &some, 0, 100).await.unwrap();
        let changed: Vec<&str> = changes.iter().map(|change| change.key.as_str()).collect();
        assert_eq!(changed, ["Patient/in", "Patient/in", "Group/in"]);
        let changes = store.changes(tenant, &some, 1, 1).await.unwrap();
        assert_eq!(changes.iter().map(|change| change.sequence).collect::<Vec<_>>(), [2]);
        let mut counts = store.counts(tenant, &some).await.unwrap();
        counts.sort();
        assert_eq!(counts, [("Group".into(), 1), ("Patient".into(), 1)]);
        assert_eq!(store.counts(tenant, &none).await.unwrap(), []);
        let from = [key("Patient/out"), key("Group/in")];
        let targets = store.references(tenant, &some, &from, &[SUBJECT]).await.unwrap();
        assert_eq!(targets, [Box::from("Patient/in")]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_is_permitted_before_and_after_a_write() {
    on_both(async |world| {
        sample(&world).await;
        let some = only(&identified("x"));
        let forbidden = |answer: Result<(), CommitError>| match answer {
            Err(CommitError::Forbidden { write }) => Some(write),
            Ok(()) => None,
            Err(other) => panic!("{other}"),
        };
        let x = r#""identifier":"x""#;
        for (what, write, expected) in [
            ("create outside", put(&key("Patient/n1"), 0, ""), Some(0)),
            ("create within", put(&key("Patient/n2"), 0, x), None),
            ("update from outside", put(&key("Patient/out"), 2, x), Some(0)),
            ("update to the outside", put(&key("Patient/in"), 2, ""), Some(0)),
            ("delete outside", delete(&key("Patient/out"), 2), Some(0)),
            ("make again what was deleted", put(&key("Patient/gone"), 2, x), Some(0)),
            ("update within", put(&key("Patient/in"), 2, r#""identifier":"x","name":"n""#), None),
            ("delete within", delete(&key("Patient/in"), 3), None),
        ] {
            assert_eq!(forbidden(world.commit(&some, Vec::new(), vec![write]).await), expected, "{what}");
        }
        let both = vec![put(&key("Patient/n3"), 0, x), put(&key("Patient/n4"), 0, "")];
        assert_eq!(forbidden(world.commit(&some, Vec::new(), both).await), Some(1));
        assert!(!world.reads(&Access::unrestricted(), "Patient/n3").await, "nothing of it was written");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn preconditions_see_what_is_permitted() {
    on_both(async |world| {
        sample(&world).await;
        world
            .write(vec![put(&key("Observation/of-out"), 0, r#""identifier":"x","subject":"Patient/out""#)])
            .await;
        let some = only(&identified("x"));
        let holds = async |condition| match world.commit(&some, vec![condition], Vec::new()).await {
            Ok(()) => true,
            Err(CommitError::Precondition { precondition: 0 }) => false,
            Err(other) => panic!("{other}"),
        };
        let no_match = |resource_type: &str, filter| Precondition::NoMatch {
            resource_type: resource_type.into(),
            filter,
        };
        assert!(holds(Precondition::Exists(key("Patient/in"))).await);
        assert!(!holds(Precondition::Exists(key("Patient/out"))).await);
        assert!(holds(no_match("Patient", refers("Patient/secret"))).await);
        assert!(!holds(no_match("Patient", identified("x"))).await);
        // The Observation may be seen, the patient it is about may not.
        assert!(holds(no_match("Observation", chain("Patient", Filter::All))).await);
        assert!(!holds(no_match("Group", chain("Patient", Filter::All))).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chains_lead_through_what_may_be_seen() {
    on_both(async |world| {
        sample(&world).await;
        let of_out = r#""identifier":"x","subject":"Patient/out""#;
        let hidden = r#""subject":"Patient/in","name":"hidden""#;
        world.write(vec![put(&key("Observation/a"), 0, of_out), put(&key("Observation/b"), 0, hidden)]).await;
        let some = only(&identified("x"));
        for (resource_type, filter, open, held) in [
            ("Observation", chain("Patient", Filter::All), &["Observation/a", "Observation/b"][..], &[][..]),
            ("Group", chain("Patient", Filter::All), &["Group/in"], &["Group/in"]),
            ("Patient", has("Observation", Filter::All), &["Patient/in", "Patient/out"], &[]),
            ("Patient", has("Group", Filter::All), &["Patient/in"], &["Patient/in"]),
            ("Group", chain("Patient", has("Observation", Filter::All)), &["Group/in"], &[]),
            ("Group", chain("Patient", has("Group", identified("x"))), &["Group/in"], &["Group/in"]),
        ] {
            let asked = Some(resource_type);
            let mut all = world.search(&Access::unrestricted(), asked, filter.clone()).await;
            all.sort();
            assert_eq!(all, open, "{filter:?}");
            assert_eq!(world.search(&some, asked, filter.clone()).await, held, "{filter:?}");
        }
    })
    .await;
}

/// A rule with chains sees everything: held to itself it would have no end.
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_may_have_chains() {
    on_both(async |world| {
        sample(&world).await;
        world.write(vec![put(&key("Observation/a"), 0, r#""subject":"Patient/out","name":"a""#)]).await;
        world.write(vec![put(&key("Observation/b"), 0, r#""subject":"Patient/in","name":"b""#)]).await;
        // Each type by the other: Patients that an Observation `a` is about, and what is about such Patients.
        let named = |name: &str| Filter::Match(NAME, Predicate::String(StringMatch::Exact, name.into()));
        let patients = has("Observation", named("a"));
        let about = chain("Patient", patients.clone());
        let access = Access::granted([
            ("Patient".into(), Rules::all(patients)),
            ("Observation".into(), Rules::all(about)),
        ]);
        for (text, seen) in
            [("Patient/in", false), ("Patient/out", true), ("Observation/a", true), ("Observation/b", false)]
        {
            assert_eq!(world.reads(&access, text).await, seen, "{text}");
        }
        assert_eq!(world.search(&access, None, Filter::All).await, ["Patient/out", "Observation/a"]);
        let through = chain("Patient", has("Observation", Filter::All));
        assert_eq!(world.search(&access, Some("Observation"), through).await, ["Observation/a"]);
        let system = world.history(&access, HistoryScope::System).await.0;
        assert_eq!(system, ["Observation/a 1", "Patient/out 2", "Patient/out 1"]);
        let new =
            |name: &str, of: &str| put(&key(name), 0, &format!(r#""subject":"Patient/{of}","name":"n""#));
        assert!(world.commit(&access, Vec::new(), vec![new("Observation/n1", "out")]).await.is_ok());
        let answer = world.commit(&access, Vec::new(), vec![new("Observation/n2", "in")]).await;
        assert!(matches!(answer, Err(CommitError::Forbidden { write: 0 })), "{answer:?}");
    })
    .await;
}

/// Each permission has its own rule.
#[tokio::test(flavor = "multi_thread")]
async fn permissions_are_apart() {
    on_both(async |world| {
        world
            .write(
                ["r", "u", "d", "s"].map(|id| put(&key(&format!("Patient/{id}")), 0, r#""name":"n""#)).into(),
            )
            .await;
        let id = |id: &str| Filter::Ids(vec![id.into()]);
        let rules =
            Rules { create: id("c"), read: id("r"), update: id("u"), delete: id("d"), search: id("s") };
        let access = Access::granted([("Patient".into(), rules)]);
        for (one, permission) in
            [("r", Permission::Read), ("u", Permission::Update), ("d", Permission::Delete)]
        {
            for other in ["r", "u", "d", "s"] {
                let text = format!("Patient/{other}");
                assert_eq!(
                    world.reads(&access.to(permission), &text).await,
                    one == other,
                    "{text} {permission:?}"
                );
            }
        }
        assert!(world.reads(&access, "Patient/r").await);
        assert_eq!(world.search(&access, Some("Patient"), Filter::All).await, ["Patient/s"]);
        assert_eq!(world.search(&access.to(Permission::Read), None, Filter::All).await, ["Patient/r"]);
        for (write, permitted) in [
            (put(&key("Patient/c"), 0, ""), true),
            (put(&key("Patient/e"), 0, ""), false),
            (put_as(&key("Patient/e"), 0, "", Method::Put), false),
            (put(&key("Patient/u"), 1, ""), true),
            (put(&key("Patient/r"), 1, ""), false),
            (put_as(&key("Patient/s"), 1, "", Method::Patch), false),
            (delete(&key("Patient/d"), 1), true),
            (delete(&key("Patient/u"), 2), false),
        ] {
            let what = format!("{write:?}");
            assert_eq!(world.commit(&access, Vec::new(), vec![write]).await.is_ok(), permitted, "{what}");
        }
    })
    .await;
}
