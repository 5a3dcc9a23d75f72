import pytest

from corral.alpaca.environments import Environment, Hosts, hint_from_key_id


def test_without_settings_the_hosts_are_alpacas() -> None:
    hosts = Hosts.from_urls()
    assert str(hosts.trading(Environment.PAPER)).rstrip("/") == "https://paper-api.alpaca.markets"
    assert str(hosts.trading(Environment.LIVE)).rstrip("/") == "https://api.alpaca.markets"
    assert str(hosts.data).rstrip("/") == "https://data.alpaca.markets"


@pytest.mark.parametrize(
    ("configured", "used"),
    [
        ("http://127.0.0.1:8003/paper", "http://127.0.0.1:8003/paper"),
        ("http://127.0.0.1:8003/paper/", "http://127.0.0.1:8003/paper"),
        ("http://localhost:8003/a/b//", "http://localhost:8003/a/b"),
        ("http://[::1]:8003/paper", "http://[::1]:8003/paper"),
        ("https://broker.example/alpaca", "https://broker.example/alpaca"),
    ],
)
def test_a_path_prefix_is_kept_and_a_trailing_slash_is_not(configured: str, used: str) -> None:
    assert str(Hosts.from_urls(paper=configured).paper) == used


@pytest.mark.parametrize(
    "configured",
    [
        "",
        "api.alpaca.markets",
        "//api.alpaca.markets",
        "ftp://api.alpaca.markets",
        "https:///v2",
        "https://api.alpaca.markets:99999",
        "https://[::1",
        "https://ex%61mple.com",
        "https://api.alpaca.markets\r\nHost: evil",
        "https://api.alpaca.markets /",
        "https://evil.example\\@api.alpaca.markets",
        "https://аpi.alpaca.markets",  # noqa: RUF001 - a Cyrillic letter is the point
        "https://user@api.alpaca.markets",
        "https://user:pass@api.alpaca.markets",
        "https://:pass@api.alpaca.markets",
        "https://@api.alpaca.markets",
        "https://api.alpaca.markets?x=1",
        "https://api.alpaca.markets/?",
        "https://api.alpaca.markets/#x",
        "http://api.alpaca.markets",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "http://10.0.0.1",
        "http://0.0.0.0",
    ],
)
@pytest.mark.parametrize("name", ["paper", "live", "data"])
def test_anything_else_is_refused_with_a_sentence(name: str, configured: str) -> None:
    with pytest.raises(ValueError, match=rf"^CORRAL_ALPACA_{name.upper()}_URL .*\.$") as refused:
        Hosts.from_urls(**{name: configured})
    assert "pass" not in str(refused.value).replace("password", "")


def test_the_prefix_of_a_key_id_is_a_hint() -> None:
    assert hint_from_key_id("PK7Q2W9E4R6T8Y") is Environment.PAPER
    assert hint_from_key_id("AK7Q2W9E4R6T8Y") is Environment.LIVE
    assert hint_from_key_id("CK7Q2W9E4R6T8Y") is Environment.PAPER
    assert hint_from_key_id("") is Environment.PAPER


@pytest.mark.parametrize(
    ("paper", "live"),
    [
        ("https://broker.example", "https://broker.example"),
        ("https://broker.example/v", "https://BROKER.example:443/v/"),
        ("https://broker.example.", "https://broker.example"),
        ("http://127.0.0.1:8003", "http://127.0.0.1:8003/"),
    ],
)
def test_paper_and_live_may_not_be_the_same_address(paper: str, live: str) -> None:
    with pytest.raises(ValueError, match="paper and live must differ"):
        Hosts.from_urls(paper=paper, live=live)


@pytest.mark.parametrize(
    "urls",
    [
        {"paper": "https://api.alpaca.markets", "live": "https://paper-api.alpaca.markets"},
        {"paper": "https://api.alpaca.markets/x"},
        {"live": "https://paper-api.alpaca.markets/x"},
    ],
)
def test_alpacas_hosts_may_not_be_swapped(urls: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="are exchanged"):
        Hosts.from_urls(**urls)


@pytest.mark.parametrize("proxy", ["http://proxy.example:3128", "https://alice:pass@proxy.example/"])
def test_a_proxy_is_one_for_all_hosts(proxy: str) -> None:
    assert str(Hosts.from_urls(proxy=proxy).proxy).rstrip("/") == proxy.rstrip("/")


@pytest.mark.parametrize(
    "proxy", ["", "proxy:3128", "socks5://proxy:1080", "http://", "http://proxy/x", "http://proxy?x=1"]
)
def test_a_proxy_that_is_no_address_is_refused(proxy: str) -> None:
    with pytest.raises(ValueError, match="is not an address like"):
        Hosts.from_urls(proxy=proxy)


@pytest.mark.parametrize("name", ["paper", "live", "data"])
def test_no_proxy_is_used_where_it_could_read_the_keys(name: str) -> None:
    with pytest.raises(ValueError, match="for https addresses only"):
        Hosts.from_urls(**{name: "http://127.0.0.1:8003"}, proxy="http://proxy.example:3128")
