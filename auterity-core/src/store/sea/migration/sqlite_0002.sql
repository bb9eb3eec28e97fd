-- Schedules. Times are microseconds since 1970 in UTC.

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
