//! No statement that is executed often reads a whole table.

mod human_tasks;
mod lists;
mod schedules;

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use sea_orm::{ConnectionTrait as _, DatabaseBackend, Statement};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::types::Uuid;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _};

use super::{SeaOptions, SeaStore};
use crate::clock::{Entropy as _, SystemEntropy};
use crate::definition::{ProgramHash, WorkflowRef};
use crate::store::{
    ClaimRequest, Control, Correlated, Correlation, DefinitionRow, Entry, EventRow, Fence, FlowPut,
    Gate, InboxMessage, MessageKind, Next, Outcome, Rule, Snapshot, Start, Store as _,
    Subscription,
};
use crate::{Actor, ExecutionId, InboxId, Scope, TenantId, WorkerId};

const EXECUTIONS: u128 = 4_000;

fn at(seconds: u128) -> Timestamp {
    let seconds = i64::try_from(seconds).expect("a small number");
    Timestamp::from_second(1_900_000_000 + seconds).expect("a time in range")
}

fn execution(number: u128) -> ExecutionId {
    ExecutionId::from_uuid(Uuid::from_u128(number))
}

fn tenant(number: u128) -> TenantId {
    TenantId::from_uuid(Uuid::from_u128(number % 10))
}

fn workflow(number: u128) -> WorkflowRef {
    WorkflowRef {
        namespace: "test".to_owned(),
        name: format!("flow-{}", number % 40),
        version: "1.0.0".to_owned(),
    }
}

/// A start with something in every table.
fn start(number: u128) -> Entry {
    let event = |sequence| EventRow {
        sequence,
        at: at(number),
        kind: "effect.completed",
        payload: "{}".into(),
        records: "[]".into(),
    };
    Entry {
        tenant: tenant(number),
        execution: execution(number),
        start: Some(Box::new(Start {
            workflow: workflow(number),
            program: ProgramHash::of(&number.to_string()),
            input: "{}".into(),
            parent: None,
            idempotency_key: Some(format!("key-{number}")),
            attributes: [("number".to_owned(), number.to_string())].into(),
            priority: i32::try_from(number % 3).unwrap_or(0),
            gates: Vec::new(),
            at: at(number),
        })),
        events: (1..=5).map(event).collect(),
        snapshot: Some(Snapshot {
            sequence: 4,
            format: 1,
            state: "{}".into(),
        }),
        subscribe: vec![Subscription {
            tenant: tenant(number),
            execution: execution(number),
            effect: 1,
            filter: 0,
            event_type: Some(format!("type-{}", number % 100)),
            condition: "{}".into(),
            correlation: number.is_multiple_of(2).then(|| Correlation {
                by: i64::try_from(number % 3).unwrap_or(0),
                to: i64::try_from(number).unwrap_or(0),
            }),
        }],
        unsubscribe: Vec::new(),
        human_tasks: Vec::new(),
        consumed: Vec::new(),
        messages: vec![message(number)],
        next: if number.is_multiple_of(2) {
            Next::Queued
        } else {
            Next::Parked {
                due: Some(at(number)),
                waiting_for: None,
            }
        },
    }
}

fn message(number: u128) -> InboxMessage {
    InboxMessage {
        id: InboxId::derived(execution(number), "message"),
        tenant: tenant(number),
        execution: execution(number),
        kind: MessageKind::CloudEvent,
        effect: Some(1),
        payload: "{}".into(),
        at: at(number),
    }
}

async fn fill(store: &SeaStore) {
    store.migrate().await.expect("it migrates");
    let numbers: Vec<u128> = (0..EXECUTIONS).collect();
    for some in numbers.chunks(500) {
        let entries: Vec<Entry> = some.iter().map(|number| start(*number)).collect();
        let appended = store.journal_append(None, &entries).await;
        assert_eq!(entries.len(), appended.expect("it appends").len());
    }
    for number in 0..1_000 {
        let mut order = message(3 * number);
        order.kind = MessageKind::Control;
        let put = store.control_put(&order, Control::Suspend).await;
        assert!(put.expect("it puts"));
        let text = number.to_string();
        let row = DefinitionRow {
            workflow: WorkflowRef {
                version: format!("1.{}.0", number / 40),
                ..workflow(number)
            },
            hash: ProgramHash::of(&text),
            title: None,
            summary: None,
            text: text.into(),
            externals: None,
            created_at: at(0),
        };
        let scope = Scope::new(tenant(number), Actor::Host);
        let put = store.definition_put(&scope, row).await;
        put.expect("it puts");
    }
    lists::fill_ends(store).await;
    schedules::fill_schedules(store).await;
    schedules::fill_events(store).await;
    lists::fill_bulk(store).await;
    human_tasks::fill(store).await;
    store.asked.lock().expect("nobody panicked").clear();
}

/// Puts executions before gates of many rules.
async fn hold(store: &SeaStore) {
    for number in 0..300 {
        let prefix = format!("flow/{number}/");
        let put = FlowPut {
            workflow: Some(("test".to_owned(), format!("flow-{number}"))),
            expected: None,
            weight: 1,
            body: "{}".into(),
            // As many as it takes for an index to be worth it.
            rules: (0..10)
                .map(|place| Rule {
                    name: match place {
                        0 => format!("{prefix}concurrency"),
                        _ => format!("{prefix}throttle/{place}"),
                    },
                    concurrency: Some(0),
                    pace: None,
                })
                .collect(),
            prefix,
            at: at(0),
        };
        let scope = Scope::new(tenant(number), Actor::Host);
        store.flow_put(&scope, put).await.expect("it puts");
    }
    let held = |number: u128| {
        let mut entry = start(1_000_000 + number);
        (entry.events, entry.messages, entry.subscribe) = Default::default();
        (entry.snapshot, entry.next) = (None, Next::Queued);
        if let Some(start) = &mut entry.start {
            start.gates = vec![Gate {
                rule: format!("flow/{}/concurrency", number % 300),
                value: String::new(),
                not_before: None,
                since: None,
            }];
        }
        entry
    };
    for some in 0..8 {
        let entries: Vec<Entry> = (some * 500..(some + 1) * 500).map(held).collect();
        let appended = store.journal_append(None, &entries).await;
        let all = appended.expect("it appends");
        assert!(all.iter().all(|one| *one == Outcome::Recorded), "{all:?}");
    }
    let id = WorkerId::from_uuid(Uuid::from_u128(2));
    let lease = SignedDuration::from_hours(1);
    let fence = store.worker_register("gates", id, at(0), lease).await;
    let fence = fence.expect("it registers");
    let request = ClaimRequest {
        now: at(0),
        lease,
        limit: 0,
    };
    store.worker_beat(&fence, request).await.expect("it beats");
}

/// Executes every read that the engine does again and again.
async fn read(store: &SeaStore) {
    let number = 7;
    let scope = Scope::new(tenant(number), Actor::Host);
    let ids = [execution(number), execution(17)];
    store.execution_load(&ids).await.expect("it loads");
    store.inbox_fetch(&ids).await.expect("it fetches");
    let fence = Fence {
        worker: WorkerId::from_uuid(Uuid::from_u128(1)),
        name: "worker".to_owned(),
        epoch: 1,
    };
    store.worker_claims(&fence).await.expect("it lists");
    let matched = store.subscription_match(tenant(number), "type-7").await;
    assert!(!matched.expect("it matches").is_empty());
    let wanted = [
        Correlated { by: 0, to: Some(6) },
        Correlated { by: 1, to: None },
    ];
    let correlated = store.subscription_correlated(tenant(6), "type-6", &wanted);
    assert!(!correlated.await.expect("it finds").is_empty());
    let fetched = store.execution_fetch(&scope, ids[0]).await;
    assert!(fetched.expect("it fetches").is_some());
    let keyed = store.execution_keyed(&scope, "key-7").await;
    assert_eq!(Some(ids[0]), keyed.expect("it finds"));
    let events = store.journal_list(&scope, ids[0], 1, 10).await;
    assert_eq!(4, events.expect("it lists").len());
    let hash = ProgramHash::of("7");
    let pinned = store.definition_fetch_pinned(tenant(number), hash).await;
    assert!(pinned.expect("it fetches").is_some());
    for version in [None, Some("1.0.0")] {
        let fetched = store.definition_fetch(&scope, "test", "flow-7", version);
        assert!(fetched.await.expect("it fetches").is_some());
    }
    schedules::read_schedules(store).await;
    let recent = [workflow(7), workflow(17)];
    let recent = store.execution_recent(&scope, &recent, 5).await;
    assert_eq!(10, recent.expect("it lists").len());
    lists::read_lists(store, &scope).await;
    human_tasks::read(store, &scope).await;
}

/// Executes every read of flow control.
async fn read_flow(store: &SeaStore) {
    let survey = store.queue_survey(200, 100).await.expect("it counts");
    assert!(!survey.lanes.is_empty() && survey.held == 100);
    let scope = Scope::new(tenant(7), Actor::Host);
    let settings = store.flow_fetch(&scope, Some(("test", "flow-7"))).await;
    assert!(settings.expect("it fetches").is_some());
    let gate = ("flow/7/concurrency", "");
    let there = store.gate_list(&scope, gate, 100).await.expect("it lists");
    let place = store.queue_place(&scope, there[1].execution).await;
    assert_eq!(Some(1), place.expect("it finds").map(|place| place.ahead));
    let length = store.queue_length(&scope, Some("flow/7/"), 1_000).await;
    assert_eq!(there.len(), length.expect("it counts") as usize);
    let even = Scope::new(tenant(8), Actor::Host);
    let place = store.queue_place(&even, execution(8)).await;
    assert!(place.expect("it finds").is_some());
    assert_eq!(
        50,
        store
            .queue_length(&even, None, 50)
            .await
            .expect("it counts")
    );
}

/// Explains every statement that was read through sea-orm.
async fn explain(store: &SeaStore, how: &str) -> Vec<(String, String)> {
    let asked = std::mem::take(&mut *store.asked.lock().expect("nobody panicked"));
    let mut plans = Vec::new();
    for statement in asked {
        let explained = Statement {
            sql: format!("{how} {}", statement.sql),
            ..statement.clone()
        };
        let rows = store.read.query_all_raw(explained).await;
        let rows = rows.expect("it explains");
        let mut plan = String::new();
        for row in rows {
            let line: String = match store.read.get_database_backend() {
                DatabaseBackend::Postgres => row.try_get_by_index(0),
                _ => row.try_get("", "detail"),
            }
            .expect("a plan is text");
            writeln!(plan, "{line}").expect("a text takes more");
        }
        plans.push((statement.sql, plan));
    }
    plans
}

/// Explains every kind of statement that was executed along the indexes.
async fn explain_hot(store: &SeaStore, beside: &mut PgConnection) -> Vec<(String, String)> {
    let asked = std::mem::take(&mut *store.asked_hot.lock().expect("nobody panicked"));
    let distinct: std::collections::BTreeMap<_, _> = asked.into_iter().collect();
    let mut plans = Vec::new();
    for (text, values) in distinct {
        let explain = AssertSqlSafe(format!("EXPLAIN {text}"));
        let query = values
            .into_iter()
            .fold(sqlx::query(explain), sqlx::query::Query::bind);
        let rows = query.fetch_all(&mut *beside).await.expect("it explains");
        let lines: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        plans.push((text, lines.join("\n")));
    }
    assert!(!plans.is_empty());
    plans
}

#[tokio::test]
async fn sqlite_reads_no_whole_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("plans.db").display());
    let store = SeaStore::open(&url, SeaOptions::default()).await;
    let store = store.expect("it opens");
    fill(&store).await;
    hold(&store).await;
    read(&store).await;
    read_flow(&store).await;
    for (text, plan) in explain(&store, "EXPLAIN QUERY PLAN").await {
        let tables = [
            "execution",
            "queue",
            "journal",
            "attribute",
            "inbox",
            "snapshot",
            "suspension",
            "abnormal_end",
            "bulk",
            "bulk_item",
            "b",
            "i",
            "flow_setting",
            "place",
            "schedule",
            "schedule_tick",
            "human_task",
            "human_task_audience",
            "human_task_note",
        ];
        let aliases = [
            "e",
            "q",
            "j",
            "s",
            "t",
            "a0",
            "definition",
            "subscription",
            "p",
            "x",
            "n",
            "g",
            "r",
        ];
        for table in tables.iter().chain(&aliases) {
            let whole = plan.lines().any(|line| line == format!("SCAN {table}"));
            assert!(!whole, "{text}\n{plan}");
        }
    }
    store.close().await;
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test run says in the environment where its server is"
)]
#[tokio::test]
async fn postgres_reads_no_whole_table() {
    let Ok(url) = std::env::var("AUTERITY_TEST_POSTGRES_URL") else {
        println!("SKIPPED: plans on PostgreSQL, because AUTERITY_TEST_POSTGRES_URL is not set");
        return;
    };
    let mut random = [0_u8; 8];
    SystemEntropy.fill(&mut random);
    let schema = format!("test_{:016x}", u64::from_le_bytes(random));
    let options = SeaOptions {
        schema: schema.clone(),
        ..SeaOptions::default()
    };
    let store = SeaStore::open(&url, options).await.expect("it opens");
    fill(&store).await;
    hold(&store).await;
    let connect: PgConnectOptions = url.parse().expect("a URL");
    let beside = connect
        .options([("search_path", schema.as_str())])
        .options(super::postgres::HOT_SETTINGS);
    let mut beside = beside.connect().await.expect("it connects");
    execute(&mut beside, "ANALYZE").await;
    read(&store).await;
    read_flow(&store).await;
    for (text, plan) in explain(&store, "EXPLAIN").await {
        // A row for each tenant that has something ready: read as a whole where all have.
        let plan = plan.replace("Seq Scan on lane", "");
        assert!(!plan.contains("Seq Scan"), "{text}\n{plan}");
    }
    for (text, plan) in explain_hot(&store, &mut beside).await {
        assert!(!plan.contains("Seq Scan"), "{text}\n{plan}");
    }
    hot_functions(&store, &mut beside).await;
    store.close().await;
    execute(&mut beside, &format!("DROP SCHEMA \"{schema}\" CASCADE")).await;
}

async fn execute(connection: &mut PgConnection, text: &str) {
    let query = sqlx::raw_sql(AssertSqlSafe(text.to_owned()));
    query.execute(connection).await.expect("it executes");
}

/// Calls the functions of the hot path in one transaction and asks the server which
/// tables were read as a whole.
async fn hot_functions(store: &SeaStore, connection: &mut PgConnection) {
    let id = WorkerId::from_uuid(Uuid::from_u128(1));
    let lease = SignedDuration::from_hours(1);
    let fence = store.worker_register("plans", id, at(0), lease).await;
    let fence = fence.expect("it registers");
    let worker = format!(
        "'{}', '{}', {}",
        fence.name,
        fence.worker.as_uuid(),
        fence.epoch
    );
    let writing = append_call(connection, &worker, false).await;
    let skipping = append_call(connection, &worker, true).await;
    let now = at(EXECUTIONS).as_microsecond();
    let id = |number: u128| execution(number).as_uuid();
    execute(connection, "BEGIN").await;
    for call in [
        format!("SELECT worker_beat({worker}, 1000000, {now}, 50)"),
        writing,
        skipping,
        format!(
            "SELECT inbox_put(ARRAY['{}']::uuid[], ARRAY['{}']::uuid[], ARRAY['{}']::uuid[],
                ARRAY['cancel'], ARRAY[1], ARRAY['x'], ARRAY[1])",
            id(900_000),
            tenant(9).as_uuid(),
            id(9),
        ),
        format!(
            "SELECT human_task_update('{}', '{}', '{}', 1, 'open', NULL, NULL, NULL, 'anyone',
                1, 'released', NULL, NULL, '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}', '{{}}')",
            tenant(9).as_uuid(),
            id(9),
            id(9),
        ),
        format!("SELECT human_tasks_amend('{}', 1, NULL)", id(9)),
        format!(
            "SELECT worker_free(ARRAY['{}']::uuid[])",
            fence.worker.as_uuid()
        ),
    ] {
        execute(connection, &call).await;
    }
    let text = "SELECT relname::text, coalesce(seq_scan, 0), coalesce(idx_scan, 0)
         FROM pg_stat_xact_user_tables WHERE schemaname = current_schema()";
    let counted = sqlx::query(text).fetch_all(&mut *connection).await;
    let counted: Vec<(String, i64, i64)> = counted
        .expect("it counts")
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect();
    for (table, whole, by_index) in &counted {
        // There are a few workers, as many as processes.
        assert!(*whole == 0 || table == "worker", "{counted:?}");
        let written = [
            "execution",
            "queue",
            "journal",
            "inbox",
            "subscription",
            "snapshot",
        ];
        let used = *by_index != 0 || !written.contains(&table.as_str());
        assert!(used || table == "journal", "{counted:?}");
    }
    execute(connection, "ROLLBACK").await;
}

/// The call of `journal_append` with a row in most columns: two executions go on (one
/// parks, one ends), with everything that hangs on it.
async fn append_call(connection: &mut PgConnection, worker: &str, skipping: bool) -> String {
    let text = "SELECT p.name, p.kind::regtype::text AS kind,
             array_agg(a.attname::text ORDER BY a.attnum) AS fields,
             array_agg(a.atttypid::regtype::text ORDER BY a.attnum) AS kinds
         FROM pg_proc, unnest(proargnames, proargtypes) WITH ORDINALITY AS p (name, kind, place)
         JOIN pg_type t ON t.oid = p.kind
         JOIN pg_type e ON e.oid = t.typelem
         JOIN pg_attribute a ON a.attrelid = e.typrelid AND 0 < a.attnum
         WHERE proname = 'journal_append' AND pronamespace = current_schema()::regnamespace
         GROUP BY p.name, p.kind, p.place ORDER BY p.place";
    let parameters = sqlx::query(text).fetch_all(connection).await;
    let mut values = Vec::new();
    for parameter in parameters.expect("it is there") {
        let (name, kind): (String, String) = (parameter.get("name"), parameter.get("kind"));
        // Nothing starts. The executions are not the worker's, so that checking whose
        // they are skips all that would be written.
        let starts = matches!(&*name, "starts" | "attributes");
        if starts || (!skipping && name == "appends") {
            values.push(format!("NULL::{kind}"));
            continue;
        }
        let (fields, kinds): (Vec<String>, Vec<String>) =
            (parameter.get("fields"), parameter.get("kinds"));
        let row = |place: usize| {
            let fields = fields.iter().zip(&kinds);
            let fields: Vec<String> = fields
                .map(|(field, kind)| match (&**field, &**kind) {
                    ("id", _) => quoted([800_000, 800_001][place]),
                    (_, "uuid") => quoted([4, 6][place]),
                    (_, "boolean") => "false".to_owned(),
                    (_, "text") => ["'x'", "'y'"][place].to_owned(),
                    _ => ["70007", "70008"][place].to_owned(),
                })
                .collect();
            format!("ROW({})", fields.join(", "))
        };
        values.push(format!("ARRAY[{}, {}]::{kind}", row(0), row(1)));
    }
    format!(
        "SELECT journal_append(true, false, false, {worker}, {})",
        values.join(", ")
    )
}

fn quoted(number: u128) -> String {
    format!("'{}'", execution(number).as_uuid())
}
