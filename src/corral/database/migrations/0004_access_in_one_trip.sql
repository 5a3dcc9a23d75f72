-- The hot read asks who sends a request and whether they may see a credential. One function answers both, so that it
-- costs one round trip. The caller's row is found by its keyed hash, as by find_sessions and find_api_tokens; the
-- credential is read under that user's own scope, where row-level security decides. What the rows grant is for Corral
-- to believe: it checks the caller's seal before it looks at the credential.
CREATE FUNCTION corral.read_access(are_sessions boolean[], lookups bytea[], credential_ids uuid[])
RETURNS TABLE ("position" integer, seal bytea, user_id uuid, caller_id uuid, email text, created_at timestamptz,
               scopes text[], rested interval, expires_at timestamptz, admin_seal bytea,
               credential_id uuid, credential_type text, account_id text, is_active boolean, revision integer,
               api_key_sealed bytea, secret_key_sealed bytea, last_used_at timestamptz, refused_at timestamptz)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
DECLARE
    caller record;
BEGIN
    FOR i IN 1 .. cardinality(lookups) LOOP
        IF are_sessions[i] THEN
            SELECT s.seal, s.user_id, s.id, s.email, s.created_at, NULL::text[] AS scopes, s.rested, s.expires_at,
                   s.admin_seal
            INTO caller FROM corral.find_sessions(ARRAY[lookups[i]]) s;
        ELSE
            SELECT t.seal, t.user_id, t.id, t.email, NULL::timestamptz AS created_at, t.scopes, t.rested, t.expires_at,
                   NULL::bytea AS admin_seal
            INTO caller FROM corral.find_api_tokens(ARRAY[lookups[i]]) t;
        END IF;
        CONTINUE WHEN NOT FOUND;
        PERFORM set_config('app.current_user_id', caller.user_id::text, true);
        RETURN QUERY
            SELECT i, caller.seal, caller.user_id, caller.id, caller.email, caller.created_at, caller.scopes,
                   caller.rested, caller.expires_at, caller.admin_seal, c.id, c.credential_type, c.account_id,
                   c.is_active, c.revision, c.api_key_sealed, c.secret_key_sealed, c.last_used_at, c.refused_at
            FROM (SELECT) one
            LEFT JOIN corral.credentials c ON c.user_id = caller.user_id AND c.id = credential_ids[i];
    END LOOP;
    PERFORM set_config('app.current_user_id', '', true);
END
$$;

REVOKE ALL ON FUNCTION corral.read_access(boolean[], bytea[], uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION corral.read_access(boolean[], bytea[], uuid[]) TO corral_app;
