"""The registrar's way in: a zip is sent, and its progress is looked at."""

from typing import Annotated, Protocol, TypeVar

from pydantic import Field

from libs.common.messages import Message, Role
from libs.common.web.http import Doors, Question, Replied, Routes, Upload
from services.consent.imports.asking import Wish
from services.consent.imports.progress import ImportPage
from services.consent.imports.taking import Imports
from services.consent.roster.archive import ZIP_BYTES_MAX

PATH = "/v1/roster/imports"
REMOVALS_MAX = 1_000_000


class ImportDoors(Doors, Protocol):
    @property
    def imports(self) -> Imports: ...


D = TypeVar("D", bound=ImportDoors)


class ImportParams(Message):
    """`skip_bad_rows` goes on without the people of rows that cannot be used; `allow_removals` says
    how many students, and how many guardians, may be gone."""

    dry_run: bool = False
    skip_bad_rows: bool = False
    allow_removals: Annotated[int, Field(ge=0, le=REMOVALS_MAX)] = 0


def roster_routes(routes: Routes[D]) -> None:
    """Adds the importer's routes to the service's table."""

    @routes.raw(
        "POST",
        PATH,
        ImportPage,
        content_type="application/zip",
        limit=ZIP_BYTES_MAX,
        roles={Role.REGISTRAR},
        statuses=(202,),
        params=ImportParams,
    )
    async def import_roster(upload: Upload[ImportParams], doors: D) -> Replied:
        """Takes a OneRoster CSV zip, 1.1 or 1.2, bulk or delta. A file that cannot be used is
        refused before anything is stored; a dry run only reports. The same key again goes on where
        it stopped."""
        wish = Wish(upload.id, f"POST {PATH}", upload.actor, **dict(upload.params))
        page = await doors.imports.offer(upload.body, wish)
        return Replied(202, page, f"{PATH}/{page.reference}")

    @routes.query("GET", f"{PATH}/{{reference}}", ImportPage, roles={Role.REGISTRAR})
    async def roster_import(question: Question[Message], doors: D) -> ImportPage:
        """How far an import is, and its report."""
        return await doors.imports.page(question.path["reference"])
