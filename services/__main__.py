"""`python -m services`: the whole platform on a laptop, with SQLite and a development issuer."""

import sys

from libs.common.serving import start
from services.consent.main import main as consent
from services.referrals.main import main as referrals

start("alliance", [consent, referrals], sys.argv[1:], {"ALLOW_DEV_ISSUER": "yes"})
