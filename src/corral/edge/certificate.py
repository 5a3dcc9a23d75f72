"""The certificate for TLS in this process: read, tried in a handshake with itself, and read again when it changes."""

import asyncio
import os
import re
import ssl
import stat
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from corral.errors import OperatorError
from corral.logs import get_logger

LOOK_SECONDS: Final = 5.0
# Certbot and people replace one file after the other. A pair that does not fit for longer than this is reported.
PATIENCE_SECONDS: Final = 30.0
_LARGEST_BYTES: Final = 1024 * 1024
_FIRST_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_NO_CHECK_TIME: Final = 0x200000  # X509_V_FLAG_NO_CHECK_TIME of OpenSSL, for which Python has no name
_LARGEST_EARLINESS: Final = timedelta(days=14)


class CertificateUnusable(OperatorError):  # noqa: N818 - a condition
    """The two files cannot be used for TLS. One line: what is wrong, and what to do."""


class _NeedsPassphrase(Exception):  # noqa: N818 - a condition
    pass


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """`certificate` holds the server's certificate, followed by its intermediates; both are PEM."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with the key that fits. `context` is for new connections."""

    context: ssl.SSLContext
    pem: str
    names: tuple[str, ...]
    begins_at: datetime
    expires_at: datetime

    def problem(self, host: str, now: datetime) -> str | None:
        """Returns why clients refuse the certificate for `host`, or soon will. Who signed it is not looked at."""
        if now < self.begins_at:
            return f"it is valid from {_moment(self.begins_at)} on: check this machine's clock"
        if now >= self.expires_at:
            return f"it expired on {_moment(self.expires_at)}: renew it"
        if not _is_for(self, host):
            return f"it is for {', '.join(self.names) or 'no name'} and not for {host}, so clients will refuse it"
        if self.expires_at - now < min((self.expires_at - self.begins_at) / 10, _LARGEST_EARLINESS):
            return f"it expires on {_moment(self.expires_at)}: renew it"
        return None

    def validity(self, now: datetime) -> str:
        """Returns such as "valid until 2027-02-27 10:00 UTC, 89 days left"."""
        left = self.expires_at - now
        in_words = f"{left.days} days" if left >= timedelta(days=2) else f"{left // timedelta(hours=1)} hours"
        return f"valid until {_moment(self.expires_at)}, {in_words} left"


def load_certificate(files: TlsFiles) -> Certificate:
    """Reads both files. An expired certificate is returned, too. Raises CertificateUnusable.

    It blocks for as long as the file system does.
    """
    pem = _FIRST_CERTIFICATE.search(_read("certificate", files.certificate))
    if pem is None:
        raise CertificateUnusable(
            f"the TLS certificate {files.certificate} holds no certificate: expected a PEM file with BEGIN CERTIFICATE"
        )
    if "PRIVATE KEY-----" not in _read("key", files.key):
        raise CertificateUnusable(
            f"the TLS key {files.key} holds no private key: expected a PEM file with BEGIN PRIVATE KEY"
        )
    context = _new_context(files)
    try:
        seen = _seen_by_a_client(context, pem[0], host=None)
    except ssl.SSLError as error:
        reason = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else error.reason
        raise CertificateUnusable(
            f"the TLS certificate {files.certificate} would be refused by every client ({reason}): issue another one"
        ) from None
    names = tuple(name for kind, name in seen.get("subjectAltName", ()) if kind in {"DNS", "IP Address"})
    return Certificate(context, pem[0], names, _time(seen["notBefore"]), _time(seen["notAfter"]))


def _read(what: str, path: Path) -> str:
    try:
        # Checked before it is opened, because opening a pipe waits for a writer.
        _refuse_unfit(what, path, path.stat())
        with path.open("rb") as file:
            return file.read(_LARGEST_BYTES).decode("ascii", "replace")
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise CertificateUnusable(
            f"the TLS {what} {path} cannot be read ({reason}): check the path, its owner and its permissions"
        ) from None


def _refuse_unfit(what: str, path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise CertificateUnusable(f"the TLS {what} {path} is {kind}: name the PEM file itself")
    # A group may read it: that is how a service gets at a key of root's, as with Debian's group ssl-cert.
    if what == "key" and status.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise CertificateUnusable(f"the TLS key {path} is open to other users; run: chmod o-rwx,g-w {path}")


def _new_context(files: TlsFiles) -> ssl.SSLContext:
    """Never changes a context that is in use: with half of a pair it would serve nobody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # and not create_default_context, which heeds SSLKEYLOGFILE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(files.certificate, files.key, password=_refuse_passphrase)
    except _NeedsPassphrase:
        raise CertificateUnusable(
            f"the TLS key {files.key} is encrypted, and Corral takes no passphrase: decrypt it with "
            f"`openssl pkey -in {files.key} -out FILE`"
        ) from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise CertificateUnusable(
                f"the TLS key {files.key} does not belong to the certificate {files.certificate}: "
                "take both from the same place"
            ) from None
        reason = (error.reason or "unreadable").lower().replace("_", " ")
        raise CertificateUnusable(
            f"the TLS certificate {files.certificate} and key {files.key} cannot be used ({reason}): issue them anew"
        ) from None
    except OSError as error:  # replaced in this moment
        raise CertificateUnusable(f"the TLS files cannot be read ({error.strerror}): check their paths") from None
    return context


def _refuse_passphrase() -> bytes:
    """Called for an encrypted key. Without it, OpenSSL would ask at the terminal."""
    raise _NeedsPassphrase


def _is_for(certificate: Certificate, host: str) -> bool:
    try:
        _seen_by_a_client(certificate.context, certificate.pem, host=host)
    except ssl.SSLCertVerificationError:
        return False
    return True


def _seen_by_a_client(server: ssl.SSLContext, pem: str, *, host: str | None) -> dict[str, Any]:
    """Returns what a client that trusts this certificate sees of it, in a handshake in memory. Raises ssl.SSLError.

    With `host` it also has to be for that name or address.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = host is not None
    client.hostname_checks_common_name = False  # as in browsers
    client.verify_flags = ssl.VerifyFlags(client.verify_flags | ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME)
    client.load_verify_locations(cadata=pem)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname=host)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    for end in (near, far, near, far):
        with suppress(ssl.SSLWantReadError):
            end.do_handshake()
    return near.getpeercert() or {}


def _time(text: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


class ServedCertificate:
    """The certificate that new connections get; `watch` replaces it when its files have changed.

    `public_url` is Corral's address as browsers see it.
    """

    def __init__(
        self,
        files: TlsFiles,
        public_url: str,
        *,
        look_seconds: float = LOOK_SECONDS,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """Raises CertificateUnusable."""
        self.public_url = public_url
        self._files = files
        self._look_seconds = look_seconds
        self._patience_seconds = patience_seconds
        self._loaded_from = _identity(files)
        self.current = load_certificate(files)
        self._log = get_logger()

    @property
    def problem(self) -> str | None:
        return self.current.problem(urlsplit(self.public_url).hostname or "", datetime.now(UTC))

    async def watch(self) -> None:
        """Looks every five seconds, in a thread: by name, because certbot and Kubernetes replace links."""
        clock = asyncio.get_running_loop().time
        unfit_since: float | None = None
        is_reported, expired = False, None
        while True:
            if self.current.expires_at <= datetime.now(UTC) and expired is not self.current:
                expired = self.current
                self._log.error("tls_certificate_expired", expired_at=_moment(expired.expires_at))
            await asyncio.sleep(self._look_seconds)
            found = await asyncio.to_thread(_identity, self._files)
            if found == self._loaded_from:
                unfit_since, is_reported = None, False
                continue
            try:
                self.current = await asyncio.to_thread(self._load_better)
            except CertificateUnusable as unusable:
                unfit_since = clock() if unfit_since is None else unfit_since
                if not is_reported and clock() - unfit_since >= self._patience_seconds:
                    is_reported = True
                    self._log.error("tls_certificate_unusable", reason=str(unusable))
            else:
                self._loaded_from = found  # from before it was read: a change since then is found next time
                unfit_since, is_reported = None, False
                self._log.info("tls_certificate_loaded", expires_at=_moment(self.current.expires_at))

    def _load_better(self) -> Certificate:
        fresh, now = load_certificate(self._files), datetime.now(UTC)
        if fresh.expires_at <= now < self.current.expires_at:
            raise CertificateUnusable(
                f"the TLS certificate {self._files.certificate} expired on {_moment(fresh.expires_at)}: "
                "renew it (the one before it is still in use)"
            )
        return fresh


def _identity(files: TlsFiles) -> list[tuple[int, ...] | None]:
    """Returns what differs as soon as another file, or another content, is behind the two names."""
    found: list[tuple[int, ...] | None] = []
    for path in (files.certificate, files.key):
        try:
            status = path.stat()
        except OSError:
            found.append(None)
        else:
            found.append((status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size))
    return found
