//! `auterity validate`: every mistake with its place.

use std::process::ExitCode;

use auterity_core::definition::{CompileOptions, Mistake, Position, compile};
use serde_json::json;

use super::print;
use crate::config::{Settings, Validate};
use crate::failure::Failure;
use crate::wiring;

pub(super) fn validate(
    settings: &Settings,
    options: &Validate,
    as_json: bool,
) -> Result<ExitCode, Failure> {
    let functions = wiring::functions(settings)?;
    let known = |name: &str| functions.contains(name);
    let mut reports = Vec::new();
    let mut found = 0;
    for path in &options.files {
        let compile_options = CompileOptions {
            functions: Some(&known),
            ..CompileOptions::default()
        };
        let mistakes = match std::fs::read_to_string(path) {
            Ok(text) => compile(&text, &compile_options).err().unwrap_or_default(),
            Err(error) => vec![unreadable(&error)],
        };
        found += mistakes.len();
        if as_json {
            let file = path.display().to_string();
            reports.push(json!({ "file": file, "valid": mistakes.is_empty(), "errors": mistakes }));
        } else {
            report(&path.display().to_string(), &mistakes)?;
        }
    }
    if as_json {
        print(&serde_json::to_string_pretty(&reports).unwrap_or_default())?;
    }
    Ok(if found == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(2)
    })
}

/// Tells of a file that cannot be read as of a mistake in it, so that those of the other
/// files are told too.
fn unreadable(error: &std::io::Error) -> Mistake {
    let start = Position { line: 1, column: 1 };
    Mistake {
        code: "file_unreadable",
        pointer: String::new(),
        message: format!("the file cannot be read: {error}"),
        hint: None,
        start,
        end: start,
    }
}

fn report(file: &str, mistakes: &[Mistake]) -> Result<(), Failure> {
    if mistakes.is_empty() {
        print(&format!("{file}: valid"))?;
    }
    for mistake in mistakes {
        print(&format!("{file}:{mistake}"))?;
    }
    Ok(())
}
