"""The pages say what is true: links, commands, settings, codes, reasons and examples are those of the code."""

from __future__ import annotations

import functools
import importlib.util
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from jsonschema import Draft202012Validator, FormatChecker
from kafka_rights import ENDS_WITH, OF_COMMANDS, OF_THE_WORKER

import worker
from tests.chaos.scenario import SCENARIOS
from tests.chaos.scenarios import load_all
from tests.seams.private_names import PRIVATE_NAMES
from worker.cli.commands import COMMANDS, commands
from worker.cli.described import described_settings
from worker.cli.dlq.commands import COMMANDS as DLQ_COMMANDS
from worker.cli.model.commands import COMMANDS as MODEL_COMMANDS
from worker.delivery import dead_letters
from worker.delivery.dead_letters import dead_letter
from worker.errors import ExitCode, Reason, RecordError, Stage
from worker.events.codec import EventCodec
from worker.events.schemas import SCHEMA_FILES, load_schema
from worker.observability.metrics import KINDS, PROCESS_METRICS, Metrics
from worker.records import Record, TopicPartition
from worker.settings import ENVIRONMENT_PREFIX, Settings

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
CHART_README = ROOT / "deploy" / "helm" / "reviews-worker" / "README.md"
PAGES = [README, *sorted(DOCS.glob("*.md")), CHART_README]

NO_SETTINGS = {
    # members of events and of results, headers, values of settings
    "review_id", "classified_at", "max_length", "label", "source", "source_timestamp", "head_tail",
    "at_least_once", "exactly_once", "take_over", "require_stable", "wrongly_labelled", "allowed_repeats",
    # values of labels, of attributes, of OpenTelemetry's variables
    "out_of_memory", "dead_letter", "parentbased_always_on", "parentbased_traceidratio",
    # variables that name proxies
    "http_proxy", "https_proxy", "all_proxy", "no_proxy",
    # Faust's and Kafka's own words
    "take_events", "auto_offset_reset", "send_batch",
    # names of our code
    "kafka_cluster", "next_offsets", "next_batch", "topic_names",
    # files and members of a model artifact
    "exit_code", "lower_case", "input_ids", "attention_mask", "token_type_ids", "vocab_size", "max_position_embeddings",
    "sequence_lengths", "read_uncommitted", "gelu_new", "gelu_pytorch_tanh", "as_is", "unknown_from", "unknown_to",
}  # fmt: skip
"""Names with an underscore that pages mention and that are no settings, reasons, stages or metrics."""


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text_of(path), flags=re.DOTALL | re.MULTILINE)


def prose(path: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text_of(path), flags=re.DOTALL | re.MULTILINE)


def code_spans(path: Path) -> list[str]:
    return re.findall(r"`([^`\n]+)`", prose(path))


def rows(path: Path, first_heading: str) -> list[list[str]]:
    """The cells of the table whose first column is called so."""
    lines = iter(text_of(path).splitlines())
    for line in lines:
        if line.startswith(f"| {first_heading} |"):
            break
    else:
        raise AssertionError(f"{path.name} has no table that begins with {first_heading!r}")
    next(lines)
    table = []
    for line in lines:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return table


def anchors(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(path), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands_shown() -> Iterator[tuple[Path, list[str]]]:
    """Every command line that a page shows, as words, pipes and redirections taken apart."""
    for path in PAGES:
        lines = [line for block in blocks(path, "sh") for line in block.splitlines()]
        lines += re.findall(r"^ {4}((?:reviews-worker|make|python) .*)$", prose(path), flags=re.MULTILINE)
        lines += [span for span in code_spans(path) if span.startswith(("reviews-worker ", "make ", "python -m "))]
        for line in lines:
            words = shlex.split(line, comments=True)
            while words:
                end = next((index for index, word in enumerate(words) if word in ("|", ">", "<", "&&")), len(words))
                if words[:end]:
                    yield path, words[:end]
                words = words[end + 1 :]


@functools.cache
def options_of(*path: str) -> set[str]:
    """The options of a command, or of one in a group."""
    found: click.Command | None = commands
    for name in path:
        assert isinstance(found, click.Group), path
        found = found.get_command(click.Context(found), name)
        assert found is not None, path
    return {name for param in found.params for name in (*param.opts, *param.secondary_opts)} | {"--help"}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        file, _, anchor = target.partition("#")
        linked = (path.parent / file).resolve() if file else path
        assert linked.exists(), f"{path.name} links to {target}"
        if anchor and linked.suffix == ".md":
            assert anchor in anchors(linked), f"{path.name} links to {target}"


def test_the_readme_leads_to_every_page_and_stays_short() -> None:
    linked = set(re.findall(r"\]\(docs/([^)#]+)\)", text_of(README)))
    assert linked == {path.name for path in DOCS.glob("*.md")}
    assert len(text_of(README).splitlines()) <= 220


def test_the_table_of_exit_codes_is_the_enum() -> None:
    table = {int(code): name.strip("`") for code, name, *_ in rows(DOCS / "operations.md", "code")}
    assert table == {int(code): code.name for code in ExitCode}


def test_the_readme_knows_every_exit_code() -> None:
    shown = [int(cell) for row in rows(README, "code") for cell in row[::2]]
    assert sorted(shown) == sorted(map(int, ExitCode))


def test_the_tables_of_rights_are_those_that_tests_take_away() -> None:
    of_the_worker = rows(DOCS / "security.md", "resource")
    assert [tuple(cells[:2]) for cells in of_the_worker] == [right.cells for right in OF_THE_WORKER]
    for right, (*_, without) in zip(OF_THE_WORKER, of_the_worker, strict=True):
        code = re.match(r"(?:exit code )?(\d+)", without)
        assert (int(code[1]) if code else None) == ENDS_WITH.get(right), without
    of_commands = rows(DOCS / "security.md", "resource of a command")
    assert [tuple(cells[:2]) for cells in of_commands] == [right.cells for right in OF_COMMANDS]


def test_the_table_of_reasons_is_the_enum() -> None:
    table = rows(DOCS / "dead-letters.md", "reason")
    assert [reason.strip("`") for reason, *_ in table] == [reason.value for reason in Reason]
    stages = {stage for _, cell, *_ in table for stage in re.findall(r"`(\w+)`", cell)}
    assert stages == {stage.value for stage in Stage}


def test_the_table_of_headers_has_every_header_of_a_dead_letter() -> None:
    names = {value for name, value in vars(dead_letters).items() if name.endswith("_HEADER")}
    assert {header.strip("`") for header, _ in rows(DOCS / "dead-letters.md", "header")} == names


def test_the_health_lines_are_those_of_the_code() -> None:
    sources = [
        *(ROOT / "worker" / "service").glob("*.py"),
        *(ROOT / "worker" / "source").glob("*.py"),
        ROOT / "worker" / "pipeline" / "progress.py",
    ]
    code = "".join(map(text_of, sources))
    for line, *_ in rows(DOCS / "operations.md", "line"):
        for part in line.strip("`").split(" N s"):
            assert part in code, f"no health end point says {line}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_setting_that_is_named_exists(path: Path) -> None:
    metrics = metric_names()
    known = {*Settings.model_fields, *(reason.value for reason in Reason), *(stage.value for stage in Stage)}
    load_all()
    known |= NO_SETTINGS | metrics | {code.name for code in ExitCode} | SCENARIOS.keys()
    known |= {private.name for private in PRIVATE_NAMES}
    variables = {variable for setting in described_settings() for variable in setting.variables}
    for variable in re.findall(rf"{ENVIRONMENT_PREFIX}[A-Z][A-Z_]*", text_of(path)):
        assert variable in variables, f"{path.name} names {variable}"
    for span in code_spans(path):
        if re.fullmatch(r"(?!test_)[a-z][a-z0-9]*(_[a-z0-9]+)+", span):
            assert span in known, f"{path.name} names {span}, which is no setting, reason, stage or metric"


def test_the_settings_in_the_readme_have_the_defaults_of_the_code() -> None:
    fields = Settings.model_fields
    for names, defaults, _ in rows(README, "setting"):
        if defaults.startswith("the "):
            continue
        pairs = list(zip(re.findall(r"`(\w+)`", names), re.findall(r"`([^`]+)`", defaults), strict=True))
        assert pairs
        for name, shown in pairs:
            default = fields[name].default
            assert shown == (str(default).lower() if isinstance(default, bool) else str(default)), name


def metric_names() -> set[str]:
    families = [next(iter(m.describe())) for m in vars(Metrics()).values() if isinstance(m, KINDS)]
    own = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    return own | set(PROCESS_METRICS)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_metric_that_is_named_exists(path: Path) -> None:
    for name in re.findall(r"\breviews_worker_[a-z_]+", text_of(path)):
        assert name in metric_names(), f"{path.name} names {name}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_file_that_is_named_exists(path: Path) -> None:
    for span in code_spans(path):
        if re.fullmatch(r"(worker|tests|schemas|docs|\.ci)/[\w./-]*", span):
            assert (ROOT / span).exists(), f"{path.name} names {span}"


def test_every_command_that_is_shown_exists_with_its_options() -> None:
    groups = {"model": MODEL_COMMANDS, "dlq": DLQ_COMMANDS}
    seen, seen_in_groups = set(), set[tuple[str, ...]]()
    for path, words in commands_shown():
        if words[0] == "reviews-worker" and len(words) > 1:
            command = words[1]
            assert command in COMMANDS, f"{path.name}: {' '.join(words)}"
            seen.add(command)
            names = words[1:3] if command in groups else words[1:2]
            if names[1:]:  # not the group alone
                seen_in_groups.add(tuple(names))
            allowed = options_of(*names)  # of a command in a group too, shown with options or without
            for word in words[2:]:
                if word.startswith("--"):
                    assert word.split("=")[0] in allowed, f"{path.name}: {' '.join(words)}"
            if command == "schema" and len(words) > 2:
                assert words[2] in SCHEMA_FILES
    assert seen >= set(COMMANDS) - {"demo"}
    assert seen_in_groups == {(group, name) for group, names in groups.items() for name in names}


def test_every_make_target_that_is_shown_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), flags=re.MULTILINE))
    for path, words in commands_shown():
        if words[0] == "make":
            assert words[1] in targets, f"{path.name}: {' '.join(words)}"


def test_every_python_command_that_is_shown_exists_with_its_options() -> None:
    for path, words in commands_shown():
        if not words[0].endswith("python") or "pip" in words:
            continue
        shown = f"{path.name}: {' '.join(words)}"
        if words[1] == "-m":
            spec = importlib.util.find_spec(words[2])
            assert spec is not None and spec.origin is not None, shown
            source = Path(spec.origin)
            source = source.with_name("__main__.py") if source.name == "__init__.py" else source
        else:
            source = ROOT / words[1]
        assert source.is_file(), shown
        for word in words:
            if word.startswith("--"):
                assert f'"{word}"' in text_of(source), shown


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_extra_that_is_named_exists(path: Path) -> None:
    extras = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]["optional-dependencies"]
    for named in re.findall(r"'(?:\.|reviews-worker)\[([\w,]+)\]'", text_of(path)):
        for extra in named.split(","):
            assert extra in extras, f"{path.name} names the extra {extra}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_python_examples_compile_and_import_public_names(path: Path) -> None:
    for number, block in enumerate(blocks(path, "python")):
        compile(block, f"{path.name}, example {number}", "exec")
        for names in re.findall(r"^from worker import (.+)$", block, flags=re.MULTILINE):
            assert {name.strip() for name in names.split(",")} <= set(worker.__all__)


def test_the_example_in_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = blocks(README, "python")
    exec(compile(block, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("pos ")


def test_the_example_that_drops_repeats_drops_repeats_and_nothing_else() -> None:
    (block,) = blocks(DOCS / "offsets-and-delivery.md", "python")
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(block, "offsets-and-delivery.md", "exec"), names)
    repeats = names["Repeats"]()

    def is_repeat(partition: int, source: str) -> bool:
        # A producer may have a header of that name too; the worker's comes last.
        headers = (("source", b"the producer's"), ("source", source.encode()))
        return bool(repeats.is_repeat(SimpleNamespace(partition=partition, headers=headers)))

    records = [(0, "in/0/0"), (0, "in/0/1"), (1, "in/1/0"), (0, "in/0/7"), (0, "in/2/0")]
    assert [is_repeat(*record) for record in records] == [False] * len(records)
    assert [is_repeat(*record) for record in [*records, (0, "in/0/8")]] == [True] * len(records) + [False]


def validate(schema: str, instance: object) -> None:
    Draft202012Validator(load_schema(schema), format_checker=FormatChecker()).validate(instance)


def json_examples(path: Path) -> Iterator[tuple[str, Any]]:
    for block in blocks(path, "json"):
        yield block.strip(), json.loads(block)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_json_examples_keep_the_contract(path: Path) -> None:
    codec = EventCodec("text", "sentiment", 10_000)
    for text, event in json_examples(path):
        if "sentiment" in event:
            validate("classified-review", event)
        elif dead_letters.REASON_HEADER in event:
            validate("dead-letter", event)
        elif "text" in event:
            validate("review", event)
            codec.decode(text.encode())


@pytest.mark.parametrize("path", [README, DOCS / "contract.md"], ids=lambda path: path.name)
def test_an_output_that_is_shown_is_its_input_with_the_result_spliced_in(path: Path) -> None:
    examples = list(json_examples(path))
    reviews = [text for text, event in examples if "text" in event and "sentiment" not in event]
    outputs = [text for text, event in examples if "sentiment" in event]
    assert len(reviews) == len(outputs) == 1
    result = outputs[0].partition('"sentiment":')[2].removesuffix("}")
    assert EventCodec("text", "sentiment", 10_000).encode(reviews[0].encode(), False, result.encode()) == (
        outputs[0].encode()
    )


def test_the_dead_letter_in_the_readme_is_what_becomes_of_the_event_before_it() -> None:
    examples = list(json_examples(README))
    (event,) = (text for text, members in examples if "text" not in members and "stars" in members)
    (shown,) = (members for _, members in examples if dead_letters.REASON_HEADER in members)
    with pytest.raises(RecordError) as raised:
        EventCodec("text", "sentiment", 10_000).decode(event.encode())
    place = TopicPartition(shown[dead_letters.TOPIC_HEADER], int(shown[dead_letters.PARTITION_HEADER]))
    record = Record(place, int(shown[dead_letters.OFFSET_HEADER]), 0, b"b-18", event.encode(), (), 1)
    letter = dead_letter(record, raised.value, "reviews.dlq", 0)
    assert {name: (value or b"").decode() for name, value in letter.headers} == shown
