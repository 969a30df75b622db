"""How each thing that people ask for is said over HTTP: service, path and body."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

from demo.asks import Ask, Who
from demo.district import Student
from demo.partners import CALENDAR

TEXT_VERSION = "referral-2025-1"
"""The plain-language text that the family read."""


class Request(NamedTuple):
    service: str
    path: str
    body: Any


@dataclass(eq=False)
class Known:
    """What the demo's people have learned about one case so far. `asked` are the questions that
    wait for the family or are open: way (out or back) -> grant and terms, as the family read them
    at their last sitting.
    """

    student: str
    referral: str = ""
    need: str = ""
    before: "Known | None" = None
    asked: dict[str, dict[str, Any]] = field(default_factory=dict)
    sitting: tuple[datetime, Who] | None = None


Say = Callable[[Ask, Known], Request]


def learned(known: Known, family: Mapping[str, Any]) -> None:
    """The family's page: the last question in each direction about this referral."""
    known.asked = {}
    for question in family["requests"]:
        if question["referral"] == known.referral and question["situation"] != "ended":
            known.asked[question["grant"].rpartition(".")[2]] = question


def _raise(ask: Ask, known: Known) -> Request:
    """`after` names the case whose need it shares."""
    body = {"student": known.student, **ask.body}
    if known.before is not None:
        del body["after"]
        body["parent"] = known.before.referral
    return Request("referrals", "/v1/referrals", body)


def _referral(words: str) -> Say:
    def say(ask: Ask, known: Known) -> Request:
        return Request("referrals", f"/v1/referrals/{known.referral}/{words}", ask.body)

    return say


def _proof(ask: Ask, terms: Any) -> dict[str, Any]:
    shown = f"{TEXT_VERSION}|{sorted(terms.items()) if terms else 'everything'}"
    return {
        "channel": "web",
        "authenticated_by": "password",
        "assurance": "substantial",
        "text_version": TEXT_VERSION,
        "shown": sha256(shown.encode()).hexdigest(),
        "signed_on": CALENDAR.local(ask.at).isoformat(),
    }


def _grant(ask: Ask, known: Known) -> Request:
    question = known.asked[ask.body["way"]]
    terms = question["terms"]
    body = {"grant": question["grant"], "terms": terms, "proof": _proof(ask, terms)}
    return Request("consent", f"/v1/students/{known.student}/grants", body)


def _decline(ask: Ask, known: Known) -> Request:
    question = known.asked[ask.body["way"]]
    body = {"grant": question["grant"], "proof": _proof(ask, question["terms"])}
    return Request("consent", f"/v1/students/{known.student}/declines", body)


def _revoke_all(ask: Ask, known: Known) -> Request:
    body = {"proof": _proof(ask, None)}
    return Request("consent", f"/v1/students/{known.student}/revocations", body)


def _narrow(ask: Ask, known: Known) -> Request:
    question = known.asked[ask.body["way"]]
    less = [one for one in question["terms"]["classes"] if one not in ask.body["without"]]
    body = {"grant": question["grant"], "terms": {**question["terms"], "classes": less}}
    return Request("consent", f"/v1/students/{known.student}/narrowings", body)


def _packet(_: Ask, known: Known) -> Request:
    return Request("referrals", f"/v1/referrals/{known.referral}/packet", None)


def _leave(ask: Ask, known: Known) -> Request:
    return Request("consent", f"/v1/students/{known.student}/leaving", ask.body)


def _move(ask: Ask, _: Known) -> Request:
    """The registrar writes the same student down at another school."""
    return Request("consent", "/v1/students", ask.body)


def enrolment(student: Student, school: str) -> dict[str, Any]:
    """The student as the registrar writes one down."""
    return {
        "school": school,
        "names": {"given": student.given, "family": student.family},
        "birth_date": student.birth.isoformat(),
        "grade": student.grade,
        "language": student.language,
        "roster_id": student.source,
    }


READS = frozenset({"open-packet"})
"""What is read, and still leaves a trace in the log."""
READS_FAMILY_PAGE = frozenset({"grant", "decline-consent", "narrow"})
"""What somebody does after reading what is asked of the family."""

SAID: Mapping[str, Say] = {
    "raise": _raise,
    "add-concern": _referral("concerns"),
    "meet": _referral("meetings"),
    "triage": _referral("triage"),
    "take-on": _referral("take-on"),
    "route": _referral("route"),
    "send": _referral("send"),
    "accept": _referral("accept"),
    "waitlist": _referral("waitlist"),
    "decline": _referral("decline"),
    "start": _referral("start"),
    "review": _referral("reviews"),
    "step-down": _referral("step-down"),
    "alert": _referral("alerts"),
    "read-alert": _referral("alerts/read"),
    "finish": _referral("finish"),
    "acknowledge": _referral("acknowledge"),
    "close": _referral("close"),
    "withdraw": _referral("withdraw"),
    "reopen": _referral("reopen"),
    "attend-crisis": _referral("crisis/attended"),
    "settle-crisis": _referral("crisis/settled"),
    "grant": _grant,
    "decline-consent": _decline,
    "revoke-all": _revoke_all,
    "narrow": _narrow,
    "open-packet": _packet,
    "leave": _leave,
    "move": _move,
}
