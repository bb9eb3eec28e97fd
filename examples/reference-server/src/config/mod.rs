//! The command line, the environment and the configuration file: read here only.
//!
//! A flag wins over its `AUTERITY_*` variable, and that over the file's key of the
//! same name with `_` for `-`.

mod settings;

use std::net::SocketAddr;
use std::path::PathBuf;

use auterity_core::expression::fixed;
use auterity_core::functions::EmailOptions;
use auterity_http::Network;
use clap::builder::{BoolishValueParser, OsStr, Resettable};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use jiff::SignedDuration;
use serde::Deserialize;

pub(crate) use self::settings::{LOG_DEFAULT, Settings};

/// Durable workflows for many tenants, as one server.
#[derive(Debug, Parser)]
#[command(
    name = "auterity",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
pub(crate) struct Arguments {
    #[command(flatten, next_help_heading = "Common options")]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Arguments {
    /// Reads the command line and the environment.
    ///
    /// # Errors
    /// What clap says: a mistake, or the help that was asked for.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        let mut command = without_empty_variables(Self::command());
        let matches = command.try_get_matches_from_mut(std::env::args_os())?;
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    }

    /// Tells whether a command line that cannot be read asks for JSON.
    #[expect(
        clippy::disallowed_methods,
        reason = "this module is the one reader of the environment"
    )]
    pub(crate) fn wants_json() -> bool {
        let is_on = |text: &str| {
            let text = text.to_ascii_lowercase();
            ["1", "on", "t", "true", "y", "yes"].contains(&text.as_str())
        };
        let mut asked = std::env::var("AUTERITY_JSON").is_ok_and(|text| is_on(&text));
        for argument in std::env::args_os() {
            match argument
                .to_str()
                .and_then(|text| text.strip_prefix("--json"))
            {
                Some("") => asked = true,
                Some(value) => asked = value.strip_prefix('=').map_or(asked, is_on),
                None => {}
            }
        }
        asked
    }
}

/// A variable that is set to nothing counts as not set, as in a file of variables from
/// which values were left out.
#[expect(
    clippy::disallowed_methods,
    reason = "this module is the one reader of the environment"
)]
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let plain = command.mut_args(|argument| {
        let value = argument.get_env().and_then(std::env::var_os);
        match value {
            Some(value) if value.is_empty() => argument.env(Resettable::<OsStr>::Reset),
            _ => argument,
        }
    });
    plain.mut_subcommands(without_empty_variables)
}

/// What every command understands.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Folder of the embedded database and the keys [default: the platform's data folder]
    #[arg(long, global = true, env = "AUTERITY_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Database to use instead: postgres://… or sqlite://…
    #[arg(
        long,
        global = true,
        env = "AUTERITY_DATABASE_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    database_url: Option<String>,
    /// File with the key under which processes on one PostgreSQL keep what they share:
    /// `openssl rand -hex 32` [default: a key kept in the data folder]
    #[arg(long, global = true, env = "AUTERITY_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// TOML file with any of the settings
    #[arg(long, global = true, env = "AUTERITY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// JSON file with secrets for definitions that use them. `serve` takes an object for
    /// each tenant, by the tenant's id: {"ten_…": {"NAME": …}}; `run` takes {"NAME": …}
    #[arg(long, global = true, env = "AUTERITY_SECRETS", value_name = "FILE")]
    secrets: Option<PathBuf>,
    /// Let calls reach private and loopback addresses
    #[arg(
        long,
        global = true,
        env = "AUTERITY_ALLOW_PRIVATE_ADDRESSES",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new()
    )]
    allow_private_addresses: Option<bool>,
    /// Let definitions start on this machine: shell, script, container, mcp-stdio
    #[arg(
        long,
        global = true,
        env = "AUTERITY_ENABLE_RUN",
        value_delimiter = ',',
        value_name = "KIND"
    )]
    enable_run: Vec<RunKind>,
    /// Where `call: email` sends messages, as a URL that begins with smtps, smtp or file
    /// [default: log:, which sends nothing]
    #[arg(
        long,
        global = true,
        env = "AUTERITY_EMAIL_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    email_url: Option<String>,
    /// Sender of these messages: `Name <address>`
    #[arg(
        long,
        global = true,
        env = "AUTERITY_EMAIL_FROM",
        value_name = "SENDER"
    )]
    email_from: Option<String>,
    /// Number of the user that these programs run as; needed when the server is root's
    #[arg(long, global = true, env = "AUTERITY_RUN_USER", value_name = "UID")]
    run_user: Option<u32>,
    /// What keeps them from the rest of the machine [default: namespaces]
    #[arg(
        long,
        global = true,
        env = "AUTERITY_RUN_ISOLATION",
        value_name = "HOW"
    )]
    run_isolation: Option<RunIsolation>,
    /// Let isolated programs see the network
    #[arg(
        long,
        global = true,
        env = "AUTERITY_RUN_NETWORK",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new()
    )]
    run_network: Option<bool>,
    /// What to log, as a tracing filter [default: warn, and info for auterity]
    #[arg(long, global = true, env = "AUTERITY_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// Errors and reports as JSON
    #[arg(
        long,
        global = true,
        env = "AUTERITY_JSON",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new()
    )]
    json: Option<bool>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the product: API, worker and web UI
    Serve(Serve),
    /// Execute one definition durably and print its output
    Run(Run),
    /// Report every mistake in definitions
    Validate(Validate),
    /// Tell what an event log shows: what happens, how often, and where time is lost
    Mine(Mine),
    /// Learn from event logs what comes next and how long it takes
    Suggest {
        /// What to do
        #[command(subcommand)]
        action: Suggest,
    },
    /// Bring the database schema to this version
    Migrate(Migrate),
    /// Print the OpenAPI document
    Openapi,
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the version
    Version,
}

/// What definitions may start on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RunKind {
    /// `run: shell`
    Shell,
    /// `run: script`
    Script,
    /// `run: container`
    Container,
    /// `call: mcp` with a server that is a program
    McpStdio,
}

/// What keeps programs of definitions from the rest of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RunIsolation {
    /// Namespaces of their own
    Namespaces,
    /// Limits alone
    None,
}

/// What a server process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Everything
    All,
    /// Answers requests
    Api,
    /// Executes workflows
    Worker,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Serve {
    /// Address to listen on; port 0 takes any free one [default: 127.0.0.1:8080]
    #[arg(long, env = "AUTERITY_LISTEN", value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Address for probes and metrics, which only operators should reach [default: none]
    #[arg(long, env = "AUTERITY_ADMIN_LISTEN", value_name = "ADDR")]
    admin_listen: Option<SocketAddr>,
    /// Address that browsers use; with https, session cookies are sent over HTTPS only
    #[arg(long, env = "AUTERITY_PUBLIC_URL", value_name = "URL")]
    public_url: Option<String>,
    /// Proxies whose X-Forwarded-For is believed, as addresses or ranges [default: those
    /// on this machine]
    #[arg(
        long,
        env = "AUTERITY_TRUSTED_PROXIES",
        value_delimiter = ',',
        value_name = "NETWORK"
    )]
    trusted_proxies: Vec<Network>,
    /// What this process does [default: all]
    #[arg(
        long,
        env = "AUTERITY_ROLE",
        value_delimiter = ',',
        value_name = "ROLE"
    )]
    role: Vec<Role>,
    /// Name of the worker, unique among living processes [default: kept in the data folder]
    #[arg(long, env = "AUTERITY_WORKER_NAME", value_name = "NAME")]
    worker_name: Option<String>,
    /// How long executions are kept after their end, such as P90D, where the settings of
    /// a workflow do not say [default: for ever]
    #[arg(
        long,
        env = "AUTERITY_RETENTION",
        value_name = "DURATION",
        value_parser = retention
    )]
    retention: Option<SignedDuration>,
    /// Load the sample workflows and execute them at a gentle rate
    #[arg(
        long,
        env = "AUTERITY_DEMO",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_parser = BoolishValueParser::new()
    )]
    demo: Option<bool>,
}

/// Reads how long something is kept.
fn retention(text: &str) -> Result<SignedDuration, String> {
    fixed::parse(text).map_err(|error| error.to_string())
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Run {
    /// The definition, YAML or JSON
    pub(crate) file: PathBuf,
    /// The input: JSON, or @FILE
    #[arg(long, value_name = "JSON|@FILE")]
    pub(crate) input: Option<String>,
    /// Set a property of the input; the value is JSON or else text
    #[arg(long, value_name = "K=V")]
    pub(crate) set: Vec<String>,
    /// Names the execution: a second call with the same key resumes the first
    #[arg(long, value_name = "KEY")]
    pub(crate) id: Option<String>,
    /// Print every task as JSON lines on stderr
    #[arg(long)]
    pub(crate) trace: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Validate {
    /// The definitions, YAML or JSON
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Mine {
    /// The log: XES or CSV, also compressed by gzip
    // Not `log`: that is what to log.
    #[arg(value_name = "LOG")]
    pub(crate) file: PathBuf,
    /// How rare a transition may be to be left out of the model, from 0 to 1
    #[arg(long, value_name = "N", default_value_t = 0.2)]
    pub(crate) noise: f64,
    /// How many variants and resources to list
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) top: usize,
    /// Write the process map as SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    /// Column of the case [default: found by its name]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) case: Option<String>,
    /// Column of the activity [default: found by its name]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) activity: Option<String>,
    /// Column of the time at which an event ended [default: found by its name]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) end: Option<String>,
    /// Column of the time at which an event began [default: found by its name]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) start: Option<String>,
    /// Column of who did it [default: found by its name]
    #[arg(long, value_name = "COLUMN")]
    pub(crate) resource: Option<String>,
    /// Time zone of times that name none
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    pub(crate) zone: String,
    /// Read 03/04 as the third of April where the log does not tell
    #[arg(long)]
    pub(crate) day_first: bool,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Suggest {
    /// Learn from logs of ended cases, and write the model to a file
    Train {
        /// The logs: XES or CSV, also compressed by gzip
        #[arg(required = true, value_name = "LOG")]
        files: Vec<PathBuf>,
        /// Where to write the model
        #[arg(long, value_name = "FILE")]
        model: PathBuf,
    },
    /// Learn from some logs, predict another one, and compare with what happened
    Evaluate {
        /// A log to learn from; several are learnt as one
        #[arg(long, required = true, value_name = "LOG")]
        train: Vec<PathBuf>,
        /// The log to predict, whose cases began later
        #[arg(long, value_name = "LOG")]
        test: PathBuf,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Migrate {
    /// Only tell which versions the database has, and change nothing
    #[arg(long)]
    pub(crate) status: bool,
}

impl Common {
    /// Tells whether errors and reports go out as JSON.
    pub(crate) fn json(&self) -> bool {
        self.json.unwrap_or(false)
    }

    /// How messages are sent, with what the file says of it.
    fn email(&self, url: Option<String>, from: Option<String>) -> EmailOptions {
        let default = EmailOptions::default();
        EmailOptions {
            url: self.email_url.clone().or(url).unwrap_or(default.url),
            from: self.email_from.clone().or(from).unwrap_or(default.from),
            ..EmailOptions::default()
        }
    }
}
