//! The Auterity product as one binary: `auterity help` tells what it does.

mod assets;
mod cli;
mod config;
mod data_folder;
mod demo;
mod failure;
mod secrets;
mod wiring;

use std::process::ExitCode;

use mimalloc::MiMalloc;

use crate::config::Arguments;
use crate::failure::Failure;

/// Executions are many small values; the system's allocator takes a tenth of their time.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() && Arguments::wants_json() => {
            return Failure::from(error).report(true);
        }
        Err(error) => error.exit(),
    };
    let json = arguments.common.json();
    match cli::execute(arguments) {
        Ok(code) => code,
        Err(failure) => failure.report(json),
    }
}
