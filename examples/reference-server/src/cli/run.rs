//! `auterity run`: executes one definition durably.

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use auterity_core::engine::{DeployError, Deployment, Handle, StartRequest, tasks_of};
use auterity_core::interpreter::{TaskRecord, TaskState};
use auterity_core::store::{ExecutionRow, Status};
use auterity_core::{ErrorKind, Scope};
use futures_util::StreamExt;
use serde_json::{Map, Value};
use tokio::signal::unix::{SignalKind, signal};

use super::print;
use crate::config::{Run, Settings};
use crate::data_folder::DataFolder;
use crate::failure::Failure;
use crate::{secrets, wiring};

/// How long effects under way may take when the program is asked to stop.
const STOP_WITHIN: Duration = Duration::from_secs(5);

pub(super) async fn run(settings: Settings, options: Run) -> Result<ExitCode, Failure> {
    let input = read_input(&options)?;
    let secrets = secrets::of_one(settings.secrets.as_deref())?;
    let text = std::fs::read_to_string(&options.file).map_err(|error| {
        Failure::usage(format!(
            "{} cannot be read: {error}",
            options.file.display()
        ))
    })?;
    let folder = DataFolder::open(&settings.data)?;
    let scope = folder.local_scope()?;
    let store = wiring::store(&settings, &folder).await?;
    let engine = wiring::engine(&settings, &folder, store, secrets).await?;
    let handle = engine.handle();
    let mut terminate = signal(SignalKind::terminate())?;
    let ended = tokio::select! {
        ended = execute(&handle, &scope, (&text, input), &options) => Some(ended),
        _ = tokio::signal::ctrl_c() => None,
        _ = terminate.recv() => None,
    };
    engine.stop(STOP_WITHIN).await?;
    match ended {
        Some(ended) => tell(&ended?),
        None => Err(Failure::work(match &options.id {
            Some(id) => format!("interrupted; the same command with --id {id} resumes"),
            None => "interrupted; with --id KEY the same command would resume".to_owned(),
        })),
    }
}

async fn execute(
    handle: &Handle,
    scope: &Scope,
    (text, input): (&str, Value),
    options: &Run,
) -> Result<ExecutionRow, Failure> {
    let deployment = deploy(handle, scope, text, &options.file).await?;
    let workflow = deployment.row.workflow;
    let request = StartRequest {
        namespace: workflow.namespace,
        name: workflow.name,
        version: Some(workflow.version),
        input,
        idempotency_key: options.id.clone(),
        ..StartRequest::default()
    };
    let started = handle.start(scope, request).await.map_err(not_started)?;
    let mut events = Box::pin(handle.follow(scope.clone(), started.id, 0));
    let watched = std::io::stderr().is_terminal();
    while let Some(event) = events.next().await {
        let event = event?;
        let records = tasks_of(&event).unwrap_or_default();
        for record in &records {
            progress(record, options.trace, watched);
        }
    }
    let row = handle.wait(scope, started.id, Duration::ZERO).await?;
    Ok(row)
}

fn not_started(error: auterity_core::Error) -> Failure {
    let places = error.violations().iter().map(|found| {
        // The whole input has an empty pointer.
        let place = if found.pointer.is_empty() {
            "the input"
        } else {
            &found.pointer
        };
        format!("{place}: {}", found.message)
    });
    let places: Vec<String> = places.collect();
    match error.kind() {
        ErrorKind::Invalid if !places.is_empty() => {
            Failure::usage(format!("{}: {}", error.message(), places.join("; ")))
        }
        ErrorKind::Conflict => Failure::usage(
            "the key of --id belongs to an execution of another definition or input; choose another",
        ),
        _ => Failure::from(error),
    }
}

async fn deploy(
    handle: &Handle,
    scope: &Scope,
    text: &str,
    file: &Path,
) -> Result<Deployment, Failure> {
    let place = file.display();
    handle.deploy(scope, text).await.map_err(|error| match error {
        DeployError::Invalid(mistakes) => {
            let lines: Vec<String> =
                mistakes.iter().map(|mistake| format!("{place}:{mistake}")).collect();
            Failure::usage(format!("the definition has mistakes\n{}", lines.join("\n")))
                .with_errors(&mistakes)
        }
        DeployError::External { .. } => Failure::work(error.to_string()),
        DeployError::VersionExists => Failure::usage(format!(
            "{place} differs from what was executed before under the same version; raise document.version"
        )),
        DeployError::Engine(error) => Failure::from(error),
    })
}

/// Shows a task's change on stderr.
#[expect(clippy::print_stderr, reason = "progress of a command for people")]
fn progress(record: &TaskRecord, trace: bool, watched: bool) {
    if trace {
        eprintln!("{}", serde_json::to_string(record).unwrap_or_default());
        return;
    }
    if !watched {
        return;
    }
    let sign = match record.state {
        TaskState::Started => return,
        TaskState::Completed => "done     ",
        TaskState::Faulted => "failed   ",
        TaskState::Cancelled => "cancelled",
        TaskState::Skipped => "skipped  ",
        TaskState::Retrying => "retrying ",
    };
    let took = record.at.duration_since(record.started_at).as_millis();
    eprintln!("{sign} {:<40} {took:>8} ms", record.name);
}

fn tell(row: &ExecutionRow) -> Result<ExitCode, Failure> {
    match row.status {
        Status::Completed => print(row.output.as_deref().unwrap_or("null")),
        Status::Faulted => {
            tell_error(row.error.as_deref().unwrap_or("null"));
            Ok(ExitCode::FAILURE)
        }
        other => Err(Failure::work(format!("the execution is {other}"))),
    }
}

#[expect(clippy::print_stderr, reason = "the error object belongs on stderr")]
fn tell_error(error: &str) {
    eprintln!("{error}");
}

fn read_input(options: &Run) -> Result<Value, Failure> {
    let mut input = match options.input.as_deref() {
        None => Value::Object(Map::new()),
        Some(text) => {
            let text = match text.strip_prefix('@') {
                Some(path) => std::fs::read_to_string(path).map_err(|error| {
                    Failure::usage(format!("the input file {path} cannot be read: {error}"))
                })?,
                None => text.to_owned(),
            };
            read_json("the input", &text)?
        }
    };
    for pair in &options.set {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("--set {pair} must have the form name=value")))?;
        let value = match serde_json::from_str::<Value>(value) {
            Ok(_) => read_json(&format!("--set {name}"), value)?,
            Err(_) => Value::from(value),
        };
        let Value::Object(object) = &mut input else {
            return Err(Failure::usage("--set needs an input that is a JSON object"));
        };
        object.insert(name.to_owned(), value);
    }
    Ok(input)
}

fn read_json(what: &str, text: &str) -> Result<Value, Failure> {
    let value = serde_json::from_str(text)
        .map_err(|error| Failure::usage(format!("{what} is not JSON: {error}")))?;
    auterity_core::check_exact(text.as_bytes()).map_err(|found| {
        let place = if found.pointer.is_empty() {
            String::new()
        } else {
            format!(" at {}", found.pointer)
        };
        Failure::usage(format!(
            "{what} cannot be kept as it is{place}: {}",
            found.message
        ))
    })?;
    Ok(value)
}
