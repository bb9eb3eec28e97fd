-- The engine's tables. Times are microseconds since 1970 in UTC; payloads are JSON text.

CREATE TABLE definition (
    tenant BLOB NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    version_key TEXT NOT NULL,
    hash BLOB NOT NULL,
    title TEXT,
    summary TEXT,
    body TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, namespace, name, version)
) WITHOUT ROWID;
CREATE INDEX definition_hash ON definition (tenant, hash);

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
    started_at INTEGER NOT NULL,
    status TEXT NOT NULL DEFAULT 'active',
    output TEXT,
    error TEXT,
    ended_at INTEGER
);
CREATE INDEX execution_started ON execution (tenant, started_at DESC, id DESC);
CREATE INDEX execution_workflow ON execution (tenant, namespace, name, started_at DESC, id DESC);
CREATE UNIQUE INDEX execution_key ON execution (tenant, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

CREATE TABLE queue (
    execution BLOB PRIMARY KEY,
    tenant BLOB NOT NULL,
    owner BLOB,
    due_at INTEGER,
    priority INTEGER NOT NULL,
    state TEXT NOT NULL,
    waiting_for TEXT
) WITHOUT ROWID;
CREATE INDEX queue_due ON queue (priority DESC, due_at) WHERE owner IS NULL AND due_at IS NOT NULL;
CREATE INDEX queue_owner ON queue (owner) WHERE owner IS NOT NULL;

CREATE TABLE journal (
    execution BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    tenant BLOB NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    records TEXT NOT NULL,
    PRIMARY KEY (execution, sequence)
) WITHOUT ROWID;

CREATE TABLE snapshot (
    execution BLOB PRIMARY KEY,
    sequence INTEGER NOT NULL,
    format INTEGER NOT NULL,
    state TEXT NOT NULL,
    checksum INTEGER NOT NULL
);

CREATE TABLE subscription (
    execution BLOB NOT NULL,
    effect INTEGER NOT NULL,
    filter INTEGER NOT NULL,
    tenant BLOB NOT NULL,
    event_type TEXT,
    condition TEXT NOT NULL,
    PRIMARY KEY (execution, effect, filter)
) WITHOUT ROWID;
CREATE INDEX subscription_type ON subscription (tenant, event_type);

CREATE TABLE inbox (
    id BLOB PRIMARY KEY,
    execution BLOB NOT NULL,
    tenant BLOB NOT NULL,
    kind TEXT NOT NULL,
    effect INTEGER,
    payload TEXT NOT NULL,
    at INTEGER NOT NULL,
    consumed INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX inbox_execution ON inbox (execution, consumed);

CREATE TABLE worker (
    id BLOB PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    epoch INTEGER NOT NULL,
    lease_until INTEGER NOT NULL
);
