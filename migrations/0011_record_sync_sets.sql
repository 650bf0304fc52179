-- What a commit waits for: the primary's own log alone, or that of replicas too.
ALTER TABLE datastores ADD COLUMN durability text NOT NULL DEFAULT 'asynchronous' CHECK (durability IN ('asynchronous', 'quorum'));

-- Replicas that a primary's commits wait for: any `acks` of these. Recorded before a server is told and forgotten after it has
-- confirmed another, so that what a server may have acknowledged by is always here. The newest is what is wanted.
CREATE TABLE sync_sets (
    datastore_id uuid NOT NULL REFERENCES datastores (id),
    project_id   uuid NOT NULL REFERENCES projects (id),
    generation   bigint GENERATED ALWAYS AS IDENTITY,
    -- No reference: a node that is gone may still be what a commit waited for.
    primary_id   uuid NOT NULL,
    members      uuid[] NOT NULL,
    acks         integer NOT NULL CHECK (acks BETWEEN 0 AND cardinality(members)),
    PRIMARY KEY (datastore_id, generation)
);

-- How many bytes of log a replica may lack and still be read from, and what readers get where none is left.
ALTER TABLE datastores ADD COLUMN reader_lag_mb integer NOT NULL DEFAULT 64 CHECK (reader_lag_mb BETWEEN 1 AND 1048576);
ALTER TABLE datastores ADD COLUMN reader_fallback text NOT NULL DEFAULT 'none' CHECK (reader_fallback IN ('none', 'primary'));

-- A node that is being added is none of those that commits wait for until it follows; one that is being removed no longer is.
ALTER TABLE nodes ADD COLUMN membership text NOT NULL DEFAULT 'member' CHECK (membership IN ('joining', 'member', 'leaving'));

ALTER TABLE datastores DROP CONSTRAINT datastores_observed_check;
ALTER TABLE datastores
    ADD CONSTRAINT datastores_observed_check CHECK (observed IN ('unknown', 'healthy', 'degraded', 'unreachable', 'down', 'undecided'));

-- Writes are blocked and only a person may say what becomes of what was not copied yet.
CREATE OR REPLACE VIEW datastore_statuses AS
SELECT d.id AS datastore_id,
       CASE
           WHEN d.lifecycle = 'deleting' AND j.state = 'failed' THEN 'DeleteFailed'
           WHEN d.lifecycle = 'deleting' THEN 'Deleting'
           WHEN d.lifecycle = 'failed' THEN 'Failed'
           WHEN d.lifecycle = 'creating' AND j.state = 'queued' AND j.started_at IS NULL THEN 'Queued'
           WHEN d.lifecycle = 'creating' THEN 'Creating'
           WHEN j.kind = 'restart' AND j.state IN ('queued', 'running') THEN 'Restarting'
           WHEN d.observed_at IS NULL THEN 'Unknown'
           WHEN d.observed_at NOT BETWEEN now() - interval '60 seconds' AND now() + interval '60 seconds' THEN 'Unknown'
           WHEN d.observed = 'healthy' THEN 'Running'
           WHEN d.observed = 'degraded' THEN 'Degraded'
           WHEN d.observed = 'unreachable' THEN 'Unreachable'
           WHEN d.observed = 'down' THEN 'Down'
           WHEN d.observed = 'undecided' THEN 'NeedsDecision'
           ELSE 'Unknown'
       END AS status
FROM datastores d
LEFT JOIN LATERAL (
    SELECT state, kind, started_at FROM jobs
    WHERE datastore_id = d.id AND state IN ('queued', 'running', 'failed')
    ORDER BY seq LIMIT 1
) j ON true
WHERE d.deleted_at IS NULL;
