//! The Auterity product as one binary: `auterity help` tells what it does.

mod assets;
mod cli;
mod config;
mod demo;
mod failure;
mod wiring;

use std::process::ExitCode;

use clap::Parser;

use crate::config::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let json = arguments.common.json;
    match cli::execute(arguments) {
        Ok(code) => code,
        Err(failure) => failure.report(json),
    }
}
