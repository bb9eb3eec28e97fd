-- Flow control: whose turn it is, and what may begin.

-- Tenants that may have something ready, in the order of their turns; see `fair`.
CREATE TABLE lane (
    tenant BLOB PRIMARY KEY,
    turn INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX lane_turn ON lane (turn, tenant);

-- What was decided for a workflow or, with empty names, for a whole tenant.
CREATE TABLE flow_setting (
    tenant BLOB NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    revision INTEGER NOT NULL,
    -- The tenant's share of the workers.
    weight INTEGER NOT NULL,
    body TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, namespace, name)
) WITHOUT ROWID;

-- Whoever makes an execution ready opens its tenant's lane. No conflict clause, because
-- the one of the statement that fires the trigger would stand in its place.
CREATE TRIGGER queue_ready_new AFTER INSERT ON queue WHEN NEW.ready BEGIN
    INSERT INTO lane (tenant, turn) SELECT NEW.tenant, coalesce((SELECT min(turn) FROM lane), 0)
    WHERE NOT EXISTS (SELECT 1 FROM lane WHERE tenant = NEW.tenant);
END;
CREATE TRIGGER queue_ready_again AFTER UPDATE OF ready ON queue WHEN NEW.ready AND NOT OLD.ready BEGIN
    INSERT INTO lane (tenant, turn) SELECT NEW.tenant, coalesce((SELECT min(turn) FROM lane), 0)
    WHERE NOT EXISTS (SELECT 1 FROM lane WHERE tenant = NEW.tenant);
END;

-- Gates. An execution that is held passes its gates one after the other, the narrowest
-- first, and becomes ready behind the last. It keeps its place at each gate until it
-- ends, so that places cannot be lost with a worker: whoever has the execution has them.

-- What a gate lets through; a rule that is missing lets everything through.
CREATE TABLE gate_rule (
    tenant BLOB NOT NULL,
    rule TEXT NOT NULL,
    -- Executions at work at most.
    concurrency INTEGER,
    -- Microseconds between two, and how many may come at once.
    every INTEGER,
    burst INTEGER,
    PRIMARY KEY (tenant, rule)
) WITHOUT ROWID;

-- How much of a limit is in use. A rule with a key has a gate per value.
CREATE TABLE gate (
    tenant BLOB NOT NULL,
    rule TEXT NOT NULL,
    value TEXT NOT NULL,
    in_use INTEGER NOT NULL DEFAULT 0,
    -- When the next one would come if all came evenly.
    next_at INTEGER,
    -- When time alone may let somebody through, or the row is of no more use.
    look_at INTEGER,
    -- Whether somebody waited for that time.
    waited INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, rule, value)
) WITHOUT ROWID;
CREATE INDEX gate_look ON gate (look_at) WHERE look_at IS NOT NULL;

-- Where executions are at their gates, from their start to their end.
CREATE TABLE place (
    execution BLOB NOT NULL,
    step INTEGER NOT NULL,
    tenant BLOB NOT NULL,
    rule TEXT NOT NULL,
    value TEXT NOT NULL,
    -- 0 not there (yet), 1 waits, 2 has passed, 3 would wait if it were not suspended.
    state INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    since INTEGER NOT NULL,
    not_before INTEGER,
    PRIMARY KEY (execution, step)
) WITHOUT ROWID;
CREATE INDEX place_waiting ON place (tenant, rule, value, priority DESC, since, execution)
    WHERE state = 1;
CREATE INDEX place_later ON place (tenant, rule, value, not_before)
    WHERE state = 1 AND not_before IS NOT NULL;
CREATE INDEX place_passed ON place (tenant, rule, value, execution) WHERE state = 2;

-- What happened at gates since they were looked at.
CREATE TABLE knock (
    id INTEGER PRIMARY KEY,
    tenant BLOB NOT NULL,
    rule TEXT NOT NULL,
    value TEXT NOT NULL,
    freed INTEGER NOT NULL
);

CREATE TRIGGER queue_held AFTER INSERT ON queue WHEN NEW.gates IS NOT NULL BEGIN
    INSERT INTO place (execution, step, tenant, rule, value, state, priority, since, not_before)
    SELECT NEW.execution, key + 1, NEW.tenant, value ->> 'rule', value ->> 'value', key = 0,
        NEW.priority, coalesce(value ->> 'since', NEW.due_at), value ->> 'not_before'
    FROM json_each(NEW.gates);
    INSERT INTO knock (tenant, rule, value, freed)
    SELECT tenant, rule, value, 0 FROM place WHERE execution = NEW.execution AND step = 1;
END;

-- Whoever ends an execution, its places become free.
CREATE TRIGGER queue_gone AFTER DELETE ON queue WHEN OLD.gates IS NOT NULL BEGIN
    INSERT INTO knock (tenant, rule, value, freed)
    SELECT tenant, rule, value, 1 FROM place WHERE execution = OLD.execution AND state = 2;
    DELETE FROM place WHERE execution = OLD.execution;
END;

-- What is suspended before it has begun waits at no gate until it is resumed.
CREATE TRIGGER suspension_set AFTER INSERT ON suspension BEGIN
    UPDATE place SET state = 3 WHERE execution = NEW.execution AND state = 1;
END;
CREATE TRIGGER suspension_gone AFTER DELETE ON suspension BEGIN
    INSERT INTO knock (tenant, rule, value, freed)
    SELECT tenant, rule, value, 0 FROM place WHERE execution = OLD.execution AND state = 3;
    UPDATE place SET state = 1 WHERE execution = OLD.execution AND state = 3;
END;
