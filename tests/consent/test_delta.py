"""What a delta may rely on being understood as: changed rows only, whatever else is known."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from libs.common.errors import KeyReused, Refused
from services.consent.decider.commands import ChangeGuardian
from services.consent.decider.states import Enrolled, Left
from services.consent.events import (
    Authority,
    GuardianAdded,
    GuardianChanged,
    GuardianEnded,
    ImportStarted,
    Names,
    StudentChanged,
    StudentEnrolled,
    StudentLeft,
    StudentMoved,
)
from services.consent.imports import asking, taking
from services.consent.imports.progress import OUTCOMES
from services.consent.imports.taking import NotTaken
from tests.consent.desk import Desk, desk
from tests.consent.zips import (
    Fields,
    Zip,
    adult_row,
    deleted,
    delta,
    district,
    newer,
    role_row,
    since,
    student_row,
)

TWENTY = district(20)


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Desk]:
    """A district of twenty students s0 … s19 in turn at two schools, each with a parent p0 …"""
    async with desk(tmp_path) as opened:
        await opened.send(TWENTY)
        yield opened


def counts(**expected: int) -> dict[str, int]:
    return dict.fromkeys(OUTCOMES, 0) | expected


def student(number: int, school: str = "", agents: str | None = None, **more: str) -> Fields:
    kin = f"p{number}" if agents is None else agents
    return since(student_row(f"s{number}", school or ("one", "two")[number % 2], kin, **more))


async def news(at: Desk, source: str) -> list[Any]:
    """What has happened since the student was enrolled with one guardian."""
    return [entry.event for entry in (await at.story(source))[2:]]


async def test_only_what_the_rows_say_changes(at: Desk) -> None:
    before = len(await at.stored())
    page = await at.send(delta(student(1, familyName="New")), "second")
    assert (page.phase, page.counts) == ("finished", counts(changed=1))
    (changed,) = await news(at, "s1")
    assert isinstance(changed, StudentChanged)
    born = (await at.story("s1"))[0].event
    assert changed.birth_date == born.birth_date, "demographics were not there: unchanged"
    assert len(await at.stored()) == before + 3, "the student, and the import's two ends"
    everything = [entry.event for commit in await at.stored() for entry in commit.recorded]
    (started,) = (e for e in everything if isinstance(e, ImportStarted) and e.mode == "delta")
    assert (started.mode, started.students, started.leaving) == ("delta", 1, 0)
    assert page.report is not None
    assert (page.report.mode, page.report.students, page.report.gone) == ("delta", 1, 0)


async def test_a_deleted_student_has_left_and_nobody_else(at: Desk) -> None:
    page = await at.send(delta(deleted("s4")), "second")
    assert page.counts == counts(left=1)
    assert await news(at, "s4") == [
        StudentLeft(student=at.student("s4"), school="sch_one", reason="roster-deleted")
    ]
    assert isinstance(await at.state("s6"), Enrolled)


async def test_a_student_of_another_school_of_the_district_has_moved(at: Desk) -> None:
    page = await at.send(delta(student(2, "two")), "second")
    assert page.counts == counts(moved=1)
    assert await news(at, "s2") == [StudentMoved(student=at.student("s2"), school="sch_two")]


async def test_a_deleted_guardian_is_ended_with_every_child(at: Desk) -> None:
    siblings = delta(student(0, agents="p0,p2"), since(adult_row("p2")))
    assert (await at.send(siblings, "second")).counts == counts(changed=1, unchanged=1)
    page = await at.send(delta(deleted("p2")), "third")
    assert page.counts == counts(changed=2)
    for source in ("s0", "s2"):
        ended = (await news(at, source))[-1]
        assert ended == GuardianEnded(student=at.student(source), guardian=at.person("p2"))


async def test_a_guardian_whom_a_student_s_row_names_no_more_is_ended(at: Desk) -> None:
    sent = delta(student(0, agents="p99"), since(adult_row("p99", "guardian")))
    page = await at.send(sent, "second")
    assert page.counts == counts(changed=1)
    added, ended = await news(at, "s0")
    assert isinstance(added, GuardianAdded)
    assert (added.guardian, added.authority) == (at.person("p99"), Authority.FULL)
    assert ended == GuardianEnded(student=at.student("s0"), guardian=at.person("p0"))


async def test_an_empty_list_of_one_end_ends_nobody(at: Desk) -> None:
    assert (await at.send(delta(student(0, agents="")), "second")).counts == counts(unchanged=1)
    alone = delta(since(adult_row("p1", givenName="Eva")))
    assert (await at.send(alone, "third")).counts == counts(changed=1)
    both = delta(student(2, agents=""), since(adult_row("p2")))
    page = await at.send(both, "fourth")
    assert page.counts == counts(changed=1)
    assert isinstance((await news(at, "s2"))[-1], GuardianEnded)


async def test_a_guardian_s_own_row_changes_every_child_s_record(at: Desk) -> None:
    page = await at.send(delta(since(adult_row("p3", "relative", email="new@x.org"))), "second")
    assert page.counts == counts(changed=1)
    (changed,) = await news(at, "s3")
    assert isinstance(changed, GuardianChanged)
    assert changed.authority is Authority.NONE, "a relative does not decide"


async def test_what_was_settled_by_hand_no_delta_changes(at: Desk) -> None:
    settled = ChangeGuardian(
        guardian=at.person("p0"),
        names=Names(given="Dana", family="Number p0"),
        relation="parent",
        authority=Authority.NONE,
    )
    await at.asked(settled)
    page = await at.send(delta(deleted("p0")), "second")
    assert page.counts == counts()
    assert page.report is not None
    assert [(row.line, row.code) for row in page.report.problems] == [(2, "settled-by-hand")]
    again = await at.send(delta(since(adult_row("p0", givenName="Eva"))), "third")
    assert again.counts == counts(changed=1)
    guardian = (await at.state("s0")).file.guardians[at.person("p0")]
    assert guardian.authority is Authority.NONE


async def test_somebody_new_comes_and_somebody_who_left_comes_back(at: Desk) -> None:
    new = delta(
        since(student_row("s77", "two", "p77")),
        since(adult_row("p77")),
        births=(since({"sourcedId": "s77", "birthDate": "2013-02-03"}),),
    )
    assert (await at.send(new, "second")).counts == counts(added=1)
    assert isinstance((await at.story("s77"))[0].event, StudentEnrolled)
    await at.send(delta(deleted("s4")), "third")
    back = await at.send(delta(student(4)), "fourth")
    assert back.counts == counts(added=1)
    came = (await news(at, "s4"))[-1]
    assert isinstance(came, StudentEnrolled)
    assert came.birth_date == (await at.story("s4"))[0].event.birth_date


async def test_a_new_guardian_without_a_row_is_told_and_not_invented(at: Desk) -> None:
    page = await at.send(delta(student(0, agents="p0,p1,t9")), "second")
    assert page.counts == counts(unchanged=1)
    assert page.report is not None
    problems = [(row.line, row.column, row.code) for row in page.report.problems]
    assert problems == [(2, "agentSourcedIds", "guardian-not-said")] * 2


@pytest.fixture
async def newer_at(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(tmp_path) as opened:
        await opened.send(newer(TWENTY))
        yield opened


async def test_of_1_2_roles_alone_move_and_end(newer_at: Desk) -> None:
    over = {"endDate": "2025-09-01"}
    sent = delta(
        version="1.2",
        roles=(
            role_row("s0", "student", "one", **over),
            role_row("s0", "student", "two"),
            role_row("s2", "student", "one", **over),
            role_row("s4", "student", "two", roleType="secondary"),
            role_row("s6", "student", "two", **over),
            role_row("s8", "student", "two", beginDate="2026-01-07"),
            role_row("t1", "teacher", "one"),
        ),
    )
    page = await newer_at.send(sent, "second")
    assert page.counts == counts(moved=1, left=1, unchanged=2)
    assert isinstance((await news(newer_at, "s0"))[-1], StudentMoved)
    assert isinstance(await newer_at.state("s2"), Left)
    left = (await news(newer_at, "s2"))[-1]
    assert left.reason == "roster-role-ended"
    assert page.report is not None
    assert [(row.line, row.code) for row in page.report.problems] == [(7, "not-yet-begun")]


async def test_of_1_2_a_guardian_s_role_that_ended_ends_the_family_there(newer_at: Desk) -> None:
    ended = since(dict(role_row("p0", "parent", "one")), "tobedeleted")
    elsewhere = since(dict(role_row("p2", "parent", "two")), "tobedeleted")
    of_all = since(dict(role_row("p6", "parent", "city")), "tobedeleted")
    relative = role_row("p4", "relative", "one")
    sent = delta(version="1.2", roles=(ended, elsewhere, of_all, relative))
    page = await newer_at.send(sent, "second")
    assert page.counts == counts(changed=3)
    assert isinstance((await news(newer_at, "s6"))[-1], GuardianEnded), "it was held for all"
    (gone,) = await news(newer_at, "s0")
    assert gone == GuardianEnded(student=newer_at.student("s0"), guardian=newer_at.person("p0"))
    assert await news(newer_at, "s2") == [], "the role ended at a school their child is not at"
    (demoted,) = await news(newer_at, "s4")
    assert demoted.authority is Authority.NONE


async def test_of_1_2_a_row_without_a_role_is_of_whom_it_was(newer_at: Desk) -> None:
    users = (student(0, givenName="Karl"), since(adult_row("p1", givenName="Eva")))
    staff = since(adult_row("t9", "teacher"))
    page = await newer_at.send(delta(*users, staff, version="1.2"), "second")
    assert page.counts == counts(changed=2)
    (changed,) = await news(newer_at, "s1")
    assert isinstance(changed, GuardianChanged)
    assert changed.authority is Authority.FULL, "nothing was said of the role"
    assert changed.relation == (await newer_at.story("s1"))[1].event.relation


async def test_too_many_gone_is_refused_before_anything_is_stored(at: Desk) -> None:
    before = await at.stored()
    gone = delta(*(deleted(f"s{n}") for n in range(0, 8, 2)))
    with pytest.raises(Refused, match="4 of 10 students") as refused:
        await at.send(gone, "second")
    assert refused.value.code == "too-many-removed"
    families = delta(*(deleted(f"p{n}") for n in range(0, 8, 2)))
    with pytest.raises(Refused, match="4 of 10 guardians"):
        await at.send(families, "second")
    assert await at.stored() == before
    dry = await at.send(gone, "dry", dry_run=True)
    assert (dry.would_be, dry.counts) == ("too-many-removed", counts(left=4))
    assert await at.stored() == before
    assert (await at.send(gone, "second", allow_removals=4)).counts == counts(left=4)


def undated(row: Fields) -> Fields:
    return {**row, "dateLastModified": ""}


BAD: dict[str, tuple[Fields, str]] = {
    "no status": ({**student(1), "status": ""}, "#/users.csv/2/status missing"),
    "a strange status": ({**student(1), "status": "gone"}, "#/users.csv/2/status unknown-status"),
    "no time": (undated(student(1)), "#/users.csv/2/dateLastModified missing"),
    "no time of a deletion": (undated(deleted("s1")), "#/users.csv/2/dateLastModified missing"),
    "no day": (
        {**student(1), "dateLastModified": "yesterday"},
        "#/users.csv/2/dateLastModified bad-date",
    ),
    "no name": (student(1, givenName=""), "#/users.csv/2/givenName missing"),
    "no school of ours": (student(1, "far"), "#/users.csv/2/orgSourcedIds not-in-directory"),
    "nobody": ({**student(1), "sourcedId": ""}, "#/users.csv/2/sourcedId missing"),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_row_is_told_by_place_and_stores_nothing(at: Desk, name: str) -> None:
    row, told = BAD[name]
    before = await at.stored()
    made = delta(row, student(3, familyName="New"))
    with pytest.raises(NotTaken) as refused:
        await at.send(made, "second")
    assert [f"{place} {code}" for place, code in refused.value.findings] == [told]
    dry = await at.send(made, "dry", dry_run=True)
    assert (dry.would_be, dry.counts) == ("bad-rows", counts(changed=1))
    assert await at.stored() == before
    page = await at.send(made, "second", skip_bad_rows=True)
    assert page.counts == counts(changed=1)
    assert await news(at, "s1") == []


async def test_a_bad_row_of_a_guardian_ends_nobody(at: Desk) -> None:
    bad = since(adult_row("p9", familyName=""))
    made = delta(student(0, agents="p9"), bad)
    with pytest.raises(NotTaken) as refused:
        await at.send(made, "second")
    assert [code for _, code in refused.value.findings] == ["missing", "unusable-guardian"]
    page = await at.send(made, "second", skip_bad_rows=True)
    assert page.counts == counts()
    assert await news(at, "s0") == []


UNREADABLE: dict[str, Zip] = {
    "mixed": delta(student(1))
    .broken(
        "manifest.csv",
        b"propertyName,value\noneroster.version,1.1\nfile.users,delta\nfile.demographics,bulk\n"
        b"file.orgs,absent\n",
    )
    .broken("demographics.csv", b"sourcedId,birthDate\ns1,2014-01-01\n"),
    "no file": delta(student(1)).broken("users.csv", None),
    "no times at all": delta(student(1)).broken(
        "users.csv", TWENTY.files()["users.csv"].replace(b"dateLastModified", b"x")
    ),
}


@pytest.mark.parametrize("name", UNREADABLE)
async def test_a_delta_that_cannot_be_understood_is_refused(at: Desk, name: str) -> None:
    before = await at.stored()
    with pytest.raises(NotTaken) as refused:
        await at.send(UNREADABLE[name], "second")
    assert refused.value.code == "unreadable-roster"
    assert await at.stored() == before


async def test_a_delta_without_rows_is_taken_and_says_nothing(at: Desk) -> None:
    header = TWENTY.files()["users.csv"].splitlines(keepends=True)[0]
    page = await at.send(delta(student(1)).broken("users.csv", header), "second")
    assert (page.phase, page.counts) == ("finished", counts())


async def test_a_dry_run_tells_what_would_be_and_stores_nothing(at: Desk) -> None:
    before = await at.stored()
    made = delta(student(1, familyName="New"), student(2, "two"), deleted("s4"), student(5))
    dry = await at.send(made, "dry", dry_run=True)
    assert (dry.would_be, await at.stored()) == ("accepted", before)
    page = await at.send(made, "second")
    assert dry.counts == page.counts == counts(changed=1, moved=1, left=1, unchanged=1)


async def test_an_interrupted_delta_goes_on_and_a_finished_one_is_not_done_again(
    at: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "TRIES_MAX", 2)
    monkeypatch.setattr(taking, "TOGETHER", 3)
    rows = [student(n, familyName="New") for n in range(10)]
    made = delta(*rows, *map(deleted, ("s10", "s11")))
    at.store.rows_left = 5
    stopped = await at.send(made, "second")
    assert (stopped.phase, stopped.done < 12) == ("stopped", True)
    at.store.rows_left = None
    page = await at.send(made, "second")
    assert page.phase == "finished"
    assert page.counts["again"] >= stopped.done
    assert (page.counts["again"] + page.counts["changed"], page.counts["left"]) == (10, 2)
    before = await at.stored()
    again = await at.send(made, "second")
    assert (again.reference, again.phase) == (page.reference, "finished")
    assert await at.stored() == before
    with pytest.raises(KeyReused):
        await at.send(delta(student(1)), "second")
    twice = await at.send(made, "third")
    assert twice.counts == counts(unchanged=10), "who is gone is gone already"
