//! The command line, the environment and the configuration file: read here only.
//!
//! A flag wins over its `AUTERITY_*` variable, and that over the file's key of the
//! same name with `_` for `-`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use auterity_core::functions::{
    AsyncApiOptions, ContainerOptions, EmailOptions, Isolation, ProcessOptions,
};
use auterity_http::Network;
use clap::builder::{BoolishValueParser, OsStr, Resettable};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use serde::Deserialize;

use crate::failure::Failure;

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
    pub(crate) fn wants_json() -> bool {
        std::env::args_os().any(|argument| argument == "--json")
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
    #[arg(long, global = true, env = "AUTERITY_RUN_NETWORK")]
    run_network: bool,
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
pub(crate) struct Migrate {
    /// Only tell which versions the database has, and change nothing
    #[arg(long)]
    pub(crate) status: bool,
}

/// The configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FileSettings {
    data: Option<PathBuf>,
    database_url: Option<String>,
    key_file: Option<PathBuf>,
    secrets: Option<PathBuf>,
    allow_private_addresses: Option<bool>,
    enable_run: Option<Vec<RunKind>>,
    email_url: Option<String>,
    email_from: Option<String>,
    run_user: Option<u32>,
    run_isolation: Option<Isolation>,
    run_network: Option<bool>,
    /// Everything else about these programs.
    run: Option<ProcessOptions>,
    /// What containers may be and have.
    container: Option<ContainerOptions>,
    /// What subscriptions of `call: asyncapi` may take.
    asyncapi: Option<AsyncApiOptions>,
    log: Option<String>,
    listen: Option<SocketAddr>,
    admin_listen: Option<SocketAddr>,
    public_url: Option<String>,
    trusted_proxies: Option<Vec<Network>>,
    role: Option<Vec<String>>,
    worker_name: Option<String>,
    demo: Option<bool>,
}

/// All settings, from wherever they came.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent switches of a command line"
)]
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) data: PathBuf,
    pub(crate) database_url: Option<String>,
    pub(crate) key_file: Option<PathBuf>,
    /// The file of secrets; what it must hold depends on the command.
    pub(crate) secrets: Option<PathBuf>,
    pub(crate) private_addresses: bool,
    /// What definitions may start; nothing unless somebody says so.
    pub(crate) run_kinds: Vec<RunKind>,
    pub(crate) email: EmailOptions,
    pub(crate) run: ProcessOptions,
    pub(crate) container: ContainerOptions,
    pub(crate) asyncapi: AsyncApiOptions,
    pub(crate) log: String,
    pub(crate) listen: SocketAddr,
    pub(crate) admin_listen: Option<SocketAddr>,
    pub(crate) public_url: Option<String>,
    /// None: the default of the HTTP layer.
    pub(crate) trusted_proxies: Option<Vec<Network>>,
    pub(crate) answers: bool,
    pub(crate) works: bool,
    pub(crate) worker_name: Option<String>,
    pub(crate) demo: bool,
}

pub(crate) const LOG_DEFAULT: &str =
    "warn,auterity=info,auterity_core=info,auterity_http=info,auterity_tenancy=info";

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

impl Settings {
    /// Puts flags, variables and file together.
    pub(crate) fn read(common: &Common, serve: Option<&Serve>) -> Result<Self, Failure> {
        let file = read_file(common.config.as_deref())?;
        let data = common
            .data
            .clone()
            .or(file.data)
            .map_or_else(data_folder, Ok)?;
        let mut roles = serve.map(|serve| serve.role.clone()).unwrap_or_default();
        if roles.is_empty() {
            for name in file.role.unwrap_or_default() {
                let role = Role::from_str(&name, true).map_err(|_| {
                    Failure::usage(format!("{name} in the configuration file is no role"))
                })?;
                roles.push(role);
            }
        }
        let has =
            |role: Role| roles.is_empty() || roles.contains(&Role::All) || roles.contains(&role);
        let listen = serve.and_then(|serve| serve.listen).or(file.listen);
        let mut run = file.run.unwrap_or_default();
        run.user = common.run_user.or(file.run_user).or(run.user);
        run.network |= common.run_network || file.run_network.unwrap_or(false);
        let isolation = common.run_isolation.map(Isolation::from);
        run.isolation = isolation.or(file.run_isolation).unwrap_or(run.isolation);
        let mut run_kinds = common.enable_run.clone();
        if run_kinds.is_empty() {
            run_kinds = file.enable_run.unwrap_or_default();
        }
        Ok(Self {
            data,
            database_url: common.database_url.clone().or(file.database_url),
            key_file: common.key_file.clone().or(file.key_file),
            secrets: common.secrets.clone().or(file.secrets),
            private_addresses: common
                .allow_private_addresses
                .or(file.allow_private_addresses)
                .unwrap_or(false),
            run_kinds,
            email: common.email(file.email_url, file.email_from),
            run,
            container: file.container.unwrap_or_default(),
            asyncapi: file.asyncapi.unwrap_or_default(),
            log: common
                .log
                .clone()
                .or(file.log)
                .unwrap_or_else(|| LOG_DEFAULT.to_owned()),
            listen: listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))),
            admin_listen: serve
                .and_then(|serve| serve.admin_listen)
                .or(file.admin_listen),
            public_url: public_url(serve, file.public_url)?,
            trusted_proxies: serve
                .map(|serve| serve.trusted_proxies.clone())
                .filter(|given| !given.is_empty())
                .or(file.trusted_proxies),
            answers: has(Role::Api),
            works: has(Role::Worker),
            worker_name: serve
                .and_then(|serve| serve.worker_name.clone())
                .or(file.worker_name),
            demo: serve
                .and_then(|serve| serve.demo)
                .or(file.demo)
                .unwrap_or(false),
        })
    }
}

impl From<RunIsolation> for Isolation {
    fn from(isolation: RunIsolation) -> Self {
        match isolation {
            RunIsolation::Namespaces => Self::Namespaces,
            RunIsolation::None => Self::None,
        }
    }
}

/// Checks the address that browsers use.
fn public_url(serve: Option<&Serve>, file: Option<String>) -> Result<Option<String>, Failure> {
    let url = serve.and_then(|serve| serve.public_url.clone()).or(file);
    let known = |url: &str| url.starts_with("https://") || url.starts_with("http://");
    match url {
        Some(url) if !known(&url) => Err(Failure::usage(format!(
            "the public URL {url} must begin with https:// or http://"
        ))),
        other => Ok(other),
    }
}

fn read_text(path: &Path, what: &str) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!("{what} {} cannot be read: {error}", path.display()))
    })
}

fn read_file(path: Option<&Path>) -> Result<FileSettings, Failure> {
    let Some(path) = path else {
        return Ok(FileSettings::default());
    };
    let text = read_text(path, "the configuration file")?;
    toml::from_str(&text).map_err(|error| {
        // The error quotes the line, which may hold a password: its message only.
        let place = path.display();
        Failure::usage(format!(
            "the configuration file {place} is wrong: {}",
            error.message()
        ))
    })
}

/// The platform's folder for data of programs.
#[expect(
    clippy::disallowed_methods,
    reason = "this module is the one reader of the environment"
)]
fn data_folder() -> Result<PathBuf, Failure> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let base = if cfg!(target_os = "macos") {
        variable("HOME").map(|home| PathBuf::from(home).join("Library/Application Support"))
    } else {
        variable("XDG_DATA_HOME")
            .map(PathBuf::from)
            .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".local/share")))
    };
    base.map(|base| base.join("auterity")).ok_or_else(|| {
        Failure::usage("there is no home folder to keep data in; name a folder with --data DIR")
    })
}
