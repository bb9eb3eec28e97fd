//! Keeps the schedules of a definition as its highest version says.

use std::sync::Arc;

use super::control::{ROUNDS_MAX, busy, new_row, replace_spec};
use crate::definition::Program;
use crate::engine::life::Core;
use crate::schedule::{Spec, Timing};
use crate::store::{ScheduleKey, SchedulePut, ScheduleQuery, ScheduleRow};
use crate::{Error, ErrorKind, ScheduleId, Scope};

/// Ways in which one definition starts by itself: its schedule has as many words.
const KINDS: [&str; 4] = ["cron", "every", "after", "on"];

impl Core {
    /// Makes, changes and removes schedules so that they are what the workflow's highest
    /// version says. Harmless when nothing changed, so a repeated deployment repairs
    /// what a crash cut off.
    pub(in crate::engine) async fn sync_schedules(
        &self,
        scope: &Scope,
        namespace: &str,
        name: &str,
    ) -> Result<(), Error> {
        let found = self
            .programs
            .named(scope, (namespace, name, None), self.now())
            .await?;
        let program = found.map(|(_, program)| program);
        let query = ScheduleQuery {
            workflow: Some((namespace.to_owned(), name.to_owned())),
            limit: u32::MAX - 1,
            ..ScheduleQuery::default()
        };
        let scheduled = program.as_ref().is_some_and(|one| one.schedule.is_some());
        let kept = self.ports.store.schedule_list(scope, &query).await?.items;
        let kept: Vec<ScheduleRow> = kept
            .into_iter()
            .map(|listed| listed.row)
            .filter(|row| row.managed)
            .collect();
        if !scheduled && kept.is_empty() {
            return Ok(());
        }
        for kind in KINDS {
            let key = ScheduleKey::Definition(namespace.to_owned(), name.to_owned(), kind);
            let text = key.to_string();
            let kept = kept.iter().find(|row| row.key == text);
            let wanted = program.as_ref().and_then(|program| spec_of(program, kind));
            match (kept, wanted) {
                (None, None) => {}
                (Some(row), None) => {
                    self.ports
                        .store
                        .schedule_delete(scope, row.id, None)
                        .await?;
                }
                (None, Some(spec)) => {
                    let id = ScheduleId::generate(self.now(), &*self.ports.entropy);
                    let title = format!("{namespace}/{name} ({kind})");
                    let row = new_row(scope, (id, key), &title, spec, self.now());
                    let most = self.options.schedules_max;
                    if self.ports.store.schedule_put(&row, most).await? == SchedulePut::Full {
                        let message = format!(
                            "the version is kept, but its schedule is not: a tenant has at most \
                             {most} schedules; delete some and deploy the version again"
                        );
                        return Err(Error::new(ErrorKind::Limit, message));
                    }
                }
                (Some(row), Some(spec)) => self.resync(scope, row.id, spec).await?,
            }
        }
        self.bell.ring();
        Ok(())
    }

    async fn resync(&self, scope: &Scope, id: ScheduleId, spec: Spec) -> Result<(), Error> {
        for _ in 0..ROUNDS_MAX {
            let store = &self.ports.store;
            let found = store.schedule_fetch(scope, id).await?;
            let Some(mut row) = found.filter(|row| row.spec != spec) else {
                return Ok(());
            };
            let revision = row.revision;
            replace_spec(&mut row, spec.clone(), self.now());
            row.revision += 1;
            if store.schedule_update(&row, revision).await? {
                return Ok(());
            }
        }
        Err(busy())
    }
}

/// Gives what a definition says about one way of starting by itself.
fn spec_of(program: &Arc<Program>, kind: &str) -> Option<Spec> {
    let schedule = program.schedule.as_ref()?;
    let timing: &Timing = schedule
        .timings
        .iter()
        .find_map(|(word, timing)| (*word == kind).then_some(timing))?;
    Some(Spec {
        namespace: program.workflow().namespace.clone(),
        workflow: program.workflow().name.clone(),
        version: None,
        input: schedule.policy.input.clone(),
        priority: 0,
        timing: timing.clone(),
        policy: schedule.policy.policy(),
    })
}
