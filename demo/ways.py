"""The ways a referral can go. Each ends, or is still open on the last day of school."""

from collections.abc import Callable, Iterator

from demo.asks import AFTERNOON, SOON, Ask, of_guardian, registrar
from demo.phases import (
    DECLINES,
    EVIDENCE,
    SEEN,
    Journey,
    begun,
    finished,
    granted,
    helped,
    met_and_taken_on,
    raised,
    routed,
    sent,
    taken_on,
    triaged,
)
from demo.routes import enrolment

CRISIS_DAYS = 7

Way = Callable[[Journey], Iterator[Ask]]


def advice(j: Journey) -> Iterator[Ask]:
    """A word of advice is enough."""
    yield from raised(j)
    yield from triaged(j, 1)
    j.wait(0, 2)
    yield from j.ask(j.crew.psychologist, "close", resolution="advice-enough")


def support(j: Journey) -> Iterator[Ask]:
    """The school helps by itself."""
    yield from raised(j)
    yield from triaged(j, 2)
    j.wait(1, 3)
    yield from taken_on(j)


def to_agency(j: Journey) -> Iterator[Ask]:
    """Until the agency has been asked."""
    yield from raised(j)
    yield from triaged(j, 3)
    yield from routed(j)


def partner(j: Journey) -> Iterator[Ask]:
    """An agency helps; both families' answers are yes."""
    yield from to_agency(j)
    yield from granted(j)
    yield from sent(j)
    yield from begun(j)
    yield from finished(j)


def declined(j: Journey) -> Iterator[Ask]:
    """The agency says no; another one is asked, or the school helps."""
    yield from to_agency(j)
    yield from granted(j)
    yield from sent(j)
    j.wait(1, 3)
    yield from j.ask(j.intake, "open-packet")
    yield from j.ask(j.intake, "decline", reason=j.chance.choice(DECLINES))
    if j.next_agency():
        yield from routed(j)
        yield from granted(j)
        yield from sent(j)
        yield from begun(j)
        yield from finished(j)
    else:
        j.wait(1, 3)
        yield from met_and_taken_on(j)


def refused(j: Journey) -> Iterator[Ask]:
    """The family says no to the agency; half of them take the school's help."""
    yield from to_agency(j)
    j.wait(1, 6)
    yield from j.ask(j.signer, "decline-consent", way="out")
    yield from j.ask(j.signer, "decline-consent", way="back")
    j.wait(1, 4)
    if j.some(0.5):
        yield from met_and_taken_on(j)
    else:
        yield from j.ask(j.crew.social_worker, "close", resolution="family-refused")


def lapsed(j: Journey) -> Iterator[Ask]:
    """The family never answers, and after twenty school days the question lapses."""
    yield from to_agency(j)
    j.wait(23, 27)
    yield from j.ask(j.crew.social_worker, "close", resolution="none-found")


def revoked(j: Journey) -> Iterator[Ask]:
    """The family takes everything back while help is under way; the school closes its loop."""
    yield from to_agency(j)
    yield from granted(j)
    yield from sent(j)
    yield from begun(j)
    j.wait(8, 40)
    yield from j.ask(j.signer, "revoke-all")
    j.wait(2, 13)
    yield from j.ask(j.crew.social_worker, "close", resolution="consent-ended")


def narrowed(j: Journey) -> Iterator[Ask]:
    """The family allows less than before, and help goes on."""
    yield from to_agency(j)
    yield from granted(j)
    yield from sent(j)
    yield from begun(j)
    j.wait(3, 20)
    yield from j.ask(j.signer, "narrow", way="out", without=["grades", "attendance"])
    yield from finished(j)


def crisis(j: Journey) -> Iterator[Ask]:
    """Somebody is with the student within minutes, mostly; everything else comes after. Crises
    share days, because each such day costs the demo steps of its own."""
    j.day -= j.day % CRISIS_DAYS
    yield from raised(j, "crisis")
    late = j.some(0.1)
    hour = AFTERNOON if late else SOON
    yield from j.ask(j.crew.psychologist, "attend-crisis", hour=hour)
    steps = f"Stayed with {j.student.given}, called the family, agreed on a plan for tonight."
    yield from j.ask(j.crew.psychologist, "settle-crisis", hour=hour, steps=steps)
    yield from triaged(j, 3)
    if j.next_agency():
        yield from routed(j)
        yield from granted(j)
        yield from sent(j)
        yield from begun(j)
        yield from finished(j)
    else:
        yield from met_and_taken_on(j)


def withdrawn(j: Journey) -> Iterator[Ask]:
    """The family does not want to go on."""
    yield from raised(j)
    yield from triaged(j, 2)
    j.wait(1, 5)
    yield from j.ask(j.signer, "withdraw", reason="family-asks")


def differ(j: Journey) -> Iterator[Ask]:
    """Parents who live apart differ: one says yes, the other no, and the no counts."""
    first, second = (of_guardian(guardian) for guardian in j.student.guardians)
    yield from to_agency(j)
    j.wait(1, 4)
    if j.some(0.5):
        yield from j.ask(first, "decline-consent", way="out")
        j.wait(1, 3)
        yield from j.ask(second, "grant", way="out")
        j.wait(1, 3)
        yield from met_and_taken_on(j)
    else:
        yield from j.ask(first, "grant", way="out")
        yield from j.ask(first, "grant", way="back")
        j.wait(1, 2)
        yield from j.ask(second, "decline-consent", way="out")
        j.wait(1, 3)
        yield from j.ask(j.crew.social_worker, "withdraw", reason="family-asks")


def moved(j: Journey) -> Iterator[Ask]:
    """The student changes school while the agency helps; the new school reads the outcome."""
    yield from to_agency(j)
    yield from granted(j)
    yield from sent(j)
    yield from begun(j)
    j.wait(3, 20)
    yield from j.ask(registrar(), "move", **enrolment(j.student, f"sch_{j.other.school}"))
    j.crew = j.other
    j.wait(1, 1)
    yield from finished(j)


def left(j: Journey) -> Iterator[Ask]:
    """The student leaves the district, and everything about them ends."""
    yield from to_agency(j)
    if j.some(0.6):
        yield from granted(j)
        yield from sent(j)
    j.wait(1, 10)
    yield from j.ask(registrar(), "leave", reason="moved-away")


def onward(j: Journey) -> Iterator[Ask]:
    """The agency that helps asks another agency for one more kind of help."""
    yield from to_agency(j)
    yield from granted(j)
    yield from sent(j)
    yield from begun(j)
    j.wait(5, 15)
    sender, first = j.clinician, j.case
    if not j.next_agency():
        yield from finished(j)
        return
    j.case = f"{first}-onward"
    yield from j.ask(
        sender,
        "raise",
        origin="onward",
        after=first,
        override="other-help",
        urgency="routine",
        domains=["emotional"],
        setting="home",
        words=j.words(SEEN),
    )
    yield from j.ask(sender, "triage", tier=3, evidence=j.words(EVIDENCE))
    j.wait(1, 2)
    assert j.agency is not None
    yield from j.ask(
        sender, "route", receiver=j.agency.ref, service=j.service, override="other-help"
    )
    yield from granted(j)
    j.wait(1, 2)
    yield from j.ask(sender, "send", letter=j.words(EVIDENCE))
    yield from begun(j)
    yield from helped(j)


def reopened(j: Journey) -> Iterator[Ask]:
    """Advice was not enough after all."""
    yield from advice(j)
    j.wait(10, 25)
    note = f"The advice did not help {j.student.given} for long."
    yield from j.ask(j.crew.psychologist, "reopen", note=note)
    j.wait(1, 2)
    yield from j.ask(
        j.crew.psychologist, "meet", met="guardian", agrees=True, context=j.words(SEEN)
    )
    yield from j.ask(j.crew.psychologist, "triage", tier=2, evidence=j.words(EVIDENCE))
    j.wait(1, 2)
    yield from taken_on(j)


def doubled(j: Journey) -> Iterator[Ask]:
    """Somebody else raises what is open already, hears so, and adds to it."""
    yield from raised(j)
    j.wait(1, 1)
    second = j.crew.social_worker
    words = j.words(SEEN)
    yield from j.ask(
        second,
        "raise",
        refused="maybe-duplicate",
        urgency="routine",
        domains=["social"],
        setting="school",
        words=words,
    )
    yield from j.ask(second, "add-concern", setting="school", words=words)
    yield from triaged(j, 2)
    j.wait(1, 3)
    yield from taken_on(j)


def too_soon(j: Journey) -> Iterator[Ask]:
    """Routed to an agency although the school's own tier is what it needs: the rules say no."""
    assert j.agency is not None
    yield from raised(j)
    yield from triaged(j, 2)
    j.wait(1, 2)
    yield from j.ask(
        j.crew.social_worker,
        "route",
        refused="tier-stays-at-school",
        receiver=j.agency.ref,
        service=j.service,
    )
    yield from taken_on(j)
