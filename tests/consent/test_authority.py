"""What follows when it changes who decides for a student: for what waits, and what is allowed."""

from datetime import date

from libs.common.testing import Scenario, folded, recorded, sealed
from services.consent.decider import consent
from services.consent.decider.commands import (
    AddGuardian,
    ChangeGuardian,
    EndGuardian,
    PassRights,
    RosterGuardian,
    TakeRoster,
)
from services.consent.events import (
    Authority,
    Cause,
    GuardianAdded,
    GuardianChanged,
    GuardianEnded,
    RequestReaddressed,
    RightsPassed,
    Source,
)
from services.consent.views.family import case_key, family, requests
from tests.consent import family as f

given = Scenario(consent)

end_mother = EndGuardian(guardian=f.MOTHER, **f.facts)
mother_ended = GuardianEnded(student=f.STUDENT, guardian=f.MOTHER)
order = sealed("record", "order")
by_court = ChangeGuardian(guardian=f.MOTHER, order=order, **f.kin(Authority.NONE), **f.facts)
court_said = GuardianChanged(
    student=f.STUDENT, guardian=f.MOTHER, order=order, source=Source.HAND, **f.kin(Authority.NONE)
)
AUNT = "usr_aunt"
add_aunt = AddGuardian(
    guardian=AUNT, subject=sealed("identity", "subject", "G-3"), **f.kin(), **f.facts
)
aunt_added = GuardianAdded(student=f.STUDENT, guardian=AUNT, source=Source.HAND, **f.kin())


def now_asked(*people: str) -> RequestReaddressed:
    return RequestReaddressed(**f.case, asked=people)


def test_what_a_removed_guardian_was_asked_is_asked_of_who_is_left() -> None:
    given(*f.asked_history).when(end_mother).then(mother_ended, now_asked(f.FATHER))
    given(*f.declined_history).when(end_mother).then(mother_ended, now_asked(f.FATHER))
    given(*f.disputed_history).when(end_mother).then(mother_ended, now_asked(f.FATHER))


def test_where_nobody_is_left_the_request_waits_for_whoever_comes() -> None:
    alone = (f.enrolled, f.mother_added, f.requested.model_copy(update={"asked": (f.MOTHER,)}))
    given(*alone).when(end_mother).then(mother_ended, now_asked())
    ended = (*alone, mother_ended, now_asked())
    given(*ended).when(add_aunt).then(aunt_added, now_asked(AUNT))


def test_a_removed_guardian_signs_nothing_any_more() -> None:
    removed = (*f.asked_history, mother_ended, now_asked(f.FATHER))
    for command in (f.say_yes, f.say_no, f.take_back, f.take_all_back):
        given(*removed).when(command, by=f.mother).refused("not-entitled")
    given(*removed).when(f.say_yes, by=f.father).then(f.father_yes, f.granted(f.FATHER))


def test_what_a_removed_guardian_allowed_stays_until_somebody_entitled_ends_it() -> None:
    given(*f.open_history).when(end_mother).then(mother_ended)
    removed = (*f.open_history, mother_ended)
    given(*removed).when(f.take_back, by=f.mother).refused("not-entitled")
    revoked = f.revoked.model_copy(update={"by": f.FATHER})
    given(*removed).when(f.take_back, by=f.father).then(f.father_no, revoked)


def test_what_rested_on_a_word_that_a_court_took_away_ends() -> None:
    given(*f.open_history).when(by_court).then(court_said, f.expired(Cause.COURT_ORDER))


def test_what_somebody_else_allowed_too_outlives_the_court_order() -> None:
    both = (*f.home, f.requested, f.father_yes, f.mother_yes, f.granted(f.MOTHER))
    given(*both).when(by_court).then(court_said)


def test_authority_lost_without_a_court_undoes_nothing() -> None:
    change = by_court.model_copy(update={"order": None})
    changed = court_said.model_copy(update={"order": None})
    given(*f.open_history).when(change).then(changed)
    given(*f.asked_history).when(change).then(changed, now_asked(f.FATHER))


def test_a_roster_that_changes_the_family_readdresses_too() -> None:
    by_roster = f.mother_added.model_copy(update={"source": Source.ROSTER})
    history = (f.enrolled, by_roster, f.requested.model_copy(update={"asked": (f.MOTHER,)}))
    taken = TakeRoster(
        school="sch_one",
        guardians=(RosterGuardian(guardian=f.FATHER, **f.kin()),),
        **f.about,
        **f.facts,
    )
    father_added = f.father_added.model_copy(update={"source": Source.ROSTER})
    given(*history).when(taken).then(father_added, mother_ended, now_asked(f.FATHER))


def test_who_comes_of_age_is_asked_what_the_guardians_were_asked() -> None:
    passed = RightsPassed(student=f.STUDENT)
    pass_rights = PassRights(of_age=True, **f.facts)
    given(*f.asked_history).when(pass_rights).then(passed, now_asked(f.OWN))


def test_an_authority_that_has_not_begun_is_not_asked() -> None:
    later = add_aunt.model_copy(update={"starts": date(2025, 12, 1)})
    added = aunt_added.model_copy(update={"starts": date(2025, 12, 1)})
    given(*f.asked_history).when(later).then(added)


def test_the_views_name_who_may_answer_now() -> None:
    events = (*f.asked_history, mother_ended, now_asked(f.FATHER))
    history = [recorded(event, version=n + 1, seq=n + 1) for n, event in enumerate(events)]
    key = case_key(f.STUDENT, "g1")
    assert folded(family, history)[key].asked == (f.FATHER,)
    assert folded(family, history)[key].situation == "asked"
    assert folded(requests, history)[key].asked == (f.FATHER,)
