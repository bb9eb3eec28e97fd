//! Claims: tenants take turns, see [`fair`](crate::store::fair).

use jiff::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use sqlx::types::Uuid;

use super::Done;
use crate::store::fair::{Lane, Rounds, WEIGHT_DEFAULT, cost};
use crate::store::sea::batch::Refusal;
use crate::store::sea::batch::refusal;
use crate::store::sea::rows::{from_micros, micros};
use crate::store::{Claim, ClaimRequest};
use crate::{ExecutionId, TenantId, WorkerId};

/// Timers that fire in one go, so that a crowd of them delays nobody for long.
const TIMERS_MAX: i64 = 1_000;

/// How often lanes are looked up for one claim: once, unless most of them are dry.
const LOOKS_MAX: usize = 16;

/// Gives what is due to a worker.
pub(super) async fn claim(
    connection: &mut SqliteConnection,
    worker: WorkerId,
    request: ClaimRequest,
) -> Done<Vec<Claim>> {
    if request.limit == 0 {
        return Ok(Vec::new());
    }
    fire(connection, request).await?;
    let mut claims = Vec::new();
    let mut room = request.limit as usize;
    for _ in 0..LOOKS_MAX {
        let lanes = lanes(connection, room).await?;
        if lanes.is_empty() {
            break;
        }
        room = rounds(connection, worker, Rounds::new(lanes, room), &mut claims).await?;
        if room == 0 {
            break;
        }
    }
    Ok(claims)
}

async fn fire(connection: &mut SqliteConnection, request: ClaimRequest) -> Done<()> {
    let text = "UPDATE queue SET ready = true WHERE (tenant, execution) IN (
             SELECT tenant, execution FROM queue
             WHERE due_at <= $1 AND NOT ready AND NOT held AND owner IS NULL
                 AND due_at IS NOT NULL
             ORDER BY due_at LIMIT $2)";
    sqlx::query(text)
        .bind(micros(request.now))
        .bind(i64::from(request.limit) + TIMERS_MAX)
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(refusal)
}

/// Gives the next time at which a timer fires.
pub(super) async fn next_timer(
    connection: &mut SqliteConnection,
    now: Timestamp,
) -> Done<Option<Timestamp>> {
    let text = "SELECT due_at FROM queue
         WHERE due_at > $1 AND NOT ready AND NOT held AND owner IS NULL AND due_at IS NOT NULL
         ORDER BY due_at LIMIT 1";
    let query = sqlx::query_scalar(text).bind(micros(now));
    let due: Option<i64> = query.fetch_optional(connection).await.map_err(refusal)?;
    due.map(|due| from_micros(due).map_err(Refusal::Other))
        .transpose()
}

/// Gives the lanes whose turns come first: more cannot be served.
async fn lanes(connection: &mut SqliteConnection, room: usize) -> Done<Vec<Lane>> {
    let text = "SELECT lane.tenant, lane.turn, s.weight FROM lane
         LEFT JOIN flow_setting AS s ON s.tenant = lane.tenant AND s.namespace = '' AND s.name = ''
         ORDER BY lane.turn, lane.tenant LIMIT $1";
    let query = sqlx::query(text).bind(i64::try_from(room).unwrap_or(i64::MAX));
    let rows = query.fetch_all(connection).await.map_err(refusal)?;
    let mut lanes = Vec::with_capacity(rows.len());
    for row in rows {
        let weight: Option<u32> = row.try_get(2).map_err(refusal)?;
        lanes.push(Lane {
            tenant: TenantId::from_uuid(row.try_get(0).map_err(refusal)?),
            turn: row.try_get(1).map_err(refusal)?,
            cost: cost(weight.unwrap_or(WEIGHT_DEFAULT)),
        });
    }
    Ok(lanes)
}

/// Takes what the rounds share out, keeps the new turns and closes dry lanes; gives the
/// room that is left.
async fn rounds(
    connection: &mut SqliteConnection,
    worker: WorkerId,
    mut rounds: Rounds,
    claims: &mut Vec<Claim>,
) -> Done<usize> {
    let mut served = Vec::new();
    loop {
        let shares = rounds.shares();
        if shares.is_empty() {
            break;
        }
        for (tenant, share) in shares {
            let taken = take(connection, worker, tenant, share).await?;
            rounds.took(tenant, share, taken.len());
            served.push(tenant);
            claims.extend(taken);
        }
    }
    let (room, lanes, dry) = rounds.end();
    for lane in lanes.iter().filter(|lane| served.contains(&lane.tenant)) {
        let query = sqlx::query("UPDATE lane SET turn = $2 WHERE tenant = $1");
        let query = query.bind(lane.tenant.as_uuid()).bind(lane.turn);
        query.execute(&mut *connection).await.map_err(refusal)?;
    }
    for tenant in dry {
        let query = sqlx::query("DELETE FROM lane WHERE tenant = $1").bind(tenant.as_uuid());
        query.execute(&mut *connection).await.map_err(refusal)?;
    }
    Ok(room)
}

async fn take(
    connection: &mut SqliteConnection,
    worker: WorkerId,
    tenant: TenantId,
    share: usize,
) -> Done<Vec<Claim>> {
    let text = "UPDATE queue SET owner = $1, ready = false, waiting_for = NULL
         WHERE (tenant, execution) IN (
             SELECT tenant, execution FROM queue WHERE ready AND tenant = $2
             ORDER BY priority DESC, due_at LIMIT $3)
         RETURNING execution, priority, due_at";
    let rows = sqlx::query(text)
        .bind(worker.as_uuid())
        .bind(tenant.as_uuid())
        .bind(i64::try_from(share).unwrap_or(i64::MAX))
        .fetch_all(connection)
        .await
        .map_err(refusal)?;
    let mut taken = Vec::with_capacity(rows.len());
    for row in rows {
        let execution: Uuid = row.try_get(0).map_err(refusal)?;
        let priority: i64 = row.try_get(1).map_err(refusal)?;
        let due: Option<i64> = row.try_get(2).map_err(refusal)?;
        let execution = ExecutionId::from_uuid(execution);
        taken.push(((-priority, due), Claim { tenant, execution }));
    }
    taken.sort_by_key(|(order, _)| *order);
    Ok(taken.into_iter().map(|(_, claim)| claim).collect())
}
