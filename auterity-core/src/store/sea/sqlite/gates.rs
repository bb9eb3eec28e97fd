//! Gates: who of those that are held may pass.
//!
//! The same as the functions `gates_look` and `gate_pass` on PostgreSQL, in the words
//! of one writer that nobody disturbs.

use jiff::{SignedDuration, Timestamp};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::types::Uuid;
use sqlx::{Row, Sqlite};

use super::Done;
use crate::TenantId;
use crate::store::flow::{Pace, Tokens};
use crate::store::sea::batch::{Refusal, refusal};
use crate::store::sea::rows::{from_micros, micros};

/// Gates that one round looks at.
const GATES_MAX: i64 = 200;

/// Executions that pass a gate in one go.
const PASS_MAX: i64 = 1_000;

/// Rounds of one look: an execution passes a gate per round.
const ROUNDS_MAX: usize = 16;

/// When to look again if more could pass than one look let through, in microseconds.
const AGAIN: i64 = 10_000;

/// Waiting at one gate, with the gate in the first three places.
const WAITING: &str = "place p JOIN queue q ON q.tenant = p.tenant AND q.execution = p.execution
    WHERE p.tenant = $1 AND p.rule = $2 AND p.value = $3 AND p.state = 1 AND q.held
        AND (p.not_before IS NULL OR p.not_before <= $4)";

/// Names a gate.
struct Name {
    tenant: Uuid,
    rule: String,
    value: String,
}

/// What is known about a gate.
struct Gate {
    in_use: i64,
    next_at: Option<i64>,
    waited: bool,
    concurrency: Option<i64>,
    pace: Option<Pace>,
}

/// Looks at the gates where something happened or whose time has come; gives when to
/// look again without being told.
pub(super) async fn look(connection: &mut SqliteConnection, now: i64) -> Done<Option<Timestamp>> {
    for _ in 0..ROUNDS_MAX {
        let text = "SELECT EXISTS (SELECT 1 FROM knock),
             (SELECT look_at FROM gate WHERE look_at IS NOT NULL ORDER BY look_at LIMIT 1)";
        let row = sqlx::query(text).fetch_one(&mut *connection).await;
        let row = row.map_err(refusal)?;
        let (knocks, look_at): (bool, Option<i64>) = (get(&row, 0)?, get(&row, 1)?);
        if !knocks && look_at.is_none_or(|look_at| now < look_at) {
            return look_at.map(time).transpose();
        }
        for gate in knocked(connection, now).await? {
            pass(connection, &gate, now).await?;
        }
    }
    time(now).map(Some)
}

fn time(at: i64) -> Done<Timestamp> {
    from_micros(at).map_err(Refusal::Other)
}

fn get<'r, T>(row: &'r SqliteRow, column: usize) -> Done<T>
where
    T: sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite>,
{
    row.try_get(column).map_err(refusal)
}

/// Takes what happened at gates into their counters and gives those gates, and those
/// whose time has come.
async fn knocked(connection: &mut SqliteConnection, now: i64) -> Done<Vec<Name>> {
    let heard = "DELETE FROM knock WHERE id IN (SELECT id FROM knock ORDER BY id LIMIT $1)
         RETURNING tenant, rule, value, freed";
    let query = sqlx::query(heard).bind(GATES_MAX);
    let mut rows = query.fetch_all(&mut *connection).await.map_err(refusal)?;
    let due = "SELECT tenant, rule, value, 0 FROM gate
         WHERE look_at <= $1 ORDER BY look_at LIMIT $2";
    let query = sqlx::query(due).bind(now).bind(GATES_MAX);
    rows.extend(query.fetch_all(&mut *connection).await.map_err(refusal)?);
    let mut gates: Vec<Name> = Vec::new();
    for row in rows {
        let name = Name {
            tenant: get(&row, 0)?,
            rule: get(&row, 1)?,
            value: get(&row, 2)?,
        };
        let text = "INSERT INTO gate (tenant, rule, value, in_use) VALUES ($1, $2, $3, -$4)
             ON CONFLICT (tenant, rule, value) DO UPDATE SET in_use = in_use + excluded.in_use";
        sqlx::query(text)
            .bind(name.tenant)
            .bind(&name.rule)
            .bind(&name.value)
            .bind(get::<i64>(&row, 3)?)
            .execute(&mut *connection)
            .await
            .map_err(refusal)?;
        let known = gates.iter().any(|one| {
            (one.tenant, &one.rule, &one.value) == (name.tenant, &name.rule, &name.value)
        });
        if !known {
            gates.push(name);
        }
    }
    Ok(gates)
}

/// Lets through one gate whatever may pass.
async fn pass(connection: &mut SqliteConnection, name: &Name, now: i64) -> Done<()> {
    let gate = fetch(connection, name).await?;
    let tokens = gate
        .pace
        .map(|pace| pace.tokens(gate.next_at, gate.waited, now));
    let room = gate.concurrency.map(|most| (most - gate.in_use).max(0));
    let most = PASS_MAX
        .min(room.unwrap_or(PASS_MAX))
        .min(tokens.map_or(PASS_MAX, |tokens| tokens.count));
    let passed = advance(connection, name, most, now).await?;
    let waits = exists(
        connection,
        &format!("SELECT 1 FROM {WAITING} LIMIT 1"),
        name,
        now,
    )
    .await?;
    let next_at = match tokens {
        Some(tokens) if 0 < passed => Some(tokens.next_at(passed)),
        _ => gate.next_at,
    };
    let mut look = later(connection, name, now).await?;
    if waits && let Some(at) = next_look(&gate, tokens, passed, now) {
        look = Some(look.map_or(at, |look| look.min(at)));
    }
    let in_use = gate.in_use + passed;
    if in_use == 0 && look.is_none() {
        look = next_at.filter(|next| now < *next);
    }
    let idle = "SELECT 1 FROM place WHERE tenant = $1 AND rule = $2 AND value = $3 AND state = 1
         AND $4 = $4 LIMIT 1";
    if in_use == 0 && look.is_none() && !exists(connection, idle, name, now).await? {
        let text = "DELETE FROM gate WHERE tenant = $1 AND rule = $2 AND value = $3";
        return execute(connection, named(sqlx::query(text), name)).await;
    }
    let text = "UPDATE gate SET in_use = $4, next_at = $5, look_at = $6, waited = $7
         WHERE tenant = $1 AND rule = $2 AND value = $3";
    let query = named(sqlx::query(text), name).bind(in_use).bind(next_at);
    execute(connection, query.bind(look).bind(waits)).await
}

/// Gives when time alone lets the next one through.
fn next_look(gate: &Gate, tokens: Option<Tokens>, passed: i64, now: i64) -> Option<i64> {
    match tokens {
        Some(tokens) if tokens.count <= passed => Some(tokens.look_at(passed)),
        _ if gate
            .concurrency
            .is_none_or(|most| gate.in_use + passed < most) =>
        {
            Some(now + AGAIN)
        }
        _ => None,
    }
}

type Query<'q> = sqlx::query::Query<'q, Sqlite, sqlx::sqlite::SqliteArguments>;

fn named<'q>(query: Query<'q>, name: &Name) -> Query<'q> {
    query
        .bind(name.tenant)
        .bind(name.rule.clone())
        .bind(name.value.clone())
}

async fn execute(connection: &mut SqliteConnection, query: Query<'_>) -> Done<()> {
    query.execute(connection).await.map(|_| ()).map_err(refusal)
}

async fn exists(
    connection: &mut SqliteConnection,
    text: &str,
    name: &Name,
    now: i64,
) -> Done<bool> {
    let query = named(sqlx::query(sqlx::AssertSqlSafe(text)), name).bind(now);
    let row = query.fetch_optional(connection).await.map_err(refusal)?;
    Ok(row.is_some())
}

async fn fetch(connection: &mut SqliteConnection, name: &Name) -> Done<Gate> {
    let text =
        "SELECT g.in_use, g.next_at, g.waited, r.concurrency, r.every, r.burst FROM gate AS g
         LEFT JOIN gate_rule AS r ON r.tenant = g.tenant AND r.rule = g.rule
         WHERE g.tenant = $1 AND g.rule = $2 AND g.value = $3";
    let query = named(sqlx::query(text), name);
    let row = query.fetch_one(connection).await.map_err(refusal)?;
    let (every, burst): (Option<i64>, Option<u32>) = (get(&row, 4)?, get(&row, 5)?);
    Ok(Gate {
        in_use: get::<i64>(&row, 0)?.max(0),
        next_at: get(&row, 1)?,
        waited: get(&row, 2)?,
        concurrency: get(&row, 3)?,
        pace: every.zip(burst).map(|(every, burst)| Pace {
            every: SignedDuration::from_micros(every),
            burst,
        }),
    })
}

/// Moves the first that wait behind the gate: to their next gate, or into the queue.
async fn advance(connection: &mut SqliteConnection, name: &Name, most: i64, now: i64) -> Done<i64> {
    let text = format!(
        "SELECT p.execution, p.step FROM {WAITING}
         ORDER BY p.priority DESC, p.since, p.execution LIMIT $5"
    );
    let query = named(sqlx::query(sqlx::AssertSqlSafe(text)), name);
    let query = query.bind(now).bind(most);
    let rows = query.fetch_all(&mut *connection).await.map_err(refusal)?;
    for row in &rows {
        let (execution, step): (Uuid, i64) = (get(row, 0)?, get(row, 1)?);
        let text = "UPDATE place SET state = 2 WHERE execution = $1 AND step = $2";
        let query = sqlx::query(text).bind(execution).bind(step);
        execute(connection, query).await?;
        let text = "UPDATE place SET state = 1 WHERE execution = $1 AND step = $2
             RETURNING tenant, rule, value";
        let query = sqlx::query(text).bind(execution).bind(step + 1);
        let next = query
            .fetch_optional(&mut *connection)
            .await
            .map_err(refusal)?;
        let query = match &next {
            Some(next) => {
                let text = "INSERT INTO knock (tenant, rule, value, freed) VALUES ($1, $2, $3, 0)";
                sqlx::query(text)
                    .bind(get::<Uuid>(next, 0)?)
                    .bind(get::<String>(next, 1)?)
                    .bind(get::<String>(next, 2)?)
            }
            None => {
                let text = "UPDATE queue SET held = false, ready = true
                     WHERE tenant = $1 AND execution = $2";
                sqlx::query(text).bind(name.tenant).bind(execution)
            }
        };
        execute(connection, query).await?;
    }
    Ok(i64::try_from(rows.len()).unwrap_or(i64::MAX))
}

/// Gives the first time that somebody who waits there has to wait for.
async fn later(connection: &mut SqliteConnection, name: &Name, now: i64) -> Done<Option<i64>> {
    let text = "SELECT min(not_before) FROM place WHERE tenant = $1 AND rule = $2 AND value = $3
         AND state = 1 AND not_before IS NOT NULL AND not_before > $4";
    let query = named(sqlx::query(text), name).bind(now);
    let row = query.fetch_one(connection).await.map_err(refusal)?;
    get(&row, 0)
}

/// Asks for leave at a gate that nobody waits at; gives the time to wait, or none.
pub(super) async fn ask(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    (rule, value): (String, String),
    pace: Pace,
    now: Timestamp,
) -> Done<Option<SignedDuration>> {
    let (tenant, now) = (tenant.as_uuid(), micros(now));
    let name = Name {
        tenant,
        rule,
        value,
    };
    let text = "INSERT INTO gate (tenant, rule, value) VALUES ($1, $2, $3)
         ON CONFLICT (tenant, rule, value) DO NOTHING";
    execute(connection, named(sqlx::query(text), &name)).await?;
    let gate = fetch(connection, &name).await?;
    let tokens = pace.tokens(gate.next_at, false, now);
    if tokens.count <= 0 {
        return Ok(Some(SignedDuration::from_micros(tokens.look_at(0) - now)));
    }
    let text = "UPDATE gate SET next_at = $4, look_at = $4
         WHERE tenant = $1 AND rule = $2 AND value = $3";
    let query = named(sqlx::query(text), &name).bind(tokens.next_at(1));
    execute(connection, query).await?;
    Ok(None)
}
