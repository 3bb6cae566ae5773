"""Each private name that we use is in the libraries and in use there, and each is in the list."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable

import pytest

from tests.seams import library, our_uses
from tests.seams.our_uses import Use
from tests.seams.private_names import NOT_OF_THESE_LIBRARIES, OF_NAMED_TUPLES, PRIVATE_NAMES, How, PrivateName

LISTED = {Use(file, private.name) for private in PRIVATE_NAMES for file in private.files}
OTHERS = {Use(*use) for use in NOT_OF_THESE_LIBRARIES}


@functools.cache
def in_use() -> frozenset[Use]:
    """All that our source uses and that may be a private name of the libraries."""
    trees = our_uses.trees()
    found = our_uses.reached(trees) | our_uses.replaced(trees) | our_uses.overridden() | our_uses.inherited()
    return frozenset(use for use in found if use.name not in OF_NAMED_TUPLES)


def lines(uses: Iterable[Use]) -> str:
    return "\n".join(f"{use.file}: {use.name}" for use in sorted(uses))


@pytest.mark.parametrize("private", PRIVATE_NAMES, ids=str)
def test_the_libraries_have_the_name_and_use_it(private: PrivateName) -> None:
    fault = library.fault_of(private)
    assert fault is None, f"{fault}. It is used in {', '.join(private.files)}; see docs/library-repairs.md"


def test_our_files_can_be_imported_with_these_libraries() -> None:
    failed = our_uses.not_importable()
    assert not failed, "\n".join(f"{file}: {why}" for file, why in failed.items())


def test_every_private_name_that_we_use_is_listed() -> None:
    missing = in_use() - LISTED - OTHERS
    assert not missing, f"not in tests/seams/private_names.py:\n{lines(missing)}"


def test_every_name_in_the_list_is_used_where_it_says() -> None:
    stale = {use for use in LISTED if not our_uses.mentions(use)}
    assert not stale, f"listed in tests/seams/private_names.py, and no longer there:\n{lines(stale)}"


def test_what_is_said_to_be_of_others_is_still_used() -> None:
    assert not OTHERS - in_use(), lines(OTHERS - in_use())
    assert not OTHERS & LISTED, lines(OTHERS & LISTED)


@pytest.mark.parametrize(
    "source",
    [
        "consumer._new",
        "consumer._known._new",
        "self._consumer._new",
        "consumer._new = 1",
        "super()._new()",
        "getattr(consumer, '_new', None)",
        "from aiokafka.consumer.fetcher import _new",
    ],
)
def test_a_private_name_is_found_however_it_is_reached(source: str) -> None:
    assert Use("file.py", "_new") in our_uses.reached({"file.py": ast.parse(source)})


@pytest.mark.parametrize(
    "source",
    [
        "fetcher.New = Ours",
        "fetcher.Known, fetcher.New = 1, Ours",
        "for module in modules: module.New = Ours",
        "setattr(fetcher, 'New', Ours)",
    ],
)
def test_a_replaced_name_is_found_however_it_is_replaced(source: str) -> None:
    tree = ast.parse(f"from aiokafka.consumer import fetcher\n{source}")
    assert Use("file.py", "New") in our_uses.replaced({"file.py": tree})


FETCHER = "aiokafka.consumer.fetcher"


@pytest.mark.parametrize(
    "private",
    [
        PrivateName("_renamed", f"{FETCHER}:Fetcher", How.READ, ()),
        PrivateName("_records", f"{FETCHER}:Renamed", How.READ, ()),
        PrivateName("_records", "aiokafka.consumer.renamed:Fetcher", How.READ, ()),
        PrivateName("Renamed", FETCHER, How.REPLACED, ()),
        PrivateName("__all__", "aiokafka.client", How.REPLACED, ()),  # there, but no function looks it up
        PrivateName("fetched_records", f"{FETCHER}:Fetcher", How.OVERRIDDEN, ()),  # the class does not call it itself
        PrivateName("on_partitions_revoked", "faust.transport.drivers.aiokafka:AIOKafkaConsumerThread",
                    How.OVERRIDDEN, (), used_in="faust.serializers.codecs"),
    ],
    ids=str,
)  # fmt: skip
def test_a_name_that_is_gone_or_not_used_is_a_fault(private: PrivateName) -> None:
    assert library.fault_of(private) is not None


def test_the_page_of_repairs_names_each_file_and_what_it_uses() -> None:
    page = (our_uses.ROOT / "docs" / "library-repairs.md").read_text(encoding="utf-8")
    sections = page.split("\n### ")[1:]
    named = [set(re.findall(r"`([\w./]+)(?:\(\))?`", section)) for section in sections]
    missing = {use for use in LISTED if not any({use.file, use.name} <= names for names in named)}
    assert not missing, f"no section of docs/library-repairs.md has these together:\n{lines(missing)}"
