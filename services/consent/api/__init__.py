"""Commands in, views out: the consent service over HTTP. No rules here, only whose is what."""

from libs.common.web.http import Routes
from services.consent.api import asking, records, words
from services.consent.api.doors import Doors
from services.consent.imports.routes import roster_routes

routes = Routes[Doors](
    "consent", [*records.routes.table, *words.routes.table, *asking.routes.table]
)
roster_routes(routes)
