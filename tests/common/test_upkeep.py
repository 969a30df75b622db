"""What operators do to a read model is told once, in the order in which it was done."""

from typing import Any

import pytest
from pydantic import ValidationError

from libs.common.commit import decode_event, encode_event
from libs.common.errors import Refused
from libs.common.operators.upkeep import (
    CommitEvicted,
    EndRetry,
    Evict,
    OrderRetry,
    Park,
    ProjectionRebuilt,
    ProjectionRolledBack,
    Rebuilt,
    RetryEnded,
    RetryOrdered,
    RollBack,
    StreamParked,
    UpkeepCommand,
    UpkeepEvent,
    upkeep,
)

PLACE: dict[str, Any] = {
    "generation": "inbox_v1_g1",
    "log": "referrals",
    "stream": "referral/ref_1",
}
PARK = Park(**PLACE, first="referrals:03:42", error="ValueError")
PARKED = StreamParked(**PLACE, first="referrals:03:42", error="ValueError")
ORDER, ORDERED = OrderRetry(**PLACE, waiting=3), RetryOrdered(**PLACE, waiting=3)
END, ENDED = EndRetry(**PLACE, applied=3), RetryEnded(**PLACE, applied=3)
EVICT = Evict(**PLACE, position="referrals:03:42", reason="ticket 4711: test data")
EVICTED = CommitEvicted(**PLACE, position="referrals:03:42", reason="ticket 4711: test data")
REBUILT = ProjectionRebuilt(generation="inbox_v1_g2", previous="inbox_v1_g1")
BACK = ProjectionRolledBack(generation="inbox_v1_g1", previous="inbox_v1_g2")


@pytest.mark.parametrize(
    ("given", "command", "then"),
    [
        ([], PARK, [PARKED]),
        ([PARKED], PARK, []),
        ([PARKED, ORDERED, ENDED], PARK.model_copy(update={"first": "referrals:03:57"}), 1),
        ([PARKED], ORDER, [ORDERED]),
        ([PARKED, ORDERED], ORDER, []),
        ([PARKED, ORDERED], END, [ENDED]),
        ([PARKED, ORDERED, ENDED], END, []),
        ([PARKED, ORDERED, ENDED], ORDER, [ORDERED]),
        ([PARKED], EVICT, [EVICTED]),
        ([PARKED, EVICTED], EVICT, []),
        ([], Rebuilt(generation="inbox_v1_g2", previous="inbox_v1_g1"), [REBUILT]),
        ([REBUILT], Rebuilt(generation="inbox_v1_g2", previous="inbox_v1_g1"), []),
        ([REBUILT], RollBack(generation="inbox_v1_g1", previous="inbox_v1_g2"), [BACK]),
        ([REBUILT, BACK], RollBack(generation="inbox_v1_g1", previous="inbox_v1_g2"), []),
    ],
)
def test_each_step_is_told_once(
    given: list[UpkeepEvent], command: UpkeepCommand, then: list[UpkeepEvent] | int
) -> None:
    events = list(upkeep.decide(upkeep.fold(given), command))
    assert (events if isinstance(then, list) else len(events)) == then
    for event in events:
        again = upkeep.decide(upkeep.fold([*given, event]), command)
        assert not again
        assert decode_event(event.type, event.v, event.model_dump()) == event
        assert encode_event(event)


@pytest.mark.parametrize("command", [ORDER, END, EVICT])
def test_what_is_not_parked_is_neither_retried_nor_evicted(command: UpkeepCommand) -> None:
    with pytest.raises(Refused) as refused:
        upkeep.decide(upkeep.initial, command)
    assert refused.value.code == "not-parked"


@pytest.mark.parametrize("reason", ["", "no", "asked by Ana Lopez", "x" * 201, "a\nb"])
def test_a_reason_has_no_room_for_a_name(reason: str) -> None:
    """Not a proof, but whoever types a name stumbles: it would stay for ever, unsealed."""
    with pytest.raises(ValidationError):
        Evict(**PLACE, position="referrals:03:42", reason=reason)
