"""What a person reads of the browser behind a session."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.identity.security_events import device_of

_CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
_IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("user_agent", "device"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox on Windows"),
        (_CHROME, "Chrome on Linux"),
        (_CHROME.replace("X11; Linux x86_64", "Windows NT 10.0; Win64; x64") + " Edg/140.0.0.0", "Edge on Windows"),
        (_CHROME.replace("X11; Linux x86_64", "Linux; Android 16; K"), "Chrome on Android"),
        (_CHROME.replace("X11; Linux x86_64", "X11; CrOS x86_64 14541.0.0"), "Chrome on ChromeOS"),
        (_CHROME + " OPR/124.0.0.0", "Opera on Linux"),
        (_IPHONE + " Version/19.0 Mobile/15E148 Safari/604.1", "Safari on iPhone"),
        (_IPHONE + " CriOS/140.0 Mobile/15E148 Safari/604.1", "Chrome on iPhone"),
        (_IPHONE + " FxiOS/145.0 Mobile/15E148 Safari/604.1", "Firefox on iPhone"),
        (_IPHONE, "iPhone"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605 Version/19.0 Safari/605", "Safari on Mac"),
        ("Firefox/145.0", "Firefox"),
        ("curl/8.15.0", "curl"),
        ("my-script", "my-script"),
        ("Mozilla/5.0", "Unknown device"),
        ("<script>alert(1)</script>", "Unknown device"),
        ("", "Unknown device"),
    ],
)
def test_a_device_has_its_common_name(user_agent: str, device: str) -> None:
    assert device_of(user_agent) == device


@given(st.text(max_size=200))
def test_any_user_agent_gives_a_short_plain_device_name(user_agent: str) -> None:
    device = device_of(user_agent)
    assert 0 < len(device) <= 40
    assert device.isascii()
    assert not set(device) & set("<>&\"'")
