
-- Tasks for people. They stay when they are closed.
CREATE TABLE human_task (
    id uuid PRIMARY KEY,
    tenant uuid NOT NULL,
    execution uuid NOT NULL,
    effect bigint NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    task text NOT NULL,
    title text NOT NULL,
    state text NOT NULL,
    created_at bigint NOT NULL,
    deadline bigint,
    claimed_by uuid,
    completed_by uuid,
    closed_at bigint,
    revision bigint NOT NULL,
    details text NOT NULL,
    answer text
) WITH (fillfactor = 80);
CREATE INDEX human_task_created ON human_task (tenant, created_at DESC, id DESC);
CREATE INDEX human_task_active ON human_task (tenant, created_at DESC, id DESC)
    WHERE closed_at IS NULL;
CREATE INDEX human_task_workflow
    ON human_task (tenant, namespace, name, created_at DESC, id DESC);
CREATE INDEX human_task_execution ON human_task (execution);
CREATE INDEX human_task_claimed ON human_task (tenant, claimed_by, created_at DESC, id DESC)
    WHERE claimed_by IS NOT NULL;
CREATE INDEX human_task_completed ON human_task (tenant, completed_by, created_at DESC, id DESC)
    WHERE completed_by IS NOT NULL;

-- Whom those that are not closed are for: people, roles, anyone.
CREATE TABLE human_task_audience (
    tenant uuid NOT NULL,
    audience text COLLATE "C" NOT NULL,
    human_task uuid NOT NULL,
    PRIMARY KEY (tenant, audience, human_task)
);
CREATE INDEX human_task_audience_task ON human_task_audience (human_task);

-- What was done with them.
CREATE TABLE human_task_note (
    place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    human_task uuid NOT NULL,
    at bigint NOT NULL,
    what text NOT NULL,
    person uuid,
    details text
);
CREATE INDEX human_task_note_task ON human_task_note (human_task, place);

-- Does what a journal batch says, one row for each human task. Comes last in the batch:
-- queue rows are locked before human tasks everywhere.
CREATE FUNCTION human_tasks_change(changes human_task_row[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO human_task AS t (id, tenant, execution, effect, namespace, name, version, task,
                                 title, state, created_at, deadline, revision, details)
    SELECT h.id, h.tenant, h.execution, h.effect, h.namespace, h.name, h.version, h.task, h.title,
           'open', h.at, h.deadline, 1, h.details
    FROM unnest(changes) AS h WHERE h.asked
    ON CONFLICT (id) DO UPDATE SET namespace = excluded.namespace, name = excluded.name,
        version = excluded.version, title = excluded.title, deadline = excluded.deadline,
        details = excluded.details, revision = t.revision + 1,
        state = CASE WHEN t.claimed_by IS NULL THEN 'open' ELSE 'claimed' END,
        closed_at = NULL, completed_by = NULL, answer = NULL
    WHERE t.state NOT IN ('completed', 'expired');
    INSERT INTO human_task_audience (tenant, audience, human_task)
    SELECT h.tenant, a.audience, h.id FROM unnest(changes) AS h JOIN human_task t ON t.id = h.id
        CROSS JOIN unnest(string_to_array(concat_ws(E'\n', h.audiences, h.escalate), E'\n'))
            AS a (audience)
    WHERE t.state IN ('open', 'claimed')
    ON CONFLICT DO NOTHING;
    WITH escalated AS (
        UPDATE human_task t SET state = 'open', claimed_by = NULL, revision = t.revision + 1
        FROM unnest(changes) AS h
        WHERE t.id = h.id AND h.escalate IS NOT NULL AND t.state IN ('open', 'claimed')
        RETURNING h.id, h.at, h.escalated
    )
    INSERT INTO human_task_note (human_task, at, what, details)
    SELECT id, at, 'escalated', escalated FROM escalated;
    UPDATE human_task t SET state = 'held', revision = t.revision + 1 FROM unnest(changes) AS h
    WHERE t.id = h.id AND h.closed = 'hold' AND t.state IN ('open', 'claimed');
    WITH withdrawn AS (
        UPDATE human_task t SET state = 'withdrawn', claimed_by = NULL, closed_at = h.at,
            revision = t.revision + 1
        FROM unnest(changes) AS h WHERE t.id = h.id AND h.closed = 'withdraw'
        RETURNING h.id, h.at
    ), gone AS (
        DELETE FROM human_task_audience a USING withdrawn w WHERE a.human_task = w.id
    )
    INSERT INTO human_task_note (human_task, at, what)
    SELECT id, at, 'withdrawn' FROM withdrawn;
END
$$;

-- Withdraws what an amended execution does not ask again, and does what it says.
CREATE FUNCTION human_tasks_amend(
    a_execution uuid, a_at bigint, changes human_task_row[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WITH withdrawn AS (
        UPDATE human_task SET state = 'withdrawn', claimed_by = NULL, closed_at = a_at,
            revision = revision + 1
        WHERE execution = a_execution AND closed_at IS NULL
            AND id NOT IN (SELECT h.id FROM unnest(changes) AS h)
        RETURNING id
    ), gone AS (
        DELETE FROM human_task_audience a USING withdrawn w WHERE a.human_task = w.id
    )
    INSERT INTO human_task_note (human_task, at, what)
    SELECT id, a_at, 'withdrawn' FROM withdrawn;
    PERFORM human_tasks_change(changes);
END
$$;

-- Changes one human task on the revision that the change was decided on, and puts the
-- word to its execution. Audiences are lines.
CREATE FUNCTION human_task_update(
    u_tenant uuid, u_id uuid, u_execution uuid, u_revision bigint, u_state text,
    u_claimed_by uuid, u_completed_by uuid, u_answer text, u_audiences text,
    n_at bigint, n_what text, n_person uuid, n_details text,
    m_id uuid[], m_tenant uuid[], m_execution uuid[], m_kind text[], m_effect bigint[],
    m_payload text[], m_at bigint[]
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    goes_on boolean := u_state IN ('open', 'claimed');
BEGIN
    PERFORM 1 FROM queue WHERE tenant = u_tenant AND execution = u_execution FOR UPDATE;
    IF NOT FOUND AND cardinality(m_id) > 0 THEN
        RETURN false;
    END IF;
    UPDATE human_task SET state = u_state, claimed_by = u_claimed_by,
        completed_by = u_completed_by, answer = u_answer, revision = revision + 1,
        closed_at = CASE WHEN goes_on THEN NULL ELSE n_at END
    WHERE id = u_id AND tenant = u_tenant AND revision = u_revision AND closed_at IS NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF goes_on THEN
        INSERT INTO human_task_audience (tenant, audience, human_task)
        SELECT u_tenant, audience, u_id FROM unnest(string_to_array(u_audiences, E'\n')) AS audience
        ON CONFLICT DO NOTHING;
    ELSE
        DELETE FROM human_task_audience WHERE human_task = u_id;
    END IF;
    INSERT INTO human_task_note (human_task, at, what, person, details)
    VALUES (u_id, n_at, n_what, n_person, n_details);
    IF cardinality(m_id) > 0 THEN
        PERFORM inbox_put(m_id, m_tenant, m_execution, m_kind, m_effect, m_payload, m_at);
    END IF;
    RETURN true;
END
$$;
