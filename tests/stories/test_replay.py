"""What the read models said on 1 December is what a replay says they said, byte for byte."""

from datetime import date, datetime, time
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from demo import partners, roster
from demo.asks import moment
from demo.district import district
from demo.importing import imported, references
from demo.partners import FIRST_DAY
from demo.plan import plan
from demo.platform import Engines, Files, emptied, started
from demo.play import Play
from demo.year import both
from libs.common.adapters import open_store
from libs.common.adapters.sqlite_documents import LAYOUT
from libs.common.adapters.sqlite_file import SqliteFile
from libs.common.messages import instant
from libs.common.ports import Doc
from libs.common.replay import as_of, said, said_by
from libs.common.service import Rooms
from services.consent import main as consent
from services.referrals import main as referrals

STUDENTS = 1_500
REFERRED = 60
KEPT = datetime.combine(date(2025, 12, 1), time(23, 59, 59))
LAST = date(2026, 2, 28)


async def _stored(folder: Path, rooms: Rooms) -> dict[str, dict[str, Doc]]:
    """Every read model of a service, as its file has it at this moment."""
    file = SqliteFile(folder / rooms.name / "views.db", LAYOUT, readonly=True)
    await file.open()
    try:
        return {
            projection.name: await file.read(partial(_docs, name=projection.name))
            for projection in (*rooms.projections, rooms.clocks)
        }
    finally:
        await file.close()


def _docs(connection: Any, name: str) -> dict[str, Doc]:
    alias = "SELECT json_extract(body, '$.live') FROM \"d.aliases\" WHERE id = ?"
    (live,) = connection.execute(alias, (name,)).fetchone()
    rows = connection.execute(f'SELECT id, body FROM "d.{live}"')
    return {key: orjson.loads(body) for key, body in rows}


async def test_replay_says_what_the_read_models_said(tmp_path: Path) -> None:
    files = Files(data=tmp_path / "data", beside=tmp_path / "beside")
    emptied(files)
    engines = Engines(f"sqlite://{files.data}", f"sqlite://{files.data}", "alliance")
    people = district(STUDENTS)
    directory = partners.directory(people.schools)
    partners.write(directory, files.directory)
    roster.write(people, files.roster, "1.2")
    rooms = (consent.rooms(directory), referrals.rooms(directory))
    kept_at = moment(KEPT.date(), KEPT.time())
    async with started(engines, files, instant(moment(FIRST_DAY))) as platform:
        await imported(platform.callers, files.roster.read_bytes(), lambda _done, _all: None)
        await platform.steps.settled(moment(FIRST_DAY))
        everybody = [student.source for student in people.students]
        play = Play(platform.callers, await references(platform.callers, everybody))
        kept: list[dict[str, dict[str, Doc]]] = []
        for one in both(plan(people, directory, REFERRED), ()):
            if one.at > kept_at and not kept:
                await platform.steps.to(kept_at)
                kept = [await _stored(files.data, each) for each in rooms]
            if one.at.date() > LAST:
                break
            await platform.steps.to(one.at)
            await play.moment(one.asks, lambda _: None)
        await platform.steps.to(moment(LAST, time(23, 59, 59)))
        now = [await _stored(files.data, each) for each in rooms]
        stores = {
            name: open_store(engines.store_url, name, readonly=True)
            for name in ("consent", "referrals")
        }
        async with stores["consent"] as first, stores["referrals"] as second:
            logs = {"consent": first, "referrals": second}
            for docs, at in ((kept, kept_at), (now, None)):
                for each, stored in zip(rooms, docs, strict=True):
                    projections = (*each.projections, each.clocks)
                    replayed = await as_of(logs, projections, at)
                    for name, found in stored.items():
                        assert said_by(found) == said(replayed[name]), (name, at)
    changed = [name for name in kept[1] if said_by(kept[1][name]) != said_by(now[1][name])]
    assert {"inbox", "queue", "stories"} <= set(changed), "too little happened to show anything"
