"""Parquet, in batches of the two columns."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from evaluation_parts import opened, read

from worker.errors import UsageError
from worker.extras import install_command
from worker.modelkit.evaluation.rows import NoLabel

TEXTS = ["Café 🎬", "two\nlines", "fine"]


def write(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (pa.array([1, 0, 1], pa.int8()), [1, 0, 1]),
        (pa.array([1.0, 0.0, 1.0]), [1.0, 0.0, 1.0]),
        (pa.array(["pos", "neg", "pos"]), ["pos", "neg", "pos"]),
        (pa.array(["pos", "neg", "pos"]).dictionary_encode(), ["pos", "neg", "pos"]),
        (pa.array([True, False, True]), [True, False, True]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array | pa.ChunkedArray) else "",
)
def test_labels_may_have_any_type_that_names_one(tmp_path: Path, labels: Any, expected: list[object]) -> None:
    rows = read(write(tmp_path / "a.parquet", id=[1, 2, 3], text=TEXTS, label=labels))
    assert [(row.text, row.label) for row in rows] == list(zip(TEXTS, expected, strict=True))
    assert [row.place for row in rows] == ["row 1", "row 2", "row 3"]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary(), pa.string_view()])
def test_texts_may_have_any_type_of_text(tmp_path: Path, kind: Any) -> None:
    texts = pa.array([text.encode() for text in TEXTS], pa.binary()).cast(pa.string()).cast(kind)
    assert [row.text for row in read(write(tmp_path / "a.parquet", text=texts, label=[0, 1, 0]))] == TEXTS


def test_nulls_are_a_blank_text_and_no_label(tmp_path: Path) -> None:
    rows = read(write(tmp_path / "a.parquet", text=["fine", None, "x"], label=["pos", None, ""]))
    assert [(row.text, row.label) for row in rows] == [
        ("fine", "pos"),
        ("", NoLabel("'label' is null")),
        ("x", NoLabel("'label' is empty")),
    ]


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    (row,) = read(write(tmp_path / "a.parquet", body=["fine"], stars=[5]), "body", "stars")
    assert (row.text, row.label) == ("fine", 5)


TEXT, LABEL = "(--text-field names another)", "(--label-field names another)"
FAULTS = [
    ({"body": ["a secret"], "label": [1]}, "no column 'text'; the columns there are: body, label " + TEXT),
    ({"text": ["a secret"]}, "no column 'label'; the columns there are: text " + LABEL),
    ({"text": [1], "label": [1]}, "the column 'text' has the type int64, which is no text"),
    ({"text": ["a secret"], "label": [[1]]}, "the column 'label' has the type list<element: int64>, which is no label"),
]  # fmt: skip


@pytest.mark.parametrize(("columns", "fault"), FAULTS, ids=[fault for _, fault in FAULTS])
def test_a_column_that_does_not_fit_is_named_with_those_there_are(
    tmp_path: Path, columns: dict[str, Any], fault: str
) -> None:
    path = write(tmp_path / "a.parquet", **columns)
    with pytest.raises(UsageError) as raised:
        read(path)
    assert str(raised.value) == f"{path}: {fault}"


def test_text_that_is_not_utf_8_is_an_error_with_its_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", text=pa.array([b"fine", b"a secret \xff"], pa.binary()), label=[0, 1])
    with pytest.raises(UsageError, match=r"a\.parquet, row 2: not UTF-8 at byte 10 of a text$"):
        read(path)


@pytest.mark.parametrize(("data", "fault"), [(b"", "the file is empty"), (b"PAR1 no parquet", "not a Parquet file")])
def test_what_is_no_parquet_file_is_an_error(tmp_path: Path, data: bytes, fault: str) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=fault):
        read(path)


def test_a_damaged_file_is_an_error_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    rows = 2_000
    texts = [f"review {number} " + "x" * 50 for number in range(rows)]
    pq.write_table(
        pa.table({"text": texts, "label": [0] * rows}),
        path,
        row_group_size=100,
        compression="zstd",
        use_dictionary=False,
    )
    data = bytearray(path.read_bytes())
    data[len(data) // 8 : len(data) // 4] = b"\xff" * (len(data) // 4 - len(data) // 8)
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"a\.parquet, after row \d+: cannot be read"):
        read(path)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path / "a.parquet")


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.parquet", text=["fine"], label=[1])
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match="needs pyarrow; install it with: " + re.escape(install_command("evaluate"))):
        read(path)


def test_a_file_is_read_no_further_than_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", text=[str(number) for number in range(1_000)], label=[0] * 1_000)
    with opened(path) as source:
        for _ in range(300):
            next(source.rows)
        assert source.share_read() == 0.3
        assert sum(1 for _ in source.rows) == 700
        assert source.share_read() == 1
