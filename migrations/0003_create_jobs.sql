-- Durable work. A job is written in the transaction that made it necessary; a worker takes it under a lease.

-- Fencing tokens: a later lease always has a greater one.
CREATE SEQUENCE lease_tokens;

-- A running Granary process. The heartbeat is a counter, not a time: observers judge it by their own monotonic clocks.
CREATE TABLE workers (
    id                 uuid PRIMARY KEY,
    host_id            uuid NOT NULL,
    boot_id            text NOT NULL,
    pid                integer NOT NULL,
    start_ticks        bigint NOT NULL,
    heartbeat          bigint NOT NULL DEFAULT 0,
    started_at         timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE jobs (
    id                 uuid PRIMARY KEY,
    project_id         uuid NOT NULL REFERENCES projects (id),
    datastore_id       uuid NOT NULL REFERENCES datastores (id),
    host_id            uuid NOT NULL,
    -- Order within a datastore and between jobs that could run.
    seq                bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    kind               text NOT NULL,
    state              text NOT NULL CHECK (state IN ('queued', 'running', 'failed', 'done', 'cancelled', 'abandoned')),
    -- The step to run next; null before the first and after the last.
    step               text,
    -- True while the job undoes what it made.
    undoing            boolean NOT NULL DEFAULT false,
    cancel_requested   boolean NOT NULL DEFAULT false,
    attempt            integer NOT NULL DEFAULT 0,
    not_before         timestamptz NOT NULL DEFAULT now(),
    -- How long it may work in all, and how long it has: measured by workers' monotonic clocks, so that no clock jump matters.
    time_limit_ms      bigint NOT NULL,
    spent_ms           bigint NOT NULL DEFAULT 0,
    worker_id          uuid,
    -- Of the present lease, or of the last one.
    lease_token        bigint,
    error              text,
    requested_by       uuid REFERENCES people (id),
    created_at         timestamptz NOT NULL DEFAULT now(),
    started_at         timestamptz,
    finished_at        timestamptz,
    CHECK ((state = 'running') = (worker_id IS NOT NULL))
);
-- One datastore's work is done in order: only one job of it runs at a time.
CREATE UNIQUE INDEX jobs_one_running ON jobs (datastore_id) WHERE state = 'running';
CREATE INDEX jobs_waiting ON jobs (host_id, seq) WHERE state IN ('queued', 'running', 'failed');
CREATE INDEX jobs_datastore ON jobs (datastore_id, seq DESC);

CREATE TABLE job_steps (
    job_id             uuid NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    project_id         uuid NOT NULL REFERENCES projects (id),
    position           integer NOT NULL,
    step               text NOT NULL,
    undo               boolean NOT NULL DEFAULT false,
    state              text NOT NULL CHECK (state IN ('running', 'done', 'failed')),
    attempts           integer NOT NULL DEFAULT 1,
    started_at         timestamptz NOT NULL DEFAULT now(),
    finished_at        timestamptz,
    log_excerpt        text,
    PRIMARY KEY (job_id, position)
);

-- The audit line: when, who, what, from where. Outlives everything it speaks of.
CREATE TABLE events (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id         uuid NOT NULL,
    datastore_id       uuid,
    person_id          uuid,
    actor              text NOT NULL,
    address            text,
    action             text NOT NULL,
    detail             text NOT NULL DEFAULT '',
    request_id         text,
    created_at         timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX events_datastore ON events (datastore_id, id DESC);
CREATE INDEX events_project ON events (project_id, id DESC);

-- Ids only, for live pages and to wake workers: '<project> <datastore>'.
CREATE FUNCTION notify_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'datastores' THEN
        PERFORM pg_notify('granary_changes', NEW.project_id || ' ' || NEW.id);
    ELSE
        PERFORM pg_notify('granary_changes', NEW.project_id || ' ' || NEW.datastore_id);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER datastores_notify AFTER INSERT OR UPDATE ON datastores FOR EACH ROW EXECUTE FUNCTION notify_change();
CREATE TRIGGER jobs_notify AFTER INSERT OR UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION notify_change();
CREATE TRIGGER nodes_notify AFTER UPDATE ON nodes FOR EACH ROW EXECUTE FUNCTION notify_change();
