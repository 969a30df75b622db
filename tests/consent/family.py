"""A family to test with: a student, a mother, a father, and everything that can happen to them."""

from datetime import UTC, date, datetime
from typing import Any

from libs.common.messages import Actor, Role
from libs.common.testing import sealed
from services.consent.decider.commands import (
    Decline,
    Grant,
    Narrow,
    RequestConsent,
    Revoke,
)
from services.consent.events import (
    Authority,
    Cause,
    Channel,
    ConsentAnswered,
    ConsentDeclined,
    ConsentDisputed,
    ConsentExpired,
    ConsentGranted,
    ConsentRequested,
    ConsentRevoked,
    GuardianAdded,
    Proof,
    Purpose,
    RecordClass,
    Reply,
    RequestWithdrawn,
    Rule,
    Source,
    StudentEnrolled,
    Terms,
    UntilEvent,
)

STUDENT, MOTHER, FATHER, OWN = "stu_1", "usr_mother", "usr_father", "usr_1"
TODAY = date(2025, 9, 15)
NOON = datetime(2025, 9, 15, 16, 0, tzinfo=UTC)
mother = Actor(MOTHER, Role.GUARDIAN, "")
father = Actor(FATHER, Role.GUARDIAN, "")
herself = Actor(OWN, Role.STUDENT, "")
registrar = Actor("usr_registrar", Role.REGISTRAR, "district")
worker = Actor("usr_worker", Role.SOCIAL_WORKER, "sch_one")

about: dict[str, Any] = {
    "names": sealed("identity", "names", "ana"),
    "birth_date": sealed("identity", "birth_date", "2012"),
    "grade": sealed("identity", "grade", "7"),
    "language": sealed("identity", "language", "en"),
    "roster_id": sealed("identity", "roster_id", "S-1"),
}
enrolled = StudentEnrolled(student=STUDENT, school="sch_one", **about)


def kin(authority: Authority = Authority.FULL, **more: Any) -> dict[str, Any]:
    return {
        "names": sealed("identity", "names", "eva"),
        "relation": sealed("identity", "relation", "parent"),
        "authority": authority,
        **more,
    }


mother_added = GuardianAdded(student=STUDENT, guardian=MOTHER, source=Source.HAND, **kin())
father_added = GuardianAdded(student=STUDENT, guardian=FATHER, source=Source.HAND, **kin())
home = (enrolled, mother_added, father_added)


def terms(*classes: RecordClass, **more: Any) -> Terms:
    return Terms(
        **{
            "holder": "district",
            "recipient": "agy_one",
            "classes": frozenset(classes or (RecordClass.REFERRAL, RecordClass.GRADES)),
            "purposes": frozenset({Purpose.REFERRAL, Purpose.COORDINATION}),
            "starts": TODAY,
            "until": date(2026, 6, 30),
            "until_event": UntilEvent.REFERRAL_CLOSED,
            **more,
        }
    )


wide = terms()
narrower = terms(RecordClass.REFERRAL)


def proof(recorder: str | None = None, **more: Any) -> Proof:
    return Proof(
        **{
            "channel": Channel.WEB,
            "authenticated_by": "password",
            "assurance": "substantial",
            "text_version": "text-1",
            "shown": "0" * 64,
            "signed_on": TODAY,
            "recorder": recorder,
            **more,
        }
    )


facts: dict[str, Any] = {"student": STUDENT, "zone": "America/New_York"}
either = {**facts, "rule": Rule.EITHER}
both = {**facts, "rule": Rule.BOTH}
no_beats_yes = {**facts, "rule": Rule.NO_BEATS_YES}

ask = RequestConsent(grant="g1", referral="ref_1", terms=wide, text_version="text-1", **facts)
say_yes = Grant(grant="g1", terms=wide, proof=proof(), **no_beats_yes)
say_no = Decline(grant="g1", proof=proof(), **no_beats_yes)
take_back = Revoke(grant="g1", proof=proof(), **no_beats_yes)
take_all_back = Revoke(proof=proof(), **no_beats_yes)
less = Narrow(grant="g1", terms=narrower, **facts)

requested = ConsentRequested(
    student=STUDENT,
    school="sch_one",
    grant="g1",
    referral="ref_1",
    terms=wide,
    text_version="text-1",
    asked=(FATHER, MOTHER),
)
case: dict[str, Any] = {"student": STUDENT, "grant": "g1", "referral": "ref_1"}
ends: dict[str, Any] = {**case, "recipient": "agy_one", "holder": "district"}


def answered(signer: str, reply: Reply, what: Terms = wide) -> ConsentAnswered:
    said = proof(recorder=signer)
    return ConsentAnswered(**case, signer=signer, reply=reply, terms=what, proof=said)


def granted(signer: str, rule: Rule = Rule.NO_BEATS_YES, what: Terms = wide) -> ConsentGranted:
    return ConsentGranted(**case, version=1, terms=what, rule=rule, signer=signer)


mother_yes, father_yes = answered(MOTHER, Reply.YES), answered(FATHER, Reply.YES)
mother_no, father_no = answered(MOTHER, Reply.NO), answered(FATHER, Reply.NO)
declined = ConsentDeclined(**ends)
disputed = ConsentDisputed(**case)
revoked = ConsentRevoked(**ends, version=1, by=MOTHER)
withdrawn = RequestWithdrawn(**ends, cause=Cause.ASKED_NO_MORE)


def expired(cause: Cause) -> ConsentExpired:
    return ConsentExpired(**ends, version=1, cause=cause)


asked_history = (*home, requested)
open_history = (*home, requested, mother_yes, granted(MOTHER))
declined_history = (*home, requested, mother_no, declined)
disputed_history = (*home, requested, mother_no, declined, father_yes, disputed)
ended_history = (*open_history, mother_no, revoked)
