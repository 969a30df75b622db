"""This service alone: `python -m services.referrals [api] [relay] [project]`, all by default."""

import sys

from libs.common.serving import start
from services.referrals.main import main

start("referrals", [main], sys.argv[1:])
