//! Compiled definitions, kept by content.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::durable_fn::DurableFunctions;
use super::options::{Options, Ports};
use crate::definition::{
    CompileOptions, Externals, Mistake, Program, ProgramHash, WorkflowRef, compile,
};
use crate::functions::Functions;
use crate::store::{DefinitionRow, Store};
use crate::{Error, ErrorKind, Scope, TenantId};

/// Programs kept at most; beyond that the cache starts anew.
const PROGRAMS_MAX: usize = 1_000;

/// For how long the answer to "which version is the highest?" is kept. Bounds how
/// late a process sees what another one deployed, together with the time of one look.
const LATEST_FOR: SignedDuration = SignedDuration::from_secs(1);

type Name = (TenantId, String, String, Option<String>);
type Found = (Arc<DefinitionRow>, Arc<Program>);

/// Finds and compiles definitions.
#[derive(Debug)]
pub(super) struct Programs {
    store: Arc<dyn Store>,
    functions: Functions,
    durable: DurableFunctions,
    limits: crate::definition::Limits,
    compiled: Mutex<HashMap<ProgramHash, Arc<Program>>>,
    named: Mutex<HashMap<Name, (Timestamp, Found)>>,
}

impl Programs {
    pub(super) fn new(ports: &Ports, options: &Options) -> Self {
        Self {
            store: Arc::clone(&ports.store),
            functions: ports.functions.clone(),
            durable: ports.durable.clone(),
            limits: options.definition.clone(),
            compiled: Mutex::default(),
            named: Mutex::default(),
        }
    }

    /// Compiles a text and gives every mistake in it.
    pub(super) fn compile(
        &self,
        text: &str,
        externals: Option<&Externals>,
    ) -> Result<Arc<Program>, Vec<Mistake>> {
        let known = |name: &str| self.functions.contains(name);
        let durable = |workflow: &WorkflowRef| self.durable.get(workflow).is_some();
        let options = CompileOptions {
            limits: self.limits.clone(),
            functions: Some(&known),
            durable: Some(&durable),
            externals,
        };
        compile(text, &options).map(Arc::new)
    }

    /// Finds a version of a workflow, or the highest.
    pub(super) async fn named(
        &self,
        scope: &Scope,
        (namespace, name, version): (&str, &str, Option<&str>),
        now: Timestamp,
    ) -> Result<Option<Found>, Error> {
        let key = (
            scope.tenant(),
            namespace.to_owned(),
            name.to_owned(),
            version.map(str::to_owned),
        );
        if let Some((at, found)) = self.lock_named().get_mut(&key) {
            if now.duration_since(*at) < LATEST_FOR {
                return Ok(Some(found.clone()));
            }
            // This call looks again for all that come meanwhile.
            *at = now;
        }
        let Some(row) = self
            .store
            .definition_fetch(scope, namespace, name, version)
            .await?
        else {
            return Ok(None);
        };
        let program = self.of_row(&row)?;
        let found = (Arc::new(row), program);
        let mut named = self.lock_named();
        if PROGRAMS_MAX <= named.len() {
            named.clear();
        }
        named.insert(key, (now, found.clone()));
        Ok(Some(found))
    }

    /// Forgets which versions there are: one was added or removed.
    pub(super) fn forget_names(&self) {
        self.lock_named().clear();
    }

    /// Finds the program that an execution is pinned to.
    pub(super) async fn pinned(
        &self,
        tenant: TenantId,
        hash: ProgramHash,
    ) -> Result<Arc<Program>, Error> {
        if let Some(program) = self.lock_compiled().get(&hash) {
            return Ok(Arc::clone(program));
        }
        let row = self
            .store
            .definition_fetch_pinned(tenant, hash)
            .await?
            .ok_or_else(|| {
                Error::new(ErrorKind::Corrupt, "an execution's definition is missing")
                    .with("hash", hash)
            })?;
        self.of_row(&row)
    }

    fn of_row(&self, row: &DefinitionRow) -> Result<Arc<Program>, Error> {
        if let Some(program) = self.lock_compiled().get(&row.hash) {
            return Ok(Arc::clone(program));
        }
        // A function may have gone since it was deployed; calling it then is an
        // error of the execution, so names are not checked here.
        let externals = row.externals.as_deref().map(serde_json::from_str);
        let externals: Option<Externals> = externals.transpose().map_err(|error| {
            let message = "what a deployed definition takes from elsewhere cannot be read";
            Error::new(ErrorKind::Corrupt, message).with_source(error)
        })?;
        let options = CompileOptions {
            limits: self.limits.clone(),
            functions: None,
            durable: None,
            externals: externals.as_ref(),
        };
        let program = compile(&row.text, &options)
            .map(Arc::new)
            .map_err(|mistakes| {
                let first = mistakes
                    .first()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                let message =
                    "a deployed definition does not compile with this version of the engine";
                Error::new(ErrorKind::Corrupt, message).with("first_mistake", first)
            })?;
        let mut compiled = self.lock_compiled();
        if PROGRAMS_MAX <= compiled.len() {
            compiled.clear();
        }
        compiled.insert(row.hash, Arc::clone(&program));
        Ok(program)
    }

    fn lock_compiled(&self) -> std::sync::MutexGuard<'_, HashMap<ProgramHash, Arc<Program>>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_named(&self) -> std::sync::MutexGuard<'_, HashMap<Name, (Timestamp, Found)>> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
