//! What patients withhold: active Consents (<https://hl7.org/fhir/R4/consent.html>) of the scope `patient-privacy`, read as IHE's
//! Privacy Consent on FHIR does (<https://profiles.ihe.net/ITI/PCF/>), as far as they are about the holder of a token.
//!
//! The base is `policyRule`: `OPTOUT` withholds all, anything else nothing. A provision decides for what it covers, and one within
//! it for what that covers; of two beside each other the one that denies wins. It covers by `actor` (Practitioner,
//! PractitionerRole and Organization of the user, other users' own resources, apps by a reference of type Device with their client_id as identifier),
//! `period`, `class` (types of resources) and `securityLabel`. Whatever else it has (`purpose`, `action`, `code`, `data`) cannot be
//! judged here: a provision that denies is held to without it, one that permits is not held to. Nobody's own record is withheld
//! from them.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use interaction::Service;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use store::{Access, Cursor, Key, Page, Query, StoreError, Tenant, Version};

/// How many Consents are read at a time.
const PAGE: usize = 500;
/// The most roles of a user that are looked at.
const MAX_ROLES: usize = 200;
/// How long what another process wrote may be unknown, as for tokens that it revoked.
const HOLDS: Duration = Duration::from_secs(super::bearer::HOLDS_S);
const PRIVACY: &str = "patient-privacy";
const TYPES: &str = "http://hl7.org/fhir/resource-types";

/// What a patient withholds from the holder of a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withheld {
    /// The patient's id.
    pub patient: String,
    /// What of the patient's compartment.
    pub part: Part,
}

/// A part of a patient's compartment, and what is decided of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Part {
    /// Whether it is withheld.
    pub denies: bool,
    /// Resources of these types; of all, if there are none.
    pub types: Vec<String>,
    /// Those with one of these security labels, `system|code`; all, if there are none.
    pub labels: Vec<String>,
    /// Of what within it something else is decided.
    pub within: Vec<Part>,
}

/// The active Consents of the tenants that withhold anything from anybody. Shared by all who ask.
#[derive(Default)]
pub struct Consents(RwLock<HashMap<Tenant, Known>>);

struct Known {
    /// [`interaction::Rulings`] before they were read.
    rulings: u64,
    at: Instant,
    all: Arc<Vec<Consent>>,
}

/// For whom somebody asks.
struct Asking {
    /// References of the user's own resource, and of whom they act for.
    users: Vec<String>,
    client: Option<String>,
    now_ms: i64,
    /// When the answer may be another, if that is known.
    until_ms: Option<i64>,
}

/// What is read of a Consent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    #[serde(default)]
    scope: Concept,
    patient: Option<Reference>,
    #[serde(default)]
    policy_rule: Concept,
    provision: Option<Rule>,
}

#[derive(Default, Deserialize)]
struct Concept {
    #[serde(default)]
    coding: Vec<Coding>,
}

#[derive(Deserialize)]
struct Coding {
    system: Option<String>,
    code: Option<String>,
}

#[derive(Default, Deserialize)]
struct Reference {
    reference: Option<String>,
    #[serde(rename = "type")]
    of_type: Option<String>,
    identifier: Option<Identifier>,
}

#[derive(Deserialize)]
struct Identifier {
    value: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rule {
    #[serde(rename = "type")]
    code_of_type: Option<String>,
    period: Period,
    actor: Vec<Role>,
    class: Vec<Coding>,
    security_label: Vec<Coding>,
    action: Vec<IgnoredAny>,
    purpose: Vec<IgnoredAny>,
    code: Vec<IgnoredAny>,
    data: Vec<IgnoredAny>,
    data_period: Option<IgnoredAny>,
    provision: Vec<Rule>,
}

#[derive(Default, Deserialize)]
struct Period {
    start: Option<String>,
    end: Option<String>,
}

#[derive(Deserialize)]
struct Role {
    #[serde(default)]
    reference: Reference,
}

/// What is read of a PractitionerRole.
#[derive(Deserialize)]
struct Work {
    active: Option<bool>,
    practitioner: Option<Reference>,
    organization: Option<Reference>,
}

#[derive(Debug, PartialEq, Eq)]
struct Consent {
    patient: String,
    base_denies: bool,
    provision: Option<Provision>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Provision {
    denies: Option<bool>,
    /// From and until when, milliseconds; the end is exclusive.
    period: (Option<i64>, Option<i64>),
    actors: Vec<Actor>,
    types: Vec<String>,
    labels: Vec<String>,
    /// Whether it has what cannot be judged.
    is_obscure: bool,
    provisions: Vec<Provision>,
}

#[derive(Debug, PartialEq, Eq)]
enum Actor {
    /// `Practitioner/1`.
    User(String),
    /// A client_id.
    App(String),
    /// A group of people, or somebody who is only named.
    Obscure,
}

impl Consents {
    /// What patients withhold from a user, who asks through an app, or from an app by itself; and until when, in seconds of the Unix
    /// epoch, that is so for sure.
    ///
    /// # Errors
    /// The store failed.
    pub async fn withheld(
        &self,
        service: &Service,
        tenant: &Tenant,
        user: Option<&str>,
        client: Option<&str>,
    ) -> Result<(Vec<Withheld>, Option<i64>), StoreError> {
        let all = self.all(service, tenant).await?;
        if all.is_empty() {
            return Ok((Vec::new(), None));
        }
        let own = user.and_then(|user| local(&service.base, user));
        let mut asking = Asking {
            users: match &own {
                Some(own) => acting_for(service, tenant, own).await?,
                None => Vec::new(),
            },
            client: client.map(str::to_owned),
            now_ms: (service.clock)().0,
            until_ms: None,
        };
        let mut withheld = Vec::new();
        for consent in all.iter() {
            let is_own =
                own.as_deref().and_then(|own| own.strip_prefix("Patient/")) == Some(&consent.patient);
            if let Some(part) = consent.part(&mut asking).filter(|_| !is_own) {
                withheld.push(Withheld { patient: consent.patient.clone(), part });
            }
        }
        Ok((withheld, asking.until_ms.map(|until_ms| until_ms.div_euclid(1000))))
    }

    async fn all(&self, service: &Service, tenant: &Tenant) -> Result<Arc<Vec<Consent>>, StoreError> {
        let rulings = service.rulings.count();
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(tenant)
            && known.rulings == rulings
            && (!service.store.is_metered() || known.at.elapsed() < HOLDS)
        {
            return Ok(Arc::clone(&known.all));
        }
        let at = Instant::now();
        let all = Arc::new(read(service, tenant).await?);
        let known = Known { rulings, at, all: Arc::clone(&all) };
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(tenant.clone(), known);
        Ok(all)
    }
}

/// The active Consents that withhold anything.
async fn read(service: &Service, tenant: &Tenant) -> Result<Vec<Consent>, StoreError> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = found(service, tenant, ("Consent", "status=active"), PAGE, after).await?;
        for version in &page.matches {
            all.extend(Consent::of(&service.base, stored(version)?));
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(all),
        }
    }
}

fn stored<T: DeserializeOwned>(version: &Version) -> Result<T, StoreError> {
    let damaged = |error| StoreError::Damaged(format!("{}: {error}", version.key.as_str()));
    serde_json::from_slice(&version.body).map_err(damaged)
}

async fn found(
    service: &Service,
    tenant: &Tenant,
    (of, query): (&str, &str),
    limit: usize,
    after: Option<Cursor>,
) -> Result<Page, StoreError> {
    let filter = interaction::criteria(service, of, query)
        .map_err(|_| StoreError::Storage(format!("the definitions do not know {of}?{query}")))?;
    let query =
        Query { resource_type: Some(of.into()), filter, sort: Vec::new(), after, limit, total: false };
    service.store.search(tenant, &Access::unrestricted(), &query).await
}

/// The reference of a resource here, without the base URL.
fn local(base: &str, reference: &str) -> Option<String> {
    let below = reference.strip_prefix(base).and_then(|rest| rest.strip_prefix('/'));
    Key::parse(below.unwrap_or(reference)).map(|key| key.as_str().to_owned())
}

/// A user's own resource, and for a Practitioner or a PractitionerRole whom else they act for.
async fn acting_for(service: &Service, tenant: &Tenant, own: &str) -> Result<Vec<String>, StoreError> {
    let mut users = vec![own.to_owned()];
    let query = match own.split_once('/') {
        Some(("Practitioner", _)) => format!("practitioner={own}"),
        Some(("PractitionerRole", id)) => format!("_id={id}"),
        _ => return Ok(users),
    };
    let roles = found(service, tenant, ("PractitionerRole", &query), MAX_ROLES, None).await?;
    for version in &roles.matches {
        let Work { active, practitioner, organization } = stored(version)?;
        if active == Some(false) {
            continue;
        }
        users.push(version.key.as_str().to_owned());
        let named = [practitioner, organization].into_iter().flatten().filter_map(|named| named.reference);
        users.extend(named.filter_map(|reference| local(&service.base, &reference)));
    }
    Ok(users)
}

impl Concept {
    fn has(&self, codes: &[&str]) -> bool {
        self.coding.iter().filter_map(|coding| coding.code.as_deref()).any(|code| codes.contains(&code))
    }
}

impl Consent {
    /// `None` for one that is about something else, or withholds nothing.
    fn of(base: &str, stored: Stored) -> Option<Consent> {
        if !stored.scope.has(&[PRIVACY]) {
            return None;
        }
        let patient = local(base, &stored.patient?.reference?)?;
        let consent = Consent {
            patient: patient.strip_prefix("Patient/")?.to_owned(),
            base_denies: stored.policy_rule.has(&["OPTOUT", "OPTOUTE"]),
            provision: stored.provision.map(|rule| Provision::of(base, rule)),
        };
        let denies = consent.base_denies || consent.provision.as_ref().is_some_and(Provision::may_deny);
        denies.then_some(consent)
    }

    /// What it withholds; `None` if nothing.
    fn part(&self, asking: &mut Asking) -> Option<Part> {
        let whole = |within: Vec<Part>| Part {
            denies: self.base_denies,
            types: Vec::new(),
            labels: Vec::new(),
            within,
        };
        let part = match &self.provision {
            None => whole(Vec::new()),
            Some(provision) => whole(provision.parts(self.base_denies, asking)),
        };
        part.may_deny().then_some(part)
    }
}

impl Part {
    fn may_deny(&self) -> bool {
        self.denies || self.within.iter().any(Part::may_deny)
    }
}

impl Provision {
    fn of(base: &str, rule: Rule) -> Provision {
        let unjudged = [&rule.action, &rule.purpose, &rule.code, &rule.data];
        let mut is_obscure = unjudged.iter().any(|all| !all.is_empty()) || rule.data_period.is_some();
        let mut types = Vec::new();
        for class in rule.class {
            match class.code.filter(|_| class.system.as_deref() == Some(TYPES)) {
                Some(code) => types.push(code),
                None => is_obscure = true,
            }
        }
        let mut labels = Vec::new();
        for label in rule.security_label {
            match label.code.filter(|code| !code.contains([',', '|', '\\', '&'])) {
                Some(code) => labels.push(format!("{}|{code}", label.system.unwrap_or_default())),
                None => is_obscure = true,
            }
        }
        let (start, end) = (rule.period.start.as_deref(), rule.period.end.as_deref());
        let (from, until) = (start.and_then(instants), end.and_then(instants));
        is_obscure |= start.is_some() != from.is_some() || end.is_some() != until.is_some();
        Provision {
            denies: rule.code_of_type.map(|code| code != "permit"),
            period: (from.map(|(start, _)| start), until.map(|(_, end)| end)),
            actors: rule.actor.into_iter().map(|role| Actor::of(base, role.reference)).collect(),
            types,
            labels,
            is_obscure,
            provisions: rule.provision.into_iter().map(|within| Provision::of(base, within)).collect(),
        }
    }

    fn may_deny(&self) -> bool {
        self.denies == Some(true)
            || self.provisions.iter().any(|within| within.denies.is_none() || within.may_deny())
    }

    /// What it decides for somebody: `otherwise`, where it does not say. Nothing if it is not about them, or not now.
    fn parts(&self, otherwise: bool, asking: &mut Asking) -> Vec<Part> {
        let denies = self.denies.unwrap_or(otherwise);
        if !self.is_about(denies, asking) || !self.is_now(asking) {
            return Vec::new();
        }
        // A provision within another says what it decides; one that does not, denies.
        let within = self.provisions.iter().flat_map(|within| within.parts(true, asking));
        if self.is_obscure && !denies {
            // Perhaps it is not about them: what is withheld within it is, what is permitted is not held to.
            return within.filter(|part| part.denies).collect();
        }
        let within = within.collect();
        vec![Part { denies, types: self.types.clone(), labels: self.labels.clone(), within }]
    }

    fn is_about(&self, denies: bool, asking: &Asking) -> bool {
        let is_one = |actor: &Actor| match actor {
            // For whom an app acts by itself is not known.
            Actor::User(reference) => asking.users.contains(reference) || denies && asking.users.is_empty(),
            Actor::App(id) => asking.client.as_ref() == Some(id),
            Actor::Obscure => denies,
        };
        self.actors.is_empty() || self.actors.iter().any(is_one)
    }

    fn is_now(&self, asking: &mut Asking) -> bool {
        let (start, end) = self.period;
        let next = [start, end].into_iter().flatten().filter(|at| *at > asking.now_ms);
        asking.until_ms = asking.until_ms.into_iter().chain(next).min();
        start.is_none_or(|start| start <= asking.now_ms) && end.is_none_or(|end| asking.now_ms < end)
    }
}

impl Actor {
    fn of(base: &str, reference: Reference) -> Actor {
        let Some(text) = reference.reference else {
            let id = reference.identifier.and_then(|identifier| identifier.value);
            let app = id.filter(|_| reference.of_type.as_deref() == Some("Device"));
            return app.map_or(Actor::Obscure, Actor::App);
        };
        match local(base, &text) {
            Some(key) if key.starts_with("Group/") || key.starts_with("CareTeam/") => Actor::Obscure,
            Some(key) => Actor::User(key),
            // Somebody elsewhere is nobody here; what is contained is not looked at.
            None if text.contains("://") => Actor::User(text),
            None => Actor::Obscure,
        }
    }
}

/// When a dateTime begins and ends, milliseconds; the end is exclusive. Without a zone it is UTC.
fn instants(text: &str) -> Option<(i64, i64)> {
    if text.contains('T') {
        let at = text.parse::<jiff::Timestamp>().ok()?.as_millisecond();
        return Some((at, at + 1));
    }
    let mut parts = text.splitn(3, '-').map(|part| part.parse::<i16>().ok());
    let (year, month, day) = (parts.next()??, parts.next(), parts.next());
    let first = |year: i16, month: Option<Option<i16>>, day: Option<Option<i16>>| {
        let of = |part: Option<Option<i16>>| part.map_or(Some(1), |part| i8::try_from(part?).ok());
        jiff::civil::Date::new(year, of(month)?, of(day)?).ok()
    };
    let start = first(year, month, day)?;
    let length = match (month, day) {
        (None, _) => jiff::Span::new().years(1),
        (_, None) => jiff::Span::new().months(1),
        _ => jiff::Span::new().days(1),
    };
    let at = |date: jiff::civil::Date| {
        Some(date.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
    };
    Some((at(start)?, at(start.checked_add(length).ok()?)?))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW_MS: i64 = 1_795_000_000_000; // 2026-11-18

    fn consent(policy: &str, provision: Value) -> Option<Consent> {
        let mut resource = json!({"resourceType": "Consent", "status": "active",
            "scope": {"coding": [{"code": "patient-privacy"}]}, "patient": {"reference": "Patient/p"},
            "policyRule": {"coding": [{"code": policy}]}});
        if !provision.is_null() {
            resource["provision"] = provision;
        }
        of(resource)
    }

    fn of(resource: Value) -> Option<Consent> {
        Consent::of("https://ehr.example/fhir", serde_json::from_value(resource).unwrap())
    }

    fn asking(users: &[&str], client: &str) -> Asking {
        let users = users.iter().map(|user| (*user).to_owned()).collect();
        Asking { users, client: Some(client.to_owned()), now_ms: NOW_MS, until_ms: None }
    }

    /// What a doctor of an organization is told, as `deny`, `permit`, with types and labels, and what is within.
    fn told(policy: &str, provision: Value) -> String {
        fn text(part: &Part) -> String {
            let word = if part.denies { "deny" } else { "permit" };
            let of: Vec<String> = part.types.iter().chain(&part.labels).cloned().collect();
            let within: Vec<String> = part.within.iter().map(text).collect();
            format!(
                "{word}{}{}",
                of.join(","),
                within.iter().map(|text| format!("({text})")).collect::<String>()
            )
        }
        let part = consent(policy, provision).and_then(|consent| {
            consent.part(&mut asking(&["Practitioner/1", "PractitionerRole/r", "Organization/o"], "app"))
        });
        part.as_ref().map(text).unwrap_or_default()
    }

    #[test]
    fn what_is_withheld_from_a_doctor() {
        let actor = |reference: &str| json!([{"reference": {"reference": reference}}]);
        let class = |code: &str| json!([{"system": TYPES, "code": code}]);
        for (policy, provision, expected) in [
            ("OPTIN", json!(null), ""),
            ("OPTOUT", json!(null), "deny"),
            ("OPTIN", json!({"period": {"start": "1964-01-01"}}), ""),
            ("OPTIN", json!({"type": "deny"}), "permit(deny)"),
            ("OPTIN", json!({"type": "deny", "actor": actor("Practitioner/1")}), "permit(deny)"),
            (
                "OPTIN",
                json!({"type": "deny", "actor": actor("https://ehr.example/fhir/Practitioner/1")}),
                "permit(deny)",
            ),
            ("OPTIN", json!({"type": "deny", "actor": actor("Practitioner/2")}), ""),
            ("OPTIN", json!({"type": "deny", "actor": actor("https://other.example/Practitioner/1")}), ""),
            ("OPTIN", json!({"type": "deny", "actor": actor("Organization/o")}), "permit(deny)"),
            ("OPTIN", json!({"type": "deny", "actor": actor("CareTeam/1")}), "permit(deny)"),
            ("OPTIN", json!({"type": "deny", "actor": actor("#inside")}), "permit(deny)"),
            (
                "OPTIN",
                json!({"type": "deny", "actor": [{"reference": {"display": "Somebody"}}]}),
                "permit(deny)",
            ),
            (
                "OPTIN",
                json!({"type": "deny", "actor": [{"reference": {"type": "Device", "identifier": {"value": "app"}}}]}),
                "permit(deny)",
            ),
            (
                "OPTIN",
                json!({"type": "deny", "actor": [{"reference": {"type": "Device", "identifier": {"value": "other"}}}]}),
                "",
            ),
            ("OPTIN", json!({"type": "deny", "class": class("Observation")}), "permit(denyObservation)"),
            (
                "OPTIN",
                json!({"type": "deny", "class": [{"system": "urn:other", "code": "x"}]}),
                "permit(deny)",
            ),
            ("OPTIN", json!({"type": "deny", "purpose": [{"code": "TREAT"}]}), "permit(deny)"),
            (
                "OPTIN",
                json!({"type": "deny", "securityLabel": [{"system": "urn:c", "code": "R"}]}),
                "permit(denyurn:c|R)",
            ),
            ("OPTOUT", json!({"type": "permit", "actor": actor("Practitioner/1")}), "deny(permit)"),
            ("OPTOUT", json!({"type": "permit", "actor": actor("Practitioner/2")}), "deny"),
            ("OPTOUT", json!({"type": "permit", "actor": actor("CareTeam/1")}), "deny"),
            ("OPTOUT", json!({"type": "permit", "purpose": [{"code": "TREAT"}]}), "deny"),
            (
                "OPTIN",
                json!({"type": "permit", "purpose": [{"code": "TREAT"}], "provision": [{"type": "deny"}, {"type": "permit"}]}),
                "permit(deny)",
            ),
            (
                "",
                json!({"type": "permit", "provision": [{"type": "deny", "class": class("Condition"), "provision": [
                {"type": "permit", "actor": actor("Practitioner/1")}]}]}),
                "permit(permit(denyCondition(permit)))",
            ),
            (
                "",
                json!({"type": "permit", "provision": [{"class": class("Condition")}]}),
                "permit(permit(denyCondition))",
            ),
            ("", json!({"type": "deny", "period": {"end": "2026-11"}}), "permit(deny)"),
            ("", json!({"type": "deny", "period": {"end": "2026-10"}}), ""),
            ("", json!({"type": "deny", "period": {"start": "2027"}}), ""),
            (
                "",
                json!({"type": "deny", "period": {"start": "2026-11-18T00:00:00Z", "end": "2026-11-19"}}),
                "permit(deny)",
            ),
            ("", json!({"type": "deny", "period": {"start": "soon"}}), "permit(deny)"),
        ] {
            assert_eq!(told(policy, provision.clone()), expected, "{policy} {provision}");
        }
    }

    #[test]
    fn other_scopes_and_other_subjects_withhold_nothing() {
        let other = json!({"scope": {"coding": [{"code": "research"}]}, "patient": {"reference": "Patient/p"},
            "policyRule": {"coding": [{"code": "OPTOUT"}]}});
        assert_eq!(of(other), None);
        let group = json!({"scope": {"coding": [{"code": "patient-privacy"}]}, "patient": {"reference": "Group/g"},
            "policyRule": {"coding": [{"code": "OPTOUT"}]}});
        assert_eq!(of(group), None);
    }

    #[test]
    fn for_whom_an_app_acts_by_itself_is_not_known() {
        let denies = json!({"type": "deny", "actor": [{"reference": {"reference": "Organization/o"}}]});
        let consent = consent("OPTIN", denies).unwrap();
        assert!(consent.part(&mut asking(&[], "backend")).is_some());
        assert!(consent.part(&mut asking(&["Practitioner/7"], "app")).is_none());
    }

    #[test]
    fn a_period_says_until_when() {
        let denies = json!({"type": "deny", "period": {"start": "2026-12-01", "end": "2027"}});
        let (consent, mut asking) = (consent("", denies).unwrap(), asking(&[], "app"));
        assert!(consent.part(&mut asking).is_none());
        assert_eq!(asking.until_ms, instants("2026-12-01").map(|(start, _)| start));
    }

    #[test]
    fn dates_are_as_long_as_they_say() {
        let days = |text: &str| instants(text).map(|(start, end)| (end - start) / 86_400_000);
        assert_eq!(
            (days("2026"), days("2028"), days("2026-02"), days("2026-11-22")),
            (Some(365), Some(366), Some(28), Some(1))
        );
        assert_eq!(
            instants("2026-11-22T02:00:00+02:00").map(|(start, _)| start),
            instants("2026-11-22").map(|(start, _)| start)
        );
        for bad in ["", "soon", "2026-13", "2026-11-31", "2026-11-22T02:00", "1-1-1-1"] {
            assert_eq!(instants(bad), None, "{bad}");
        }
    }
}
