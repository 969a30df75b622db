"""What a registrar may rely on: all or nothing at the door, one commit a student, resumable."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from libs.common.errors import KeyReused, Missing, Refused
from libs.common.testing import Scenario
from services.consent.decider.commands import AddGuardian, OrderErasure
from services.consent.decider.states import Enrolled, Left, Unknown
from services.consent.events import (
    Authority,
    GuardianAdded,
    ImportFinished,
    ImportStarted,
    Names,
    Source,
    StudentChanged,
    StudentEnrolled,
    StudentLeft,
    StudentMoved,
)
from services.consent.imports import asking, taking
from services.consent.imports.progress import OUTCOMES
from services.consent.imports.record import FinishImport, StartImport, imports
from services.consent.imports.taking import NotTaken
from tests.consent.desk import DIRECTORY, Desk, desk
from tests.consent.zips import Zip, adult_row, district, newer, student_row

given = Scenario(imports)
START = StartImport(digest="d", skip_bad_rows=False, allow_removals=0, version="1.1", students=2)
STARTED = ImportStarted(digest="d", version="1.1", students=2, guardians=0, leaving=0, skipped=0)


def test_an_import_begins_and_ends_once() -> None:
    given().when(START).then(STARTED)
    given(STARTED).when(FinishImport(counts={"added": 2})).then(ImportFinished(counts={"added": 2}))
    given(STARTED, ImportFinished(counts={})).when(START).then()
    given().when(FinishImport(counts={})).refused("unknown-import")


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk(tmp_path) as opened:
        yield opened


TWENTY = district(20)


def counts(**expected: int) -> dict[str, int]:
    return dict.fromkeys(OUTCOMES, 0) | expected


def changed(old: Zip, number: int, **more: str) -> Zip:
    """The same file with one student's row changed."""
    users = [dict(row) for row in old.users]
    users[2 * number] |= more
    return old.but(users=tuple(users))


def without(old: Zip, *sources: str) -> Zip:
    return old.but(users=tuple(row for row in old.users if row["sourcedId"] not in sources))


@pytest.mark.parametrize("made", [TWENTY, newer(TWENTY)], ids=["1.1", "1.2"])
async def test_every_student_is_stored_with_guardians_in_one_commit(at: Desk, made: Zip) -> None:
    page = await at.send(made)
    assert (page.phase, page.counts, page.done) == ("finished", counts(added=20), 20)
    stored = await at.stored()
    assert len(stored) == 22, "the import's beginning, twenty students, its end"
    enrolled, added = await at.story("s0")
    assert isinstance(enrolled.event, StudentEnrolled)
    assert enrolled.event.school == "sch_one"
    assert isinstance(added.event, GuardianAdded)
    assert added.event.guardian == at.person("p0")
    assert (added.event.authority, added.event.source) == (Authority.FULL, Source.ROSTER)
    assert enrolled.position == added.position


async def test_a_relative_is_known_and_does_not_decide(at: Desk) -> None:
    await at.send(
        Zip(orgs=TWENTY.orgs, users=(student_row("s0", agents="p0"), adult_row("p0", "relative")))
        .broken("demographics.csv", None)
        .broken("manifest.csv", b"propertyName,value\noneroster.version,1.1\n")
    )
    state = await at.state("s0")
    assert state.file.guardians[at.person("p0")].authority is Authority.NONE


async def test_nothing_personal_is_stored_or_told_in_clear(at: Desk) -> None:
    adult = adult_row("adult-source-1", email="canary@example.org")
    child = student_row("child-source-1", agents="adult-source-1", givenName="Canary")
    born = {"sourcedId": "child-source-1", "birthDate": "2014-01-11"}
    page = await at.send(TWENTY.but(users=(child, adult), demographics=(born,)))
    told = b"".join(commit.body for commit in await at.stored()) + page.model_dump_json().encode()
    for word in (b"Canary", b"canary", b"-source-1", b"2014-01-11", b"example.org", b"parent"):
        assert word not in told


async def test_the_same_roster_again_is_no_news(at: Desk) -> None:
    await at.send(TWENTY)
    before = len(await at.stored())
    page = await at.send(TWENTY, "second")
    assert page.counts == counts(unchanged=20)
    assert len(await at.stored()) == before + 2, "only the second import's own stream"


async def test_what_changed_moved_and_left_is_stored_and_nothing_else(at: Desk) -> None:
    await at.send(TWENTY)
    later = changed(changed(TWENTY, 1, familyName="New"), 2, orgSourcedIds="two")
    later = without(later, "s19", "p19")
    page = await at.send(later, "second")
    assert page.counts == counts(changed=1, moved=1, left=1, unchanged=17)
    assert isinstance((await at.story("s1"))[-1].event, StudentChanged)
    assert isinstance((await at.story("s2"))[-1].event, StudentMoved)
    assert (await at.story("s19"))[-1].event == StudentLeft(
        student=at.student("s19"), school="sch_two", reason="not-on-roster"
    )
    assert isinstance(await at.state("s19"), Left)


async def test_who_comes_back_is_enrolled_again(at: Desk) -> None:
    await at.send(TWENTY)
    await at.send(without(TWENTY, "s19"), "second")
    page = await at.send(TWENTY, "third")
    assert page.counts == counts(added=1, unchanged=19)
    assert isinstance(await at.state("s19"), Enrolled)


async def test_a_dry_run_tells_and_stores_nothing(at: Desk) -> None:
    page = await at.send(TWENTY, dry_run=True)
    assert (page.would_be, page.counts) == ("accepted", counts(added=20))
    assert await at.stored() == []
    assert await at.keys.held([at.student("s0")]) == {at.student("s0"): []}
    await at.send(TWENTY, "first")
    before = await at.stored()
    later = without(changed(changed(TWENTY, 1, grades="06"), 2, orgSourcedIds="two"), "s19")
    page = await at.send(changed(later, 3, givenName=""), "second", dry_run=True)
    assert page.would_be == "bad-rows"
    assert page.counts == counts(changed=1, moved=1, left=1, unchanged=16)
    assert page.report is not None
    assert [tuple(row) for row in page.report.problems] != []
    assert await at.stored() == before


async def test_forty_percent_gone_is_refused_before_anything_is_stored(at: Desk) -> None:
    await at.send(TWENTY)
    before = await at.stored()
    fewer = without(TWENTY, *(f"s{n}" for n in range(8)))
    with pytest.raises(Refused, match="8 of 20 students") as refused:
        await at.send(fewer, "second")
    assert refused.value.code == "too-many-removed"
    assert await at.stored() == before
    page = await at.send(fewer, "second", allow_removals=8)
    assert page.counts == counts(left=8, unchanged=12)


async def test_a_file_without_its_guardians_is_refused_too(at: Desk) -> None:
    await at.send(TWENTY)
    before = await at.stored()
    alone = TWENTY.but(users=tuple({**row, "agentSourcedIds": ""} for row in TWENTY.users))
    with pytest.raises(Refused, match="20 of 20 guardians"):
        await at.send(alone, "second")
    assert await at.stored() == before


async def test_a_guardian_added_by_hand_is_not_the_rosters_to_end(at: Desk) -> None:
    await at.send(district(1))
    by_hand = AddGuardian(
        guardian=at.person("x"),
        subject="x",
        names=Names(given="By", family="Hand"),
        relation="aunt",
        authority=Authority.FULL,
    )
    await at.asked(by_hand)
    page = await at.send(district(1), "second")
    assert page.counts == counts(unchanged=1)
    assert set((await at.state("s0")).file.guardians) == {at.person("p0"), at.person("x")}


async def test_bad_rows_are_refused_as_a_whole_unless_they_may_be_skipped(at: Desk) -> None:
    await at.send(TWENTY)
    before = await at.stored()
    bad = changed(changed(TWENTY, 3, givenName=""), 4, grades="06")
    with pytest.raises(NotTaken) as refused:
        await at.send(bad, "second")
    assert refused.value.code == "bad-rows"
    assert refused.value.findings == [("#/users.csv/8/givenName", "missing")]
    assert await at.stored() == before
    page = await at.send(bad, "third", skip_bad_rows=True)
    assert page.counts == counts(changed=1, unchanged=18)
    assert isinstance(await at.state("s3"), Enrolled)


async def test_nobody_leaves_by_a_file_with_rows_of_nobody(at: Desk) -> None:
    await at.send(TWENTY)
    page = await at.send(changed(TWENTY, 3, sourcedId=""), "second", skip_bad_rows=True)
    assert page.counts == counts(unchanged=19)
    assert page.report is not None
    assert not page.report.whole


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


BROKEN: dict[str, tuple[Callable[[], bytes], str]] = {
    "no zip": (lambda: b"zip", "unreadable-roster"),
    "half a zip": (lambda: half(TWENTY.bytes()), "unreadable-roster"),
    "no users": (lambda: TWENTY.broken("users.csv", None).bytes(), "unreadable-roster"),
    "empty users": (lambda: TWENTY.broken("users.csv", b"").bytes(), "unreadable-roster"),
    "missing columns": (
        lambda: TWENTY.broken("users.csv", b"sourcedId,role\ns0,student\n").bytes(),
        "unreadable-roster",
    ),
    "wrong encoding": (
        lambda: (
            changed(TWENTY, 0, givenName="Jos\u00e9")
            .broken("users.csv", TWENTY.files()["users.csv"].decode().encode("utf-16"))
            .bytes()
        ),
        "unreadable-roster",
    ),
    "duplicate ids": (
        lambda: TWENTY.but(users=(*TWENTY.users, student_row("s0"))).bytes(),
        "bad-rows",
    ),
    "dangling school": (lambda: changed(TWENTY, 0, orgSourcedIds="x").bytes(), "bad-rows"),
    "torn quotes": (
        lambda: TWENTY.broken("users.csv", TWENTY.files()["users.csv"] + b'"a"b,').bytes(),
        "bad-rows",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_file_is_reported_and_nothing_is_stored(at: Desk, name: str) -> None:
    data, code = BROKEN[name][0](), BROKEN[name][1]
    with pytest.raises(NotTaken) as refused:
        await at.send(data)
    assert (refused.value.code, refused.value.status) == (code, 422)
    assert refused.value.findings != []
    assert await at.stored() == []
    told = await at.send(data, "dry", dry_run=True)
    assert told.would_be == code
    assert await at.stored() == []
    assert (await at.send(TWENTY, "sound")).phase == "finished", "the next file is taken"


async def test_an_erased_student_is_reported_and_stays_erased(at: Desk) -> None:
    await at.send(TWENTY)
    await at.asked(OrderErasure(approver="usr_other", approval="a", approved=True), "s5")
    await at.running.keyring.forget(at.student("s5"), ())
    dry = await at.send(TWENTY, "dry", dry_run=True)
    page = await at.send(TWENTY, "second")
    assert page.counts == dry.counts == counts(erased=1, unchanged=19)
    assert page.report is not None
    assert [(row.line, row.code) for row in page.report.problems] == [(12, "erased")]
    assert not isinstance(await at.state("s5"), Enrolled)


async def interrupted_and_sent_again(at: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "TRIES_MAX", 2)
    at.store.rows_left = 10
    stopped = await at.send(TWENTY)
    assert stopped.phase == "stopped"
    assert 0 < stopped.done < 20
    at.store.rows_left = None
    page = await at.send(TWENTY)
    assert page.phase == "finished"
    assert page.counts["again"] >= stopped.done
    assert page.counts["again"] + page.counts["added"] == 20
    assert len(await at.stored()) == 22, "nothing twice"


async def test_an_interrupted_import_goes_on_under_the_same_key(
    at: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "TOGETHER", 4)
    await interrupted_and_sent_again(at, monkeypatch)


async def test_a_finished_import_sent_again_is_told_and_not_done_again(at: Desk) -> None:
    first = await at.send(TWENTY)
    await at.send(changed(TWENTY, 0, grades="06"), "second")
    before = await at.stored()
    again = await at.send(TWENTY)
    assert (again.reference, again.phase) == (first.reference, "finished")
    assert await at.stored() == before


async def test_the_first_file_again_under_a_new_key_is_not_swallowed(at: Desk) -> None:
    await at.send(TWENTY)
    await at.send(changed(TWENTY, 0, grades="06"), "second")
    page = await at.send(TWENTY, "third")
    assert page.counts == counts(changed=1, unchanged=19)


async def test_one_key_is_for_one_file(at: Desk) -> None:
    await at.send(TWENTY)
    with pytest.raises(KeyReused):
        await at.send(changed(TWENTY, 0, grades="06"))


async def test_one_import_at_a_time(at: Desk) -> None:
    first = await at.offer(TWENTY)
    assert (await at.offer(TWENTY)).reference == first.reference, "the same request is told"
    with pytest.raises(KeyReused):
        await at.offer(district(3))
    with pytest.raises(Refused) as refused:
        await at.offer(TWENTY, "second")
    assert refused.value.code == "import-running"
    assert (await at.over(first.reference)).phase == "finished"
    assert (await at.send(TWENTY, "second")).phase == "finished"


async def test_the_outcome_is_told_by_a_process_that_did_not_run_it(tmp_path: Path) -> None:
    async with desk(tmp_path) as first:
        page = await first.send(TWENTY)
    async with desk(tmp_path) as second:
        told = await second.imports.page(page.reference)
        assert (told.phase, told.counts) == ("finished", {"added": 20})
        with pytest.raises(Missing):
            await second.imports.page("imp_unknown")


async def test_a_student_who_was_never_there_is_unknown(at: Desk) -> None:
    assert await at.state("s0") == Unknown()


async def test_a_process_that_has_not_taken_an_import_does_not_call_it_stopped(
    at: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "TRIES_MAX", 2)
    at.store.rows_left = 10
    begun = await at.send(TWENTY)
    other = taking.Imports(at.running, DIRECTORY)
    assert (await other.page(begun.reference)).phase == "stopped", "there is no other process"
    at.running.relayed = True
    assert (await other.page(begun.reference)).phase == "elsewhere"
