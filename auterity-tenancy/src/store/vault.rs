use jiff::Timestamp;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ConnectionTrait, DatabaseTransaction, EntityTrait, Statement};

use super::entity::vault;
use super::to_micros;
use crate::connection::{Backend, database_error};
use crate::error::Error;

/// Lets one process at a time change the vault. SQLite has one writer anyway.
pub(crate) async fn vault_lock_in_tx(
    tx: &DatabaseTransaction,
    backend: Backend,
    schema: &str,
) -> Result<(), Error> {
    if backend == Backend::Sqlite {
        return Ok(());
    }
    // Advisory locks are shared by the whole database: the key carries the schema. A
    // row could not be locked before it is there.
    let lock = Statement::from_sql_and_values(
        tx.get_database_backend(),
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
        [format!("auterity.control.vault:{schema}").into()],
    );
    tx.query_one_raw(lock)
        .await
        .map(drop)
        .map_err(database_error)
}

pub(crate) async fn vault_fetch(
    tx: &DatabaseTransaction,
    name: &str,
) -> Result<Option<Vec<u8>>, Error> {
    let row = vault::Entity::find_by_id(name.to_owned()).one(tx).await;
    Ok(row.map_err(database_error)?.map(|row| row.sealed))
}

pub(crate) async fn vault_put_in_tx(
    tx: &DatabaseTransaction,
    name: &str,
    sealed: Vec<u8>,
    at: Timestamp,
) -> Result<(), Error> {
    let row = vault::Model {
        name: name.to_owned(),
        sealed,
        changed_at: to_micros(at),
    };
    let replace = OnConflict::column(vault::Column::Name)
        .update_columns([vault::Column::Sealed, vault::Column::ChangedAt])
        .to_owned();
    vault::Entity::insert(vault::ActiveModel::from(row))
        .on_conflict(replace)
        .exec_without_returning(tx)
        .await
        .map(drop)
        .map_err(database_error)
}
