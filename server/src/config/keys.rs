//! The table of configuration keys. It is the only list of them: the struct, the parsing, the flags and
//! `vesta config` come from it.

use std::net::SocketAddr;
use std::path::PathBuf;

use conformance::UsCore;
use interaction::ValidationLevel;

use super::{AuditLog, EngineKind, Identity, Key, KeyType, LogFormat, Networks, Registration, Secret};

macro_rules! keys {
    ($( $(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:literal; )+) => {
        /// The configuration of one process.
        #[derive(Debug, Clone)]
        pub struct Config {
            $( $(#[doc = $doc])+ pub $name: $type, )+
        }

        impl Config {
            /// Every key at a value of its type; the defaults are applied over it.
            pub(super) fn blank() -> Config {
                Config { $( $name: <$type as KeyType>::blank(), )+ }
            }
        }

        /// All keys, the usual ones first.
        pub const KEYS: &[Key] = &[
            $( Key {
                name: stringify!($name),
                type_name: <$type as KeyType>::NAME,
                is_list: <$type as KeyType>::IS_LIST,
                is_secret: <$type as KeyType>::IS_SECRET,
                default: $default,
                doc: concat!($($doc, "\n"),+),
                set: |config, texts| match <$type as KeyType>::read(texts) {
                    Some(value) => {
                        config.$name = value;
                        true
                    }
                    None => false,
                },
            }, )+
        ];
    };
}

keys! {
    /// Directory of the data; made if it is missing.
    data: PathBuf = "./vesta-data";
    /// Address to listen on; port 0 takes a free one.
    bind: SocketAddr = "127.0.0.1:8080";
    /// FHIR base URL that clients use (`https://ehr.example.org/fhir`), for links, and for telling which absolute
    /// references are to this server; without it, http, the bind address and /fhir. The server itself answers
    /// under /fhir. When it changes, the index is built anew at the next start.
    base_url: Option<String> = "";
    /// Where the records are: in the data directory, or in Azure Cosmos DB (then each key that begins with `cosmos_`
    /// counts, and the data directory only remembers what was loaded).
    store: EngineKind = "embedded";
    /// Connection string of the Cosmos DB account, as the portal's page Keys shows it.
    cosmos_connection_string: Secret = "";
    /// Endpoint of the account (`https://NAME.documents.azure.com:443/`), instead of a connection string.
    cosmos_endpoint: Option<String> = "";
    /// Key of the account at cosmos_endpoint; without it, the server is known to the account by azure_identity.
    cosmos_key: Secret = "";
    /// Database of the tenants that share one (tier T1). `vesta cosmos init` makes it.
    cosmos_database: String = "vesta";
    /// Container of the tenants that share one, and name of the container in the databases of the others.
    cosmos_container: String = "vesta";
    /// Regions to read from, the nearest first (`East US 2`); without any, in the account's order.
    cosmos_regions: Vec<String> = "";
    /// How long one operation of Cosmos DB may take with its retries, seconds; then the request is answered 503.
    cosmos_timeout_s: u64 = "10";
    /// As whom Microsoft Entra ID knows this server, for Cosmos DB without a key, and for Key Vault.
    azure_identity: Identity = "managed-identity";
    /// Table of tenants (TOML; see `vesta tenant add --help`); it is read again when it changes. Without it, all is the
    /// one tenant `default`.
    tenants: Option<PathBuf> = "";
    /// The version of US Core to run on: its profiles, search parameters and terminology, and what the CapabilityStatement
    /// says of it. When it changes, the index is built anew at the next start.
    us_core: UsCore = "6.1.0";
    /// FHIR packages (.tgz) to add to R4 and US Core: their profiles, terminology and search parameters.
    package: Vec<PathBuf> = "";
    /// What is validated before it is written, by requests and by `vesta load`: `base` is FHIR's own rules (cardinality,
    /// types, required bindings, invariants, references), `profiles` also the profiles that a resource claims as far as
    /// they are known, `off` no more than that elements are where the types have them. What breaks a rule is refused.
    validation: ValidationLevel = "profiles";
    /// Canonical URLs of profiles, one for a type at most, that every resource of their type must meet when it is written,
    /// whether it claims them or not (unless validation is `off`). The CapabilityStatement names them as the types' profiles.
    required_profiles: Vec<String> = "";
    /// Who offers this API to patients, for /service-base-urls: the list that developers of certified technology publish
    /// (45 CFR 170.404). Without a name nothing is served there.
    organization_name: Option<String> = "";
    /// Its address: street, city, state and postal code, each a value of its own.
    organization_address: Vec<String> = "";
    /// Its website, or where its patients get access.
    organization_website: Option<String> = "";
    /// Its National Provider Identifier.
    organization_npi: Option<String> = "";
    /// Whether requests need an access token (SMART App Launch). Then this is the authorization server too, at /auth
    /// beside the FHIR base; `vesta client` and `vesta user` say who gets one.
    authorization: bool = "false";
    /// How long an access token that a user granted counts, seconds.
    authorization_access_lifetime_s: u64 = "3600";
    /// How long a refresh token counts after its last use, seconds.
    authorization_refresh_lifetime_s: u64 = "15_552_000";
    /// How long a user stays logged in, seconds.
    authorization_session_lifetime_s: u64 = "28_800";
    /// Who may register apps by themselves (RFC 7591): nobody, who has authorization_registration_token, or everybody.
    authorization_registration: Registration = "off";
    /// What those who register apps have to send, if authorization_registration is `token`.
    authorization_registration_token: Secret = "";
    /// Fetch the keys of apps, and ask the identity provider, also in private networks and by plain http.
    authorization_private_fetches: bool = "false";
    /// Identity provider (OpenID Connect) that people may sign in with instead of a password: `iss` of its id_tokens, letter
    /// by letter. It sends people back to /auth/upstream/return beside the FHIR base. `vesta user link` says who they are
    /// here.
    authorization_upstream_issuer: Option<String> = "";
    /// URL of its configuration, where that is not /.well-known/openid-configuration below the issuer. Azure AD B2C has one
    /// for each policy: `https://TENANT.b2clogin.com/TENANT.onmicrosoft.com/POLICY/v2.0/.well-known/openid-configuration`.
    authorization_upstream_configuration: Option<String> = "";
    /// client_id that it gave this server.
    authorization_upstream_client_id: Option<String> = "";
    /// Secret that it gave this server.
    authorization_upstream_client_secret: Secret = "";
    /// What the login page calls it: Sign in with NAME.
    authorization_upstream_name: String = "another account";
    /// Scopes that it is asked for. Azure AD B2C gives no token without the client_id among them.
    authorization_upstream_scopes: Vec<String> = "openid,profile";
    /// Claim of its id_tokens that accounts are linked by: `sub`, or `oid` of Azure AD.
    authorization_upstream_link_claim: String = "sub";
    /// Claim that says which resource a person without an account here is (`Patient/1`), as `extension_FhirUser`. Only one
    /// that people cannot change themselves: it decides what they see. None by default.
    authorization_upstream_fhir_user_claim: Option<String> = "";
    /// Whether every interaction, login, token and refusal leaves an AuditEvent, which nobody can change (`vesta audit verify`
    /// says whether somebody did). `auto` is on where authorization is.
    audit: AuditLog = "auto";
    /// Whether every commit also stores, for each resource that it writes, a Provenance after US Core's profile: by whom, through
    /// which app, for which organization (organization_name), when, and what was done.
    provenance: bool = "false";
    /// Directory of the keys that id_tokens are signed with; without it, one in the data directory. Servers that share a
    /// store share these.
    signing_keys: Option<PathBuf> = "";
    /// What these keys are encrypted with, 64 hexadecimal digits; without it, a key that is kept beside them.
    signing_wrapping_key: Secret = "";
    /// Certificate chain (PEM) for TLS, the server's own certificate first; without it, plain HTTP is spoken. It is read again
    /// when it changes. `vesta dev-cert` makes one for a machine of one's own.
    tls_certificate: Option<PathBuf> = "";
    /// Private key (PEM) of the certificate.
    tls_key: Option<PathBuf> = "";
    /// Listen on an address that other machines can reach although nobody has to log in.
    insecure_open: bool = "false";
    /// Listen on an address that other machines can reach although passwords, tokens and records pass unencrypted: for a
    /// proxy in front that speaks TLS.
    insecure_plain: bool = "false";
    /// Web origins whose pages may call the API from a browser (CORS), or `*`. None by default: with an open server,
    /// any page that a browser on this machine shows could otherwise read every record.
    cors_origins: Vec<String> = "";
    /// Proxies in front of this server: from them, `Forwarded` or `X-Forwarded-For` says where a request comes from. What
    /// others write there is not read. None by default.
    trusted_proxies: Networks = "";
    /// Requests that one address may send in a minute, all at once or over time; more are answered 429. 0 is any number.
    rate_limit_address: u32 = "0";
    /// The same for one app (client_id), where authorization is on.
    rate_limit_client: u32 = "0";
    /// What to log: error, warn, info, debug (a line for each request) or trace, or per module
    /// (`info,vesta::http=debug`). Never holds queries, ids or bodies.
    log: String = "info";
    /// Form of log lines, written to standard error.
    log_format: LogFormat = "text";
    /// Threads that answer requests; 0 is one for each processor.
    threads: usize = "0";
    /// Most connections at a time; more wait.
    max_connections: usize = "4096";
    /// Largest request body, bytes.
    max_body_bytes: usize = "67_108_864";
    /// Bytes that request bodies of more than 1 MiB may hold together; more wait, and are refused (503) after 5 seconds.
    max_bodies_bytes: usize = "268_435_456";
    /// Longest URL path and query, bytes.
    max_url_bytes: usize = "8192";
    /// Deepest nesting of a resource.
    max_depth: usize = "100";
    /// Most faults reported for one request.
    max_issues: usize = "100";
    /// Most entries of a batch or transaction.
    max_bundle_entries: usize = "20_000";
    /// Entries of a page when a search or history has no `_count`.
    default_count: usize = "50";
    /// Largest page that `_count` can ask for.
    max_count: usize = "1000";
    /// Most resources that `_include` and `_revinclude` add to one page.
    max_includes: usize = "1000";
    /// Seconds that a request may take, its body included.
    request_timeout_s: u64 = "120";
    /// Seconds that requests under way have to finish when the server stops.
    stop_timeout_s: u64 = "10";
    /// Whether what is stored may be erased for good, by `Patient/ID/$purge` and by DELETE on `_history`: a mistake or a stolen
    /// password then destroys records and their history, and only an archive of before brings them back. Archives of before
    /// still have what was erased: begin new ones, and destroy those. Without it every version stays.
    irrevocable_erasure: bool = "false";
    /// Exports (`$export`) that one client may have under way; it is answered 429 for more.
    max_exports: usize = "5";
    /// Bytes at which a file of an export is ended, and another begun.
    export_file_bytes: u64 = "134_217_728";
    /// Container of Azure Blob Storage for exports (`https://ACCOUNT.blob.core.windows.net/CONTAINER`): their jobs and files are in
    /// it, below exports. Servers that share a store share it, and go on with each other's jobs. Without it, both are in the data
    /// directory, below exports.
    export_container: Option<String> = "";
    /// Shared access signature of that container (`sv=...&sig=...`), which lets read, add, create, write, delete and list; without
    /// it, the server is known to the account by azure_identity.
    export_container_signature: Secret = "";
    /// Seconds for which the files of an export can be had after its end.
    export_keep_s: u64 = "86_400";
    /// Types whose resources anyone may have whole, without a token, at `$bulk-publish`: `Practitioner`, `Organization`, `Location` and
    /// the like, none that are patients'. None by default.
    publish_types: Vec<String> = "";
    /// Seconds after which the files of `$bulk-publish` are made anew.
    publish_every_s: u64 = "3600";
    /// Bytes of the longest line that `$import` and `vesta load` read; a longer one is refused by its number, and the rest goes on.
    import_line_bytes: usize = "33_554_432";
    /// Bytes of the largest source of an import, as it is sent.
    import_source_bytes: u64 = "107_374_182_400";
    /// Hosts (`files.example` or `10.0.0.7:9000`) from which `$import` may read wherever they are, also by plain http. Others are read
    /// over https, and from public networks only.
    import_hosts: Vec<String> = "";
    /// Imports (`$import`) that one client may have under way; it is answered 429 for more.
    max_imports: usize = "5";
    /// Seconds for which the status and errors of an import can be had after its end. They are in the data directory, below imports.
    import_keep_s: u64 = "86_400";
    /// Directory of the archives (one for each tenant) that the server appends to by itself while it runs, as `vesta backup`
    /// does. None by default.
    backup_directory: Option<PathBuf> = "";
    /// Seconds between these backups: what is written in that time can be lost with the disk.
    backup_interval_s: u64 = "300";
}
