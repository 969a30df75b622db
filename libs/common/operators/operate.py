"""What may be asked of a service instead of serving: `python -m services.<name> fsck`."""

from collections.abc import Mapping

from libs.common.adapters.sqlite_file import Taken, WrongFormat
from libs.common.errors import StoreAway
from libs.common.operators.console import NOT_WELL, Operation, Operator
from libs.common.operators.fsck import fsck
from libs.common.operators.parked import parked
from libs.common.operators.rebuilding import rebuild
from libs.common.operators.recover import recover

OPERATIONS: Mapping[str, Operation] = {
    "fsck": fsck,
    "parked": parked,
    "rebuild": rebuild,
    "recover": recover,
}
"""By the word on the command line."""


async def operate(
    word: str, operator: Operator, operations: Mapping[str, Operation] = OPERATIONS
) -> int:
    """The exit code. Doors that do not open are told in a sentence."""
    try:
        return await operations[word](operator)
    except (StoreAway, Taken, WrongFormat, OSError) as shut:
        operator.say(f"{word}: {shut}")
        return NOT_WELL
