
-- Repair of executions: what ended badly, and operations on many.

-- Executions that ended faulted or cancelled, for lists and for the groups of faults.
CREATE TABLE abnormal_end (
    tenant BLOB NOT NULL,
    execution BLOB NOT NULL,
    status TEXT NOT NULL,
    -- The fault's signature; absent for a cancelled one.
    fault INTEGER,
    started_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, execution)
) WITHOUT ROWID;
CREATE INDEX abnormal_end_status ON abnormal_end
    (tenant, status, started_at DESC, execution DESC);
CREATE INDEX abnormal_end_fault ON abnormal_end (tenant, fault, started_at DESC, execution DESC)
    WHERE fault IS NOT NULL;

-- Operations on many executions, and which executions each is about.
CREATE TABLE bulk (
    id BLOB PRIMARY KEY,
    tenant BLOB NOT NULL,
    -- What is done to each, as JSON.
    action TEXT NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT,
    filter TEXT,
    -- Executions in a second at most.
    rate INTEGER,
    -- 'selecting' until all its executions are there.
    state TEXT NOT NULL,
    total INTEGER NOT NULL,
    owner BLOB,
    lease_until INTEGER,
    created_at INTEGER NOT NULL,
    ended_at INTEGER
);
CREATE INDEX bulk_tenant ON bulk (tenant, created_at DESC, id DESC);
CREATE INDEX bulk_running ON bulk (created_at, id) WHERE state = 'running';
CREATE INDEX bulk_state ON bulk (state, created_at, ended_at);

CREATE TABLE bulk_item (
    bulk BLOB NOT NULL,
    place INTEGER NOT NULL,
    execution BLOB NOT NULL,
    -- Absent until something was done.
    outcome TEXT,
    detail TEXT,
    PRIMARY KEY (bulk, place)
) WITHOUT ROWID;
CREATE INDEX bulk_item_outcome ON bulk_item (bulk, outcome, place);
