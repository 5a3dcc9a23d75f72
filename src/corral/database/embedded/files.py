"""The embedded cluster's configuration: its roles, its settings and who may connect; and its data folder with locks.

The locks let several Corral processes share a data folder. They are flocks: the kernel releases them when their
process ends for any reason. Their files stay, because removing one would let two processes lock two files of the same
name.
"""

import fcntl
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from corral.database.embedded.errors import DataFolderInUse, EmbeddedPostgresError

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
# "public" that is its owner's alone. NOLOGIN for postgres is a second safeguard besides pg_hba.conf.
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
    """Returns the cluster's configuration files by name; `client` is the system user who may connect."""
    listed = '"' + str(socket_dir).replace('"', '""') + '"'  # an entry of a list that commas separate
    values = {"cluster_name": _quoted(cluster_name), "port": port, "socket_dir": _quoted(listed)}
    return {
        "postgresql.conf": _POSTGRESQL_CONF.format(**values),
        "pg_hba.conf": _PG_HBA_CONF,
        "pg_ident.conf": _PG_IDENT_CONF.format(client=client),
    }


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


_PATIENCE = 60.0  # seconds; more than a start with crash recovery or a stop should take


def opened_data_folder(data_dir: Path) -> Path:
    """Returns the folder's absolute path. It is created if missing, and otherwise left unchanged.

    As root, it is created with mode 0711, because the database's user needs access to its own folder in it.
    """
    folder = data_dir.resolve()
    for part in (*reversed(folder.parents), folder):
        try:
            part.mkdir(mode=0o700)
        except FileExistsError:
            continue
        part.chmod(0o711 if os.geteuid() == 0 else 0o700)
    return folder


def folder_refusal(data_dir: Path, error: OSError) -> EmbeddedPostgresError:
    way_out = "."
    if isinstance(error, PermissionError):  # such as a volume that was made for another user
        way_out = f": it has to belong to the user that runs Corral, which is {os.geteuid()}."
    return EmbeddedPostgresError(f"{data_dir} cannot be used ({error}){way_out}")


@contextmanager
def exclusive_serve_lock(data_dir: Path) -> Generator[int]:
    """The lock of `corral serve`: at most one on a data folder. Does not wait, but raises `DataFolderInUse`.

    Yields its descriptor. A process that inherits it keeps the lock if this one is killed.
    """
    try:
        lock = FolderLock(opened_data_folder(data_dir) / "serve.lock")
    except OSError as error:
        raise folder_refusal(data_dir, error) from error
    with lock:
        if not lock.try_exclusive():
            holder = lock.note()
            raise DataFolderInUse(
                f"Another corral serve{f' (process {holder})' if holder else ''} is running on {data_dir}:"
                " stop it first, or use another --data-dir."
            )
        leave_note(lock.descriptor, str(os.getpid()))
        yield lock.descriptor


def leave_note(descriptor: int, text: str) -> None:
    """In a lock's file: which process to look for."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, text.encode(), 0)


class FolderLock:
    """One lock file, open as long as this context manager."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)

    @property
    def descriptor(self) -> int:
        return self._file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def try_exclusive(self) -> bool:
        """If it returns False, a shared lock of this object is lost."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def wait_exclusive(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not self.try_exclusive():
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"Another Corral process has been starting or stopping the database for over {_PATIENCE:.0f} s"
                    f" (it holds {self._path}): check its output, stop it and try again."
                )
            time.sleep(0.02)

    def share(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_SH)

    def note(self) -> str:
        return os.pread(self._file, 32, 0).decode(errors="replace").strip()

    def close(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_UN)  # explicitly: a process forked a moment ago may still hold a copy
        os.close(self._file)
