"""Who a file would silently remove, and when that is too many to be meant."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

REMOVED_PERCENT_MAX = 5
"""A bulk file may end at most this share of the students, and of the guardians, that are known at
its schools. Whoever means more says so with a number."""
FEW = 3
"""So many may go by one delta from however small a school: it names each of them."""


class Enrolled(NamedTuple):
    """A student as known now: the school, and the guardians that a roster may end."""

    school: str
    guardians: frozenset[str]


class Removals(NamedTuple):
    """`gone` are enrolled at a school of the file and absent from it; `ended` counts guardians that
    students who are still there would lose. So many as `few` are never too many."""

    gone: tuple[str, ...] = ()
    students: int = 0
    ended: int = 0
    guardians: int = 0
    few: int = 0

    def too_many(self, allowed: int) -> bool:
        """`allowed` is the number that the caller has said to expect."""
        allowed = max(allowed, self.few)
        return _too_many(len(self.gone), self.students, allowed) or _too_many(
            self.ended, self.guardians, allowed
        )


def removals(
    enrolled: Mapping[str, Enrolled],
    schools: Collection[str],
    present: Collection[str],
    families: Mapping[str, Collection[str]],
) -> Removals:
    """`present`: every student that the file says anything about; `families`: the guardians it
    gives to each student that would be taken from it."""
    gone: list[str] = []
    students = ended = guardians = 0
    for student, known in enrolled.items():
        if student in families:
            guardians += len(known.guardians)
            ended += len(known.guardians.difference(families[student]))
        if known.school in schools:
            students += 1
            if student not in present:
                gone.append(student)
    return Removals(tuple(gone), students, ended, guardians)


def _too_many(removed: int, known: int, allowed: int) -> bool:
    return removed > allowed and removed * 100 > known * REMOVED_PERCENT_MAX
