# Everything there is to do in this project: `make` lists it. Needs Python 3.11 or newer, and nothing else.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STACK_STAMP := $(VENV)/.installed-stack
DEV_STAMP := $(VENV)/.installed-dev
# How many test processes run at once: more than cores, since most tests wait for programs half of their time.
TEST_WORKERS ?= 4
# `make load`, `make profile`: the DATA_DIR of the running stack.
DATA_DIR ?= data
# `make scenario`, `make measure-compose`: preview, final, ramp, soak or spike. COURSE is its earlier name.
SCENARIO ?= $(or $(COURSE),preview)
# `make bench`: stages, rebuild, summaries, live, years, archive, kill, watching or windows (LIMITS=1: with the CPU of docker-compose.yml).
# For `stages`, RUNS sets how often it is measured (3), and QUICK=1 makes one short run into build/.
WHAT ?= rebuild
# `make chaos…`: the first seed, the number of runs, the seconds of faults in each, and the runs at the same time.
SEED ?= 1
RUNS ?= 10
SECONDS ?= 12
JOBS ?= 2
# `make profile`: a Python program of the stack that runs on DATA_DIR.
PROGRAM ?= gateway-1
# `make chaos-mutations`: runs for each mutation.
MUTATION_RUNS ?= 3
# `make attack-edge`: some of tests/support/attacks.py, such as "upgrade, expect"; all if empty.
ATTACK ?=
# `make chaos-backlog`.
PAYMENTS ?= 100000
# `make chaos-doubts`.
DOUBTS ?= 12000
SIZES ?= 100000 1000000 10000000
ENDED ?= 0

BENCH_stages := qa.bench.stages $(if $(QUICK),--quick,--page docs/explanation/performance.md) \
	$(if $(filter file,$(origin RUNS)),,--runs $(RUNS))
BENCH_rebuild := qa.bench.rebuild --payments 1000000
BENCH_summaries := qa.bench.summaries
BENCH_live := qa.bench.live --payments 2000000
BENCH_years := qa.bench.years
BENCH_archive := qa.bench.archive
BENCH_sizes := qa.bench.sizes $(addprefix --payments ,$(SIZES)) --page docs/how-to/capacity.md
BENCH_backlog := qa.bench.sizes.backlog --ended $(ENDED) --waiting $(PAYMENTS)
BENCH_kill := qa.bench.kill_projector --kills 100
BENCH_watching := qa.bench.watching
BENCH_windows := qa.bench.windows --verbose $(if $(LIMITS),--limits)

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

.PHONY: help install install-dev run replay screenshots test test-soak test-cluster test-compose attack-edge lint format docs docs-generate \
	lock clean load load-faults scenario course measure-compose measure-startup bench profile simulate chaos chaos-mutations chaos-disks \
	chaos-clocks chaos-cluster chaos-backlog chaos-doubts load-preview load-final load-ramp load-soak load-spike bench-rebuild \
	bench-summaries bench-live bench-kill

help: # Lists the targets that have a text behind ##, below the headings ##@.
	@awk -F ':.*## ' '/^##@ / { print substr($$0, 5) ":" } \
		/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Run

install: $(STACK_STAMP) ## Installs into .venv what `make run` needs.

install-dev: $(DEV_STAMP) ## Installs what the tests and checks need, too.

run: install ## Starts everything on http://127.0.0.1:9999 until Ctrl-C.
	@exec $(BIN)/tollgate run

replay: install ## Builds a stack from BACKUP=folder, or a demonstration, and compares the summaries.
	@$(BIN)/tollgate replay $(BACKUP)

##@ Test

test: install-dev ## Runs unit, integration and system tests, except the long ones.
	@$(BIN)/python -m pytest tests/unit tests/integration tests/system -n $(TEST_WORKERS) --dist worksteal -m "not soak"

test-soak: install-dev ## Runs the long ones, one at a time.
	@$(BIN)/python -m pytest tests/unit tests/integration tests/system -m soak

test-cluster: install-dev ## Runs three brokers and kills the leader.
	@$(BIN)/python -m pytest tests/cluster

test-compose: install-dev ## Runs the compose stack and kills each container; needs docker.
	@$(BIN)/python -m pytest tests/compose

attack-edge: install-dev ## Sends ambiguous requests to the edge: SEED, RUNS, ATTACK="upgrade, expect".
	@EDGE_ATTACK_SEED=$(SEED) EDGE_ATTACK_ROUNDS=$(RUNS) EDGE_ATTACK_ONLY="$(ATTACK)" \
		$(BIN)/python -m pytest -q -s tests/integration/edge/test_attacks.py

##@ Measure

load: install-dev ## Posts 550 payments a second for a minute to a running stack, and audits each.
	@$(BIN)/python -m qa.load.steady --rate 550 --seconds 60 --amounts random --processes-of $(DATA_DIR) --json build/load.json

load-faults: install-dev ## The same, while programs of the stack are killed with kill -9.
	@$(BIN)/python -m qa.load.steady --rate 550 --seconds 60 --amounts random --processes-of $(DATA_DIR) \
		--kill gateway-1,processor,projector,nats-server --json build/load-faults.json

scenario: ## Runs a k6 scenario: SCENARIO=preview|final|ramp|soak|spike; the stack needs ALLOW_PURGE=true.
	@qa/load/k6/run $(SCENARIO)

course: scenario # The earlier name.

measure-compose: install-dev ## Runs SCENARIO against the compose stack; what each container used.
	@$(BIN)/python -m qa.load.measure $(SCENARIO)

measure-startup: install-dev ## Measures from `compose up` to the first accepted payment.
	@$(BIN)/python -m qa.load.startup

bench: install-dev ## Measures WHAT=stages|sizes|backlog|rebuild|summaries|live|years|archive|kill|watching|windows.
	@test -n "$(BENCH_$(WHAT))" || { echo "make bench WHAT=stages|sizes|backlog|rebuild|summaries|live|years|archive|kill|watching|windows" >&2; exit 2; }
	@$(BIN)/python -m $(BENCH_$(WHAT)) $(if $(filter stages sizes,$(WHAT)),,--json build/bench-$(WHAT).json)

profile: install-dev ## Samples PROGRAM of a running stack for SECONDS, into build/profile-PROGRAM.svg.
	@$(BIN)/python -m qa.bench.profile_program $(PROGRAM) --data-dir $(DATA_DIR) --seconds $(SECONDS)

simulate: install-dev ## Compares routing policies in simulation: ARGS="--random 1000 --scale 0.1".
	@$(BIN)/python -m qa.routing_sim $(ARGS)

##@ Chaos

chaos: install-dev ## Kills, stops and partitions whole stacks at random, and audits every payment.
	@$(BIN)/python -m qa.chaos --seed $(SEED) --runs $(RUNS) --seconds $(SECONDS) --jobs $(JOBS) \
		--markdown build/chaos.md --json build/chaos.json

chaos-cluster: install-dev ## `make chaos` on three brokers: the leader is killed, stopped and cut off as well.
	@$(BIN)/python -m qa.chaos --cluster --seed $(SEED) --runs $(RUNS) \
		--seconds $(if $(filter file,$(origin SECONDS)),20,$(SECONDS)) --jobs $(if $(filter file,$(origin JOBS)),1,$(JOBS)) \
		--markdown build/chaos-cluster.md --json build/chaos-cluster.json

chaos-mutations: install-dev ## Breaks the product on purpose; each mutation must be detected.
	@$(BIN)/python -m qa.chaos.mutate --seed $(SEED) --runs $(MUTATION_RUNS) --seconds $(SECONDS) --jobs $(JOBS) \
		--markdown build/chaos-mutations.md

chaos-disks: install-dev ## Fills the disks of the broker and of the read model; needs root.
	@$(BIN)/python -m qa.chaos.once --disks --seed $(SEED) --seconds 16

chaos-clocks: install-dev ## `make chaos` while the services' clocks are changed; needs libfaketime.
	@$(BIN)/python -m qa.chaos --clocks --seed $(SEED) --runs $(RUNS) --seconds $(SECONDS) --jobs $(JOBS) \
		--markdown build/chaos-clocks.md

chaos-backlog: install-dev ## Accepts PAYMENTS while both providers are down, then charges them.
	@$(BIN)/python -m qa.chaos.backlog --payments $(PAYMENTS)

chaos-doubts: install-dev ## Charges new payments beside DOUBTS doubts, also after kill -9.
	@$(BIN)/python -m qa.chaos.doubts --doubts $(DOUBTS)

##@ Develop

lint: install-dev ## Checks style and types.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install-dev ## Formats the code and fixes what ruff can fix.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: install-dev ## Builds the documentation into build/site; a broken link fails.
	@NO_MKDOCS_2_WARNING=true $(BIN)/python -m mkdocs build --strict --quiet

screenshots: install-dev ## Takes the pictures of the console for the documentation; needs Chromium.
	@$(BIN)/python -m qa.console.screenshots

docs-generate: install-dev ## Writes the pages that are generated from the code.
	@$(BIN)/python -m tools.docs

lock: install-dev ## Pins the newest dependencies that pyproject.toml allows.
	$(PIP_COMPILE) --upgrade --extra traces --output-file requirements/base.txt pyproject.toml
	$(PIP_COMPILE) --upgrade --extra stack,traces --output-file requirements/stack.txt pyproject.toml
	$(PIP_COMPILE) --upgrade --all-extras --output-file requirements/dev.txt pyproject.toml
	$(PIP_COMPILE) --upgrade --output-file requirements/build.txt requirements/build.in

clean: ## Removes .venv and build products; DATA_DIR stays.
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis src/*.egg-info
	find services tests qa -name __pycache__ -type d -prune -exec rm -rf {} +

# Names of earlier versions.
load-preview load-final load-ramp load-soak load-spike: load-%:
	@$(MAKE) --no-print-directory scenario SCENARIO=$*

bench-rebuild bench-summaries bench-live bench-kill: bench-%:
	@$(MAKE) --no-print-directory bench WHAT=$*

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
