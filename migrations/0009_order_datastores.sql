-- The list goes on from a row, so that its pages stay what they are while others make and delete datastores; one index
-- serves both directions.
DROP INDEX datastores_page;
CREATE INDEX datastores_page ON datastores (project_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX datastores_by_name ON datastores (project_id, lower(name), id) WHERE deleted_at IS NULL;
