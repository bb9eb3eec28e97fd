//! One file per command.

mod migrate;
mod mine;
mod run;
mod serve;
mod suggest;
mod validate;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::CommandFactory;

use crate::config::{Arguments, Command, Settings};
use crate::failure::Failure;

/// Executes a command.
pub(crate) fn execute(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments { common, command } = arguments;
    match command {
        Command::Serve(options) => {
            let settings = Settings::read(&common, Some(&options))?;
            start_logging(&settings, false)?;
            let runtime = runtime()?;
            let done = runtime.block_on(serve::serve(settings));
            // What still runs after the stop is not waited for.
            runtime.shutdown_background();
            done
        }
        Command::Run(options) => {
            let settings = Settings::read(&common, None)?;
            start_logging(&settings, true)?;
            runtime()?.block_on(run::run(settings, options))
        }
        Command::Validate(options) => {
            let settings = Settings::read(&common, None)?;
            validate::validate(&settings, &options, common.json())
        }
        Command::Mine(options) => mine::mine(&options, common.json()),
        Command::Suggest { action } => suggest::suggest(&action, common.json()),
        Command::Migrate(options) => {
            let settings = Settings::read(&common, None)?;
            start_logging(&settings, true)?;
            runtime()?.block_on(migrate::migrate(settings, &options, common.json()))
        }
        Command::Openapi => print(&auterity_http::openapi()),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            let mut command = Arguments::command();
            clap_complete::generate(shell, &mut command, "auterity", &mut script);
            print(String::from_utf8_lossy(&script).trim_end())
        }
        Command::Version => print(&format!("auterity {}", env!("CARGO_PKG_VERSION"))),
    }
}

/// Prints a line on stdout. A reader that went away is no failure.
pub(crate) fn print(text: &str) -> Result<ExitCode, Failure> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}

/// Logs to stderr: lines for people on a terminal, JSON otherwise.
fn start_logging(settings: &Settings, quiet: bool) -> Result<(), Failure> {
    let default = super::config::LOG_DEFAULT;
    let wanted = if quiet && settings.log == default {
        "error"
    } else {
        settings.log.as_str()
    };
    let filter = tracing_subscriber::EnvFilter::try_new(wanted)
        .map_err(|error| Failure::usage(format!("the log filter is wrong: {error}")))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if std::io::stderr().is_terminal() {
        builder.init();
    } else {
        builder.json().init();
    }
    Ok(())
}
