//! `run: { container: … }`, by the command line of a container engine.
//!
//! - A command is a shell's (`sh -c`) inside the container, its arguments are `$1`, `$2`,
//!   …; without a command the arguments are the image's own.
//! - Containers have no network, no capabilities and no host folders, and limits of
//!   memory, processors and processes, unless the host's options say otherwise.
//! - Without `lifetime` a container is removed at its end. `eventually` is kept by this
//!   process: a container that outlives it has to be removed by hand.
//! - A container whose task is cancelled or takes too long is removed. So is one that a
//!   crashed server left behind, before the task begins again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::output::Returned;
use super::{Job, Processes, arguments, environment, optional_text, process, text, wrong};
use crate::functions::http::request::plain;
use crate::functions::{Function, Invocation, duration};
use crate::interpreter::Problem;
use crate::{Error, ErrorKind, Routines};

/// The file from which the engine takes a container's environment.
const ENVIRONMENT: &str = "environment";

/// What containers of definitions may be and have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContainerOptions {
    /// The engine's program: `docker`, `podman` or one with the same command line.
    pub engine: String,
    /// Variables for the engine's program itself, such as `DOCKER_HOST`.
    pub engine_environment: BTreeMap<String, String>,
    /// What images' names have to begin with; empty: any image.
    pub images: Vec<String>,
    /// Whether containers have a network.
    pub network: bool,
    /// Whether definitions may publish ports of this machine.
    pub ports: bool,
    /// Folders of this machine that definitions may mount, with all inside them.
    pub volumes: Vec<PathBuf>,
    /// The user inside the container, as the engine takes it; empty: the image's own.
    pub user: String,
    /// The memory of a container, in bytes.
    pub memory_bytes_max: u64,
    /// The processors of a container, in thousandths.
    pub cpu_millis_max: u32,
    /// How many processes a container has at most.
    pub processes_max: u32,
}

impl Default for ContainerOptions {
    fn default() -> Self {
        Self {
            engine: "docker".to_owned(),
            engine_environment: BTreeMap::new(),
            images: Vec::new(),
            network: false,
            ports: false,
            volumes: Vec::new(),
            user: String::new(),
            memory_bytes_max: 512 << 20,
            cpu_millis_max: 1_000,
            processes_max: 256,
        }
    }
}

impl ContainerOptions {
    /// Checks that the options make sense together.
    ///
    /// # Errors
    /// Gives an error of kind [`Invalid`](ErrorKind::Invalid) that names the option.
    pub fn validate(&self) -> Result<(), Error> {
        let wrong = |message: &str| Err(Error::new(ErrorKind::Invalid, message));
        if self.engine.is_empty() {
            return wrong("the engine of containers must be named");
        }
        if self.memory_bytes_max == 0 || self.cpu_millis_max == 0 || self.processes_max == 0 {
            return wrong("the limits of containers must be positive");
        }
        if self.volumes.iter().any(|folder| !folder.is_absolute()) {
            return wrong("folders that containers may mount must be absolute paths");
        }
        Ok(())
    }
}

/// Runs containers.
#[derive(Debug, Clone)]
pub struct RunContainer {
    processes: Arc<Processes>,
    options: Arc<ContainerOptions>,
}

/// What becomes of a container that has ended.
enum Cleanup {
    Always,
    Never,
    After(Duration),
}

impl RunContainer {
    /// Makes the function. Of the options of `processes`, those for time, output and
    /// input hold for containers.
    ///
    /// # Errors
    /// Those of [`ContainerOptions::validate`].
    pub fn new(processes: Arc<Processes>, options: ContainerOptions) -> Result<Self, Error> {
        options.validate()?;
        Ok(Self {
            processes,
            options: Arc::new(options),
        })
    }

    /// Makes the engine's words for a container.
    fn words(
        &self,
        container: &Map<String, Value>,
        name: &str,
        cleanup: &Cleanup,
    ) -> Result<Vec<String>, Problem> {
        let options = &self.options;
        let mut words = vec![
            "run".to_owned(),
            format!("--name={name}"),
            "--init".to_owned(),
        ];
        words.push("--cap-drop=ALL".to_owned());
        words.push("--security-opt=no-new-privileges".to_owned());
        words.push(format!("--memory={}", options.memory_bytes_max));
        words.push(format!("--pids-limit={}", options.processes_max));
        let (whole, rest) = (
            options.cpu_millis_max / 1_000,
            options.cpu_millis_max % 1_000,
        );
        words.push(format!("--cpus={whole}.{rest:03}"));
        words.push(format!("--env-file={ENVIRONMENT}"));
        if matches!(cleanup, Cleanup::Always) {
            words.push("--rm".to_owned());
        }
        if !options.network {
            words.push("--network=none".to_owned());
        }
        if !options.user.is_empty() {
            words.push(format!("--user={}", options.user));
        }
        if container.get("stdin").is_some_and(|stdin| !stdin.is_null()) {
            words.push("--interactive".to_owned());
        }
        words.push(format!("--pull={}", pull(container)?));
        words.extend(self.ports(container)?);
        words.extend(self.volumes(container)?);
        words.push(self.image(container)?);
        if let Some(command) = optional_text(container, "command") {
            words.extend(["sh".to_owned(), "-c".to_owned(), command, "sh".to_owned()]);
        }
        words.extend(arguments(container)?);
        Ok(words)
    }

    fn image(&self, container: &Map<String, Value>) -> Result<String, Problem> {
        let image = text(container, "image")?;
        let is_name = image.starts_with(|first: char| first.is_ascii_alphanumeric())
            && image
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_./:@".contains(&byte));
        if !is_name {
            return Err(wrong("'image' is no name of an image"));
        }
        let allowed = &self.options.images;
        if !allowed.is_empty() && !allowed.iter().any(|begin| image.starts_with(begin)) {
            return Err(wrong("the host does not allow this image"));
        }
        Ok(image.to_owned())
    }

    fn ports(&self, container: &Map<String, Value>) -> Result<Vec<String>, Problem> {
        let ports = members(container, "ports")?;
        let allowed = self.options.ports && self.options.network;
        if !ports.is_empty() && !allowed {
            return Err(wrong("the host does not let containers publish ports"));
        }
        let port = |text: &str| text.parse::<u16>().ok();
        let words = ports.into_iter().map(|(host, inside)| {
            let (host, inside) = (port(&host)?, port(&inside)?);
            Some(format!("--publish={host}:{inside}"))
        });
        words
            .collect::<Option<_>>()
            .ok_or_else(|| wrong("'ports' of a container must be port numbers"))
    }

    fn volumes(&self, container: &Map<String, Value>) -> Result<Vec<String>, Problem> {
        let refused = || wrong("the host does not let containers mount this folder");
        let volumes = members(container, "volumes")?.into_iter();
        let words = volumes.map(|(host, inside)| {
            // What a link leads to counts, and nothing that changes the words' meaning.
            let folder = std::fs::canonicalize(&host).map_err(|_| refused())?;
            let is_allowed = self
                .options
                .volumes
                .iter()
                .any(|root| folder.starts_with(root));
            let folder = folder.to_str().filter(|_| is_allowed).ok_or_else(refused)?;
            if folder.contains([',', ':'])
                || inside.contains([',', ':'])
                || !inside.starts_with('/')
            {
                return Err(wrong(
                    "a volume's paths are absolute and have no comma or colon",
                ));
            }
            Ok(format!("--mount=type=bind,source={folder},target={inside}"))
        });
        words.collect()
    }

    /// Runs a container to its end.
    async fn finish(
        &self,
        job: Job,
        input: Option<String>,
        container: Container,
    ) -> Result<Value, Problem> {
        let running = self.processes.start(job).await?;
        let mut removal = Removal {
            of: self.clone(),
            name: container.name,
            routines: container.routines,
            wanted: true,
        };
        let ended = running.finish(input).await?;
        match container.cleanup {
            // The engine does it.
            Cleanup::Always | Cleanup::Never => removal.wanted = false,
            Cleanup::After(wait) => removal.after(wait),
        }
        container.returned.of(ended)
    }

    /// Removes a container, if there is one of this name.
    async fn remove(&self, name: &str) {
        let job = self.job(
            vec!["rm".to_owned(), "--force".to_owned(), name.to_owned()],
            Vec::new(),
        );
        let removed = match self.processes.start(job).await {
            Ok(running) => running.finish(None).await.map(drop),
            Err(problem) => Err(problem),
        };
        if let Err(problem) = removed {
            tracing::warn!(name, detail = problem.detail, "a container may be left");
        }
    }

    fn job(&self, arguments: Vec<String>, files: Vec<(&'static str, Vec<u8>)>) -> Job {
        let environment = self.options.engine_environment.clone();
        Job {
            program: self.options.engine.clone(),
            arguments,
            environment: environment.into_iter().collect(),
            files,
            confined: false,
        }
    }
}

/// What is to be known of a container until it is gone.
struct Container {
    name: String,
    cleanup: Cleanup,
    returned: Returned,
    routines: Routines,
}

/// Removes a container when dropped, for its engine's program may be killed before.
struct Removal {
    of: RunContainer,
    name: String,
    routines: Routines,
    wanted: bool,
}

impl Removal {
    fn after(&mut self, wait: Duration) {
        self.wanted = false;
        let (of, name) = (self.of.clone(), self.name.clone());
        drop(self.routines.spawn("container", async move {
            tokio::time::sleep(wait).await;
            of.remove(&name).await;
        }));
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        if self.wanted {
            self.after(Duration::ZERO);
        }
    }
}

#[async_trait]
impl Function for RunContainer {
    async fn call(&self, invocation: Invocation) -> Result<Value, Problem> {
        let container = process(&invocation, "container")?;
        let returned = Returned::read(&invocation.arguments)?;
        let cleanup = cleanup(container)?;
        let given = optional_text(container, "name");
        let name = match &given {
            Some(name) => name.clone(),
            None => own_name(&invocation.key),
        };
        if !is_container_name(&name) {
            return Err(wrong("'name' is no name of a container"));
        }
        let words = self.words(container, &name, &cleanup)?;
        let files = vec![(ENVIRONMENT, environment_file(container)?)];
        let input = optional_text(container, "stdin");
        if given.is_none() {
            self.remove(&name).await;
        }
        let job = self.job(words, files);
        let container = Container {
            name,
            cleanup,
            returned,
            routines: invocation.routines.clone(),
        };
        if invocation.awaited {
            return self.finish(job, input, container).await;
        }
        let (this, task) = (self.clone(), invocation.task.clone());
        let stopping = invocation.routines.stopping().clone();
        drop(invocation.routines.spawn("container", async move {
            tokio::select! {
                ended = this.finish(job, input, container) => {
                    if let Err(problem) = ended {
                        tracing::warn!(%task, detail = problem.detail, "a container that nobody waits for failed");
                    }
                }
                () = stopping.cancelled() => {}
            }
        }));
        Ok(Value::clone(&invocation.input))
    }
}

/// Makes a name from the call's key, so that a repeated call finds what the first left.
fn own_name(key: &str) -> String {
    let word = |byte: u8| {
        let is_plain = byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        char::from(if is_plain { byte } else { b'-' })
    };
    format!("auterity-{}", key.bytes().map(word).collect::<String>())
}

fn is_container_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn pull(container: &Map<String, Value>) -> Result<&'static str, Problem> {
    match container.get("pullPolicy").and_then(Value::as_str) {
        None | Some("ifNotPresent") => Ok("missing"),
        Some("always") => Ok("always"),
        Some("never") => Ok("never"),
        Some(_) => Err(wrong(
            "'pullPolicy' is none of ifNotPresent, always and never",
        )),
    }
}

fn cleanup(container: &Map<String, Value>) -> Result<Cleanup, Problem> {
    let lifetime = container.get("lifetime");
    let word = lifetime.and_then(|lifetime| lifetime.get("cleanup"));
    match word.and_then(Value::as_str) {
        None | Some("always") => Ok(Cleanup::Always),
        Some("never") => Ok(Cleanup::Never),
        Some("eventually") => {
            let after = lifetime.and_then(|lifetime| lifetime.get("after"));
            let after = after.ok_or_else(|| wrong("the cleanup 'eventually' needs 'after'"))?;
            let after = duration::read(after);
            let after =
                after.ok_or_else(|| wrong("'after' of a container is no positive duration"))?;
            Ok(Cleanup::After(after))
        }
        Some(_) => Err(wrong("'cleanup' is none of always, never and eventually")),
    }
}

/// Writes the environment as the engine reads it from a file: there it shows in no list
/// of processes, and can change nothing about the engine's program.
fn environment_file(container: &Map<String, Value>) -> Result<Vec<u8>, Problem> {
    let mut file = Vec::new();
    for (name, value) in environment(container)? {
        if name.contains(['\n', '\r']) || value.contains(['\n', '\r']) || name.starts_with('#') {
            let detail = "a variable of a container's environment cannot have several lines";
            return Err(wrong(detail));
        }
        file.extend_from_slice(format!("{name}={value}\n").as_bytes());
    }
    Ok(file)
}

/// Reads an object of texts and numbers.
fn members(container: &Map<String, Value>, name: &str) -> Result<Vec<(String, String)>, Problem> {
    let members = match container.get(name) {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(members)) => members,
        Some(_) => return Err(wrong(format!("'{name}' of a container must be an object"))),
    };
    let read = members
        .iter()
        .map(|(key, value)| Some((key.clone(), plain(value)?)));
    read.collect::<Option<_>>().ok_or_else(|| {
        wrong(format!(
            "'{name}' of a container must have texts and numbers"
        ))
    })
}
