"""Which operation a target asks for, and what is sent in its place."""

import re
from contextlib import suppress
from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.gateway.operations import OPERATIONS, Operation, OperationKind
from corral.gateway.refusals import Reason, Refused
from corral.gateway.targets import MOST_TARGET_BYTES, Match, match
from tests.gateway.lenient_url import lenient_operation
from tests.gateway.recorded import CLIENTS, recorded

_ORDER = "/v2/orders/904837e3-3b76-47ec-b432-046db621571b"
_ALLOWED = [operation for operation in OPERATIONS if operation.kind is not OperationKind.NEVER]


def _refused(method: str, target: bytes) -> Refused:
    with pytest.raises(Refused) as refused:
        match(method, target)
    return refused.value


@pytest.mark.parametrize(
    ("target", "sent"),
    [
        ("/v2/account", "/v2/account"),
        ("//v2/account", "/v2/account"),
        ("///v2/positions/AAPL", "/v2/positions/AAPL"),
        ("/v2/%61ccount", "/v2/account"),
        ("/v2/orders%3Aby_client_order_id?client_order_id=x", "/v2/orders:by_client_order_id?client_order_id=x"),
        ("/v2/positions/BTC%2FUSD", "/v2/positions/BTC%2FUSD"),
        ("/v2/positions/BTC%2fUSD", "/v2/positions/BTC%2FUSD"),
        ("/v2/assets/BRK.B", "/v2/assets/BRK.B"),
        (_ORDER.upper().replace("/V2/ORDERS", "/v2/orders"), _ORDER.upper().replace("/V2/ORDERS", "/v2/orders")),
        ("/v2/account?", "/v2/account"),
        ("/v2/orders?&status=all&&", "/v2/orders?status=all"),
        ("/v2/orders?nested", "/v2/orders?nested="),
        ("/v2/orders?after=2026-11-24T10:00:00%2B00:00", "/v2/orders?after=2026-11-24T10:00:00%2B00:00"),
        ("/v2/orders?after=2026-11-24T10:00:00+00:00", "/v2/orders?after=2026-11-24T10:00:00%2000:00"),
        ("/v2/stocks/bars?symbols=AAPL,MSFT", "/v2/stocks/bars?symbols=AAPL,MSFT"),
        ("/v2/stocks/bars?symbols=AAPL%2CMSFT", "/v2/stocks/bars?symbols=AAPL,MSFT"),
        ("/v1beta3/crypto/us/bars?symbols=BTC/USD", "/v1beta3/crypto/us/bars?symbols=BTC%2FUSD"),
        ("/v2/stocks/bars?page_token=QUFQTHxN=%3D", "/v2/stocks/bars?page_token=QUFQTHxN%3D%3D"),
        ("/v2/orders?symbols=%2541", "/v2/orders?symbols=%2541"),
        ("/v2/orders?symbols=a;b", "/v2/orders?symbols=a%3Bb"),
        ("/v2/watchlists:by_name?name=Gr%C3%BCne%20Werte", "/v2/watchlists:by_name?name=Gr%C3%BCne%20Werte"),
        (
            "/v2/account/activities?activity_types=FILL&activity_types=DIV",
            "/v2/account/activities?activity_types=FILL&activity_types=DIV",
        ),
        (
            "/v1beta1/corporate-actions?symbols[]=AAPL&symbols[]=KO",
            "/v1beta1/corporate-actions?symbols%5B%5D=AAPL&symbols%5B%5D=KO",
        ),
        ("/v1beta1/screener/stocks/movers", "/v1beta1/screener/stocks/movers"),
        ("/v1beta1/screener/stocks/most-actives?top=3", "/v1beta1/screener/stocks/most-actives?top=3"),
    ],
)
def test_a_target_is_written_anew(target: str, sent: str) -> None:
    assert match("GET", target.encode()).target == sent


def test_what_is_matched_is_decoded_once() -> None:
    found = match("DELETE", b"/v2/positions/BTC%2FUSD?percentage=12.5")
    assert found == Match(
        next(known for known in OPERATIONS if known.name == "DELETE /v2/positions/{symbol_or_asset_id}"),
        {"symbol_or_asset_id": "BTC/USD"},
        (("percentage", "12.5"),),
        "/v2/positions/BTC%2FUSD?percentage=12.5",
    )


@pytest.mark.parametrize(
    "target",
    [
        *("", "@evil.example", "@evil.example/v2/account", "v2/account", "*", "?status=all", ":443/v2/account"),
        *("http://evil.example/v2/account", "HTTPS://evil.example", "\\\\evil.example\\v2\\account"),
        *(" /v2/account", "/v2/account ", "/v2/account#", "/v2/account#/../orders", "/v2\\account"),
        *("/v2/account\0", "/v2/account\r\nHost: evil.example", "/v2/acc\tount", "/v2/account\x7f", "/v2/account\x85"),
        *("/v2/ac%zzcount", "/v2/account%", "/v2/account%2", "/v2/%u0061ccount", "/v2/orders?status=%", "/v2/%ff"),
        *(
            "/v2/orders?status=a%00",
            "/v2/orders?status=a%0d%0aHost:x",
            "/v2/orders?st%00atus=a",
            "/v2/orders?status=%ff",
        ),
        *(
            "/v2/orders?status=%C3%28",
            "/v2/orders?=a",
            "/v2/orders?sta tus=a",
            "/v2/orders?{status}=a",
            "/v2/orders?%20=a",
        ),
    ],
)
def test_what_is_no_path_is_refused(target: str) -> None:
    assert _refused("GET", target.encode("latin-1")).reason is Reason.MALFORMED_TARGET


@pytest.mark.parametrize(
    "target",
    [
        *(
            "/",
            "//",
            "//evil.example",
            "//evil.example/v2/account",
            "/https://evil.example/v2/account",
            "/@evil/v2/account",
        ),
        *("/v2", "/v2/", "/v2/account/", "/v2//account", "/v2/./account", "/v2/../v2/account", "/v2/account/.."),
        *("/v2/account/%2e%2e/orders", "/v2/account%2factivities", "/v2%2faccount", "/v2/account%2f", "/%2fv2/account"),
        *(
            "/v2/%2561ccount",
            "/v2/account%253f",
            "/v2/account%3Fa=b",
            "/v2/account%23",
            "/v2/account%00",
            "/v2/account%0a",
        ),
        *(
            "/v2/account;jsessionid=1",
            "/v2;x/account",
            "/v2/account%3b",
            "/v2/account.json",
            "/v2/Account",
            "/V2/account",
        ),
        *("/v2/account%20", "/v2/account+", "/v2/accounts", "/v1/account", "/alpaca/v2/account", "/v2/stocks"),
        *(
            "/v2/positions/",
            "/v2/positions//",
            "/v2/positions/.",
            "/v2/positions/..",
            "/v2/positions/%2e",
            "/v2/positions/%2E%2E",
        ),
        *(
            "/v2/positions/.AAPL",
            "/v2/positions/AAPL/",
            "/v2/positions/%20",
            "/v2/positions/*",
            "/v2/positions/AAPL%00",
        ),
        *("/v2/positions/AAPL%2F", "/v2/positions/%2FAAPL", "/v2/positions/AAPL%2F..", "/v2/positions/..%2Forders"),
        *(
            "/v2/positions/BTC/USD",
            "/v2/positions/btc%2Fusd",
            "/v2/positions/BTC%2FUSD%2FEUR",
            "/v2/positions/BTC%252FUSD",
        ),
        *("/v2/positions/AAPL%5cUSD", "/v2/positions/AAPL,KO", "/v2/positions/AAPL;KO", "/v2/positions/%C3%84"),
        *("/v2/positions/AAPL%2Fexercise", f"/v2/positions/{'A' * 65}", "/v2/positions/{symbol_or_asset_id}"),
        *("/v2/orders/", "/v2/orders/BTC%2FUSD", "/v2/orders/904837e3%2F..", "/v2/orders/%2e%2e%2fpositions"),
        *("/v2/watchlists//AAPL", "/v2/stocks//bars", "/v1beta3/crypto/:loc/trades", "/v1beta1/logos/:symbol"),
        *("/v1/accounts", "/v2/events/trades/", "/v1/events/trades", "/v2/events/journals/status", "/oauth/token"),
    ],
)
def test_what_is_not_listed_is_refused(target: str) -> None:
    for method in ("GET", "DELETE"):
        assert _refused(method, target.encode()).reason is Reason.UNKNOWN_PATH


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "CONNECT", "TRACE", "get", "Get", "GET ", "PURGE", "", "POST"])
def test_another_method_is_refused_and_told_which_there_are(method: str) -> None:
    refused = _refused(method, b"/v2/positions/AAPL")
    assert (refused.reason, refused.allowed_methods) == (Reason.UNKNOWN_METHOD, ("DELETE", "GET"))


def test_operations_that_no_grant_allows_are_refused_in_a_sentence() -> None:
    for operation in OPERATIONS:
        if operation.kind is OperationKind.NEVER:
            refused = _refused(operation.method, _example(operation).encode())
            assert refused.reason is Reason.NOT_GRANTED
            assert refused.message.endswith(".")
    assert _refused("PUT", b"/v2/account/configurations").allowed_methods == ("GET",)


@pytest.mark.parametrize(
    "target",
    [
        *(
            "/v2/orders?status=all&status=open",
            "/v2/orders?status=all&%73tatus=open",
            "/v2/orders?status=all&Status=open",
        ),
        *("/v2/account/activities?page_size=1&page_size=2", "/v2/stocks/bars?symbols=AAPL&symbols=KO"),
        *("/v2/orders?symbols[]=AAPL&symbols[]=KO", "/v2/account/activities?activity_types=FILL&Activity_Types=DIV"),
    ],
)
def test_a_parameter_comes_twice_only_where_the_document_has_a_list(target: str) -> None:
    assert "twice" in _refused("GET", target.encode()).message


@pytest.mark.parametrize(
    ("target", "is_allowed"),
    [
        ("/v2/positions", True),
        ("/v2/positions?cancel_orders=true", True),
        ("/v2/positions?cancel_orders=True", True),
        ("/v2/positions?Cancel_Orders=true", False),
        ("/v2/positions?cancel_orders=1&cancel_orders=0", False),
        ("/v2/positions?cancel_orders=yes", False),
        ("/v2/positions?cancel_orders=", False),
        ("/v2/positions?percentage=50", False),
        ("/v2/positions/AAPL?qty=2.5", True),
        ("/v2/positions/AAPL?qty=0.000000001", True),
        ("/v2/positions/AAPL?qty=-1", False),
        ("/v2/positions/AAPL?qty=1e-07", True),
        ("/v2/positions/AAPL?qty=1e-100", False),
        ("/v2/positions/AAPL?qty=1e+3", False),
        ("/v2/positions/AAPL?qty=NaN", False),
        (f"/v2/positions/AAPL?qty={'9' * 5_000}", False),
        ("/v2/positions/AAPL?qty=1&side=buy", False),
        ("/v2/orders?status=open", False),
        (f"{_ORDER}?x=1", False),
    ],
)
def test_a_change_takes_only_the_parameters_that_it_has(target: str, *, is_allowed: bool) -> None:
    if is_allowed:
        assert match("DELETE", target.encode()).target == target
    else:
        assert _refused("DELETE", target.encode()).reason is Reason.MALFORMED_TARGET


def test_urls_may_be_long_but_not_endless() -> None:
    longest = "/v2/stocks/bars?symbols=".ljust(MOST_TARGET_BYTES, "A")
    assert match("GET", longest.encode()).target == longest
    assert _refused("GET", f"{longest}A".encode()).reason is Reason.TARGET_TOO_LONG
    assert _refused("GET", b"/v2/orders?" + b"a&" * 300).reason is Reason.TARGET_TOO_LONG
    slashes = b"/" * MOST_TARGET_BYTES
    assert _refused("GET", slashes).reason is _refused("GET", b"/v2" + slashes[:-3]).reason is Reason.UNKNOWN_PATH


def _example(operation: Operation) -> str:
    return re.sub(r"\{\w+\}", "A1", operation.path)


def test_every_listed_operation_is_found() -> None:
    for operation in _ALLOWED:
        found = match(operation.method, _example(operation).encode())
        assert found.operation is operation
        assert found.target == _example(operation)
        assert dict.fromkeys(re.findall(r"\{(\w+)\}", operation.path), "A1") == found.parameters


# Alpaca has no such paths either, or the client did not fill in a parameter.
_ALPACA_REFUSES_TOO = {
    ("PATCH", "/v2/watchlists/904837e3-3b76-47ec-b432-046db621571b"),
    ("GET", "/v2/wallets/BTC"),
    ("GET", "/v1beta1/stocks/snapshots"),
    ("GET", "/v1beta1/crypto/bars"),
    ("GET", "/v1beta1/crypto/quotes"),
    ("GET", "/v1beta1/crypto/snapshots"),
    ("GET", "/v1beta1/screener/stocks/market-movers"),
    ("GET", "/v1beta1/logos/:symbol"),
    ("GET", "/v1beta3/crypto/:loc/trades"),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_what_a_client_sends_is_found(client: str) -> None:
    refused: set[tuple[str, str]] = set()
    for request in recorded(client):
        path, _, query = request.target.decode().partition("?")
        try:
            found = match(request.method, request.target)
        except Refused as error:
            if error.reason is not Reason.NOT_GRANTED:
                refused.add((request.method, path))
        else:
            assert list(found.query) == parse_qsl(query, keep_blank_values=True)
    assert refused == (_ALPACA_REFUSES_TOO if client == "typescript_sdk" else set())


_METHODS = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"])
_PIECES = st.sampled_from(
    [
        *(
            "/",
            "//",
            "%2F",
            "%2f",
            ".",
            "..",
            "%2e",
            "%2E%2E",
            "%252F",
            "%252e",
            "\\",
            "%5C",
            ";",
            "%3B",
            "@",
            ":",
            "%3A",
        ),
        *("?", "%3F", "&", "=", "+", "%20", "#", "%23", "%00", "%25", "%", ",", "%C3%84", "*", "~"),
        *("v2", "v1", "v1beta1", "account", "orders", "positions", "stocks", "bars", "latest", "wallets", "watchlists"),
        *("exercise", "configurations", "locates", "quotes", "AAPL", "BTC", "USD", "BTC%2FUSD", "EXERCISE", "status"),
        *("orders:by_client_order_id", "qty", "1", "true", "cancel_orders", "meta", "screener", "movers"),
    ]
)


@st.composite
def _targets(draw: st.DrawFn) -> bytes:
    """Near to a listed path: some pieces of one are replaced or added."""
    pieces = re.split("(/)", _example(draw(st.sampled_from(OPERATIONS))))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(pieces)))
        pieces[place : place + draw(st.integers(0, 1))] = [draw(_PIECES)]
    query = draw(st.lists(_PIECES, max_size=6))
    return "".join([*pieces, *(["?", *query] if query else [])]).encode()


@given(_METHODS, st.one_of(_targets(), st.binary(max_size=40).map(lambda rest: b"/v2/" + rest)))
def test_a_lenient_server_finds_the_same_operation_in_what_is_sent(method: str, target: bytes) -> None:
    with suppress(Refused):
        found = match(method, target)
        assert lenient_operation(method, found.target) == (found.operation.name, list(found.query))
        assert match(method, found.target.encode()) == found


@given(
    st.sampled_from(_ALLOWED),
    st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True),
    st.dictionaries(
        st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True),
        st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=12),
        max_size=4,
    ),
)
def test_what_a_client_means_is_what_is_matched(operation: Operation, value: str, query: dict[str, str]) -> None:
    path = re.sub(r"\{\w+\}", value, operation.path)
    query = query if operation.kind is OperationKind.READ else {}
    encoded = "&".join(f"{name}={quote(text, safe='')}" for name, text in query.items())
    found = match(operation.method, f"{path}?{encoded}".encode())
    assert found.query == tuple(query.items())
    assert set(found.parameters.values()) <= {value}
    assert lenient_operation(operation.method, found.target) == (found.operation.name, list(query.items()))
