-- What was done with an owner's accounts and access: entries that are only ever added, in a keyed chain for each owner

-- The last entry of each owner's chain. Whoever adds an entry holds this row's lock until the commit, so numbers have
-- no gaps and chains no forks. The reference is checked at the commit: a person is deleted together with the chain, in
-- one transaction that says so, or not at all. Nothing cascades into a chain.
CREATE TABLE corral.audit_heads (
    user_id uuid PRIMARY KEY REFERENCES corral.users (id) DEFERRABLE INITIALLY DEFERRED,
    seq bigint NOT NULL DEFAULT 0,
    mac bytea NOT NULL DEFAULT '',
    moved_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- `body` is what the mac is about, byte for byte. What lists filter by is taken from it, so it cannot say anything else.
CREATE TABLE corral.audit_entries (
    user_id uuid NOT NULL REFERENCES corral.audit_heads (user_id),
    seq bigint NOT NULL,
    body text NOT NULL CHECK (octet_length(body) <= 16384),
    mac bytea NOT NULL CHECK (octet_length(mac) = 32),
    actor text GENERATED ALWAYS AS (body::jsonb ->> 'actor') STORED,
    action text GENERATED ALWAYS AS (body::jsonb ->> 'action') STORED,
    credential_id text GENERATED ALWAYS AS (body::jsonb ->> 'credential_id') STORED,
    PRIMARY KEY (user_id, seq)
);

-- Orders that were written down and have no outcome yet, and by which process. Not part of the chain: it only tells
-- which outcomes somebody else has to add.
CREATE TABLE corral.audit_pending (
    user_id uuid NOT NULL REFERENCES corral.users (id) ON DELETE CASCADE,
    seq bigint NOT NULL,
    process_id uuid NOT NULL,
    begun_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (user_id, seq)
);

-- The processes that serve, and when each last said so.
CREATE TABLE corral.audit_processes (
    id uuid PRIMARY KEY,
    last_seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

ALTER TABLE corral.audit_heads ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE corral.audit_entries ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE corral.audit_pending ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE corral.audit_processes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE POLICY own_rows ON corral.audit_heads TO corral_app USING (user_id = (SELECT corral.current_user_id()));
CREATE POLICY own_rows ON corral.audit_entries TO corral_app USING (user_id = (SELECT corral.current_user_id()));
CREATE POLICY own_rows ON corral.audit_pending TO corral_app USING (user_id = (SELECT corral.current_user_id()));
CREATE POLICY owner ON corral.audit_heads TO CURRENT_USER USING (true);
CREATE POLICY owner ON corral.audit_entries TO CURRENT_USER USING (true);
CREATE POLICY owner ON corral.audit_pending TO CURRENT_USER USING (true);
CREATE POLICY owner ON corral.audit_processes TO CURRENT_USER USING (true);

GRANT SELECT, INSERT (user_id), UPDATE (seq, mac, moved_at) ON corral.audit_heads TO corral_app;
GRANT SELECT, INSERT (user_id, seq, body, mac) ON corral.audit_entries TO corral_app;
GRANT SELECT, INSERT (user_id, seq, process_id), DELETE ON corral.audit_pending TO corral_app;

-- For everybody, the owner of the tables included. Only with the person do their entries go.
CREATE FUNCTION corral.keep_audit_entries() RETURNS trigger
LANGUAGE plpgsql SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    IF TG_OP = 'DELETE' AND NOT EXISTS (SELECT FROM corral.users u WHERE u.id = OLD.user_id) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'the audit trail is only added to' USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE FUNCTION corral.move_audit_head() RETURNS trigger
LANGUAGE plpgsql SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    IF NEW.user_id <> OLD.user_id OR NEW.seq <= OLD.seq THEN
        RAISE EXCEPTION 'the head of an audit trail only moves forward' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER kept BEFORE UPDATE OR DELETE ON corral.audit_entries
    FOR EACH ROW EXECUTE FUNCTION corral.keep_audit_entries();
CREATE TRIGGER kept_whole BEFORE TRUNCATE ON corral.audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION corral.keep_audit_entries();
CREATE TRIGGER kept BEFORE DELETE ON corral.audit_heads
    FOR EACH ROW EXECUTE FUNCTION corral.keep_audit_entries();
CREATE TRIGGER kept_whole BEFORE TRUNCATE ON corral.audit_heads
    FOR EACH STATEMENT EXECUTE FUNCTION corral.keep_audit_entries();
CREATE TRIGGER moved BEFORE UPDATE ON corral.audit_heads
    FOR EACH ROW EXECUTE FUNCTION corral.move_audit_head();

-- Begins an addition to this user's chain, whose scope the transaction has from now on. `scope` is the one before.
-- The moment is read when the lock is held, so that times do not go back within a chain. With `waits_for_disk`, the
-- commit does so, whatever the database's settings say.
CREATE FUNCTION corral.lock_audit_head(p_user_id uuid, waits_for_disk boolean)
RETURNS TABLE (seq bigint, mac bytea, moment timestamptz, scope text)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    scope := coalesce(current_setting('app.current_user_id', true), '');
    PERFORM set_config('app.current_user_id', p_user_id::text, true);
    IF waits_for_disk THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    SELECT h.seq, h.mac INTO seq, mac FROM corral.audit_heads h WHERE h.user_id = p_user_id FOR UPDATE;
    IF NOT FOUND THEN
        INSERT INTO corral.audit_heads (user_id) VALUES (p_user_id) ON CONFLICT (user_id) DO NOTHING;
        SELECT h.seq, h.mac INTO seq, mac FROM corral.audit_heads h WHERE h.user_id = p_user_id FOR UPDATE;
    END IF;
    moment := clock_timestamp();
    RETURN NEXT;
END
$$;

-- Adds to a chain in one trip, for a process that knows how it ended, and commits on the disk. Returns false, and adds
-- nothing, if something was added meanwhile, or if the moment is not now.
CREATE FUNCTION corral.extend_audit_chain(
    p_user_id uuid, last_seq bigint, last_mac bytea, moment timestamptz,
    seqs bigint[], bodies text[], macs bytea[], begun bigint[], p_process_id uuid, concluded bigint[])
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    PERFORM set_config('app.current_user_id', p_user_id::text, true), set_config('synchronous_commit', 'on', true);
    UPDATE corral.audit_heads h
    SET seq = seqs[array_upper(seqs, 1)], mac = macs[array_upper(macs, 1)], moved_at = clock_timestamp()
    WHERE h.user_id = p_user_id AND h.seq = last_seq AND h.mac = last_mac
      AND moment BETWEEN clock_timestamp() - interval '1 second' AND clock_timestamp() + interval '1 second';
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO corral.audit_entries (user_id, seq, body, mac)
    SELECT p_user_id, link.* FROM unnest(seqs, bodies, macs) link;
    IF cardinality(begun) > 0 THEN
        INSERT INTO corral.audit_pending (user_id, seq, process_id) SELECT p_user_id, unnest(begun), p_process_id;
    END IF;
    IF cardinality(concluded) > 0 THEN
        DELETE FROM corral.audit_pending p WHERE p.user_id = p_user_id AND p.seq = ANY (concluded);
    END IF;
    RETURN true;
END
$$;

-- For nobody in particular -------------------------------------------------------------------------

-- Which chains have grown, to publish their heads. A mac tells nothing of what it is about.
CREATE FUNCTION corral.audit_heads_since(p_moment timestamptz)
RETURNS TABLE (user_id uuid, seq bigint, mac bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
AS $$
    SELECT h.user_id, h.seq, h.mac FROM corral.audit_heads h WHERE h.seq > 0 AND h.moved_at >= p_moment
$$;

CREATE FUNCTION corral.note_audit_process(p_id uuid) RETURNS timestamptz
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
    DELETE FROM corral.audit_processes p WHERE p.last_seen_at < clock_timestamp() - interval '1 day';
    INSERT INTO corral.audit_processes AS p (id) VALUES (p_id)
    ON CONFLICT (id) DO UPDATE SET last_seen_at = clock_timestamp() RETURNING p.last_seen_at
$$;

CREATE FUNCTION corral.forget_audit_process(p_id uuid) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$ DELETE FROM corral.audit_processes p WHERE p.id = p_id $$;

-- A minute old, of processes that have stopped, or have not said for a minute that they still run; and those of the
-- process that asks, which knows itself what it has begun.
CREATE FUNCTION corral.abandoned_intents(p_process_id uuid) RETURNS TABLE (user_id uuid, seq bigint, is_own boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
AS $$
    SELECT i.user_id, i.seq, i.process_id = p_process_id FROM corral.audit_pending i
    WHERE i.begun_at < clock_timestamp() - interval '1 minute' AND (i.process_id = p_process_id OR NOT EXISTS (
        SELECT FROM corral.audit_processes p
        WHERE p.id = i.process_id AND p.last_seen_at > clock_timestamp() - interval '1 minute'))
    ORDER BY i.user_id, i.seq LIMIT 1000
$$;

REVOKE ALL ON FUNCTION corral.keep_audit_entries(), corral.move_audit_head(), corral.lock_audit_head(uuid, boolean),
    corral.extend_audit_chain(uuid, bigint, bytea, timestamptz, bigint[], text[], bytea[], bigint[], uuid, bigint[]),
    corral.audit_heads_since(timestamptz), corral.note_audit_process(uuid), corral.forget_audit_process(uuid),
    corral.abandoned_intents(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION corral.lock_audit_head(uuid, boolean),
    corral.extend_audit_chain(uuid, bigint, bytea, timestamptz, bigint[], text[], bytea[], bigint[], uuid, bigint[]),
    corral.audit_heads_since(timestamptz),
    corral.note_audit_process(uuid), corral.forget_audit_process(uuid), corral.abandoned_intents(uuid) TO corral_app;
