"""The layouts inside of a saved model, each by itself, against a writer of the same layout."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sparknlp_writer import (
    block,
    bundle_entry,
    field,
    floats,
    java_tuples,
    sequence_file,
    table,
    tensor_bundle,
    varint,
)

from worker.modelkit.convert.shape import CheckpointError
from worker.modelkit.convert.sources.hadoop import sequence_values
from worker.modelkit.convert.sources.java_serial import read_pairs
from worker.modelkit.convert.sources.protobuf import Message
from worker.modelkit.convert.sources.tensor_bundle import TensorBundle

HEADER = (b"", field(1, 1))


def _values(data: bytes) -> list[bytes]:
    return [bytes(value) for value in sequence_values(data, "part-00000")]


def _floats(index: bytes, data: bytes, key: str = "a") -> Any:
    return TensorBundle(index, data, "bundle").floats(key)


def _refused(message: str, read: Callable[..., Any], *arguments: Any) -> None:
    with pytest.raises(CheckpointError, match=message) as raised:
        read(*arguments)
    assert "\n" not in str(raised.value)


# Hadoop's SequenceFile


@given(st.lists(st.binary(max_size=300)), st.integers(0, 3))
def test_every_value_of_a_sequence_file_is_read(values: list[bytes], sync_every: int) -> None:
    assert _values(sequence_file(*values, sync_every=sync_every)) == values


def test_a_sequence_file_may_be_a_header_only() -> None:
    assert _values(sequence_file()) == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "version 6"),
        (b"SEQ\x04" + sequence_file()[4:], "version 6"),
        (sequence_file(compressed=True), "compressed"),
        (sequence_file(classes=("org.apache.hadoop.io.Text", "x")), "not bytes"),
        (sequence_file(b"value")[:-1], "were announced"),
        (sequence_file(b"value") + struct.pack(">i", -1) + bytes(16), "sync mark"),
        (sequence_file() + struct.pack(">ii", -2, 0), "were announced"),
        (sequence_file() + struct.pack(">iii", 4, 0, 1 << 30), "were announced"),
    ],
)
def test_a_sequence_file_of_another_kind_is_refused(data: bytes, message: str) -> None:
    _refused(message, _values, data)


# Java's serialisation

PAIRS = st.lists(st.tuples(st.text(max_size=20), st.integers(-(2**31), 2**31 - 1) | st.text(max_size=20)), max_size=6)


@given(PAIRS)
def test_every_pair_of_a_java_array_is_read(pairs: list[tuple[str, str | int]]) -> None:
    assert read_pairs(java_tuples(*pairs), "part") == pairs


def test_characters_that_java_spells_in_its_own_way_are_read() -> None:
    pairs: list[tuple[str, str | int]] = [("\N{PILE OF POO} \0 \u0416 \u7d20", 3)]
    assert read_pairs(java_tuples(*pairs), "part") == pairs


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a serialised Java object"),
        (java_tuples(("neg", 0))[:-1], "were announced"),
        (java_tuples(("neg", 0)) + b"\x70", "more than one"),
        (java_tuples(("neg", 0), name="scala.Tuple2$mcII$sp"), "none that labels are made of"),
        (java_tuples(("neg", 0), name="org.evil.Gadget"), "none that labels are made of"),
        (java_tuples(("neg", 0)).replace(b"java.lang.Integer", b"java.lang.Runtime"), "none that labels are made of"),
        (java_tuples(("neg", 0)).replace(b"value", b"other"), "another layout"),
        (java_tuples(("neg", 0)).replace(b"\x01\x73", b"\x01\x7e"), "stands where a tuple"),
        (java_tuples(("neg", 0)).replace(b"\x74\x00\x03neg", b"\x71\x00\x7e\x00\x00"), "refers to something else"),
        (java_tuples(("neg", 0)).replace(b"\x74\x00\x03neg", b"\x71\x00\x7e\xff\x00"), "leads nowhere"),
        (java_tuples(("neg", 0)).replace(b"\x74\x00\x03neg", b"\x70"), "not a string"),
        (java_tuples(("neg", 0)).replace(b"neg", b"n\xffg"), "not Java's UTF-8"),
        (java_tuples(("neg", 0)).replace(b"\x00\x00\x00\x01\x73", b"\x7f\xff\xff\xff\x73"), "array of 2147483647"),
    ],
)
def test_any_other_java_object_is_refused(data: bytes, message: str) -> None:
    _refused(message, read_pairs, data, "part")


# Protobuf


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_integers_are_read_packed_or_not(values: list[int]) -> None:
    packed = field(1, b"".join(varint(value) for value in values))
    spread = b"".join(field(1, value) for value in values)
    assert Message(packed, "file").integers(1) == values
    assert Message(spread, "file").integers(1) == values


def test_the_last_value_of_a_field_counts_and_none_is_zero() -> None:
    message = Message(field(1, "one") + field(1, "two") + field(2, 7), "file")
    assert (message.text(1), message.texts(1)) == ("two", ["one", "two"])
    assert (message.integer(2), message.integer(3), message.text(3), message.count(1)) == (7, 0, "", 2)


@pytest.mark.parametrize(
    ("data", "number"), [(b"\x0b", 1), (b"\x08", 1), (b"\x80" * 11, 1), (b"\x0a\x05abc", 1), (field(1, 5), 1)]
)
def test_bytes_that_are_no_message_are_refused(data: bytes, number: int) -> None:
    _refused("file", Message(data, "file").text, number)


# The tensor bundle


def test_every_tensor_of_a_bundle_is_read_over_many_blocks() -> None:
    tensors: dict[str, Any] = {f"variables/{index}/.ATTRIBUTES/VALUE": floats(index, 3) + index for index in range(40)}
    tensors["text"] = b"of any length" * 30
    bundle = TensorBundle(*tensor_bundle(tensors), "bundle")
    assert bytes(bundle.string("text")) == tensors.pop("text")
    for key, value in tensors.items():
        np.testing.assert_array_equal(bundle.floats(key), value)


def test_a_scalar_is_a_tensor() -> None:
    assert _floats(*tensor_bundle({"a": np.float32(3.5).reshape(())})) == 3.5


def _index(*entries: tuple[bytes, bytes]) -> bytes:
    return table([HEADER, *entries])


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (b"", "not an index"),
        (_index()[:-1], "not an index"),
        (bytes(60) + _index()[-48:], "more marks|were announced|overlap"),
        (table([HEADER], compression=1), "compressed"),
        (_index((b"a", bundle_entry(19, (2, 2), 0, 8))), "float16; only float32"),
        (_index((b"a", bundle_entry(77, (2, 2), 0, 16))), "the type 77"),
        (_index((b"a", bundle_entry(1, (2, 3), 0, 16))), r"its shape \(2, 3\) asks for 24"),
        (_index((b"a", bundle_entry(1, (2, -2), 0, 16))), "has the shape"),
        (_index((b"a", bundle_entry(1, (1,) * 9, 0, 16))), "has the shape"),
        (_index((b"a", bundle_entry(1, (2**40, 2**40), 0, 2**82 & (2**63 - 1)))), "asks for"),
        (_index((b"a", bundle_entry(1, (2, 2), 4, 16))), "the data has 16"),
        (_index((b"a", bundle_entry(1, (2, 2), -8, 16))), "the data has 16"),
        (_index((b"a", bundle_entry(1, (2, 2), 0, 16, shard=1))), "several places"),
        (_index((b"a", bundle_entry(1, (2, 2), 0, 16) + field(7, b""))), "several places"),
        (_index((b"b", bundle_entry(1, (2, 2), 0, 16))), "'a' is missing"),
        (table([(b"", field(1, 2))]), "in 2 files"),
        (table([(b"", field(1, 1) + field(2, 1))]), "big endian"),
    ],
)
def test_a_bundle_that_cannot_be_read_is_one_line(index: bytes, message: str) -> None:
    _refused(message, _floats, index, floats(2, 2).tobytes())


def _with_blocks(body: bytes, handles: Iterable[tuple[bytes, bytes]]) -> bytes:
    root = block(handles)
    footer = varint(0) * 2 + varint(len(body)) + varint(len(root) - 5)
    return body + root + footer.ljust(40, b"\x00") + bytes.fromhex("57fb808b247547db")


def test_an_index_that_names_a_block_again_and_again_is_refused() -> None:
    """Else a small file could take hours."""
    body = block([HEADER])
    handle = varint(0) + varint(len(body) - 5)
    _refused("overlap", _floats, _with_blocks(body, [(b"a", handle), (b"b", handle)]), b"")


def test_an_index_with_endless_keys_is_refused() -> None:
    key = b"k" * 5000
    _refused("too long", _floats, _index((key, bundle_entry(1, (), 0, 4))), bytes(4))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=5), st.integers(0, 200))
def test_a_damaged_layout_is_read_or_is_one_line(changes: list[tuple[int, int]], cut: int) -> None:
    def damaged(data: bytes) -> bytes:
        changed = bytearray(data)
        for place, value in changes:
            changed[place % len(changed)] = value
        return bytes(changed[: len(changed) - cut] if cut < len(changed) // 2 else changed)

    index, data = tensor_bundle({"a": floats(2, 2), "text": b"text"})
    attempts: list[Callable[[], Any]] = [
        lambda: _values(damaged(sequence_file(b"one", b"two", sync_every=1))),
        lambda: read_pairs(damaged(java_tuples(("neg", 0), ("pos", "one"))), "part"),
        lambda: _floats(damaged(index), data),
        lambda: TensorBundle(damaged(index), data, "bundle").string("text"),
        lambda: TensorBundle(index, damaged(data), "bundle").string("text"),
    ]
    for attempt in attempts:
        try:
            attempt()
        except CheckpointError as error:
            assert "\n" not in str(error)
