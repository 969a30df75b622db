"""This service alone: `python -m services.consent [api] [relay] [project]`, all by default."""

import sys

from libs.common.serving import start
from services.consent.main import main

start("consent", [main], sys.argv[1:])
