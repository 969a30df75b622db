"""What each caller may rely on at the door of consent: whose is what, and what comes back."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.consent.office import Office, office

ANA = {
    "school": "sch_one",
    "names": {"given": "Ana", "family": "López"},
    "birth_date": "2012-05-04",
    "grade": "07",
    "language": "es",
    "roster_id": "S-1",
}
TERMS = {
    "holder": "district",
    "recipient": "agy_one",
    "classes": ["grades", "referral"],
    "purposes": ["referral"],
    "starts": "2025-09-15",
    "until": "2026-06-30",
}
PROOF = {
    "channel": "web",
    "authenticated_by": "password",
    "assurance": "substantial",
    "text_version": "text-1",
    "shown": "0" * 64,
    "signed_on": "2025-09-15",
}
REQUEST = {"grant": "g1", "terms": TERMS, "text_version": "text-1"}
YES = {"grant": "g1", "terms": TERMS, "proof": PROOF}
NO = {"grant": "g1", "proof": PROOF}


def guardian(subject: str, given: str, **more: Any) -> dict[str, Any]:
    names = {"given": given, "family": "López"}
    return {"subject": subject, "names": names, "relation": "parent", "authority": "full", **more}


@pytest.fixture
async def at(tmp_path: Path) -> AsyncIterator[Office]:
    async with office(tmp_path) as opened:
        yield opened


@pytest.fixture
async def home(at: Office) -> Office:
    """Ana with her mother and father, on record."""
    assert (await at.ask("registrar", "/students", ANA)).status_code == 201
    for subject, given in (("G-1", "Eva"), ("G-2", "Luis")):
        reply = await at.ask("registrar", f"{path(at)}/guardians", guardian(subject, given))
        assert reply.status_code == 201
    return at


def path(at: Office, rest: str = "") -> str:
    return f"/students/{at.student()}{rest}"


def question(at: Office, **more: str) -> dict[str, str]:
    asked = {"student": at.student(), "recipient": "agy_one"}
    return {**asked, "class": "grades", "purpose": "referral", **more}


async def test_a_student_s_reference_is_that_of_the_roster_id(at: Office) -> None:
    reply = await at.ask("registrar", "/students", ANA)
    assert (reply.status_code, reply.json()) == (201, {"student": at.student()})
    again = await at.ask("registrar", "/students", ANA)
    assert (again.status_code, again.json()) == (200, {"student": at.student()})


async def test_a_school_that_nobody_knows_is_named(at: Office) -> None:
    reply = await at.ask("registrar", "/students", {**ANA, "school": "sch_none"})
    assert (reply.status_code, reply.json()["code"]) == (422, "unknown-school")


async def test_from_the_request_to_the_question_and_back(home: Office) -> None:
    asked = await home.ask("worker", path(home, "/requests"), REQUEST)
    assert asked.status_code == 201
    queue = (await home.read("worker", "/schools/sch_one/consent-requests")).json()
    assert [(row["grant"], row["situation"]) for row in queue["items"]] == [("g1", "asked")]
    given = await home.ask("mother", path(home, "/grants"), YES)
    assert given.status_code == 200
    allowed = (await home.ask("intake", "/may", question(home))).json()
    assert allowed == {
        "allow": True,
        "grant": "g1",
        "version": 1,
        "position": given.headers["position"],
        "code": None,
        "sentence": None,
    }
    taken = await home.ask("mother", path(home, "/revocations"), {"proof": PROOF})
    assert taken.status_code == 200
    assert (await home.ask("intake", "/may", question(home))).status_code == 404
    why = (await home.ask("worker", "/may", question(home))).json()
    assert (why["allow"], why["code"]) == (False, "revoked")


async def test_narrower_terms_hold_at_once(home: Office) -> None:
    await home.ask("mother", path(home, "/grants"), YES)
    less = {"grant": "g1", "terms": {**TERMS, "classes": ["referral"]}}
    assert (await home.ask("mother", path(home, "/narrowings"), less)).status_code == 200
    why = (await home.ask("mother", "/may", question(home))).json()
    assert why["code"] == "class-not-covered"
    wider = await home.ask("mother", path(home, "/narrowings"), {"grant": "g1", "terms": TERMS})
    assert (wider.status_code, wider.json()["code"]) == (409, "wider")


async def test_one_no_among_two_parents_ends_what_was_allowed(home: Office) -> None:
    await home.ask("mother", path(home, "/grants"), YES)
    assert (await home.ask("father", path(home, "/declines"), NO)).status_code == 200
    why = (await home.ask("worker", "/may", question(home))).json()
    assert why["code"] == "revoked"


async def test_a_yes_that_is_sent_again_gets_its_first_answer(home: Office) -> None:
    first = await home.ask("mother", path(home, "/grants"), YES, key="the-same-key")
    await home.ask("mother", path(home, "/revocations"), {"proof": PROOF})
    again = await home.ask("mother", path(home, "/grants"), YES, key="the-same-key")
    assert again.status_code == 200
    assert again.headers["position"] == first.headers["position"]
    assert again.headers["idempotent-replayed"] == "true"


async def test_the_family_reads_its_story_with_names(home: Office) -> None:
    await home.ask("worker", path(home, "/requests"), REQUEST)
    await home.ask("mother", path(home, "/grants"), YES)
    page = (await home.read("mother", path(home, "/family"))).json()
    assert page["names"] == {"given": "Ana", "family": "López"}
    assert [kin["names"]["given"] for kin in page["guardians"]] == ["Eva", "Luis"]
    (story,) = page["requests"]
    assert (story["grant"], story["situation"], story["version"]) == ("g1", "open", 1)
    assert story["said"][0]["signer"] == home.person("mother")


@pytest.mark.parametrize("who", ["stranger", "worker-2"])
async def test_a_student_who_is_not_yours_is_not_there(home: Office, who: str) -> None:
    unknown = f"/students/{home.student('S-9')}"
    for rest, body in (("/grants", YES), ("/declines", NO), ("/revocations", {"proof": PROOF})):
        theirs = await home.ask(who, path(home, rest), body)
        nobody = await home.ask(who, f"{unknown}{rest}", body)
        assert (theirs.status_code, theirs.json()) == (nobody.status_code, nobody.json())
        assert theirs.status_code == 404
    assert (await home.read(who, path(home, "/family"))).status_code == 404
    assert (await home.ask(who, "/may", question(home))).status_code == 404


async def test_an_agency_learns_nothing_about_a_student_it_was_not_allowed(home: Office) -> None:
    await home.ask("mother", path(home, "/grants"), YES)
    assert (await home.ask("intake-2", "/may", question(home))).status_code == 404
    own = question(home, recipient="agy_two")
    assert (await home.ask("intake-2", "/may", own)).status_code == 404
    nobody = {**own, "student": home.student("S-9")}
    assert (await home.ask("intake-2", "/may", nobody)).status_code == 404


async def test_an_agency_asks_for_more_only_where_it_is_known(home: Office) -> None:
    more = {"grant": "g2", "terms": {**TERMS, "classes": ["iep"]}, "text_version": "text-1"}
    assert (await home.ask("intake", path(home, "/requests"), more)).status_code == 404
    await home.ask("mother", path(home, "/grants"), YES)
    assert (await home.ask("intake", "/may", question(home))).status_code == 200
    assert (await home.ask("intake", path(home, "/requests"), more)).status_code == 201
    theirs = {**more, "grant": "g3", "terms": {**TERMS, "recipient": "agy_two"}}
    assert (await home.ask("intake", path(home, "/requests"), theirs)).status_code == 422


async def test_nobody_is_asked_for_a_partner_that_nobody_knows(home: Office) -> None:
    body = {**REQUEST, "terms": {**TERMS, "recipient": "agy_none"}}
    reply = await home.ask("worker", path(home, "/requests"), body)
    assert (reply.status_code, reply.json()["code"]) == (422, "unknown-party")


async def test_staff_record_a_signature_on_paper(home: Office) -> None:
    on_paper = {**YES, "proof": {**PROOF, "channel": "paper"}, "signer": home.person("mother")}
    on_web = {**YES, "signer": home.person("mother")}
    refused = await home.ask("worker", path(home, "/grants"), on_web)
    assert (refused.status_code, refused.json()["code"]) == (409, "not-on-web")
    assert (await home.ask("worker", path(home, "/grants"), on_paper)).status_code == 200


async def test_a_guardian_whose_authority_ended_reads_nothing(home: Office) -> None:
    order = guardian("", "Luis", authority="none", order="court order 12")
    del order["subject"]
    father = home.person("father")
    changed = await home.ask("registrar", path(home, f"/guardians/{father}"), order)
    assert changed.status_code == 200
    assert (await home.read("father", path(home, "/family"))).status_code == 404
    assert (await home.read("mother", path(home, "/family"))).status_code == 200
    refused = await home.ask("father", path(home, "/grants"), YES)
    assert (refused.status_code, refused.json()["code"]) == (409, "not-entitled")
    ended = await home.ask("registrar", path(home, f"/guardians/{father}/end"))
    assert ended.status_code == 200
    assert (await home.read("father", path(home, "/family"))).status_code == 404
    assert (await home.ask("father", path(home, "/grants"), YES)).status_code == 404


async def test_a_student_of_age_decides_and_the_guardian_does_not(at: Office) -> None:
    await at.ask("registrar", "/students", {**ANA, "birth_date": "2007-09-15"})
    await at.ask("registrar", path(at, "/guardians"), guardian("G-1", "Eva"))
    found = await at.ask("registrar", "/students/search", {"names": "ana"})
    assert len(found.json()["items"]) == 1
    refused = await at.ask("mother", path(at, "/grants"), YES)
    assert (refused.status_code, refused.json()["code"]) == (409, "not-entitled")
    assert (await at.ask("herself", path(at, "/grants"), YES)).status_code == 200
    assert (await at.read("mother", path(at, "/family"))).status_code == 404
    own = (await at.read("herself", "/children")).json()
    assert [child["student"] for child in own["items"]] == [at.student()]


async def test_a_guardian_finds_the_own_children(home: Office) -> None:
    found = (await home.read("mother", "/children")).json()
    wanted = {"given": "Ana", "family": "López"}
    assert [(child["student"], child["names"]) for child in found["items"]] == [
        (home.student(), wanted)
    ]
    assert (await home.read("stranger", "/children")).json() == {"items": []}


async def test_students_are_found_by_name_in_the_own_school(home: Office) -> None:
    for who, wanted in (("registrar", 1), ("worker", 1), ("worker-2", 0)):
        found = await home.ask(who, "/students/search", {"names": "lóp an"})
        assert len(found.json()["items"]) == wanted, who
    theirs = {"names": "ana", "school": "sch_one"}
    assert (await home.ask("worker-2", "/students/search", theirs)).status_code == 404


async def test_a_school_lists_its_own_students(home: Office) -> None:
    page = (await home.read("worker", "/schools/sch_one/students")).json()
    assert [pupil["names"]["given"] for pupil in page["items"]] == ["Ana"]
    for listed in ("students", "consent-requests"):
        assert (await home.read("worker-2", f"/schools/sch_one/{listed}")).status_code == 404
    await home.ask("registrar", path(home, "/leaving"), {"reason": "moved-away"})
    page = (await home.read("worker", "/schools/sch_one/students?situation=left")).json()
    assert [pupil["student"] for pupil in page["items"]] == [home.student()]


async def test_an_erasure_takes_two_registrars(home: Office) -> None:
    approvals, erasure = path(home, "/erasure/approvals"), path(home, "/erasure")
    approved = (await home.ask("registrar", approvals)).json()
    alone = await home.ask("registrar", erasure, approved)
    assert (alone.status_code, alone.json()["code"]) == (409, "same-person")
    forged = await home.ask("registrar-2", erasure, {**approved, "approval": "apr_forged"})
    assert (forged.status_code, forged.json()["code"]) == (409, "not-approved")
    assert (await home.ask("registrar-2", erasure, approved)).status_code == 200
    assert (await home.read("mother", path(home, "/family"))).status_code == 404
    found = await home.ask("registrar", "/students/search", {"names": "ana"})
    assert found.json()["items"] == []


async def test_a_request_is_withdrawn_and_reminded_of_by_staff(home: Office) -> None:
    await home.ask("worker", path(home, "/requests"), REQUEST)
    assert (await home.ask("worker", path(home, "/reminders"), {"grant": "g1"})).status_code == 200
    row = (await home.read("worker", "/schools/sch_one/consent-requests")).json()["items"][0]
    assert row["reminders"] == 1
    assert (await home.ask("worker", path(home, "/withdrawals"), {})).status_code == 422
    gone = await home.ask("worker", path(home, "/withdrawals"), {"grant": "g1"})
    assert gone.status_code == 200
    page = (await home.read("worker", "/schools/sch_one/consent-requests")).json()
    assert page["items"] == []


async def test_facts_are_not_the_caller_s_to_state(home: Office) -> None:
    for fact in ({"of_age": True}, {"rule": "either"}, {"student": "stu_2"}, {"zone": "UTC"}):
        reply = await home.ask("mother", path(home, "/grants"), {**YES, **fact})
        assert reply.status_code == 422, fact


async def test_roles_without_a_word_here_are_turned_away(home: Office) -> None:
    assert (await home.ask("teacher", path(home, "/grants"), YES)).status_code == 403
    assert (await home.ask("mother", "/students", ANA)).status_code == 403
    assert (await home.read("intake", path(home, "/family"))).status_code == 403
    assert (await home.read("nobody", path(home, "/family"))).status_code == 401


async def test_a_roster_id_is_looked_up_by_the_registrar_alone(home: Office) -> None:
    asked = {"roster_ids": ["S-1", "S-unknown"]}
    found = await home.ask("registrar", "/students/lookup", asked)
    assert found.json() == {"students": [path(home).rpartition("/")[2], None]}
    assert (await home.ask("worker", "/students/lookup", asked)).status_code == 403
