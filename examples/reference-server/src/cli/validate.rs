//! `auterity validate`: every mistake with its place.

use std::process::ExitCode;

use auterity_core::definition::{CompileOptions, Limits, Mistake, compile};
use auterity_core::functions::Functions;
use serde_json::json;

use super::print;
use crate::config::Validate;
use crate::failure::Failure;

pub(super) fn validate(options: &Validate, as_json: bool) -> Result<ExitCode, Failure> {
    let functions = Functions::built_in();
    let known = |name: &str| functions.contains(name);
    let mut reports = Vec::new();
    let mut found = 0;
    for path in &options.files {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::usage(format!("{} cannot be read: {error}", path.display()))
        })?;
        let compile_options = CompileOptions {
            limits: Limits::default(),
            functions: Some(&known),
            externals: None,
        };
        let mistakes = compile(&text, &compile_options).err().unwrap_or_default();
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

fn report(file: &str, mistakes: &[Mistake]) -> Result<(), Failure> {
    if mistakes.is_empty() {
        print(&format!("{file}: valid"))?;
    }
    for mistake in mistakes {
        print(&format!("{file}:{mistake}"))?;
    }
    Ok(())
}
