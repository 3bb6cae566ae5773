"""The golden set: what it refuses, and that a worker loads no model that says something else than it did."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from albert_reference import write_tiny_artifact
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.errors import ArtifactError, ExitCode, InferenceError, NotFiniteError, OutOfMemoryError
from worker.inference import Artifact, SessionOptions, open_session
from worker.inference.artifact import BUNDLED_PATH, GRAPH, MANIFEST
from worker.inference.golden import GOLDEN, GoldenReview, GoldenSet
from worker.modelkit.convert.awkward_texts import GOLDEN_TEXTS
from worker.modelkit.convert.golden_writer import TOLERANCES, golden_set
from worker.observability.metrics import Metrics
from worker.records import Encoding
from worker.service.model_loading import load_model
from worker.settings import Settings
from worker.tokenization.tokenizer import Tokenizer

CPU = SessionOptions(provider="cpu", threads=1)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_artifact(tmp_path_factory.mktemp("golden") / "tiny")


@pytest.fixture(scope="module")
def tokeniser(tiny: Path) -> Tokenizer:
    return Artifact.load(tiny).load_tokeniser()


@pytest.fixture(scope="module")
def golden(tiny: Path) -> GoldenSet:
    return GoldenSet.load(tiny / GOLDEN)


class Recalling:
    """Says of each row what the set says of it; `change` may do something to the answer."""

    provider = "cpu"

    def __init__(self, golden: GoldenSet, change: Callable[[npt.NDArray[np.float32]], object] = lambda scores: None):
        self.calls: list[tuple[npt.NDArray[np.int32], list[int]]] = []
        self._known = {review.ids: review.scores for review in golden.reviews}
        self._change = change

    def predict(self, ids: npt.NDArray[np.int32], lengths: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        self.calls.append((ids, lengths.tolist()))
        rows = [tuple(row[:length].tolist()) for row, length in zip(ids, lengths, strict=True)]
        scores = np.array([self._known[row] for row in rows], dtype=np.float32)
        self._change(scores)
        return scores


def _raise(error: Exception) -> Callable[[object], None]:
    def change(scores: object) -> None:
        raise error

    return change


def _set_of(*sizes: int, tolerance: float = 0.01) -> GoldenSet:
    """Reviews of so many tokens each, and different scores."""
    reviews = [GoldenReview("", tuple(range(10, 10 + size)), (size / 100, 1 - size / 100)) for size in sizes]
    return GoldenSet(tolerance, tuple(reviews))


class Agreeing:
    """A tokeniser that has the tokens of each text ready, in the order of the set."""

    pad_id = 7

    def __init__(self, golden: GoldenSet) -> None:
        self._reviews = iter(golden.reviews)

    def encode(self, text: str) -> Encoding:
        return Encoding(np.array(next(self._reviews).ids, dtype=np.int32), truncated=False)


# --- the file -----------------------------------------------------------------------------------------------------


def test_what_is_written_is_what_is_read(tmp_path: Path, golden: GoldenSet) -> None:
    path = tmp_path / GOLDEN
    path.write_text(json.dumps(golden.as_json()))
    assert GoldenSet.load(path) == replace(golden, path=path)


@settings(max_examples=25)
@given(
    st.floats(0, 1, exclude_max=True),
    st.lists(
        st.tuples(st.text(), st.lists(st.integers(0, 2**31 - 1)), st.lists(st.floats(0, 1), min_size=3, max_size=3)),
        min_size=1,
    ),
)
def test_any_set_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, tolerance: float, rows: list[tuple[str, list[int], list[float]]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    reviews = tuple(GoldenReview(text, tuple(ids), tuple(scores)) for text, ids, scores in rows)
    path.write_text(json.dumps(GoldenSet(tolerance, reviews).as_json()))
    assert GoldenSet.load(path) == GoldenSet(tolerance, reviews, path)


BROKEN: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"{",
    "no UTF-8": b'{"tolerance": "\xff"}',
    "a list": b"[]",
    "null": b"null",
    "no tolerance": b'{"reviews": [{"text": "a", "ids": [2, 3], "scores": [0.5, 0.5]}]}',
    "a tolerance that is a word": b'{"tolerance": "x", "reviews": [{"text": "a", "ids": [2], "scores": [1]}]}',
    "no reviews": b'{"tolerance": 0.1}',
    "an empty set": b'{"tolerance": 0.1, "reviews": []}',
    "reviews that are a number": b'{"tolerance": 0.1, "reviews": 3}',
    "a review without scores": b'{"tolerance": 0.1, "reviews": [{"text": "a", "ids": [2, 3]}]}',
    "scores that are words": b'{"tolerance": 0.1, "reviews": [{"text": "a", "ids": [2], "scores": ["x"]}]}',
    "scores that are null": b'{"tolerance": 0.1, "reviews": [{"text": "a", "ids": [2], "scores": null}]}',
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_one_line_that_names_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / GOLDEN
    path.write_bytes(content)
    with pytest.raises(ArtifactError) as caught:
        GoldenSet.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code is ExitCode.ARTIFACT


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"golden\.json: the file is missing"):
        GoldenSet.load(tmp_path / GOLDEN)


# --- the check ----------------------------------------------------------------------------------------------------


def test_an_artifact_holds_what_its_golden_set_says(tiny: Path, golden: GoldenSet, tokeniser: Tokenizer) -> None:
    artifact = Artifact.load(tiny)
    assert [review.text for review in golden.reviews] == list(GOLDEN_TEXTS)
    assert golden.check(tokeniser, open_session(artifact, CPU)) <= 1e-5
    assert golden.tolerance == TOLERANCES["fp32"]


def test_the_writer_says_the_same_each_time(tiny: Path, golden: GoldenSet) -> None:
    again = golden_set(Artifact.load(tiny))
    assert [review.ids for review in again.reviews] == [review.ids for review in golden.reviews]
    scores, expected = ([review.scores for review in one.reviews] for one in (again, golden))
    np.testing.assert_allclose(scores, expected, atol=1e-6)


def test_the_set_of_an_int8_model_allows_for_company_in_a_batch(tmp_path: Path) -> None:
    artifact = Artifact.load(write_tiny_artifact(tmp_path / "tiny", "int8"))
    golden = GoldenSet.load(artifact.golden_path)
    assert golden.tolerance >= TOLERANCES["int8"]
    assert golden.check(artifact.load_tokeniser(), open_session(artifact, CPU)) <= golden.tolerance / 2


def test_other_tokens_are_refused_with_the_remedy(golden: GoldenSet, tokeniser: Tokenizer) -> None:
    reviews = list(golden.reviews)
    reviews[3] = replace(reviews[3], ids=(*reviews[3].ids[:-1], 9, 3))
    session = Recalling(golden)
    with pytest.raises(ArtifactError, match=r"golden\.json: text 3 gives other tokens.*import it again") as caught:
        replace(golden, reviews=tuple(reviews)).check(tokeniser, session)
    assert reviews[3].text not in str(caught.value)
    assert session.calls == []


def test_a_tokeniser_that_keeps_capitals_is_found_out(tiny: Path, golden: GoldenSet) -> None:
    artifact = Artifact.load(tiny)
    cased = Tokenizer(artifact.pieces_path, max_length=artifact.max_length, lower_case=False)
    with pytest.raises(ArtifactError, match="other tokens"):
        golden.check(cased, Recalling(golden))


def _shift(number: float) -> Callable[[npt.NDArray[np.float32]], None]:
    def change(scores: npt.NDArray[np.float32]) -> None:
        scores[-1] += np.array([number, -number], dtype=np.float32)

    return change


def test_a_probability_within_the_tolerance_passes_and_the_largest_is_the_answer(
    golden: GoldenSet, tokeniser: Tokenizer
) -> None:
    wide = replace(golden, tolerance=0.02)
    assert wide.check(tokeniser, Recalling(golden)) == pytest.approx(0, abs=1e-6)
    assert wide.check(tokeniser, Recalling(golden, _shift(0.019))) == pytest.approx(0.019, abs=1e-5)


@pytest.mark.parametrize("number", [0.021, -0.021])
def test_a_probability_beyond_the_tolerance_is_refused_with_the_remedy(
    golden: GoldenSet, tokeniser: Tokenizer, number: float
) -> None:
    wide = replace(golden, tolerance=0.02)
    with pytest.raises(ArtifactError, match=r"provider cpu.*tolerance 0\.02.*--provider") as caught:
        wide.check(tokeniser, Recalling(golden, _shift(number)))
    assert not any(text in str(caught.value) for text in GOLDEN_TEXTS if len(text) > 5)


def test_scores_that_are_not_finite_are_refused_even_where_the_session_says_nothing(
    golden: GoldenSet, tokeniser: Tokenizer
) -> None:
    with pytest.raises(ArtifactError):
        golden.check(tokeniser, Recalling(golden, _shift(np.nan)))


def test_a_model_that_puts_out_nan_is_refused_with_the_remedy(tiny: Path, tmp_path: Path, tokeniser: Tokenizer) -> None:
    folder = _copied(tiny, tmp_path / "nan")
    model = onnx.load(folder / GRAPH)
    for tensor in model.graph.initializer:
        if tensor.name == "classifier.bias":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.full(2, np.nan, dtype=np.float32), tensor.name))
    onnx.save(model, folder / GRAPH)
    artifact = _with_fixed_hashes(folder, GRAPH)
    with pytest.raises(ArtifactError, match=r"not finite on the provider cpu; import it with --precision fp32"):
        GoldenSet.load(artifact.golden_path).check(tokeniser, open_session(artifact, CPU))
    with pytest.raises(NotFiniteError):
        golden_set(artifact)


@pytest.mark.parametrize(
    "error",
    [
        InferenceError("ONNX Runtime failed (a kernel)"),
        InferenceError("ONNX Runtime failed (the scale is not finite)"),
        OutOfMemoryError("out of memory"),
    ],
)
def test_what_else_fails_in_a_session_passes_through(
    golden: GoldenSet, tokeniser: Tokenizer, error: InferenceError
) -> None:
    with pytest.raises(InferenceError) as caught:
        golden.check(tokeniser, Recalling(golden, _raise(error)))
    assert caught.value is error


@pytest.mark.parametrize("sizes", [(3,), (5, 3), (4, 9, 6), (8, 2, 5, 4)], ids=str)
def test_each_review_is_computed_alone_and_neighbours_in_length_together(sizes: tuple[int, ...]) -> None:
    golden = _set_of(*sizes)
    session = Recalling(golden)

    golden.check(Agreeing(golden), session)  # type: ignore[arg-type]

    alone = [lengths[0] for _, lengths in session.calls if len(lengths) == 1]
    pairs = [lengths for _, lengths in session.calls if len(lengths) > 1]
    ordered = sorted(sizes)
    assert sorted(alone) == ordered
    assert pairs == [list(pair) for pair in zip(ordered[::2], ordered[1::2], strict=False)]
    for ids, lengths in session.calls:
        assert ids.dtype == np.int32
        for row, length in zip(ids, lengths, strict=True):
            assert row[length:].tolist() == [Agreeing.pad_id] * (max(lengths) - length)


def test_a_session_that_minds_padding_is_found_out(golden: GoldenSet, tokeniser: Tokenizer) -> None:
    def change(scores: npt.NDArray[np.float32]) -> None:
        if len(scores) > 1:
            scores[0] = scores[0, ::-1]

    golden.check(tokeniser, Recalling(golden))
    with pytest.raises(ArtifactError, match="tolerance"):
        golden.check(tokeniser, Recalling(golden, change))


# --- a worker loads its model -------------------------------------------------------------------------------------


def _copied(source: Path, target: Path) -> Path:
    shutil.copytree(source, target)
    return target


def _with_fixed_hashes(folder: Path, *names: str) -> Artifact:
    manifest = json.loads((folder / MANIFEST).read_text())
    for name in names:
        manifest["sha256"][name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return Artifact.load(folder)


def _settings(model: Path) -> Settings:
    return Settings(model=model, provider="cpu", max_batch_tokens=1024)


def test_a_worker_loads_the_bundled_model() -> None:
    model = load_model(_settings(BUNDLED_PATH), Metrics())
    assert (model.provider, model.labels) == ("cpu", ("neg", "pos"))


def _other_scores(document: dict[str, Any]) -> None:
    document["reviews"][0]["scores"].reverse()


def _other_tokens(document: dict[str, Any]) -> None:
    document["reviews"][1]["ids"][1] += 1


@pytest.mark.parametrize(
    ("edit", "message"),
    [(_other_scores, r"text 0: .*\(tolerance 0\.03\)"), (_other_tokens, "text 1 gives other tokens")],
)
def test_a_worker_refuses_a_model_that_says_something_else_than_it_did(
    tmp_path: Path, edit: Callable[[dict[str, Any]], None], message: str
) -> None:
    folder = _copied(BUNDLED_PATH, tmp_path / "model")
    document = json.loads((folder / GOLDEN).read_text(encoding="utf-8"))
    edit(document)
    (folder / GOLDEN).write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match="altered"):
        load_model(_settings(folder), Metrics())
    _with_fixed_hashes(folder, GOLDEN)
    with pytest.raises(ArtifactError, match=rf"golden\.json: {message}") as caught:
        load_model(_settings(folder), Metrics())
    assert "\n" not in str(caught.value)
