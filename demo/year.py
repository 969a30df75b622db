"""The whole year: the plan and Carl's story, moment after moment on the stepped clock."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, time
from heapq import merge
from typing import NamedTuple

from demo.asks import Ask, moment
from demo.carl import Scene
from demo.partners import LAST_DAY
from demo.plan import moments
from demo.play import Play
from demo.stepping import Steps
from demo.telling import Telling, Told

EVENING = time(17)


class Moment(NamedTuple):
    at: datetime
    asks: tuple[Ask, ...]
    scene: Scene | None = None


def both(plan: Sequence[Ask], scenes: Sequence[Scene]) -> Iterator[Moment]:
    """By time; a scene of Carl's is a moment of its own, after the others of that time."""
    others = (Moment(asks[0].at, asks) for asks in moments(tuple(plan)))
    his = (Moment(scene.at, scene.asks, scene) for scene in scenes)
    return merge(others, his, key=lambda one: (one.at, one.scene is not None))


async def played(
    year: Iterator[Moment],
    play: Play,
    steps: Steps,
    telling: Telling,
    done: Callable[[int], None],
    tell: Callable[[Told], None],
) -> datetime:
    """Plays to the evening of the last day, and returns that instant."""
    for one in year:
        await steps.to(one.at)
        if one.scene is None:
            await play.moment(one.asks, done)
            await steps.settled(one.at)  # what follows from a day happens on that day
            continue
        answers = []
        for ask in one.asks:
            reply = await play.one(ask)
            done(1)
            if ask.refused is not None:
                answers.append(f"{ask.act}: {reply.status} {ask.refused}")
            elif reply.headers.get("position", "").startswith("consent"):
                answers.append(f"{ask.act} {reply.headers['position']}")
        await steps.settled(one.at)
        tell(await telling.scene(one.scene, tuple(answers)))
    end = moment(LAST_DAY, EVENING)
    await steps.to(end)
    return end
