//! All settings, put together from flags, variables and the configuration file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use auterity_core::expression::fixed;
use auterity_core::functions::{
    AsyncApiOptions, ContainerOptions, EmailOptions, Isolation, ProcessOptions,
};
use auterity_http::Network;
use clap::ValueEnum;
use jiff::SignedDuration;
use serde::Deserialize;

use super::{Common, Role, RunIsolation, RunKind, Serve};
use crate::failure::Failure;

pub(crate) const LOG_DEFAULT: &str =
    "warn,auterity=info,auterity_core=info,auterity_http=info,auterity_tenancy=info";

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
    #[serde(with = "fixed::optional")]
    retention: Option<SignedDuration>,
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
    /// None: for ever.
    pub(crate) retention: Option<SignedDuration>,
    pub(crate) demo: bool,
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
                    Failure::usage(format!(
                        "{name} in the configuration file is no role; it may be all, api or worker"
                    ))
                })?;
                roles.push(role);
            }
        }
        let has =
            |role: Role| roles.is_empty() || roles.contains(&Role::All) || roles.contains(&role);
        let listen = serve.and_then(|serve| serve.listen).or(file.listen);
        let mut run = file.run.unwrap_or_default();
        run.user = common.run_user.or(file.run_user).or(run.user);
        let network = common.run_network.or(file.run_network);
        run.network = network.unwrap_or(run.network);
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
            retention: serve.and_then(|serve| serve.retention).or(file.retention),
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
    let given = serve.and_then(|serve| serve.public_url.clone()).or(file);
    let has_host = |text: &str| {
        let url = url::Url::parse(text).ok();
        url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
    };
    match given {
        Some(url) if !has_host(&url) => Err(Failure::usage(format!(
            "the public URL {url} must be https:// or http:// and a host"
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
        // The error quotes the line, which may hold a password: its place and message only.
        let file = path.display();
        let place = match error.span().and_then(|span| text.get(..span.start)) {
            Some(before) => {
                let line = before.matches('\n').count() + 1;
                let column = before
                    .chars()
                    .rev()
                    .take_while(|letter| *letter != '\n')
                    .count()
                    + 1;
                format!("{file}:{line}:{column}")
            }
            None => file.to_string(),
        };
        let message = error.message();
        Failure::usage(format!(
            "the configuration file is wrong: {place}: {message}"
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::{Arguments, Command};
    use super::*;

    fn read(text: &str, flags: &[&str]) -> Result<Settings, Failure> {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("c.toml");
        std::fs::write(&file, text).expect("written");
        let file = file.display().to_string();
        let given = ["auterity", "--config", &file, "--data", "d"];
        let arguments = given.into_iter().chain(flags.iter().copied());
        let arguments = Arguments::try_parse_from(arguments).expect("well formed");
        let serve = match &arguments.command {
            Command::Serve(serve) => Some(serve),
            _ => None,
        };
        Settings::read(&arguments.common, serve)
    }

    #[test]
    fn flag_turns_off_what_the_file_turns_on() {
        let file = "run_network = true\n[run]\nnetwork = true\n";
        let network = |flags: &[&str]| read(file, flags).expect("read").run.network;
        assert!(network(&["version"]));
        assert!(!network(&["--run-network=false", "version"]));
        assert!(network(&["--run-network", "version"]));
        let table = "[run]\nnetwork = true\n";
        assert!(read(table, &["version"]).expect("read").run.network);
    }

    #[test]
    fn mistakes_say_where_they_are_and_never_what_stands_there() {
        let told = |text: &str, flags: &[&str]| {
            let refused = read(text, flags).expect_err("refused");
            refused.to_string()
        };
        let wrong = told(
            "listen = '127.0.0.1:1'\ndatabase_url = canary-1\n",
            &["serve"],
        );
        assert!(wrong.contains("c.toml:2:16"), "{wrong}");
        assert!(!wrong.contains("canary"), "{wrong}");
        assert!(told("role = ['boss']\n", &["serve"]).contains("all, api or worker"));
        assert!(told("trusted_proxies = ['10.0.0.0/99']\n", &["serve"]).contains("10.0.0.0/99"));
        for url in ["https://", "auterity.example", "ftp://a.example"] {
            let flags = ["serve", "--public-url", url];
            assert!(told("", &flags).contains("and a host"), "{url}");
        }
    }
}
