"""Later releases of the product, for tests: its own sources with some lines changed as they are
imported. `python -m tests.faults.releases NAME MODULE [ARGUMENT]…` runs a module of such a release.

Planted before anything of the product is imported, so this page itself imports nothing of it.
"""

import runpy
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType

Lines = Mapping[str, Sequence[tuple[str, str]]]
"""Module -> (what stands there, what stands there in the release), each found exactly once."""

FIELD: Lines = {
    "services.referrals.events": [
        (
            "    words: Record[Text]\n\n\nclass FamilyMet",
            "    words: Record[Text]\n    heard: Code | None = None\n\n\nclass FamilyMet",
        )
    ],
    "services.referrals.decider.opening": [
        (
            "setting=command.setting, words=command.words)\n    return [] if again",
            "setting=command.setting, words=command.words, heard='by-phone')\n"
            "    return [] if again",
        )
    ],
}
"""`concern.added` says how it was heard."""

SHAPES: Lines = {
    **FIELD,
    "services.referrals.events": [
        *FIELD["services.referrals.events"],
        (
            "from typing import Annotated, Literal\n",
            "from typing import Annotated, ClassVar, Literal\n",
        ),
        ("import TEXT_MAX, Event", "import UPCASTERS, TEXT_MAX, Event"),
        (
            "    warm: bool = False\n    letter",
            "    v: ClassVar[int] = 2\n    handover: Code\n    letter",
        ),
        (
            "class ReferralAccepted(",
            "def _with_handover(data: dict[str, object]) -> dict[str, object]:\n"
            "    kept = {name: value for name, value in data.items() if name != 'warm'}\n"
            "    return {**kept, 'handover': 'warm' if data.get('warm') else 'cold'}\n\n\n"
            "UPCASTERS['referral.sent', 1] = _with_handover\n\n\n"
            "class ReferralAccepted(",
        ),
    ],
    "services.referrals.decider.routing": [
        ("warm=command.warm,", "handover='warm' if command.warm else 'cold',")
    ],
    "services.referrals.views.stories": [
        ('name="lines",\n    version=1,', 'name="lines",\n    version=2,')
    ],
    "services.referrals.views.queues": [("warm=event.warm,", "warm=event.handover == 'warm',")],
    "services.consent.events.consents": [
        ("from datetime import date\n", "from datetime import date\nfrom typing import ClassVar\n"),
        ("import Event, Identity", "import UPCASTERS, Event, Identity"),
        (
            "    holder: str\n    by: str\n",
            "    holder: str\n    v: ClassVar[int] = 2\n    signer: str\n",
        ),
        (
            "class ConsentExpired(",
            "UPCASTERS['consent.revoked', 1] = lambda data: {\n"
            "    **{name: value for name, value in data.items() if name != 'by'},\n"
            "    'signer': data['by'],\n"
            "}\n\n\n"
            "class ConsentExpired(",
        ),
    ],
    "services.consent.decider.no": [("            by=signer,\n", "            signer=signer,\n")],
    "services.consent.views.family": [("ConsentRevoked(by=by)", "ConsentRevoked(signer=by)")],
}
"""And `referral.sent` and `consent.revoked` come in a second shape, each with its step up. Stories
repeat what an event says, so they are told anew."""

RELEASES: Mapping[str, Lines] = {"field": FIELD, "shapes": SHAPES}


class _Changed(SourceFileLoader):
    def __init__(self, name: str, path: str, lines: Sequence[tuple[str, str]]) -> None:
        super().__init__(name, path)
        self.lines = lines

    def get_code(self, fullname: str) -> CodeType | None:
        """From the source, never from a cache: that is the released one's."""
        text = self.get_data(self.path).decode()
        for old, new in self.lines:
            if text.count(old) != 1:
                raise ImportError(f"{fullname} has changed: {old!r} stands there no more")
            text = text.replace(old, new)
        return compile(text, self.path, "exec", dont_inherit=True)


class _Release(MetaPathFinder):
    def __init__(self, lines: Lines) -> None:
        self.lines = lines

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        changes = self.lines.get(fullname)
        found = PathFinder.find_spec(fullname, path, target) if changes else None
        if changes is not None and found is not None and found.origin is not None:
            found.loader = _Changed(fullname, found.origin, changes)
        return found


def planted(name: str) -> None:
    """From now on this process imports that release."""
    lines = RELEASES[name]
    there = sorted(lines.keys() & sys.modules.keys())
    if there:
        raise ImportError(f"imported too early: {', '.join(there)}")
    sys.meta_path.insert(0, _Release(lines))


def main() -> None:
    _, name, module, *arguments = sys.argv
    planted(name)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
