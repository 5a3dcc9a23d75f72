"""Moved to `tests.access`; here until the tests of the pages take it from there."""

from tests.access import browser, cookie_of, fingerprints, link_code, owner_of, sign_in_by_link

__all__ = ["browser", "cookie_of", "fingerprints", "link_code", "owner_of", "sign_in_by_link"]
