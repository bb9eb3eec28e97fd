
-- Tasks for people. They stay when they are closed.
CREATE TABLE human_task (
    id BLOB PRIMARY KEY,
    tenant BLOB NOT NULL,
    execution BLOB NOT NULL,
    effect INTEGER NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    task TEXT NOT NULL,
    title TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    deadline INTEGER,
    claimed_by BLOB,
    completed_by BLOB,
    closed_at INTEGER,
    revision INTEGER NOT NULL,
    details TEXT NOT NULL,
    answer TEXT
);
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
    tenant BLOB NOT NULL,
    audience TEXT NOT NULL,
    human_task BLOB NOT NULL,
    PRIMARY KEY (tenant, audience, human_task)
) WITHOUT ROWID;
CREATE INDEX human_task_audience_task ON human_task_audience (human_task);

-- What was done with them.
CREATE TABLE human_task_note (
    place INTEGER PRIMARY KEY,
    human_task BLOB NOT NULL,
    at INTEGER NOT NULL,
    what TEXT NOT NULL,
    person BLOB,
    details TEXT
);
CREATE INDEX human_task_note_task ON human_task_note (human_task, place);
