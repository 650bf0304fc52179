-- A spare is a datastore that was made ready before anybody asked for one: its data directory is initialised and hardened,
-- with a role and a database that only need a name. Whoever asks for one of its kind gets it, id and all, so that nothing
-- of it has to move. Until then it belongs to a project that nobody is a member of.

INSERT INTO projects (id, name, quota_instances, quota_ram_mb, quota_storage_gb)
VALUES ('00000000-0000-0000-0000-000000000000', 'Spares', 0, 0, 0);

ALTER TABLE datastores DROP CONSTRAINT datastores_lifecycle_check;
ALTER TABLE datastores ADD CONSTRAINT datastores_lifecycle_check
    CHECK (lifecycle IN ('spare', 'creating', 'active', 'failed', 'deleting', 'deleted'));

CREATE INDEX datastores_spares ON datastores (host_id, engine, version, storage, created_at) WHERE lifecycle = 'spare';
