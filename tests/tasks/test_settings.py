from __future__ import annotations

import pytest

from catalogs.errors import OptionError
from tasks.settings import beat_seconds, check_settings, stop_seconds


@pytest.mark.parametrize("text", ["abc", "-1", "nan", "inf", "1e9", "1,5"])
@pytest.mark.parametrize("name", ["PACKSHOT_STOP_SECONDS", "PACKSHOT_BEAT_SECONDS"])
def test_what_is_no_time_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(OptionError, match=f"{name}: {text}: is no number of seconds from"):
        check_settings()


def test_empty_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PACKSHOT_STOP_SECONDS", "")
    monkeypatch.setenv("PACKSHOT_BEAT_SECONDS", " 12.5 ")
    assert (stop_seconds(), beat_seconds()) == (25.0, 12.5)
