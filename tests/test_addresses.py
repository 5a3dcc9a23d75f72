"""At which address browsers find Corral, and which addresses are refused because they would send passwords openly."""

from typing import Any

import pytest
from pydantic import ValidationError

from corral.settings import Settings

TLS = {"tls_cert": "/etc/ssl/corral.pem", "tls_key": "/etc/ssl/corral.key"}


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "http://127.0.0.1:8002"),
        ({**TLS}, "https://127.0.0.1:8002"),
        ({**TLS, "host": "192.0.2.7", "port": 8443}, "https://192.0.2.7:8443"),
        ({**TLS, "host": "::", "public_url": "https://nas.local:8002"}, "https://nas.local:8002"),
        ({"host": "0.0.0.0", "public_url": "https://corral.example.com"}, "https://corral.example.com"),
        ({"public_url": "http://localhost:8002"}, "http://localhost:8002"),
    ],
)
def test_the_public_address_is_https_wherever_other_machines_come_in(settings: dict[str, Any], url: str) -> None:
    assert Settings.model_validate(settings).browser_url == url


@pytest.mark.parametrize(
    ("settings", "reported"),
    [
        ({"public_url": "http://nas.local:8002"}, "plain http works on this machine only"),
        ({"public_url": "http://192.168.1.20"}, "or keep the usual settings and use `ssh -L` (see docs/at-home.md)"),
        (
            {"host": "192.168.1.20"},
            "CORRAL_PUBLIC_URL is required when Corral listens on 192.168.1.20: set CORRAL_TLS_CERT",
        ),
        ({**TLS, "host": "0.0.0.0"}, "set it to the https address for which the certificate is"),
        ({**TLS, "public_url": "http://localhost:8002"}, "must be an https address with CORRAL_TLS_CERT"),
        ({**TLS, "public_url": "http://nas.local"}, "plain http works on this machine only"),
        ({"tls_cert": "/etc/ssl/corral.pem"}, "set CORRAL_TLS_KEY, too, or neither"),
        ({"tls_key": "/etc/ssl/corral.key"}, "set CORRAL_TLS_CERT, too, or neither"),
    ],
)
def test_an_address_that_would_not_be_safe_is_refused_with_the_ways_out(
    settings: dict[str, Any], reported: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        Settings.model_validate(settings)
    assert reported in str(refused.value)


def test_the_ways_to_https_are_all_named() -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(public_url="http://nas.local")
    for way in ("CORRAL_TLS_CERT", "CORRAL_TLS_KEY", "Caddy", "`tailscale serve`", "`ssh -L`", "docs/at-home.md"):
        assert way in str(refused.value)
