-- The engine's tables. Times are microseconds since 1970 in UTC; payloads are JSON
-- text that the server never parses.

CREATE TABLE definition (
    tenant uuid NOT NULL,
    namespace text NOT NULL,
    name text NOT NULL,
    version text NOT NULL,
    version_key text COLLATE "C" NOT NULL,
    hash bytea NOT NULL,
    title text,
    summary text,
    body text NOT NULL,
    created_at bigint NOT NULL,
    deleted boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant, namespace, name, version)
);
CREATE INDEX definition_hash ON definition (tenant, hash);

-- One row per execution: inserted at its start, updated in place at its end. No
-- index covers a column that the end changes.
CREATE TABLE execution (
    id uuid PRIMARY KEY,
    tenant uuid NOT NULL,
    namespace text NOT NULL,
    name text NOT NULL,
    version text NOT NULL,
    program bytea NOT NULL,
    input text NOT NULL,
    parent uuid,
    parent_effect bigint,
    idempotency_key text,
    attributes text,
    started_at bigint NOT NULL,
    status text NOT NULL DEFAULT 'active',
    output text,
    error text,
    ended_at bigint
) WITH (fillfactor = 80);
CREATE INDEX execution_started ON execution (tenant, started_at DESC, id DESC);
CREATE INDEX execution_workflow ON execution (tenant, namespace, name, started_at DESC, id DESC);
CREATE UNIQUE INDEX execution_key ON execution (tenant, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

-- Only executions that have not ended: narrow and hot.
CREATE TABLE queue (
    execution uuid PRIMARY KEY,
    tenant uuid NOT NULL,
    owner uuid,
    due_at bigint,
    priority integer NOT NULL,
    state text NOT NULL,
    waiting_for text
) WITH (fillfactor = 70);
CREATE INDEX queue_due ON queue (priority DESC, due_at)
    WHERE owner IS NULL AND due_at IS NOT NULL;
CREATE INDEX queue_owner ON queue (owner) WHERE owner IS NOT NULL;

CREATE TABLE journal (
    execution uuid NOT NULL,
    sequence bigint NOT NULL,
    tenant uuid NOT NULL,
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
    execution uuid NOT NULL,
    effect bigint NOT NULL,
    filter integer NOT NULL,
    tenant uuid NOT NULL,
    event_type text,
    condition text NOT NULL,
    PRIMARY KEY (execution, effect, filter)
);
CREATE INDEX subscription_type ON subscription (tenant, event_type);

CREATE TABLE inbox (
    id uuid PRIMARY KEY,
    execution uuid NOT NULL,
    tenant uuid NOT NULL,
    kind text NOT NULL,
    effect bigint,
    payload text NOT NULL,
    at bigint NOT NULL,
    consumed boolean NOT NULL DEFAULT false
);
CREATE INDEX inbox_execution ON inbox (execution, consumed);

CREATE TABLE worker (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    epoch bigint NOT NULL,
    lease_until bigint NOT NULL
);

CREATE FUNCTION clock_micros() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
$$;

-- Puts messages and makes parked receivers due. Locks the queue rows first, in one
-- order, so that a receiver that parks at the same moment sees the message or is seen.
CREATE FUNCTION inbox_put(
    m_id uuid[], m_execution uuid[], m_tenant uuid[], m_kind text[], m_effect bigint[],
    m_payload text[], m_at bigint[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM queue WHERE execution = ANY (m_execution) ORDER BY execution FOR UPDATE;
    INSERT INTO inbox (id, execution, tenant, kind, effect, payload, at)
    SELECT m.* FROM unnest(m_id, m_execution, m_tenant, m_kind, m_effect, m_payload, m_at)
        AS m (id, execution, tenant, kind, effect, payload, at)
    JOIN queue ON queue.execution = m.execution AND queue.tenant = m.tenant
    ON CONFLICT (id) DO NOTHING;
    UPDATE queue SET due_at = 0
    WHERE execution = ANY (m_execution) AND owner IS NULL AND due_at IS DISTINCT FROM 0
        AND EXISTS (SELECT 1 FROM inbox
                    WHERE inbox.execution = queue.execution AND NOT consumed);
END
$$;

-- Writes one journal batch. Anything wrong with any entry fails the whole call; the
-- caller then finds the culprit by halving.
CREATE FUNCTION journal_append(
    w_id uuid, w_epoch bigint,
    s_execution uuid[], s_tenant uuid[], s_namespace text[], s_name text[], s_version text[],
    s_program bytea[], s_input text[], s_parent uuid[], s_parent_effect bigint[],
    s_key text[], s_attributes text[], s_priority integer[], s_at bigint[], s_owned boolean[],
    j_execution uuid[], j_sequence bigint[], j_tenant uuid[], j_at bigint[], j_kind text[],
    j_payload text[], j_records text[],
    p_execution uuid[], p_due bigint[], p_waiting text[],
    d_execution uuid[], d_status text[], d_output text[], d_error text[], d_at bigint[],
    n_execution uuid[], n_sequence bigint[], n_format integer[], n_state text[], n_checksum bigint[],
    u_execution uuid[], u_effect bigint[], u_filter integer[], u_tenant uuid[], u_type text[],
    u_condition text[],
    x_execution uuid[], x_effect bigint[],
    c_id uuid[],
    m_id uuid[], m_execution uuid[], m_tenant uuid[], m_kind text[], m_effect bigint[],
    m_payload text[], m_at bigint[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    changed bigint;
BEGIN
    IF w_id IS NOT NULL THEN
        -- Conflicts with take-over, which deletes the row.
        PERFORM 1 FROM worker WHERE id = w_id AND epoch = w_epoch FOR SHARE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'the worker has lost its lease' USING ERRCODE = 'AU001';
        END IF;
    END IF;
    IF cardinality(s_execution) > 0 THEN
        INSERT INTO execution (id, tenant, namespace, name, version, program, input, parent,
                               parent_effect, idempotency_key, attributes, started_at)
        SELECT * FROM unnest(s_execution, s_tenant, s_namespace, s_name, s_version, s_program,
                             s_input, s_parent, s_parent_effect, s_key, s_attributes, s_at);
        INSERT INTO queue (execution, tenant, owner, due_at, priority, state)
        SELECT s.execution, s.tenant, CASE WHEN s.owned THEN w_id END,
               CASE WHEN s.owned THEN NULL ELSE s.at END, s.priority,
               CASE WHEN s.owned THEN 'running' ELSE 'pending' END
        FROM unnest(s_execution, s_tenant, s_priority, s_at, s_owned)
            AS s (execution, tenant, priority, at, owned)
        WHERE NOT s.execution = ANY (d_execution);
    END IF;
    INSERT INTO journal (execution, sequence, tenant, at, kind, payload, records)
    SELECT * FROM unnest(j_execution, j_sequence, j_tenant, j_at, j_kind, j_payload, j_records);
    IF cardinality(n_execution) > 0 THEN
        INSERT INTO snapshot (execution, sequence, format, state, checksum)
        SELECT * FROM unnest(n_execution, n_sequence, n_format, n_state, n_checksum)
        ON CONFLICT (execution) DO UPDATE SET sequence = excluded.sequence,
            format = excluded.format, state = excluded.state, checksum = excluded.checksum;
    END IF;
    IF cardinality(u_execution) > 0 THEN
        INSERT INTO subscription (execution, effect, filter, tenant, event_type, condition)
        SELECT * FROM unnest(u_execution, u_effect, u_filter, u_tenant, u_type, u_condition);
    END IF;
    IF cardinality(x_execution) > 0 THEN
        DELETE FROM subscription USING unnest(x_execution, x_effect) AS x (execution, effect)
        WHERE subscription.execution = x.execution AND subscription.effect = x.effect;
    END IF;
    IF cardinality(c_id) > 0 THEN
        UPDATE inbox SET consumed = true WHERE id = ANY (c_id);
    END IF;
    IF cardinality(p_execution) > 0 THEN
        PERFORM 1 FROM queue WHERE execution = ANY (p_execution) ORDER BY execution FOR UPDATE;
        UPDATE queue SET owner = NULL, state = 'waiting', waiting_for = p.waiting,
            due_at = CASE WHEN EXISTS (SELECT 1 FROM inbox
                                       WHERE inbox.execution = p.execution AND NOT consumed)
                          THEN 0 ELSE p.due END
        FROM unnest(p_execution, p_due, p_waiting) AS p (execution, due, waiting)
        WHERE queue.execution = p.execution;
        GET DIAGNOSTICS changed = ROW_COUNT;
        IF changed <> cardinality(p_execution) THEN
            RAISE EXCEPTION 'an execution has ended already' USING ERRCODE = 'AU002';
        END IF;
    END IF;
    IF cardinality(d_execution) > 0 THEN
        UPDATE execution SET status = d.status, output = d.output, error = d.error, ended_at = d.at
        FROM unnest(d_execution, d_status, d_output, d_error, d_at)
            AS d (execution, status, output, error, at)
        WHERE execution.id = d.execution AND execution.status = 'active';
        GET DIAGNOSTICS changed = ROW_COUNT;
        IF changed <> cardinality(d_execution) THEN
            RAISE EXCEPTION 'an execution has ended already' USING ERRCODE = 'AU002';
        END IF;
        DELETE FROM queue WHERE execution = ANY (d_execution);
        DELETE FROM snapshot WHERE execution = ANY (d_execution);
        DELETE FROM subscription WHERE execution = ANY (d_execution);
        DELETE FROM inbox WHERE execution = ANY (d_execution);
    END IF;
    IF cardinality(m_id) > 0 THEN
        PERFORM inbox_put(m_id, m_execution, m_tenant, m_kind, m_effect, m_payload, m_at);
    END IF;
END
$$;

-- Ends the life of workers: what they owned becomes due.
CREATE FUNCTION worker_retire(ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM worker WHERE id = ANY (ids);
    UPDATE queue SET owner = NULL, due_at = 0 WHERE owner = ANY (ids);
END
$$;

CREATE FUNCTION worker_register(w_name text, w_id uuid, w_lease bigint)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    old uuid;
    last bigint;
BEGIN
    SELECT id, epoch INTO old, last FROM worker WHERE name = w_name FOR UPDATE;
    IF old IS NOT NULL THEN
        PERFORM worker_retire(ARRAY[old]);
    END IF;
    INSERT INTO worker (id, name, epoch, lease_until)
    VALUES (w_id, w_name, coalesce(last, 0) + 1, clock_micros() + w_lease);
    RETURN coalesce(last, 0) + 1;
END
$$;

CREATE FUNCTION worker_beat(w_id uuid, w_epoch bigint, w_lease bigint, now_at bigint, most integer)
RETURNS TABLE (tenant uuid, execution uuid) LANGUAGE plpgsql AS $$
DECLARE
    dead uuid[];
BEGIN
    UPDATE worker SET lease_until = clock_micros() + w_lease WHERE id = w_id AND epoch = w_epoch;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the worker has lost its lease' USING ERRCODE = 'AU001';
    END IF;
    SELECT array_agg(gone.id) INTO dead FROM (
        SELECT id FROM worker WHERE lease_until < clock_micros() AND id <> w_id
        FOR UPDATE SKIP LOCKED
    ) AS gone;
    IF dead IS NOT NULL THEN
        PERFORM worker_retire(dead);
    END IF;
    IF most > 0 THEN
        RETURN QUERY
        WITH picked AS (
            SELECT q.execution AS id FROM queue q
            WHERE q.owner IS NULL AND q.due_at IS NOT NULL AND q.due_at <= now_at
            ORDER BY q.priority DESC, q.due_at LIMIT most FOR UPDATE SKIP LOCKED
        )
        UPDATE queue q SET owner = w_id, due_at = NULL, state = 'running', waiting_for = NULL
        FROM picked WHERE q.execution = picked.id RETURNING q.tenant, q.execution;
    END IF;
END
$$;
