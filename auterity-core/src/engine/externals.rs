//! Gets what a definition takes from elsewhere, once, when it is deployed.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::handle::DeployError;
use super::life::Core;
use super::progress::to_json;
use crate::definition::{External, Externals, Program};
use crate::functions::Invocation;
use crate::{ExecutionId, Scope};

/// How often what was got may ask for more.
const ROUNDS_MAX: u32 = 8;
/// How many texts one definition takes from elsewhere at most.
const TEXTS_MAX: usize = 100;

impl Core {
    /// Compiles a definition with all that it takes from elsewhere.
    pub(super) async fn compile_whole(
        &self,
        scope: &Scope,
        text: &str,
    ) -> Result<(Arc<Program>, Option<Arc<str>>), DeployError> {
        let mut externals = Externals::default();
        let mut count = 0;
        for _ in 0..ROUNDS_MAX {
            let program = self
                .programs
                .compile(text, Some(&externals))
                .map_err(DeployError::Invalid)?;
            if let Some(kept) = self.deployed(scope, &program, text).await? {
                return Ok(kept);
            }
            if program.missing.is_empty() {
                let kept = (!externals.is_empty()).then(|| to_json(&externals));
                let kept = kept.transpose().map_err(DeployError::Engine)?;
                return Ok((program, kept));
            }
            for external in &program.missing {
                count += 1;
                if TEXTS_MAX < count {
                    let reason =
                        format!("a definition takes at most {TEXTS_MAX} texts from elsewhere");
                    return Err(unavailable(external, reason));
                }
                let got = self.get_external(scope, external).await?;
                externals.insert(external.name.clone(), got);
            }
        }
        let name = "what its catalogs' functions call in turn".to_owned();
        let reason = format!("it goes on for more than {ROUNDS_MAX} rounds");
        Err(DeployError::External { name, reason })
    }

    /// Gives what was got when the same text was deployed before: it stays as it is.
    async fn deployed(
        &self,
        scope: &Scope,
        program: &Program,
        text: &str,
    ) -> Result<Option<(Arc<Program>, Option<Arc<str>>)>, DeployError> {
        if program.missing.is_empty() {
            return Ok(None);
        }
        let workflow = program.workflow();
        let version = Some(workflow.version.as_str());
        let asked = (&*workflow.namespace, &*workflow.name, version);
        let found = self.programs.named(scope, asked, self.now()).await;
        let found = found.map_err(DeployError::Engine)?;
        let same = found.filter(|(row, _)| *row.text == *text);
        Ok(same.map(|(row, program)| (program, row.externals.clone())))
    }

    async fn get_external(
        &self,
        scope: &Scope,
        external: &External,
    ) -> Result<String, DeployError> {
        let Some(http) = self.ports.functions.get("http") else {
            let reason = "this host has no function named http".to_owned();
            return Err(unavailable(external, reason));
        };
        let secrets = self
            .ports
            .secrets
            .collect(scope.tenant(), &external.secrets);
        if let Some(missing) = external
            .secrets
            .iter()
            .find(|name| secrets.get(name.as_str()).is_none())
        {
            return Err(unavailable(
                external,
                format!("there is no secret named {missing}"),
            ));
        }
        let now = self.now();
        let arguments = external
            .arguments(&secrets, now, &self.options.expression)
            .map_err(|error| unavailable(external, error.to_string()))?;
        let execution = ExecutionId::generate(now, &*self.ports.entropy);
        let invocation = Invocation::new(scope.clone(), execution, arguments);
        let raw = http.call(invocation).await.map_err(|problem| {
            let reason = problem.detail.unwrap_or(problem.kind);
            unavailable(external, reason)
        })?;
        let bytes = raw.as_str().and_then(|raw| STANDARD.decode(raw).ok());
        bytes
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| unavailable(external, "it is no text in UTF-8".to_owned()))
    }
}

fn unavailable(external: &External, reason: String) -> DeployError {
    DeployError::External {
        name: external.name.clone(),
        reason,
    }
}
