"""CORRAL_VALKEY_URL: the forms that other software has, and one sentence without the password for everything else."""

from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.valkey.address import HostAndPort, read_address
from corral.valkey.errors import ValkeyRefused

PASSWORD = "hunter2/?#@:%secret"


@pytest.mark.parametrize("scheme", ["valkey", "redis", "VALKEY"])
def test_a_server_by_host_port_and_database(scheme: str) -> None:
    address = read_address(f"{scheme}://cache.example:6380/3")
    assert (address.places, address.database, address.has_tls) == ((HostAndPort("cache.example", 6380),), 3, False)
    assert (address.service, address.login.user, address.login.password) == (None, None, None)


def test_port_and_database_have_the_usual_defaults() -> None:
    assert read_address("redis://cache").places == (HostAndPort("cache", 6379),)
    assert read_address("redis://cache/").database == 0
    assert read_address("valkey+sentinel://a,[::1]:7,b:8/corral").places == (
        HostAndPort("a", 26379),
        HostAndPort("::1", 7),
        HostAndPort("b", 8),
    )


def test_user_and_password_are_unquoted() -> None:
    address = read_address(f"valkey://corral:{quote(PASSWORD, safe='')}@cache")
    assert address.login.user == "corral"
    assert address.login.password is not None
    assert address.login.password.reveal() == PASSWORD
    only_password = read_address("redis://:abc@cache").login
    assert (only_password.user, only_password.password and only_password.password.reveal()) == (None, "abc")


@pytest.mark.parametrize("scheme", ["valkeys", "rediss", "valkeys+sentinel", "rediss+sentinel"])
def test_tls_with_an_authority_of_ones_own(scheme: str) -> None:
    service = "/corral" if "sentinel" in scheme else ""
    address = read_address(f"{scheme}://cache.example{service}/0?cafile=/etc/corral/ca.pem")
    assert address.has_tls
    assert address.cafile == Path("/etc/corral/ca.pem")


def test_sentinels_have_a_service_and_a_login_of_their_own() -> None:
    address = read_address(
        "redis+sentinel://corral:one@a:1,b:2/main/4?sentinel_username=watcher&sentinel_password=two%26"
    )
    assert (address.service, address.database) == ("main", 4)
    assert (address.login.user, address.sentinel_login.user) == ("corral", "watcher")
    assert address.sentinel_login.password is not None
    assert address.sentinel_login.password.reveal() == "two&"


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "expected valkey://"),
        ("cache:6379", "expected valkey://"),
        ("http://cache", "expected valkey://"),
        ("unix:///run/valkey.sock", "expected valkey://"),
        (f"redis://:{PASSWORD}@cache", "special characters of the password as %XX"),
        ("redis://cache:99999", "host or port"),
        ("redis://a,b", "a cluster, which Corral does not use"),
        ("redis://cache/abc", "database must be a number"),
        ("redis://cache/1/2", "database must be a number"),
        ("redis://cache/٣", "database must be a number"),
        ("redis+sentinel://a:1", "service that the Sentinels watch is missing"),
        ("redis://corral@cache", "a user without a password"),
        ("redis://cache?cafile=/ca.pem", "cafile is for TLS"),
        ("rediss://cache?verify=none", "cafile, sentinel_password, sentinel_username"),
        ("rediss://cache?cafile=/a&cafile=/b", "each once"),
    ],
)
def test_anything_else_is_refused_in_one_sentence(url: str, says: str) -> None:
    with pytest.raises(ValkeyRefused) as refused:
        read_address(url)
    text = str(refused.value)
    assert says in text
    assert text.startswith("CORRAL_VALKEY_URL cannot be used: ")
    assert "\n" not in text


@given(
    password=st.text(alphabet=st.sampled_from("/?#@:%&=,+ "), min_size=1, max_size=4).map("hunter2{}secret99".format),
    form=st.sampled_from(["redis://:{}@cache", "redis://u:{}@cache/x", "valkey://{}@cache", "redis://a,b:{}@c?x={}"]),
)
def test_no_refusal_shows_a_password_however_it_is_written(password: str, form: str) -> None:
    said = ""
    try:
        read_address(form.format(password, password))
    except ValkeyRefused as refused:
        said = str(refused)
    assert "hunter2" not in said
    assert "secret99" not in said
