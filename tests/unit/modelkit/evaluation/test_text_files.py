"""JSON lines and CSV, row by row, and one clear line for each that cannot be read."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from evaluation_parts import opened, read
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import UsageError
from worker.modelkit.evaluation import text_files
from worker.modelkit.evaluation.rows import Columns, NoLabel

REVIEWS = [
    ("Café 🎬 très bien", "pos"),
    ('two\nlines, a "quote"\r\nand a comma', "neg"),
    ("line\u2028separator", "pos"),
]


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def json_lines(rows: Sequence[tuple[str, object]]) -> bytes:
    return b"".join(
        json.dumps({"text": text, "label": label}, ensure_ascii=False).encode() + b"\n" for text, label in rows
    )


def csv_bytes(rows: Sequence[tuple[str, str]], end: str = "\r\n") -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator=end).writerows([("id", "text", "label"), *((1, *row) for row in rows)])
    return file.getvalue().encode()


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "A.JSONL", "a.ndjson", "packed.jsonl"])
def test_json_lines_are_read_plain_and_packed(tmp_path: Path, name: str) -> None:
    data = json_lines(REVIEWS)
    path = write(tmp_path / name, gzip.compress(data) if name == "packed.jsonl" else data)
    assert [(row.text, row.label) for row in read(path)] == REVIEWS
    assert [row.place for row in read(path)] == ["line 1", "line 2", "line 3"]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_is_read_with_fields_over_several_lines(tmp_path: Path, name: str, end: str) -> None:
    path = write(tmp_path / name, csv_bytes(REVIEWS, end))
    assert [(row.text, row.label) for row in read(path)] == REVIEWS
    assert [row.place for row in read(path)] == ["row 1 (line 2)", "row 2 (line 3)", "row 3 (line 6)"]


def test_a_byte_order_mark_and_empty_lines_do_not_count(tmp_path: Path) -> None:
    mark = b"\xef\xbb\xbf"
    lines = write(
        tmp_path / "a.jsonl", mark + json_lines(REVIEWS[:1]).replace(b"\n", b"\r\n\r\n") + json_lines(REVIEWS[1:])
    )
    assert [(row.text, row.place) for row in read(lines)][:2] == [(REVIEWS[0][0], "line 1"), (REVIEWS[1][0], "line 3")]
    table = write(tmp_path / "a.csv", mark + b"text,label\n\nfine,pos\n\n")
    assert [(row.text, row.place) for row in read(table)] == [("fine", "row 1 (line 3)")]


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8"), min_size=1)
        ).filter(lambda row: bool(row[1].strip())),
        min_size=1,
    )
)
def test_any_text_comes_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    lines = read(write(folder / "a.jsonl", json_lines(rows)))
    assert [(row.text, row.label) for row in lines] == rows
    table = read(write(folder / "a.csv.gz", csv_bytes(rows)))
    assert [(row.text, row.label) for row in table] == [(text, label.strip()) for text, label in rows]


def test_lone_surrogates_are_read_as_the_worker_reads_them(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", rb'{"text": "a \ud83d b \ud83d\ude00", "label": 1}')
    assert read(path)[0].text == "a \N{REPLACEMENT CHARACTER} b \N{GRINNING FACE}"


def test_fields_may_have_other_names_and_lie_deeper(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", b'{"review": {"body": "fine"}, "a.b": 1, "label": 0}')
    (row,) = read(path, "review.body", "a.b")
    assert (row.text, row.label) == ("fine", 1)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"text": "x", "id": 1}', "no member 'label'; the members there are: text, id (--label-field names another)"),
        ('{"text": "x", "label": null}', "'label' is null"),
    ],
)
def test_a_row_without_a_label_says_what_it_has_instead(tmp_path: Path, line: str, why: str) -> None:
    assert read(write(tmp_path / "a.jsonl", line.encode()))[0].label == NoLabel(why)


def test_an_empty_label_of_a_table_is_none(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.csv", b"text,label\nfine, \n"))[0].label == NoLabel("'label' is empty")


def test_a_text_that_is_null_is_blank(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.jsonl", b'{"text": null, "label": 1}'))[0].text == ""


GOOD = b'{"text": "a secret", "label": 1}\n'

TEXT, LABEL = "(--text-field names another)", "(--label-field names another)"
EACH = "; each line holds one object"
TOO_DEEP = "a number is too long, or the object nested too deeply"
FAULTS = [
    ("a.jsonl", GOOD + b'{"text": "secret", "n" 1}', f"line 2: not JSON (Expecting ':' delimiter at column 24){EACH}"),
    ("a.jsonl", GOOD + b'\n["a secret"]\n', f"line 3: an array, not an object{EACH}"),
    ("a.jsonl", b'{"body": "secret", "n": 1}', f"line 1: no member 'text'; the members there are: body, n {TEXT}"),
    ("a.jsonl", b'{"text": 17, "label": 1}', "line 1: 'text' is a number, not text"),
    ("a.jsonl", b'{"text": {"secret": 1}, "label": 1}', "line 1: 'text' is an object, not text"),
    ("a.jsonl", GOOD + b'{"text": "a secret \xe9", "label": 1}', "line 2: not UTF-8 at byte 20 of the line"),
    ("a.jsonl", GOOD.decode().encode("utf-16"), "line 1: not UTF-8 at byte 1 of the line"),
    ("a.jsonl", b'{"label": 1' + b"0" * 5000 + b"}", f"line 1: {TOO_DEEP}"),
    ("a.jsonl", b"[" * 100_000, f"line 1: {TOO_DEEP}"),
    ("a.csv", b"id;text\n1;secret\n", f"no column 'text'; the columns there are: id;text {TEXT}"),
    ("a.csv", b"text,n\na secret,5\n", f"no column 'label'; the columns there are: text, n {LABEL}"),
    ("a.csv", b"text,label,text\na secret,1,b\n", "2 columns are called 'text'; --text-field names another"),
    ("a.csv", b'text,label\n"a\nb",1\na secret\n', "row 2 (line 4): 1 fields, but the first row names 2 columns"),
    ("a.csv", b'text,label\nfine,1\n"secret" x,1\n', "the row from line 3 on: not CSV (',' expected after '\"')"),
    ("a.csv", b'text,label\nfine,1\n"secret,1\nb,2\n', "the row from line 3 on: not CSV (unexpected end of data)"),
    ("a.csv", b"text,label\na secret \xff,1\n", "line 2: not UTF-8 at byte 10 of the line"),
    ("a.csv", b"\n\n", f"no column 'text'; the columns there are: none {TEXT}"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "data", "fault"), FAULTS, ids=[fault for _, _, fault in FAULTS])
def test_a_fault_is_one_line_with_its_place_and_no_word_of_a_review(
    tmp_path: Path, name: str, data: bytes, fault: str
) -> None:
    path = write(tmp_path / name, data)
    with pytest.raises(UsageError) as raised:
        read(path)
    message = str(raised.value)
    assert message.startswith(str(path))
    assert message.removeprefix(str(path)).lstrip(":, ") == fault
    assert "secret" not in message


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv"])
def test_an_empty_file_is_an_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.touch()
    with pytest.raises(UsageError, match="the file is empty"):
        read(path)


def test_a_pipe_is_read_though_nobody_knows_how_much_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(json_lines(REVIEWS),))
    writer.start()
    with opened(path) as source:
        assert [row.text for row in source.rows] == [text for text, _ in REVIEWS]
        assert source.share_read() == 0
    writer.join()


def test_an_empty_packed_file_has_no_rows(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.jsonl.gz", b"")) == []


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-20], lambda data: data[:40] + b"damage" + data[46:], lambda data: b"plain"]
)
def test_a_damaged_gzip_file_is_an_error_with_a_place(tmp_path: Path, damage) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(damage(gzip.compress(json_lines(REVIEWS * 50))))
    with pytest.raises(UsageError, match=r"a\.jsonl\.gz, line \d+: (cannot be read|not)"):
        read(path)


@pytest.mark.parametrize("name", ["a.txt", "a.json", "a.parquet.gz", "a"])
def test_an_unknown_suffix_is_an_error_that_names_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"known are \.jsonl, \.csv \(each also with \.gz\) and \.parquet"):
        read(write(tmp_path / name, GOOD))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path / "a.jsonl")


def test_the_two_fields_must_differ() -> None:
    with pytest.raises(UsageError, match="--text-field and --label-field both name 'text'"):
        Columns("text", "text")


def test_a_line_that_never_ends_is_not_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "MAX_ROW_BYTES", 2**20)
    path = write(tmp_path / "a.jsonl", GOOD + b'{"text": "' + b"a" * 2**21)
    with pytest.raises(UsageError, match=r"line 2: longer than 1 MiB"):
        read(path)


def test_a_quote_that_is_never_closed_is_not_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "MAX_ROW_BYTES", 2**16)
    path = write(tmp_path / "a.csv", b'text,label\nfine,1\n"a' + b"b,1\n" * 2**17)
    before = csv.field_size_limit()
    with pytest.raises(UsageError, match=r"row from line 3 on: not CSV \(field larger than field limit"):
        read(path)
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.jsonl.gz"])
def test_a_file_is_read_no_further_than_is_asked_for(tmp_path: Path, name: str) -> None:
    rows = [(f"{number} " + "".join(chr(97 + number * k % 26) for k in range(300)), "pos") for number in range(20_000)]
    path = write(tmp_path / name, csv_bytes(rows) if name == "a.csv" else json_lines(rows))
    with opened(path) as source:
        assert source.share_read() == 0
        next(source.rows)
        first = source.share_read()
        assert 0 < first < 0.25
        for _ in range(10_000):
            next(source.rows)
        assert first < source.share_read() < 0.8
        assert sum(1 for _ in source.rows) == 20_000 - 10_001
        assert source.share_read() == 1
