"""The report: a table for the terminal, ``report.json``, and ``report.html`` with a timeline for each scenario."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.outcome import Outcome
from tests.chaos.timeline import Moment

COLUMNS = ("produced", "lost", "duplicated", "reordered", "corrupted", "wrongly_labelled", "both", "dead_letters")
PLOT_WIDTH, LANE_HEIGHT, LABEL_WIDTH = 900, 22, 110
COLOURS = (
    ("SIGKILL", "#c62828"), ("SIGTERM", "#ef6c00"), ("SIGSTOP", "#6a1b9a"), ("SIGCONT", "#6a1b9a"),
    ("broken", "#b71c1c"), ("ready", "#2e7d32"), ("back", "#2e7d32"), ("heal", "#2e7d32"), ("starts", "#1565c0"),
)  # fmt: skip
OTHER_COLOUR = "#455a64"


@dataclass(frozen=True)
class Run:
    """All outcomes of one run."""

    seed: str
    command: str
    """How to run it again."""
    machine: str
    outcomes: Sequence[Outcome]

    @property
    def passed(self) -> bool:
        """Whether every promise was kept, and every broken worker caught."""
        return all(outcome.passed for outcome in self.outcomes)


def table(outcomes: Sequence[Outcome]) -> str:
    """A line for each outcome, and under it what is broken."""
    heads = ("scenario", "guarantee", *COLUMNS, "allowed", "s", "")
    rows = [heads]
    rows += [
        (
            _name(each),
            each.guarantee,
            *(str(each.counted[column]) for column in COLUMNS),
            str(each.allowed_repeats),
            f"{each.seconds:.0f}",
            _word(each),
        )
        for each in outcomes
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    lines = []
    for row, outcome in zip(rows, (None, *outcomes), strict=True):
        cells = [
            cell.ljust(width) if index < 2 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
        lines += [f"    {line}" for line in (outcome.broken if outcome else ())]
    return "\n".join(lines)


def write_report(run: Run, folder: Path) -> tuple[Path, Path]:
    """Write both files; answers where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    as_json, as_html = folder / "report.json", folder / "report.html"
    as_json.write_text(json.dumps(_document(run), indent=2) + "\n")
    as_html.write_text(_page(run))
    return as_json, as_html


def _document(run: Run) -> dict[str, object]:
    return {
        "seed": run.seed,
        "command": run.command,
        "machine": run.machine,
        "passed": run.passed,
        "scenarios": [
            {
                "scenario": each.scenario,
                "theme": each.theme,
                "guarantee": each.guarantee,
                "about": each.about,
                "broken_worker": each.trap or None,
                "scale": each.scale,
                "seconds": each.seconds,
                "workers": each.workers,
                "passed": each.passed,
                **each.counted,
                "allowed_repeats": each.allowed_repeats,
                "allowed_because": each.allowed,
                "broken": each.broken,
                "facts": each.facts,
                "logs": each.logs or None,
                "timeline": [[moment.at_s, moment.subject, moment.what] for moment in each.moments],
            }
            for each in run.outcomes
        ],
    }


def _name(outcome: Outcome) -> str:
    return f"{outcome.scenario} [{outcome.trap}]" if outcome.trap else outcome.scenario


def _word(outcome: Outcome) -> str:
    if outcome.trap:
        return "caught" if outcome.passed else "NOT CAUGHT"
    return "kept" if outcome.passed else "BROKEN"


# --- HTML -------------------------------------------------------------------------------------------------------------

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1080px; padding: 0 1rem; color: #212121 }
table { border-collapse: collapse; width: 100% } td, th { padding: .25rem .5rem; border-bottom: 1px solid #ddd }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums } .bad { color: #b71c1c; font-weight: 600 }
.good { color: #2e7d32 } section { margin-top: 2.2rem } pre { background: #f5f5f5; padding: .6rem; overflow-x: auto }
svg text { font: 11px system-ui, sans-serif } svg { width: 100%; height: auto } details { margin-top: .4rem }
h2 small { color: #757575; font-weight: 400 }
"""


def _page(run: Run) -> str:
    heads = "".join(
        f'<th class="{"n" if index > 1 else ""}">{head.replace("_", " ")}</th>'
        for index, head in enumerate(("scenario", "guarantee", *COLUMNS, "allowed", "seconds", "promises"))
    )
    rows = "".join(_row(number, each) for number, each in enumerate(run.outcomes))
    sections = "".join(_section(number, each) for number, each in enumerate(run.outcomes))
    css, words = ("good", "all promises kept") if run.passed else ("bad", "promises broken")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Chaos report</title><style>{_STYLE}</style>'
        f'<h1>Chaos report: <span class="{css}">{words}</span></h1>'
        f"<p>Seed {html.escape(run.seed)}, {html.escape(run.machine)}."
        f" Again: <code>{html.escape(run.command)}</code></p>"
        f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{sections}</html>\n"
    )


def _row(number: int, outcome: Outcome) -> str:
    figures = []
    for column in COLUMNS:
        bad = column not in ("produced", "dead_letters") and outcome.counted[column]
        bad = bad and (column != "duplicated" or outcome.counted[column] > outcome.allowed_repeats)
        figures.append(f'<td class="n {"bad" if bad else ""}">{outcome.counted[column]}</td>')
    return (
        f'<tr><td><a href="#s{number}">{html.escape(_name(outcome))}</a></td><td>{outcome.guarantee}</td>'
        f'{"".join(figures)}<td class="n">{outcome.allowed_repeats}</td><td class="n">{outcome.seconds:.0f}</td>'
        f'<td class="{"good" if outcome.passed else "bad"}">{_word(outcome)}</td></tr>'
    )


def _section(number: int, outcome: Outcome) -> str:
    lists = [
        ("Broken", outcome.broken),
        ("Repeats allowed", outcome.allowed),
        ("Facts", outcome.facts),
        ("Logs", [outcome.logs] if outcome.logs else []),
    ]
    shown = "".join(
        f"<p>{head}:</p><ul>{''.join(f'<li>{html.escape(line)}</li>' for line in lines)}</ul>"
        for head, lines in lists
        if lines
    )
    log = "\n".join(f"{moment.at_s:9.3f}  {moment.subject:<12}  {moment.what}" for moment in outcome.moments)
    return (
        f'<section id="s{number}"><h2>{html.escape(_name(outcome))} <small>{outcome.guarantee}, {outcome.theme},'
        f" {outcome.workers} processes, scale {outcome.scale:g}</small></h2><p>{html.escape(outcome.about)}</p>"
        f"{_plot(outcome)}{shown}"
        f"<details><summary>{len(outcome.moments)} moments</summary><pre>{html.escape(log)}</pre></details></section>"
    )


def _plot(outcome: Outcome) -> str:
    """One line for each subject, a tick for each moment; what it was is shown when the pointer rests on it."""
    subjects = sorted({moment.subject for moment in outcome.moments})
    length = max(outcome.seconds, 1.0)
    height = LANE_HEIGHT * (len(subjects) + 1)
    parts = [f'<svg viewBox="0 0 {LABEL_WIDTH + PLOT_WIDTH + 20} {height}" role="img" aria-label="timeline">']
    for lane, subject in enumerate(subjects):
        y = LANE_HEIGHT * lane + LANE_HEIGHT / 2
        parts.append(f'<text x="0" y="{y + 4:.0f}">{html.escape(subject)}</text>')
        parts.append(f'<line x1="{LABEL_WIDTH}" x2="{LABEL_WIDTH + PLOT_WIDTH}" y1="{y}" y2="{y}" stroke="#e0e0e0"/>')
        parts += [_tick(each, y, length) for each in outcome.moments if each.subject == subject]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = LABEL_WIDTH + share * PLOT_WIDTH
        parts.append(f'<text x="{x:.0f}" y="{height - 6}" fill="#757575">{share * length:.0f} s</text>')
    return "".join((*parts, "</svg>"))


def _tick(moment: Moment, y: float, length: float) -> str:
    x = LABEL_WIDTH + PLOT_WIDTH * min(moment.at_s / length, 1.0)
    colour = next((colour for word, colour in COLOURS if word in moment.what), OTHER_COLOUR)
    return (
        f'<rect x="{x - 1.5:.1f}" y="{y - 8:.0f}" width="3" height="16" fill="{colour}">'
        f"<title>{moment.at_s:.2f} s: {html.escape(moment.what)}</title></rect>"
    )
