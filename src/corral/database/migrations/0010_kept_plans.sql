-- What each request waits for keeps its plan in the database, instead of being planned anew
--
-- For `lookup = ANY (lookups)`, PostgreSQL expects ten rows of a plan that is to fit any array, finds such a plan dearer
-- than a new one for this array, and plans anew each time: for three tables that took six times as long as the look-up
-- itself. A plan for one hash is as good for the next one, and PL/pgSQL keeps it in each session, also before
-- PostgreSQL 18, where a function in SQL keeps none.

CREATE OR REPLACE FUNCTION corral.find_sessions(lookups bytea[])
RETURNS TABLE (lookup bytea, seal bytea, user_id uuid, id uuid, email text,
               created_at timestamptz, rested interval, expires_at timestamptz, admin_seal bytea)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' ROWS 1
AS $$
DECLARE
    wanted bytea;
BEGIN
    FOREACH wanted IN ARRAY lookups LOOP
        RETURN QUERY
            SELECT s.lookup, s.seal, s.user_id, s.id, u.email, s.created_at, clock_timestamp() - s.last_seen_at,
                   s.expires_at, u.admin_seal
            FROM corral.sessions s JOIN corral.users u ON u.id = s.user_id
            WHERE s.lookup = wanted AND u.disabled_at IS NULL AND s.expires_at > clock_timestamp();
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION corral.find_api_tokens(lookups bytea[])
RETURNS TABLE (lookup bytea, seal bytea, user_id uuid, id uuid, email text,
               scopes text[], expires_at timestamptz, rested interval)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' ROWS 1
AS $$
DECLARE
    wanted bytea;
BEGIN
    FOREACH wanted IN ARRAY lookups LOOP
        RETURN QUERY
            SELECT t.lookup, t.seal, t.user_id, t.id, u.email, t.scopes, t.expires_at,
                   clock_timestamp() - t.last_used_at
            FROM corral.api_tokens t JOIN corral.users u ON u.id = t.user_id
            WHERE t.lookup = wanted AND u.disabled_at IS NULL
              AND (t.expires_at IS NULL OR t.expires_at > clock_timestamp());
    END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION corral.find_grants(lookups bytea[])
RETURNS TABLE (lookup bytea, seal bytea, valid_until timestamptz, user_id uuid, id uuid, credential_id uuid,
               key_id text, access text, networks cidr[], created_at timestamptz, expires_at timestamptz,
               rested interval)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = '' ROWS 1
AS $$
DECLARE
    wanted bytea;
BEGIN
    FOREACH wanted IN ARRAY lookups LOOP
        RETURN QUERY
            SELECT s.lookup, s.seal, s.valid_until, g.user_id, g.id, g.credential_id, g.key_id, g.access, g.networks,
                   g.created_at, g.expires_at, clock_timestamp() - g.last_used_at
            FROM corral.grant_secrets s
            JOIN corral.grants g ON g.user_id = s.user_id AND g.id = s.grant_id
            JOIN corral.users u ON u.id = g.user_id
            WHERE s.lookup = wanted AND u.disabled_at IS NULL AND g.expires_at > clock_timestamp()
              AND (s.valid_until IS NULL OR s.valid_until > clock_timestamp());
    END LOOP;
END
$$;

-- The same for what an order waits for. Here arrays stay, for the entries of many orders go into one commit; their plan
-- for any number of rows is the one for one row, too.
ALTER FUNCTION corral.extend_audit_chain(
    uuid, bigint, bytea, timestamptz, bigint[], text[], bytea[], bigint[], uuid, bigint[])
SET plan_cache_mode = 'force_generic_plan';
