"""The same seed gives the same faults; all that was asked for happens, and the end heals."""

from tests.faults.schedule import HEAL, QUIET_EVERY, QUIET_TIMES, Kind, counted, schedule

KINDS = [
    Kind("kill", ("api", "relay"), (0.0, 0.5), 30),
    Kind("freeze", ("store",), (1.0, 5.0), 20),
]
CALM = (2.0, 8.0)


def test_a_schedule_is_a_function_of_its_seed() -> None:
    assert schedule(1, KINDS, CALM) == schedule(1, KINDS, CALM)
    assert schedule(1, KINDS, CALM) != schedule(2, KINDS, CALM)


def test_everything_asked_for_happens_within_its_bounds_and_the_end_heals() -> None:
    *faults, last = schedule(7, KINDS, CALM)
    assert last.what == HEAL
    assert sum(fault.what == "kill" for fault in faults) == 30
    assert sum(counted([*faults, last]).values()) == 50
    for number, fault in enumerate(faults, 1):
        times = 1.0 if number % QUIET_EVERY else QUIET_TIMES
        assert times * CALM[0] <= fault.calm_seconds <= times * CALM[1]
        low, high = KINDS[0].seconds if fault.what == "kill" else KINDS[1].seconds
        assert low <= fault.seconds <= high
