-- Who may do what: projects are tenants, people come from an OpenID Connect issuer, members join the two.

CREATE TABLE projects (
    id                 uuid PRIMARY KEY,
    name               text NOT NULL,
    quota_instances    integer NOT NULL CHECK (quota_instances >= 0),
    quota_ram_mb       bigint NOT NULL CHECK (quota_ram_mb >= 0),
    quota_storage_gb   bigint NOT NULL CHECK (quota_storage_gb >= 0),
    created_at         timestamptz NOT NULL DEFAULT now()
);

-- A person is (issuer, subject): a mail address may change hands, a subject may not.
CREATE TABLE people (
    id                 uuid PRIMARY KEY,
    issuer             text NOT NULL,
    subject            text NOT NULL,
    email              text,
    name               text,
    personal_project   uuid NOT NULL REFERENCES projects (id),
    created_at         timestamptz NOT NULL DEFAULT now(),
    last_sign_in_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (issuer, subject)
);

CREATE TABLE members (
    project_id         uuid NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    person_id          uuid NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    role               text NOT NULL CHECK (role IN ('owner', 'member', 'viewer')),
    created_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project_id, person_id)
);
CREATE INDEX members_person ON members (person_id);

-- Only a hash of the session id is kept: who reads this table cannot use what it holds.
CREATE TABLE sessions (
    id_hash            bytea PRIMARY KEY,
    person_id          uuid REFERENCES people (id) ON DELETE CASCADE,
    project_id         uuid REFERENCES projects (id) ON DELETE CASCADE,
    data               jsonb NOT NULL,
    created_at         timestamptz NOT NULL DEFAULT now(),
    idle_expires_at    timestamptz NOT NULL,
    absolute_expires_at timestamptz NOT NULL
);
CREATE INDEX sessions_person ON sessions (person_id);
CREATE INDEX sessions_expiry ON sessions (idle_expires_at);
