//! Tasks for people, in the database.

use std::fmt::Write as _;
use std::sync::Arc;

use async_trait::async_trait;
use sea_orm::{QueryResult, Value};
use serde::Serialize;
use sqlx::types::Uuid;

use super::rows::{corrupt, effect, execution, from_micros, get, micros, number, time, workflow};
use super::{Hot, SeaStore};
use crate::store::human_tasks::escalated_note;
use crate::store::{
    HumanTaskChange, HumanTaskClose, HumanTaskCounts, HumanTaskNote, HumanTaskQuery, HumanTaskRow,
    HumanTaskState, HumanTaskStore, HumanTaskUpdate, HumanTaskWhole, Page, check,
};
use crate::{Error, ExecutionId, HumanTaskId, Scope, TenantId, UserId};

/// The columns of a list.
const COLUMNS: &str = "id, execution, effect, namespace, name, version, task, title, state,
    created_at, deadline, claimed_by, completed_by, closed_at, revision";

/// A change of a journal entry, as its places in a JSON array: ids are hexadecimal.
#[derive(Serialize)]
pub(super) struct Row<'c>(
    String,
    String,
    String,
    i64,
    i64,
    bool,
    &'c str,
    &'c str,
    &'c str,
    &'c str,
    &'c str,
    Option<i64>,
    &'c str,
    Vec<&'c str>,
    Option<Arc<str>>,
    Option<&'static str>,
);

impl<'c> Row<'c> {
    pub(super) fn of(
        (tenant, execution): (TenantId, ExecutionId),
        change: &'c HumanTaskChange,
    ) -> Self {
        let ask = change.ask.as_deref();
        let text = |of: fn(&'c crate::store::HumanTaskAsk) -> &'c str| ask.map_or("", of);
        let asked = ask.map(|ask| &ask.audiences).into_iter().flatten();
        let audiences = asked.chain(&change.escalate).map(String::as_str);
        Self(
            hex(tenant.as_uuid()),
            hex(execution.as_uuid()),
            hex(change.id.as_uuid()),
            number(change.effect),
            micros(change.at),
            ask.is_some(),
            text(|ask| &ask.workflow.namespace),
            text(|ask| &ask.workflow.name),
            text(|ask| &ask.workflow.version),
            text(|ask| &ask.task),
            text(|ask| &ask.title),
            ask.and_then(|ask| ask.deadline).map(micros),
            text(|ask| &ask.details),
            audiences.collect(),
            escalated_note(&change.escalate),
            close_word(change.close),
        )
    }
}

/// Gives the word that the databases' texts know.
pub(super) fn close_word(close: Option<HumanTaskClose>) -> Option<&'static str> {
    close.map(|close| match close {
        HumanTaskClose::Hold => "hold",
        HumanTaskClose::Withdraw => "withdraw",
    })
}

fn hex(id: Uuid) -> String {
    id.simple().to_string()
}

#[async_trait]
impl HumanTaskStore for SeaStore {
    async fn human_task_fetch(
        &self,
        scope: &Scope,
        id: HumanTaskId,
    ) -> Result<Option<HumanTaskWhole>, Error> {
        let values = || -> Vec<Value> { vec![id.as_uuid().into()] };
        let text = format!(
            "SELECT {COLUMNS}, details, answer FROM human_task WHERE id = $1 AND tenant = $2"
        );
        let mut own = values();
        own.push(scope.tenant().as_uuid().into());
        let Some(found) = self.one(&text, own).await? else {
            return Ok(None);
        };
        let mut row = row(&found)?;
        row.details = Some(Arc::from(get::<String>(&found, "details")?));
        row.answer = get::<Option<String>>(&found, "answer")?.map(Arc::from);
        let text = "SELECT audience FROM human_task_audience WHERE human_task = $1
             ORDER BY audience";
        let audiences = self.all(text, values()).await?;
        let text = "SELECT at, what, person, details FROM human_task_note
             WHERE human_task = $1 ORDER BY place";
        let notes = self.all(text, values()).await?;
        Ok(Some(HumanTaskWhole {
            row,
            audiences: audiences
                .iter()
                .map(|row| get(row, "audience"))
                .collect::<Result<_, _>>()?,
            notes: notes.iter().map(note).collect::<Result<_, _>>()?,
        }))
    }

    async fn human_task_list(
        &self,
        scope: &Scope,
        query: &HumanTaskQuery,
    ) -> Result<Page<HumanTaskRow>, Error> {
        let mut text = Text::begin(&format!("SELECT {COLUMNS}"), scope);
        text.add_query(query);
        text.sql.push_str(" ORDER BY created_at DESC, id DESC");
        text.add(" LIMIT ", i64::from(query.limit) + 1);
        let rows = self.all(&text.sql, text.values).await?;
        let mut items: Vec<HumanTaskRow> = rows.iter().map(row).collect::<Result<_, _>>()?;
        let more = query.limit as usize <= items.len().saturating_sub(1);
        items.truncate(query.limit as usize);
        Ok(Page { items, more })
    }

    async fn human_task_count(
        &self,
        scope: &Scope,
        audiences: &[String],
        claimed_by: UserId,
        most: u32,
    ) -> Result<HumanTaskCounts, Error> {
        let open = HumanTaskQuery {
            states: vec![HumanTaskState::Open],
            audiences: audiences.to_vec(),
            limit: most,
            ..HumanTaskQuery::default()
        };
        let claimed = HumanTaskQuery {
            states: vec![HumanTaskState::Claimed],
            claimed_by: Some(claimed_by),
            limit: most,
            ..HumanTaskQuery::default()
        };
        Ok(HumanTaskCounts {
            open: self.count_human_tasks(scope, &open).await?,
            claimed: self.count_human_tasks(scope, &claimed).await?,
        })
    }

    async fn human_task_update(&self, update: &HumanTaskUpdate) -> Result<bool, Error> {
        check::human_task(update)?;
        match &*self.hot {
            Hot::Sqlite(hot) => hot.human_task_update(update).await,
            Hot::Postgres(hot) => hot.human_task_update(update).await,
        }
    }
}

impl SeaStore {
    /// Counts what a query selects, up to its limit.
    async fn count_human_tasks(&self, scope: &Scope, query: &HumanTaskQuery) -> Result<u32, Error> {
        let mut text = Text::begin("SELECT count(*) AS found FROM (SELECT id", scope);
        text.add_query(query);
        text.add(" LIMIT ", i64::from(query.limit));
        text.sql.push_str(") AS selected");
        let row = self.one(&text.sql, text.values).await?;
        let found: i64 = row.map_or(Ok(0), |row| get(&row, "found"))?;
        Ok(u32::try_from(found).unwrap_or(query.limit))
    }
}

/// A query that is put together, with its parameters.
struct Text {
    sql: String,
    values: Vec<Value>,
}

impl Text {
    fn begin(select: &str, scope: &Scope) -> Self {
        let mut text = Self {
            sql: format!("{select} FROM human_task"),
            values: Vec::new(),
        };
        text.add(" WHERE tenant = ", scope.tenant().as_uuid());
        text
    }

    /// Adds a piece of text and the parameter that follows it.
    fn add(&mut self, piece: &str, value: impl Into<Value>) {
        self.values.push(value.into());
        // Writing into a text cannot fail.
        let _written = write!(self.sql, "{piece}${}", self.values.len()).is_ok();
    }

    /// Adds a list of parameters in parentheses.
    fn add_list(&mut self, piece: &str, values: impl Iterator<Item = String>) {
        self.sql.push_str(piece);
        for (place, value) in values.enumerate() {
            self.add(if place == 0 { "(" } else { ", " }, value);
        }
        self.sql.push(')');
    }

    fn add_query(&mut self, query: &HumanTaskQuery) {
        if !query.states.is_empty() {
            let words = query.states.iter().map(|state| state.as_str().to_owned());
            self.add_list(" AND state IN ", words);
            // What the index of the active ones goes by.
            if query.states.iter().all(|state| state.is_active()) {
                self.sql.push_str(" AND closed_at IS NULL");
            }
        }
        if !query.audiences.is_empty() {
            let tenant = self.values[0].clone();
            let piece = " AND id IN (SELECT human_task FROM human_task_audience WHERE tenant = ";
            self.add(piece, tenant);
            self.add_list(" AND audience IN ", query.audiences.iter().cloned());
            self.sql.push(')');
        }
        if let Some(person) = query.free_for {
            self.add(
                " AND (claimed_by IS NULL OR claimed_by = ",
                person.as_uuid(),
            );
            self.sql.push(')');
        }
        for (column, person) in [
            ("claimed_by", query.claimed_by),
            ("completed_by", query.completed_by),
        ] {
            if let Some(person) = person {
                self.add(&format!(" AND {column} = "), person.as_uuid());
            }
        }
        if let Some((namespace, name)) = &query.workflow {
            self.add(" AND namespace = ", namespace.clone());
            self.add(" AND name = ", name.clone());
        }
        if let Some(execution) = query.execution {
            self.add(" AND execution = ", execution.as_uuid());
        }
        if let Some((at, id)) = query.before {
            self.add(" AND (created_at, id) < (", micros(at));
            self.add(", ", id.as_uuid());
            self.sql.push(')');
        }
    }
}

fn person(row: &QueryResult, column: &str) -> Result<Option<UserId>, Error> {
    Ok(get::<Option<Uuid>>(row, column)?.map(UserId::from_uuid))
}

fn row(row: &QueryResult) -> Result<HumanTaskRow, Error> {
    let maybe = |column: &str| {
        let micros: Option<i64> = get(row, column)?;
        micros.map(from_micros).transpose()
    };
    let state: String = get(row, "state")?;
    let revision: i64 = get(row, "revision")?;
    Ok(HumanTaskRow {
        id: HumanTaskId::from_uuid(get(row, "id")?),
        execution: execution(row, "execution")?,
        effect: effect(row, "effect")?.ok_or_else(|| corrupt("effect"))?,
        workflow: workflow(row)?,
        task: get(row, "task")?,
        title: get(row, "title")?,
        state: state.parse().map_err(|_| corrupt("state"))?,
        created_at: time(row, "created_at")?,
        deadline: maybe("deadline")?,
        claimed_by: person(row, "claimed_by")?,
        completed_by: person(row, "completed_by")?,
        closed_at: maybe("closed_at")?,
        revision: u64::try_from(revision).map_err(|_| corrupt("revision"))?,
        details: None,
        answer: None,
    })
}

fn note(row: &QueryResult) -> Result<HumanTaskNote, Error> {
    Ok(HumanTaskNote {
        at: time(row, "at")?,
        what: get(row, "what")?,
        by: person(row, "person")?,
        details: get::<Option<String>>(row, "details")?.map(Arc::from),
    })
}
