"""Every dangerous call has known places, which are counted, so that a new one is a decision and not an accident."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = {
    path.relative_to(ROOT / "src/corral").as_posix(): path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "src/corral").rglob("*.py"))
}

# Where a secret's text comes out, and why. Alpaca's keys leave by one function, in alpaca/requests.py.
REVEALED = {
    "alpaca/requests.py": 2,  # onto a request to Alpaca: key id and secret
    "alpaca/trade_updates.py": 2,  # into the first message of a WebSocket to Alpaca
    "commands/demo.py": 2,  # links and tokens: what these commands exist to print
    "commands/people.py": 1,
    "commands/start_block.py": 1,
    "commands/tokens.py": 1,
    "credentials/reader.py": 1,  # whether an answer repeats a key
    "credentials/validation.py": 2,  # a key ID's prefix and ends
    "gateway/app.py": 1,  # what a program presents, to look its grant up by a keyed hash
    "alpaca/shared_answers.py": 2,  # into the keyed hash that names what was asked with this pair
    "alpaca/leaks.py": 1,  # whether an answer repeats a key, however it is written
    "gateway/trade_stream.py": 1,  # a grant's secret, to its look-up
    "grants/routes.py": 2,  # a new grant's secret: to its owner, once
    "identity/links.py": 4,  # a code out of its link, its form and its keyed hashes
    "identity/passwords.py": 4,  # into argon2; a hash out of its seal
    "identity/routes.py": 1,  # a new token: to its owner, once
    "identity/session_cookie.py": 1,  # a new cookie: to its owner, once
    "people/invitations.py": 3,  # a code's form and its keyed hashes
    "people/routes.py": 1,  # a new invitation's link: to the administrator who asked for it, once
    "web/pages/grants.py": 2,  # a new grant's secret, by itself and in what to paste: to its owner, once
    "web/pages/members.py": 1,  # the same link, on a page
    "web/pages/settings.py": 1,  # a new token, on a page: to its owner, once
    "vault/seal.py": 1,  # into the seal
    "valkey/connection.py": 1,  # the password of the user at the server
    "valkey/sealed.py": 1,  # a value that was just opened
}


def places(pattern: str) -> Counter[str]:
    found = Counter({path: len(re.findall(pattern, text)) for path, text in SOURCES.items()})
    return +found


def test_secrets_are_revealed_only_in_known_places() -> None:
    assert places(r"\.reveal\(\)") == REVEALED


@pytest.mark.parametrize(
    ("danger", "doors"),
    [
        # The command line reads it, and takes passwords out; a snippet for a client that has no other setting names it.
        (r"\bos\.environ\b", {"cli.py", "hardening.py", "web/view/snippets.py"}),
        (r"\.primitive\(", {"vault/keyring.py"}),  # Tink's keys, opened
        (r"import pickle|\beval\(|\bexec\(", set[str]()),
        (r"\bClientSession\(", {"alpaca/transport.py"}),
        (r"create_pool\(|asyncpg\.connect\(", {"database/connection.py", "database/hosts.py"}),
        (r"set_config\('app\.current_user_id'", {"database/connection.py", "database/selfcheck.py"}),
        (r"datetime\.utcnow|verify=False|ssl=False", set[str]()),
    ],
)
def test_each_dangerous_call_has_its_known_places(danger: str, doors: set[str]) -> None:
    assert places(danger).keys() == doors


def test_the_stream_sends_by_no_wall_clock() -> None:
    wall_clocks = places(r"datetime\.now\(|\btime\.time(_ns)?\(|\btime\.localtime\(")
    # The log of orders keeps for people when Corral heard something. An event's id says when its numbers began: where
    # that was a wrong time, the state after a gap has the orders that it has for everybody else.
    assert {path for path in wall_clocks if path.startswith("stream/")} == {"stream/order_log.py", "stream/events.py"}
    assert not {path for path in wall_clocks if path.startswith(("identity/", "people/"))}  # the database's decides
    assert "alpaca/requests.py" in wall_clocks  # and such a clock would be found


def test_no_tracked_file_names_a_registry_or_carries_a_lock_with_one() -> None:
    for requirements in (ROOT / "requirements").rglob("*.txt"):
        text = requirements.read_text(encoding="utf-8")
        assert "://" not in text
        assert "--hash=sha256:" in text
    assert not (ROOT / "uv.lock").exists()
    scripts = (ROOT / "requirements" / "package-lock.json").read_text(encoding="utf-8")
    clients = (ROOT / "requirements" / "clients" / "package-lock.json").read_text(encoding="utf-8")
    assert "://" not in scripts + clients
    assert scripts.count('"integrity": "sha512-') == scripts.count('"node_modules/') == 2
    assert clients.count('"integrity": "sha512-') == len(re.findall(r'^    "node_modules/', clients, re.MULTILINE)) > 3
