"""Security headers of every response (OWASP HTTP Headers cheat sheet)."""

from corral.edge.problems import Headers


def security_headers(public_url: str) -> Headers:
    """Returns the headers of every response that does not set its own, as pages do for Content-Security-Policy."""
    headers = [
        (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"cross-origin-embedder-policy", b"require-corp"),
        (b"permissions-policy", b"camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"),
        (b"cache-control", b"no-store"),
    ]
    if public_url.lower().startswith("https:"):
        headers.append((b"strict-transport-security", b"max-age=31536000; includeSubDomains"))
    return headers
