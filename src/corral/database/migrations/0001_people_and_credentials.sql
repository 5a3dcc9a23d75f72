-- People, their sessions, tokens and links; their sealed credentials

-- Whose rows a transaction may see. Raises when nobody was named: forgetting the scope is an error,
-- never an empty page. STABLE, not IMMUTABLE: an immutable one is folded into a cached plan, and the
-- next tenant on the connection would read the rows of the one before. After a transaction the
-- setting reads '' rather than NULL, hence nullif.
CREATE FUNCTION corral.current_user_id() RETURNS uuid
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path = ''
AS $$
DECLARE
    scope text := nullif(current_setting('app.current_user_id', true), '');
BEGIN
    IF scope IS NULL THEN
        RAISE EXCEPTION 'no user is set for this transaction' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN scope::uuid;
END
$$;

-- One row: a value sealed by the keyring that this database belongs to, so that a foreign keyring is
-- told apart before anything is served.
CREATE TABLE corral.instance (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    keyring_probe bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT (keyring_probe) ON corral.instance TO corral_app;

CREATE TABLE corral.users (
    id uuid PRIMARY KEY,
    -- In the one canonical form that the application makes; two ways to fold a name are one too many.
    email text NOT NULL CHECK (length(email) BETWEEN 3 AND 254),
    -- argon2id, sealed with the user's id: a hash written by hand is not believed.
    password_sealed bytea,
    -- Of an administrator: a keyed hash of the id, so that nobody becomes one by a row written by hand.
    admin_seal bytea,
    disabled_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX users_email ON corral.users (email);

-- Sessions and tokens are found by a keyed hash (lookup) and believed by a second one (seal) over all
-- that the row grants, so that a row written or widened by hand opens nothing.
CREATE TABLE corral.sessions (
    user_id uuid NOT NULL REFERENCES corral.users (id) ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    lookup bytea NOT NULL,
    seal bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    user_agent text NOT NULL DEFAULT '' CHECK (length(user_agent) <= 200),
    PRIMARY KEY (user_id, id)
);
CREATE INDEX sessions_lookup ON corral.sessions (lookup);

CREATE TABLE corral.api_tokens (
    user_id uuid NOT NULL REFERENCES corral.users (id) ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    scopes text[] NOT NULL,
    lookup bytea NOT NULL,
    seal bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz,
    last_used_at timestamptz,
    PRIMARY KEY (user_id, id)
);
CREATE INDEX api_tokens_lookup ON corral.api_tokens (lookup);

CREATE TABLE corral.credentials (
    user_id uuid NOT NULL REFERENCES corral.users (id) ON DELETE CASCADE,
    id uuid NOT NULL,
    nickname text NOT NULL CHECK (length(nickname) BETWEEN 1 AND 100),
    credential_type text NOT NULL CHECK (credential_type IN ('paper', 'live')),
    account_id text NOT NULL,
    account_number text,
    key_hint text NOT NULL,
    api_key_sealed bytea NOT NULL,
    secret_key_sealed bytea NOT NULL,
    is_active boolean NOT NULL DEFAULT true,
    -- Goes up with every change that must make a kept answer of Alpaca unusable at once.
    revision integer NOT NULL DEFAULT 1,
    last_validated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Since when Alpaca refuses the keys. Only the re-check writes it, when it was refused twice.
    refused_at timestamptz,
    -- When a server last took it for a re-check; 1970: as soon as possible.
    checked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_used_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (user_id, id),
    -- Within a user only: a wider constraint would tell one person what another one holds.
    UNIQUE (user_id, credential_type, account_id)
);

-- What happens before there is a user. The serving role has no privilege on these tables at all; the
-- functions below are its only way in, and each takes a hash and gives one row.
CREATE TABLE corral.one_time_links (
    lookup bytea PRIMARY KEY,
    seal bytea NOT NULL,
    kind text NOT NULL CHECK (kind IN ('setup', 'sign_in')),
    user_id uuid REFERENCES corral.users (id) ON DELETE CASCADE,
    expires_at timestamptz NOT NULL
);
-- Who is invited is nobody yet: the person is made when the invitation is redeemed, and not before.
CREATE TABLE corral.invitations (
    lookup bytea PRIMARY KEY,
    seal bytea NOT NULL,
    email text NOT NULL CHECK (length(email) BETWEEN 3 AND 254),
    invited_by uuid NOT NULL REFERENCES corral.users (id) ON DELETE CASCADE,
    expires_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX invitations_email ON corral.invitations (email);
CREATE TABLE corral.sign_in_attempts (
    key bytea PRIMARY KEY,
    failures integer NOT NULL,
    blocked_until timestamptz NOT NULL,
    last_attempt_at timestamptz NOT NULL
);

ALTER TABLE corral.users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE corral.sessions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE corral.api_tokens ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE corral.credentials ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE corral.one_time_links ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE corral.invitations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE corral.sign_in_attempts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

CREATE POLICY own_rows ON corral.users TO corral_app USING (id = (SELECT corral.current_user_id()));
CREATE POLICY own_rows ON corral.sessions TO corral_app USING (user_id = (SELECT corral.current_user_id()));
CREATE POLICY own_rows ON corral.api_tokens TO corral_app USING (user_id = (SELECT corral.current_user_id()));
CREATE POLICY own_rows ON corral.credentials TO corral_app USING (user_id = (SELECT corral.current_user_id()));

-- FORCE binds the owner, too. It may see what the functions below look up on behalf of nobody yet, and
-- what an operator asks for on the command line; it is not the role that serves requests.
CREATE POLICY owner ON corral.users TO CURRENT_USER USING (true);
CREATE POLICY owner ON corral.sessions TO CURRENT_USER USING (true);
CREATE POLICY owner ON corral.api_tokens TO CURRENT_USER USING (true);
CREATE POLICY owner ON corral.credentials TO CURRENT_USER USING (true);
CREATE POLICY owner ON corral.one_time_links TO CURRENT_USER USING (true);
CREATE POLICY owner ON corral.invitations TO CURRENT_USER USING (true);
CREATE POLICY owner ON corral.sign_in_attempts TO CURRENT_USER USING (true);

GRANT SELECT, INSERT (id, email, password_sealed), UPDATE (password_sealed) ON corral.users TO corral_app;
GRANT SELECT, INSERT, DELETE, UPDATE (last_seen_at) ON corral.sessions TO corral_app;
GRANT SELECT, INSERT, DELETE, UPDATE (last_used_at) ON corral.api_tokens TO corral_app;
GRANT SELECT, INSERT, DELETE, UPDATE (nickname, account_number, key_hint, api_key_sealed, secret_key_sealed,
    is_active, revision, last_validated_at, refused_at, checked_at, last_used_at, updated_at) ON corral.credentials TO corral_app;

-- Look-ups before there is a user ----------------------------------------------------------------

-- Many callers' look-ups in one round trip; every row has to be asked for by its own hash.
CREATE FUNCTION corral.find_sessions(lookups bytea[])
RETURNS TABLE (lookup bytea, seal bytea, user_id uuid, id uuid, email text,
               created_at timestamptz, last_seen_at timestamptz, expires_at timestamptz, admin_seal bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' ROWS 1
AS $$
    SELECT s.lookup, s.seal, s.user_id, s.id, u.email, s.created_at, s.last_seen_at, s.expires_at, u.admin_seal
    FROM corral.sessions s JOIN corral.users u ON u.id = s.user_id
    WHERE s.lookup = ANY (lookups) AND u.disabled_at IS NULL AND s.expires_at > clock_timestamp()
$$;

CREATE FUNCTION corral.find_api_tokens(lookups bytea[])
RETURNS TABLE (lookup bytea, seal bytea, user_id uuid, id uuid, email text,
               scopes text[], expires_at timestamptz, last_used_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' ROWS 1
AS $$
    SELECT t.lookup, t.seal, t.user_id, t.id, u.email, t.scopes, t.expires_at, t.last_used_at
    FROM corral.api_tokens t JOIN corral.users u ON u.id = t.user_id
    WHERE t.lookup = ANY (lookups) AND u.disabled_at IS NULL
      AND (t.expires_at IS NULL OR t.expires_at > clock_timestamp())
$$;

CREATE FUNCTION corral.find_user_by_email(wanted text)
RETURNS TABLE (id uuid, email text, password_sealed bytea, disabled_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' ROWS 1
AS $$
    SELECT u.id, u.email, u.password_sealed, u.disabled_at FROM corral.users u WHERE u.email = wanted
$$;

CREATE FUNCTION corral.has_users() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
AS $$ SELECT EXISTS (SELECT FROM corral.users) $$;

-- The one way in which the serving role makes an administrator: of the first person, while there is nobody.
CREATE FUNCTION corral.insert_first_user(p_id uuid, p_email text, p_password_sealed bytea, p_admin_seal bytea)
RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
    INSERT INTO corral.users (id, email, password_sealed, admin_seal)
    SELECT p_id, p_email, p_password_sealed, p_admin_seal WHERE NOT EXISTS (SELECT FROM corral.users)
    RETURNING true
$$;

-- One-time links ---------------------------------------------------------------------------------

CREATE FUNCTION corral.issue_link(p_lookup bytea, p_seal bytea, p_kind text, p_user_id uuid, p_expires_at timestamptz)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
    -- A new set-up link replaces the one before: of those printed, only the last one works.
    DELETE FROM corral.one_time_links l
    WHERE l.expires_at < clock_timestamp() OR (p_kind = 'setup' AND l.kind = 'setup');
    INSERT INTO corral.one_time_links (lookup, seal, kind, user_id, expires_at)
    VALUES (p_lookup, p_seal, p_kind, p_user_id, p_expires_at)
$$;

-- Deleting is redeeming: of any number of simultaneous attempts exactly one gets the row.
CREATE FUNCTION corral.redeem_link(lookups bytea[], p_kind text)
RETURNS TABLE (seal bytea, user_id uuid, email text, expires_at timestamptz)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = '' ROWS 1
AS $$
    DELETE FROM corral.one_time_links l
    WHERE l.lookup = ANY (lookups) AND l.kind = p_kind
    RETURNING l.seal, l.user_id,
        (SELECT u.email FROM corral.users u WHERE u.id = l.user_id AND u.disabled_at IS NULL), l.expires_at
$$;

-- An invitation is as good as whoever made it: of somebody disabled, or no administrator any more, it is none.
CREATE FUNCTION corral.find_invitation(lookups bytea[])
RETURNS TABLE (seal bytea, email text, invited_by uuid, expires_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' ROWS 1
AS $$
    SELECT i.seal, i.email, i.invited_by, i.expires_at
    FROM corral.invitations i JOIN corral.users u ON u.id = i.invited_by
    WHERE i.lookup = ANY (lookups) AND u.disabled_at IS NULL AND u.admin_seal IS NOT NULL
$$;

CREATE FUNCTION corral.redeem_invitation(lookups bytea[])
RETURNS TABLE (seal bytea, email text, invited_by uuid, expires_at timestamptz)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = '' ROWS 1
AS $$
    DELETE FROM corral.invitations i USING corral.users u
    WHERE i.lookup = ANY (lookups) AND u.id = i.invited_by AND u.disabled_at IS NULL AND u.admin_seal IS NOT NULL
    RETURNING i.seal, i.email, i.invited_by, i.expires_at
$$;

-- What an administrator may do --------------------------------------------------------------------

-- Whom the transaction names has to be one; whether the seal is genuine was seen before, by who has the keyring.
CREATE FUNCTION corral.require_admin() RETURNS void
LANGUAGE plpgsql STABLE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM corral.users u WHERE u.id = corral.current_user_id()
                   AND u.admin_seal IS NOT NULL AND u.disabled_at IS NULL) THEN
        RAISE EXCEPTION 'not an administrator' USING ERRCODE = 'insufficient_privilege';
    END IF;
END
$$;

-- Who is here, and nothing of what they have.
CREATE FUNCTION corral.list_people()
RETURNS TABLE (id uuid, email text, created_at timestamptz, disabled_at timestamptz, admin_seal bytea)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    PERFORM corral.require_admin();
    RETURN QUERY SELECT u.id, u.email, u.created_at, u.disabled_at, u.admin_seal
        FROM corral.users u ORDER BY u.created_at, u.id;
END
$$;

CREATE FUNCTION corral.list_invitations() RETURNS TABLE (email text, expires_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    PERFORM corral.require_admin();
    RETURN QUERY SELECT i.email, i.expires_at
        FROM corral.invitations i JOIN corral.users u ON u.id = i.invited_by
        WHERE i.expires_at > clock_timestamp() AND u.disabled_at IS NULL AND u.admin_seal IS NOT NULL
        ORDER BY i.expires_at, i.email;
END
$$;

-- False where the address is somebody's already. A new invitation replaces the one before: of those made
-- for an address, only the last one works.
CREATE FUNCTION corral.issue_invitation(p_lookup bytea, p_seal bytea, p_email text, p_expires_at timestamptz)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    PERFORM corral.require_admin();
    DELETE FROM corral.invitations i WHERE i.expires_at < clock_timestamp();
    IF EXISTS (SELECT FROM corral.users u WHERE u.email = p_email) THEN
        RETURN false;
    END IF;
    INSERT INTO corral.invitations (lookup, seal, email, invited_by, expires_at)
    VALUES (p_lookup, p_seal, p_email, corral.current_user_id(), p_expires_at)
    ON CONFLICT (email) DO UPDATE SET lookup = excluded.lookup, seal = excluded.seal,
        invited_by = excluded.invited_by, expires_at = excluded.expires_at;
    RETURN true;
END
$$;

-- What being disabled means. SECURITY INVOKER: only the owner may, at the command line and in the function below.
CREATE FUNCTION corral.disable_user(p_id uuid) RETURNS void
LANGUAGE sql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
    UPDATE corral.users u SET disabled_at = coalesce(u.disabled_at, clock_timestamp()) WHERE u.id = p_id;
    DELETE FROM corral.sessions s WHERE s.user_id = p_id;
    DELETE FROM corral.api_tokens t WHERE t.user_id = p_id;
    DELETE FROM corral.one_time_links l WHERE l.user_id = p_id;
    DELETE FROM corral.invitations i WHERE i.invited_by = p_id;
$$;

-- True: done; NULL: there is nobody with this id; false: an administrator, with whom only the operator deals.
CREATE FUNCTION corral.disable_person(p_id uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    is_ordinary boolean := (SELECT u.admin_seal IS NULL FROM corral.users u WHERE u.id = p_id);
BEGIN
    PERFORM corral.require_admin();
    IF is_ordinary THEN
        PERFORM corral.disable_user(p_id);
    END IF;
    RETURN is_ordinary;
END
$$;

CREATE FUNCTION corral.enable_person(p_id uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    is_ordinary boolean := (SELECT u.admin_seal IS NULL FROM corral.users u WHERE u.id = p_id);
BEGIN
    PERFORM corral.require_admin();
    UPDATE corral.users u SET disabled_at = NULL WHERE u.id = p_id AND is_ordinary;
    RETURN is_ordinary;
END
$$;

-- Throttling of sign-in --------------------------------------------------------------------------

-- Counts an attempt before the password is looked at, so that a race gains nothing. Answers the
-- seconds to wait: 0 lets this attempt pass; more refuses it, and a refused attempt is not counted.
-- Delays grow 0, 0, 0, 1, 2, 4 … 60 s and are forgotten after a quiet day.
CREATE FUNCTION corral.admit_sign_in(p_key bytea, free_attempts integer) RETURNS double precision
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    attempt corral.sign_in_attempts;
    moment timestamptz := clock_timestamp();
BEGIN
    DELETE FROM corral.sign_in_attempts a WHERE a.last_attempt_at < moment - interval '1 day';
    INSERT INTO corral.sign_in_attempts (key, failures, blocked_until, last_attempt_at)
    VALUES (p_key, 0, moment, moment) ON CONFLICT (key) DO NOTHING;
    SELECT * INTO attempt FROM corral.sign_in_attempts a WHERE a.key = p_key FOR UPDATE;
    moment := clock_timestamp();
    IF attempt.blocked_until > moment THEN
        RETURN extract(epoch FROM attempt.blocked_until - moment);
    END IF;
    UPDATE corral.sign_in_attempts a
    SET failures = a.failures + 1,
        last_attempt_at = moment,
        blocked_until = moment + CASE WHEN a.failures + 1 < free_attempts THEN interval '0'
            ELSE make_interval(secs => least(60, 2 ^ least(a.failures + 1 - free_attempts, 6))) END
    WHERE a.key = p_key;
    RETURN 0;
END
$$;

CREATE FUNCTION corral.forget_sign_in_attempts(p_key bytea) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$ DELETE FROM corral.sign_in_attempts a WHERE a.key = p_key $$;

-- The keyring's proof: one sealed value for every key id in use (Tink puts it into bytes 2 to 5).
CREATE FUNCTION corral.sealed_samples()
RETURNS TABLE (id uuid, user_id uuid, credential_type text, account_id text, is_active boolean,
               revision integer, api_key_sealed bytea, secret_key_sealed bytea, last_used_at timestamptz,
               refused_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' ROWS 2
AS $$
    SELECT DISTINCT ON (substring(c.api_key_sealed FROM 2 FOR 4))
        c.id, c.user_id, c.credential_type, c.account_id, c.is_active,
        c.revision, c.api_key_sealed, c.secret_key_sealed, c.last_used_at, c.refused_at
    FROM corral.credentials c
    ORDER BY substring(c.api_key_sealed FROM 2 FOR 4), c.created_at
$$;

-- Which keys are to be checked again ---------------------------------------------------------------

-- For nobody in particular, hence SECURITY DEFINER; so it gives ids and nothing of a row, ten at the most,
-- and each to one server and once an interval. Who has them still reads the row under its user's scope.
-- Every credential has a period of its own, a tenth about `every_seconds`, so that those which were stored
-- together drift apart. A refused one is looked at soon, and then ever less often up to `every_seconds`:
-- refusals that were a passing mistake of Alpaca's are healed within minutes.
CREATE FUNCTION corral.claim_checks(most integer, every_seconds double precision)
RETURNS TABLE (user_id uuid, id uuid)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = '' ROWS 10
AS $$
    UPDATE corral.credentials c SET checked_at = clock_timestamp()
    FROM (
        SELECT d.user_id, d.id
        FROM corral.credentials d JOIN corral.users u ON u.id = d.user_id
        WHERE d.is_active AND u.disabled_at IS NULL
          AND clock_timestamp() > d.checked_at + make_interval(secs => CASE
              WHEN d.refused_at IS NULL
              THEN every_seconds * (0.9 + 0.2 * (uuid_hash(d.id) & 1023) / 1023)
              ELSE least(every_seconds, greatest(60, extract(epoch FROM d.checked_at - d.refused_at))) END)
        ORDER BY d.checked_at
        LIMIT least(most, 10) FOR UPDATE OF d SKIP LOCKED
    ) due
    WHERE c.user_id = due.user_id AND c.id = due.id
    RETURNING c.user_id, c.id
$$;

-- The hot read -----------------------------------------------------------------------------------

-- Many callers' credentials in one round trip, each read under its own user's scope. SECURITY INVOKER:
-- row-level security decides for every single one, as it does for a read of its own. `position` counts
-- from 1, as the arrays do.
CREATE FUNCTION corral.read_credentials(user_ids uuid[], credential_ids uuid[])
RETURNS TABLE ("position" integer, id uuid, user_id uuid, credential_type text, account_id text, is_active boolean,
               revision integer, api_key_sealed bytea, secret_key_sealed bytea, last_used_at timestamptz,
               refused_at timestamptz)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    FOR i IN 1 .. cardinality(user_ids) LOOP
        PERFORM set_config('app.current_user_id', user_ids[i]::text, true);
        RETURN QUERY
            SELECT i, c.id, c.user_id, c.credential_type, c.account_id, c.is_active,
                   c.revision, c.api_key_sealed, c.secret_key_sealed, c.last_used_at, c.refused_at
            FROM corral.credentials c
            WHERE c.user_id = user_ids[i] AND c.id = credential_ids[i];
    END LOOP;
    PERFORM set_config('app.current_user_id', '', true);
END
$$;

-- Which credentials of many users are switched on, for those who follow them live. Asked twice a second for
-- everybody who listens, so just what tells whether anything changed.
CREATE FUNCTION corral.read_active_versions(user_ids uuid[])
RETURNS TABLE (user_id uuid, id uuid, revision integer, is_refused boolean)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    FOR i IN 1 .. cardinality(user_ids) LOOP
        PERFORM set_config('app.current_user_id', user_ids[i]::text, true);
        RETURN QUERY
            SELECT c.user_id, c.id, c.revision, c.refused_at IS NOT NULL
            FROM corral.credentials c
            WHERE c.user_id = user_ids[i] AND c.is_active;
    END LOOP;
    PERFORM set_config('app.current_user_id', '', true);
END
$$;

-- A second's worth of notes in one round trip, each written under its own user's scope. The caller sorts
-- them, so that two servers that note the same rows do not wait for each other crosswise.
CREATE FUNCTION corral.note_credentials_used(user_ids uuid[], ids uuid[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    FOR i IN 1 .. cardinality(user_ids) LOOP
        PERFORM set_config('app.current_user_id', user_ids[i]::text, true);
        UPDATE corral.credentials t SET last_used_at = clock_timestamp() WHERE t.user_id = user_ids[i] AND t.id = ids[i];
    END LOOP;
    PERFORM set_config('app.current_user_id', '', true);
END
$$;

-- A call was refused: the re-check shall look, unless one began within the last minute.
CREATE FUNCTION corral.note_credentials_suspected(user_ids uuid[], ids uuid[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    FOR i IN 1 .. cardinality(user_ids) LOOP
        PERFORM set_config('app.current_user_id', user_ids[i]::text, true);
        UPDATE corral.credentials t SET checked_at = 'epoch' WHERE t.user_id = user_ids[i] AND t.id = ids[i]
            AND t.refused_at IS NULL AND t.checked_at < clock_timestamp() - interval '1 minute';
    END LOOP;
    PERFORM set_config('app.current_user_id', '', true);
END
$$;

CREATE FUNCTION corral.note_api_tokens_used(user_ids uuid[], ids uuid[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    FOR i IN 1 .. cardinality(user_ids) LOOP
        PERFORM set_config('app.current_user_id', user_ids[i]::text, true);
        UPDATE corral.api_tokens t SET last_used_at = clock_timestamp() WHERE t.user_id = user_ids[i] AND t.id = ids[i];
    END LOOP;
    PERFORM set_config('app.current_user_id', '', true);
END
$$;

CREATE FUNCTION corral.note_sessions_seen(user_ids uuid[], ids uuid[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    FOR i IN 1 .. cardinality(user_ids) LOOP
        PERFORM set_config('app.current_user_id', user_ids[i]::text, true);
        UPDATE corral.sessions t SET last_seen_at = clock_timestamp() WHERE t.user_id = user_ids[i] AND t.id = ids[i];
    END LOOP;
    PERFORM set_config('app.current_user_id', '', true);
END
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA corral FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA corral TO corral_app;
