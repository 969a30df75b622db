# Everything a person types. `make` alone lists it; each target makes what it needs.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.made-$(shell cat pyproject.toml constraints.txt | cksum | tr ' ' '-')
BENCH_STAMP := $(subst .made-,.bench-,$(STAMP))
COMPOSE ?= docker compose

.DEFAULT_GOAL := help
.PHONY: help setup demo run test test-engines prove check fmt contracts manifests settings bench up down

help: ## list what can be done here
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv with the exact versions of constraints.txt

# The name of the stamp holds the sum of both files: change either, and the environment is brought up to date.
$(STAMP):
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) is too old: Python 3.11 or newer is needed; set PYTHON=..."; exit 1; }
	@if command -v uv >/dev/null; then \
		set -ex; test -x $(RUN) || uv venv --quiet --python $(PYTHON) $(VENV); \
		uv pip install --quiet --python $(RUN) -c constraints.txt -e '.[dev]'; \
	else \
		set -ex; test -x $(RUN) || $(PYTHON) -m venv $(VENV); \
		$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'; \
	fi
	@rm -f $(VENV)/.made-* && touch $@

demo: $(STAMP) ## play a school year of a whole district over HTTP and tell Carl's story
	$(RUN) -m demo

run: $(STAMP) data/demo/clock-offset ## serve the platform with the demo's data; Ctrl-C stops it
	@echo "API and its description:  http://127.0.0.1:$${PORT:-8000}/openapi.json"
	@echo "Tokens for development:   http://127.0.0.1:$${PORT:-8000}/issuer"
	@echo "Is it well?               http://127.0.0.1:$${PORT:-8000}/health/ready"
	DATA_DIR=data/demo DIRECTORY_FILE=data/demo/directory.json KEK_FILE=build/demo/kek \
		CLOCK=shifted $(RUN) -m services

data/demo/clock-offset:
	$(MAKE) demo

test: $(STAMP) ## all tests that need no server; the last line says which engines were not found
	$(RUN) -m pytest

test-engines: $(STAMP) ## the same promises on real Kafka and a MongoDB-compatible server
	$(RUN) deploy/engines/engines.py fetch
	ALLIANCE_ENGINES=required $(RUN) -m pytest -m engines

check: $(STAMP) ## the whole gate: format, lint, types
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy

fmt: $(STAMP) ## format, and fix what can be fixed by itself
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .

contracts: $(STAMP) ## write additions to the event contracts; a contract grows, it never shrinks
	$(RUN) -m tests.contracts

settings: $(STAMP) ## write the table of settings into the documents
	$(RUN) -m tests.documented

manifests: $(STAMP) ## render the Kubernetes overlays anew; needs kubectl or kustomize
	$(RUN) -m tests.deploy

prove: $(STAMP) ## long runs under faults, and a page about them (ONLY=name, SEED=number)
	$(RUN) -m tests.faults $(if $(ONLY),--only $(ONLY)) $(if $(SEED),--seed $(SEED))

bench: $(BENCH_STAMP) ## performance figures, side by side with others (QUICK=1, ONLY=question)
	$(RUN) -m bench $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) $(if $(SECONDS),--seconds $(SECONDS))

$(BENCH_STAMP): $(STAMP)
	@if command -v uv >/dev/null; then \
		uv pip install --quiet --python $(RUN) -c constraints.txt -e '.[dev,bench]'; \
	else \
		$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,bench]'; \
	fi
	@rm -f $(VENV)/.bench-* && touch $@

up: ## the whole platform in containers
	$(COMPOSE) up --detach --build --wait

down: ## stop the containers; the data stays
	$(COMPOSE) down

