"""Students' keys in memory: the earlier key wins, and what was forgotten never comes back."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from libs.common.errors import Forgotten
from libs.common.ports import WrappedKey
from tests.faults.weather import Weather

WHOLE = "*"


@dataclass(eq=False)
class WorldKeys:
    weather: Weather = field(default_factory=Weather)
    name: str = "keys"
    kept: dict[tuple[str, str], bytes] = field(default_factory=dict)
    gone: set[tuple[str, str]] = field(default_factory=set)

    async def ensure(
        self, offers: Mapping[tuple[str, str], bytes]
    ) -> dict[tuple[str, str], WrappedKey]:
        def keep() -> dict[tuple[str, str], WrappedKey]:
            for subject, key_class in offers:
                if not self.gone.isdisjoint({(subject, key_class), (subject, WHOLE)}):
                    raise Forgotten(subject)
            return {
                key: WrappedKey(_id(*key), self.kept.setdefault(key, wrapped))
                for key, wrapped in offers.items()
            }

        return await self.weather.call(self.name, "ensure", keep)

    async def get(self, ids: Collection[str]) -> dict[str, bytes | None]:
        def look() -> dict[str, bytes | None]:
            there = {_id(*key): wrapped for key, wrapped in self.kept.items()}
            return {ident: there.get(ident) for ident in ids}

        return await self.weather.call(self.name, "get", look)

    async def held(self, subjects: Collection[str]) -> dict[str, list[WrappedKey] | None]:
        def look() -> dict[str, list[WrappedKey] | None]:
            return {
                subject: None
                if (subject, WHOLE) in self.gone
                else [WrappedKey(_id(*k), w) for k, w in self.kept.items() if k[0] == subject]
                for subject in subjects
            }

        return await self.weather.call(self.name, "held", look)

    async def forget(self, subject: str, classes: Collection[str]) -> int:
        def destroy() -> int:
            self.gone |= {(subject, key_class) for key_class in classes or (WHOLE,)}
            lost = [k for k in self.kept if k[0] == subject and (not classes or k[1] in classes)]
            for key in lost:
                del self.kept[key]
            return len(lost)

        return await self.weather.call(self.name, "forget", destroy)


def _id(subject: str, key_class: str) -> str:
    return f"{subject}:{key_class}:1"
