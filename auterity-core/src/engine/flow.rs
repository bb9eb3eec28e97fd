//! Settings of flow control, and many starts at once.

use std::sync::Arc;

use futures_util::future::join_all;

use super::admission::{TENANT_PREFIX, TenantSettings, WorkflowSettings, workflow_prefix};
use super::handle::Handle;
use super::start::{Origin, StartRequest, Started};
use crate::store::{FlowPut, FlowRow};
use crate::{Error, ErrorKind, Scope};

/// Starts of one call.
const STARTS_MAX: usize = 10_000;

/// The weight that a workflow's row has, where it means nothing.
const NO_WEIGHT: u32 = 1;

/// Settings with the count of their changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept<T> {
    /// What was decided, or the defaults.
    pub settings: T,
    /// Counts the changes; 0 while nothing was decided.
    pub revision: u64,
}

impl Handle {
    /// Starts many executions; they queue and begin when it is their turn. Gives what
    /// became of each, in order: one that fails harms no other.
    ///
    /// # Errors
    /// Kind [`Limit`](ErrorKind::Limit) for more than 10,000. Each start fails as
    /// [`start`](Self::start) does.
    ///
    /// # Cancel safety
    /// A dropped future may leave some started; use idempotency keys.
    pub async fn start_many(
        &self,
        scope: &Scope,
        requests: Vec<StartRequest>,
    ) -> Result<Vec<Result<Started, Error>>, Error> {
        if STARTS_MAX < requests.len() {
            let message = format!("one call starts at most {STARTS_MAX} executions");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let core = &self.core;
        let most = core.options.starts_max.min(requests.len());
        let places = u32::try_from(most).unwrap_or(u32::MAX);
        let _places = core.places(places)?;
        let mut checked = Vec::with_capacity(requests.len());
        for request in requests {
            checked.push(core.check_start(scope, request, Origin::default()).await);
        }
        // The journal's writer takes them in large batches.
        let started = checked
            .into_iter()
            .map(|leave| async move { core.start_later(scope, leave?).await });
        let started = join_all(started).await;
        core.queued().await;
        Ok(started)
    }

    /// Gives the settings of a workflow.
    ///
    /// # Errors
    /// Kind [`NotFound`](ErrorKind::NotFound) without such a workflow.
    pub async fn workflow_settings(
        &self,
        scope: &Scope,
        namespace: &str,
        name: &str,
    ) -> Result<Kept<WorkflowSettings>, Error> {
        self.must_exist(scope, namespace, name).await?;
        let workflow = Some((namespace, name));
        kept(self.core.ports.store.flow_fetch(scope, workflow).await?)
    }

    /// Changes the settings of a workflow; those that wait are judged by the new ones.
    /// Gives the new revision.
    ///
    /// # Errors
    /// Kind [`NotFound`](ErrorKind::NotFound) without such a workflow,
    /// [`Invalid`](ErrorKind::Invalid) with [violations](Error::violations),
    /// [`Conflict`](ErrorKind::Conflict) if the expected revision is not the present one.
    pub async fn set_workflow_settings(
        &self,
        scope: &Scope,
        (namespace, name): (&str, &str),
        settings: &WorkflowSettings,
        expected: Option<u64>,
    ) -> Result<u64, Error> {
        settings.validate()?;
        self.must_exist(scope, namespace, name).await?;
        let prefix = workflow_prefix(namespace, name);
        let put = FlowPut {
            workflow: Some((namespace.to_owned(), name.to_owned())),
            expected,
            weight: NO_WEIGHT,
            body: body(settings)?,
            rules: settings.rules(&prefix),
            prefix,
            at: self.core.now(),
        };
        self.put(scope, put).await
    }

    /// Gives the settings of the whole tenant.
    ///
    /// # Errors
    /// What the store says.
    pub async fn tenant_settings(&self, scope: &Scope) -> Result<Kept<TenantSettings>, Error> {
        kept(self.core.ports.store.flow_fetch(scope, None).await?)
    }

    /// Changes the settings of the whole tenant. Gives the new revision.
    ///
    /// # Errors
    /// Kind [`Invalid`](ErrorKind::Invalid) with [violations](Error::violations),
    /// [`Conflict`](ErrorKind::Conflict) if the expected revision is not the present one.
    pub async fn set_tenant_settings(
        &self,
        scope: &Scope,
        settings: &TenantSettings,
        expected: Option<u64>,
    ) -> Result<u64, Error> {
        settings.validate()?;
        let put = FlowPut {
            workflow: None,
            expected,
            weight: settings.weight,
            body: body(settings)?,
            rules: settings.rules(),
            prefix: TENANT_PREFIX.to_owned(),
            at: self.core.now(),
        };
        self.put(scope, put).await
    }

    async fn put(&self, scope: &Scope, put: FlowPut) -> Result<u64, Error> {
        let revision = self.core.ports.store.flow_put(scope, put).await?;
        self.core.ports.admission.forget(scope.tenant());
        self.core.queued().await;
        self.core.retention_set.notify_one();
        revision.ok_or_else(|| {
            let message = "the settings were changed meanwhile; read them again";
            Error::new(ErrorKind::Conflict, message)
        })
    }

    async fn must_exist(&self, scope: &Scope, namespace: &str, name: &str) -> Result<(), Error> {
        let found = self.program(scope, namespace, name, None).await?;
        found.map(|_| ()).ok_or_else(|| {
            let message = format!("there is no workflow {namespace}/{name}; deploy it first");
            Error::new(ErrorKind::NotFound, message)
        })
    }
}

fn kept<T: Default + serde::de::DeserializeOwned>(row: Option<FlowRow>) -> Result<Kept<T>, Error> {
    let Some(row) = row else {
        return Ok(Kept {
            settings: T::default(),
            revision: 0,
        });
    };
    let settings = serde_json::from_str(&row.body).map_err(|error| {
        Error::new(ErrorKind::Corrupt, "kept settings cannot be read").with_source(error)
    })?;
    Ok(Kept {
        settings,
        revision: row.revision,
    })
}

fn body(settings: &impl serde::Serialize) -> Result<Arc<str>, Error> {
    super::progress::to_json(settings)
}
