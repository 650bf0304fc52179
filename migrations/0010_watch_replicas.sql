-- What a replica has not applied yet, as its primary sees it.
ALTER TABLE nodes ADD COLUMN observed_lag_bytes bigint;

ALTER TABLE datastores DROP CONSTRAINT datastores_observed_check;
ALTER TABLE datastores ADD CONSTRAINT datastores_observed_check CHECK (observed IN ('unknown', 'healthy', 'degraded', 'unreachable', 'down'));

-- The node that should become the primary: a wish that a job reads, and forgets when it is done.
ALTER TABLE datastores ADD COLUMN wanted_primary uuid REFERENCES nodes (id) ON DELETE SET NULL;

-- Whether a job holds up later ones of its datastore. A failed creation or deletion does; other work that failed does not, or what
-- keeps the datastore alive would wait for a person.
CREATE FUNCTION holds_up(state text, kind text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT state IN ('queued', 'running') OR (state = 'failed' AND kind IN ('create', 'create-replicated', 'delete', 'prepare'))
$$;

-- A datastore whose primary serves and whose replicas do not all follow is degraded.
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
           ELSE 'Unknown'
       END AS status
FROM datastores d
LEFT JOIN LATERAL (
    SELECT state, kind, started_at FROM jobs
    WHERE datastore_id = d.id AND state IN ('queued', 'running', 'failed')
    ORDER BY seq LIMIT 1
) j ON true
WHERE d.deleted_at IS NULL;
