-- Grants: key pairs of Corral's own, with which a program uses one account and never has the keys of Alpaca

CREATE TABLE corral.grants (
    user_id uuid NOT NULL,
    id uuid NOT NULL,
    credential_id uuid NOT NULL,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    key_id text NOT NULL CHECK (key_id ~ '^CG[A-Z2-7]{24}$'),
    access text NOT NULL CHECK (access IN ('read', 'close_only', 'trade')),
    -- NULL: from everywhere. Never an empty list, which could be taken for either.
    networks cidr[] CHECK (cardinality(networks) BETWEEN 1 AND 16),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    last_used_at timestamptz,
    PRIMARY KEY (user_id, id),
    FOREIGN KEY (user_id, credential_id) REFERENCES corral.credentials (user_id, id) ON DELETE CASCADE
);
CREATE INDEX grants_credential ON corral.grants (user_id, credential_id);

-- Found by a keyed hash of the secret (lookup) and believed by a second one (seal) over all that the grant allows and
-- until when this secret is good, so that a row written, moved or widened by hand opens nothing. A renewal with a new
-- secret leaves the former one here until its time is over.
CREATE TABLE corral.grant_secrets (
    user_id uuid NOT NULL,
    grant_id uuid NOT NULL,
    lookup bytea NOT NULL,
    seal bytea NOT NULL,
    -- NULL: as long as the grant.
    valid_until timestamptz,
    PRIMARY KEY (user_id, grant_id, lookup),
    FOREIGN KEY (user_id, grant_id) REFERENCES corral.grants (user_id, id) ON DELETE CASCADE
);
CREATE INDEX grant_secrets_lookup ON corral.grant_secrets (lookup);

ALTER TABLE corral.grants ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE corral.grant_secrets ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON corral.grants TO corral_app USING (user_id = (SELECT corral.current_user_id()));
CREATE POLICY own_rows ON corral.grant_secrets TO corral_app USING (user_id = (SELECT corral.current_user_id()));
CREATE POLICY owner ON corral.grants TO CURRENT_USER USING (true);
CREATE POLICY owner ON corral.grant_secrets TO CURRENT_USER USING (true);
GRANT SELECT, INSERT, DELETE, UPDATE (name, access, networks, expires_at, last_used_at) ON corral.grants TO corral_app;
GRANT SELECT, INSERT, DELETE ON corral.grant_secrets TO corral_app;

-- Before there is a user: every row has to be asked for by the hash of its own secret.
CREATE FUNCTION corral.find_grants(lookups bytea[])
RETURNS TABLE (lookup bytea, seal bytea, valid_until timestamptz, user_id uuid, id uuid, credential_id uuid,
               key_id text, access text, networks cidr[], created_at timestamptz, expires_at timestamptz,
               rested interval)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' ROWS 1
AS $$
    SELECT s.lookup, s.seal, s.valid_until, g.user_id, g.id, g.credential_id, g.key_id, g.access, g.networks,
           g.created_at, g.expires_at, clock_timestamp() - g.last_used_at
    FROM corral.grant_secrets s
    JOIN corral.grants g ON g.user_id = s.user_id AND g.id = s.grant_id
    JOIN corral.users u ON u.id = g.user_id
    WHERE s.lookup = ANY (lookups) AND u.disabled_at IS NULL AND g.expires_at > clock_timestamp()
      AND (s.valid_until IS NULL OR s.valid_until > clock_timestamp())
$$;

-- Many programs' grants in one round trip, each with the credential that it opens, which is read under the scope of
-- the grant's owner, where row-level security decides. What the rows allow is for Corral to believe: it checks the
-- seal before it looks at the credential.
CREATE FUNCTION corral.read_grants(lookups bytea[])
RETURNS TABLE (lookup bytea, seal bytea, valid_until timestamptz, user_id uuid, id uuid, credential_id uuid,
               key_id text, access text, networks cidr[], created_at timestamptz, expires_at timestamptz,
               rested interval, credential_type text, account_id text, is_active boolean, revision integer,
               api_key_sealed bytea, secret_key_sealed bytea, last_used_at timestamptz, refused_at timestamptz)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    given record;
BEGIN
    FOR given IN SELECT * FROM corral.find_grants(lookups) LOOP
        PERFORM set_config('app.current_user_id', given.user_id::text, true);
        RETURN QUERY
            SELECT given.lookup, given.seal, given.valid_until, given.user_id, given.id, given.credential_id,
                   given.key_id, given.access, given.networks, given.created_at, given.expires_at, given.rested,
                   c.credential_type, c.account_id, c.is_active, c.revision,
                   c.api_key_sealed, c.secret_key_sealed, c.last_used_at, c.refused_at
            FROM corral.credentials c WHERE c.user_id = given.user_id AND c.id = given.credential_id;
    END LOOP;
    PERFORM set_config('app.current_user_id', '', true);
END
$$;

-- As note_api_tokens_used, but one that is being changed or revoked is skipped: to revoke everything at once must wait
-- for nobody, and least of all crosswise.
CREATE FUNCTION corral.note_grants_used(user_ids uuid[], ids uuid[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    FOR i IN 1 .. cardinality(user_ids) LOOP
        PERFORM set_config('app.current_user_id', user_ids[i]::text, true);
        UPDATE corral.grants g SET last_used_at = clock_timestamp()
        WHERE g.user_id = user_ids[i] AND g.id = (
            SELECT f.id FROM corral.grants f WHERE f.user_id = user_ids[i] AND f.id = ids[i]
            FOR NO KEY UPDATE SKIP LOCKED
        );
    END LOOP;
    PERFORM set_config('app.current_user_id', '', true);
END
$$;

-- As before, and the grants go with everything else that lets somebody in.
CREATE OR REPLACE FUNCTION corral.disable_user(p_id uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    UPDATE corral.users u
    SET disabled_at = coalesce(u.disabled_at, clock_timestamp()), access_epoch = u.access_epoch + 1
    WHERE u.id = p_id;
    DELETE FROM corral.sessions s WHERE s.user_id = p_id;
    DELETE FROM corral.api_tokens t WHERE t.user_id = p_id;
    DELETE FROM corral.grants g WHERE g.user_id = p_id;
    DELETE FROM corral.one_time_links l WHERE l.user_id = p_id;
    DELETE FROM corral.invitations i WHERE i.invited_by = p_id;
END
$$;

REVOKE ALL ON FUNCTION corral.find_grants(bytea[]), corral.read_grants(bytea[]),
    corral.note_grants_used(uuid[], uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION corral.find_grants(bytea[]), corral.read_grants(bytea[]),
    corral.note_grants_used(uuid[], uuid[]) TO corral_app;
