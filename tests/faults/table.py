"""Which long runs there are: name -> run. Whoever has another one adds a line.

A run gets a folder of its own, a seed and a progress line, and answers with its report; `short`
is the same in a form for a first look.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.faults.away import kafka_away, network, store_away
from tests.faults.brokers import three_brokers, three_relays
from tests.faults.deployment import Progress
from tests.faults.drill import drilled
from tests.faults.fuzzing import on_engines_troubled, on_sqlite_fuzzed
from tests.faults.kills import Sensitivity, on_engines_killed, on_sqlite_killed
from tests.faults.mixed import two_releases
from tests.faults.rebuilds import SMALL, on_kafka, on_sqlite
from tests.faults.report import Report
from tests.faults.rivals import two_processes
from tests.faults.rolling import SHORT as ROLLED_SHORT
from tests.faults.rolling import rolled
from tests.faults.worlds import proved

Run = Callable[[Path, int, Progress], Awaitable[Report]]


class Entry(NamedTuple):
    """`minutes` are what the long form takes on two cores; `engines`: it needs the real ones."""

    what: str
    run: Run
    short: Run
    minutes: float
    engines: bool = False


FEW = Sensitivity(10, 1)

RUNS: dict[str, Entry] = {
    "worlds": Entry(
        "20,000 seeded worlds of the whole protocol in virtual time",
        proved,
        partial(proved, worlds=1_000),
        8,
    ),
    "sqlite-kills": Entry(
        "200 kill -9 of the platform on SQLite under 16 clients",
        on_sqlite_killed,
        partial(on_sqlite_killed, kills=10, enough=FEW),
        12,
    ),
    "engine-kills": Entry(
        "100 kills of processes, 50 of the broker, 50 of the store on real engines",
        on_engines_killed,
        partial(on_engines_killed, counts=(6, 2, 2), enough=FEW),
        25,
        engines=True,
    ),
    "kafka-away": Entry(
        "Kafka is away for 3 minutes under load",
        kafka_away,
        partial(kafka_away, seconds=20.0),
        5,
        engines=True,
    ),
    "store-away": Entry(
        "the store is dead for 30 s and frozen for 30 s under load",
        store_away,
        partial(store_away, seconds=12.0),
        3,
        engines=True,
    ),
    "network": Entry(
        "a bad network on five edges, and frozen processes, under load",
        network,
        partial(network, times=1, freezes=2, enough=FEW),
        8,
        engines=True,
    ),
    "three-brokers": Entry(
        "three brokers, one at a time killed or frozen, for 15 minutes, under load",
        three_brokers,
        partial(three_brokers, seconds=60.0),
        18,
        engines=True,
    ),
    "three-relays": Entry(
        "three relays of each service at once, one of them frozen for 20 s under load",
        three_relays,
        partial(three_relays, seconds=5.0),
        2,
        engines=True,
    ),
    "rolling": Entry(
        "every process of a deployment of 12 told to stop and started anew, twice, under load",
        rolled,
        partial(rolled, form=ROLLED_SHORT),
        5,
        engines=True,
    ),
    "two-releases": Entry(
        "a release with events in new shapes beside the one before it, under load",
        two_releases,
        partial(two_releases, clients=ROLLED_SHORT.clients),
        5,
        engines=True,
    ),
    "drill": Entry(
        "a district of 2,000 students copied, lost and put back, on SQLite and on real engines",
        drilled,
        partial(drilled, students=600, referred=30),
        6,
        engines=True,
    ),
    "two-processes": Entry(
        "two processes append 100,000 commands to the same streams of one server",
        two_processes,
        partial(two_processes, count=2_000),
        10,
        engines=True,
    ),
    "schemas": Entry(
        "20,000 requests of all kinds against the API's description",
        on_sqlite_fuzzed,
        partial(on_sqlite_fuzzed, cases=1_000),
        10,
    ),
    "schemas-troubled": Entry(
        "4,000 of them with a bad network between the services and their store",
        on_engines_troubled,
        partial(on_engines_troubled, cases=300, away_min=0),
        15,
        engines=True,
    ),
    "rebuilds": Entry(
        "every read model rebuilt forward and under kills: one hash",
        on_sqlite,
        partial(on_sqlite, size=SMALL),
        6,
    ),
    "rebuilds-kafka": Entry(
        "every read model rebuilt from Kafka alone: the same hash",
        on_kafka,
        partial(on_kafka, size=SMALL),
        6,
        engines=True,
    ),
}
