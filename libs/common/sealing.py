"""Personal values: sealed at birth, opened at the edge, forgotten by destroying keys.

AES-SIV (RFC 5297) with one 512-bit key per student and key class. It is deterministic: equal value,
student, class and label give equal bytes, so sealed values can be compared. The price: who sees the
log sees that a field of one student did not change.
"""

import os
import time
import unicodedata
from binascii import a2b_base64, b2a_base64
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import date
from enum import Enum
from functools import cache
from hmac import digest
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from pydantic import BaseModel, TypeAdapter

from libs.common.errors import Forgotten
from libs.common.messages import Command, Event, nested
from libs.common.personal import KeyClass, Personal, Sealed, marked
from libs.common.ports import Keys
from libs.common.secret_file import make_once
from libs.common.words import canonical

KEY_BYTES = 64
KEY_SECONDS_MAX = 300.0
"""A process holds an unwrapped key this long at most; after an erasure this bounds its reach."""
KEYS_MAX = 200_000
"""Unwrapped keys in memory at most."""
KEYS_BATCH_MAX = 500
ERASED = "Erased"
ALGORITHM = b"SIV"
URLSAFE = bytes.maketrans(b"+/", b"-_")
STANDARD = bytes.maketrans(b"-_", b"+/")
DEPLOYMENT = "deployment"
BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
PAIRS = tuple(one + other for one in BASE32 for other in BASE32)
PLACES = tuple(range(120, -1, -10))
"""Of the pairs in 130 bits. The standard library's own takes twice as long, and a district's file
needs 120,000 references."""

M = TypeVar("M", bound=BaseModel)
C = TypeVar("C", bound=Command)
Offers = dict[tuple[str, str], bytes]
"""(subject, class) -> a key made in memory, not yet durable."""


def read_kek(path: Path) -> bytes:
    """The key-encryption key: a 0600 file of 64 bytes, made when it is not there, and once, however
    many processes start together. Keep it outside the data directory and its backups.

    Raises PermissionError when others may read it. The group may where the file is not ours: so a
    secret is handed to a container, owned by root and read through the group."""
    if not path.exists():
        make_once(path, os.urandom(KEY_BYTES))
    found = path.stat()
    if found.st_mode & (0o077 if found.st_uid == os.geteuid() else 0o037):
        raise PermissionError("the key-encryption key's file must be readable by its owner alone")
    return path.read_bytes()


def key_id(subject: str, key_class: str) -> str:
    return f"{subject}:{key_class}:1"


class Refs:
    """Random-looking references that a retry or a re-import finds again: 128 bits of HMAC."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def of(self, prefix: str, source: str) -> str:
        mac = digest(self._secret, source.encode(), "sha256")[:16]
        bits = int.from_bytes(mac) << 2
        return prefix + "".join([PAIRS[bits >> place & 1023] for place in PLACES])


class Keyring:
    """Keys in use. Opens and seals; what is forgotten reads as `Erased`."""

    def __init__(
        self,
        keys: Keys,
        kek: bytes,
        monotonic: Callable[[], float] = time.monotonic,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._keys, self._wrap, self._now = keys, AESSIV(kek), monotonic
        self._random_bytes = random_bytes
        self._held: OrderedDict[str, tuple[AESSIV, float]] = OrderedDict()

    async def refs(self) -> Refs:
        """The deployment's own reference key, made once and never forgotten."""
        made = self._random_bytes(KEY_BYTES)
        key = (DEPLOYMENT, "ref")
        stored = await self._keys.ensure({key: self._wrapped(key_id(*key), made)})
        return Refs(self._unwrapped(stored[key].id, stored[key].wrapped))

    async def sealed(self, command: C, subject: str) -> tuple[C, Offers]:
        """The command with every personal field sealed, and the keys that are not durable yet: give
        them to `ensure` before anything is appended. Raises Forgotten."""
        ciphers = _Ciphers(self._cached, subject)
        try:
            return _seal_model(command, ciphers), {}
        except _NotHeld:
            await self._fetch_subjects([subject])
        offers: Offers = {}
        making = _Ciphers(self._cached, subject, offers, self._random_bytes)
        return _seal_model(command, making), offers

    async def ensure(self, offers: Offers) -> bool:
        """Makes the offered keys durable. False: another was there first, so seal again.
        Raises Forgotten."""
        if not offers:
            return True
        wrapped = {key: self._wrapped(key_id(*key), made) for key, made in offers.items()}
        stored = await self._keys.ensure(wrapped)
        ours = True
        for key, found in stored.items():
            taken = found.wrapped == wrapped[key]
            opened = offers[key] if taken else self._unwrapped(found.id, found.wrapped)
            self._hold(found.id, opened)
            ours = ours and taken
        return ours

    async def prepare(
        self, subjects: Sequence[str], classes: Collection[KeyClass], made: Offers | None = None
    ) -> set[str]:
        """Makes keys in bulk before many students are sealed; returns the forgotten ones. `made`
        gets the keys that nobody had before."""
        forgotten: set[str] = set()
        for start in range(0, len(subjects), KEYS_BATCH_MAX):
            part = subjects[start : start + KEYS_BATCH_MAX]
            forgotten |= await self._fetch_subjects(part, strict=False)
            missing = {
                (subject, key_class.value): self._random_bytes(KEY_BYTES)
                for subject in part
                if subject not in forgotten
                for key_class in classes
                if self._cached(key_id(subject, key_class)) is None
            }
            if await self.ensure(missing) and made is not None:
                made |= missing
        return forgotten

    async def opened(self, value: Any) -> Any:
        """JSON with every envelope replaced by its plaintext, or by `Erased`."""
        await self._fetch({sealed.key for sealed in _envelopes(value)})
        return self._open(value, None)

    async def opener(
        self,
        events: Iterable[Event],
        classes: frozenset[KeyClass],
        names: frozenset[str] | None = None,
    ) -> Callable[[Event], Event]:
        """Gets the keys of many events at once; what comes back opens one of them, asking nobody:
        its fields of these classes (and names); what is forgotten stays sealed."""
        fields = (
            event.__dict__[n] for event in events for n, _ in _to_open(type(event), classes, names)
        )
        idents = {sealed.key for sealed in fields if type(sealed) is Sealed}
        await self._fetch(idents)
        ciphers = {ident: cipher for ident in idents if (cipher := self._cached(ident))}

        def opened(event: Event) -> Event:
            found = {}
            for name, read in _to_open(type(event), classes, names):
                sealed = event.__dict__[name]
                cipher = ciphers.get(sealed.key) if type(sealed) is Sealed else None
                if cipher is None:
                    continue
                try:
                    found[name] = read(_unseal(sealed, cipher))
                except InvalidTag:
                    continue
            return event.model_copy(update=found) if found else event

        return opened

    async def forget(self, subject: str, classes: Collection[str]) -> int:
        """Destroys a student's keys (all classes when none are named). Never undone."""
        count = await self._keys.forget(subject, classes)
        for ident in [ident for ident in self._held if ident.startswith(f"{subject}:")]:
            del self._held[ident]
        return count

    def _open(self, value: Any, classes: Collection[str] | None) -> Any:
        if isinstance(value, dict):
            sealed = Sealed.parse(value)
            if sealed is None:
                return {name: self._open(inner, classes) for name, inner in value.items()}
            if classes is not None and sealed.key_class not in classes:
                return value
            opened = self._unsealed(sealed)
            return value if opened is ERASED and classes is not None else opened
        if isinstance(value, list):
            return [self._open(inner, classes) for inner in value]
        return value

    def _unsealed(self, sealed: Sealed) -> Any:
        """ERASED for what no key opens: its own was destroyed, or it was lost with an older copy of
        the keys and the student was given another one since."""
        cipher = self._cached(sealed.key)
        if cipher is None:
            return ERASED
        try:
            return orjson.loads(_unseal(sealed, cipher))
        except InvalidTag:
            return ERASED

    def _cached(self, ident: str) -> AESSIV | None:
        found = self._held.get(ident)
        if found is None:
            return None
        if found[1] <= self._now():
            del self._held[ident]
            return None
        return found[0]

    def _hold(self, ident: str, key: bytes) -> None:
        self._held[ident] = (AESSIV(key), self._now() + KEY_SECONDS_MAX)
        if len(self._held) > KEYS_MAX:
            self._held.popitem(last=False)

    async def _fetch(self, idents: set[str]) -> None:
        """Gets what is not held; a destroyed key is asked for again each time."""
        wanted = sorted(ident for ident in idents if self._cached(ident) is None)
        for start in range(0, len(wanted), KEYS_BATCH_MAX):
            found = await self._keys.get(wanted[start : start + KEYS_BATCH_MAX])
            for ident, wrapped in found.items():
                if wrapped is not None:
                    self._hold(ident, self._unwrapped(ident, wrapped))

    async def _fetch_subjects(self, subjects: Sequence[str], strict: bool = True) -> set[str]:
        forgotten = set()
        for subject, found in (await self._keys.held(subjects)).items():
            if found is None:
                if strict:
                    raise Forgotten(subject)
                forgotten.add(subject)
                continue
            for key in found:
                self._hold(key.id, self._unwrapped(key.id, key.wrapped))
        return forgotten

    def _wrapped(self, ident: str, key: bytes) -> bytes:
        return self._wrap.encrypt(key, [ident.encode()])

    def _unwrapped(self, ident: str, wrapped: bytes) -> bytes:
        try:
            return self._wrap.decrypt(wrapped, [ident.encode()])
        except InvalidTag:
            raise PermissionError("the key-encryption key does not open this key store") from None


class _NotHeld(Exception):
    """A key that must be fetched, or made, before anything can be sealed with it."""


class _Ciphers(dict[str, tuple[AESSIV, str, bytes]]):
    """The keys of one subject while a command is sealed: class -> the cipher, and the key's id as
    text and as bytes. With `offers`, what nobody has is made; without, it is NotHeld."""

    def __init__(
        self,
        held: Callable[[str], AESSIV | None],
        subject: str,
        offers: Offers | None = None,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._held, self._subject = held, subject
        self._offers, self._random_bytes = offers, random_bytes

    def __missing__(self, key_class: str) -> tuple[AESSIV, str, bytes]:
        ident = key_id(self._subject, key_class)
        cipher = self._held(ident) or self._made(key_class)
        found = self[key_class] = (cipher, ident, ident.encode())
        return found

    def _made(self, key_class: str) -> AESSIV:
        if self._offers is None:
            raise _NotHeld
        made = self._random_bytes(KEY_BYTES)
        self._offers[self._subject, key_class] = made
        return AESSIV(made)


@cache
def _to_open(
    kind: type[BaseModel], classes: frozenset[KeyClass], names: frozenset[str] | None
) -> tuple[tuple[str, Callable[[bytes], Any]], ...]:
    """A model's own fields of these classes (and names), each with what reads its JSON."""
    return tuple(
        (name, TypeAdapter(_plain_type(kind, name)).validator.validate_json)
        for name, mark in marked(kind).items()
        if mark.key_class in classes and (names is None or name in names)
    )


def _plain_type(kind: type[BaseModel], name: str) -> Any:
    """What a personal field holds when it is open."""
    field = kind.model_fields[name]
    kinds = tuple(kind for kind in get_args(field.annotation) if kind is not Sealed)
    opened: Any = Union[kinds]  # noqa: UP007 - made at run time
    for mark in field.metadata:
        opened = opened if isinstance(mark, Personal) else Annotated[opened, mark]
    return opened


def sealed_by(key: bytes, command: C, subject: str, key_class: KeyClass) -> C:
    """As a keyring that holds this key alone would seal it; raises when that is not enough."""
    held = {key_id(subject, key_class): AESSIV(key)}
    return _seal_model(command, _Ciphers(held.get, subject))


def _seal_model(model: M, ciphers: _Ciphers) -> M:
    changed: dict[str, Any] = {}
    values = model.__dict__
    for name, key_class, label in _to_seal(type(model)):
        value = values[name]
        if value is not None and type(value) is not Sealed:
            cipher, ident, bound = ciphers[key_class]
            words = orjson.dumps(plain(value), option=orjson.OPT_SORT_KEYS)
            sealed = cipher.encrypt(words, [ALGORITHM, bound, label])
            text = b2a_base64(sealed, newline=False).translate(URLSAFE, b"=").decode()
            changed[name] = Sealed(ident, name, text)
    for name in nested(type(model)):
        value = values[name]
        if isinstance(value, BaseModel):
            changed[name] = _seal_model(value, ciphers)
        elif isinstance(value, tuple | list) and value:
            sealed_parts = [
                _seal_model(inner, ciphers) if isinstance(inner, BaseModel) else inner
                for inner in value
            ]
            changed[name] = type(value)(sealed_parts)
    return model.model_copy(update=changed) if changed else model


@cache
def _to_seal(kind: type[BaseModel]) -> tuple[tuple[str, str, bytes], ...]:
    """A model's personal fields: name, key class, and the name as the bytes it is bound to."""
    return tuple((name, mark.key_class.value, name.encode()) for name, mark in marked(kind).items())


def _unseal(sealed: Sealed, cipher: AESSIV) -> bytes:
    """Its JSON. More padding than base64 needs is passed over. Raises InvalidTag."""
    words = a2b_base64(sealed.cipher.encode().translate(STANDARD) + b"==")
    return cipher.decrypt(words, [ALGORITHM, sealed.key.encode(), sealed.label.encode()])


def _envelopes(value: Any) -> Iterator[Sealed]:
    if isinstance(value, dict):
        sealed = Sealed.parse(value)
        if sealed is not None:
            yield sealed
        else:
            for inner in value.values():
                yield from _envelopes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _envelopes(inner)


def plain(value: Any) -> Any:
    """The one JSON form of a personal value: text in NFC, sets sorted, absent fields left out."""
    if isinstance(value, str):
        text = value.value if isinstance(value, Enum) else value
        return text if text.isascii() else unicodedata.normalize("NFC", text)
    if isinstance(value, BaseModel):
        return {name: plain(inner) for name, inner in value.__dict__.items() if inner is not None}
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((plain(inner) for inner in value), key=canonical)
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, float):
        raise TypeError("a float has no canonical form")
    return value
