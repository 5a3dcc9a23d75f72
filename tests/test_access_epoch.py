"""What lets somebody in is bound to the epoch of access, and nothing else is."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from corral.audit.chain import EMPTY, extend_chain, follows
from corral.grants.access import Access
from corral.grants.key_pairs import is_sealed, seal_secret, secret_lookup, secret_lookups
from corral.grants.models import GrantTerms, SecretRow
from corral.identity import tokens
from corral.identity.links import link_lookups, refuse_unbelievable
from corral.identity.problems import LinkRefused
from corral.identity.queries import LinkRow, SessionRow, TokenRow
from corral.secret import Secret
from corral.vault import Keyring, Vault, make_keyring
from tests.audit.trails import paused

NOW = datetime(2026, 11, 24, 14, 30, tzinfo=UTC)
USER, ROW = UUID(int=1), UUID(int=2)


@pytest.fixture(scope="module")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> Keyring:
    return make_keyring(tmp_path_factory.mktemp("epoch") / "keyring.json")


@pytest.fixture(params=["never restored", "restored"])
def before(request: pytest.FixtureRequest, keyring: Keyring) -> Vault:
    return Vault(keyring, None if request.param == "never restored" else uuid4())


@pytest.fixture
def after(keyring: Keyring) -> Vault:
    return Vault(keyring, uuid4())


def test_a_session_is_neither_found_nor_believed_in_another_epoch(before: Vault, after: Vault) -> None:
    value = tokens.new_token()
    lookup, seal = tokens.session_verifiers(before, value, user_id=USER, session_id=ROW, expires_at=NOW)
    row = SessionRow(lookup, seal, USER, ROW, "alice@corral.example", NOW, timedelta(), NOW, None)
    assert lookup in tokens.session_lookups(before, value)
    assert tokens.is_sealed_session(before, value, row)
    assert lookup not in tokens.session_lookups(after, value)
    assert not tokens.is_sealed_session(after, value, row)


def test_an_api_token_is_neither_found_nor_believed_in_another_epoch(before: Vault, after: Vault) -> None:
    token = tokens.new_token()
    lookup, seal = tokens.token_verifiers(before, token, user_id=USER, token_id=ROW, scopes=["*"], expires_at=None)
    row = TokenRow(lookup, seal, USER, ROW, "alice@corral.example", ["*"], None, None)
    assert lookup in tokens.token_lookups(before, token)
    assert tokens.is_sealed_token(before, token, row)
    assert lookup not in tokens.token_lookups(after, token)
    assert not tokens.is_sealed_token(after, token, row)


def test_a_link_is_neither_found_nor_believed_in_another_epoch(before: Vault, after: Vault) -> None:
    code = tokens.new_token()
    seal = before.access.verifier("link_row", code, "sign_in", str(USER), tokens.sealed_moment(NOW))
    row = LinkRow(seal, USER, "alice@corral.example", NOW, 0)
    assert refuse_unbelievable(before, "sign_in", Secret(code), row) is row
    assert not set(link_lookups(before, "sign_in", Secret(code))) & set(link_lookups(after, "sign_in", Secret(code)))
    with pytest.raises(LinkRefused):
        refuse_unbelievable(after, "sign_in", Secret(code), row)


def test_a_grant_is_neither_found_nor_believed_in_another_epoch(before: Vault, after: Vault) -> None:
    terms = GrantTerms(USER, ROW, UUID(int=3), "CG" + "A" * 24, Access.TRADE, None, NOW, NOW)
    row = seal_secret(before, terms, SecretRow(secret_lookup(before, "secret"), b"", None))
    assert row.lookup in secret_lookups(before, "secret")
    assert is_sealed(before, terms, row)
    assert row.lookup not in secret_lookups(after, "secret")
    assert not is_sealed(after, terms, row)


def test_administrators_audit_trails_and_sealed_values_outlive_an_epoch(before: Vault, after: Vault) -> None:
    assert tokens.is_administrator(after, USER, tokens.admin_seal(before, USER))
    (link,) = extend_chain(before, USER, EMPTY, NOW, paused())
    assert follows(after, USER, b"", link)


def test_a_vault_without_an_epoch_makes_the_keyed_hashes_of_the_releases_before(keyring: Keyring) -> None:
    vault = Vault(keyring)
    assert vault.access.verifier("session", "value") == vault.verifier("session", "value")
    assert Vault(keyring, uuid4()).access.verifier("session", "value") != vault.verifier("session", "value")
