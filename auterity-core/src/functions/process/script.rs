//! `run: { script: … }`.
//!
//! JavaScript is executed as a module (`await` at the top, `import`), with the arguments
//! from `process.argv[2]` on; Python has them from `sys.argv[1]` on.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::{Job, Processes, arguments, environment, process, text, wrong};
use crate::functions::http::Http;
use crate::functions::{Function, Invocation};
use crate::interpreter::Problem;

/// Executes a script by an interpreter of this machine.
#[derive(Debug, Clone)]
pub struct RunScript {
    processes: Arc<Processes>,
    http: Arc<Http>,
}

impl RunScript {
    /// Makes the function; scripts elsewhere are fetched by `http`.
    #[must_use]
    pub fn new(processes: Arc<Processes>, http: Arc<Http>) -> Self {
        Self { processes, http }
    }

    async fn code(
        &self,
        script: &Map<String, Value>,
        invocation: &Invocation,
    ) -> Result<Vec<u8>, Problem> {
        match script.get("source") {
            None | Some(Value::Null) => Ok(text(script, "code")?.as_bytes().to_vec()),
            Some(source) => {
                let fetched = self.http.resource(source, invocation, "*/*").await;
                fetched.map(|(_, code)| code)
            }
        }
    }
}

#[async_trait]
impl Function for RunScript {
    async fn call(&self, invocation: Invocation) -> Result<Value, Problem> {
        let script = process(&invocation, "script")?;
        let language = text(script, "language")?.to_lowercase();
        let (language, file) = match language.as_str() {
            "js" | "javascript" => ("javascript", "script.mjs"),
            "py" | "python" => ("python", "script.py"),
            other => (other, "script"),
        };
        let interpreters = &self.processes.options().interpreters;
        let command = interpreters
            .get(language)
            .map(|command| command.split_first());
        let Some(Some((program, fixed))) = command else {
            let known: Vec<&str> = interpreters.keys().map(String::as_str).collect();
            return Err(wrong(format!(
                "this host has no interpreter for the script's language; it has {}",
                known.join(", ")
            )));
        };
        let mut words = fixed.to_vec();
        words.push(file.to_owned());
        words.extend(arguments(script)?);
        let job = Job {
            program: program.clone(),
            arguments: words,
            environment: environment(script)?,
            files: vec![(file, self.code(script, &invocation).await?)],
            confined: true,
        };
        self.processes.run(job, &invocation, script).await
    }
}
