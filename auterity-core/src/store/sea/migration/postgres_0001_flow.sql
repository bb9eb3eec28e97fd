-- Flow control: whose turn it is, and what may begin.

-- Tenants that may have something ready, in the order of their turns; see `fair`.
CREATE TABLE lane (
    tenant uuid PRIMARY KEY,
    turn bigint NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX lane_turn ON lane (turn, tenant);

-- What was decided for a workflow or, with empty names, for a whole tenant.
CREATE TABLE flow_setting (
    tenant uuid NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    revision bigint NOT NULL,
    -- The tenant's share of the workers.
    weight integer NOT NULL,
    body text NOT NULL,
    changed_at bigint NOT NULL,
    PRIMARY KEY (tenant, namespace, name)
);

-- Opens the lanes of tenants whose executions have become ready; called by whoever
-- makes them so, after its locks on the queue and in the same transaction. The lock
-- keeps a claim from closing a lane while what is in it cannot be seen yet.
CREATE FUNCTION lane_open(tenants uuid[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    wanted uuid[] := ARRAY(SELECT DISTINCT tenant FROM unnest(tenants) AS t (tenant) ORDER BY 1);
    locked integer;
BEGIN
    IF cardinality(wanted) = 0 THEN
        RETURN;
    END IF;
    LOOP
        INSERT INTO lane (tenant, turn)
        SELECT w.tenant, coalesce((SELECT turn FROM lane ORDER BY turn LIMIT 1), 0)
        FROM unnest(wanted) AS w (tenant) ORDER BY w.tenant
        ON CONFLICT (tenant) DO NOTHING;
        SELECT count(*) INTO locked FROM (
            SELECT 1 FROM lane WHERE tenant = ANY (wanted) ORDER BY tenant FOR KEY SHARE
        ) AS kept;
        -- One that was closed in between is opened again.
        EXIT WHEN locked = cardinality(wanted);
    END LOOP;
END
$$;

-- Closes lanes in which a claim found nothing, unless somebody fills them right now.
CREATE FUNCTION lane_close(tenants uuid[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    locked uuid[] := ARRAY(
        SELECT tenant FROM lane WHERE tenant = ANY (tenants) FOR UPDATE SKIP LOCKED);
BEGIN
    -- A statement of its own: it sees what was committed before the locks.
    DELETE FROM lane WHERE tenant = ANY (locked)
        AND NOT EXISTS (SELECT 1 FROM queue WHERE queue.ready AND queue.tenant = lane.tenant);
END
$$;

-- Gives ready executions to a worker. Each round shares out the room between lanes by
-- their turns, as if all had enough; one that has less is dry, and the next round goes
-- without it. Executions that another worker is about to take are passed over.
CREATE FUNCTION queue_claim(w_id uuid, claims_max integer)
RETURNS TABLE (tenant uuid, execution uuid) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    room integer := claims_max;
    found_tenant uuid[];
    found_execution uuid[];
    found_dry uuid[];
    all_tenant uuid[] := '{}';
    all_execution uuid[] := '{}';
    dry uuid[] := '{}';
BEGIN
    FOR round IN 1..16 LOOP
        EXIT WHEN room <= 0;
        WITH head AS MATERIALIZED (
            SELECT lane.tenant, price.cost, lane.turn + price.cost * (
                SELECT count(*) FROM unnest(all_tenant) AS a (tenant)
                WHERE a.tenant = lane.tenant) AS turn
            FROM lane
            LEFT JOIN flow_setting s
                ON s.tenant = lane.tenant AND s.namespace = '' AND s.name = ''
            CROSS JOIN LATERAL (
                SELECT greatest(1, 1000000 / coalesce(s.weight, 100))::bigint AS cost) AS price
            WHERE lane.tenant <> ALL (dry)
            ORDER BY lane.turn, lane.tenant LIMIT claims_max
        ), share AS MATERIALIZED (
            SELECT t.tenant, count(*)::integer AS places, min(t.turn) AS turn, min(t.cost) AS cost
            FROM (
                SELECT head.tenant, head.cost, head.turn + k * head.cost AS turn
                FROM head CROSS JOIN generate_series(0, room - 1) AS k
                ORDER BY 3, 1 LIMIT room
            ) AS t GROUP BY t.tenant
        ), picked AS MATERIALIZED (
            SELECT share.tenant, one.execution, share.turn + share.cost * row_number() OVER (
                PARTITION BY share.tenant ORDER BY one.priority DESC, one.due_at) AS turn
            FROM share CROSS JOIN LATERAL (
                SELECT q.execution, q.priority, q.due_at FROM queue q
                WHERE q.ready AND q.tenant = share.tenant
                ORDER BY q.priority DESC, q.due_at LIMIT share.places
                FOR UPDATE SKIP LOCKED
            ) AS one
        ), taken AS (
            UPDATE queue q SET owner = w_id, ready = false, waiting_for = NULL FROM picked
            WHERE q.tenant = picked.tenant AND q.execution = picked.execution
            RETURNING q.tenant, q.execution, picked.turn
        )
        SELECT coalesce(array_agg(taken.tenant ORDER BY taken.turn, taken.tenant), '{}'),
            coalesce(array_agg(taken.execution ORDER BY taken.turn, taken.tenant), '{}'),
            ARRAY(SELECT share.tenant FROM share WHERE share.places > (
                SELECT count(*) FROM picked WHERE picked.tenant = share.tenant))
        INTO found_tenant, found_execution, found_dry FROM taken;
        EXIT WHEN cardinality(found_tenant) + cardinality(found_dry) = 0;
        all_tenant := all_tenant || found_tenant;
        all_execution := all_execution || found_execution;
        dry := dry || found_dry;
        room := room - cardinality(found_tenant);
    END LOOP;
    -- Whoever is alone needs no turns: the next one to come joins where it stands.
    IF cardinality(all_tenant) > 0
        AND (SELECT count(*) FROM (SELECT 1 FROM lane LIMIT 2) AS two) > 1 THEN
        PERFORM 1 FROM lane l WHERE l.tenant = ANY (all_tenant) ORDER BY l.tenant
        FOR NO KEY UPDATE;
        UPDATE lane l SET turn = l.turn + served.count * greatest(1, 1000000 / coalesce((
            SELECT s.weight FROM flow_setting s
            WHERE s.tenant = l.tenant AND s.namespace = '' AND s.name = ''), 100))
        FROM (SELECT a.tenant, count(*) AS count FROM unnest(all_tenant) AS a (tenant)
              GROUP BY a.tenant) AS served
        WHERE l.tenant = served.tenant;
    END IF;
    IF cardinality(dry) > 0 THEN
        PERFORM lane_close(dry);
    END IF;
    RETURN QUERY SELECT * FROM unnest(all_tenant, all_execution);
END
$$;

-- Gates. An execution that is held passes its gates one after the other, the narrowest
-- first, and becomes ready behind the last. It keeps its place at each gate until it
-- ends, so that places cannot be lost with a worker: whoever has the execution has them.

-- What a gate lets through; a rule that is missing lets everything through.
CREATE TABLE gate_rule (
    tenant uuid NOT NULL,
    rule text COLLATE "C" NOT NULL,
    -- Executions at work at most.
    concurrency bigint,
    -- Microseconds between two, and how many may come at once.
    every bigint,
    burst bigint,
    PRIMARY KEY (tenant, rule)
);

-- How much of a limit is in use. A rule with a key has a gate per value.
CREATE TABLE gate (
    tenant uuid NOT NULL,
    rule text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    in_use bigint NOT NULL DEFAULT 0,
    -- When the next one would come if all came evenly.
    next_at bigint,
    -- When time alone may let somebody through, or the row is of no more use.
    look_at bigint,
    -- Whether somebody waited for that time.
    waited boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant, rule, value)
) WITH (fillfactor = 70);
CREATE INDEX gate_look ON gate (look_at) WHERE look_at IS NOT NULL;

-- Where executions are at their gates, from their start to their end.
CREATE TABLE place (
    execution uuid NOT NULL,
    step integer NOT NULL,
    tenant uuid NOT NULL,
    rule text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    -- 0 not there (yet), 1 waits, 2 has passed, 3 would wait if it were not suspended.
    state integer NOT NULL,
    priority integer NOT NULL,
    since bigint NOT NULL,
    not_before bigint,
    PRIMARY KEY (execution, step)
) WITH (fillfactor = 70);
CREATE INDEX place_waiting ON place (tenant, rule, value, priority DESC, since, execution)
    WHERE state = 1;
CREATE INDEX place_later ON place (tenant, rule, value, not_before)
    WHERE state = 1 AND not_before IS NOT NULL;
CREATE INDEX place_passed ON place (tenant, rule, value, execution) WHERE state = 2;

-- What happened at gates since they were looked at. Only inserted into where executions
-- start and end, so that the journal waits for nobody's counters.
CREATE TABLE knock (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant uuid NOT NULL,
    rule text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    freed bigint NOT NULL
);

CREATE FUNCTION gates_join() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO place (execution, step, tenant, rule, value, state, priority, since, not_before)
    SELECT NEW.execution, g.step, NEW.tenant, g.rule, g.value, (g.step = 1)::integer, NEW.priority,
        coalesce(g.since, NEW.due_at), g.not_before
    FROM ROWS FROM (json_to_recordset(NEW.gates::json)
        AS (rule text, value text, not_before bigint, since bigint))
        WITH ORDINALITY AS g (rule, value, not_before, since, step);
    INSERT INTO knock (tenant, rule, value, freed)
    SELECT tenant, rule, value, 0 FROM place WHERE execution = NEW.execution AND step = 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER queue_held AFTER INSERT ON queue
    FOR EACH ROW WHEN (NEW.gates IS NOT NULL) EXECUTE FUNCTION gates_join();

-- Whoever ends an execution, its places become free.
CREATE FUNCTION gates_leave() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    WITH left_behind AS (
        DELETE FROM place WHERE execution = OLD.execution RETURNING tenant, rule, value, state
    )
    INSERT INTO knock (tenant, rule, value, freed)
    SELECT tenant, rule, value, 1 FROM left_behind WHERE state = 2;
    RETURN NULL;
END
$$;
CREATE TRIGGER queue_gone AFTER DELETE ON queue
    FOR EACH ROW WHEN (OLD.gates IS NOT NULL) EXECUTE FUNCTION gates_leave();

-- What is suspended before it has begun waits at no gate until it is resumed.
CREATE FUNCTION gates_aside() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE place SET state = 3 WHERE execution = NEW.execution AND state = 1;
    RETURN NULL;
END
$$;
CREATE TRIGGER suspension_set AFTER INSERT ON suspension
    FOR EACH ROW EXECUTE FUNCTION gates_aside();

CREATE FUNCTION gates_back() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    WITH back AS (
        UPDATE place SET state = 1 WHERE execution = OLD.execution AND state = 3
        RETURNING tenant, rule, value
    )
    INSERT INTO knock (tenant, rule, value, freed) SELECT tenant, rule, value, 0 FROM back;
    RETURN NULL;
END
$$;
CREATE TRIGGER suspension_gone AFTER DELETE ON suspension
    FOR EACH ROW EXECUTE FUNCTION gates_back();

-- Lets go, without a place, of what is held: it is to end.
CREATE FUNCTION gates_pass_by(e_tenant uuid, e_execution uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE queue SET held = false, ready = true
    WHERE tenant = e_tenant AND execution = e_execution AND held;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    WITH gone AS (
        UPDATE place SET state = 0 WHERE execution = e_execution AND state IN (1, 3)
        RETURNING tenant, rule, value
    )
    INSERT INTO knock (tenant, rule, value, freed) SELECT tenant, rule, value, 0 FROM gone;
    PERFORM lane_open(ARRAY[e_tenant]);
END
$$;

-- Lets through one gate whatever may pass; called by `gates_look` only.
CREATE FUNCTION gate_pass(
    g_tenant uuid, g_rule text, g_value text, now_at bigint
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    g record;
    lead bigint;
    base bigint;
    paced bigint;
    most bigint := 1000;
    passed bigint;
    onward uuid[];
    through uuid[];
    look bigint;
    waits boolean;
BEGIN
    SELECT greatest(0, gate.in_use) AS in_use, gate.next_at, gate.look_at, gate.waited,
        r.concurrency, r.every, r.burst INTO g
    FROM gate LEFT JOIN gate_rule r ON r.tenant = gate.tenant AND r.rule = gate.rule
    WHERE gate.tenant = g_tenant AND gate.rule = g_rule AND gate.value = g_value;
    IF g.concurrency IS NOT NULL THEN
        most := least(most, greatest(0, g.concurrency - g.in_use));
    END IF;
    IF g.every IS NOT NULL THEN
        lead := g.every * (g.burst - 1);
        -- Whoever waited for its time is let through at that time, even if nobody looked.
        base := greatest(coalesce(g.next_at, now_at),
            CASE WHEN g.waited THEN now_at - 1000000 ELSE now_at END);
        paced := CASE WHEN base <= now_at + lead
            THEN (now_at + lead - base) / g.every + 1 ELSE 0 END;
        most := least(most, paced);
    END IF;
    WITH next AS (
        SELECT p.execution, p.step FROM place p
        JOIN queue q ON q.tenant = p.tenant AND q.execution = p.execution
        WHERE p.tenant = g_tenant AND p.rule = g_rule AND p.value = g_value AND p.state = 1
            AND q.held AND (p.not_before IS NULL OR p.not_before <= now_at)
        ORDER BY p.priority DESC, p.since, p.execution LIMIT most
        FOR UPDATE OF q SKIP LOCKED
    ), behind AS (
        UPDATE place p SET state = 2 FROM next
        WHERE p.execution = next.execution AND p.step = next.step AND p.state = 1
        RETURNING p.execution, p.step
    ), before AS (
        UPDATE place p SET state = 1 FROM behind
        WHERE p.execution = behind.execution AND p.step = behind.step + 1
        RETURNING p.execution, p.tenant, p.rule, p.value
    ), told AS (
        INSERT INTO knock (tenant, rule, value, freed)
        SELECT DISTINCT tenant, rule, value, 0 FROM before
    )
    SELECT (SELECT count(*) FROM behind), ARRAY(SELECT execution FROM before),
        ARRAY(SELECT execution FROM behind)
    INTO passed, onward, through;
    UPDATE queue q SET held = false, ready = true
    WHERE q.tenant = g_tenant AND q.execution = ANY (through) AND q.execution <> ALL (onward);
    IF cardinality(through) > cardinality(onward) THEN
        PERFORM lane_open(ARRAY[g_tenant]);
    END IF;
    IF g.every IS NOT NULL AND passed > 0 THEN
        g.next_at := base + passed * g.every;
    END IF;
    look := (
        SELECT min(p.not_before) FROM place p
        WHERE p.tenant = g_tenant AND p.rule = g_rule AND p.value = g_value AND p.state = 1
            AND p.not_before > now_at);
    waits := EXISTS (
        SELECT 1 FROM place p
        JOIN queue q ON q.tenant = p.tenant AND q.execution = p.execution AND q.held
        WHERE p.tenant = g_tenant AND p.rule = g_rule AND p.value = g_value AND p.state = 1
            AND (p.not_before IS NULL OR p.not_before <= now_at));
    IF waits THEN
        IF g.every IS NOT NULL AND passed >= paced THEN
            look := least(look, g.next_at - lead);
        ELSIF g.concurrency IS NULL OR g.in_use + passed < g.concurrency THEN
            -- Too many for one go, or another transaction held one of them.
            look := least(look, now_at + 10000);
        END IF;
    END IF;
    g.in_use := g.in_use + passed;
    IF g.in_use = 0 AND look IS NULL AND coalesce(g.next_at, 0) > now_at THEN
        look := g.next_at;
    END IF;
    IF g.in_use = 0 AND look IS NULL AND NOT EXISTS (
        SELECT 1 FROM place p
        WHERE p.tenant = g_tenant AND p.rule = g_rule AND p.value = g_value AND p.state = 1
    ) THEN
        DELETE FROM gate
        WHERE gate.tenant = g_tenant AND gate.rule = g_rule AND gate.value = g_value;
    ELSE
        UPDATE gate SET in_use = g.in_use, next_at = g.next_at, look_at = look, waited = waits
        WHERE gate.tenant = g_tenant AND gate.rule = g_rule AND gate.value = g_value;
    END IF;
END
$$;

-- Looks at the gates where something happened or whose time has come. Gives when to look
-- again without being told. One looks at a time; what the others would have seen stays.
CREATE FUNCTION gates_look(now_at bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    g record;
    seen integer;
BEGIN
    IF NOT EXISTS (SELECT 1 FROM knock)
        AND NOT EXISTS (SELECT 1 FROM gate WHERE look_at <= now_at) THEN
        RETURN (SELECT look_at FROM gate WHERE look_at IS NOT NULL ORDER BY look_at LIMIT 1);
    END IF;
    IF NOT pg_try_advisory_xact_lock(hashtextextended(current_schema() || '.gates', 0)) THEN
        RETURN now_at + 10000;
    END IF;
    FOR round IN 1..16 LOOP
        seen := 0;
        FOR g IN
            WITH heard AS (
                DELETE FROM knock WHERE id IN (SELECT id FROM knock ORDER BY id LIMIT 200)
                RETURNING tenant, rule, value, freed
            ), due AS (
                SELECT tenant, rule, value FROM gate
                WHERE look_at <= now_at ORDER BY look_at LIMIT 200
            )
            INSERT INTO gate (tenant, rule, value, in_use)
            SELECT s.tenant, s.rule, s.value, -sum(s.freed) FROM (
                SELECT tenant, rule, value, freed FROM heard
                UNION ALL SELECT tenant, rule, value, 0 FROM due
            ) AS s GROUP BY s.tenant, s.rule, s.value
            ON CONFLICT (tenant, rule, value) DO UPDATE SET in_use = gate.in_use + excluded.in_use
            RETURNING gate.tenant, gate.rule, gate.value
        LOOP
            seen := seen + 1;
            PERFORM gate_pass(g.tenant, g.rule, g.value, now_at);
        END LOOP;
        IF seen = 0 THEN
            RETURN (SELECT look_at FROM gate WHERE look_at IS NOT NULL ORDER BY look_at LIMIT 1);
        END IF;
    END LOOP;
    RETURN now_at;
END
$$;

-- Asks for leave at a gate that nobody waits at: gives the microseconds to wait, or none.
CREATE FUNCTION gate_ask(
    g_tenant uuid, g_rule text, g_value text, g_every bigint, g_burst bigint, now_at bigint
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    base bigint;
    lead bigint := g_every * (g_burst - 1);
BEGIN
    INSERT INTO gate (tenant, rule, value) VALUES (g_tenant, g_rule, g_value)
    ON CONFLICT (tenant, rule, value) DO UPDATE SET in_use = gate.in_use
    RETURNING greatest(coalesce(next_at, now_at), now_at) INTO base;
    IF base > now_at + lead THEN
        RETURN base - lead - now_at;
    END IF;
    UPDATE gate SET next_at = base + g_every, look_at = base + g_every
    WHERE tenant = g_tenant AND rule = g_rule AND value = g_value;
    RETURN 0;
END
$$;

-- Keeps what was decided for a workflow or tenant, and its rules in place of the earlier
-- ones; gives the new revision, or none if the expected one is not the present one.
CREATE FUNCTION flow_put(
    f_tenant uuid, f_namespace text, f_name text, f_expected bigint, f_weight integer,
    f_body text, f_at bigint, f_rules text, r_rule text[], r_concurrency bigint[],
    r_every bigint[], r_burst bigint[]
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    present bigint;
BEGIN
    INSERT INTO flow_setting (tenant, namespace, name, revision, weight, body, changed_at)
    VALUES (f_tenant, f_namespace, f_name, 0, f_weight, f_body, f_at)
    ON CONFLICT (tenant, namespace, name) DO UPDATE SET changed_at = flow_setting.changed_at
    RETURNING revision INTO present;
    IF f_expected <> present THEN
        IF present = 0 THEN
            DELETE FROM flow_setting
            WHERE tenant = f_tenant AND namespace = f_namespace AND name = f_name;
        END IF;
        RETURN NULL;
    END IF;
    UPDATE flow_setting SET revision = revision + 1, weight = f_weight, body = f_body,
        changed_at = f_at
    WHERE tenant = f_tenant AND namespace = f_namespace AND name = f_name;
    DELETE FROM gate_rule WHERE tenant = f_tenant
        AND rule >= f_rules AND rule < f_rules || chr(1114111);
    INSERT INTO gate_rule (tenant, rule, concurrency, every, burst)
    SELECT f_tenant, * FROM unnest(r_rule, r_concurrency, r_every, r_burst);
    -- Whoever waits may now pass.
    INSERT INTO knock (tenant, rule, value, freed)
    SELECT tenant, rule, value, 0 FROM gate WHERE tenant = f_tenant
        AND rule >= f_rules AND rule < f_rules || chr(1114111);
    RETURN present + 1;
END
$$;
