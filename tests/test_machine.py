"""What a run says of tests that it skipped, and which skips fail it."""

import pytest

from tests.machine import BROWSER, ROOT, refused_skips, skip_summary


def test_skips_are_counted_with_the_command_that_installs_what_is_missing() -> None:
    assert skip_summary([]) == "No test was skipped."
    assert skip_summary([ROOT.reason, BROWSER.reason, BROWSER.reason]) == (
        "Skipped tests: 2 that need a browser (apt-get install chromium-headless-shell); "
        "1 that need root (sudo make test)."
    )


def test_a_skip_for_another_reason_fails_the_run_and_so_does_a_missing_tool_in_ci(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reasons = ["flaky", BROWSER.reason, ROOT.reason]
    monkeypatch.delenv("CI", raising=False)
    assert refused_skips(reasons) == ["flaky"]
    monkeypatch.setenv("CI", "true")
    assert refused_skips(reasons) == [BROWSER.reason, "flaky"]
