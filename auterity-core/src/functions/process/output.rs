//! What a task gives of a program's end.

use serde_json::{Value, json};

use super::running::Ended;
use super::{failed, wrong};
use crate::interpreter::Problem;

/// The `return` of a `run` task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Returned {
    Stdout,
    Stderr,
    Code,
    All,
    None,
}

impl Returned {
    pub(super) fn read(arguments: &Value) -> Result<Self, Problem> {
        match arguments.get("return") {
            None | Some(Value::Null) => Ok(Self::Stdout),
            Some(Value::String(word)) => match word.as_str() {
                "stdout" => Ok(Self::Stdout),
                "stderr" => Ok(Self::Stderr),
                "code" => Ok(Self::Code),
                "all" => Ok(Self::All),
                "none" => Ok(Self::None),
                _ => Err(wrong(
                    "'return' is none of stdout, stderr, code, all and none",
                )),
            },
            Some(_) => Err(wrong("'return' must be a text")),
        }
    }

    /// Gives the task's output. Where the definition does not ask for the code, one that
    /// tells of a failure is the task's failure.
    pub(super) fn of(self, ended: Ended) -> Result<Value, Problem> {
        let Ended {
            code,
            stdout,
            stderr,
        } = ended;
        match self {
            Self::Code => Ok(json!(code)),
            Self::All => Ok(json!({"code": code, "stdout": stdout, "stderr": stderr})),
            Self::Stdout | Self::Stderr | Self::None if code != 0 => Err(failed(format!(
                "the program ended with the code {code}; 'return: all' gives what it wrote"
            ))),
            Self::Stdout => Ok(Value::String(stdout)),
            Self::Stderr => Ok(Value::String(stderr)),
            Self::None => Ok(Value::Null),
        }
    }
}
