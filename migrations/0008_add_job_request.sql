-- The request that asked for the work, so that every line which the log has of it leads back there; null for Granary's own.
ALTER TABLE jobs ADD COLUMN request_id text;
