//! How a program is held: each layer is a program of util-linux that becomes the next.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::OwnedSemaphorePermit;

use super::running::Running;
use super::{Isolation, Job, ProcessOptions, failed, wrong};
use crate::interpreter::Problem;

/// How long the check of the layers may take.
const CHECK_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(10);

/// Finds out whether this machine lets programs be held as the options say.
pub(super) async fn check(options: &ProcessOptions) -> Result<(), Problem> {
    let mut command = command(options, OsStr::new("true"), &[]);
    let output = command.current_dir("/").stdin(Stdio::null()).output();
    let cannot = |why: &str| {
        tracing::error!(why, "programs cannot be isolated");
        wrong(format!(
            "this host cannot hold programs as its options say ({why}); it needs unshare, setpriv and \
             prlimit of util-linux and leave to make namespaces, or isolation switched off"
        ))
    };
    match tokio::time::timeout(CHECK_TIME_MAX, output).await {
        Err(_) => Err(cannot("the check did not end")),
        Ok(Err(error)) => Err(cannot(&error.to_string())),
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => {
            let words = String::from_utf8_lossy(&output.stderr);
            Err(cannot(words.lines().next().unwrap_or("no reason given")))
        }
    }
}

/// Starts a program in a folder of its own.
pub(super) fn start(
    options: &ProcessOptions,
    job: Job,
    permit: OwnedSemaphorePermit,
) -> Result<Running, Problem> {
    let folder = folder(options, &job).map_err(|error| {
        tracing::error!(%error, "no folder for a program");
        failed("this host could not make a folder for the program")
    })?;
    let mut command = if job.confined {
        command(options, OsStr::new(&job.program), &job.arguments)
    } else {
        let mut command = Command::new(&job.program);
        command.args(&job.arguments);
        clean(&mut command, options);
        command
    };
    command
        .current_dir(folder.path())
        .env("HOME", folder.path())
        .env("TMPDIR", folder.path())
        .envs(job.environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command
        .spawn()
        .map_err(|error| unstarted(&error, &job.program))?;
    Running::new(child, options, (folder, permit))
}

/// Puts the layers around a program.
fn command(options: &ProcessOptions, program: &OsStr, arguments: &[String]) -> Command {
    let mut words: Vec<OsString> = Vec::new();
    let mut add = |word: String| words.push(word.into());
    if options.isolation == Isolation::Namespaces {
        // The user is the same inside; a namespace of users is what lets one without
        // privileges make the others.
        for word in [
            "unshare",
            "--user",
            "--map-current-user",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "--ipc",
        ] {
            add(word.to_owned());
        }
        if !options.network {
            add("--net".to_owned());
        }
        add("--".to_owned());
    }
    for word in ["setpriv", "--no-new-privs", "--", "prlimit", "--core=0"] {
        add(word.to_owned());
    }
    // The second number is where the kernel no longer asks.
    let cpu_seconds = options.cpu_time_max.as_secs();
    add(format!(
        "--cpu={cpu_seconds}:{}",
        cpu_seconds.saturating_add(1)
    ));
    // Not the address space: interpreters reserve far more of it than they use.
    add(format!("--data={}", options.memory_bytes_max));
    add(format!("--fsize={}", options.file_bytes_max));
    add(format!("--nofile={}", options.open_files_max));
    add(format!("--nproc={}", options.processes_max));
    add("--".to_owned());
    words.push(program.to_owned());
    words.extend(arguments.iter().map(OsString::from));
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]);
    // Given up before the first layer, so that what the definition puts into the
    // environment reaches no program with privileges.
    if let Some(user) = options.user {
        command.uid(user).gid(options.group.unwrap_or(user));
    }
    clean(&mut command, options);
    command
}

fn clean(command: &mut Command, options: &ProcessOptions) {
    command
        .env_clear()
        .env("PATH", &options.path)
        .env("LANG", "C.UTF-8")
        .process_group(0)
        .kill_on_drop(true);
}

fn folder(options: &ProcessOptions, job: &Job) -> io::Result<TempDir> {
    let folder = tempfile::Builder::new()
        .prefix("auterity-run-")
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir_in(&options.directory)?;
    for (name, content) in &job.files {
        let path = folder.path().join(name);
        std::fs::write(&path, content)?;
        own(options, &path)?;
    }
    own(options, folder.path())?;
    Ok(folder)
}

fn own(options: &ProcessOptions, path: &Path) -> io::Result<()> {
    match options.user {
        Some(user) => chown(path, Some(user), options.group.or(Some(user))),
        None => Ok(()),
    }
}

fn unstarted(error: &io::Error, program: &str) -> Problem {
    match error.kind() {
        io::ErrorKind::NotFound => wrong(format!(
            "this host has no program for the task: {program}, or one that holds it, was not found"
        )),
        io::ErrorKind::ArgumentListTooLong => wrong("the program's arguments are too long"),
        _ => {
            tracing::error!(%error, program, "a program was not started");
            failed("this host could not start the program")
        }
    }
}
