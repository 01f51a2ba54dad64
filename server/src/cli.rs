//! The commands of the program, their arguments and exit codes. What each does is in a module of its name.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, Parser, Subcommand};

use crate::config::{self, Config, ConfigError, KEYS};

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
    /// List all configuration keys
    Config,
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
}

/// Runs the program with the process's arguments. Exit codes: 0 done, 1 failed, 2 wrong usage.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        None => serve(&cli.keys),
        Some(Action::Serve { keys }) => serve(&keys),
        Some(Action::Config) => {
            print!("{}", config::describe());
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vesta: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(keys: &Keys) -> Result<(), CommandError> {
    let config = keys.load()?;
    config.check_exposure()?;
    crate::http::log::start(&config)?;
    Ok(crate::serve::serve(&config)?)
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
    fn serving_is_the_default() {
        let cli = Cli::try_parse_from(["vesta", "--data", "x"]).unwrap();
        assert!(cli.command.is_none());
        assert_eq!(cli.keys.flags, [("data", vec!["x".to_owned()])]);
    }
}
