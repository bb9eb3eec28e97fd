-- The engine's tables. Times are microseconds since 1970 in UTC; payloads are JSON text.

CREATE TABLE definition (
    tenant BLOB NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    -- Sorts by semantic version precedence.
    version_key TEXT NOT NULL,
    hash BLOB NOT NULL,
    title TEXT,
    summary TEXT,
    -- Namespace, name and title in lower case.
    search TEXT NOT NULL,
    body TEXT NOT NULL,
    -- What the text takes from elsewhere.
    externals TEXT,
    created_at INTEGER NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0,
    -- The hash is part of the key because a deleted version may come back with
    -- another text while executions are still pinned to the first.
    PRIMARY KEY (tenant, namespace, name, version, hash)
) WITHOUT ROWID;
CREATE UNIQUE INDEX definition_version ON definition (tenant, namespace, name, version)
    WHERE NOT deleted;
CREATE INDEX definition_hash ON definition (tenant, hash);

-- One row per execution: inserted at its start, updated at its end.
CREATE TABLE execution (
    id BLOB PRIMARY KEY,
    tenant BLOB NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    program BLOB NOT NULL,
    input TEXT NOT NULL,
    parent BLOB,
    parent_effect INTEGER,
    idempotency_key TEXT,
    attributes TEXT,
    priority INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    -- 'active' until the end: where an active one stands is in its queue row.
    status TEXT NOT NULL DEFAULT 'active',
    output TEXT,
    error TEXT,
    ended_at INTEGER
);
CREATE INDEX execution_started ON execution (tenant, started_at DESC, id DESC);
CREATE INDEX execution_workflow ON execution (tenant, namespace, name, started_at DESC, id DESC);
CREATE UNIQUE INDEX execution_key ON execution (tenant, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

-- For search only; the execution's own row has its attributes as one text.
CREATE TABLE attribute (
    tenant BLOB NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    execution BLOB NOT NULL,
    PRIMARY KEY (tenant, name, value, started_at, execution)
) WITHOUT ROWID;

-- Only executions that have not ended. A row has an owner, or is ready to be claimed,
-- or is held at a gate before it has begun, or is parked.
CREATE TABLE queue (
    tenant BLOB NOT NULL,
    execution BLOB NOT NULL,
    owner BLOB,
    ready INTEGER NOT NULL,
    held INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER,
    priority INTEGER NOT NULL,
    waiting_for TEXT,
    -- What it has to pass, as a JSON list; absent for most.
    gates TEXT,
    PRIMARY KEY (tenant, execution)
) WITHOUT ROWID;
CREATE INDEX queue_ready ON queue (tenant, priority DESC, due_at) WHERE ready;
-- Apart from the ready ones, so that a claim never walks over timers of the future.
CREATE INDEX queue_timer ON queue (due_at)
    WHERE NOT ready AND NOT held AND owner IS NULL AND due_at IS NOT NULL;
CREATE INDEX queue_owner ON queue (owner) WHERE owner IS NOT NULL;

-- With row ids, so that rows go to the end of the table, whatever executions they
-- belong to: a commit then touches few pages.
CREATE TABLE journal (
    tenant BLOB NOT NULL,
    execution BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    records TEXT NOT NULL,
    PRIMARY KEY (execution, sequence)
);

CREATE TABLE snapshot (
    execution BLOB PRIMARY KEY,
    sequence INTEGER NOT NULL,
    format INTEGER NOT NULL,
    state TEXT NOT NULL,
    checksum INTEGER NOT NULL
);

CREATE TABLE subscription (
    tenant BLOB NOT NULL,
    execution BLOB NOT NULL,
    effect INTEGER NOT NULL,
    filter INTEGER NOT NULL,
    event_type TEXT,
    -- The event type, unless it cannot be an index key.
    event_key TEXT,
    condition TEXT NOT NULL,
    -- The kind of its correlations, and what they expect: numbers to find it by.
    correlated_by INTEGER,
    correlated_to INTEGER,
    PRIMARY KEY (execution, effect, filter)
) WITHOUT ROWID;
CREATE INDEX subscription_type
    ON subscription (tenant, event_key, correlated_by, correlated_to);

CREATE TABLE inbox (
    -- Keeps messages of the same time in the order in which they were put.
    place INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    tenant BLOB NOT NULL,
    execution BLOB NOT NULL,
    kind TEXT NOT NULL,
    effect INTEGER,
    payload TEXT NOT NULL,
    at INTEGER NOT NULL,
    consumed INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX inbox_execution ON inbox (execution, consumed);

-- Executions that somebody stopped for a while. A row of one that has ended meanwhile
-- means nothing.
CREATE TABLE suspension (
    tenant BLOB NOT NULL,
    execution BLOB NOT NULL,
    PRIMARY KEY (tenant, execution)
) WITHOUT ROWID;

CREATE TABLE worker (
    name TEXT PRIMARY KEY,
    id BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    -- Absent once the life has ended.
    lease_until INTEGER
) WITHOUT ROWID;

-- Schedules: what starts workflows by itself.

CREATE TABLE schedule (
    id BLOB PRIMARY KEY,
    tenant BLOB NOT NULL,
    -- What made it: a name, a definition, another schedule.
    key TEXT NOT NULL,
    name TEXT NOT NULL,
    namespace TEXT NOT NULL,
    workflow TEXT NOT NULL,
    spec TEXT NOT NULL,
    managed INTEGER NOT NULL,
    backfill_of BLOB,
    revision INTEGER NOT NULL,
    paused TEXT,
    failures INTEGER NOT NULL,
    anchor_at INTEGER NOT NULL,
    cursor_at INTEGER NOT NULL,
    next_at INTEGER,
    -- When a worker is to look at it.
    due_at INTEGER,
    ticks INTEGER NOT NULL,
    watches INTEGER NOT NULL,
    collecting TEXT,
    claim INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    -- Something happened since the last claim.
    rung INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX schedule_key ON schedule (tenant, key);
CREATE INDEX schedule_due ON schedule (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX schedule_name ON schedule (tenant, name, id) WHERE backfill_of IS NULL;
CREATE INDEX schedule_workflow ON schedule (tenant, namespace, workflow, name, id)
    WHERE backfill_of IS NULL;
CREATE INDEX schedule_backfill ON schedule (backfill_of, name, id) WHERE backfill_of IS NOT NULL;

CREATE TABLE schedule_tick (
    schedule BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    identity TEXT NOT NULL,
    kind TEXT NOT NULL,
    nominal_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    open INTEGER NOT NULL,
    execution BLOB,
    reason TEXT,
    events TEXT,
    decided_at INTEGER NOT NULL,
    ended_at INTEGER,
    PRIMARY KEY (schedule, sequence)
) WITHOUT ROWID;
CREATE UNIQUE INDEX schedule_tick_identity ON schedule_tick (schedule, identity);
CREATE INDEX schedule_tick_open ON schedule_tick (schedule, sequence) WHERE open;
CREATE INDEX schedule_tick_started ON schedule_tick (execution) WHERE state = 'started';

CREATE TABLE schedule_event (
    -- Keeps events of the same time in the order in which they were put.
    place INTEGER PRIMARY KEY,
    schedule BLOB NOT NULL,
    id BLOB NOT NULL,
    payload TEXT NOT NULL,
    at INTEGER NOT NULL,
    -- Consumed ones are kept for a while, so that a repetition is recognised.
    consumed INTEGER NOT NULL DEFAULT 0,
    UNIQUE (schedule, id)
);
CREATE INDEX schedule_event_waiting ON schedule_event (schedule, place) WHERE NOT consumed;
CREATE INDEX schedule_event_consumed ON schedule_event (schedule, at) WHERE consumed;

-- What the function `store` keeps: a tenant's values by key.
CREATE TABLE stored_value (
    tenant BLOB NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) WITHOUT ROWID;

-- What functions under way said last.
CREATE TABLE task_progress (
    execution BLOB NOT NULL,
    effect INTEGER NOT NULL,
    tenant BLOB NOT NULL,
    task TEXT NOT NULL,
    at INTEGER NOT NULL,
    details TEXT NOT NULL,
    PRIMARY KEY (execution, effect)
) WITHOUT ROWID;
