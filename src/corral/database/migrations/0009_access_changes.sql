-- Whose access was changed, and by which transaction, so that what outlives a request asks only about those

-- One row for each transaction and each user whose rights it has touched. Rows are only ever added, so that writing one
-- waits for nobody, and none refers to a user, so that a deleted one leaves a row, too. The user id of zeros stands for
-- everybody. Nothing here is part of a backup: the numbers of transactions mean nothing in another cluster.
CREATE TABLE corral.access_changes (
    xid xid8 NOT NULL,
    user_id uuid NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (xid, user_id)
);
ALTER TABLE corral.access_changes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY owner ON corral.access_changes TO CURRENT_USER USING (true);

-- Of any table with a user_id, or users itself. Its arguments are the columns that carry no right; a column that is not
-- named does. Nothing else may decide that a change is of no importance, and least of all the statement that makes it.
CREATE FUNCTION corral.note_access_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
AS $$
DECLARE
    without_right text[] := coalesce(TG_ARGV, '{}');
    former jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) - without_right END;
    latter jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) - without_right END;
BEGIN
    IF former IS DISTINCT FROM latter THEN
        INSERT INTO corral.access_changes (xid, user_id, changed_at)
        SELECT DISTINCT pg_current_xact_id(), coalesce(r.changed ->> 'user_id', r.changed ->> 'id')::uuid,
            clock_timestamp()
        FROM unnest(ARRAY[former, latter]) r (changed) WHERE r.changed IS NOT NULL
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION corral.note_access_change_of_everybody() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
AS $$
BEGIN
    INSERT INTO corral.access_changes (xid, user_id, changed_at)
    VALUES (pg_current_xact_id(), '00000000-0000-0000-0000-000000000000', clock_timestamp()) ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;

CREATE TRIGGER access_changed AFTER INSERT OR UPDATE OR DELETE ON corral.users
    FOR EACH ROW EXECUTE FUNCTION corral.note_access_change();
CREATE TRIGGER access_changed AFTER INSERT OR UPDATE OR DELETE ON corral.sessions
    FOR EACH ROW EXECUTE FUNCTION corral.note_access_change('last_seen_at');
CREATE TRIGGER access_changed AFTER INSERT OR UPDATE OR DELETE ON corral.api_tokens
    FOR EACH ROW EXECUTE FUNCTION corral.note_access_change('last_used_at');
CREATE TRIGGER access_changed AFTER INSERT OR UPDATE OR DELETE ON corral.credentials
    FOR EACH ROW EXECUTE FUNCTION corral.note_access_change(
        'nickname', 'account_number', 'account_status', 'key_hint', 'last_validated_at', 'checked_at', 'last_used_at',
        'updated_at', 'group_name', 'is_pinned', 'list_position');
CREATE TRIGGER access_changed AFTER INSERT OR UPDATE OR DELETE ON corral.grants
    FOR EACH ROW EXECUTE FUNCTION corral.note_access_change('name', 'last_used_at');
CREATE TRIGGER access_changed AFTER INSERT OR UPDATE OR DELETE ON corral.grant_secrets
    FOR EACH ROW EXECUTE FUNCTION corral.note_access_change();

-- A restored backup, and tables that are emptied as a whole.
CREATE TRIGGER access_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON corral.instance
    FOR EACH STATEMENT EXECUTE FUNCTION corral.note_access_change_of_everybody();
CREATE TRIGGER access_emptied AFTER TRUNCATE ON corral.users
    FOR EACH STATEMENT EXECUTE FUNCTION corral.note_access_change_of_everybody();
CREATE TRIGGER access_emptied AFTER TRUNCATE ON corral.sessions
    FOR EACH STATEMENT EXECUTE FUNCTION corral.note_access_change_of_everybody();
CREATE TRIGGER access_emptied AFTER TRUNCATE ON corral.api_tokens
    FOR EACH STATEMENT EXECUTE FUNCTION corral.note_access_change_of_everybody();
CREATE TRIGGER access_emptied AFTER TRUNCATE ON corral.credentials
    FOR EACH STATEMENT EXECUTE FUNCTION corral.note_access_change_of_everybody();
CREATE TRIGGER access_emptied AFTER TRUNCATE ON corral.grants
    FOR EACH STATEMENT EXECUTE FUNCTION corral.note_access_change_of_everybody();
CREATE TRIGGER access_emptied AFTER TRUNCATE ON corral.grant_secrets
    FOR EACH STATEMENT EXECUTE FUNCTION corral.note_access_change_of_everybody();

-- For nobody in particular -------------------------------------------------------------------------

-- Whose access has changed since the look that returned `seen`: by transactions that its snapshot did not see, however
-- long they had been open then, and that the snapshot of this statement sees. STABLE, so that rows and snapshot are of
-- one moment. `changed` is NULL if everybody is to be asked about: without `seen`, if transactions are numbered as if
-- later ones had not been, or if more was written than is worth telling apart.
CREATE FUNCTION corral.access_changes_since(seen pg_snapshot, most integer)
RETURNS TABLE (moment timestamptz, server timestamptz, is_standby boolean, "snapshot" pg_snapshot, changed uuid[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = '' ROWS 1
AS $$
    SELECT clock_timestamp(), pg_postmaster_start_time(), pg_is_in_recovery(), pg_current_snapshot(),
        CASE WHEN pg_snapshot_xmax(pg_current_snapshot()) >= pg_snapshot_xmax(seen) THEN (
            SELECT CASE WHEN count(*) <= most AND count(*) FILTER (
                    WHERE r.is_new AND r.user_id = '00000000-0000-0000-0000-000000000000') = 0
                THEN coalesce(array_agg(DISTINCT r.user_id) FILTER (WHERE r.is_new), '{}') END
            FROM (
                SELECT c.user_id, NOT pg_visible_in_snapshot(c.xid, seen) AS is_new
                FROM corral.access_changes c WHERE c.xid >= pg_snapshot_xmin(seen) LIMIT most + 1
            ) r
        ) END
$$;

-- Deletes what every process has asked about since: `settled` and `server` are from a look of a minute ago or more.
-- What its snapshot saw is gone, and never by age alone: a transaction that was open for longer commits rows that are
-- old already. Rows of another cluster, which came here by a copy of its tables, are numbered beyond what there is yet.
CREATE FUNCTION corral.prune_access_changes(settled pg_snapshot, server timestamptz) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = ''
AS $$
    DELETE FROM corral.access_changes c
    WHERE c.changed_at < clock_timestamp() - interval '1 minute' AND (
        c.xid >= pg_snapshot_xmax(pg_current_snapshot())
        OR (pg_visible_in_snapshot(c.xid, settled) AND server = pg_postmaster_start_time()))
$$;

REVOKE ALL ON FUNCTION corral.note_access_change(), corral.note_access_change_of_everybody(),
    corral.access_changes_since(pg_snapshot, integer), corral.prune_access_changes(pg_snapshot, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION corral.access_changes_since(pg_snapshot, integer),
    corral.prune_access_changes(pg_snapshot, timestamptz) TO corral_app;
