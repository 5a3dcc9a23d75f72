-- What a later release may add: every kind of column, reference, trigger and rule that has to survive a backup.

SET LOCAL lock_timeout = '5s';

CREATE TABLE corral.made_up (
    user_id uuid NOT NULL REFERENCES corral.users (id) DEFERRABLE INITIALLY DEFERRED,
    number bigint GENERATED ALWAYS AS IDENTITY,
    "order" serial,
    parent bigint,
    odd text,
    doubled bigint GENERATED ALWAYS AS (2 * length(odd)) STORED,
    blob bytea,
    tags text[],
    network cidr,
    span interval,
    ratio double precision,
    moment timestamptz,
    document jsonb,
    PRIMARY KEY (user_id, number),
    FOREIGN KEY (user_id, parent) REFERENCES corral.made_up (user_id, number)
);
CREATE TABLE corral.a_child (
    user_id uuid NOT NULL,
    number bigint NOT NULL,
    FOREIGN KEY (user_id, number) REFERENCES corral.made_up (user_id, number)
);
ALTER TABLE corral.made_up ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE corral.a_child ENABLE ROW LEVEL SECURITY;
CREATE POLICY owner ON corral.made_up TO CURRENT_USER USING (true);
CREATE FUNCTION corral.refuse() RETURNS trigger LANGUAGE plpgsql SET search_path = ''
AS $$ BEGIN RAISE EXCEPTION 'never twice'; END $$;
REVOKE ALL ON FUNCTION corral.refuse() FROM PUBLIC;
CREATE VIEW corral.a_view AS SELECT number FROM corral.made_up;
