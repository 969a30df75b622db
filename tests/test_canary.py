"""The scanner finds a planted leak of each kind, and nothing where there is nothing."""

import gzip
import io
import os
import zipfile
from base64 import b64encode
from pathlib import Path

import pytest

from tests.canary import CANARIES, Leaked, clean, disguises, find, planted, scan

CANARY = "Żaneta O'Quill-7431"
KINDS = sorted(planted(CANARY))


@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_leak_is_found(kind: str, tmp_path: Path) -> None:
    deep = tmp_path / "views" / "log.db"
    deep.parent.mkdir()
    deep.write_bytes(os.urandom(4_096) + planted(CANARY)[kind] + os.urandom(4_096))
    leaks = scan(tmp_path, [CANARY, "somebody else entirely"])
    assert leaks
    assert {leak.canary for leak in leaks} == {CANARY}
    assert all(leak.place.startswith("views/log.db") for leak in leaks)


def test_a_leak_in_a_files_name_is_found(tmp_path: Path) -> None:
    (tmp_path / f"{CANARY}.csv").touch()
    assert scan(tmp_path, [CANARY])


def test_a_leak_in_a_zip_within_a_gzip_is_found(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("users.csv", f"given,family\n{CANARY}\n")
    (tmp_path / "backup.gz").write_bytes(gzip.compress(packed.getvalue()))
    assert scan(tmp_path, [CANARY])


def test_a_gzip_that_was_cut_short_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    packed = gzip.compress(CANARY.encode() + os.urandom(10_000))
    (tmp_path / "segment").write_bytes(packed[:5_000])
    assert scan(tmp_path, [CANARY])


def test_a_gzip_that_breaks_off_into_something_else_is_read_up_to_there(tmp_path: Path) -> None:
    packed = gzip.compress(CANARY.encode() + os.urandom(10_000))
    (tmp_path / "page").write_bytes(packed[:5_000] + b"\0" * 5_000)
    assert scan(tmp_path, [CANARY])


@pytest.mark.parametrize("kind", KINDS)
def test_a_leak_before_the_zeros_of_a_file_made_long_is_found(kind: str, tmp_path: Path) -> None:
    with (tmp_path / "index").open("wb") as file:
        file.write(planted(CANARY)[kind])
        file.truncate(10_000_000)
    assert scan(tmp_path, [CANARY])


def test_a_clean_folder_is_clean(tmp_path: Path) -> None:
    (tmp_path / "log.db").write_bytes(os.urandom(200_000) + b64encode(b"Zaneta OQuill 7431"))
    (tmp_path / "more").mkdir()
    assert scan(tmp_path, [CANARY]) == []


def test_a_canary_that_chance_could_write_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        disguises(["Ann"])


def test_what_a_test_hands_over_as_bytes_is_searched_too() -> None:
    assert list(find("stdout", f"hello {CANARY}".encode(), disguises([CANARY])))


def test_a_suite_that_leaves_a_name_behind_fails(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("nothing to see")
    clean(tmp_path)
    (tmp_path / "log").write_text(f"refused: {CANARIES['words']}")
    with pytest.raises(Leaked, match="raw in log"):
        clean(tmp_path)
