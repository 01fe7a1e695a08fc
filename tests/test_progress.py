"""Lines about long work where there is no terminal."""

import io
import re

import pytest

from cleser import progress
from cleser.console import PlainConsole


class Clock:
    """A time that passes when a test says so."""

    now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def shown(monkeypatch):
    clock, file = Clock(), io.StringIO()
    monkeypatch.setattr(progress, "time", clock)
    monkeypatch.setattr(progress, "console", PlainConsole(file=file))
    return clock, lambda: file.getvalue().splitlines()


def test_long_work_prints_a_line_every_few_per_cent(shown):
    clock, lines = shown
    with progress.track("takes [long]", 1000) as advance:
        for _ in range(1000):
            clock.now += 3.0
            advance(1, "dev UAR 50 %")
    assert lines()[0] == "takes [long]: 5 % (50/1000), about 47:30 left, dev UAR 50 %"
    assert lines()[9] == "takes [long]: 50 % (500/1000), about 25:00 left, dev UAR 50 %"
    assert len(lines()) == 20
    assert re.fullmatch(r"takes \[long\]: 100 % .*0:00 left.*", lines()[-1])


def test_lines_leave_time_to_read_them_and_hours_are_said(shown):
    clock, lines = shown
    with progress.track("slow", 4) as advance:
        advance(1)  # at once: nothing to say yet
        clock.now += 3600
        advance(1)
        clock.now += 1
        advance(1)  # a second later
    assert lines() == ["slow: 50 % (2/4), about 1:00:00 left"]


def test_what_is_done_in_seconds_prints_nothing(shown):
    clock, lines = shown
    with progress.track("quick", 100) as advance:
        for _ in range(100):
            clock.now += 0.05
            advance(1)
    assert lines() == []
