"""The consent service, from command to query: `python -m services.consent [api] [relay] …`."""

from collections.abc import Mapping

from libs.common.directory import Directory
from libs.common.service import Loop, Rooms, Running
from libs.common.serving import Main
from services.consent.api import routes
from services.consent.api.doors import Doors
from services.consent.decider import consent
from services.consent.erase import erasing, forget, forgetting
from services.consent.imports.record import imports
from services.consent.imports.taking import Imports
from services.consent.policy import due, policies
from services.consent.views.access import access
from services.consent.views.clocks import clocks
from services.consent.views.family import family, requests
from services.consent.views.identity import identity
from services.consent.views.students import children, students


def rooms(directory: Directory) -> Rooms:
    return Rooms(
        name="consent",
        deciders=(consent, imports),
        projections=(students, children, access, family, requests),
        memories=(identity,),
        policies=(*policies(directory), erasing(directory)),
        clocks=clocks(directory),
        due=due(directory),
    )


def doors(running: Running, directory: Directory) -> Doors:
    return Doors(
        handle=running.handle,
        handler=running.handlers[consent.category],
        clock=running.clock,
        keyring=running.keyring,
        refs=running.refs,
        views=running.views,
        directory=directory,
        identity=running.memories[identity.name],
        imports=Imports(running, directory),
    )


def loops(opened: Doors) -> Mapping[str, Loop]:
    return {"consent.imports": opened.imports.run}


main = Main(rooms, routes, doors, loops, forgetting, {"forget": forget})
