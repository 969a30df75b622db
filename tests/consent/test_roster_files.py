"""How a zip or a file that cannot be used is told, whatever its bytes are."""

from io import BytesIO
from zipfile import ZIP_BZIP2, ZipFile

import pytest

from services.consent.roster import archive, table
from services.consent.roster.findings import Problem
from tests.consent.reading import FATAL, TWO, problems, students, taken
from tests.consent.zips import (
    deleted,
    delta,
    manifest,
    role_row,
    since,
    student_row,
    zipped,
)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("users.csv", Problem("users.csv", 0, "", "missing-file", FATAL)),
        ("orgs.csv", Problem("orgs.csv", 0, "", "missing-file", FATAL)),
        ("manifest.csv", Problem("manifest.csv", 0, "", "missing-file", FATAL)),
    ],
)
def test_a_missing_file_is_named(name: str, found: Problem) -> None:
    assert problems(TWO.broken(name, None)) == [found]


def test_every_missing_column_of_every_file_is_named() -> None:
    made = TWO.broken(
        "users.csv", b"sourcedId,role,orgSourcedIds,agentSourcedIds,grades\na,b,c,d,e"
    )
    made = made.broken("orgs.csv", b"sourcedId,name\none,One")
    assert problems(made) == [
        Problem("orgs.csv", 1, "type", "missing-column", FATAL),
        Problem("users.csv", 1, "givenName", "missing-column", FATAL),
        Problem("users.csv", 1, "familyName", "missing-column", FATAL),
    ]


@pytest.mark.parametrize(
    ("data", "line", "column", "code"),
    [
        (b"", 0, "", "empty-file"),
        (b"\xef\xbb\xbf\r\n\r\n", 0, "", "empty-file"),
        (b"sourcedId,sourcedId,type\na,b,c", 1, "sourcedId", "column-twice"),
        (b"sourcedId,type\n", 0, "", "no-rows"),
        (b"sourcedId,type\n" + b"x" * 70_000 + b",school", 2, "", "line-too-long"),
        (b"sourcedId,type\none,school\nzwei,sch\xfcle\n", 3, "", "not-utf8"),
        ("sourcedId,type\none,school\n".encode("utf-16"), 1, "", "not-utf8"),
    ],
)
def test_an_unreadable_file_is_told_by_line(data: bytes, line: int, column: str, code: str) -> None:
    found = Problem("orgs.csv", line, column, code, FATAL)
    roster = taken(TWO.broken("orgs.csv", data))
    assert found in roster.findings.listed
    assert roster.fatal()
    assert list(roster.students()) == []


@pytest.mark.parametrize(
    ("rows", "line", "column", "code"),
    [
        (b"oneroster.version,2.0", 2, "value", "unknown-version"),
        (b"manifest.version,1.0", 0, "value", "unknown-version"),
        (b"oneroster.version,1.1\nfile.users,delta", 0, "value", "mixed-modes"),
        (b"oneroster.version,1.1\nfile.orgs,delta", 3, "value", "mixed-modes"),
        (b"oneroster.version,1.1\nfile.orgs,some", 3, "value", "unknown-mode"),
    ],
)
def test_only_one_mode_of_a_known_version_is_read(
    rows: bytes, line: int, column: str, code: str
) -> None:
    made = TWO.broken("manifest.csv", b"propertyName,value\n" + rows)
    assert problems(made) == [Problem("manifest.csv", line, column, code, FATAL)]


def test_a_delta_of_a_file_that_is_not_read_does_not_matter() -> None:
    assert problems(TWO.broken("manifest.csv", manifest("1.1", classes="delta"))) == []


def test_a_file_that_the_manifest_calls_absent_is_not_read() -> None:
    made = TWO.broken("manifest.csv", manifest("1.1", demographics="absent"))
    assert [student.birth_date for student in taken(made).students()] == [None, None]


CUT = TWO.bytes()
CUT_DELTA = delta(
    since(student_row("s0", agents="p0")),
    deleted("p0"),
    roles=(role_row("s1", "student", "two"),),
    births=(since({"sourcedId": "s0", "birthDate": "2014-01-11"}),),
    version="1.2",
).bytes()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "not-a-zip"),
        (b"no zip at all", "not-a-zip"),
        (CUT[: len(CUT) // 2], "not-a-zip"),
        (CUT[len(CUT) // 2 :], "broken-zip"),
        (zipped({f"{number}.csv": b"" for number in range(101)}), "too-many-files"),
        (zipped({f"{number}.csv": b"" for number in range(300)}), "too-many-files"),
    ],
)
def test_what_is_no_roster_zip_is_told(data: bytes, code: str) -> None:
    assert [(p.code, p.weight) for p in problems(data)] == [(code, FATAL)]


def test_damaged_bytes_never_raise() -> None:
    """Every byte of a small zip is broken once: a report or a roster, never an exception."""
    for place in range(len(CUT)):
        damaged = CUT[:place] + bytes([CUT[place] ^ 0xFF]) + CUT[place + 1 :]
        taken(damaged)
    for end in range(len(CUT)):
        assert taken(CUT[:end]).fatal()


def test_damaged_bytes_of_a_delta_never_raise() -> None:
    for place in range(len(CUT_DELTA)):
        damaged = CUT_DELTA[:place] + bytes([CUT_DELTA[place] ^ 0xFF]) + CUT_DELTA[place + 1 :]
        taken(damaged)


def test_a_damaged_file_is_told_even_when_its_rows_can_be_read() -> None:
    data = zipped({name: data for name, data in TWO.files().items() if name != "users.csv"})
    stored = TWO.files()["users.csv"]
    with ZipFile(packed := bytesio(data), "a") as archive_:
        archive_.writestr("users.csv", stored)
    broken = packed.getvalue().replace(b"Number s0", b"Number sX")
    assert [(p.file, p.code) for p in problems(broken)] == [("users.csv", "broken-zip")]


def bytesio(data: bytes) -> BytesIO:
    made = BytesIO()
    made.write(data)
    return made


def test_an_encrypted_zip_is_told() -> None:
    data = bytearray(CUT)
    place = data.index(b"PK\x01\x02")
    data[place + 8] |= 1
    assert [(p.file, p.code) for p in problems(bytes(data))] == [("zip", "encrypted")]


def test_other_compressions_are_not_unpacked() -> None:
    packed = bytesio(b"")
    with ZipFile(packed, "w", ZIP_BZIP2) as made:
        made.writestr("users.csv", b"x")
    assert [(p.file, p.code) for p in problems(packed.getvalue())] == [
        ("zip", "unknown-compression")
    ]


def test_two_files_of_one_name_are_told() -> None:
    files = {**TWO.files(), "old/users.csv": b"x"}
    assert [(p.file, p.code) for p in problems(zipped(files))] == [("users.csv", "file-twice")]


def test_a_zip_bomb_stops_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "UNPACKED_BYTES_MAX", 100_000)
    rows = b"one,school\n" * 20_000
    made = TWO.broken("orgs.csv", b"sourcedId,type\n" + rows)
    assert len(made.bytes()) < 10_000
    assert Problem("zip", 0, "", "too-large-unpacked", FATAL) in problems(made)


@pytest.mark.parametrize("size", [0, 10, 0xFFFFFFF0])
def test_a_declared_size_is_not_believed(size: int) -> None:
    """What comes out is counted; too little of it fails the checksum."""
    data = bytearray(CUT)
    place = data.index(b"PK\x01\x02")
    data[place + 24 : place + 28] = size.to_bytes(4, "little")
    roster = taken(bytes(data))
    assert roster.fatal() or list(roster.students()) == list(students(TWO))


def test_a_zip_above_the_limit_is_not_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "ZIP_BYTES_MAX", 100)
    assert [p.code for p in problems(TWO)] == ["zip-too-large"]


def test_too_many_rows_stop_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "ROWS_MAX", 3)
    assert [p.code for p in problems(TWO)] == ["too-many-rows"]
