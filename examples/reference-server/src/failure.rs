//! How a command says that it failed: one sentence on stderr, and an exit status.

use std::fmt;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Value, json};

/// The work failed.
const FAILED: u8 = 1;
/// The command was used wrongly, or a definition is invalid.
const WRONG: u8 = 2;

/// Why a command failed, in words for the person who typed it.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    status: u8,
    /// Single mistakes, for programs.
    errors: Option<Value>,
}

impl Failure {
    /// The work failed: a database is not there, an execution cannot go on.
    pub(crate) fn work(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            status: FAILED,
            errors: None,
        }
    }

    /// The command was used wrongly.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            status: WRONG,
            errors: None,
        }
    }

    /// Adds the single mistakes, which the message tells for people.
    pub(crate) fn with_errors(mut self, errors: &impl Serialize) -> Self {
        self.errors = serde_json::to_value(errors).ok();
        self
    }

    /// Writes the failure to stderr, as a sentence or as JSON.
    #[expect(
        clippy::print_stderr,
        reason = "this is where a command's failure is told"
    )]
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        if json {
            let mut told = json!({ "error": self.message, "status": self.status });
            if let Some(errors) = &self.errors {
                told["errors"] = errors.clone();
            }
            eprintln!("{told}");
        } else {
            eprintln!("auterity: {}", self.message);
        }
        ExitCode::from(self.status)
    }
}

/// Tells an error with its whole chain of causes.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

impl From<auterity_core::Error> for Failure {
    fn from(error: auterity_core::Error) -> Self {
        Self::work(chain(&error))
    }
}

impl From<auterity_tenancy::Error> for Failure {
    fn from(error: auterity_tenancy::Error) -> Self {
        Self::work(chain(&error))
    }
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        // The first paragraph says what is wrong; usage and tips follow.
        let text = error.render().to_string();
        let first = text.split("\n\n").next().unwrap_or_default();
        let words: Vec<&str> = first.split_whitespace().collect();
        let sentence = words.join(" ");
        Self::usage(sentence.strip_prefix("error: ").unwrap_or(&sentence))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::work(error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}
