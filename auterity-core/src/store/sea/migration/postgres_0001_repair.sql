
-- Repair of executions: what ended badly.

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
