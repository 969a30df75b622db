"""The referrals service, from command to query: `python -m services.referrals [api] [relay] …`."""

from time import monotonic

from libs.common.directory import Directory
from libs.common.service import Rooms, Running
from libs.common.serving import Main
from services.referrals.api import routes
from services.referrals.api.doors import Doors
from services.referrals.decider import referrals
from services.referrals.policy import due, policies
from services.referrals.views.clocks import clocks
from services.referrals.views.queues import inbox, queue
from services.referrals.views.sharing import covering
from services.referrals.views.stories import lines, needs, stories
from services.referrals.views.students import open_referrals, students
from services.referrals.views.waits import waits


def rooms(directory: Directory) -> Rooms:
    return Rooms(
        name="referrals",
        deciders=(referrals,),
        projections=(
            inbox,
            queue,
            lines,
            stories,
            needs,
            waits,
            open_referrals,
            students,
            covering,
        ),
        memories=(covering,),
        policies=policies,
        clocks=clocks(directory),
        due=due,
    )


def doors(running: Running, directory: Directory) -> Doors:
    return Doors(
        handle=running.handle,
        known=running.handlers[referrals.category].newest,
        clock=running.clock,
        keyring=running.keyring,
        refs=running.refs,
        views=running.views,
        directory=directory,
        fresh=running.memories[covering.name],
        monotonic=monotonic,
    )


main = Main(rooms, routes, doors)
