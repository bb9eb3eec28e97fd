//! Checks of the repository that no compiler and no linter makes: layers, sizes, words.
//!
//! `cargo run -p auterity-tidy` names every finding as `file:line: what, what to do`.

mod files;
mod manifests;
mod sources;

use std::path::Path;
use std::process::{Command, ExitCode};

/// A file of the checkout: its path from the root and, if it is text, its content.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) bytes: usize,
    pub(crate) text: String,
}

impl File {
    #[cfg(test)]
    pub(crate) fn of(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            bytes: text.len(),
            text: text.to_owned(),
        }
    }

    pub(crate) fn is_rust(&self) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|extension| extension == "rs")
    }

    pub(crate) fn is_lock(&self) -> bool {
        matches!(self.name(), "Cargo.lock" | "package-lock.json")
    }

    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

#[expect(clippy::print_stderr, reason = "findings are this program's output")]
fn main() -> ExitCode {
    let files = match checkout() {
        Ok(files) => files,
        Err(why) => {
            eprintln!("tidy: {why}");
            return ExitCode::from(2);
        }
    };
    let findings: Vec<String> = [
        manifests::layers,
        manifests::inheritance,
        sources::lengths,
        sources::leftovers,
        sources::connections,
        sources::ports,
        sources::words,
        files::sizes,
        files::locks,
        files::machine_paths,
        files::cache_paths,
        files::variables,
    ]
    .iter()
    .flat_map(|check| check(&files))
    .collect();
    for finding in &findings {
        eprintln!("{finding}");
    }
    if findings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Reads every file that git tracks or would track.
fn checkout() -> Result<Vec<File>, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(&root)
        .output()
        .map_err(|error| format!("git could not be started: {error}"))?;
    if !output.status.success() {
        return Err("this is no git checkout, and the files to check are those of git".to_owned());
    }
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut files = Vec::new();
    for path in listed.split('\0').filter(|path| !path.is_empty()) {
        // A deleted file is listed until its deletion is staged.
        if let Ok(content) = std::fs::read(root.join(path)) {
            let bytes = content.len();
            let text = String::from_utf8(content).unwrap_or_default();
            files.push(File {
                path: path.to_owned(),
                bytes,
                text,
            });
        }
    }
    Ok(files)
}
