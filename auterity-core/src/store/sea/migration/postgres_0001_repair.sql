
-- Repair of executions: what ended badly, and operations on many.

-- Executions that ended faulted or cancelled, for lists and for the groups of faults.
CREATE TABLE abnormal_end (
    tenant uuid NOT NULL,
    execution uuid NOT NULL,
    status text NOT NULL,
    -- The fault's signature; absent for a cancelled one.
    fault bigint,
    started_at bigint NOT NULL,
    ended_at bigint NOT NULL,
    PRIMARY KEY (tenant, execution)
);
CREATE INDEX abnormal_end_status ON abnormal_end
    (tenant, status, started_at DESC, execution DESC);
CREATE INDEX abnormal_end_fault ON abnormal_end (tenant, fault, started_at DESC, execution DESC)
    WHERE fault IS NOT NULL;

-- Operations on many executions, and which executions each is about.
CREATE TABLE bulk (
    id uuid PRIMARY KEY,
    tenant uuid NOT NULL,
    -- What is done to each, as JSON.
    action text NOT NULL,
    actor text NOT NULL,
    reason text,
    filter text,
    -- Executions in a second at most.
    rate bigint,
    -- 'selecting' until all its executions are there.
    state text NOT NULL,
    total bigint NOT NULL,
    owner uuid,
    lease_until bigint,
    created_at bigint NOT NULL,
    ended_at bigint
) WITH (fillfactor = 80);
CREATE INDEX bulk_tenant ON bulk (tenant, created_at DESC, id DESC);
CREATE INDEX bulk_running ON bulk (created_at, id) WHERE state = 'running';
CREATE INDEX bulk_state ON bulk (state, created_at, ended_at);

CREATE TABLE bulk_item (
    bulk uuid NOT NULL,
    place bigint NOT NULL,
    execution uuid NOT NULL,
    -- Absent until something was done.
    outcome text,
    detail text,
    PRIMARY KEY (bulk, place)
);
CREATE INDEX bulk_item_outcome ON bulk_item (bulk, outcome, place);
