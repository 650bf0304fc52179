-- Failover drills: a probe writes numbered rows through the primary endpoint while the primary is replaced, and what it saw.
CREATE TABLE drills (
    id                 uuid PRIMARY KEY,
    project_id         uuid NOT NULL REFERENCES projects (id),
    datastore_id       uuid NOT NULL REFERENCES datastores (id),
    -- 'promotion': a planned one; 'kill': everything of the primary's node is killed.
    kind               text NOT NULL CHECK (kind IN ('promotion', 'kill')),
    state              text NOT NULL CHECK (state IN ('running', 'done', 'failed', 'interrupted')),
    requested_by       uuid REFERENCES people (id),
    -- Whose process drives it; null until one took it. One whose worker is gone is interrupted.
    worker_id          uuid,
    started_at         timestamptz NOT NULL DEFAULT now(),
    finished_at        timestamptz,
    -- When its role, its table and its trust were taken away again.
    cleaned_at         timestamptz,
    -- Slots: what stands in `nodes` goes with the datastore.
    primary_before     smallint,
    primary_after      smallint,
    -- Null until it is over, and where it came to no writes.
    acknowledged       bigint,
    lost               bigint,
    reconnects         integer,
    -- Longest time without an acknowledged write.
    pause_ms           bigint,
    -- When that began, and when the primary was struck; milliseconds since the probe's first write.
    pause_at_ms        bigint,
    struck_at_ms       bigint,
    -- Acknowledged writes in each `sample_ms` milliseconds, at most a few hundred.
    sample_ms          integer,
    samples            integer[],
    error              text,
    CHECK ((state = 'running') = (finished_at IS NULL))
);
CREATE UNIQUE INDEX drills_one_running ON drills (datastore_id) WHERE state = 'running';
CREATE INDEX drills_datastore ON drills (datastore_id, started_at DESC);
CREATE INDEX drills_left ON drills (datastore_id) WHERE cleaned_at IS NULL;

CREATE TRIGGER drills_notify AFTER INSERT OR UPDATE ON drills FOR EACH ROW EXECUTE FUNCTION notify_change();
