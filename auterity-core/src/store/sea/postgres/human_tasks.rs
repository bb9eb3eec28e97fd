//! Tasks for people, as calls of server-side functions.

use sqlx::Row as _;

use super::rows::bind_messages;
use super::{Postgres, plain};
use crate::store::HumanTaskUpdate;
use crate::store::sea::rows::{micros, number};
use crate::{Error, UserId};

const UPDATE: &str = "SELECT human_task_update($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,
    $13, $14, $15, $16, $17, $18, $19, $20)";

impl Postgres {
    pub(in crate::store::sea) async fn human_task_update(
        &self,
        update: &HumanTaskUpdate,
    ) -> Result<bool, Error> {
        let note = &update.note;
        let query = sqlx::query(UPDATE)
            .bind(update.tenant.as_uuid())
            .bind(update.id.as_uuid())
            .bind(update.execution.as_uuid())
            .bind(number(update.revision))
            .bind(update.state.as_str())
            .bind(update.claimed_by.map(UserId::as_uuid))
            .bind(update.completed_by.map(UserId::as_uuid))
            .bind(update.answer.as_deref())
            .bind(update.audiences.join("\n"))
            .bind(micros(note.at))
            .bind(note.what.as_str())
            .bind(note.by.map(UserId::as_uuid))
            .bind(note.details.as_deref());
        let query = bind_messages(update.message.as_slice(), query);
        let row = query.fetch_one(&self.hot).await.map_err(plain)?;
        row.try_get(0).map_err(plain)
    }
}
