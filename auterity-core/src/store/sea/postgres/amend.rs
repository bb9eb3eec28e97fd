//! Changes of single executions: rare, and apart from the journal's batches.

use sqlx::Row as _;

use super::rows::{HumanTask, bind_messages};
use super::{Postgres, plain};
use crate::store::sea::rows::{checksum, gates, micros, number};
use crate::store::{Amend, Amended, ExecutionLabel, check};
use crate::{Error, ErrorKind};

const AMEND: &str = "SELECT execution_amend($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,
    $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30,
    $31, $32, $33, $34)";

const LABEL: &str = "UPDATE execution SET namespace = $3, name = $4, version = $5, program = $6
    WHERE id = $2 AND tenant = $1";

impl Postgres {
    pub(in crate::store::sea) async fn execution_amend(
        &self,
        amend: &Amend,
    ) -> Result<Amended, Error> {
        let (events, listens) = (&amend.events, &amend.subscribe);
        let query = sqlx::query(AMEND)
            .bind(amend.tenant.as_uuid())
            .bind(amend.execution.as_uuid())
            .bind(number(amend.after))
            .bind(micros(amend.at))
            .bind(&amend.workflow.namespace)
            .bind(&amend.workflow.name)
            .bind(&amend.workflow.version)
            .bind(&amend.program.as_bytes()[..])
            .bind(amend.input.as_deref())
            .bind(gates(&amend.gates))
            .bind(number(amend.snapshot.sequence))
            .bind(i32::from(amend.snapshot.format))
            .bind(&*amend.snapshot.state)
            .bind(checksum(&amend.snapshot))
            .bind(collect(events, |event| number(event.sequence)))
            .bind(collect(events, |event| micros(event.at)))
            .bind(collect(events, |event| event.kind))
            .bind(collect(events, |event| &*event.payload))
            .bind(collect(events, |event| &*event.records))
            .bind(collect(listens, |one| number(one.effect)))
            .bind(collect(listens, |one| i64::from(one.filter)))
            .bind(collect(listens, |one| {
                one.event_type.as_deref().map(check::without_nulls)
            }))
            .bind(collect(listens, check::event_type_key))
            .bind(collect(listens, |one| &*one.condition))
            .bind(collect(listens, |one| one.correlation.map(|key| key.by)))
            .bind(collect(listens, |one| one.correlation.map(|key| key.to)));
        let changes = amend.human_tasks.iter();
        let people = changes.map(|change| HumanTask::of((amend.tenant, amend.execution), change));
        let query = bind_messages(&amend.messages, query).bind(people.collect::<Vec<_>>());
        let row = query.fetch_one(&self.hot).await.map_err(plain)?;
        match row.try_get(0).map_err(plain)? {
            "done" => Ok(Amended::Done),
            "owned" => Ok(Amended::Owned),
            "moved" => Ok(Amended::Moved),
            _ => Err(Error::new(
                ErrorKind::Internal,
                "the database answered with an unknown word",
            )),
        }
    }

    pub(in crate::store::sea) async fn execution_label(
        &self,
        label: &ExecutionLabel,
    ) -> Result<(), Error> {
        let query = sqlx::query(LABEL)
            .bind(label.tenant.as_uuid())
            .bind(label.execution.as_uuid())
            .bind(&label.workflow.namespace)
            .bind(&label.workflow.name)
            .bind(&label.workflow.version)
            .bind(&label.program.as_bytes()[..]);
        query.execute(&self.hot).await.map(|_| ()).map_err(plain)
    }
}

fn collect<'a, T, C>(rows: &'a [T], column: impl Fn(&'a T) -> C) -> Vec<C> {
    rows.iter().map(column).collect()
}
