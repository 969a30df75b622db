"""Commands in, views out, no rules: one table of routes from the parts."""

from libs.common.web.http import Routes
from services.referrals.api import packet, reading, receiver, school, telling
from services.referrals.api.doors import Doors

routes = Routes[Doors]("referrals")
for part in (school, receiver, reading, telling, packet):
    routes.table.extend(part.routes.table)
