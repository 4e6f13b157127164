# The whole project from one place: `make` lists what there is. Needs Python 3.11 or newer, and nothing else.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STACK_STAMP := $(VENV)/.installed-stack
DEV_STAMP := $(VENV)/.installed-dev
# How many test processes run at once.
TEST_WORKERS ?= 2
# Of the running stack that `make load` loads.
DATA_DIR ?= data
# What `make measure-compose` runs.
COURSE ?= preview
# Of `make chaos`: the first seed, how many runs, how long faults last in each, and how many runs go side by side.
SEED ?= 1
RUNS ?= 10
SECONDS ?= 12
JOBS ?= 2
# Of each mutation.
MUTATION_RUNS ?= 3
# Of `make attack-edge`: one of tests/support/attacks.py, such as "upgrade, expect"; all if empty.
ATTACK ?=
# Of `make chaos-backlog`.
PAYMENTS ?= 100000
# Of `make chaos-doubts`.
DOUBTS ?= 12000

# Where to install is decided here, whatever somebody's pip is told otherwise.
override PIP_USER := 0
export PIP_USER
unexport PIP_TARGET PIP_PREFIX PIP_ROOT PYTHONHOME
# Why .venv has to be made anew; empty when it has not. Its programs name the place where they were installed.
UNUSABLE := $(shell test -e $(VENV) || exit 0; \
	$(BIN)/python -c '' 2>/dev/null || { echo "its Python does not run"; exit; }; \
	ls -d $(VENV)/lib/python*/site-packages/pip >/dev/null 2>&1 || { echo "it has no pip"; exit; }; \
	test ! -e $(STACK_STAMP) || grep -qsF "$$(pwd -P)/$(BIN)/" $(BIN)/gateway || echo "it was made in another place")

PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PIP_COMPILE := CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --generate-hashes --strip-extras \
	--allow-unsafe --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --build-deps-for editable

.PHONY: help install install-dev run test test-soak attack-edge test-compose test-cluster chaos chaos-mutations chaos-disks \
	chaos-clocks chaos-backlog chaos-doubts load load-faults load-preview load-final load-ramp measure-compose measure-startup load-soak \
	load-spike replay simulate bench-rebuild bench-summaries bench-live bench-kill lint format docs docs-generate lock clean

help: ## Lists the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STACK_STAMP) ## Makes .venv with everything that `make run` needs.

install-dev: $(DEV_STAMP) ## The same, with what the tests and checks need.

run: install ## Starts everything; answers on http://127.0.0.1:9999 until Ctrl-C.
	@exec $(BIN)/tollgate run

test: install-dev ## Runs every test, but those that take long.
	@$(BIN)/python -m pytest tests/unit tests/integration tests/system -n $(TEST_WORKERS) --dist worksteal -m "not soak"

test-soak: install-dev ## Those that take long, one at a time: health polling at the real interval, kill after kill, a ramp.
	@$(BIN)/python -m pytest tests/integration tests/system -m soak

attack-edge: install-dev ## Sends requests to the edge that it and a gateway could read differently. SEED, RUNS (of the whole table), ATTACK.
	@EDGE_ATTACK_SEED=$(SEED) EDGE_ATTACK_ROUNDS=$(RUNS) EDGE_ATTACK_ONLY="$(ATTACK)" \
		$(BIN)/python -m pytest -q -s tests/integration/edge/test_attacks.py

test-compose: install-dev ## Runs the compose stack, and kills and restarts each container; skipped where no docker answers.
	@$(BIN)/python -m pytest tests/compose

test-cluster: install-dev ## Runs three brokers, and kills the one that leads.
	@$(BIN)/python -m pytest tests/cluster

load: install-dev ## Posts 550 payments a second for a minute to a running stack, and audits every one.
	@$(BIN)/python -m qa.load.steady --rate 550 --seconds 60 --amounts random --processes-of $(DATA_DIR) --json build/load.json

load-faults: install-dev ## The same, while programs of the stack are killed with kill -9.
	@$(BIN)/python -m qa.load.steady --rate 550 --seconds 60 --amounts random --processes-of $(DATA_DIR) \
		--kill gateway-1,processor,projector,nats-server --json build/load-faults.json

chaos: install-dev ## Breaks whole stacks at random, and checks that no payment is lost or charged twice.
	@$(BIN)/python -m qa.chaos --seed $(SEED) --runs $(RUNS) --seconds $(SECONDS) --jobs $(JOBS) \
		--markdown build/chaos.md --json build/chaos.json

chaos-mutations: install-dev ## Breaks the product on purpose, and checks that `make chaos` would see it.
	@$(BIN)/python -m qa.chaos.mutate --seed $(SEED) --runs $(MUTATION_RUNS) --seconds $(SECONDS) --jobs $(JOBS) \
		--markdown build/chaos-mutations.md

chaos-disks: install-dev ## Lets the disks of the broker and of the read model run full; needs root.
	@$(BIN)/python -m qa.chaos.once --disks --seed $(SEED) --seconds 16

chaos-clocks: install-dev ## As `make chaos`, and the services' wall clocks are set all the while; needs libfaketime.
	@$(BIN)/python -m qa.chaos --clocks --seed $(SEED) --runs $(RUNS) --seconds $(SECONDS) --jobs $(JOBS) \
		--markdown build/chaos-clocks.md

chaos-backlog: install-dev ## Accepts PAYMENTS while neither payment processor works, then drains them.
	@$(BIN)/python -m qa.chaos.backlog --payments $(PAYMENTS)

chaos-doubts: install-dev ## Pays beside DOUBTS doubts at a provider that swallows everything, also after kill -9.
	@$(BIN)/python -m qa.chaos.doubts --doubts $(DOUBTS)

load-preview: ## The contest's preview with k6, against a stack started with ALLOW_PURGE=true. See docs/how-to/load.md.
	@qa/load/k6/run preview

load-final: ## The contest's final, five minutes.
	@qa/load/k6/run final

load-ramp: ## Ever more payments a second, until they are not taken as fast as they are offered.
	@qa/load/k6/run ramp

measure-compose: install-dev ## Runs COURSE (preview, final, ...) against the compose stack; what each container used.
	@$(BIN)/python -m qa.load.measure $(COURSE)

measure-startup: install-dev ## Seconds from `compose up` to the first accepted payment.
	@$(BIN)/python -m qa.load.startup

load-soak: ## Half an hour at a steady rate, while the processors change.
	@qa/load/k6/run soak

load-spike: ## Fifteen times as many payments within a second.
	@qa/load/k6/run spike

simulate: install-dev ## Tries the routing on simulated courses. ARGS="--random 1000 --scale 0.1": see docs/explanation/routing.md.
	@$(BIN)/python -m qa.routing_sim $(ARGS)

replay: install ## Builds a stack from BACKUP=folder (or one of its own making) and compares its summary with it.
	@$(BIN)/tollgate replay $(BACKUP)

bench-rebuild: install-dev ## Rebuilds the read model of a million payments while summaries are asked.
	@$(BIN)/python -m qa.bench.rebuild --payments 1000000 --json build/bench-rebuild.json

bench-summaries: install-dev ## Asks for summaries of ten thousand, a million and ten million payments.
	@$(BIN)/python -m qa.bench.summaries --json build/bench-summaries.json

bench-live: install-dev ## Sends two million payments through the live projector, and watches its memory and its file.
	@$(BIN)/python -m qa.bench.live --payments 2000000 --json build/bench-live.json

bench-kill: install-dev ## Kills the projector a hundred times under load, and compares it with the log after each.
	@$(BIN)/python -m qa.bench.kill_projector --kills 100 --json build/bench-kill.json

lint: install-dev ## Checks style and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install-dev ## Formats the code, and mends what can be mended.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: install-dev ## Builds the documentation into build/site; a broken link fails. Needs no network.
	@NO_MKDOCS_2_WARNING=true $(BIN)/python -m mkdocs build --strict --quiet

docs-generate: install-dev ## Writes the pages that are generated from the code.
	@$(BIN)/python -m tools.docs

lock: install-dev ## Pins the newest dependencies that pyproject.toml allows.
	$(PIP_COMPILE) --upgrade --output-file requirements/base.txt pyproject.toml
	$(PIP_COMPILE) --upgrade --extra stack --output-file requirements/stack.txt pyproject.toml
	$(PIP_COMPILE) --upgrade --all-extras --output-file requirements/dev.txt pyproject.toml
	$(PIP_COMPILE) --upgrade --output-file requirements/build.txt requirements/build.in

clean: ## Removes .venv and what the tools leave behind; the data stays.
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis src/*.egg-info
	find services tests qa -name __pycache__ -type d -prune -exec rm -rf {} +

# What does not fit this place is done again, from the start.
ifneq ($(UNUSABLE),)
.PHONY: $(BIN)/python $(STACK_STAMP) $(DEV_STAMP)
endif

$(BIN)/python:
	@$(if $(UNUSABLE),echo "Making $(VENV) anew: $(UNUSABLE)."; rm -rf $(VENV))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Tollgate needs Python 3.11 or newer, and $(PYTHON) is not: try make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make a virtual environment: is its venv package there?" >&2; \
		rm -rf $(VENV); exit 1; }
	@ls -d $(VENV)/lib/python*/site-packages/pip >/dev/null 2>&1 || { rm -rf $(VENV); \
		echo "$(PYTHON) makes virtual environments without pip: is its ensurepip or venv package there?" >&2; exit 1; }

# Only what the hashes name gets in; the project itself needs no downloads then.
$(STACK_STAMP): requirements/stack.txt pyproject.toml | $(BIN)/python
	@echo "Installing into $(VENV) …"
	@$(PIP) install --require-hashes --requirement requirements/stack.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# dev.txt contains all of stack.txt.
$(DEV_STAMP): requirements/dev.txt pyproject.toml $(STACK_STAMP)
	@echo "Installing the tools for development into $(VENV) …"
	@$(PIP) install --require-hashes --requirement requirements/dev.txt
	@touch $@
