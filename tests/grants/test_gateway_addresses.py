"""Where programs are told to go with a grant, and which addresses an operator may choose for that."""

import pytest
from pydantic import ValidationError

from corral.grants.addresses import gateway_addresses
from corral.settings import Settings
from tests.access import browser, sign_in_by_link
from tests.conftest import StartService
from tests.grants.conftest import GrantOwner

_PUBLIC = "https://corral.example.com"


async def test_a_gateway_of_its_own_is_at_the_root(carol: GrantOwner, start_service: StartService) -> None:
    account = await carol.account()
    async with start_service(gateway_url="http://127.0.0.1:9") as service:
        cookie = await sign_in_by_link(service, carol.user_id)
        async with browser(service.url, cookie) as page:
            carol.page = page
            made = await carol.grant(account)
    assert [made[name] for name in ("base_url", "data_url", "stream_url")] == [
        *("http://127.0.0.1:9",) * 2,
        "ws://127.0.0.1:9",
    ]


def test_over_tls_the_stream_is_too() -> None:
    assert gateway_addresses(_PUBLIC, None).stream_url == "wss://corral.example.com/alpaca/stream"
    assert gateway_addresses(_PUBLIC, "https://gateway.example").stream_url == "wss://gateway.example"


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://gateway.example.com", "https://gateway.example.com"),
        ("https://gateway.example.com/", "https://gateway.example.com"),
        ("https://corral.example.com:8443", "https://corral.example.com:8443"),
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("http://[::1]:9000", "http://[::1]:9000"),
    ],
)
def test_the_gateways_address_is_an_origin_of_its_own(url: str, kept: str) -> None:
    assert Settings(public_url=_PUBLIC, gateway_url=url).gateway_url == kept


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        *((f"{_PUBLIC}{more}", "must differ") for more in ("", "/", ":443")),
        ("https://CORRAL.example.com", "must differ"),
        ("https://gateway.example.com/alpaca", "without a path"),
        ("https://gateway.example.com?x=1", "without a path"),
        ("https://gateway.example.com#x", "without a path"),
        ("https://alice:secret@gateway.example.com", "without a path"),
        ("wss://gateway.example.com", "expected http"),
        ("gateway.example.com", "expected http"),
        ("http://gateway.example.com", "plain http works on this machine only"),
    ],
)
def test_any_other_address_is_refused(url: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Settings(public_url=_PUBLIC, gateway_url=url)


def test_the_gateway_is_not_where_the_pages_are_by_default() -> None:
    with pytest.raises(ValidationError, match="must differ"):
        Settings(port=8002, gateway_url="http://127.0.0.1:8002")
