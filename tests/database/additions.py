"""Judges whether a migration only adds: it is run on a real PostgreSQL, the catalog is compared, and it is undone.

Nothing that was there may be changed, and to a table that was there only a column may be added that older releases need
not know. Nor may it read or write the rows of such a table, because everybody else waits meanwhile.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, LiteralString, TypeAlias

from asyncpg import Record

from corral.database.connection import Connection
from corral.database.schema_text import schema_lines, unsafe_additions

# What names a row, for each catalog.
_CATALOGS: Final[Mapping[LiteralString, tuple[LiteralString, ...]]] = {
    "pg_class": ("oid",), "pg_attrdef": ("oid",), "pg_constraint": ("oid",), "pg_policy": ("oid",), "pg_proc": ("oid",),
    "pg_trigger": ("oid",), "pg_rewrite": ("oid",), "pg_type": ("oid",), "pg_enum": ("oid",), "pg_operator": ("oid",),
    "pg_cast": ("oid",), "pg_collation": ("oid",), "pg_statistic_ext": ("oid",), "pg_publication": ("oid",),
    "pg_attribute": ("attrelid", "attnum"), "pg_index": ("indexrelid",), "pg_sequence": ("seqrelid",),
    "pg_inherits": ("inhrelid", "inhseqno"),
}  # fmt: skip
# Of these, a migration could change what came with the server, too.
_WHOLE_CATALOGS: Final[Mapping[LiteralString, tuple[LiteralString, ...]]] = {
    "pg_namespace": ("oid",), "pg_extension": ("oid",), "pg_event_trigger": ("oid",), "pg_foreign_server": ("oid",),
    "pg_default_acl": ("oid",), "pg_roles": ("oid",), "pg_auth_members": ("roleid", "member", "grantor"),
    "pg_db_role_setting": ("setdatabase", "setrole"), "pg_largeobject_metadata": ("oid",),
}  # fmt: skip
_FIRST_OWN_OID: Final[LiteralString] = "16384"
# Counters and flags that follow from an addition: another column, a reference to the table, a place for long values.
_FOLLOWS: Final = {
    *("relpages", "reltuples", "relallvisible", "relallfrozen", "relfrozenxid", "relminmxid"),
    *("relnatts", "relchecks", "relhastriggers", "reltoastrelid"),
}
_ALLOWED_NEW: Final = {
    *("pg_class", "pg_attrdef", "pg_constraint", "pg_policy", "pg_proc", "pg_trigger", "pg_type", "pg_attribute"),
    *("pg_index", "pg_sequence"),
}
# Of which relation a row is.
_RELATION: Final = {
    "pg_attribute": "attrelid", "pg_attrdef": "adrelid", "pg_constraint": "conrelid", "pg_policy": "polrelid",
    "pg_trigger": "tgrelid", "pg_index": "indrelid",
}  # fmt: skip

_TOUCHED: Final[LiteralString] = """
SELECT relid, relname, seq_scan + coalesce(idx_scan, 0) + n_tup_ins + n_tup_upd + n_tup_del AS touched
FROM pg_stat_xact_all_tables WHERE schemaname = 'corral'
"""

Key: TypeAlias = tuple[str, *tuple[int | str, ...]]
Rows: TypeAlias = dict[Key, dict[str, Any]]


async def what_else_it_does(connection: Connection, sql: str) -> list[str]:
    """Returns in words what the migration does beside adding, as the owner on the schema before it; empty for nothing.

    What is in `sql` is undone.
    """
    transaction = connection.transaction()
    await transaction.start()
    try:
        before, lines, touched = (
            await _catalog(connection),
            set(await schema_lines(connection)),
            await _touched(connection),
        )
        await connection.execute(sql)
        used = await _touched(connection)
        after, lines_after = await _catalog(connection), set(await schema_lines(connection))
    finally:
        await transaction.rollback()
    found = [f"changed or dropped: {_named(key, before)}" for key, row in before.items() if after.get(key) != row]
    new = {key: row for key, row in after.items() if key not in before}
    found += [problem for key, row in new.items() if (problem := _problem(key, row, before, new))]
    found += [f"reads or writes rows of {name}" for (oid, name), count in used.items()
              if ("pg_class", oid) in before and count > touched.get((oid, name), 0)]  # fmt: skip
    return found + [f"unsafe: {line}" for line in unsafe_additions(lines_after - lines, lines)]


async def _catalog(connection: Connection) -> Rows:
    rows: Rows = {}
    for catalog, names in (_CATALOGS | _WHOLE_CATALOGS).items():
        own = "" if catalog in _WHOLE_CATALOGS else f"WHERE c.{names[0]} >= {_FIRST_OWN_OID}"
        for (text,) in await connection.fetch(f"SELECT to_jsonb(c) FROM pg_catalog.{catalog} c {own}"):
            row = {name: value for name, value in json.loads(text).items() if name not in _FOLLOWS}
            rows[catalog, *(row[name] for name in names)] = row
    return rows


async def _touched(connection: Connection) -> dict[tuple[str, str], int]:
    def of(row: Record) -> tuple[tuple[str, str], int]:
        return (str(row["relid"]), row["relname"]), row["touched"]

    return dict(map(of, await connection.fetch(_TOUCHED)))


def _named(key: Key, rows: Rows) -> str:
    row = rows[key]
    name = next((str(row[column]) for column in row if column.endswith("name") and row[column]), str(key[1:]))
    relation = rows.get(("pg_class", str(row.get(_RELATION.get(key[0], ""), ""))), {}).get("relname")
    return f"{key[0]} {name}" + (f" of {relation}" if relation else "")


def _problem(key: Key, row: dict[str, Any], before: Rows, new: Rows) -> str | None:
    """Returns in words why this may not be added."""
    catalog, all_rows = key[0], before | new
    named = _named(key, all_rows)
    if catalog not in _ALLOWED_NEW:
        return f"adds {named}"
    if catalog == "pg_proc":
        public = row["proacl"] is None or any(acl.startswith("=") for acl in row["proacl"])
        return f"lets PUBLIC execute {named}" if public else None
    refers_to_old = catalog == "pg_constraint" and ("pg_class", row["confrelid"]) in before
    if refers_to_old and row["confdeltype"] not in "cnd":  # neither cascades nor empties the reference
        return f"{named} keeps older releases from deleting what it refers to"
    if catalog not in _RELATION or ("pg_class", row[_RELATION[catalog]]) not in before:
        return None
    return _problem_of_old_relation(catalog, row, named, before)


def _problem_of_old_relation(catalog: str, row: dict[str, Any], named: str, before: Rows) -> str | None:
    if catalog == "pg_attribute":
        return f"adds {named}, which has to be given" if row["attnotnull"] and not row["atthasdef"] else None
    if catalog == "pg_attrdef":  # of a column that was there, it would have changed pg_attribute
        return None
    if catalog == "pg_trigger" and row["tgisinternal"]:  # of a new table's reference
        return None
    numbers = row["conkey"] or [0] if catalog == "pg_constraint" and row["contype"] in "cn" else [0]
    is_of_new_columns = numbers != [0] and all(
        ("pg_attribute", row["conrelid"], number) not in before for number in numbers
    )
    return None if is_of_new_columns else f"adds {named}"
