//! `run: { shell: … }`.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::{Job, Processes, arguments, environment, process, text};
use crate::functions::{Function, Invocation};
use crate::interpreter::Problem;

/// Executes a shell command: `sh -c COMMAND`, with the arguments as `$1`, `$2`, …, so
/// that none of them can become a part of the command.
#[derive(Debug, Clone)]
pub struct RunShell {
    processes: Arc<Processes>,
}

impl RunShell {
    /// Makes the function.
    #[must_use]
    pub fn new(processes: Arc<Processes>) -> Self {
        Self { processes }
    }
}

#[async_trait]
impl Function for RunShell {
    async fn call(&self, invocation: Invocation) -> Result<Value, Problem> {
        let shell = process(&invocation, "shell")?;
        let mut words = vec![
            "-c".to_owned(),
            text(shell, "command")?.to_owned(),
            "sh".to_owned(),
        ];
        words.extend(arguments(shell)?);
        let job = Job {
            program: self.processes.options().shell.display().to_string(),
            arguments: words,
            environment: environment(shell)?,
            files: Vec::new(),
            confined: true,
        };
        self.processes.run(job, &invocation, shell).await
    }
}
