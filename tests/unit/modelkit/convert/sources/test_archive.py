"""Hostile and broken zips and folders: one line each, and nothing is ever written."""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sparknlp_writer import write_folder, write_zip, zipped

from worker.modelkit.convert.shape import CheckpointError
from worker.modelkit.convert.sources.archive import MARKER, Limits, has_marker, open_archive, open_zip

FILES = {MARKER: b"{}", "albert_spp": b"pieces", "fields/labels/part-00000": b"SEQ"}


def _entry(name: str, data: bytes = b"x", mode: int = stat.S_IFREG | 0o644) -> bytes:
    """A zip of FILES and one entry more, whose name is not tidied up."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for each, content in FILES.items():
            archive.writestr(each, content)
        entry = zipfile.ZipInfo("placeholder")
        entry.filename = name
        entry.external_attr = mode << 16
        archive.writestr(entry, data)
    return stream.getvalue()


def _refused(path: Path, message: str, limits: Limits | None = None) -> None:
    with (
        pytest.raises(CheckpointError, match=message) as raised,
        open_archive(path, limits or Limits()) as archive,
    ):
        for name in archive.names:
            archive.read(name)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(str(path))


@pytest.mark.parametrize("prefix", ["", "albert_imdb/"])
def test_a_zip_is_read_from_its_top_or_from_one_folder_down(tmp_path: Path, prefix: str) -> None:
    path = write_zip(tmp_path / "model.zip", FILES, prefix)
    assert has_marker(path)
    with open_archive(path) as archive:
        assert {name: archive.read(name) for name in archive.names} == FILES
    assert set(archive.hashes) == set(FILES)


@pytest.mark.parametrize("above", [".", "unpacked"])
def test_a_folder_is_read_from_its_top_or_from_one_folder_down(tmp_path: Path, above: str) -> None:
    write_folder(tmp_path / above, FILES)
    assert has_marker(tmp_path)
    with open_archive(tmp_path) as archive:
        assert {name: archive.read(name) for name in archive.names} == FILES


def test_the_highest_metadata_is_the_root(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "model.zip", FILES | {f"s/0/{MARKER}": b"inner"}, "a_long_name/")
    with open_archive(path) as archive:
        assert archive.read(MARKER) == b"{}"


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.zip")
    for name in ("pipe.zip", "none.zip"):
        _refused(tmp_path / name, "no such file or folder")


def test_two_models_in_a_zip_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "model.zip", {f"one/{MARKER}": b"{}", f"two/{MARKER}": b"{}"})
    _refused(path, "more than one model")


def test_a_model_far_down_is_refused(tmp_path: Path) -> None:
    _refused(write_zip(tmp_path / "model.zip", FILES, "models/albert/"), "more than one folder down")


def test_a_zip_of_something_else_is_refused_and_not_taken_for_a_model(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "model.zip", {"config.json": b"{}"})
    assert not has_marker(path)
    _refused(path, "not a model that Spark NLP saved")


@pytest.mark.parametrize(
    "name",
    ["../evil", "fields/../../evil", "..", "/etc/passwd", "fields\\..\\evil", "C:/evil", "c:evil", "a\nb", "a/.."],
)
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "model.zip"
    path.write_bytes(_entry(name))
    _refused(path, "no plain one")
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFCHR | 0o600, stat.S_IFIFO | 0o600])
def test_a_link_or_a_device_in_a_zip_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "model.zip"
    path.write_bytes(_entry("albert_link", b"/etc/passwd", mode))
    _refused(path, "link or a device")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    path.write_bytes(_entry("albert_spp"))
    _refused(path, "there twice")


def test_an_encrypted_file_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "model.zip", FILES)
    data = bytearray(path.read_bytes())
    for place in range(len(data)):  # the flag stands in each header, and in the directory
        if data[place : place + 4] == b"PK\x03\x04":
            data[place + 6] |= 1
        elif data[place : place + 4] == b"PK\x01\x02":
            data[place + 8] |= 1
    path.write_bytes(data)
    _refused(path, "encrypted")


def test_another_compression_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    path.write_bytes(zipped(FILES, zipfile.ZIP_LZMA))
    _refused(path, "another method than deflate")


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "model.zip", FILES | {"bomb": bytes(8 << 20)})
    _refused(path, "'bomb' unpacks from")


def test_files_that_are_too_many_or_too_large_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "model.zip", FILES | {"large": os.urandom(1000)})
    _refused(path, "more than the 3 that", Limits(entries=3))
    _refused(path, "'large' unpacks from", Limits(file_bytes=999))
    _refused(path, "more than the 1000 allowed", Limits(total_bytes=1000))
    folder = write_folder(tmp_path / "folder", FILES | {"large": os.urandom(1000)})
    _refused(folder, "more than the 3 files", Limits(entries=3))
    _refused(folder, "large has more than the 999 bytes", Limits(file_bytes=999))
    _refused(folder, "bytes that a model's may", Limits(total_bytes=1000))


def test_a_zip_that_lies_about_a_size_is_refused(tmp_path: Path) -> None:
    """Its directory says 10 bytes; the compressed bytes are those of 8 MB."""
    path = write_zip(tmp_path / "model.zip", {MARKER: b"{}", "bomb": bytes(8 << 20)})
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", 8 << 20), struct.pack("<I", 10)))
    _refused(path, "bomb cannot be read")


@pytest.mark.parametrize("data", [b"", b"PK", b"PK\x03\x04 and then nothing", b"not a zip at all" * 10])
def test_a_file_that_is_no_zip_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "model.zip"
    path.write_bytes(data)
    assert has_marker(path)  # so that the reader gets to say what is wrong with a zip
    _refused(path, "not a zip, or only a part of one")


def test_a_link_out_of_a_folder_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", FILES)
    (tmp_path / "secret").write_bytes(b"secret")
    (folder / "albert_link").symlink_to(tmp_path / "secret")
    _refused(folder, "link out of the folder")


def test_a_link_inside_a_folder_and_to_it_is_followed(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "model", FILES)
    (folder / "again").symlink_to(folder / "albert_spp")
    (tmp_path / "link").symlink_to(folder)
    with open_archive(tmp_path / "link") as archive:
        assert archive.read("again") == b"pieces"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with open_archive(write_folder(tmp_path, FILES)) as archive, pytest.raises(CheckpointError, match="albert_none"):
        archive.read("albert_none")


def test_nothing_makes_the_first_look_raise(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.zip")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "text").write_text("text")
    (tmp_path / "folder").mkdir()
    strange = [tmp_path / "none", tmp_path / "pipe.zip", tmp_path / "loop", tmp_path / "text", Path("\0"), tmp_path]
    for path in [*strange, tmp_path / "folder", tmp_path / ("long" * 1000), Path("/dev/null"), Path("/dev/zero")]:
        assert not has_marker(path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4), cut=st.integers(0, 600))
def test_a_damaged_zip_gives_its_files_or_one_line(changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(zipped(FILES))
    for place, value in changes:
        data[place % len(data)] = value
    if cut < len(data):
        del data[len(data) - cut :]
    try:
        archive = open_zip(bytes(data), "model.zip", rooted=True)
        assert all(isinstance(archive.read(name), bytes) for name in archive.names)
    except CheckpointError as error:
        assert "\n" not in str(error)
