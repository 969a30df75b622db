"""What travels is well-formed: sealed where it must be, and nobody states another's facts."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from libs.common.commit import encode_event
from libs.common.messages import (
    Command,
    Event,
    Fact,
    Identity,
    Instant,
    Message,
    Notes,
    Position,
    View,
    instant,
    stored_type,
)
from libs.common.personal import EDGE, STORED, Sealed

SECRET = "Marisol Quintero"
NAME = Sealed("stu_1:identity:1", "name", "abc")


class LanternLit(Event):
    lantern: str
    keeper: Identity[str]
    words: Notes[str | None] = None


class Light(Command):
    lantern: str
    keeper: Identity[str]
    oil_left: Fact[bool] = False


class Lamp(View):
    lit: Instant


def test_a_personal_field_left_open_cannot_be_stored() -> None:
    with pytest.raises(ValueError, match="not sealed"):
        encode_event(LanternLit(lantern="l1", keeper=SECRET))


def test_a_sealed_field_is_stored_as_its_envelope() -> None:
    stored = encode_event(LanternLit(lantern="l1", keeper=NAME))
    assert stored == (
        b'{"data":{"keeper":{"$enc":{"a":"SIV","c":"abc","f":"name","k":"stu_1:identity:1"}},'
        b'"lantern":"l1"},"type":"lantern.lit","v":1}'
    )


def test_what_was_sealed_as_something_else_does_not_pass() -> None:
    notes = Sealed("stu_1:notes:1", "words", "abc")
    with pytest.raises(ValidationError, match="another key class"):
        LanternLit(lantern="l1", keeper=notes)
    assert LanternLit(lantern="l1", keeper=NAME, words=notes).words == notes


def test_a_caller_sends_words_and_no_envelopes() -> None:
    sent = {"lantern": "l1", "keeper": NAME.envelope()}
    assert Light.model_validate(sent).keeper == NAME
    with pytest.raises(ValidationError):
        Light.model_validate(sent, context=EDGE)


def test_a_caller_states_no_facts() -> None:
    sent = {"lantern": "l1", "keeper": SECRET}
    assert Light.model_validate(sent, context=EDGE).oil_left is False
    for fact in ("oil_left", "stamp"):
        with pytest.raises(ValidationError, match="not the caller's"):
            Light.model_validate(sent | {fact: True}, context=EDGE)


def test_facts_are_no_part_of_what_was_asked() -> None:
    asked = Light(lantern="l1", keeper=NAME, oil_left=True).asked()
    assert asked == {"lantern": "l1", "keeper": NAME.envelope()}
    assert Light.model_json_schema()["properties"].keys() == {"lantern", "keeper"}


def test_a_command_takes_no_unknown_field_and_an_event_minds_none() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        Light.model_validate({"lantern": "l1", "keeper": SECRET, "wick": 2}, context=EDGE)
    stored = {"lantern": "l1", "keeper": NAME.envelope(), "of_a_later_release": 2}
    assert LanternLit.model_validate(stored, context=STORED) == LanternLit(
        lantern="l1", keeper=NAME
    )


def test_an_error_does_not_repeat_the_value() -> None:
    with pytest.raises(ValidationError) as refused:
        Light.model_validate({"lantern": [SECRET], "keeper": 7}, context=EDGE)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "abc",
        {"$enc": "abc"},
        {"$enc": {"a": "SIV", "c": "abc", "f": "name"}},
        {"$enc": {"a": "GCM", "c": "abc", "f": "name", "k": "stu_1:identity:1"}},
        {"$enc": {"a": "SIV", "c": "abc", "f": "name", "k": "stu_1"}},
        {"$enc": {"a": "SIV", "c": "abc", "f": "name", "k": "s:i:1"}, "more": 1},
    ],
)
def test_what_is_no_envelope_is_not_taken_for_one(value: object) -> None:
    assert Sealed.parse(value) is None


def test_an_envelope_tells_its_sealed_value() -> None:
    assert Sealed.parse(NAME.envelope()) == NAME
    assert NAME.key_class == "identity"


def test_a_time_needs_its_offset_and_is_written_in_one_way() -> None:
    with pytest.raises(ValidationError, match="needs its offset"):
        Lamp(lit=datetime(2025, 9, 15, 12, 0))  # noqa: DTZ001 - the mistake under test
    boston = datetime(2025, 9, 15, 12, 0, tzinfo=timezone(timedelta(hours=-4)))
    assert Lamp(lit=boston).model_dump(mode="json") == {"lit": "2025-09-15T16:00:00.000000Z"}


def test_the_order_of_written_times_is_the_order_of_times() -> None:
    noon = datetime(2025, 9, 15, 12, 0, tzinfo=UTC)
    times = [
        noon + timedelta(microseconds=n) for n in (0, 1, 10, 999_999, 1_000_000, 3_600_000_000)
    ]
    assert sorted(map(instant, times)) == list(map(instant, times))


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("ReferralSent", "referral.sent"),
        ("SupportSteppedDown", "support.stepped_down"),
        ("StudentErasureOrdered", "student.erasure_ordered"),
    ],
)
def test_a_class_tells_its_stored_name(name: str, stored: str) -> None:
    assert stored_type(name) == stored


def test_no_two_modules_declare_one_event() -> None:
    body = {"__module__": "somewhere.else", "__annotations__": {"lantern": str}}
    with pytest.raises(TypeError, match="declared in"):
        type("LanternLit", (Event,), body)


def test_a_position_reads_back_as_it_was_printed() -> None:
    where = Position("referrals", 7, 42)
    assert str(where) == "referrals:07:42"
    assert Position.parse(str(where)) == where
    for text in ("referrals:7:42", "Referrals:07:42", "referrals:07", "referrals:07:42 ", ""):
        with pytest.raises(ValueError, match="not a position"):
            Position.parse(text)


def test_whatever_travels_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        LanternLit(lantern="l1", keeper=NAME).lantern = "l2"  # type: ignore[misc]  # the mistake under test
    assert all(kind.model_config["frozen"] for kind in (Message, Event, Command, View))
