-- The engine's tables. Times are microseconds since 1970 in UTC; payloads are JSON
-- text that the server never parses. Names sort by their bytes in every database.

CREATE TABLE definition (
    tenant uuid NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    -- Sorts by semantic version precedence.
    version_key text COLLATE "C" NOT NULL,
    hash bytea NOT NULL,
    title text,
    summary text,
    -- Namespace, name and title in lower case.
    search text NOT NULL,
    body text NOT NULL,
    -- What the text takes from elsewhere.
    externals text,
    created_at bigint NOT NULL,
    deleted boolean NOT NULL DEFAULT false,
    -- The hash is part of the key because a deleted version may come back with
    -- another text while executions are still pinned to the first.
    PRIMARY KEY (tenant, namespace, name, version, hash)
);
CREATE UNIQUE INDEX definition_version ON definition (tenant, namespace, name, version)
    WHERE NOT deleted;
CREATE INDEX definition_hash ON definition (tenant, hash);

-- One row per execution: inserted at its start, updated in place at its end. No
-- index covers a column that the end changes.
CREATE TABLE execution (
    id uuid PRIMARY KEY,
    tenant uuid NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    program bytea NOT NULL,
    input text NOT NULL,
    parent uuid,
    parent_effect bigint,
    idempotency_key text COLLATE "C",
    attributes text,
    priority integer NOT NULL,
    started_at bigint NOT NULL,
    -- 'active' until the end: where an active one stands is in its queue row.
    status text NOT NULL DEFAULT 'active',
    output text,
    error text,
    ended_at bigint
) WITH (fillfactor = 80);
CREATE INDEX execution_started ON execution (tenant, started_at DESC, id DESC);
CREATE INDEX execution_workflow ON execution (tenant, namespace, name, started_at DESC, id DESC);
CREATE UNIQUE INDEX execution_key ON execution (tenant, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

-- For search only; the execution's own row has its attributes as one text.
CREATE TABLE attribute (
    tenant uuid NOT NULL,
    name text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    started_at bigint NOT NULL,
    execution uuid NOT NULL,
    PRIMARY KEY (tenant, name, value, started_at, execution)
);

-- Only executions that have not ended: narrow and hot. A row has an owner, or is
-- ready to be claimed, or is held at a gate before it has begun, or is parked.
CREATE TABLE queue (
    tenant uuid NOT NULL,
    execution uuid NOT NULL,
    owner uuid,
    ready boolean NOT NULL,
    held boolean NOT NULL DEFAULT false,
    due_at bigint,
    priority integer NOT NULL,
    waiting_for text,
    -- What it has to pass, as a JSON list; absent for most.
    gates text,
    -- Whether snapshot, subscription or inbox may have rows of it, which go at its end.
    traces boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant, execution)
) WITH (fillfactor = 70);
CREATE INDEX queue_ready ON queue (tenant, priority DESC, due_at) WHERE ready;
-- Apart from the ready ones, so that a claim never walks over timers of the future.
CREATE INDEX queue_timer ON queue (due_at)
    WHERE NOT ready AND NOT held AND owner IS NULL AND due_at IS NOT NULL;
CREATE INDEX queue_owner ON queue (owner) WHERE owner IS NOT NULL;

CREATE TABLE journal (
    tenant uuid NOT NULL,
    execution uuid NOT NULL,
    sequence bigint NOT NULL,
    at bigint NOT NULL,
    kind text NOT NULL,
    payload text NOT NULL,
    records text NOT NULL,
    PRIMARY KEY (execution, sequence)
);

CREATE TABLE snapshot (
    execution uuid PRIMARY KEY,
    sequence bigint NOT NULL,
    format integer NOT NULL,
    state text NOT NULL,
    checksum bigint NOT NULL
) WITH (fillfactor = 70);

CREATE TABLE subscription (
    tenant uuid NOT NULL,
    execution uuid NOT NULL,
    effect bigint NOT NULL,
    filter bigint NOT NULL,
    event_type text,
    -- The event type, unless it cannot be an index key.
    event_key text COLLATE "C",
    condition text NOT NULL,
    -- The kind of its correlations, and what they expect: numbers to find it by.
    correlated_by bigint,
    correlated_to bigint,
    PRIMARY KEY (execution, effect, filter)
);
CREATE INDEX subscription_type
    ON subscription (tenant, event_key, correlated_by, correlated_to);

CREATE TABLE inbox (
    id uuid PRIMARY KEY,
    -- Keeps messages of the same time in the order in which they were put.
    place bigint GENERATED ALWAYS AS IDENTITY,
    tenant uuid NOT NULL,
    execution uuid NOT NULL,
    kind text NOT NULL,
    effect bigint,
    payload text NOT NULL,
    at bigint NOT NULL,
    consumed boolean NOT NULL DEFAULT false
);
CREATE INDEX inbox_execution ON inbox (execution, consumed);

CREATE TABLE worker (
    name text COLLATE "C" PRIMARY KEY,
    id uuid NOT NULL,
    epoch bigint NOT NULL,
    -- Absent once the life has ended.
    lease_until bigint,
    -- Makes id and epoch key columns, so that a take-over conflicts with FOR KEY SHARE
    -- while a renewed lease does not.
    UNIQUE (name, id, epoch)
);

CREATE FUNCTION clock_micros() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
$$;

-- Puts messages and makes parked receivers ready. Locks the queue rows first, in one
-- order, so that a receiver that parks at the same moment sees the message or is seen.
CREATE FUNCTION inbox_put(
    m_id uuid[], m_tenant uuid[], m_execution uuid[], m_kind text[], m_effect bigint[],
    m_payload text[], m_at bigint[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    filled uuid[];
BEGIN
    PERFORM 1 FROM queue q
    WHERE (q.tenant, q.execution) IN (SELECT * FROM unnest(m_tenant, m_execution))
    ORDER BY q.tenant, q.execution FOR UPDATE;
    WITH added AS (
        INSERT INTO inbox (id, tenant, execution, kind, effect, payload, at)
        SELECT m.id, m.tenant, m.execution, m.kind, m.effect, m.payload, m.at
        FROM unnest(m_id, m_tenant, m_execution, m_kind, m_effect, m_payload, m_at)
            WITH ORDINALITY AS m (id, tenant, execution, kind, effect, payload, at, place)
        JOIN queue q ON q.tenant = m.tenant AND q.execution = m.execution
        ORDER BY m.place
        ON CONFLICT (id) DO NOTHING
        RETURNING tenant, execution, at
    ), woken AS (
        SELECT tenant, execution, min(at) AS at FROM added GROUP BY tenant, execution
    ), reached AS (
        UPDATE queue q SET traces = true, ready = q.owner IS NULL AND NOT q.held,
            due_at = CASE WHEN q.owner IS NULL AND NOT q.ready AND NOT q.held
                          THEN least(q.due_at, woken.at) ELSE q.due_at END
        FROM woken
        WHERE q.tenant = woken.tenant AND q.execution = woken.execution
        RETURNING q.tenant, q.ready
    )
    SELECT array_agg(tenant) INTO filled FROM reached WHERE ready;
    PERFORM lane_open(filled);
END
$$;

-- Executions that somebody stopped for a while. A row of one that has ended meanwhile
-- means nothing.
CREATE TABLE suspension (
    tenant uuid NOT NULL,
    execution uuid NOT NULL,
    PRIMARY KEY (tenant, execution)
);

-- Puts one message of control; marks or unmarks its receiver as suspended. One that is
-- to end is not held up by gates.
CREATE FUNCTION control_put(
    m_id uuid[], m_tenant uuid[], m_execution uuid[], m_kind text[], m_effect bigint[],
    m_payload text[], m_at bigint[], suspended boolean, ends boolean
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM queue WHERE tenant = m_tenant[1] AND execution = m_execution[1] FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF suspended THEN
        INSERT INTO suspension VALUES (m_tenant[1], m_execution[1]) ON CONFLICT DO NOTHING;
    ELSIF NOT suspended THEN
        DELETE FROM suspension WHERE tenant = m_tenant[1] AND execution = m_execution[1];
    END IF;
    IF ends THEN
        PERFORM gates_pass_by(m_tenant[1], m_execution[1]);
    END IF;
    PERFORM inbox_put(m_id, m_tenant, m_execution, m_kind, m_effect, m_payload, m_at);
    RETURN true;
END
$$;

-- What a journal batch consists of. The batch comes as one array per kind of row, or
-- null where it has none: one array of rows is read in a fraction of the time that an
-- array per column takes.
CREATE TYPE start_row AS (
    tenant uuid, execution uuid, namespace text, name text, version text, program bytea,
    input text, parent uuid, parent_effect bigint, key text, attributes text, at bigint,
    status text, output text, error text, ended_at bigint, priority integer, owned boolean,
    ready boolean, due bigint, waiting text, gates text
);
CREATE TYPE attribute_row AS (
    execution uuid, tenant uuid, name text, value text, at bigint
);
CREATE TYPE append_row AS (tenant uuid, execution uuid, sequence bigint);
-- Fresh: of an entry that creates its execution.
CREATE TYPE event_row AS (
    tenant uuid, execution uuid, fresh boolean, sequence bigint, at bigint, kind text,
    payload text, records text
);
CREATE TYPE parked_row AS (
    tenant uuid, execution uuid, ready boolean, due bigint, waiting text
);
CREATE TYPE end_row AS (
    tenant uuid, execution uuid, status text, output text, error text, at bigint
);
-- Of the ends, started ones included, those that are in abnormal_end.
CREATE TYPE abnormal_row AS (
    tenant uuid, execution uuid, status text, fault bigint, at bigint
);
CREATE TYPE snapshot_row AS (
    tenant uuid, execution uuid, sequence bigint, format integer, state text, checksum bigint
);
CREATE TYPE subscribe_row AS (
    tenant uuid, execution uuid, effect bigint, filter bigint, event_type text,
    event_key text, condition text, correlated_by bigint, correlated_to bigint
);
CREATE TYPE unsubscribe_row AS (execution uuid, effect bigint);
CREATE TYPE consumed_row AS (execution uuid, id uuid);
-- The sender is the entry that the message is part of.
CREATE TYPE message_row AS (
    sender uuid, id uuid, tenant uuid, execution uuid, kind text, effect bigint,
    payload text, at bigint
);

-- A change of a human task. Audiences and those of an escalation are lines.
CREATE TYPE human_task_row AS (
    tenant uuid, execution uuid, id uuid, effect bigint, at bigint, asked boolean,
    namespace text, name text, version text, task text, title text, deadline bigint,
    details text, audiences text, escalate text, escalated text, closed text
);

-- Writes one journal batch and gives the entries that were left out: their
-- execution is not the worker's, or they were recorded before.
--
-- An owner repeats itself only after a lost connection, and only a mistake makes it
-- write for others. So a call that is not careful fails as a whole then, and the careful
-- one looks at each entry. Starts with an idempotency key (keyed) are always looked up.
-- Queueing: some start is for whoever claims it.
CREATE FUNCTION journal_append(
    careful boolean, keyed boolean, queueing boolean, w_name text, w_id uuid, w_epoch bigint,
    starts start_row[], attributes attribute_row[], appends append_row[],
    events event_row[], parked parked_row[], ends end_row[], abnormal abnormal_row[],
    snapshots snapshot_row[], subscribes subscribe_row[], unsubscribes unsubscribe_row[],
    consumes consumed_row[], messages message_row[], people human_task_row[]
) RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
    skipped uuid[] := '{}';
    repeated uuid[];
    traced uuid[];
    filled uuid[] := '{}';
    written bigint;
BEGIN
    IF w_name IS NOT NULL THEN
        -- Conflicts with take-over, which raises the epoch.
        PERFORM 1 FROM worker WHERE name = w_name AND id = w_id AND epoch = w_epoch
        FOR KEY SHARE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the worker has lost its lease' USING ERRCODE = 'AU001';
        END IF;
    END IF;
    -- One statement takes all locks in one order. Executions that stay the worker's
    -- need none: only a take-over could take them away, and it waits. Ends alone come
    -- in that order and lock as they delete.
    IF parked IS NOT NULL OR messages IS NOT NULL THEN
        PERFORM 1 FROM queue q
        WHERE (q.tenant, q.execution) IN (
            SELECT tenant, execution FROM unnest(parked)
            UNION ALL SELECT tenant, execution FROM unnest(ends)
            UNION ALL SELECT tenant, execution FROM unnest(messages))
        ORDER BY q.tenant, q.execution FOR UPDATE;
    END IF;
    IF careful AND appends IS NOT NULL THEN
        SELECT coalesce(array_agg(a.execution), '{}') INTO skipped
        FROM unnest(appends) AS a
        LEFT JOIN queue q ON q.tenant = a.tenant AND q.execution = a.execution
        WHERE q.execution IS NULL OR q.owner IS DISTINCT FROM w_id
            OR EXISTS (SELECT 1 FROM journal
                WHERE journal.execution = a.execution AND journal.sequence = a.sequence);
    END IF;
    IF starts IS NOT NULL THEN
        IF careful OR keyed THEN
            WITH created AS (
                INSERT INTO execution (tenant, id, namespace, name, version, program, input,
                                       parent, parent_effect, idempotency_key, attributes,
                                       priority, started_at, status, output, error, ended_at)
                SELECT s.tenant, s.execution, s.namespace, s.name, s.version, s.program, s.input,
                       s.parent, s.parent_effect, s.key, s.attributes, s.priority, s.at,
                       s.status, s.output, s.error, s.ended_at
                FROM unnest(starts) AS s
                ON CONFLICT DO NOTHING RETURNING id
            )
            SELECT array_agg(s.execution) INTO repeated FROM unnest(starts) AS s
            WHERE s.execution NOT IN (SELECT id FROM created);
            skipped := skipped || coalesce(repeated, '{}');
        ELSE
            INSERT INTO execution (tenant, id, namespace, name, version, program, input, parent,
                                   parent_effect, idempotency_key, attributes, priority,
                                   started_at,
                                   status, output, error, ended_at)
            SELECT s.tenant, s.execution, s.namespace, s.name, s.version, s.program, s.input,
                   s.parent, s.parent_effect, s.key, s.attributes, s.priority, s.at, s.status,
                   s.output, s.error, s.ended_at
            FROM unnest(starts) AS s;
        END IF;
        INSERT INTO queue (tenant, execution, owner, ready, held, due_at, priority, waiting_for,
                           gates)
        SELECT s.tenant, s.execution, CASE WHEN s.owned THEN w_id END,
               s.ready AND s.gates IS NULL, s.gates IS NOT NULL, s.due, s.priority, s.waiting,
               s.gates
        FROM unnest(starts) AS s
        WHERE s.status = 'active' AND s.execution <> ALL (skipped);
        IF queueing THEN
            filled := ARRAY(SELECT s.tenant FROM unnest(starts) AS s WHERE s.ready);
        END IF;
    END IF;
    IF attributes IS NOT NULL THEN
        INSERT INTO attribute (tenant, name, value, started_at, execution)
        SELECT t.tenant, t.name, t.value, t.at, t.execution FROM unnest(attributes) AS t
        WHERE t.execution <> ALL (skipped);
    END IF;
    IF events IS NOT NULL THEN
        INSERT INTO journal (tenant, execution, sequence, at, kind, payload, records)
        SELECT j.tenant, j.execution, j.sequence, j.at, j.kind, j.payload, j.records
        FROM unnest(events) AS j
        LEFT JOIN queue q ON q.tenant = j.tenant AND q.execution = j.execution
        WHERE (j.fresh OR q.owner = w_id) AND j.execution <> ALL (skipped);
        IF NOT careful THEN
            GET DIAGNOSTICS written = ROW_COUNT;
            IF written < cardinality(events) THEN
                IF written < (SELECT count(*) FROM unnest(events) AS j
                              WHERE j.execution <> ALL (skipped)) THEN
                    RAISE EXCEPTION 'an execution is not the worker''s' USING ERRCODE = 'AU002';
                END IF;
            END IF;
        END IF;
    END IF;
    IF snapshots IS NOT NULL OR subscribes IS NOT NULL THEN
        UPDATE queue q SET traces = true
        WHERE NOT q.traces AND q.execution <> ALL (skipped) AND (q.tenant, q.execution) IN (
            SELECT tenant, execution FROM unnest(snapshots)
            UNION ALL SELECT tenant, execution FROM unnest(subscribes));
    END IF;
    IF snapshots IS NOT NULL THEN
        INSERT INTO snapshot (execution, sequence, format, state, checksum)
        SELECT n.execution, n.sequence, n.format, n.state, n.checksum
        FROM unnest(snapshots) AS n WHERE n.execution <> ALL (skipped)
        ON CONFLICT (execution) DO UPDATE SET sequence = excluded.sequence,
            format = excluded.format, state = excluded.state, checksum = excluded.checksum;
    END IF;
    IF subscribes IS NOT NULL THEN
        INSERT INTO subscription (tenant, execution, effect, filter, event_type, event_key,
                                  condition, correlated_by, correlated_to)
        SELECT u.* FROM unnest(subscribes) AS u WHERE u.execution <> ALL (skipped)
        ON CONFLICT (execution, effect, filter) DO UPDATE SET event_type = excluded.event_type,
            event_key = excluded.event_key, condition = excluded.condition,
            correlated_by = excluded.correlated_by, correlated_to = excluded.correlated_to;
    END IF;
    IF unsubscribes IS NOT NULL THEN
        DELETE FROM subscription USING unnest(unsubscribes) AS x
        WHERE subscription.execution = x.execution AND subscription.effect = x.effect
            AND x.execution <> ALL (skipped);
    END IF;
    IF consumes IS NOT NULL THEN
        UPDATE inbox SET consumed = true FROM unnest(consumes) AS c
        WHERE inbox.id = c.id AND inbox.execution = c.execution
            AND c.execution <> ALL (skipped);
    END IF;
    IF parked IS NOT NULL THEN
        -- An unconsumed message makes the execution ready at once.
        WITH put AS (
            UPDATE queue q SET owner = NULL, ready = p.ready OR p.message_at IS NOT NULL,
                due_at = CASE WHEN p.ready THEN q.due_at ELSE least(p.due, p.message_at) END,
                waiting_for = p.waiting
            FROM (
                SELECT p.*, (SELECT min(at) FROM inbox
                             WHERE inbox.execution = p.execution AND NOT consumed) AS message_at
                FROM unnest(parked) AS p
            ) AS p
            WHERE q.tenant = p.tenant AND q.execution = p.execution
                AND p.execution <> ALL (skipped)
            RETURNING q.tenant, q.ready
        )
        SELECT filled || coalesce(array_agg(put.tenant), '{}') INTO filled FROM put WHERE put.ready;
    END IF;
    IF ends IS NOT NULL THEN
        UPDATE execution SET status = d.status, output = d.output, error = d.error, ended_at = d.at
        FROM unnest(ends) AS d
        WHERE execution.id = d.execution AND d.execution <> ALL (skipped);
        WITH gone AS (
            DELETE FROM queue q USING unnest(ends) AS d
            WHERE q.tenant = d.tenant AND q.execution = d.execution
                AND d.execution <> ALL (skipped)
            RETURNING q.execution, q.traces
        )
        SELECT array_agg(execution) INTO traced FROM gone WHERE traces;
        IF traced IS NOT NULL THEN
            DELETE FROM snapshot WHERE execution = ANY (traced);
            DELETE FROM subscription WHERE execution = ANY (traced);
            DELETE FROM inbox WHERE execution = ANY (traced);
        END IF;
    END IF;
    IF abnormal IS NOT NULL THEN
        INSERT INTO abnormal_end (tenant, execution, status, fault, started_at, ended_at)
        SELECT b.tenant, b.execution, b.status, b.fault, e.started_at, b.at
        FROM unnest(abnormal) AS b JOIN execution e ON e.id = b.execution
        WHERE b.execution <> ALL (skipped);
    END IF;
    -- Last, because receivers may start, park or end in the same batch.
    IF messages IS NOT NULL THEN
        PERFORM inbox_put(array_agg(m.id), array_agg(m.tenant), array_agg(m.execution),
                          array_agg(m.kind), array_agg(m.effect), array_agg(m.payload),
                          array_agg(m.at))
        FROM unnest(messages) AS m WHERE m.sender <> ALL (skipped);
    END IF;
    IF people IS NOT NULL THEN
        PERFORM human_tasks_change(array_agg(h)) FROM unnest(people) AS h
        WHERE h.execution <> ALL (skipped);
    END IF;
    IF cardinality(filled) > 0 THEN
        PERFORM lane_open(filled);
    END IF;
    RETURN skipped;
END
$$;

-- Makes claimable what workers owned whose lives have ended.
CREATE FUNCTION worker_free(ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    filled uuid[];
BEGIN
    PERFORM 1 FROM queue WHERE owner = ANY (ids) ORDER BY tenant, execution FOR UPDATE;
    WITH freed AS (
        UPDATE queue SET owner = NULL, ready = true WHERE owner = ANY (ids) RETURNING tenant
    )
    SELECT array_agg(tenant) INTO filled FROM freed;
    PERFORM lane_open(filled);
END
$$;

CREATE FUNCTION worker_register(w_name text, w_id uuid, w_lease bigint)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    earlier uuid;
    raised bigint;
BEGIN
    -- The row must be there to be locked: two may register a new name at once.
    INSERT INTO worker (name, id, epoch) VALUES (w_name, w_id, 0) ON CONFLICT (name) DO NOTHING;
    SELECT id INTO earlier FROM worker WHERE name = w_name FOR UPDATE;
    UPDATE worker SET id = w_id, epoch = epoch + 1, lease_until = clock_micros() + w_lease
    WHERE name = w_name RETURNING epoch INTO raised;
    PERFORM worker_free(ARRAY[earlier]);
    RETURN raised;
END
$$;

CREATE FUNCTION worker_release(w_name text, w_id uuid, w_epoch bigint)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE worker SET epoch = epoch + 1, lease_until = NULL
    WHERE name = w_name AND id = w_id AND epoch = w_epoch;
    IF FOUND THEN
        PERFORM worker_free(ARRAY[w_id]);
    END IF;
END
$$;

CREATE FUNCTION worker_beat(
    w_name text, w_id uuid, w_epoch bigint, w_lease bigint, now_at bigint, claims_max integer
) RETURNS TABLE (tenant uuid, execution uuid, look_at bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    dead uuid[];
    filled uuid[];
BEGIN
    UPDATE worker SET lease_until = clock_micros() + w_lease
    WHERE name = w_name AND id = w_id AND epoch = w_epoch;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the worker has lost its lease' USING ERRCODE = 'AU001';
    END IF;
    WITH expired AS (
        SELECT name FROM worker WHERE lease_until < clock_micros() AND name <> w_name
        FOR UPDATE SKIP LOCKED
    ), raised AS (
        UPDATE worker SET epoch = epoch + 1, lease_until = NULL FROM expired
        WHERE worker.name = expired.name RETURNING worker.id
    )
    SELECT array_agg(id) INTO dead FROM raised;
    IF dead IS NOT NULL THEN
        PERFORM worker_free(dead);
    END IF;
    -- A row without an execution says when there may be more: at a gate, or by a timer.
    RETURN QUERY SELECT NULL::uuid, NULL::uuid, soonest FROM (
        SELECT least(gates_look(now_at), (
            SELECT due_at FROM queue
            WHERE due_at > now_at AND NOT ready AND NOT held AND owner IS NULL
                AND due_at IS NOT NULL
            ORDER BY due_at LIMIT 1))
    ) AS next (soonest)
    WHERE soonest IS NOT NULL;
    IF claims_max <= 0 THEN
        RETURN;
    END IF;
    -- Timers fire in bounded batches, so that a crowd of them delays nobody for long.
    WITH fired AS (
        UPDATE queue q SET ready = true FROM (
            SELECT tenant, execution FROM queue
            WHERE due_at <= now_at AND NOT ready AND NOT held AND owner IS NULL
                AND due_at IS NOT NULL
            ORDER BY due_at LIMIT claims_max + 1000 FOR UPDATE SKIP LOCKED
        ) AS due
        WHERE q.tenant = due.tenant AND q.execution = due.execution
        RETURNING q.tenant
    )
    SELECT array_agg(fired.tenant) INTO filled FROM fired;
    PERFORM lane_open(filled);
    RETURN QUERY SELECT claimed.tenant, claimed.execution, NULL::bigint
    FROM queue_claim(w_id, claims_max) AS claimed;
END
$$;

-- Changes an execution that no worker has, if its last event is the one that the change
-- builds on; gives what became of it. Letters: n for the snapshot, j for events, u for
-- subscriptions, m for messages.
CREATE FUNCTION execution_amend(
    a_tenant uuid, a_execution uuid, a_after bigint, a_at bigint,
    a_namespace text, a_name text, a_version text, a_program bytea, a_input text, a_gates text,
    n_sequence bigint, n_format integer, n_state text, n_checksum bigint,
    j_sequence bigint[], j_at bigint[], j_kind text[], j_payload text[], j_records text[],
    u_effect bigint[], u_filter bigint[], u_type text[], u_key text[], u_condition text[],
    u_by bigint[], u_to bigint[],
    m_id uuid[], m_tenant uuid[], m_execution uuid[], m_kind text[], m_effect bigint[],
    m_payload text[], m_at bigint[], people human_task_row[]
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    owned_by uuid;
    queued boolean;
BEGIN
    SELECT owner INTO owned_by FROM queue
    WHERE tenant = a_tenant AND execution = a_execution FOR UPDATE;
    queued := FOUND;
    IF owned_by IS NOT NULL THEN
        RETURN 'owned';
    END IF;
    PERFORM 1 FROM execution
    WHERE id = a_execution AND tenant = a_tenant AND queued = (status = 'active') FOR UPDATE;
    IF NOT FOUND OR a_after IS DISTINCT FROM
            (SELECT max(sequence) FROM journal WHERE execution = a_execution) THEN
        RETURN 'moved';
    END IF;
    UPDATE execution SET status = 'active', output = NULL, error = NULL, ended_at = NULL,
        namespace = a_namespace, name = a_name, version = a_version, program = a_program,
        input = coalesce(a_input, input)
    WHERE id = a_execution;
    DELETE FROM abnormal_end WHERE tenant = a_tenant AND execution = a_execution;
    INSERT INTO journal (tenant, execution, sequence, at, kind, payload, records)
    SELECT a_tenant, a_execution, * FROM unnest(j_sequence, j_at, j_kind, j_payload, j_records);
    INSERT INTO snapshot (execution, sequence, format, state, checksum)
    VALUES (a_execution, n_sequence, n_format, n_state, n_checksum)
    ON CONFLICT (execution) DO UPDATE SET sequence = excluded.sequence,
        format = excluded.format, state = excluded.state, checksum = excluded.checksum;
    DELETE FROM subscription WHERE execution = a_execution;
    INSERT INTO subscription (tenant, execution, effect, filter, event_type, event_key, condition,
                              correlated_by, correlated_to)
    SELECT a_tenant, a_execution, *
    FROM unnest(u_effect, u_filter, u_type, u_key, u_condition, u_by, u_to);
    DELETE FROM suspension WHERE tenant = a_tenant AND execution = a_execution;
    IF queued THEN
        UPDATE queue SET ready = NOT held, due_at = a_at, waiting_for = NULL, traces = true
        WHERE tenant = a_tenant AND execution = a_execution;
    ELSE
        INSERT INTO queue (tenant, execution, ready, held, due_at, priority, gates, traces)
        SELECT tenant, id, a_gates IS NULL, a_gates IS NOT NULL, a_at, priority, a_gates, true
        FROM execution WHERE id = a_execution;
    END IF;
    PERFORM human_tasks_amend(a_execution, a_at, people);
    PERFORM lane_open(ARRAY[a_tenant]);
    IF cardinality(m_id) > 0 THEN
        PERFORM inbox_put(m_id, m_tenant, m_execution, m_kind, m_effect, m_payload, m_at);
    END IF;
    RETURN 'done';
END
$$;

-- Schedules: what starts workflows by itself.

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

-- What the function `store` keeps: a tenant's values by key.
CREATE TABLE stored_value (
    tenant uuid NOT NULL,
    key text COLLATE "C" NOT NULL,
    value text NOT NULL,
    updated_at bigint NOT NULL,
    PRIMARY KEY (tenant, key)
);

-- What functions under way said last.
CREATE TABLE task_progress (
    execution uuid NOT NULL,
    effect bigint NOT NULL,
    tenant uuid NOT NULL,
    task text NOT NULL,
    at bigint NOT NULL,
    details text NOT NULL,
    PRIMARY KEY (execution, effect)
);
