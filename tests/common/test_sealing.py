"""What is sealed opens with its key only, and never again once the key is forgotten."""

import asyncio
import os
from base64 import b32encode
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from hmac import digest
from pathlib import Path

import pytest

from libs.common.adapters import open_keys
from libs.common.commit import encode_event
from libs.common.errors import Forgotten
from libs.common.messages import Command, Event, Identity, Message, Notes, Record
from libs.common.personal import KeyClass, Sealed
from libs.common.ports import Keys
from libs.common.sealing import ERASED, Keyring, Refs, plain, read_kek

KEK = b"k" * 64


class Names(Message):
    given: str
    family: str


class Welcome(Command):
    names: Identity[Names]
    words: Record[frozenset[str]]
    remark: Notes[str | None] = None


class GuestWelcomed(Event):
    names: Identity[Names]


@pytest.fixture
async def keys(tmp_path: Path) -> AsyncIterator[Keys]:
    async with open_keys(f"sqlite://{tmp_path}") as opened:
        yield opened


ANA = Welcome(names=Names(given="Ana", family="Díaz"), words=frozenset({"b", "a"}))


async def sealed_ana(ring: Keyring, subject: str = "stu_1") -> Welcome:
    command, offers = await ring.sealed(ANA, subject)
    assert await ring.ensure(offers)
    return command


async def told_open(
    ring: Keyring, event: Event, key_class: KeyClass, names: frozenset[str] | None = None
) -> Event:
    return (await ring.opener([event], frozenset({key_class}), names))(event)


async def test_equal_values_of_one_student_are_sealed_to_equal_bytes(keys: Keys) -> None:
    one, other = Keyring(keys, KEK), Keyring(keys, KEK)
    assert await sealed_ana(one) == await sealed_ana(other)
    assert (await sealed_ana(one, "stu_2")).names != (await sealed_ana(one)).names


async def test_what_was_sealed_opens_at_the_edge(keys: Keys) -> None:
    ring = Keyring(keys, KEK)
    command = await sealed_ana(ring)
    assert isinstance(command.names, Sealed)
    opened = await ring.opened(command.model_dump(mode="json"))
    assert opened["names"] == {"given": "Ana", "family": "Díaz"}
    assert opened["words"] == ["a", "b"]


async def test_a_forgotten_student_reads_as_erased_and_is_never_sealed_again(keys: Keys) -> None:
    ring = Keyring(keys, KEK)
    command = await sealed_ana(ring)
    await ring.forget("stu_1", ())
    opened = await ring.opened(command.model_dump(mode="json"))
    assert opened["names"] == "Erased"
    with pytest.raises(Forgotten):
        await Keyring(keys, KEK).sealed(ANA, "stu_1")
    event = GuestWelcomed(names=command.names)
    assert await told_open(ring, event, KeyClass.IDENTITY) == event


async def test_a_key_in_memory_is_held_for_five_minutes_at_most(keys: Keys) -> None:
    now = [0.0]
    ring, other = Keyring(keys, KEK, lambda: now[0]), Keyring(keys, KEK)
    body = (await sealed_ana(ring)).model_dump(mode="json")
    await other.forget("stu_1", ())
    assert (await ring.opened(body))["names"] != "Erased"
    now[0] = 301.0
    assert (await ring.opened(body))["names"] == "Erased"


async def test_two_processes_that_make_a_key_at_once_agree_on_one(keys: Keys) -> None:
    one, other = Keyring(keys, KEK), Keyring(keys, KEK)
    (first, ours), (second, theirs) = await asyncio.gather(
        one.sealed(ANA, "stu_1"), other.sealed(ANA, "stu_1")
    )
    assert first.names != second.names
    assert await one.ensure(ours)
    assert not await other.ensure(theirs)
    assert await other.sealed(ANA, "stu_1") == (first, {})


async def test_only_asked_for_classes_are_opened_in_an_event(keys: Keys) -> None:
    ring = Keyring(keys, KEK)
    event = GuestWelcomed(names=(await sealed_ana(ring)).names)
    encode_event(event)
    open_event = GuestWelcomed(names=Names(given="Ana", family="Díaz"))
    assert await told_open(ring, event, KeyClass.IDENTITY) == open_event
    assert await told_open(ring, event, KeyClass.IDENTITY, frozenset({"names"})) == open_event
    assert await told_open(ring, event, KeyClass.IDENTITY, frozenset({"grade"})) == event
    assert await told_open(ring, event, KeyClass.NOTES) == event


async def test_references_are_found_again_by_every_process(keys: Keys) -> None:
    one = await Keyring(keys, KEK).refs()
    other = await Keyring(keys, KEK).refs()
    assert one.of("stu_", "s-1") == other.of("stu_", "s-1")
    assert one.of("stu_", "s-1") != one.of("stu_", "s-2")
    assert len(one.of("stu_", "s-1")) == len("stu_") + 26


async def test_another_key_encryption_key_opens_nothing(keys: Keys) -> None:
    await sealed_ana(Keyring(keys, KEK))
    with pytest.raises(PermissionError):
        await Keyring(keys, b"x" * 64).sealed(ANA, "stu_1")


async def test_keys_are_made_in_bulk_but_not_for_the_forgotten(keys: Keys) -> None:
    ring = Keyring(keys, KEK)
    await sealed_ana(ring, "stu_gone")
    await ring.forget("stu_gone", ())
    subjects = [f"stu_{number}" for number in range(1_200)] + ["stu_gone"]
    assert await ring.prepare(subjects, {KeyClass.IDENTITY, KeyClass.RECORD}) == {"stu_gone"}
    _, offers = await ring.sealed(ANA, "stu_700")
    assert offers == {}


def test_text_is_composed_and_sets_are_sorted_before_sealing() -> None:
    assert plain({"x": "e\u0301"}) == {"x": "\u00e9"}
    assert plain(frozenset({"b", "a"})) == ["a", "b"]


def test_the_key_encryption_key_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "kek"
    assert read_kek(path) == read_kek(path)
    for mode in (0o644, 0o640):
        path.chmod(mode)
        with pytest.raises(PermissionError):
            read_kek(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a file to somebody else")
def test_a_key_that_belongs_to_somebody_else_may_be_read_through_the_group(tmp_path: Path) -> None:
    path = tmp_path / "kek"
    key = read_kek(path)
    os.chown(path, 10_001, -1)
    path.chmod(0o440)
    assert read_kek(path) == key
    for mode in (0o444, 0o460):
        path.chmod(mode)
        with pytest.raises(PermissionError):
            read_kek(path)


def test_processes_that_start_together_have_one_key_encryption_key(tmp_path: Path) -> None:
    for number in range(20):
        path = tmp_path / f"kek-{number}"
        with ThreadPoolExecutor(8) as threads:
            found = set(threads.map(read_kek, [path] * 8))
        assert {len(key) for key in found} == {64}
        assert len(found) == 1
    assert len(list(tmp_path.iterdir())) == 20


def test_a_mark_that_would_be_overlooked_is_a_mistake_at_import() -> None:
    with pytest.raises(TypeError, match="outermost"):

        class Sloppy(Command):
            remark: Notes[str] | None = None


async def test_what_a_lost_key_had_sealed_reads_as_erased(tmp_path: Path) -> None:
    """An older copy of the keys was put back, and the student has another key by now."""
    async with open_keys(f"sqlite://{tmp_path / 'lost'}") as lost:
        command = await sealed_ana(Keyring(lost, KEK))
    async with open_keys(f"sqlite://{tmp_path / 'older'}") as older:
        ring = Keyring(older, KEK)
        assert (await sealed_ana(ring)).names != command.names
        told = GuestWelcomed(names=command.names)
        assert await ring.opened(command.asked()["names"]) == ERASED
        assert await told_open(ring, told, KeyClass.IDENTITY) == told


def test_a_reference_is_half_an_hmac_in_base_32() -> None:
    for source in ("", "S-1", "Jos\u00e9", *map(str, range(200))):
        mac = digest(b"secret", source.encode(), "sha256")[:16]
        said = b32encode(mac).decode().rstrip("=").lower()
        assert Refs(b"secret").of("stu_", source) == f"stu_{said}"
