"""The promises about who may sign for a student, on which day, and who may record it."""

from datetime import date, datetime, timedelta

from libs.common.testing import Scenario
from services.consent.decider import consent
from services.consent.events import Channel, GuardianChanged, GuardianEnded, Reply
from tests.consent import family as f

given = Scenario(consent)


def test_only_who_decides_for_the_student_can_answer() -> None:
    stranger = f.mother._replace(sub="usr_stranger")
    for command in (f.say_yes, f.say_no, f.take_back, f.less):
        given(*f.open_history).when(command, by=stranger).refused("not-entitled")


def test_a_guardian_signs_for_nobody_else() -> None:
    for_her = f.say_yes.model_copy(update={"signer": f.MOTHER})
    given(*f.asked_history).when(for_her, by=f.father).refused("not-entitled")


def test_staff_record_what_was_signed_on_paper_and_nothing_on_the_web() -> None:
    on_web = f.say_yes.model_copy(update={"signer": f.MOTHER})
    given(*f.asked_history).when(on_web, by=f.worker).refused("not-on-web")
    paper = f.proof(channel=Channel.PAPER)
    on_paper = f.say_yes.model_copy(update={"signer": f.MOTHER, "proof": paper})
    recorded = paper.model_copy(update={"recorder": f.worker.sub})
    said = f.mother_yes.model_copy(update={"proof": recorded})
    given(*f.asked_history).when(on_paper, by=f.worker).then(said, f.granted(f.MOTHER))


def test_a_signature_of_tomorrow_does_not_count() -> None:
    tomorrow = f.proof(signed_on=f.TODAY + timedelta(days=1))
    signed = f.say_yes.model_copy(update={"proof": tomorrow})
    given(*f.asked_history).when(signed, by=f.mother).refused("in-future")


def test_the_district_s_own_date_decides_what_tomorrow_is() -> None:
    late = datetime.fromisoformat("2025-09-16T02:00:00+00:00")
    tomorrow = f.proof(signed_on=date(2025, 9, 16))
    signed = f.say_yes.model_copy(update={"proof": tomorrow})
    given(*f.asked_history).when(signed, at=late, by=f.mother).refused("in-future")


def test_whoever_was_not_entitled_when_signing_is_not_heard() -> None:
    since = f.mother_added.model_copy(update={"starts": f.TODAY})
    history = (f.enrolled, since, f.requested)
    early = f.proof(signed_on=f.TODAY - timedelta(days=1))
    signed = f.say_yes.model_copy(update={"proof": early})
    given(*history).when(signed, by=f.mother).refused("not-entitled")


def test_lost_authority_undoes_no_permission_and_the_other_may_end_it() -> None:
    history = (*f.open_history, GuardianEnded(student=f.STUDENT, guardian=f.MOTHER))
    given(*history).when(f.take_back, by=f.mother).refused("not-entitled")
    by_him = f.revoked.model_copy(update={"by": f.FATHER})
    given(*history).when(f.take_back, by=f.father).then(f.father_no, by_him)


def test_a_no_of_somebody_without_authority_stands_in_nobody_s_way() -> None:
    ended = GuardianEnded(student=f.STUDENT, guardian=f.MOTHER)
    history = (*f.declined_history, ended)
    given(*history).when(f.say_yes, by=f.father).then(f.father_yes, f.granted(f.FATHER))


def test_a_court_order_takes_the_word_away_on_its_day() -> None:
    order = {"until": f.TODAY - timedelta(days=1)}
    changed = GuardianChanged(**{**f.mother_added.model_dump(), **order})
    given(*f.asked_history, changed).when(f.say_yes, by=f.mother).refused("not-entitled")


def test_who_is_of_age_decides_alone() -> None:
    adult = f.say_yes.model_copy(update={"of_age": True})
    given(*f.asked_history).when(adult, by=f.mother).refused("not-entitled")
    own = f.answered(f.OWN, Reply.YES)
    given(*f.asked_history).when(adult, by=f.herself).then(own, f.granted(f.OWN))
