
-- Repair of executions: what ended badly.

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
