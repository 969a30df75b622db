"""The deployment's keys on MongoDB. What was forgotten has a tombstone and never comes back."""

from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Self

from pymongo import ASCENDING
from pymongo.errors import BulkWriteError

from libs.common.adapters.mongo import DUPLICATE_KEY, Mongo, reaching
from libs.common.errors import Forgotten
from libs.common.ports import WrappedKey

KEYS = "keys"
"""The database, behind the deployment's prefix."""
SUBJECT_WHOLE = ""
"""The class in a tombstone that stands for every class."""


class MongoKeys:
    """Collections `keys` {_id, subject, class, wrapped} and `tombstones` {subject, class}."""

    def __init__(self, mongo: Mongo) -> None:
        database = mongo.database(KEYS)
        self._keys, self._tombstones = database["keys"], database["tombstones"]

    async def __aenter__(self) -> Self:
        """Raises StoreAway."""
        with reaching():
            await self._keys.create_index([("subject", ASCENDING)], name="subject")
            await self._tombstones.create_index([("subject", ASCENDING)], name="subject")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None: ...

    async def ensure(
        self, offers: Mapping[tuple[str, str], bytes]
    ) -> dict[tuple[str, str], WrappedKey]:
        """(subject, class) -> wrapped key: ours, or the earlier one; durable on return.

        Whoever forgets writes the tombstone and then deletes; whoever offers inserts and then looks
        for the tombstone. In every order of these four steps the key is gone in the end.
        """
        if not offers:
            return {}
        await self._refuse(offers, ours={})
        with reaching():
            try:
                await self._keys.insert_many(
                    [
                        {"_id": _id(*key), "subject": key[0], "class": key[1], "wrapped": wrapped}
                        for key, wrapped in offers.items()
                    ],
                    ordered=False,
                )
            except BulkWriteError as error:
                if any(each["code"] != DUPLICATE_KEY for each in error.details["writeErrors"]):
                    raise
        await self._refuse(offers, ours=offers)
        stored = await self.get([_id(*key) for key in offers])
        result: dict[tuple[str, str], WrappedKey] = {}
        for key in offers:
            wrapped_there = stored[_id(*key)]
            if wrapped_there is None:
                raise Forgotten(key[0])
            result[key] = WrappedKey(_id(*key), wrapped_there)
        return result

    async def get(self, ids: Collection[str]) -> dict[str, bytes | None]:
        """None = forgotten or never there."""
        with reaching():
            rows = await self._keys.find({"_id": {"$in": list(ids)}}).to_list(None)
        found = {row["_id"]: bytes(row["wrapped"]) for row in rows}
        return {ident: found.get(ident) for ident in ids}

    async def held(self, subjects: Collection[str]) -> dict[str, list[WrappedKey] | None]:
        """A subject's keys of every class; None = forgotten."""
        asked = {"subject": {"$in": list(subjects)}}
        gone = await self._gone(subjects)
        with reaching():
            rows = await self._keys.find(asked).sort("_id", ASCENDING).to_list(None)
        result: dict[str, list[WrappedKey] | None] = {
            subject: None if (subject, SUBJECT_WHOLE) in gone else [] for subject in subjects
        }
        for row in rows:
            kept = result[row["subject"]]
            if kept is not None:
                kept.append(WrappedKey(row["_id"], bytes(row["wrapped"])))
        return result

    async def forget(self, subject: str, classes: Collection[str]) -> int:
        """Tombstones first, then the keys; how many were destroyed. Never undone.
        An empty `classes` forgets the subject whole."""
        query: dict[str, object] = {"subject": subject}
        if classes:
            query["class"] = {"$in": list(classes)}
        with reaching():
            for name in classes or (SUBJECT_WHOLE,):
                stone = {"_id": f"{subject}:{name}", "subject": subject, "class": name}
                await self._tombstones.replace_one({"_id": stone["_id"]}, stone, upsert=True)
            return int((await self._keys.delete_many(query)).deleted_count)

    async def _refuse(
        self, offers: Mapping[tuple[str, str], bytes], ours: Mapping[tuple[str, str], bytes]
    ) -> None:
        """Raises Forgotten when an offer has a tombstone; takes our own keys back first."""
        gone = await self._gone({subject for subject, _ in offers})
        refused = [key for key in offers if key in gone or (key[0], SUBJECT_WHOLE) in gone]
        if not refused:
            return
        if ours:
            with reaching():
                await self._keys.delete_many({"_id": {"$in": [_id(*key) for key in refused]}})
        raise Forgotten(refused[0][0])

    async def _gone(self, subjects: Collection[str]) -> set[tuple[str, str]]:
        with reaching():
            query = {"subject": {"$in": list(subjects)}}
            rows = await self._tombstones.find(query).to_list(None)
        return {(row["subject"], row["class"]) for row in rows}


def _id(subject: str, key_class: str) -> str:
    return f"{subject}:{key_class}:1"
