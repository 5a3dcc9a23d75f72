"""Passwords: not easy to guess, argon2id, off the event loop, sealed at rest."""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from corral.errors import Overloaded
from corral.identity.problems import PasswordTooWeak
from corral.logs import get_logger
from corral.secret import Secret
from corral.vault import Context, SealBroken, Vault

Answer = TypeVar("Answer")

SHORTEST, LONGEST = 12, 1024

# Only this many characters are rated: the effort grows with the cube of the length, and faster for text made to be
# expensive. A password whose beginning is hard to guess is hard to guess.
_JUDGED: Final = 32
_LEAST_SCORE: Final = 3  # more than 10^8 guesses
_EASY_TO_GUESS: Final = (
    "This password is easy to guess: it is common, or made of a common word, a pattern or your email address. "
    "Choose another, for example four or more unrelated words."
)

# 64 MiB and three passes, above OWASP's minimum (Password Storage Cheat Sheet); one lane, so that a
# verification uses one core and not four.
_HASHER = PasswordHasher(time_cost=3, memory_cost=65536, parallelism=1)

# 64 MiB of memory for each worker: many requests at once are queued, and even more are rejected.
_WORKERS = 2
_LONGEST_QUEUE = 32
_threads = ThreadPoolExecutor(_WORKERS, thread_name_prefix="argon2")
_under_way: set[asyncio.Future[Any]] = set()

# Verified instead of a missing hash, so that an unknown email takes as long as a known one.
_NOBODY = "$argon2id$v=19$m=65536,t=3,p=1$L36o+r8brTKpt51oCNL+Ow$gYo1m+4+qHLDE9hP3tAhhJdXjO0UbqJTl5ap9iERCQQ"

_log = get_logger()


async def refuse_weak(password: Secret, email: str) -> None:
    """NIST SP 800-63B: length matters, not composition, and common passwords are rejected. Rated exactly as typed.

    Raises PasswordTooWeak.
    """
    text = password.reveal()
    if not SHORTEST <= len(text) <= LONGEST or len(set(text)) == 1 or text.casefold() == email:
        raise PasswordTooWeak
    if await _in_thread(_score, text[:_JUDGED], email) < _LEAST_SCORE:
        raise PasswordTooWeak(_EASY_TO_GUESS)


def _score(text: str, email: str) -> int:
    """Returns 0 to 4: how many guesses it withstands, from less than 10^3 to more than 10^10 (zxcvbn)."""
    known = [email, email.rpartition("@")[0], *re.split(r"[^\w]+", email), "corral", "alpaca"]
    from zxcvbn import zxcvbn  # noqa: PLC0415 - its lists of words take 0.2 s to load, and most processes judge none

    return zxcvbn(text, user_inputs=known)["score"]


async def hash_password(vault: Vault, user_id: UUID, password: Secret) -> bytes:
    """Returns the argon2id hash, sealed for this user: in another user's row it does not open."""
    hashed = await _in_thread(_HASHER.hash, password.reveal())
    return vault.seal(_context(user_id), Secret(hashed))


async def is_password_of(vault: Vault, user_id: UUID | None, sealed: bytes | None, password: Secret) -> bool:
    """Takes the same time for users that do not exist or have no password."""
    hashed = _open(vault, user_id, sealed)
    matches = await _in_thread(_verify, hashed or _NOBODY, password.reveal())
    return matches and hashed is not None


def _open(vault: Vault, user_id: UUID | None, sealed: bytes | None) -> str | None:
    if user_id is None or sealed is None:
        return None
    try:
        return vault.open(_context(user_id), sealed).reveal()
    except SealBroken:
        _log.error("password_seal_broken", user_id=str(user_id))
        return None


def _verify(hashed: str, password: str) -> bool:
    try:
        return _HASHER.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


async def _in_thread(work: Callable[..., Answer], *arguments: str) -> Answer:
    if len(_under_way) >= _WORKERS + _LONGEST_QUEUE:
        raise Overloaded(retry_after=2)
    task = asyncio.get_running_loop().run_in_executor(_threads, work, *arguments)
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)
    return await task


def _context(user_id: UUID) -> Context:
    return Context("password", (str(user_id),))
