-- Sessions that are ended from elsewhere: by their person in another browser, or by the issuer.

-- The issuer's name for its own session (the claim `sid`), by which it may end that one alone.
ALTER TABLE sessions ADD COLUMN issuer_session text;
CREATE INDEX sessions_issuer_session ON sessions (issuer_session) WHERE issuer_session IS NOT NULL;

-- Logout tokens that were obeyed: each is good once. Removed when they have expired.
CREATE TABLE logout_tokens (
    -- SHA-256 of issuer and `jti`.
    id_hash            bytea PRIMARY KEY,
    expires_at         timestamptz NOT NULL
);

-- Live pages of every process end with their session.
CREATE FUNCTION notify_session_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('granary_changes', 'session ' || encode(OLD.id_hash, 'hex'));
    RETURN NULL;
END $$;
CREATE TRIGGER sessions_notify AFTER DELETE ON sessions
    FOR EACH ROW WHEN (OLD.person_id IS NOT NULL) EXECUTE FUNCTION notify_session_ended();
