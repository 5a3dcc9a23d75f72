"""The schema as text, one line per fact, and which lines a later migration may add beside a running older release.

The serving role and the owner read the same text, so what a migration adds can be written down by the one and compared
by the other.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final, LiteralString

from corral.database.connection import Connection

EXPECTED_SCHEMA = Path(__file__).with_name("expected_schema.txt")

# The owner's name is left out, because it may differ. The columns of the list of migrations are the migrator's own.
_SCHEMA: Final[LiteralString] = """
WITH relations AS (
    SELECT c.oid, c.relname, c.relkind, c.relrowsecurity, c.relforcerowsecurity
    FROM pg_class c WHERE c.relnamespace = 'corral'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
)
SELECT format('relation %s kind=%s rls=%s forced=%s', relname, relkind, relrowsecurity, relforcerowsecurity)
FROM relations
UNION ALL
SELECT format('column %s of %s type=%s null=%s generated=%s default=%s', a.attname, r.relname,
    format_type(a.atttypid, a.atttypmod), NOT a.attnotnull, concat(a.attidentity, a.attgenerated),
    pg_get_expr(d.adbin, d.adrelid))
FROM pg_attribute a JOIN relations r ON r.oid = a.attrelid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped AND r.relname <> 'migrations'
UNION ALL
SELECT format('policy %s on %s for=%s permissive=%s to=%s using=%s check=%s', p.polname, r.relname, p.polcmd,
    p.polpermissive,
    (SELECT string_agg(CASE WHEN member = 0 THEN 'PUBLIC'
                            WHEN member = c.relowner THEN 'owner' ELSE pg_get_userbyid(member)::text END, ','
                       ORDER BY member)
     FROM unnest(p.polroles) member),
    pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
FROM pg_policy p JOIN relations r ON r.oid = p.polrelid JOIN pg_class c ON c.oid = r.oid
UNION ALL
SELECT format('trigger %s on %s%s as=%s', t.tgname, r.relname, CASE WHEN t.tgenabled <> 'O' THEN ' is switched off' END,
    pg_get_triggerdef(t.oid))
FROM pg_trigger t JOIN relations r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal
UNION ALL
SELECT format('rule %s on %s', w.rulename, r.relname)
FROM pg_rewrite w JOIN relations r ON r.oid = w.ev_class WHERE w.rulename <> '_RETURN'
UNION ALL
SELECT format('function %s(%s) definer=%s volatility=%s leakproof=%s settings=%s body=%s',
    p.proname, pg_get_function_identity_arguments(p.oid), p.prosecdef, p.provolatile, p.proleakproof,
    array_to_string(p.proconfig, ','), md5(p.prosrc))
FROM pg_proc p WHERE p.pronamespace = 'corral'::regnamespace
UNION ALL
SELECT format('grant %s on %s to=%s', g.privilege_type, r.relname, g.grantee)
FROM information_schema.role_table_grants g JOIN relations r ON r.relname = g.table_name
WHERE g.table_schema = 'corral' AND g.grantee IN ('corral_app', 'PUBLIC')
UNION ALL
SELECT format('grant %s (%s) on %s to=%s', g.privilege_type, g.column_name, r.relname, g.grantee)
FROM information_schema.column_privileges g JOIN relations r ON r.relname = g.table_name
WHERE g.table_schema = 'corral' AND g.grantee IN ('corral_app', 'PUBLIC') AND g.privilege_type <> 'SELECT'
"""

_NAME: Final = "[a-z_][a-z0-9_]*"
_RELATION: Final = re.compile(f"relation ({_NAME}) ")
_COLUMN: Final = re.compile(f"column ({_NAME}) of ({_NAME}) ")
_FUNCTION: Final = re.compile(rf"function ({_NAME})\(")

# What a new table and a new function must look like. Nothing else may be added to either.
_ISOLATED_RELATION: Final = re.compile(f"relation {_NAME} kind=r rls=t forced=t")
_OF_A_NEW_RELATION: Final = re.compile(
    f"column {_NAME} of (?P<column_of>{_NAME}) .*"
    f"|policy {_NAME} on (?P<policy_on>{_NAME}) for=[*] permissive=t (?:to=owner using=true check="
    r"|to=corral_app using=\(user_id = \( SELECT corral\.current_user_id\(\) AS current_user_id\)\) check=)"
    f"|trigger {_NAME} on (?P<trigger_on>{_NAME}) as=.*"
    f"|grant (?:SELECT|INSERT|UPDATE|DELETE) on (?P<grant_on>{_NAME}) to=corral_app"
    rf"|grant (?:INSERT|UPDATE) \({_NAME}\) on (?P<column_grant_on>{_NAME}) to=corral_app"
)
_BOUND_FUNCTION: Final = re.compile(
    rf'function {_NAME}\(.*\) definer=[tf] volatility=[sv] leakproof=f settings=search_path="" body=[0-9a-f]{{32}}'
)

# To a table that was there, only a column that an older release need not know: it writes rows without it.
_OPTIONAL_COLUMN: Final = re.compile(
    rf"column {_NAME} of {_NAME} type=.+ (?:null=t generated= default=.*|null=f generated= default=.+)"
)
_COLUMN_GRANT: Final = re.compile(rf"grant (?:INSERT|UPDATE) \(({_NAME})\) on ({_NAME}) to=corral_app")


async def schema_lines(connection: Connection) -> list[str]:
    """Returns the schema with what the serving role may do in it, sorted like `expected_schema.txt`."""
    return sorted(row[0] for row in await connection.fetch(_SCHEMA))


def expected_lines() -> set[str]:
    """Returns what the migrations of this release make."""
    return set(EXPECTED_SCHEMA.read_text(encoding="utf-8").splitlines())


def relations_in(lines: Iterable[str]) -> set[str]:
    return {found[1] for line in lines if (found := _RELATION.match(line))}


def unsafe_additions(added: Iterable[str], before: Iterable[str]) -> list[str]:
    """Returns those of `added` that could let somebody around row-level security, or disturb a release without them.

    What is not known to be safe is unsafe.
    """
    added, before = sorted(added), set(before)
    old_relations = relations_in(before)
    relations = {relation for relation in relations_in(added) if relation not in old_relations}
    columns = {found.groups() for line in added if (found := _COLUMN.match(line))}
    columns -= {found.groups() for line in before if (found := _COLUMN.match(line))}
    functions = {found[1] for line in before if (found := _FUNCTION.match(line))}

    def is_safe(line: str) -> bool:
        if found := _RELATION.match(line):
            return found[1] in relations and _ISOLATED_RELATION.fullmatch(line) is not None
        if found := _FUNCTION.match(line):  # another one of the same name could be called in its place
            return found[1] not in functions and _BOUND_FUNCTION.fullmatch(line) is not None
        if (found := _OF_A_NEW_RELATION.fullmatch(line)) and relations & set(found.groupdict().values()):
            return True
        if _OPTIONAL_COLUMN.fullmatch(line) and (found := _COLUMN.match(line)):
            return found.groups() in columns
        return (found := _COLUMN_GRANT.fullmatch(line)) is not None and found.groups() in columns

    return [line for line in added if not is_safe(line)]
