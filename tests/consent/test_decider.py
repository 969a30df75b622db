"""The promises that consent makes to a family about their word, one test each."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from libs.common.messages import Actor, Role
from libs.common.testing import Scenario
from services.consent.decider import consent
from services.consent.decider.commands import (
    CASES_MAX,
    Expire,
    Grant,
    Lapse,
    Narrow,
    Remind,
    WithdrawRequest,
)
from services.consent.events import (
    Cause,
    ConsentEvent,
    ConsentGranted,
    ConsentNarrowed,
    FamilyReminded,
    NotAsked,
    RecordClass,
    Reply,
    RequestLapsed,
    RequestUnanswerable,
    Rule,
    Terms,
)
from tests.consent import family as f

given = Scenario(consent)
DAY = timedelta(days=1)
LATER = f.NOON + timedelta(days=400)
due = f.NOON - timedelta(seconds=1)

remind = Remind(grant="g1", kind="remind-3", due=due, **f.facts)
lapse = Lapse(grant="g1", due=due, **f.facts)
expire = Expire(grant="g1", **f.facts)
withdraw = WithdrawRequest(grant="g1", **f.facts)
reminded = FamilyReminded(student=f.STUDENT, grant="g1", kind="remind-3", on=f.TODAY)
lapsed = RequestLapsed(**f.ends)
narrowed = ConsentNarrowed(
    **f.case, version=2, terms=f.narrower, rule=Rule.NO_BEATS_YES, signer=f.MOTHER
)
Events = tuple[ConsentEvent, ...]

SITUATIONS: dict[str, Events] = {
    "unasked": f.home,
    "asked": f.asked_history,
    "disputed": f.disputed_history,
    "declined": f.declined_history,
    "open": f.open_history,
    "ended": f.ended_history,
}
EVERYWHERE_SILENT: dict[str, str | Events] = dict.fromkeys(SITUATIONS, ())
WANTED: list[tuple[Any, dict[str, str | Events]]] = [
    (f.ask, {**EVERYWHERE_SILENT, "unasked": (f.requested,)}),
    (
        f.ask.model_copy(update={"terms": f.narrower}),
        dict.fromkeys(SITUATIONS, "id-used")
        | {"unasked": (f.requested.model_copy(update={"terms": f.narrower}),)},
    ),
    (
        f.say_yes,
        {
            "asked": (f.mother_yes, f.granted(f.MOTHER)),
            "disputed": (f.mother_yes, f.granted(f.MOTHER)),
            "declined": (f.mother_yes, f.granted(f.MOTHER)),
            "open": (),
            "ended": "ended",
        },
    ),
    (
        f.say_no,
        {
            "unasked": "unknown-grant",
            "asked": (f.mother_no, f.declined),
            "disputed": (),
            "declined": (),
            "open": (f.mother_no, f.revoked),
            "ended": (),
        },
    ),
    (f.take_all_back, {"unasked": (), "open": (f.mother_no, f.revoked), "ended": ()}),
    (
        f.less,
        {
            "unasked": "unknown-grant",
            "asked": "not-open",
            "disputed": "not-open",
            "declined": "not-open",
            "open": (narrowed,),
            "ended": "ended",
        },
    ),
    (
        withdraw,
        {
            "unasked": "unknown-grant",
            "asked": (f.withdrawn,),
            "disputed": (f.withdrawn,),
            "declined": (f.withdrawn,),
            "open": "already-given",
            "ended": (),
        },
    ),
    (
        remind,
        {
            "unasked": (),
            "asked": (reminded,),
            "disputed": (reminded,),
            "declined": (reminded,),
            "open": (),
            "ended": (),
        },
    ),
    (
        lapse,
        {
            "unasked": (),
            "asked": (lapsed,),
            "disputed": (lapsed,),
            "declined": (lapsed,),
            "open": (),
            "ended": (),
        },
    ),
    (expire, EVERYWHERE_SILENT),
]
CELLS = [
    pytest.param(SITUATIONS[situation], command, wanted, id=f"{type(command).__name__}-{situation}")
    for command, row in WANTED
    for situation, wanted in row.items()
]


def check(history: Events, command: Any, by: Actor, wanted: str | Events) -> None:
    when = given(*history).when(command, by=by)
    if isinstance(wanted, str):
        when.refused(wanted)
    else:
        when.then(*wanted)


@pytest.mark.parametrize(("history", "command", "wanted"), CELLS)
def test_every_cell_of_the_table(history: Events, command: Any, wanted: str | Events) -> None:
    check(history, command, f.mother, wanted)


@pytest.mark.parametrize("command", [row[0] for row in WANTED], ids=lambda c: type(c).__name__)
def test_nothing_is_asked_about_a_student_nobody_knows(command: Any) -> None:
    given().when(command, by=f.mother).refused("unknown-student")


def test_a_yes_before_anybody_asked_is_a_request_and_its_answer() -> None:
    asked = f.requested.model_copy(update={"referral": None})
    said = f.mother_yes.model_copy(update={"referral": None})
    granted = f.granted(f.MOTHER).model_copy(update={"referral": None})
    given(*f.home).when(f.say_yes, by=f.mother).then(asked, said, granted)


def test_a_no_beats_a_yes() -> None:
    given(*f.declined_history).when(f.say_yes, by=f.father).then(f.father_yes, f.disputed)


def test_a_no_in_a_dispute_leaves_nobody_for_it() -> None:
    given(*f.disputed_history).when(f.say_no, by=f.father).then(f.father_no, f.declined)


def test_where_one_yes_suffices_a_no_of_the_other_ends_nothing() -> None:
    opened = f.granted(f.MOTHER, Rule.EITHER)
    no = f.say_no.model_copy(update=f.either)
    yes = f.say_yes.model_copy(update=f.either)
    given(*f.asked_history).when(no, by=f.father).then(f.father_no)
    history = (*f.asked_history, f.father_no)
    given(*history).when(yes, by=f.mother).then(f.mother_yes, opened)
    open_ = (*f.asked_history, f.mother_yes, opened)
    given(*open_).when(no, by=f.father).then(f.father_no)


def test_where_one_yes_suffices_the_last_yes_taken_back_ends_it() -> None:
    history = (*f.asked_history, f.mother_yes, f.granted(f.MOTHER, Rule.EITHER))
    given(*history).when(f.take_back, by=f.mother).then(f.mother_no, f.revoked)


def test_where_both_must_say_yes_the_first_opens_nothing() -> None:
    yes = f.say_yes.model_copy(update=f.both)
    given(*f.asked_history).when(yes, by=f.mother).then(f.mother_yes)
    opened = f.granted(f.FATHER, Rule.BOTH)
    given(*f.asked_history, f.mother_yes).when(yes, by=f.father).then(f.father_yes, opened)
    no = f.say_no.model_copy(update=f.both)
    given(*f.asked_history, f.mother_yes).when(no, by=f.father).then(f.father_no, f.disputed)


def test_what_is_shared_is_what_every_yes_has_in_common() -> None:
    less = f.say_yes.model_copy(update={**f.both, "terms": f.narrower})
    said = f.answered(f.FATHER, Reply.YES, f.narrower)
    opened = f.granted(f.FATHER, Rule.BOTH, f.narrower)
    given(*f.asked_history, f.mother_yes).when(less, by=f.father).then(said, opened)


def test_two_yeses_with_nothing_in_common_are_a_dispute() -> None:
    grades = f.terms(RecordClass.GRADES)
    first = f.answered(f.MOTHER, Reply.YES, grades)
    less = f.say_yes.model_copy(update={**f.both, "terms": f.narrower})
    said = f.answered(f.FATHER, Reply.YES, f.narrower)
    given(*f.asked_history, first).when(less, by=f.father).then(said, f.disputed)


def test_a_second_yes_changes_nothing_that_is_shared() -> None:
    given(*f.open_history).when(f.say_yes, by=f.father).then(f.father_yes)


def test_a_narrower_yes_narrows_what_is_shared() -> None:
    less = f.say_yes.model_copy(update={"terms": f.narrower})
    said = f.answered(f.MOTHER, Reply.YES, f.narrower)
    given(*f.open_history).when(less, by=f.mother).then(said, narrowed)


def test_an_old_yes_does_not_widen_what_was_narrowed() -> None:
    history = (*f.open_history, narrowed)
    again = f.say_yes.model_copy(update={"proof": f.proof(assurance="high")})
    given(*history).when(again, by=f.mother).refused("wider")
    wider = Narrow(grant="g1", terms=f.wide, **f.facts)
    given(*history).when(wider, by=f.mother).refused("wider")


def test_a_yes_to_more_than_was_asked_is_refused() -> None:
    more = f.terms(RecordClass.REFERRAL, RecordClass.GRADES, RecordClass.IEP)
    wider = f.say_yes.model_copy(update={"terms": more})
    for history in (f.asked_history, f.open_history):
        given(*history).when(wider, by=f.mother).refused("wider")


def test_nobody_is_asked_when_nobody_may_decide() -> None:
    given(f.enrolled).when(f.ask).refused("no-one-to-ask")


POLICY = Actor("policy:ask-out", Role.SYSTEM, "district")


def unanswerable(reason: NotAsked, terms: Terms = f.wide) -> RequestUnanswerable:
    asked: dict[str, Any] = {"terms": terms, "text_version": f.ask.text_version}
    return RequestUnanswerable(**f.case, **asked, reason=reason)


def test_a_referral_whose_family_cannot_be_asked_hears_why() -> None:
    given(f.enrolled).when(f.ask, by=POLICY).then(unanswerable("no-one-to-ask"))
    over = f.wide.model_copy(update={"starts": f.TODAY - DAY, "until": f.TODAY - DAY})
    late = f.ask.model_copy(update={"terms": over})
    given(*f.home).when(late, by=POLICY).then(unanswerable("already-over", over))
    many = [f.requested.model_copy(update={"grant": f"other_{n}"}) for n in range(CASES_MAX)]
    given(*f.home, *many).when(f.ask, by=POLICY).then(unanswerable("too-many"))
    given(*f.home).when(f.ask, by=POLICY).then(f.requested)


def test_who_was_not_asked_is_asked_once_somebody_may_decide_under_another_grant() -> None:
    history = (f.enrolled, unanswerable("no-one-to-ask"), *f.home[1:])
    given(*history).when(f.ask, by=POLICY).then()
    again = f.ask.model_copy(update={"grant": "g2"})
    wanted = f.requested.model_copy(update={"grant": "g2"})
    given(*history).when(again, by=POLICY).then(wanted)


def test_psychotherapy_notes_and_sud_records_need_a_form_of_their_own() -> None:
    for reserved in (RecordClass.PSYCHOTHERAPY, RecordClass.SUD):
        terms = {"terms": f.terms(RecordClass.REFERRAL, reserved)}
        given(*f.home).when(f.ask.model_copy(update=terms)).refused("class-reserved")
        given(*f.home).when(f.say_yes.model_copy(update=terms), by=f.mother).refused(
            "class-reserved"
        )


def test_what_is_over_already_cannot_be_asked_for_or_given() -> None:
    for command in (f.ask, f.say_yes):
        given(*f.home).when(command, at=LATER, by=f.mother).refused("already-over")
    given(*f.asked_history).when(f.say_yes, at=LATER, by=f.mother).refused("already-over")
    given(*f.open_history).when(f.less, at=LATER, by=f.mother).refused("already-over")


def test_a_student_has_so_many_open_requests_and_no_more() -> None:
    history: list[ConsentEvent] = [
        *f.home,
        *(f.requested.model_copy(update={"grant": f"g{n}"}) for n in range(CASES_MAX)),
    ]
    more = {"grant": "one-more"}
    given(*history).when(f.ask.model_copy(update=more)).refused("too-many")
    given(*history).when(f.say_yes.model_copy(update=more), by=f.mother).refused("too-many")
    given(*history).when(f.say_no, by=f.mother).then(f.mother_no, f.declined)


def test_a_permission_ends_after_its_last_day_and_not_before() -> None:
    last_evening = datetime.fromisoformat("2026-07-01T03:59:59+00:00")
    midnight = datetime.fromisoformat("2026-07-01T04:00:00+00:00")
    given(*f.open_history).when(expire, at=last_evening).then()
    given(*f.open_history).when(expire, at=midnight).then(f.expired(Cause.DATE))


def test_a_permission_ends_with_its_referral() -> None:
    over = Expire(referral="ref_1", **f.facts)
    given(*f.open_history).when(over).then(f.expired(Cause.EVENT))
    given(*f.open_history).when(over.model_copy(update={"referral": "ref_2"})).then()


def test_a_permission_that_names_no_event_outlives_its_referral() -> None:
    lasting = f.terms(until_event=None)
    asked = f.requested.model_copy(update={"terms": lasting})
    opened = f.granted(f.MOTHER, what=lasting)
    history = (*f.home, asked, f.mother_yes, opened)
    given(*history).when(Expire(referral="ref_1", **f.facts)).then()


def test_only_the_recalled_attempt_is_asked_no_more() -> None:
    first, second = (f.requested.model_copy(update={"grant": f"ref_1.{n}.out"}) for n in (1, 2))
    over = WithdrawRequest(referral="ref_1", attempt=1, **f.facts)
    ended = f.withdrawn.model_copy(update={"grant": "ref_1.1.out"})
    given(*f.home, first, second).when(over).then(ended)


def test_all_requests_of_a_referral_are_asked_no_more_and_given_ones_stay() -> None:
    waiting = f.requested.model_copy(update={"grant": "g2"})
    over = WithdrawRequest(referral="ref_1", **f.facts)
    ended = f.withdrawn.model_copy(update={"grant": "g2"})
    given(*f.open_history, waiting).when(over).then(ended)


def test_no_clock_rings_early() -> None:
    early = {"due": f.NOON + timedelta(seconds=1)}
    given(*f.asked_history).when(remind.model_copy(update=early)).then()
    given(*f.asked_history).when(lapse.model_copy(update=early)).then()


def test_a_family_is_reminded_by_hand_once_a_day() -> None:
    by_hand = Remind(grant="g1", **f.facts)
    today = reminded.model_copy(update={"kind": "by-hand"})
    tomorrow = today.model_copy(update={"on": f.TODAY + timedelta(days=1)})
    given(*f.asked_history).when(by_hand).then(today)
    next_day = f.NOON + timedelta(days=1)
    given(*f.asked_history, today).when(by_hand, at=next_day).then(tomorrow)


def test_everything_is_taken_back_at_once() -> None:
    second = {"grant": "g2"}
    asked = f.requested.model_copy(update=second)
    no = f.mother_no.model_copy(update=second)
    declined = f.declined.model_copy(update=second)
    given(*f.open_history, asked).when(f.take_all_back, by=f.mother).then(
        f.mother_no, f.revoked, no, declined
    )


def test_ended_is_final() -> None:
    new_words = f.say_yes.model_copy(update={"proof": f.proof(assurance="high")})
    given(*f.ended_history).when(new_words, by=f.mother).refused("ended")


def test_versions_count_within_a_permission() -> None:
    contact = f.terms(RecordClass.REFERRAL, until=date(2026, 1, 31))
    again = narrowed.model_copy(update={"version": 3, "terms": contact})
    less = Narrow(grant="g1", terms=contact, **f.facts)
    given(*f.open_history, narrowed).when(less, by=f.mother).then(again)


def test_a_grant_carries_what_was_allowed_and_by_which_rule() -> None:
    command = Grant(grant="g1", terms=f.wide, proof=f.proof(), **f.both)
    history = (f.enrolled, f.mother_added, f.requested)
    wanted = ConsentGranted(**f.case, version=1, terms=f.wide, rule=Rule.BOTH, signer=f.MOTHER)
    given(*history).when(command, by=f.mother).then(f.mother_yes, wanted)
