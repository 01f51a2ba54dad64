//! Which tenant a request is for, and what answers it. Without a table there is one tenant and every request is its; with one,
//! a request names its tenant by path or host, and nothing else is served.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use fhirpath::IssueType;
use interaction::{Caller, Failure, Service, Status};
use store::{Access, Tenant};

use super::table::{Row, Table};
use super::usage::{Budget, Usage};
use crate::authorization::{Authority, Authorization};
use crate::open::BASE_PATH;

/// What answers the requests of one tenant at one base URL.
pub struct Site {
    /// What the interactions run on, with the tenant's base URL.
    pub service: Service,
    /// As whom they run where nobody has to say who they are.
    pub caller: Caller,
    /// What says as whom they run, where requests need a token.
    pub authority: Option<Arc<Authority>>,
    /// What it may spend.
    pub budget: Budget,
    /// What it has spent, at all its base URLs.
    pub usage: Arc<Usage>,
    /// Path of its base on this server, `/fhir` or `/t/acme/fhir`.
    pub path: String,
    /// The CapabilityStatement, made when it is first asked for.
    pub capabilities: OnceLock<Bytes>,
    /// The same site with the search parameters that the tenant stored, as it was last asked for.
    pub own: Mutex<Option<Arc<Site>>>,
}

/// By what a request names its tenant. What is given has to agree.
#[derive(Debug, Clone, Copy, Default)]
pub struct Evidence<'r> {
    /// The tenant in the path.
    pub path: Option<&'r str>,
    /// The host it was sent to, without port.
    pub host: Option<&'r str>,
    /// The claim of a token whose signature was verified. Nothing reads one yet, and an unverified one must never
    /// come here.
    pub claim: Option<&'r str>,
}

/// All that is served.
pub struct Directory {
    service: Service,
    authorization: Option<Authorization>,
    current: RwLock<Arc<Sites>>,
}

/// The sites of one table.
#[derive(Default)]
struct Sites {
    /// Of a server without a table.
    only: Option<Arc<Site>>,
    by_path: HashMap<Box<str>, Arc<Site>>,
    by_host: HashMap<Box<str>, Arc<Site>>,
    by_claim: HashMap<Box<str>, Arc<Site>>,
    /// Each tenant, however it is reached.
    all: Vec<(Tenant, Arc<Usage>)>,
}

impl Directory {
    /// Of a table, or of the one tenant of a server without one.
    pub fn new(service: Service, table: Option<&Table>, authorization: Option<Authorization>) -> Directory {
        let parts = Parts { service: &service, authorization: authorization.as_ref() };
        let sites = match table {
            Some(table) => Sites::of(&parts, table, &[]),
            None => Sites::only(&parts),
        };
        Directory { service, authorization, current: RwLock::new(Arc::new(sites)) }
    }

    /// Serves another table from now on; requests under way end as they began.
    pub fn set(&self, table: &Table) {
        let parts = Parts { service: &self.service, authorization: self.authorization.as_ref() };
        let sites = Sites::of(&parts, table, &self.now().all);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(sites);
    }

    fn now(&self) -> Arc<Sites> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The base URL of the server.
    pub fn base(&self) -> &str {
        &self.service.base
    }

    /// What all tenants share.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// What says who may do what, where requests need a token.
    pub fn authorization(&self) -> Option<&Authorization> {
        self.authorization.as_ref()
    }

    /// The site of a request.
    ///
    /// # Errors
    /// NotFound where it names no tenant that is served, or two. Which tenants there are is not said.
    pub fn site(&self, evidence: Evidence<'_>) -> Result<Arc<Site>, Failure> {
        let sites = self.now();
        sites.find(evidence).ok_or_else(|| {
            let details = match evidence.path {
                Some(_) => "No such tenant is served here.",
                None => "No tenant is served at this host; name one by its own host, or in the path: /t/TENANT/fhir.",
            };
            Failure::new(Status::NotFound, IssueType::NotFound, details)
        })
    }

    /// Whether a host is a tenant's own.
    pub fn has_host(&self, host: &str) -> bool {
        self.now().by_host.contains_key(host)
    }

    /// Every tenant, with what it has spent.
    pub fn tenants(&self) -> Vec<(Tenant, Arc<Usage>)> {
        self.now().all.clone()
    }
}

/// What all sites are made of.
struct Parts<'p> {
    service: &'p Service,
    authorization: Option<&'p Authorization>,
}

impl Sites {
    fn only(parts: &Parts<'_>) -> Sites {
        let tenant = Tenant::default_tenant();
        let usage = Arc::<Usage>::default();
        let all = vec![(tenant.clone(), Arc::clone(&usage))];
        let base = parts.service.base.clone();
        let site = site(parts, base, BASE_PATH.to_owned(), tenant, Budget::default(), usage);
        Sites { only: Some(Arc::new(site)), all, ..Sites::default() }
    }

    fn of(parts: &Parts<'_>, table: &Table, before: &[(Tenant, Arc<Usage>)]) -> Sites {
        let mut sites = Sites::default();
        for (tenant, row) in &table.tenants {
            let known = before.iter().find(|(known, _)| known == tenant);
            let usage = known.map(|(_, usage)| Arc::clone(usage)).unwrap_or_default();
            sites.all.push((tenant.clone(), Arc::clone(&usage)));
            sites.add(parts, tenant, row, &usage);
        }
        sites
    }

    fn add(&mut self, parts: &Parts<'_>, tenant: &Tenant, row: &Row, usage: &Arc<Usage>) {
        let service = parts.service;
        let budget = Budget { per_second: row.ru_per_second, per_day: row.ru_per_day };
        let own = row.base_url.as_deref().map(|url| url.trim_end_matches('/').to_owned());
        let at = |base: String, path: String| {
            Arc::new(site(
                parts,
                own.clone().unwrap_or(base),
                path,
                tenant.clone(),
                budget,
                Arc::clone(usage),
            ))
        };
        let name = tenant.as_str();
        let path = format!("/t/{name}{BASE_PATH}");
        let by_path = at(format!("{}{path}", origin(&service.base)), path);
        if row.path {
            self.by_path.insert(name.into(), Arc::clone(&by_path));
        }
        for host in &row.hosts {
            let by_host = at(with_host(&service.base, host), BASE_PATH.to_owned());
            self.by_host.insert(host.as_str().into(), by_host);
        }
        self.by_claim.insert(row.claim.as_deref().unwrap_or(name).into(), by_path);
    }

    fn find(&self, evidence: Evidence<'_>) -> Option<Arc<Site>> {
        if let Some(only) = &self.only {
            // There is no other tenant that could be named.
            return evidence.path.is_none().then(|| Arc::clone(only));
        }
        let host = evidence.host.map(|host| host.to_ascii_lowercase());
        let by_host = host.and_then(|host| self.by_host.get(host.as_str()));
        let by_path = match evidence.path {
            Some(path) => Some(self.by_path.get(path)?),
            None => None,
        };
        let by_claim = match evidence.claim {
            Some(claim) => Some(self.by_claim.get(claim)?),
            None => None,
        };
        let named = [by_path, by_host, by_claim];
        let mut named = named.into_iter().flatten();
        let first = named.next()?;
        // A host of one tenant and a path of another are a request for neither.
        named.all(|other| other.caller.tenant == first.caller.tenant).then(|| Arc::clone(first))
    }
}

fn site(
    parts: &Parts<'_>,
    base: String,
    path: String,
    tenant: Tenant,
    budget: Budget,
    usage: Arc<Usage>,
) -> Site {
    let service = Service { base, ..parts.service.clone() };
    Site {
        authority: parts
            .authorization
            .map(|authorization| Arc::new(authorization.authority(&service, &tenant))),
        service,
        caller: Caller::new(tenant, Access::unrestricted()),
        budget,
        usage,
        path,
        capabilities: OnceLock::new(),
        own: Mutex::default(),
    }
}

/// `https://ehr.example.org` of `https://ehr.example.org/fhir`.
fn origin(base: &str) -> &str {
    let host = base.find("://").map_or(0, |at| at + 3);
    let length = base.get(host..).and_then(|rest| rest.find('/')).unwrap_or(base.len() - host);
    base.get(..host + length).unwrap_or(base)
}

/// The base URL at another host: scheme, port and path are those of the server's.
fn with_host(base: &str, host: &str) -> String {
    let (scheme, rest) = base.split_once("://").unwrap_or(("http", base));
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let after_address = authority.rfind(']').map_or(0, |at| at + 1);
    let port = authority.get(after_address..).and_then(|rest| rest.rfind(':').and_then(|at| rest.get(at..)));
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    format!("{scheme}://{host}{}{path}", port.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use std::path::Path;

    const TABLE: &str = r#"
        [tenants.a]
        hosts = ["a.example.org", "127.0.0.1"]
        [tenants.b]
        claim = "Big Hospital"
        [tenants.c]
        hosts = ["c.example.org"]
        path = false
        base_url = "https://records.c.example.org/r4/"
    "#;

    async fn directory(data: &Path, table: Option<&str>) -> Directory {
        let flags = [("data", vec![data.display().to_string()])];
        let config = config::load(None, &[], &flags).unwrap();
        let table = table.map(|text| Table::parse(text, Path::new("t.toml"), &config).unwrap());
        let service = crate::open::open(&config, table.as_ref(), "http://127.0.0.1:8080/fhir".to_owned())
            .await
            .unwrap();
        Directory::new(service, table.as_ref(), None)
    }

    fn named<'r>(path: &'r str, host: &'r str, claim: &'r str) -> Evidence<'r> {
        let some = |text: &'r str| (!text.is_empty()).then_some(text);
        Evidence { path: some(path), host: some(host), claim: some(claim) }
    }

    #[tokio::test]
    async fn a_tenant_is_named_by_path_host_or_claim() {
        let data = tempfile::tempdir().unwrap();
        let directory = directory(data.path(), Some(TABLE)).await;
        let found = |path: &str, host: &str, claim: &str| match directory.site(named(path, host, claim)) {
            Ok(site) => format!("{} {}", site.caller.tenant.as_str(), site.service.base),
            Err(failure) => {
                assert_eq!(failure.status, Status::NotFound);
                "none".to_owned()
            }
        };
        let cases = [
            ("", "a.example.org", "", "a http://a.example.org:8080/fhir"),
            ("", "A.Example.ORG", "", "a http://a.example.org:8080/fhir"),
            ("", "127.0.0.1", "", "a http://127.0.0.1:8080/fhir"),
            ("a", "a.example.org", "", "a http://127.0.0.1:8080/t/a/fhir"),
            ("b", "elsewhere.org", "", "b http://127.0.0.1:8080/t/b/fhir"),
            ("b", "", "", "b http://127.0.0.1:8080/t/b/fhir"),
            ("b", "a.example.org", "", "none"),
            ("", "c.example.org", "", "c https://records.c.example.org/r4"),
            ("c", "c.example.org", "", "none"),
            ("", "elsewhere.org", "", "none"),
            ("", "", "", "none"),
            ("nobody", "a.example.org", "", "none"),
            ("default", "", "", "none"),
            ("../a", "", "", "none"),
            ("", "elsewhere.org", "Big Hospital", "b http://127.0.0.1:8080/t/b/fhir"),
            ("", "elsewhere.org", "b", "none"),
            ("b", "", "Big Hospital", "b http://127.0.0.1:8080/t/b/fhir"),
            ("a", "", "Big Hospital", "none"),
            ("", "a.example.org", "Big Hospital", "none"),
            ("a", "a.example.org", "a", "a http://127.0.0.1:8080/t/a/fhir"),
            ("", "a.example.org", "nobody", "none"),
        ];
        for (path, host, claim, expected) in cases {
            assert_eq!(found(path, host, claim), expected, "path {path}, host {host}, claim {claim}");
        }
        assert!(directory.has_host("c.example.org") && !directory.has_host("d.example.org"));
    }

    #[tokio::test]
    async fn without_a_table_all_is_the_default_tenant() {
        let data = tempfile::tempdir().unwrap();
        let directory = directory(data.path(), None).await;
        let site = directory.site(named("", "any.example.org", "")).unwrap();
        assert!(site.caller.tenant.is_default());
        assert_eq!(site.service.base, "http://127.0.0.1:8080/fhir");
        assert!(directory.site(named("default", "", "")).is_err());
    }

    #[tokio::test]
    async fn a_new_table_takes_the_place_of_the_old_one_and_counts_on() {
        let data = tempfile::tempdir().unwrap();
        let directory = directory(data.path(), Some(TABLE)).await;
        let before = directory.site(named("b", "", "")).unwrap();
        let config = config::load(None, &[], &[]).unwrap();
        let table = Table::parse("[tenants.b]\n[tenants.d]", Path::new("t.toml"), &config).unwrap();
        directory.set(&table);
        assert!(directory.site(named("a", "", "")).is_err());
        assert!(directory.site(named("d", "", "")).is_ok());
        let after = directory.site(named("b", "", "")).unwrap();
        assert!(Arc::ptr_eq(&before.usage, &after.usage));
    }

    #[test]
    fn bases() {
        for (base, host, expected) in [
            ("https://ehr.example.org/fhir", "a.org", "https://a.org/fhir"),
            ("http://[::1]:8080/fhir", "a.org", "http://a.org:8080/fhir"),
            ("http://[::1]/fhir", "a.org", "http://a.org/fhir"),
            ("http://x:1", "::1", "http://[::1]:1"),
        ] {
            assert_eq!(with_host(base, host), expected);
        }
        assert_eq!(origin("https://ehr.example.org:1/a/b"), "https://ehr.example.org:1");
        assert_eq!(origin("https://ehr.example.org"), "https://ehr.example.org");
    }
}
