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
-- ready to be claimed, or is parked.
CREATE TABLE queue (
    tenant uuid NOT NULL,
    execution uuid NOT NULL,
    owner uuid,
    ready boolean NOT NULL,
    due_at bigint,
    priority integer NOT NULL,
    waiting_for text,
    PRIMARY KEY (tenant, execution)
) WITH (fillfactor = 70);
CREATE INDEX queue_ready ON queue (priority DESC, due_at) WHERE ready;
-- Apart from the ready ones, so that a claim never walks over timers of the future.
CREATE INDEX queue_timer ON queue (due_at)
    WHERE NOT ready AND owner IS NULL AND due_at IS NOT NULL;
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
    PRIMARY KEY (execution, effect, filter)
);
CREATE INDEX subscription_type ON subscription (tenant, event_key);

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
    )
    UPDATE queue q SET ready = true, due_at = least(q.due_at, woken.at)
    FROM woken
    WHERE q.tenant = woken.tenant AND q.execution = woken.execution
        AND q.owner IS NULL AND NOT q.ready;
END
$$;

-- The columns of a journal batch, one array per column: what rows of several kinds
-- need comes as one parameter per kind, and as null where a batch has none of it.
CREATE TYPE start_columns AS (
    tenant uuid[], execution uuid[], namespace text[], name text[], version text[],
    program bytea[], input text[], parent uuid[], parent_effect bigint[], key text[],
    attributes text[], at bigint[], status text[], output text[], error text[],
    ended_at bigint[], priority integer[], owned boolean[], ready boolean[], due bigint[],
    waiting text[]
);
CREATE TYPE attribute_columns AS (
    execution uuid[], tenant uuid[], name text[], value text[], at bigint[]
);
CREATE TYPE append_columns AS (tenant uuid[], execution uuid[], sequence bigint[]);
CREATE TYPE journal_columns AS (
    tenant uuid[], execution uuid[], sequence bigint[], at bigint[], kind text[],
    payload text[], records text[]
);
CREATE TYPE parked_columns AS (
    tenant uuid[], execution uuid[], ready boolean[], due bigint[], waiting text[]
);
CREATE TYPE end_columns AS (
    tenant uuid[], execution uuid[], status text[], output text[], error text[], at bigint[]
);
CREATE TYPE snapshot_columns AS (
    execution uuid[], sequence bigint[], format integer[], state text[], checksum bigint[]
);
CREATE TYPE subscribe_columns AS (
    tenant uuid[], execution uuid[], effect bigint[], filter bigint[], event_type text[],
    event_key text[], condition text[]
);
CREATE TYPE unsubscribe_columns AS (execution uuid[], effect bigint[]);
CREATE TYPE consumed_columns AS (execution uuid[], id uuid[]);
-- The sender is the entry that the message is part of.
CREATE TYPE message_columns AS (
    sender uuid[], id uuid[], tenant uuid[], execution uuid[], kind text[], effect bigint[],
    payload text[], at bigint[]
);

-- Writes one journal batch and gives the entries that were left out: their
-- execution is not the worker's, or they were recorded before.
--
-- Whether an entry was recorded before is looked up only if the caller is careful:
-- an owner repeats itself only after a lost connection, and then a key makes the
-- call fail as a whole. Starts with an idempotency key are always looked up.
CREATE FUNCTION journal_append(
    careful boolean, w_name text, w_id uuid, w_epoch bigint,
    starts start_columns, attributes attribute_columns, appends append_columns,
    events journal_columns, parked parked_columns, ends end_columns,
    snapshots snapshot_columns, subscribes subscribe_columns,
    unsubscribes unsubscribe_columns, consumes consumed_columns, messages message_columns
) RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
    skipped uuid[] := '{}';
    repeated uuid[];
    ended uuid[];
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
    IF parked.execution IS NOT NULL OR messages.id IS NOT NULL THEN
        PERFORM 1 FROM queue q
        WHERE (q.tenant, q.execution) IN (
            SELECT * FROM unnest(parked.tenant || ends.tenant || messages.tenant,
                                 parked.execution || ends.execution || messages.execution))
        ORDER BY q.tenant, q.execution FOR UPDATE;
    END IF;
    IF appends.execution IS NOT NULL THEN
        SELECT coalesce(array_agg(a.execution), '{}') INTO skipped
        FROM unnest(appends.tenant, appends.execution, appends.sequence)
            AS a (tenant, execution, sequence)
        LEFT JOIN queue q ON q.tenant = a.tenant AND q.execution = a.execution
        WHERE q.execution IS NULL OR q.owner IS DISTINCT FROM w_id
            OR (careful AND EXISTS (
                SELECT 1 FROM journal
                WHERE journal.execution = a.execution AND journal.sequence = a.sequence));
    END IF;
    IF starts.execution IS NOT NULL THEN
        IF careful OR cardinality(array_remove(starts.key, NULL)) > 0 THEN
            WITH created AS (
                INSERT INTO execution (tenant, id, namespace, name, version, program, input,
                                       parent, parent_effect, idempotency_key, attributes,
                                       started_at, status, output, error, ended_at)
                SELECT * FROM unnest(
                    starts.tenant, starts.execution, starts.namespace, starts.name,
                    starts.version, starts.program, starts.input, starts.parent,
                    starts.parent_effect, starts.key, starts.attributes, starts.at,
                    starts.status, starts.output, starts.error, starts.ended_at)
                ON CONFLICT DO NOTHING RETURNING id
            )
            SELECT array_agg(s.execution) INTO repeated
            FROM unnest(starts.execution) AS s (execution)
            WHERE s.execution NOT IN (SELECT id FROM created);
            skipped := skipped || coalesce(repeated, '{}');
        ELSE
            INSERT INTO execution (tenant, id, namespace, name, version, program, input, parent,
                                   parent_effect, idempotency_key, attributes, started_at,
                                   status, output, error, ended_at)
            SELECT * FROM unnest(
                starts.tenant, starts.execution, starts.namespace, starts.name, starts.version,
                starts.program, starts.input, starts.parent, starts.parent_effect, starts.key,
                starts.attributes, starts.at, starts.status, starts.output, starts.error,
                starts.ended_at);
        END IF;
        INSERT INTO queue (tenant, execution, owner, ready, due_at, priority, waiting_for)
        SELECT s.tenant, s.execution, CASE WHEN s.owned THEN w_id END, s.ready, s.due, s.priority,
               s.waiting
        FROM unnest(starts.tenant, starts.execution, starts.status, starts.priority,
                    starts.owned, starts.ready, starts.due, starts.waiting)
            AS s (tenant, execution, status, priority, owned, ready, due, waiting)
        WHERE s.status = 'active' AND s.execution <> ALL (skipped);
    END IF;
    IF attributes.execution IS NOT NULL THEN
        INSERT INTO attribute (execution, tenant, name, value, started_at)
        SELECT * FROM unnest(attributes.execution, attributes.tenant, attributes.name,
                             attributes.value, attributes.at) AS t (execution)
        WHERE t.execution <> ALL (skipped);
    END IF;
    IF events.execution IS NOT NULL THEN
        INSERT INTO journal (tenant, execution, sequence, at, kind, payload, records)
        SELECT * FROM unnest(events.tenant, events.execution, events.sequence, events.at,
                             events.kind, events.payload, events.records)
            AS j (tenant, execution)
        WHERE j.execution <> ALL (skipped);
    END IF;
    IF snapshots.execution IS NOT NULL THEN
        INSERT INTO snapshot (execution, sequence, format, state, checksum)
        SELECT * FROM unnest(snapshots.execution, snapshots.sequence, snapshots.format,
                             snapshots.state, snapshots.checksum) AS n (execution)
        WHERE n.execution <> ALL (skipped)
        ON CONFLICT (execution) DO UPDATE SET sequence = excluded.sequence,
            format = excluded.format, state = excluded.state, checksum = excluded.checksum;
    END IF;
    IF subscribes.execution IS NOT NULL THEN
        INSERT INTO subscription (tenant, execution, effect, filter, event_type, event_key,
                                  condition)
        SELECT * FROM unnest(subscribes.tenant, subscribes.execution, subscribes.effect,
                             subscribes.filter, subscribes.event_type, subscribes.event_key,
                             subscribes.condition) AS u (tenant, execution)
        WHERE u.execution <> ALL (skipped)
        ON CONFLICT (execution, effect, filter) DO UPDATE SET event_type = excluded.event_type,
            event_key = excluded.event_key, condition = excluded.condition;
    END IF;
    IF unsubscribes.execution IS NOT NULL THEN
        DELETE FROM subscription
        USING unnest(unsubscribes.execution, unsubscribes.effect) AS x (execution, effect)
        WHERE subscription.execution = x.execution AND subscription.effect = x.effect
            AND x.execution <> ALL (skipped);
    END IF;
    IF consumes.execution IS NOT NULL THEN
        UPDATE inbox SET consumed = true
        FROM unnest(consumes.execution, consumes.id) AS c (execution, id)
        WHERE inbox.id = c.id AND inbox.execution = c.execution
            AND c.execution <> ALL (skipped);
    END IF;
    IF parked.execution IS NOT NULL THEN
        -- An unconsumed message makes the execution ready at once.
        UPDATE queue q SET owner = NULL, ready = p.ready OR p.message_at IS NOT NULL,
            due_at = CASE WHEN p.ready THEN q.due_at ELSE least(p.due, p.message_at) END,
            waiting_for = p.waiting
        FROM (
            SELECT p.*, (SELECT min(at) FROM inbox
                         WHERE inbox.execution = p.execution AND NOT consumed) AS message_at
            FROM unnest(parked.tenant, parked.execution, parked.ready, parked.due,
                        parked.waiting)
                AS p (tenant, execution, ready, due, waiting)
        ) AS p
        WHERE q.tenant = p.tenant AND q.execution = p.execution
            AND p.execution <> ALL (skipped);
    END IF;
    IF ends.execution IS NOT NULL THEN
        UPDATE execution SET status = d.status, output = d.output, error = d.error, ended_at = d.at
        FROM unnest(ends.execution, ends.status, ends.output, ends.error, ends.at)
            AS d (execution, status, output, error, at)
        WHERE execution.id = d.execution AND d.execution <> ALL (skipped);
        ended := ends.execution;
        IF cardinality(skipped) > 0 THEN
            ended := ARRAY(SELECT unnest(ends.execution) EXCEPT SELECT unnest(skipped));
        END IF;
        DELETE FROM queue q USING unnest(ends.tenant, ends.execution) AS d (tenant, execution)
        WHERE q.tenant = d.tenant AND q.execution = d.execution AND d.execution = ANY (ended);
        DELETE FROM snapshot WHERE execution = ANY (ended);
        DELETE FROM subscription WHERE execution = ANY (ended);
        DELETE FROM inbox WHERE execution = ANY (ended);
    END IF;
    -- Last, because receivers may start, park or end in the same batch.
    IF messages.id IS NOT NULL THEN
        PERFORM inbox_put(array_agg(m.id), array_agg(m.tenant), array_agg(m.execution),
                          array_agg(m.kind), array_agg(m.effect), array_agg(m.payload),
                          array_agg(m.at))
        FROM unnest(messages.sender, messages.id, messages.tenant, messages.execution,
                    messages.kind, messages.effect, messages.payload, messages.at)
            AS m (sender, id, tenant, execution, kind, effect, payload, at)
        WHERE m.sender <> ALL (skipped);
    END IF;
    RETURN skipped;
END
$$;

-- Makes claimable what workers owned whose lives have ended.
CREATE FUNCTION worker_free(ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM queue WHERE owner = ANY (ids) ORDER BY tenant, execution FOR UPDATE;
    UPDATE queue SET owner = NULL, ready = true WHERE owner = ANY (ids);
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
) RETURNS TABLE (tenant uuid, execution uuid) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    dead uuid[];
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
    IF claims_max <= 0 THEN
        RETURN;
    END IF;
    -- Timers fire in bounded batches, so that a crowd of them delays nobody for long.
    UPDATE queue q SET ready = true FROM (
        SELECT tenant, execution FROM queue
        WHERE due_at <= now_at AND NOT ready AND owner IS NULL AND due_at IS NOT NULL
        ORDER BY due_at LIMIT claims_max + 1000 FOR UPDATE SKIP LOCKED
    ) AS fired
    WHERE q.tenant = fired.tenant AND q.execution = fired.execution;
    RETURN QUERY
    WITH picked AS MATERIALIZED (
        SELECT tenant, execution, priority, due_at FROM queue WHERE ready
        ORDER BY priority DESC, due_at LIMIT claims_max FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE queue q SET owner = w_id, ready = false, waiting_for = NULL FROM picked
        WHERE q.tenant = picked.tenant AND q.execution = picked.execution
        RETURNING q.tenant, q.execution
    )
    SELECT taken.tenant, taken.execution FROM taken JOIN picked USING (tenant, execution)
    ORDER BY picked.priority DESC, picked.due_at;
END
$$;
