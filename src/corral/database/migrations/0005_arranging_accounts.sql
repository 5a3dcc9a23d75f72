-- How people arrange their accounts: order, groups and pins, and the view of the home page

-- None of these makes a kept answer of Alpaca unusable, so none of them raises the revision.
ALTER TABLE corral.credentials
    ADD COLUMN group_name text CHECK (length(group_name) BETWEEN 1 AND 60),
    ADD COLUMN is_pinned boolean NOT NULL DEFAULT false,
    -- NULL: after those that were moved, in the order in which they were added.
    ADD COLUMN list_position integer;
GRANT UPDATE (group_name, is_pinned, list_position) ON corral.credentials TO corral_app;

CREATE TABLE corral.home_views (
    user_id uuid PRIMARY KEY REFERENCES corral.users (id) ON DELETE CASCADE,
    -- NULL: cards for a few accounts, a table for many.
    layout text CHECK (layout IN ('cards', 'table')),
    sort_by text NOT NULL CHECK (length(sort_by) <= 20),
    is_descending boolean NOT NULL,
    group_by text NOT NULL CHECK (length(group_by) <= 20),
    -- Whose equity is shown: live or paper, and perhaps of one group.
    scope text CHECK (length(scope) <= 80),
    has_shortcuts boolean NOT NULL
);
ALTER TABLE corral.home_views ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON corral.home_views TO corral_app USING (user_id = (SELECT corral.current_user_id()));
CREATE POLICY owner ON corral.home_views TO CURRENT_USER USING (true);
GRANT SELECT, INSERT, UPDATE (layout, sort_by, is_descending, group_by, scope, has_shortcuts) ON corral.home_views
    TO corral_app;
