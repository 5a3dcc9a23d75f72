-- Staying in charge of one's access: what a password let in ends with it, and everything that guesses is bounded

-- Goes up when the password changes and when the person is disabled. Whatever a sign-in makes is made only if this is
-- still what it was when the sign-in was accepted.
ALTER TABLE corral.users ADD COLUMN access_epoch integer NOT NULL DEFAULT 0;
GRANT UPDATE (access_epoch) ON corral.users TO corral_app;

DROP FUNCTION corral.find_user_by_email(text);
CREATE FUNCTION corral.find_user_by_email(wanted text)
RETURNS TABLE (id uuid, email text, password_sealed bytea, disabled_at timestamptz, access_epoch integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' ROWS 1
AS $$
    SELECT u.id, u.email, u.password_sealed, u.disabled_at, u.access_epoch FROM corral.users u WHERE u.email = wanted
$$;

-- How long a session or token has rested is told by the clock that wrote when it was last seen.
DROP FUNCTION corral.find_sessions(bytea[]);
CREATE FUNCTION corral.find_sessions(lookups bytea[])
RETURNS TABLE (lookup bytea, seal bytea, user_id uuid, id uuid, email text,
               created_at timestamptz, rested interval, expires_at timestamptz, admin_seal bytea)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' ROWS 1
AS $$
    SELECT s.lookup, s.seal, s.user_id, s.id, u.email, s.created_at, clock_timestamp() - s.last_seen_at, s.expires_at,
        u.admin_seal
    FROM corral.sessions s JOIN corral.users u ON u.id = s.user_id
    WHERE s.lookup = ANY (lookups) AND u.disabled_at IS NULL AND s.expires_at > clock_timestamp()
$$;

DROP FUNCTION corral.find_api_tokens(bytea[]);
CREATE FUNCTION corral.find_api_tokens(lookups bytea[])
RETURNS TABLE (lookup bytea, seal bytea, user_id uuid, id uuid, email text,
               scopes text[], expires_at timestamptz, rested interval)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' ROWS 1
AS $$
    SELECT t.lookup, t.seal, t.user_id, t.id, u.email, t.scopes, t.expires_at, clock_timestamp() - t.last_used_at
    FROM corral.api_tokens t JOIN corral.users u ON u.id = t.user_id
    WHERE t.lookup = ANY (lookups) AND u.disabled_at IS NULL
      AND (t.expires_at IS NULL OR t.expires_at > clock_timestamp())
$$;

-- One-time links ---------------------------------------------------------------------------------

-- False for somebody who is disabled, or is being disabled at this moment: no link outlives that.
DROP FUNCTION corral.issue_link(bytea, bytea, text, uuid, timestamptz);
CREATE FUNCTION corral.issue_link(p_lookup bytea, p_seal bytea, p_kind text, p_user_id uuid, p_expires_at timestamptz)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    IF p_user_id IS NOT NULL THEN
        PERFORM FROM corral.users u WHERE u.id = p_user_id AND u.disabled_at IS NULL FOR NO KEY UPDATE;
        IF NOT FOUND THEN
            RETURN false;
        END IF;
    END IF;
    -- A new set-up link replaces the one before: of those printed, only the last one works.
    DELETE FROM corral.one_time_links l
    WHERE l.expires_at < clock_timestamp() OR (p_kind = 'setup' AND l.kind = 'setup');
    INSERT INTO corral.one_time_links (lookup, seal, kind, user_id, expires_at)
    VALUES (p_lookup, p_seal, p_kind, p_user_id, p_expires_at);
    RETURN true;
END
$$;

-- Deleting is redeeming: of any number of simultaneous attempts exactly one gets the row. Expiry is judged here, by
-- the clock that everybody shares.
DROP FUNCTION corral.redeem_link(bytea[], text);
CREATE FUNCTION corral.redeem_link(lookups bytea[], p_kind text)
RETURNS TABLE (seal bytea, user_id uuid, email text, expires_at timestamptz, access_epoch integer)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = '' ROWS 1
AS $$
    WITH redeemed AS (
        DELETE FROM corral.one_time_links l
        WHERE l.lookup = ANY (lookups) AND l.kind = p_kind AND l.expires_at > clock_timestamp()
        RETURNING l.seal, l.user_id, l.expires_at
    )
    SELECT r.seal, r.user_id, u.email, r.expires_at, u.access_epoch
    FROM redeemed r LEFT JOIN corral.users u ON u.id = r.user_id AND u.disabled_at IS NULL
$$;

-- For a page that needs to know whose link it is before the link is used up.
CREATE FUNCTION corral.find_link(lookups bytea[], p_kind text)
RETURNS TABLE (seal bytea, user_id uuid, email text, expires_at timestamptz, access_epoch integer)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' ROWS 1
AS $$
    SELECT l.seal, l.user_id, u.email, l.expires_at, u.access_epoch
    FROM corral.one_time_links l LEFT JOIN corral.users u ON u.id = l.user_id AND u.disabled_at IS NULL
    WHERE l.lookup = ANY (lookups) AND l.kind = p_kind AND l.expires_at > clock_timestamp()
$$;

-- A recovery link sets a new password; the operator makes it.
ALTER TABLE corral.one_time_links
    DROP CONSTRAINT one_time_links_kind_check,
    ADD CONSTRAINT one_time_links_kind_check CHECK (kind IN ('setup', 'sign_in', 'recovery'));

-- Those that the user whom the transaction names has made, when their password is recovered.
CREATE FUNCTION corral.delete_own_invitations() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$ DELETE FROM corral.invitations i WHERE i.invited_by = corral.current_user_id() $$;

-- Those of the user whom the transaction names, when their password changes.
CREATE FUNCTION corral.delete_own_links() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$ DELETE FROM corral.one_time_links l WHERE l.user_id = corral.current_user_id() $$;

-- An invitation is as good as whoever made it: of somebody disabled, or no administrator any more, it is none.
CREATE OR REPLACE FUNCTION corral.find_invitation(lookups bytea[])
RETURNS TABLE (seal bytea, email text, invited_by uuid, expires_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' ROWS 1
AS $$
    SELECT i.seal, i.email, i.invited_by, i.expires_at
    FROM corral.invitations i JOIN corral.users u ON u.id = i.invited_by
    WHERE i.lookup = ANY (lookups) AND i.expires_at > clock_timestamp()
      AND u.disabled_at IS NULL AND u.admin_seal IS NOT NULL
$$;

CREATE OR REPLACE FUNCTION corral.redeem_invitation(lookups bytea[])
RETURNS TABLE (seal bytea, email text, invited_by uuid, expires_at timestamptz)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = '' ROWS 1
AS $$
    DELETE FROM corral.invitations i USING corral.users u
    WHERE i.lookup = ANY (lookups) AND i.expires_at > clock_timestamp()
      AND u.id = i.invited_by AND u.disabled_at IS NULL AND u.admin_seal IS NOT NULL
    RETURNING i.seal, i.email, i.invited_by, i.expires_at
$$;

-- By which an administrator revokes one. A new invitation for the same address is another one.
ALTER TABLE corral.invitations ADD COLUMN id uuid NOT NULL DEFAULT gen_random_uuid();
CREATE UNIQUE INDEX invitations_id ON corral.invitations (id);

DROP FUNCTION corral.list_invitations();
CREATE FUNCTION corral.list_invitations() RETURNS TABLE (id uuid, email text, expires_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    PERFORM corral.require_admin();
    RETURN QUERY SELECT i.id, i.email, i.expires_at
        FROM corral.invitations i JOIN corral.users u ON u.id = i.invited_by
        WHERE i.expires_at > clock_timestamp() AND u.disabled_at IS NULL AND u.admin_seal IS NOT NULL
        ORDER BY i.expires_at, i.email;
END
$$;

-- The new invitation's id; NULL where the address is somebody's already.
DROP FUNCTION corral.issue_invitation(bytea, bytea, text, timestamptz);
CREATE FUNCTION corral.issue_invitation(p_lookup bytea, p_seal bytea, p_email text, p_expires_at timestamptz)
RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    issued uuid := gen_random_uuid();
BEGIN
    PERFORM corral.require_admin();
    DELETE FROM corral.invitations i WHERE i.expires_at < clock_timestamp();
    IF EXISTS (SELECT FROM corral.users u WHERE u.email = p_email) THEN
        RETURN NULL;
    END IF;
    INSERT INTO corral.invitations (id, lookup, seal, email, invited_by, expires_at)
    VALUES (issued, p_lookup, p_seal, p_email, corral.current_user_id(), p_expires_at)
    ON CONFLICT (email) DO UPDATE SET id = excluded.id, lookup = excluded.lookup, seal = excluded.seal,
        invited_by = excluded.invited_by, expires_at = excluded.expires_at;
    RETURN issued;
END
$$;

-- Any administrator's. False when there is none of this id, any more.
CREATE FUNCTION corral.revoke_invitation(p_id uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    PERFORM corral.require_admin();
    DELETE FROM corral.invitations i WHERE i.id = p_id;
    RETURN FOUND;
END
$$;

-- People -----------------------------------------------------------------------------------------

-- PL/pgSQL and not SQL: there, all statements of a function see what was committed before its first one, and what was
-- made while the UPDATE waited for its row would stay.
CREATE OR REPLACE FUNCTION corral.disable_user(p_id uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    UPDATE corral.users u
    SET disabled_at = coalesce(u.disabled_at, clock_timestamp()), access_epoch = u.access_epoch + 1
    WHERE u.id = p_id;
    DELETE FROM corral.sessions s WHERE s.user_id = p_id;
    DELETE FROM corral.api_tokens t WHERE t.user_id = p_id;
    DELETE FROM corral.one_time_links l WHERE l.user_id = p_id;
    DELETE FROM corral.invitations i WHERE i.invited_by = p_id;
END
$$;

-- Throttling of sign-in --------------------------------------------------------------------------

-- Keys are keyed hashes, so their first byte divides them evenly into 256 parts.
CREATE INDEX sign_in_attempts_by_age ON corral.sign_in_attempts (get_byte(key, 0), last_attempt_at);

-- As before, but for what it costs: the first attempt of a key prunes its part, at most 20 rows at a time, of what is a
-- day old or beyond the 512 newest. So there are 131,000 rows at most, and an attempt reads about 500 of an index.
-- To be forgotten by that before its day is over, a guessed account has to wait for as many other ones, each of which
-- costs the guesser the verification of a password.
-- Both queries name the part in ORDER BY: on a table with row-level security the planner does not conclude from WHERE
-- that it is one and the same, and would sort a part instead of reading the index in its order.
CREATE OR REPLACE FUNCTION corral.admit_sign_in(p_key bytea, free_attempts integer) RETURNS double precision
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    attempt corral.sign_in_attempts;
    moment timestamptz := clock_timestamp();
    oldest_kept timestamptz;
BEGIN
    INSERT INTO corral.sign_in_attempts (key, failures, blocked_until, last_attempt_at)
    VALUES (p_key, 0, moment, moment) ON CONFLICT (key) DO NOTHING;
    IF FOUND THEN
        oldest_kept := (
            SELECT a.last_attempt_at FROM corral.sign_in_attempts a WHERE get_byte(a.key, 0) = get_byte(p_key, 0)
            ORDER BY get_byte(a.key, 0) DESC, a.last_attempt_at DESC OFFSET 512 LIMIT 1
        );
        WITH old AS MATERIALIZED (
            SELECT b.key FROM corral.sign_in_attempts b
            WHERE get_byte(b.key, 0) = get_byte(p_key, 0) AND b.key <> p_key
              AND b.last_attempt_at <= greatest(oldest_kept, moment - interval '1 day')
            ORDER BY get_byte(b.key, 0), b.last_attempt_at LIMIT 20 FOR UPDATE SKIP LOCKED
        )
        DELETE FROM corral.sign_in_attempts a WHERE a.key IN (SELECT key FROM old);
    END IF;
    SELECT * INTO attempt FROM corral.sign_in_attempts a WHERE a.key = p_key FOR UPDATE;
    moment := clock_timestamp();
    IF attempt.last_attempt_at < moment - interval '1 day' THEN
        attempt.failures := 0;
    ELSIF attempt.blocked_until > moment THEN
        RETURN extract(epoch FROM attempt.blocked_until - moment);
    END IF;
    UPDATE corral.sign_in_attempts a
    SET failures = attempt.failures + 1,
        last_attempt_at = moment,
        blocked_until = moment + CASE WHEN attempt.failures + 1 < free_attempts THEN interval '0'
            ELSE make_interval(secs => least(60, 2 ^ least(attempt.failures + 1 - free_attempts, 6))) END
    WHERE a.key = p_key;
    RETURN 0;
END
$$;

-- Checking stored keys ---------------------------------------------------------------------------

-- As before, but for MATERIALIZED: a subquery that is joined may be run again for each row, and then locks ten more.
CREATE OR REPLACE FUNCTION corral.claim_checks(most integer, every_seconds double precision)
RETURNS TABLE (user_id uuid, id uuid)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = '' ROWS 10
AS $$
    WITH due AS MATERIALIZED (
        SELECT d.user_id, d.id
        FROM corral.credentials d JOIN corral.users u ON u.id = d.user_id
        WHERE d.is_active AND u.disabled_at IS NULL
          AND clock_timestamp() > d.checked_at + make_interval(secs => CASE
              WHEN d.refused_at IS NULL
              THEN every_seconds * (0.9 + 0.2 * (uuid_hash(d.id) & 1023) / 1023)
              ELSE least(every_seconds, greatest(60, extract(epoch FROM d.checked_at - d.refused_at))) END)
        ORDER BY d.checked_at
        LIMIT least(most, 10) FOR UPDATE OF d SKIP LOCKED
    )
    UPDATE corral.credentials c SET checked_at = clock_timestamp() FROM due
    WHERE c.user_id = due.user_id AND c.id = due.id
    RETURNING c.user_id, c.id
$$;

-- Confirming the password ------------------------------------------------------------------------

-- Wrong ones of somebody who is signed in, over all of their sessions. Attempts to sign in are counted elsewhere, so
-- that a stranger who guesses cannot keep the person from confirming.
CREATE TABLE corral.password_confirmations (
    user_id uuid PRIMARY KEY REFERENCES corral.users (id) ON DELETE CASCADE,
    in_row integer NOT NULL DEFAULT 0,
    in_hour integer NOT NULL DEFAULT 0,
    hour_began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    paused_until timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
ALTER TABLE corral.password_confirmations ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON corral.password_confirmations TO corral_app
    USING (user_id = (SELECT corral.current_user_id()));
CREATE POLICY owner ON corral.password_confirmations TO CURRENT_USER USING (true);
GRANT SELECT, INSERT (user_id), UPDATE (in_row, in_hour, hour_began_at, paused_until, last_at)
    ON corral.password_confirmations TO corral_app;

-- Counts an attempt before the password is looked at, so that a race gains nothing. Answers the seconds to wait: 0
-- lets this attempt pass; more refuses it, and a refused attempt is not counted. From the twentieth wrong one in an
-- hour on, each pauses confirming for a minute. Five at once that have no verdict yet are enough: the next one waits.
CREATE FUNCTION corral.admit_confirmation() RETURNS double precision
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    me uuid := corral.current_user_id();
    counted corral.password_confirmations;
    moment timestamptz;
BEGIN
    INSERT INTO corral.password_confirmations (user_id) VALUES (me) ON CONFLICT (user_id) DO NOTHING;
    SELECT * INTO counted FROM corral.password_confirmations c WHERE c.user_id = me FOR UPDATE;
    moment := clock_timestamp();
    IF counted.paused_until > moment THEN
        RETURN extract(epoch FROM counted.paused_until - moment);
    END IF;
    IF counted.in_row >= 5 AND counted.last_at > moment - interval '10 seconds' THEN
        RETURN extract(epoch FROM counted.last_at + interval '10 seconds' - moment);
    END IF;
    IF counted.hour_began_at < moment - interval '1 hour' THEN
        counted.in_hour := 0;
        counted.hour_began_at := moment;
    END IF;
    UPDATE corral.password_confirmations c
    SET in_row = CASE WHEN counted.last_at < moment - interval '1 hour' THEN 1 ELSE counted.in_row + 1 END,
        in_hour = counted.in_hour + 1,
        hour_began_at = counted.hour_began_at,
        last_at = moment,
        paused_until = moment + CASE WHEN counted.in_hour + 1 >= 20 THEN interval '1 minute' ELSE interval '0' END
    WHERE c.user_id = me;
    RETURN 0;
END
$$;

-- The password was wrong. True for the fifth in a row, which ends the session; then a new row begins.
CREATE FUNCTION corral.refuse_confirmation(p_session_id uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    me uuid := corral.current_user_id();
BEGIN
    UPDATE corral.password_confirmations c SET in_row = 0 WHERE c.user_id = me AND c.in_row >= 5;
    IF FOUND THEN
        DELETE FROM corral.sessions s WHERE s.user_id = me AND s.id = p_session_id;
        RETURN true;
    END IF;
    RETURN false;
END
$$;

-- What a person is told of their access ----------------------------------------------------------

-- Written in the transaction of the change itself. The newest 50 of each kind are kept, so that many harmless changes
-- do not push out the one that matters.
CREATE TABLE corral.account_events (
    user_id uuid NOT NULL REFERENCES corral.users (id) ON DELETE CASCADE,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    kind text NOT NULL CHECK (kind IN ('password_changed', 'password_recovered', 'recovery_link_made', 'token_made',
                                       'token_revoked', 'tokens_revoked')),
    made_by text NOT NULL CHECK (made_by IN ('session', 'token', 'link', 'operator')),
    address text NOT NULL CHECK (length(address) <= 64),
    device text NOT NULL CHECK (length(device) <= 200),
    subject text NOT NULL CHECK (length(subject) <= 100),
    happened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    shown_at timestamptz,
    PRIMARY KEY (user_id, id)
);
CREATE INDEX account_events_by_age ON corral.account_events (user_id, kind, happened_at);
ALTER TABLE corral.account_events ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON corral.account_events TO corral_app USING (user_id = (SELECT corral.current_user_id()));
CREATE POLICY owner ON corral.account_events TO CURRENT_USER USING (true);
GRANT SELECT, INSERT (user_id, kind, made_by, address, device, subject), DELETE, UPDATE (shown_at)
    ON corral.account_events TO corral_app;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA corral FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA corral TO corral_app;
