"""The report says what was broken, in all of its forms, and is valid whatever a scenario writes into it."""

from __future__ import annotations

import json
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

from audit import Verdict

from tests.chaos.outcome import Outcome
from tests.chaos.report import Run, table, write_report
from tests.chaos.timeline import Moment


def outcome(*, broken: list[str] | None = None, trap: str = "", catches: str = "") -> Outcome:
    verdict = Verdict(100, 101, 2, lost=["in/0/1"], duplicated=Counter({"in/0/2": 3}), reordered=["in/0/4"])
    return Outcome(
        scenario="kills",
        theme="processes",
        about="SIGKILL at random moments",
        guarantee="at_least_once",
        seed="7",
        scale=1.0,
        seconds=12.3,
        verdict=verdict,
        broken=broken or [],
        allowed_repeats=10,
        allowances=[(4, "a kill"), (4, "a kill"), (2, "a rebalance")],
        facts=["a fact with <angle> brackets"],
        moments=[Moment(0.5, "worker 1", "SIGKILL"), Moment(11.0, "verdict", "broken: <lost> & more")],
        trap=trap,
        catches=catches,
    )


class Balanced(HTMLParser):
    """Complains about an end tag that does not fit."""

    VOID = ("meta",)

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_json_and_html_hold_the_figures_and_what_is_broken(tmp_path: Path) -> None:
    run = Run("7", "make chaos", "a machine", [outcome(broken=["lost: 1, first in/0/1"])])
    as_json, as_html = write_report(run, tmp_path)
    document = json.loads(as_json.read_text())
    (scenario,) = document["scenarios"]
    assert (document["seed"], document["passed"], scenario["passed"]) == ("7", False, False)
    assert [scenario[name] for name in ("produced", "lost", "duplicated", "reordered", "corrupted")] == [
        100,
        1,
        3,
        1,
        0,
    ]
    assert scenario["allowed_because"] == ["8: 2 x a kill", "2: 1 x a rebalance"]
    page = Balanced()
    page.feed(as_html.read_text())
    assert not page.open
    assert "promises broken" in page.text
    assert "lost: 1, first in/0/1" in page.text
    assert "a fact with <angle> brackets" in page.text


def test_the_table_names_scenario_and_complaint() -> None:
    shown = table([outcome(broken=["lost: 1, first in/0/1"]), outcome()])
    assert [line.split()[-1] for line in shown.splitlines() if line.startswith("kills")] == ["BROKEN", "kept"]
    assert "    lost: 1, first in/0/1" in shown


def test_a_broken_worker_passes_only_when_it_is_caught_for_what_is_wrong_with_it() -> None:
    caught = outcome(broken=["lost: 1, first in/0/1"], trap="take", catches="lost")
    other = outcome(broken=["the scenario ends within 180 s"], trap="take", catches="lost")
    assert (caught.passed, other.passed, outcome(trap="take", catches="lost").passed) == (True, False, False)
    assert "NOT CAUGHT" in table([other])
