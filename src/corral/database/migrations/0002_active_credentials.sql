-- Which credentials of many users are switched on, for those who follow them live
-- depends: 0001_people_and_credentials

-- migrate: apply

SET LOCAL lock_timeout = '5s';

-- Asked twice a second for everybody who listens, so just what tells whether anything changed. Each user's
-- rows are read under that user's own scope, as by corral.read_credentials.
CREATE FUNCTION corral.read_active_credentials(user_ids uuid[])
RETURNS TABLE (user_id uuid, id uuid, revision integer)
LANGUAGE plpgsql VOLATILE SECURITY INVOKER SET search_path = ''
AS $$
BEGIN
    FOR i IN 1 .. cardinality(user_ids) LOOP
        PERFORM set_config('app.current_user_id', user_ids[i]::text, true);
        RETURN QUERY
            SELECT c.user_id, c.id, c.revision
            FROM corral.credentials c
            WHERE c.user_id = user_ids[i] AND c.is_active;
    END LOOP;
    PERFORM set_config('app.current_user_id', '', true);
END
$$;

REVOKE ALL ON FUNCTION corral.read_active_credentials(uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION corral.read_active_credentials(uuid[]) TO corral_app;

-- migrate: rollback

DROP FUNCTION corral.read_active_credentials(uuid[]);
