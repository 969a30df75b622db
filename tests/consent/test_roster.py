"""What a OneRoster zip is taken to say, and how a broken one is told: by place, not value."""

from datetime import date

import pytest

from services.consent.roster import findings
from services.consent.roster.findings import Problem
from services.consent.roster.guard import Enrolled, Removals, removals
from services.consent.roster.students import Guardian, Student
from tests.consent.reading import ERROR, SCHOOLS, TWO, TWO_IDS, WARNING, problems, students, taken
from tests.consent.zips import (
    Fields,
    Zip,
    adult_row,
    newer,
    org,
    student_row,
    zipped,
)


def users(*rows: Fields) -> Zip:
    return TWO.but(users=rows, demographics=({"sourcedId": "s0", "birthDate": "2014-01-11"},))


CARL = Student(
    2, "s0", "one", "Carl", "", "Number s0", date(2014, 1, 11), "05", "",
    (Guardian("p0", "Dana", "", "Number p0", "parent", "p0@example.org", "", ""),),
)  # fmt: skip


@pytest.mark.parametrize("made", [TWO, newer(TWO)], ids=["1.1", "1.2"])
def test_both_versions_give_the_same_students(made: Zip) -> None:
    roster = taken(made)
    carl, other = roster.students()
    assert carl == CARL
    assert (other.source, other.school) == ("s1", "two")
    assert (roster.schools, roster.present, roster.whole) == (SCHOOLS, TWO_IDS, True)
    assert roster.findings.listed == []


def test_order_of_columns_case_of_headers_and_more_columns_do_not_matter() -> None:
    lines = TWO.files()["users.csv"].decode().splitlines()
    turned = [",".join(reversed(line.split(","))) + ",more" for line in lines]
    turned[0] = turned[0].upper()
    made = TWO.broken("users.csv", "\n".join(turned).encode())
    assert list(taken(made).students()) == list(taken(TWO).students())


def test_a_byte_order_mark_and_a_folder_are_tolerated() -> None:
    marked = {name: b"\xef\xbb\xbf" + data for name, data in TWO.files().items()}
    foldered = {f"Export/{name}": data for name, data in marked.items()}
    foldered["__MACOSX/Export/._users.csv"] = b"\x00"
    foldered["readme.txt"] = b"\xff"
    assert list(taken(zipped(foldered)).students()) == list(taken(TWO).students())


def test_quotes_line_breaks_and_spare_spaces_in_a_name_are_read() -> None:
    made = users(student_row("s0", givenName=' Carl "Cal",\r\n Jr ', familyName="O\u00a0Neil"))
    (carl,) = taken(made).students()
    assert (carl.given, carl.family) == ('Carl "Cal", Jr', "O Neil")


def test_relation_and_links_are_taken_from_either_end() -> None:
    made = users(
        student_row("s0", agents="p0"),
        adult_row("p0", "guardian"),
        adult_row("p1", "relative", agents="s0", sms="617-555-0101"),
    )
    (carl,) = taken(made).students()
    assert [(g.source, g.relation, g.sms) for g in carl.guardians] == [
        ("p0", "guardian", ""),
        ("p1", "relative", "617-555-0101"),
    ]


def test_staff_are_passed_over() -> None:
    made = users(student_row("s0"), adult_row("t0", "teacher", givenName=""))
    assert [student.source for student in taken(made).students()] == ["s0"]
    assert problems(made) == []


def test_somebody_marked_for_deletion_is_gone() -> None:
    made = users(student_row("s0"), student_row("s1", status="tobedeleted"))
    roster = taken(made)
    assert (roster.present, roster.whole) == (frozenset({"s0"}), True)


def test_a_role_counts_on_its_days_only() -> None:
    made = newer(TWO)
    ended = {**made.roles[0], "endDate": "2025-09-14"}
    begins = {**made.roles[2], "beginDate": "2025-09-15", "endDate": "2026-06-30"}
    roster = taken(made.but(roles=(ended, made.roles[1], begins, made.roles[3])))
    assert [student.source for student in roster.students()] == ["s1"]


def test_the_primary_school_is_the_students_school() -> None:
    made = newer(TWO)
    second = {**made.roles[0], "sourcedId": "r", "orgSourcedId": "two", "roleType": "secondary"}
    both = made.but(roles=(second, *made.roles))
    assert next(students(both)).school == "one"
    primary = {**made.users[0], "primaryOrgSourcedId": "two"}
    assert next(students(both.but(users=(primary, *made.users[1:])))).school == "two"


def test_a_parent_who_teaches_is_a_guardian() -> None:
    made = newer(TWO)
    teaches = {**made.roles[1], "sourcedId": "r", "role": "teacher"}
    assert next(students(made.but(roles=(*made.roles, teaches)))) == CARL


@pytest.mark.parametrize(
    ("row", "column", "code"),
    [
        (student_row("", "one"), "sourcedId", "missing"),
        (student_row("s\x07", "one"), "sourcedId", "bad-text"),
        (student_row("s" * 256, "one"), "sourcedId", "bad-text"),
        (student_row("s9", givenName=" "), "givenName", "missing"),
        (student_row("s9", familyName=""), "familyName", "missing"),
        (student_row("s9", givenName="x" * 201), "givenName", "bad-text"),
        (student_row("s9", familyName="a\x00b"), "familyName", "bad-text"),
        (student_row("s9", role=""), "role", "missing"),
        (student_row("s9", role="pupil"), "role", "unknown-role"),
        (student_row("s9", status="deleted"), "status", "unknown-status"),
        (student_row("s9", orgSourcedIds=""), "orgSourcedIds", "missing"),
        (student_row("s9", orgSourcedIds="nine"), "orgSourcedIds", "unknown-org"),
        (student_row("s9", orgSourcedIds="city"), "orgSourcedIds", "no-school"),
        (student_row("s0"), "sourcedId", "duplicate"),
    ],
)
def test_a_bad_row_is_told_by_line_and_column(row: Fields, column: str, code: str) -> None:
    made = users(student_row("s0"), student_row("s1"), row)
    assert Problem("users.csv", 4, column, code, ERROR) in problems(made)
    assert "s1" in [student.source for student in taken(made).students()]
    assert row["sourcedId"] not in [student.source for student in taken(made).students()]


@pytest.mark.parametrize(
    ("line", "code"),
    [(b"a,b,c", "wrong-number-of-fields"), (b'"a"b,c', "bad-quoting"), (b'"a', "bad-quoting")],
)
def test_a_row_out_of_shape_is_told(line: bytes, code: str) -> None:
    made = TWO.broken("users.csv", TWO.files()["users.csv"] + line)
    assert problems(made) == [Problem("users.csv", 6, "", code, ERROR)]


def test_who_has_a_bad_row_is_not_taken_for_gone() -> None:
    roster = taken(users(student_row("s0"), student_row("s1", givenName="")))
    assert (roster.present, roster.whole) == (TWO_IDS, True)


def test_nobody_is_taken_for_gone_when_a_row_has_no_name_on_it() -> None:
    assert not taken(users(student_row("s0"), student_row(""))).whole
    assert not taken(TWO.broken("users.csv", TWO.files()["users.csv"] + b"a,b")).whole


def test_both_rows_of_a_duplicate_are_left_alone() -> None:
    roster = taken(users(student_row("s0"), student_row("s0", "two"), student_row("s1")))
    assert [student.source for student in roster.students()] == ["s1"]
    assert roster.present == {"s0", "s1"}


@pytest.mark.parametrize(
    "rows",
    [
        (student_row("s0", agents="p0"), adult_row("p0", familyName="")),
        (student_row("s0"), adult_row("p0", familyName="", agents="s0")),
        (student_row("s0", agents="p0"), adult_row("p0"), adult_row("p0")),
        (student_row("s0"), adult_row("p0", agents="s0"), adult_row("p0")),
    ],
)
def test_a_guardians_bad_row_leaves_the_student_as_it_was(rows: tuple[Fields, ...]) -> None:
    """Otherwise a slip of the pen in one row would end that guardian's authority."""
    roster = taken(users(*rows, student_row("s1")))
    assert [student.source for student in roster.students()] == ["s1"]
    assert Problem("users.csv", 2, "agentSourcedIds", "unusable-guardian", ERROR) in (
        roster.findings.listed
    )


def test_dangling_links_are_told_and_cost_nobody_a_place() -> None:
    made = users(student_row("s0", agents="p8,t0"), adult_row("p1", agents="s8"))
    made = made.but(users=(*made.users, adult_row("t0", "teacher")))
    assert problems(made) == [
        Problem("users.csv", 2, "agentSourcedIds", "unknown-user", WARNING),
        Problem("users.csv", 2, "agentSourcedIds", "not-a-guardian", WARNING),
        Problem("users.csv", 3, "agentSourcedIds", "unknown-user", WARNING),
    ]
    assert [student.source for student in taken(made).students()] == ["s0"]


def test_a_school_outside_the_directory_is_told_once_at_its_row() -> None:
    orgs = (*TWO.orgs, org("three"), org("four"))
    made = TWO.but(orgs=orgs, users=(*TWO.users, *(student_row(f"x{n}", "three") for n in (1, 2))))
    assert problems(made) == [Problem("orgs.csv", 5, "sourcedId", "not-in-directory", ERROR)]
    assert [student.source for student in taken(made).students()] == ["s0", "s1"]


@pytest.mark.parametrize(
    ("born", "code"), [("11.01.2014", "bad-date"), ("2014-02-30", "bad-date"),
                       ("20140111", "bad-date"), ("2025-09-16", "in-future")]
)  # fmt: skip
def test_a_bad_birthday_takes_the_student_out(born: str, code: str) -> None:
    made = TWO.but(demographics=({"sourcedId": "s0", "birthDate": born}, *TWO.demographics[1:]))
    assert problems(made) == [Problem("demographics.csv", 2, "birthDate", code, ERROR)]
    assert [student.source for student in taken(made).students()] == ["s1"]
    assert "s0" in taken(made).present


@pytest.mark.parametrize(
    ("change", "column", "code"),
    [
        ({"userSourcedId": ""}, "userSourcedId", "missing"),
        ({"role": "pupil"}, "role", "unknown-role"),
        ({"orgSourcedId": ""}, "orgSourcedId", "missing"),
        ({"endDate": "June"}, "endDate", "bad-date"),
        ({"status": "x"}, "status", "unknown-status"),
    ],
)
def test_a_bad_role_is_told_and_takes_its_student_out(
    change: dict[str, str], column: str, code: str
) -> None:
    made = newer(TWO)
    made = made.but(roles=({**made.roles[0], **change}, *made.roles[1:]))
    assert problems(made) == [Problem("roles.csv", 2, column, code, ERROR)]
    assert [student.source for student in taken(made).students()] == ["s1"]
    roster = taken(made)
    assert "s0" in roster.present or not roster.whole


def test_the_report_lists_so_many_and_counts_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "PROBLEMS_MAX", 2)
    found = taken(users(*(student_row(f"s{n}", givenName="") for n in range(5)))).findings
    assert (len(found.listed), found.unlisted(), found.total(ERROR)) == (2, 3, 5)


def test_no_value_of_the_file_is_in_the_report() -> None:
    made = users(
        student_row("secret", "canary", agents="canary", status="canary"),
        student_row("canary", givenName="canary" * 50),
        student_row("x", "canary"),
    )
    assert problems(made)
    assert not any("canary" in str(found) or "secret" in str(found) for found in problems(made))


ENROLLED = {f"s{n}": Enrolled("one", frozenset({f"p{n}"})) for n in range(20)}


def test_who_is_absent_from_a_bulk_file_is_gone() -> None:
    present = {f"s{n}" for n in range(1, 20)}
    found = removals(ENROLLED, {"one"}, present, {})
    assert found == Removals(("s0",), 20, 0, 0)
    assert not found.too_many(0)


def test_a_file_that_would_remove_many_is_too_much_unless_the_number_is_said() -> None:
    found = removals(ENROLLED, {"one"}, {f"s{n}" for n in range(12)}, {})
    assert (len(found.gone), found.too_many(0), found.too_many(7)) == (8, True, True)
    assert not found.too_many(8)


def test_students_of_schools_that_are_not_in_the_file_stay() -> None:
    assert removals(ENROLLED, {"two"}, set(), {}) == Removals((), 0, 0, 0)


def test_a_file_without_its_guardians_is_too_much_as_well() -> None:
    families: dict[str, tuple[str, ...]] = dict.fromkeys(ENROLLED, ())
    found = removals(ENROLLED, {"one"}, set(ENROLLED), families)
    assert (found.ended, found.guardians, found.too_many(0)) == (20, 20, True)
    assert not found.too_many(20)
