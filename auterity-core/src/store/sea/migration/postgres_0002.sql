-- Schedules. Times are microseconds since 1970 in UTC.

CREATE TABLE schedule (
    id uuid PRIMARY KEY,
    tenant uuid NOT NULL,
    -- What made it: a name, a definition, another schedule.
    key text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    workflow text COLLATE "C" NOT NULL,
    spec text NOT NULL,
    managed boolean NOT NULL,
    backfill_of uuid,
    revision bigint NOT NULL,
    paused text,
    failures bigint NOT NULL,
    anchor_at bigint NOT NULL,
    cursor_at bigint NOT NULL,
    next_at bigint,
    -- When a worker is to look at it.
    due_at bigint,
    ticks bigint NOT NULL,
    watches boolean NOT NULL,
    collecting text,
    claim bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    -- Something happened since the last claim.
    rung boolean NOT NULL DEFAULT false
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX schedule_key ON schedule (tenant, key);
CREATE INDEX schedule_due ON schedule (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX schedule_name ON schedule (tenant, name, id) WHERE backfill_of IS NULL;
CREATE INDEX schedule_workflow ON schedule (tenant, namespace, workflow, name, id)
    WHERE backfill_of IS NULL;
CREATE INDEX schedule_backfill ON schedule (backfill_of, name, id) WHERE backfill_of IS NOT NULL;

CREATE TABLE schedule_tick (
    schedule uuid NOT NULL,
    sequence bigint NOT NULL,
    identity text COLLATE "C" NOT NULL,
    kind text NOT NULL,
    nominal_at bigint NOT NULL,
    state text NOT NULL,
    open boolean NOT NULL,
    execution uuid,
    reason text,
    events text,
    decided_at bigint NOT NULL,
    ended_at bigint,
    PRIMARY KEY (schedule, sequence)
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX schedule_tick_identity ON schedule_tick (schedule, identity);
CREATE INDEX schedule_tick_open ON schedule_tick (schedule, sequence) WHERE open;
CREATE INDEX schedule_tick_started ON schedule_tick (execution) WHERE state = 'started';

CREATE TABLE schedule_event (
    schedule uuid NOT NULL,
    id uuid NOT NULL,
    place bigint GENERATED ALWAYS AS IDENTITY,
    payload text NOT NULL,
    at bigint NOT NULL,
    -- Consumed ones are kept for a while, so that a repetition is recognised.
    consumed boolean NOT NULL DEFAULT false,
    PRIMARY KEY (schedule, id)
);
CREATE INDEX schedule_event_waiting ON schedule_event (schedule, place) WHERE NOT consumed;
CREATE INDEX schedule_event_consumed ON schedule_event (schedule, at) WHERE consumed;
