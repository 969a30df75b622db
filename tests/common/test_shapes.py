"""A decider remembers by folding; the sentence that tests are written in notices what it should."""

import pytest

from libs.common.errors import Refused
from libs.common.messages import Command, Event, Recorded, State, View
from libs.common.shapes import Decider, Projection
from libs.common.testing import Scenario, folded, recorded, streamed


class BucketFilled(Event):
    litres: int


class BucketTipped(Event):
    pass


class Fill(Command):
    litres: int


class Bucket(State):
    litres: int = 0


class Level(View):
    litres: int


def evolve(state: Bucket, event: BucketFilled | BucketTipped) -> Bucket:
    match event:
        case BucketFilled():
            return Bucket(litres=event.litres)
        case BucketTipped():
            return Bucket()


def fill(state: Bucket, command: Fill) -> list[BucketFilled | BucketTipped]:
    if command.litres > 10:
        raise Refused("too-much", "A bucket holds ten litres.")
    return [BucketFilled(litres=command.litres)] if command.litres != state.litres else []


def always(state: Bucket, command: Fill) -> list[BucketFilled | BucketTipped]:
    return [BucketFilled(litres=command.litres)]


def nobody(state: Bucket, command: Fill) -> None:
    return None


bucket = Decider("bucket", fill, evolve, Bucket(), nobody)
careless = Decider("bucket", always, evolve, Bucket(), nobody)
HISTORY = (BucketFilled(litres=3), BucketTipped(), BucketFilled(litres=5))


def keys(entry: Recorded[Event]) -> list[str]:
    return [entry.stream] if isinstance(entry.event, BucketFilled | BucketTipped) else []


def fold(view: Level | None, entry: Recorded[Event], key: str) -> Level | None:
    match entry.event:
        case BucketFilled():
            return Level(litres=entry.event.litres)
        case _:
            return None


levels = Projection("levels", 1, ("buckets",), Level, keys, fold)


def test_a_state_is_the_fold_of_what_happened() -> None:
    assert bucket.fold(HISTORY) == Bucket(litres=5)
    assert bucket.fold([]) == bucket.initial


def test_folding_goes_on_from_any_point() -> None:
    for cut in range(len(HISTORY) + 1):
        assert bucket.fold(HISTORY[cut:], bucket.fold(HISTORY[:cut])) == bucket.fold(HISTORY)


def test_given_when_then_says_what_follows() -> None:
    given = Scenario(bucket)
    given().when(Fill(litres=3)).then(BucketFilled(litres=3))
    given(BucketFilled(litres=3)).when(Fill(litres=3)).then()
    given().when(Fill(litres=11)).refused("too-much")


def test_a_decider_that_repeats_itself_is_noticed() -> None:
    with pytest.raises(AssertionError, match="silence"):
        Scenario(careless)().when(Fill(litres=3)).then(BucketFilled(litres=3))


def test_another_answer_than_was_said_is_noticed() -> None:
    given = Scenario(bucket)
    with pytest.raises(AssertionError):
        given().when(Fill(litres=3)).then(BucketFilled(litres=4))
    with pytest.raises(AssertionError, match="not refused"):
        given().when(Fill(litres=3)).refused("too-much")
    with pytest.raises(AssertionError, match="too-much"):
        given().when(Fill(litres=11)).refused("another-code")


def test_a_view_is_a_fold_too_and_nothing_deletes_it() -> None:
    filled = [BucketFilled(litres=3), BucketFilled(litres=5)]
    history = streamed(filled, "bucket/one", "buckets")
    assert folded(levels, history) == {"bucket/one": Level(litres=5)}
    tipped = recorded(BucketTipped(), "bucket/one", 3, 3, log="buckets")
    assert folded(levels, [*history, tipped]) == {}
