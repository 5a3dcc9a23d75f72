"""What the embedded cluster is told: how it is made, its roles, its settings, and who may connect."""

from pathlib import Path

INITDB_OPTIONS = (
    "--username=postgres",
    "--encoding=UTF8",
    "--locale-provider=builtin",  # the same order on every system, whatever its C library
    "--builtin-locale=C.UTF-8",
    "--locale=C",
    "--data-checksums",
    "--wal-segsize=4",  # MB; a small database needs no more at a time, and starts sooner
    "--auth-local=peer",
    "--auth-host=reject",
    "--no-instructions",
)

# One statement a line, as single-user mode reads them. Run in template1, so that the new database has a schema
# "public" that is its owner's alone. NOLOGIN for postgres is a second lock on a door that pg_hba.conf has closed.
_PLAIN = "LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION NOINHERIT"
BOOTSTRAP = f"""\
REVOKE ALL ON SCHEMA public FROM PUBLIC
CREATE ROLE corral_owner {_PLAIN} CONNECTION LIMIT 10
CREATE ROLE corral_app {_PLAIN} CONNECTION LIMIT 50
ALTER ROLE corral_app SET statement_timeout = '5s'
ALTER ROLE corral_app SET lock_timeout = '2s'
ALTER ROLE corral_app SET idle_in_transaction_session_timeout = '10s'
CREATE DATABASE corral OWNER corral_owner
REVOKE ALL ON DATABASE corral FROM PUBLIC
GRANT CONNECT ON DATABASE corral TO corral_owner, corral_app
ALTER ROLE postgres NOLOGIN
"""

_POSTGRESQL_CONF = """\
# Written anew by Corral at every start.
cluster_name = {cluster_name}
listen_addresses = ''
port = {port}
unix_socket_directories = {socket_dir}
unix_socket_permissions = 0700

max_connections = 60
superuser_reserved_connections = 0
shared_buffers = 64MB
maintenance_work_mem = 32MB
effective_cache_size = 256MB
max_parallel_workers_per_gather = 0
io_method = sync
jit = off
wal_level = minimal
max_wal_senders = 0
max_logical_replication_workers = 0
min_wal_size = 32MB
max_wal_size = 256MB

timezone = 'UTC'
log_timezone = 'UTC'

# No text of a statement, no parameter and no row gets into the log; that is why errors of
# sessions, which quote values, are left to the client that receives them.
log_min_messages = log
log_min_error_statement = panic
log_error_verbosity = terse
log_statement = none
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
log_checkpoints = off
log_line_prefix = '%m [%p] '
logging_collector = on
log_directory = 'log'
log_filename = 'postgres-%a.log'
log_file_mode = 0600
log_rotation_age = 1d
log_rotation_size = 0
log_truncate_on_rotation = on
"""

_PG_HBA_CONF = """\
# Written anew by Corral at every start. Whatever is not named here is refused.
local corral corral_owner,corral_app peer map=corral
"""

_PG_IDENT_CONF = """\
# Written anew by Corral at every start: the one user of this system who may connect.
corral "{client}" corral_owner
corral "{client}" corral_app
"""


def settings(socket_dir: Path, port: int, client: str, cluster_name: str) -> dict[str, str]:
    """The cluster's own files by name; `client` is the user of the system who may connect."""
    listed = '"' + str(socket_dir).replace('"', '""') + '"'  # an entry of a list that commas separate
    values = {"cluster_name": _quoted(cluster_name), "port": port, "socket_dir": _quoted(listed)}
    return {
        "postgresql.conf": _POSTGRESQL_CONF.format(**values),
        "pg_hba.conf": _PG_HBA_CONF,
        "pg_ident.conf": _PG_IDENT_CONF.format(client=client),
    }


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
