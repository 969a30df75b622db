"""The planned year is the same every time, small enough, and never outruns what people can know."""

from collections import defaultdict

from demo.asks import Ask
from demo.district import District
from demo.partners import CALENDAR
from demo.plan import COMMANDS_MAX, REFERRED, counted, moments, plan
from libs.common.directory import Directory
from libs.common.messages import Role

AFTER_SETTLING = {
    "grant": {"route"},
    "decline-consent": {"route"},
    "send": {"grant"},
    "close": {"revoke-all"},
    "finish": {"move"},
}
"""act -> what must have settled on an earlier day, because a policy stands between them."""
SENDING = {"raise", "triage", "route", "send"}
"""What an agency asks when it refers onward itself."""


def test_two_plans_are_the_same(
    boston: District, directory: Directory, year: tuple[Ask, ...]
) -> None:
    assert plan(boston, directory) == year


def test_as_many_students_are_referred_as_in_the_article(year: tuple[Ask, ...]) -> None:
    assert len({ask.student for ask in year}) == REFERRED
    assert len(year) <= COMMANDS_MAX


def test_everything_that_can_happen_to_a_referral_happens(year: tuple[Ask, ...]) -> None:
    acts = counted(year)
    rare = {act: count for act, count in acts.items() if count < 10}
    assert not rare
    assert {"revoke-all", "decline-consent", "decline", "waitlist", "move", "leave"} <= set(acts)
    assert {ask.refused for ask in year} == {None, "maybe-duplicate", "tier-stays-at-school"}


def test_it_is_asked_in_order_within_the_school_year(year: tuple[Ask, ...]) -> None:
    assert [ask.at for ask in year] == sorted(ask.at for ask in year)
    for ask in year:
        assert CALENDAR.is_school_day(CALENDAR.local(ask.at))
    for together in moments(year):
        assert len({ask.at for ask in together}) == 1


def test_nobody_acts_on_news_that_has_not_settled(year: tuple[Ask, ...]) -> None:
    cases: dict[str, list[Ask]] = defaultdict(list)
    for ask in year:
        cases[ask.case].append(ask)
    for asks in cases.values():
        for place, ask in enumerate(asks):
            causes = AFTER_SETTLING.get(ask.act, set())
            for before in asks[:place]:
                assert before.act not in causes or before.at < ask.at, (before, ask)


def test_agencies_answer_only_what_they_were_sent(year: tuple[Ask, ...]) -> None:
    receivers: dict[str, str] = {}
    for ask in year:
        if ask.act == "route" and ask.refused is None:
            receivers[ask.case] = ask.body["receiver"]
        if ask.who.role in (Role.INTAKE, Role.CLINICIAN) and ask.act not in SENDING:
            assert ask.who.org == receivers[ask.case]


def test_an_agency_refers_onward_only_a_student_whom_it_helps(year: tuple[Ask, ...]) -> None:
    started = {(ask.case, ask.who) for ask in year if ask.act == "start"}
    onward = [ask for ask in year if ask.body.get("origin") == "onward"]
    assert onward
    for ask in onward:
        assert (ask.body["after"], ask.who) in started
