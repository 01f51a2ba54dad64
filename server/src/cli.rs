//! The commands of the program, their arguments and exit codes. What each does is in a module of its name.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, Parser, Subcommand};

use conformance::terminology::import::Release;

use crate::authorization::command::{self as registry, AddClient, AddUser};
use crate::authorization::registry::Order;
use crate::backup;
use crate::config::{self, Config, ConfigError, EngineKind, KEYS};
use crate::conform;
use crate::demo::{self, DemoError};
use crate::load::{self, Destination, InProcess, LoadError, Remote};
use crate::open::{self, OpenError};
use crate::running::Running;
use crate::tenants::command::{Add, TenantCommandError};
use crate::tenants::moving::Move;
use crate::tenants::{self, Table, TableError};

/// A FHIR R4 server that keeps its records in a directory.
#[derive(Debug, Parser)]
#[command(name = "vesta", version, about, args_conflicts_with_subcommands = true)]
#[command(after_help = "Without a command, vesta serves. `vesta config` lists every configuration key.")]
struct Cli {
    #[command(subcommand)]
    command: Option<Action>,
    #[command(flatten)]
    keys: Keys,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Serve FHIR over HTTP until stopped by Ctrl-C or SIGTERM (the default)
    Serve {
        #[command(flatten)]
        keys: Keys,
    },
    /// Load Bundles (.json) and NDJSON (.ndjson), plain, .gz or .bz2; files or directories
    Load {
        /// Files and directories; hospitals' and practitioners' Bundles are loaded first
        #[arg(required = true)]
        paths: Vec<PathBuf>,
        #[command(flatten)]
        to: To,
        /// Threads, or requests at a time over HTTP
        #[arg(long)]
        jobs: Option<usize>,
        /// Where to remember what is loaded, so that the same command goes on where it stopped. By default load-progress in the data directory,
        /// or vesta-load-progress in the working directory with --server
        #[arg(long, value_name = "FILE")]
        progress: Option<PathBuf>,
        /// Load what is loaded already, too
        #[arg(long)]
        again: bool,
        #[command(flatten)]
        keys: Keys,
    },
    /// Import a code system from the files that its publisher hands out, so that its codes can be looked up, listed and checked
    Import {
        /// Which
        #[arg(value_parser = releases())]
        system: Release,
        /// The folder that the release was unpacked to
        folder: PathBuf,
        /// Its version as codings state it: 2.77 of LOINC; http://snomed.info/sct/900000000000207008/version/20250201 of SNOMED CT
        #[arg(long, value_name = "VERSION")]
        release: String,
        #[command(flatten)]
        to: To,
        #[command(flatten)]
        keys: Keys,
    },
    /// Load a few made-up patients; with --us-core, those for certification, who have all that US Core asks a server to support
    Demo {
        /// How many patients, without --us-core
        #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        patients: u32,
        /// With --us-core and --authorization: where to write the inputs of Inferno's (g)(10) kit, the secret of its apps included
        #[arg(long, value_name = "FILE")]
        inferno_preset: Option<PathBuf>,
        #[command(flatten)]
        to: To,
        #[command(flatten)]
        keys: Keys,
    },
    /// Compare all versions, index entries and changes with each other
    Check {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        keys: Keys,
    },
    /// The log of who did what
    Audit {
        #[command(subcommand)]
        action: AuditAction,
    },
    /// Append what is new to an archive of the data, whether a server runs or not
    Backup {
        /// Directory of archives; each tenant's is made if it is missing
        directory: PathBuf,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        keys: Keys,
    },
    /// Bring the data of an archive back, all of it or up to a time, into a store without data
    Restore {
        /// The directory that `vesta backup` wrote to
        directory: PathBuf,
        /// Only what was committed at this time or before (2026-11-22T02:10:33Z)
        #[arg(long, value_name = "TIME", value_parser = backup::instant)]
        until: Option<store::Timestamp>,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        keys: Keys,
    },
    /// Restore an archive to a temporary place, compare it with the data, and measure how long that takes and what would be lost
    Drill {
        /// The directory that `vesta backup` wrote to
        directory: PathBuf,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        keys: Keys,
    },
    /// Evaluate a FHIRPath expression over the resource in a file, and print what it yields, an item a line
    Fhirpath {
        /// The expression: Patient.name.where(use = 'official').given
        expression: String,
        /// A file with a resource in JSON; - is standard input
        file: PathBuf,
        /// Print a list of {type, value} in JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        keys: Keys,
    },
    /// Follow the test procedure of ONC's (g)(10) criterion against a running server, and report what was found; exit code 1 when a
    /// test did not pass
    Conform {
        #[command(flatten)]
        options: conform::Options,
    },
    /// Validate the resources in files, and print an OperationOutcome a line; exit code 1 when one has errors
    Validate {
        /// Canonical URL of a profile that they must meet besides those they claim; may be repeated
        #[arg(long, value_name = "URL")]
        profile: Vec<String>,
        /// Files with a resource in JSON each; - is standard input
        #[arg(required = true)]
        files: Vec<PathBuf>,
        #[command(flatten)]
        keys: Keys,
    },
    /// List the exports ($export) and imports ($import) of the data directory, under way and ended
    Jobs {
        /// Cancel this one, or remove it if it ended, with its files
        #[arg(long, value_name = "JOB")]
        cancel: Option<String>,
        #[command(flatten)]
        keys: Keys,
    },
    /// Tenants: those of the table that the key `tenants` names
    Tenant {
        #[command(subcommand)]
        action: TenantAction,
    },
    /// Apps that may ask for access, where authorization is on
    Client {
        #[command(subcommand)]
        action: ClientAction,
    },
    /// Users who may log in, where authorization is on
    User {
        #[command(subcommand)]
        action: UserAction,
    },
    /// Access policies: what users and apps may do at most, whatever scopes were granted
    Policy {
        #[command(subcommand)]
        action: PolicyAction,
    },
    /// Azure Cosmos DB
    Cosmos {
        #[command(subcommand)]
        action: CosmosAction,
    },
    /// Sign id_tokens with new keys from now on; the old ones stay published. Running servers take them over within a minute
    RotateKeys {
        #[command(flatten)]
        keys: Keys,
    },
    /// Make a certificate authority and a server certificate for a machine of one's own, and say how to trust them
    DevCert {
        /// Directory to write to; made if it is missing. An authority that is there is used again
        #[arg(default_value = "vesta-cert")]
        directory: PathBuf,
        /// Host name or address of the server; may be repeated. localhost and 127.0.0.1 always are
        #[arg(long = "name", value_name = "NAME")]
        names: Vec<String>,
    },
    /// List all configuration keys
    Config,
}

#[derive(Debug, Subcommand)]
enum AuditAction {
    /// Look for records of the audit log that were changed, removed, put elsewhere or cut off; exit code 1 when there is one
    Verify {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        keys: Keys,
    },
}

#[derive(Debug, Subcommand)]
enum TenantAction {
    /// Add a tenant to the table, and make its database and container
    Add {
        #[command(flatten)]
        add: Add,
        #[command(flatten)]
        keys: Keys,
    },
    /// Move a tenant to another home in Cosmos DB, while servers read and write it
    Move {
        #[command(flatten)]
        to: Move,
        #[command(flatten)]
        keys: Keys,
    },
    /// List the tenants: tier, home, and how many resources each has
    List {
        #[command(flatten)]
        keys: Keys,
    },
}

#[derive(Debug, Subcommand)]
enum ClientAction {
    /// Register an app, or replace the one of its id
    Add {
        #[command(flatten)]
        add: AddClient,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        keys: Keys,
    },
    /// List the apps: id, name, how it proves who it is, scopes, redirect URIs
    List {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        keys: Keys,
    },
    /// Hold all tokens of an app to an access policy, or to none
    Policy {
        /// client_id
        id: String,
        /// Name of the policy; none without it
        policy: Option<String>,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        keys: Keys,
    },
    /// Take back all access of an app, and give it no more
    Disable {
        /// client_id
        id: String,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        keys: Keys,
    },
    /// Let an app that was disabled ask for access again
    Enable {
        /// client_id
        id: String,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        keys: Keys,
    },
    /// Remove an app, and all access that it has
    Remove {
        /// client_id
        id: String,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        keys: Keys,
    },
}

#[derive(Debug, Subcommand)]
enum UserAction {
    /// Add a user, or replace the one of the name; the password is read from VESTA_PASSWORD or standard input
    Add {
        #[command(flatten)]
        add: AddUser,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        keys: Keys,
    },
    /// List the users: name, resource, full name
    List {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        keys: Keys,
    },
    /// Give a user another password, read from VESTA_PASSWORD or standard input
    Password {
        /// User name
        username: String,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        keys: Keys,
    },
    /// Say who a user is at the identity provider (authorization_upstream_issuer)
    Link {
        /// User name
        username: String,
        /// The value of the claim that authorization_upstream_link_claim names
        value: String,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        keys: Keys,
    },
    /// Take back what `link` said
    Unlink {
        /// User name
        username: String,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        keys: Keys,
    },
    /// Ask a user for one-time codes (RFC 6238) at each login: prints what they put into an authenticator app, once
    Totp {
        /// User name
        username: String,
        /// Ask no more
        #[arg(long)]
        off: bool,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        keys: Keys,
    },
    /// Give a user the page of apps, people and jobs (/auth/admin)
    Administrator {
        /// User name
        username: String,
        /// Take it back
        #[arg(long)]
        off: bool,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        keys: Keys,
    },
    /// Hold all tokens of a user to an access policy, or to none
    Policy {
        /// User name
        username: String,
        /// Name of the policy; none without it
        policy: Option<String>,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        keys: Keys,
    },
    /// Log a user out, take back all access that they granted, and let them log in no more
    Disable {
        /// User name
        username: String,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        keys: Keys,
    },
    /// Let a user who was disabled log in again
    Enable {
        /// User name
        username: String,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        keys: Keys,
    },
    /// Remove a user, and all access that they granted
    Remove {
        /// User name
        username: String,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        keys: Keys,
    },
}

#[derive(Debug, Subcommand)]
enum PolicyAction {
    /// Keep the policy of a file, or replace the one of its name: {"name": "front-desk", "resource": [{"resourceType":
    /// "Observation", "criteria": "category=vital-signs", "compartment": "Patient/1", "readonly": true, "restricted": true},
    /// ..], "breakGlass": true}, all but name and resourceType optional
    Put {
        /// JSON file; - is standard input
        file: PathBuf,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        keys: Keys,
    },
    /// List the policies and their rules
    List {
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        keys: Keys,
    },
    /// Remove a policy; whoever is held to it may do nothing then
    Remove {
        /// Its name
        name: String,
        #[command(flatten)]
        of: Of,
        #[command(flatten)]
        keys: Keys,
    },
}

impl PolicyAction {
    fn run(self) -> Result<(), CommandError> {
        let (order, of, keys) = match self {
            PolicyAction::Put { file, of, keys } => (registry::put_policy(&file)?, of, keys),
            PolicyAction::List { of, keys } => (Order::ListPolicies, of, keys),
            PolicyAction::Remove { name, of, keys } => (Order::RemovePolicy(name), of, keys),
        };
        Ok(registry::run(&keys.load()?, of.tenant.as_deref(), [order])?)
    }
}

impl ClientAction {
    fn run(self) -> Result<(), CommandError> {
        let (order, of, keys) = match self {
            ClientAction::Add { add, of, keys } => (add.order()?, of, keys),
            ClientAction::List { of, keys } => (Order::ListClients, of, keys),
            ClientAction::Policy { id, policy, of, keys } => (Order::HoldClient { id, policy }, of, keys),
            ClientAction::Disable { id, of, keys } => (Order::EnableClient { id, enabled: false }, of, keys),
            ClientAction::Enable { id, of, keys } => (Order::EnableClient { id, enabled: true }, of, keys),
            ClientAction::Remove { id, of, keys } => (Order::RemoveClient(id), of, keys),
        };
        Ok(registry::run(&keys.load()?, of.tenant.as_deref(), [order])?)
    }
}

impl UserAction {
    fn run(self) -> Result<(), CommandError> {
        let (order, of, keys) = match self {
            UserAction::Add { add, of, keys } => (add.order()?, of, keys),
            UserAction::List { of, keys } => (Order::ListUsers, of, keys),
            UserAction::Password { username, of, keys } => {
                let password_hash = registry::password_hash()?;
                (Order::SetPassword { username, password_hash }, of, keys)
            }
            UserAction::Link { username, value, of, keys } => {
                (Order::LinkUser { username, subject: Some(value) }, of, keys)
            }
            UserAction::Unlink { username, of, keys } => {
                (Order::LinkUser { username, subject: None }, of, keys)
            }
            UserAction::Totp { username, off, of, keys } => {
                let secret = if off { None } else { Some(registry::totp_secret()?) };
                (Order::SetTotp { username, secret }, of, keys)
            }
            UserAction::Administrator { username, off, of, keys } => {
                (Order::SetAdministrator { username, administrator: !off }, of, keys)
            }
            UserAction::Policy { username, policy, of, keys } => {
                (Order::HoldUser { username, policy }, of, keys)
            }
            UserAction::Disable { username, of, keys } => {
                (Order::EnableUser { username, enabled: false }, of, keys)
            }
            UserAction::Enable { username, of, keys } => {
                (Order::EnableUser { username, enabled: true }, of, keys)
            }
            UserAction::Remove { username, of, keys } => (Order::RemoveUser(username), of, keys),
        };
        Ok(registry::run(&keys.load()?, of.tenant.as_deref(), [order])?)
    }
}

#[derive(Debug, Subcommand)]
enum CosmosAction {
    /// Make the databases and containers that are missing, with our partition key and indexing policy
    Init {
        #[command(flatten)]
        keys: Keys,
    },
}

/// The names of [`Release::ALL`].
fn releases() -> impl TypedValueParser<Value = Release> {
    PossibleValuesParser::new(Release::ALL.map(|(name, _)| name)).try_map(|name| {
        let named = Release::ALL.into_iter().find(|(known, _)| *known == name);
        named.map(|(_, release)| release).ok_or("is no code system that can be imported")
    })
}

/// Whose records.
#[derive(Debug, clap::Args)]
struct Of {
    /// The tenant; needed where there is a table of tenants
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
}

/// Where resources go, if not into the data directory.
#[derive(Debug, clap::Args)]
struct To {
    /// FHIR base URL of a running server to send to, instead of the data directory
    #[arg(long, value_name = "BASE", conflicts_with = "tenant")]
    server: Option<String>,
    #[command(flatten)]
    of: Of,
}

/// The configuration file and every key of [`KEYS`] as a flag.
#[derive(Debug, Clone, Default)]
struct Keys {
    file: Option<PathBuf>,
    flags: Vec<(&'static str, Vec<String>)>,
}

/// The keys that `-h` shows; `--help` shows all.
const USUAL: &[&str] = &["data", "bind", "base_url", "package"];

impl Args for Keys {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .env("VESTA_CONFIG")
            .hide_env_values(true)
            .value_parser(clap::value_parser!(PathBuf))
            .help("TOML file with configuration keys")
            .help_heading("Configuration");
        KEYS.iter().fold(command.arg(file), |command, key| {
            let arg = Arg::new(key.name)
                .long(key.flag())
                .value_name(key.type_name)
                .help(key.doc.split_whitespace().collect::<Vec<_>>().join(" "))
                .help_heading("Configuration")
                .hide_short_help(!USUAL.contains(&key.name));
            command.arg(match (key.is_list, key.type_name) {
                (true, _) => arg.action(ArgAction::Append),
                (false, "true or false") => {
                    arg.num_args(0..=1).require_equals(true).default_missing_value("true")
                }
                // `vesta demo --us-core`: the version that is configured.
                (false, _) if key.name == "us_core" => arg.num_args(0..=1).default_missing_value(""),
                (false, _) => arg,
            })
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Keys::augment_args(command)
    }
}

impl FromArgMatches for Keys {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Keys, clap::Error> {
        let mut keys = Keys::default();
        keys.update_from_arg_matches(matches)?;
        Ok(keys)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.file = matches.get_one::<PathBuf>("config").cloned();
        self.flags = KEYS
            .iter()
            .filter_map(|key| {
                let values = matches.get_many::<String>(key.name)?;
                Some((key.name, values.cloned().collect()))
            })
            .collect();
        Ok(())
    }
}

impl Keys {
    /// Whether a key is a flag; one without a value then leaves its value to the rest of the configuration.
    fn take_unsaid(&mut self, name: &str) -> bool {
        let is_flag = self.flags.iter().any(|(flag, _)| *flag == name);
        self.flags.retain(|(flag, values)| *flag != name || values.iter().any(|value| !value.is_empty()));
        is_flag
    }

    fn load(&self) -> Result<Config, ConfigError> {
        let environment: Vec<(String, String)> =
            std::env::vars().filter(|(name, _)| name.starts_with("VESTA_")).collect();
        config::load(self.file.as_deref(), &environment, &self.flags)
    }
}

/// A command that did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data or the definitions.
    #[error(transparent)]
    Open(#[from] crate::open::OpenError),
    /// Listening.
    #[error(transparent)]
    Serve(#[from] crate::serve::ServeError),
    /// Loading.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A code system.
    #[error(transparent)]
    Import(#[from] crate::import::ImportFailure),
    /// The sample.
    #[error(transparent)]
    Demo(#[from] DemoError),
    /// Check, backup, restore.
    #[error(transparent)]
    Maintain(#[from] crate::maintain::MaintainError),
    /// A FHIRPath expression.
    #[error(transparent)]
    Evaluate(#[from] crate::evaluate::EvaluateError),
    /// Files that are not valid.
    #[error(transparent)]
    Validate(#[from] crate::validate::ValidateError),
    /// A server that is not as the procedure asks.
    #[error(transparent)]
    Conform(#[from] conform::ConformError),
    /// The table of tenants.
    #[error(transparent)]
    Table(#[from] TableError),
    /// `vesta tenant`, `vesta cosmos`.
    #[error(transparent)]
    Tenant(#[from] TenantCommandError),
    /// `vesta client`, `vesta user`.
    #[error(transparent)]
    Registry(#[from] registry::RegistryCommandError),
    /// `vesta dev-cert`.
    #[error(transparent)]
    DevCert(#[from] crate::dev_cert::DevCertError),
    /// The system refuses threads.
    #[error("cannot start: {0}")]
    Io(#[from] std::io::Error),
}

/// Runs the program with the process's arguments. Exit codes: 0 done, 1 failed, 2 wrong usage.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    match act(cli.command.unwrap_or(Action::Serve { keys: cli.keys })) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vesta: {error}");
            ExitCode::FAILURE
        }
    }
}

fn act(action: Action) -> Result<(), CommandError> {
    match action {
        Action::Serve { keys } => {
            let config = keys.load()?;
            config.check_exposure()?;
            crate::http::log::start(&config)?;
            crate::serve::serve(&config)?;
        }
        Action::Load { paths, to, jobs, progress, again, keys } => {
            let config = keys.load()?;
            let record = progress.unwrap_or_else(|| match to.server {
                Some(_) => PathBuf::from("vesta-load-progress"),
                None => config.data.join("load-progress"),
            });
            let destination = destination(&config, to)?;
            let jobs = jobs.unwrap_or_else(|| match destination {
                Destination::Store(_) => std::thread::available_parallelism().map_or(1, usize::from),
                Destination::Server(_) => 4,
            });
            let max_line_bytes = config.import_line_bytes;
            load::load(&load::Options { paths, jobs, record, again, max_line_bytes }, &destination)?;
        }
        Action::Import { system, folder, release, to, keys } => {
            let destination = destination(&keys.load()?, to)?;
            crate::import::import(system, &folder, &release, &destination)?;
        }
        Action::Demo { patients, inferno_preset, to, mut keys } => {
            let for_certification = keys.take_unsaid("us_core");
            let config = keys.load()?;
            let registers = for_certification && config.authorization && to.server.is_none();
            if inferno_preset.is_some() && !registers {
                return Err(DemoError::NoPreset.into());
            }
            let tenant = to.of.tenant.clone();
            let destination = destination(&config, to)?;
            if !for_certification {
                return Ok(demo::demo(&destination, patients)?);
            }
            demo::us_core(&destination, config.us_core)?;
            drop(destination);
            if registers {
                let set_up = demo::inferno::set_up(&config, tenant.as_deref(), inferno_preset.as_deref());
                set_up.map_err(DemoError::from)?;
            }
        }
        Action::Check { of, keys } => crate::maintain::check(&keys.load()?, of.tenant.as_deref())?,
        Action::Audit { action: AuditAction::Verify { of, keys } } => {
            crate::audit::verify::verify(&keys.load()?, of.tenant.as_deref())?;
        }
        Action::Backup { directory, of, keys } => {
            backup::backup(&keys.load()?, of.tenant.as_deref(), &directory)?;
        }
        Action::Restore { directory, until, of, keys } => {
            backup::restore(&keys.load()?, of.tenant.as_deref(), &directory, until)?;
        }
        Action::Drill { directory, of, keys } => {
            backup::drill(&keys.load()?, of.tenant.as_deref(), &directory)?;
        }
        Action::Fhirpath { expression, file, json, keys } => {
            let out = &mut std::io::stdout().lock();
            crate::evaluate::evaluate(&keys.load()?, &expression, &file, json, out)?;
        }
        Action::Conform { options } => conform::conform(&options)?,
        Action::Validate { profile, files, keys } => {
            let out = &mut std::io::stdout().lock();
            crate::validate::validate(&keys.load()?, &profile, &files, out)?;
        }
        Action::Jobs { cancel, keys } => match cancel {
            Some(job) => crate::jobs::command::cancel(&keys.load()?, &job)?,
            None => crate::jobs::command::list(&keys.load()?)?,
        },
        Action::Tenant { action } => match action {
            TenantAction::Add { add, keys } => tenants::command::add(&keys.load()?, &add)?,
            TenantAction::Move { to, keys } => tenants::moving::move_tenant(&keys.load()?, &to)?,
            TenantAction::List { keys } => tenants::command::list(&keys.load()?)?,
        },
        Action::Client { action } => action.run()?,
        Action::User { action } => action.run()?,
        Action::Policy { action } => action.run()?,
        Action::RotateKeys { keys } => registry::rotate_keys(&keys.load()?)?,
        Action::DevCert { directory, names } => crate::dev_cert::dev_cert(&directory, &names)?,
        Action::Cosmos { action: CosmosAction::Init { keys } } => tenants::command::init(&keys.load()?)?,
        Action::Config => print!("{}", config::describe()),
    }
    Ok(())
}

/// The server named; else the data directory, through the server that has it open if one does.
fn destination(config: &Config, to: To) -> Result<Destination, CommandError> {
    if let Some(base) = to.server {
        let remote = Remote::new(&base);
        remote.check()?;
        return Ok(Destination::Server(remote));
    }
    let table = Table::of(config)?;
    let tenant = open::tenant(table.as_ref(), to.of.tenant.as_deref())?;
    // The record of what was loaded is kept there also where the data is elsewhere.
    std::fs::create_dir_all(&config.data)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match runtime.block_on(open::open(config, table.as_ref(), open::base_url(config, config.bind))) {
        Ok(service) => {
            let name = match (config.store, tenant.is_default()) {
                (EngineKind::Embedded, true) => "store".to_owned(),
                (EngineKind::Embedded, false) => format!("store {}", tenant.as_str()),
                (EngineKind::Cosmos, _) => format!("cosmos {} {}", fingerprint(&service), tenant.as_str()),
            };
            let caller = open::everything(tenant);
            Ok(Destination::Store(Box::new(InProcess { service: Arc::new(service), caller, name, runtime })))
        }
        Err(error @ OpenError::InUse { .. }) => {
            let running = Running::find(&config.data).ok_or(error)?;
            let remote =
                Remote::new(&running.base(table.as_ref().map(|_| &tenant))).with_token(&running.token);
            remote.check()?;
            eprintln!("A server has {} open; sending to {}", config.data.display(), remote.base);
            Ok(Destination::Server(remote))
        }
        Err(error) => Err(error.into()),
    }
}

/// Tells one store from another, also where it has the same name.
fn fingerprint(service: &interaction::Service) -> String {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(service.store.secret());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_key_is_a_flag() {
        let cli = Cli::try_parse_from([
            "vesta",
            "serve",
            "--bind",
            "127.0.0.1:1",
            "--package",
            "a",
            "--package",
            "b",
            "--insecure-open",
        ])
        .unwrap();
        let Some(Action::Serve { keys }) = cli.command else { panic!("another command") };
        let text = |values: &[&str]| values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            keys.flags,
            [
                ("bind", text(&["127.0.0.1:1"])),
                ("package", text(&["a", "b"])),
                ("insecure_open", text(&["true"]))
            ]
        );
    }

    #[test]
    fn us_core_says_its_version_or_leaves_it() {
        let check = |arguments: &[&str], expected: (bool, usize)| {
            let cli = Cli::try_parse_from(arguments).unwrap();
            let Some(Action::Demo { mut keys, .. }) = cli.command else { panic!("another command") };
            assert_eq!((keys.take_unsaid("us_core"), keys.flags.len()), expected, "{arguments:?}");
        };
        check(&["vesta", "demo"], (false, 0));
        check(&["vesta", "demo", "--us-core"], (true, 0));
        check(&["vesta", "demo", "--us-core", "7.0.0"], (true, 1));
        check(&["vesta", "demo", "--us-core", "--data", "x"], (true, 1));
    }

    #[test]
    fn serving_is_the_default() {
        let cli = Cli::try_parse_from(["vesta", "--data", "x"]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.keys.flags, [("data", vec!["x".to_owned()])]);
    }
}
