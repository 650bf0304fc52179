-- What people asked for (wanted) stands in `datastores` and `nodes`; what was seen (observed) in the observed_* columns only.

CREATE TABLE datastores (
    id                     uuid PRIMARY KEY,
    project_id             uuid NOT NULL REFERENCES projects (id),
    name                   text NOT NULL,
    engine                 text NOT NULL,
    version                text NOT NULL,
    topology               text NOT NULL,
    region                 text NOT NULL,
    flavor                 text NOT NULL,
    flavor_ram_mb          bigint NOT NULL,
    flavor_vcpus           integer NOT NULL,
    storage                text NOT NULL CHECK (storage IN ('ephemeral', 'volume')),
    volume_type            text,
    storage_gb             integer NOT NULL CHECK (storage_gb > 0),
    tags                   text[] NOT NULL DEFAULT '{}',
    termination_protection boolean NOT NULL DEFAULT false,
    -- The machine (Granary home) whose `local` platform holds it: only that host's workers may act.
    host_id                uuid NOT NULL,
    lifecycle              text NOT NULL CHECK (lifecycle IN ('creating', 'active', 'failed', 'deleting', 'deleted')),
    observed               text NOT NULL DEFAULT 'unknown' CHECK (observed IN ('unknown', 'healthy', 'unreachable', 'down')),
    observed_detail        text NOT NULL DEFAULT '',
    observed_at            timestamptz,
    -- Routes of the edge carry the epoch; it only grows.
    epoch                  bigint NOT NULL DEFAULT 1,
    ca_certificate         text,
    ca_fingerprint         text UNIQUE,
    certificate_expires_at timestamptz,
    created_by             uuid REFERENCES people (id),
    created_at             timestamptz NOT NULL DEFAULT now(),
    deleted_at             timestamptz,
    CHECK ((storage = 'volume') = (volume_type IS NOT NULL))
);
-- A name is taken until its datastore is gone.
CREATE UNIQUE INDEX datastores_name ON datastores (project_id, lower(name)) WHERE deleted_at IS NULL;
CREATE INDEX datastores_page ON datastores (project_id, created_at DESC, id) WHERE deleted_at IS NULL;
CREATE INDEX datastores_host ON datastores (host_id) WHERE deleted_at IS NULL;

CREATE TABLE nodes (
    id                 uuid PRIMARY KEY,
    project_id         uuid NOT NULL REFERENCES projects (id),
    datastore_id       uuid NOT NULL REFERENCES datastores (id),
    -- Position in the edge's fixed listeners, 0-based.
    slot               smallint NOT NULL CHECK (slot BETWEEN 0 AND 7),
    role               text NOT NULL CHECK (role IN ('primary', 'replica')),
    private_address    text,
    observed           text NOT NULL DEFAULT 'unknown' CHECK (observed IN ('unknown', 'healthy', 'unreachable', 'down')),
    observed_detail    text NOT NULL DEFAULT '',
    observed_version   text,
    observed_started_at timestamptz,
    observed_storage_bytes bigint,
    observed_at        timestamptz,
    created_at         timestamptz NOT NULL DEFAULT now(),
    UNIQUE (datastore_id, slot)
);

CREATE TABLE volumes (
    id                 uuid PRIMARY KEY,
    project_id         uuid NOT NULL REFERENCES projects (id),
    datastore_id       uuid NOT NULL REFERENCES datastores (id),
    node_id            uuid REFERENCES nodes (id) ON DELETE SET NULL,
    volume_type        text NOT NULL,
    size_gb            integer NOT NULL CHECK (size_gb > 0),
    created_at         timestamptz NOT NULL DEFAULT now()
);

-- An address (or a port of one) belongs to one holder on a host. What a row says is confirmed by a bind probe.
CREATE TABLE addresses (
    host_id            uuid NOT NULL,
    address            inet NOT NULL,
    port               integer NOT NULL CHECK (port BETWEEN 1 AND 65535),
    project_id         uuid NOT NULL REFERENCES projects (id),
    datastore_id       uuid NOT NULL REFERENCES datastores (id),
    -- 'private:<slot>', 'source', 'primary', 'replica', 'node:<slot>'
    purpose            text NOT NULL,
    PRIMARY KEY (host_id, address, port),
    UNIQUE (datastore_id, purpose)
);

CREATE TABLE trusted_sources (
    id                 uuid PRIMARY KEY,
    project_id         uuid NOT NULL REFERENCES projects (id),
    datastore_id       uuid NOT NULL REFERENCES datastores (id),
    cidr               cidr NOT NULL,
    description        text NOT NULL DEFAULT '',
    created_by         uuid REFERENCES people (id),
    created_at         timestamptz NOT NULL DEFAULT now(),
    -- When the edge confirmed it; null until then.
    applied_at         timestamptz,
    UNIQUE (datastore_id, cidr)
);

-- Envelope encryption: each secret has a data key of its own, wrapped by the key file that is outside this database.
CREATE TABLE secrets (
    id                 uuid PRIMARY KEY,
    project_id         uuid NOT NULL REFERENCES projects (id),
    datastore_id       uuid NOT NULL REFERENCES datastores (id),
    -- 'ca-key', 'node-key:<slot>', 'admin-password'
    purpose            text NOT NULL,
    sealed             bytea NOT NULL,
    created_at         timestamptz NOT NULL DEFAULT now(),
    UNIQUE (datastore_id, purpose)
);

-- The first database and its admin user, made with the datastore. Others live in the engine alone and are read from it.
CREATE TABLE first_databases (
    datastore_id       uuid PRIMARY KEY REFERENCES datastores (id),
    project_id         uuid NOT NULL REFERENCES projects (id),
    database_name      text NOT NULL,
    user_name          text NOT NULL,
    revealed_at        timestamptz
);

-- Wizard drafts keep the raw text of every field, right or wrong; errors are computed when the page is drawn.
CREATE TABLE drafts (
    id                 uuid PRIMARY KEY,
    project_id         uuid NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    person_id          uuid NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    fields             jsonb NOT NULL,
    -- Set by Finish: a second Finish leads to the same datastore.
    datastore_id       uuid REFERENCES datastores (id),
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now()
);
