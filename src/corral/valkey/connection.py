"""One connection to the primary, over which the commands of all callers go, and its answers come back in their order.

No caller ever touches the connection: it gets a future. So a caller that gives up cancels only its future, and the
answer that it no longer waits for is read and dropped. With a connection for each command in flight, as the library's
own clients have it, every caller that gives up costs a connection, and a mistake gives its answer to somebody else.

The library opens the connection, reads and writes it. Only this file imports it.
"""

import asyncio
import math
import os
import socket
import ssl
from asyncio import Future
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Final, cast, final

from redis import exceptions as errors
from redis.asyncio.connection import Connection, SSLConnection

from corral.valkey.address import HostAndPort, Login, ValkeyAddress
from corral.valkey.errors import NoSuchScript, ValkeyAway, ValkeyRefused

OLDEST_REDIS: Final = 7
MOST_WAITING: Final = 10_000  # commands whose answers are not there yet
# After the limit, the event loop goes on for so many passes: if this process was busy, the answer is there and unread.
_PASSES: Final = 6
_NO_REQUEST: Final = Context()  # a timer is for all requests, and its log line has the id of none

CANNOT: Final = "Valkey at CORRAL_VALKEY_URL cannot be used:"
PERMISSIONS: Final = "its user may not do what Corral does: give it the ACL of docs/deploy.md"
_LOGIN: Final = "it refuses the user or the password of CORRAL_VALKEY_URL"
# What an answer says about the server and not about the command. All that follow would be refused, too.
_OF_THE_SERVER: Final = {
    "OOM": "it is full: see its maxmemory and maxmemory-policy",
    "READONLY": "it is a replica: a fail-over is under way, or CORRAL_VALKEY_URL names a replica",
    "LOADING": "it is loading its data",
    "MASTERDOWN": "it is a replica that has lost its primary",
    "CLUSTERDOWN": "its cluster is down",
    "MISCONF": "it refuses writes because it cannot save to disk",
    "NOREPLICAS": "it refuses writes because too few replicas are connected",
    "BUSY": "it is busy with another client's script",
    "UNKILLABLE": "it is busy with another client's script",
    "NOAUTH": _LOGIN,
    "WRONGPASS": _LOGIN,
    "NOPERM": PERMISSIONS,
}
_NO_PERMISSION_IN_A_SCRIPT: Final = ("user executing the script can't", "ACL failure in script")  # Redis, Valkey


@dataclass(slots=True)
class _Waiting:
    answer: "Future[Any]"
    sent_at: float = math.inf  # on the loop's clock; until then, it is this process that is late


@final
class Pipeline:
    """An open connection. `lost` is called once, with what happened; after that every command raises ValkeyAway.

    An answer that is not there `limit_seconds` after its command was sent makes the connection a lost one.
    """

    def __init__(
        self,
        connection: Connection,
        place: HostAndPort,
        *,
        limit_seconds: float,
        lost: Callable[["Pipeline", str], object],
    ) -> None:
        self.place = place
        self._connection = connection
        self.limit_seconds = limit_seconds
        self._tell_lost = lost
        self.reason: str | None = None  # why it is lost
        self._outgoing: list[tuple[_Waiting, Sequence[bytes | str | int]]] = []
        self._has_outgoing = asyncio.Event()
        self._waiting: deque[_Waiting] = deque()
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle | None = None
        self._passes = 0
        self._tasks = [self._loop.create_task(self._send()), self._loop.create_task(self._receive())]

    def ask(self, *command: bytes | str | int) -> "Future[Any]":
        """Returns the answer as a future. Raises ValkeyAway, and so may the future, or NoSuchScript."""
        if self.reason is not None:
            raise ValkeyAway(self.reason)
        if len(self._waiting) >= MOST_WAITING:
            raise ValkeyAway("too many of its answers are outstanding")
        answer: Future[Any] = self._loop.create_future()
        waiting = _Waiting(answer)
        self._waiting.append(waiting)
        self._outgoing.append((waiting, command))
        self._has_outgoing.set()
        if self._timer is None:
            self._look_at(self._loop.time() + self.limit_seconds)
        return answer

    def hasten(self, limit_seconds: float) -> None:
        """Changes the limit, while nothing is asked."""
        self.limit_seconds = limit_seconds
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def lose(self, reason: str) -> None:
        """Gives the connection up. Those who wait get ValkeyAway."""
        if self.reason is not None:
            return
        self.reason = reason
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        for waiting in self._waiting:
            _fail(waiting.answer, ValkeyAway(reason))
        self._waiting.clear()
        self._outgoing.clear()
        self._tell_lost(self, reason)

    async def close(self) -> None:
        self.lose("Corral is stopping")
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await _close(self._connection)

    async def _send(self) -> None:
        """All that was asked for in one pass of the event loop goes out in one write."""
        try:
            while True:
                await self._has_outgoing.wait()
                self._has_outgoing.clear()
                outgoing, self._outgoing = self._outgoing, []
                now = self._loop.time()
                for waiting, _ in outgoing:
                    waiting.sent_at = now
                commands = self._connection.pack_commands(command for _, command in outgoing)
                await self._connection.send_packed_command(commands, check_health=False)
        except (errors.RedisError, OSError) as error:
            self.lose(reason_of(error))

    async def _receive(self) -> None:
        try:
            while True:
                try:
                    answer = await _next_answer(self._connection, disconnect_on_error=False)
                except errors.ResponseError as error:
                    self._refuse(error)
                else:
                    waiting = self._waiting.popleft()
                    if not waiting.answer.done():
                        waiting.answer.set_result(answer)
        except (errors.RedisError, OSError) as error:
            self.lose(reason_of(error))
        except IndexError:
            self.lose("it sent an answer that nobody asked for")
        finally:
            await _close(self._connection)

    def _refuse(self, error: errors.ResponseError) -> None:
        waiting = self._waiting.popleft()
        if isinstance(error, errors.NoScriptError):
            _fail(waiting.answer, NoSuchScript())
            return
        reason = _OF_THE_SERVER.get(_code(error))
        _fail(waiting.answer, ValkeyAway(reason or f"it refused a command ({_code(error)})"))
        if reason is not None:
            self.lose(reason)

    def _look_at(self, due: float) -> None:
        self._timer = self._loop.call_at(due, self._look, context=_NO_REQUEST)

    def _look(self) -> None:
        """One timer for all commands. The oldest is the first to be late."""
        self._timer = None
        if not self._waiting:
            return
        now, late_at = self._loop.time(), self._waiting[0].sent_at + self.limit_seconds
        if now < late_at:
            self._passes = 0
            self._look_at(min(late_at, now + self.limit_seconds))
        elif self._passes < _PASSES:
            self._passes += 1
            self._timer = self._loop.call_soon(self._look, context=_NO_REQUEST)
        else:
            self.lose(f"it did not answer within {self.limit_seconds * 1000:.0f} ms")


async def open_pipeline(
    address: ValkeyAddress,
    tls: ssl.SSLContext | None,
    *,
    limit_seconds: float,
    lost: Callable[[Pipeline, str], object],
) -> Pipeline:
    """Connects to the primary. Raises ValkeyAway, and ValkeyRefused for what no waiting changes."""
    place = await find_primary(address, tls)
    connection = _connection(place, address.login, tls, database=address.database)
    try:
        await connection.connect()
        refuse_unfit(await _asked(connection, "HELLO"))
    except (errors.RedisError, OSError) as error:
        await _close(connection)
        raise _opening_failed(error) from None
    except BaseException:
        await _close(connection)
        raise
    return Pipeline(connection, place, limit_seconds=limit_seconds, lost=lost)


async def find_primary(address: ValkeyAddress, tls: ssl.SSLContext | None) -> HostAndPort:
    """Asks one Sentinel after the other. Raises ValkeyAway and ValkeyRefused."""
    if address.service is None:
        return address.places[0]
    reasons: list[str] = []
    for place in address.places:
        connection = _connection(place, address.sentinel_login, tls, database=0)
        try:
            async with asyncio.timeout(1):
                await connection.connect()
                found = await _asked(connection, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", address.service)
        except (errors.RedisError, OSError, TimeoutError) as error:
            reasons.append(f"no Sentinel answers ({reason_of(error)})")
            continue
        finally:
            await _close(connection)
        if isinstance(found, list):
            host, port = cast("list[bytes]", found)
            return HostAndPort(host.decode(), int(port))
        reasons.append("its Sentinels watch no service of the name in CORRAL_VALKEY_URL")
    raise ValkeyAway(reasons[-1])


def tls_context(address: ValkeyAddress) -> ssl.SSLContext | None:
    """Trusts only `cafile`, if there is one. Reads files. Raises ValkeyRefused."""
    if not address.has_tls:
        return None
    try:
        return ssl.create_default_context(cafile=None if address.cafile is None else str(address.cafile))
    except OSError as error:
        reason = error.strerror if error.errno else "it has no certificate"
        raise ValkeyRefused(f"the cafile of CORRAL_VALKEY_URL cannot be read ({reason}): {address.cafile}") from None


def reason_of(error: BaseException) -> str:
    """Returns what is wrong with the server, in words without anything that it sent."""
    if isinstance(error, errors.AuthenticationError):
        return _LOGIN
    if isinstance(error, errors.BusyLoadingError):
        return _OF_THE_SERVER["LOADING"]
    if isinstance(error, TimeoutError | errors.TimeoutError):
        return "it does not answer"
    if isinstance(error, errors.ResponseError):
        return _OF_THE_SERVER.get(_code(error), f"it refused a command ({_code(error)})")
    return _reason_of_loss(error.__context__ if isinstance(error, errors.ConnectionError) else error)


def _reason_of_loss(cause: BaseException | None) -> str:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted ({cause.verify_message})"
    if isinstance(cause, ssl.SSLError):
        return "it does not speak TLS there, or not a version that Corral accepts"
    if isinstance(cause, socket.gaierror):
        return "no connection to it (its host name is not known)"
    if isinstance(cause, OSError):
        return f"no connection to it ({os.strerror(cause.errno).lower()})" if cause.errno else "no connection to it"
    return "the connection to it was lost"


def _connection(place: HostAndPort, login: Login, tls: ssl.SSLContext | None, *, database: int) -> Connection:
    """Of the library's own conveniences none is used: no retries, no health checks, no telling of its own version."""
    options: dict[str, Any] = {
        "host": place.host,
        "port": place.port,
        "db": database,
        "username": login.user,
        "password": None if login.password is None else login.password.reveal(),
        "protocol": 2,
        "driver_info": None,
        "socket_timeout": None,
        "socket_connect_timeout": None,
    }
    if tls is None:
        return Connection(**options)
    connection = SSLConnection(**options)
    connection.ssl_context.context = tls
    return connection


async def _asked(connection: Connection, *command: str) -> object:
    await connection.send_command(*command, check_health=False)
    return await _next_answer(connection)


async def _next_answer(connection: Connection, *, disconnect_on_error: bool = True) -> Any:  # noqa: ANN401
    """Waits without end: who asks has the limit."""
    return await connection.read_response(timeout=math.inf, disconnect_on_error=disconnect_on_error)  # pyright: ignore[reportUnknownVariableType]


async def _close(connection: Connection) -> None:
    with suppress(errors.RedisError, OSError):
        await connection.disconnect(nowait=True)


def _opening_failed(error: errors.RedisError | OSError) -> ValkeyAway | ValkeyRefused:
    """What an operator has to change is told as such, so that it stops the start."""
    reason = reason_of(error)
    if isinstance(error, errors.ResponseError) and "HELLO" in str(error).upper():
        return _too_old()
    is_configured_wrongly = isinstance(error, errors.AuthenticationError) or (
        isinstance(error, errors.ConnectionError) and isinstance(error.__context__, ssl.SSLError)
    )
    return ValkeyRefused(f"{CANNOT} {reason}") if is_configured_wrongly else ValkeyAway(reason)


def _facts(hello: object) -> dict[str, str]:
    listed = cast("list[object]", hello)
    pairs = zip(listed[::2], listed[1::2], strict=False)
    return {_text(name): _text(value) for name, value in pairs if isinstance(value, bytes)}


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def refuse_unfit(hello: object) -> None:
    """Raises ValkeyRefused for a server that says in its HELLO what Corral can't use."""
    facts = _facts(hello)
    version, _, _ = facts.get("version", "0").partition(".")
    if facts.get("mode") == "sentinel":
        raise ValkeyRefused(
            "CORRAL_VALKEY_URL names a Sentinel: write valkey+sentinel://HOST:26379/SERVICE, or name its primary"
        )
    if facts.get("mode") == "cluster":
        raise ValkeyRefused(
            "CORRAL_VALKEY_URL names a cluster, which Corral does not use: name a server with cluster mode disabled"
        )
    if facts.get("server", "redis") == "redis" and version.isdecimal() and int(version) < OLDEST_REDIS:
        raise _too_old()


def _too_old() -> ValkeyRefused:
    return ValkeyRefused(
        f"CORRAL_VALKEY_URL names a server that is too old: Corral needs Valkey or Redis {OLDEST_REDIS}"
    )


def _code(error: errors.RedisError) -> str:
    """Returns the first word of the answer, such as WRONGTYPE; the library takes some of them away."""
    if any(words in str(error) for words in _NO_PERMISSION_IN_A_SCRIPT):
        return "NOPERM"
    code = getattr(error, "status_code", None) or str(error).partition(" ")[0]
    return code if isinstance(code, str) and code.isascii() and code.isupper() and code.isalpha() else "ERR"


def _fail(answer: "Future[Any]", error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
