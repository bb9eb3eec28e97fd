//! `run`: programs that definitions start on this machine. Off unless the host adds
//! [`RunShell`], [`RunScript`] or [`RunContainer`].
//!
//! What holds for every program:
//! - Its environment is `PATH`, `HOME`, `TMPDIR`, `LANG` and what the definition sets;
//!   nothing of the server's own. It works in a fresh folder that is removed afterwards.
//! - Wall time, processor time, memory, sizes of files, number of files and processes,
//!   and output are limited.
//! - It leads a process group that is killed when the task ends in whatever way: by
//!   itself, by a time-out, a cancellation or a lost race.
//! - With [`Isolation::Namespaces`], the default, it sees no network, no other process
//!   and no shared memory of the host (Linux namespaces by `unshare` of util-linux), and
//!   whatever it leaves behind dies with it. It can gain no privilege.
//!
//! What is *not* isolated: the file system. A program reads what its user may read, so a
//! server that runs as root has to name another [user](ProcessOptions::user), and one
//! that does not should run in a container of its own. Containers
//! ([`RunContainer`]) are as isolated as their engine makes them.

mod container;
mod output;
mod running;
mod sandbox;
mod script;
mod shell;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::{OnceCell, Semaphore};

pub use self::container::{ContainerOptions, RunContainer};
use self::output::Returned;
pub(super) use self::running::Running;
pub use self::script::RunScript;
pub use self::shell::RunShell;
use super::Invocation;
use super::http::request::plain;
use crate::interpreter::{Problem, ProblemKind};
use crate::{Error, ErrorKind};

/// What keeps a program away from the rest of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Namespaces of its own for network, processes, shared memory and mounts. Where
    /// the machine does not let programs make them, nothing is run.
    Namespaces,
    /// Limits alone: for machines that cannot do more, and definitions that are all
    /// trusted.
    None,
}

/// As whom and within which limits programs run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessOptions {
    /// The number of the user that programs run as; needed where this process is
    /// root's, possible nowhere else.
    pub user: Option<u32>,
    /// The number of the group; that of `user` unless set.
    pub group: Option<u32>,
    /// What keeps programs away from the rest of the machine.
    pub isolation: Isolation,
    /// Whether isolated programs see the host's network all the same.
    pub network: bool,
    /// The time for one program.
    pub time_max: SignedDuration,
    /// The processor time for each of its processes.
    pub cpu_time_max: SignedDuration,
    /// The memory that each of its processes may write to, in bytes.
    pub memory_bytes_max: u64,
    /// The largest file that it may write, in bytes.
    pub file_bytes_max: u64,
    /// How many files each of its processes has open at most.
    pub open_files_max: u64,
    /// How many processes and threads its user has at most.
    pub processes_max: u64,
    /// The largest standard output, and the same for standard error, in bytes.
    pub output_bytes_max: usize,
    /// The largest input: standard input, arguments and environment together, in bytes.
    pub input_bytes_max: usize,
    /// How many programs run at once; more wait.
    pub concurrent_max: usize,
    /// The folder in which programs get a folder each.
    pub directory: PathBuf,
    /// Where programs are found.
    pub path: String,
    /// The shell, which has to take `-c`.
    pub shell: PathBuf,
    /// The command that executes a script, by language; the script's file follows it.
    pub interpreters: BTreeMap<String, Vec<String>>,
}

impl Default for ProcessOptions {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self {
            user: None,
            group: None,
            isolation: Isolation::Namespaces,
            network: false,
            time_max: SignedDuration::from_secs(60),
            cpu_time_max: SignedDuration::from_secs(30),
            memory_bytes_max: 512 << 20,
            file_bytes_max: 64 << 20,
            open_files_max: 256,
            processes_max: 512,
            output_bytes_max: 1 << 20,
            input_bytes_max: 1 << 20,
            concurrent_max: 16,
            directory: PathBuf::from("/tmp"),
            path: "/usr/local/bin:/usr/bin:/bin".to_owned(),
            shell: PathBuf::from("/bin/sh"),
            interpreters: BTreeMap::from([
                ("javascript".to_owned(), words(&["node"])),
                ("python".to_owned(), words(&["python3", "-I"])),
            ]),
        }
    }
}

impl ProcessOptions {
    /// Checks that the options make sense together, and for the user of this process.
    ///
    /// # Errors
    /// Gives an error of kind [`Invalid`](ErrorKind::Invalid) that names the option.
    pub fn validate(&self) -> Result<(), Error> {
        let wrong = |message: &str| Err(Error::new(ErrorKind::Invalid, message));
        if !self.time_max.is_positive() || self.cpu_time_max.as_secs() < 1 {
            return wrong("time_max and cpu_time_max of programs must be positive");
        }
        let limits = [
            self.memory_bytes_max,
            self.file_bytes_max,
            self.open_files_max,
            self.processes_max,
        ];
        if limits.contains(&0) || self.output_bytes_max == 0 || self.concurrent_max == 0 {
            return wrong("the limits of programs must be positive");
        }
        let is_root = rustix::process::geteuid().is_root();
        match self.user {
            None if is_root => wrong(
                "programs of definitions would run as root: name the number of an unprivileged user",
            ),
            Some(0) => wrong("programs of definitions must not run as root"),
            Some(_) if !is_root => wrong(
                "only root can run programs as another user: leave the user out, and programs run as this one",
            ),
            _ => Ok(()),
        }
    }
}

/// Starts programs and keeps them within their limits.
#[derive(Debug)]
pub struct Processes {
    options: ProcessOptions,
    permits: Arc<Semaphore>,
    /// Whether this machine can isolate, found out once.
    isolating: OnceCell<()>,
}

/// A program to be started. It has no `Debug`: arguments and environment may be secret.
pub(super) struct Job {
    pub(super) program: String,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    /// Files to put into its folder.
    pub(super) files: Vec<(&'static str, Vec<u8>)>,
    /// Whether it is held away from the machine, or is a client of another program that
    /// is.
    pub(super) confined: bool,
}

impl Processes {
    /// Makes a starter of programs.
    ///
    /// # Errors
    /// Those of [`ProcessOptions::validate`].
    pub fn new(options: ProcessOptions) -> Result<Arc<Self>, Error> {
        options.validate()?;
        Ok(Arc::new(Self {
            permits: Arc::new(Semaphore::new(options.concurrent_max)),
            options,
            isolating: OnceCell::new(),
        }))
    }

    pub(super) fn options(&self) -> &ProcessOptions {
        &self.options
    }

    /// Starts a program once there is room for it.
    pub(super) async fn start(&self, job: Job) -> Result<Running, Problem> {
        let bytes = job.arguments.iter().map(String::len).sum::<usize>();
        let more = job
            .environment
            .iter()
            .map(|(name, text)| name.len() + text.len());
        self.fits(bytes + more.sum::<usize>())?;
        if job.confined {
            let checked = self
                .isolating
                .get_or_try_init(|| sandbox::check(&self.options));
            checked.await?;
        }
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| failed("this host starts no more programs"))?;
        sandbox::start(&self.options, job, permit)
    }

    /// Starts a program and gives what the task shall give: at its end, or at once where
    /// the definition does not wait.
    pub(super) async fn run(
        &self,
        job: Job,
        invocation: &Invocation,
        holder: &Map<String, Value>,
    ) -> Result<Value, Problem> {
        let returned = Returned::read(&invocation.arguments)?;
        let input = optional_text(holder, "stdin");
        self.fits(input.as_ref().map_or(0, String::len))?;
        let running = self.start(job).await?;
        if invocation.awaited {
            return returned.of(running.finish(input).await?);
        }
        let task = invocation.task.clone();
        let stopping = invocation.routines.stopping().clone();
        drop(invocation.routines.spawn("program", async move {
            tokio::select! {
                ended = running.finish(input) => {
                    if let Err(problem) = ended {
                        tracing::warn!(%task, detail = problem.detail, "a program that nobody waits for failed");
                    }
                }
                () = stopping.cancelled() => {}
            }
        }));
        Ok(Value::clone(&invocation.input))
    }

    fn fits(&self, bytes: usize) -> Result<(), Problem> {
        let most = self.options.input_bytes_max;
        if bytes <= most {
            return Ok(());
        }
        Err(failed(format!(
            "the program's input would take more than {most} bytes"
        )))
    }
}

/// Makes the job of a holder with `command`, `arguments` and `environment`, where the
/// command is a program and no shell's.
pub(super) fn job(holder: &Map<String, Value>) -> Result<Job, Problem> {
    Ok(Job {
        program: text(holder, "command")?.to_owned(),
        arguments: arguments(holder)?,
        environment: environment(holder)?,
        files: Vec::new(),
        confined: true,
    })
}

/// Reads the process of a `run` task.
fn process<'a>(invocation: &'a Invocation, kind: &str) -> Result<&'a Map<String, Value>, Problem> {
    let found = invocation.arguments.get(kind).and_then(Value::as_object);
    found.ok_or_else(|| wrong(format!("a run task needs the object '{kind}'")))
}

fn text<'a>(holder: &'a Map<String, Value>, name: &str) -> Result<&'a str, Problem> {
    let found = holder.get(name).and_then(Value::as_str);
    found.ok_or_else(|| wrong(format!("the process needs the text '{name}'")))
}

fn optional_text(holder: &Map<String, Value>, name: &str) -> Option<String> {
    let value = holder.get(name).filter(|value| !value.is_null())?;
    // An expression may give any value.
    Some(plain(value).unwrap_or_else(|| value.to_string()))
}

fn arguments(holder: &Map<String, Value>) -> Result<Vec<String>, Problem> {
    let list = match holder.get("arguments") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(wrong("'arguments' of a process must be a list")),
    };
    let texts = list
        .iter()
        .map(|one| plain(one).filter(|text| !text.contains('\0')));
    texts.collect::<Option<_>>().ok_or_else(|| {
        wrong("an argument of the process is no text, number or boolean, or has a zero byte")
    })
}

fn environment(holder: &Map<String, Value>) -> Result<Vec<(String, String)>, Problem> {
    let variables = match holder.get("environment") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(variables)) => variables,
        Some(_) => return Err(wrong("'environment' of a process must be an object")),
    };
    let mut read = Vec::with_capacity(variables.len());
    for (name, value) in variables {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(wrong(
                "a variable of the environment has a name that none can have",
            ));
        }
        let text = plain(value).filter(|text| !text.contains('\0'));
        let text = text.ok_or_else(|| {
            wrong(format!(
                "the variable {name} is no text, number or boolean, or has a zero byte"
            ))
        })?;
        read.push((name.clone(), text));
    }
    Ok(read)
}

fn wrong(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Configuration, detail)
}

fn failed(detail: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::Runtime, detail)
}
