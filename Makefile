# The whole vocabulary of development. Everything runs in .venv, made here from hash-locked requirements.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RACE := .venv-bench
CLINIC := .venv-gnuhealth
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
BREAKS ?=
BUGS ?=
MUTANTS ?=
POWERLOSS ?=
MODULES ?=
AGAIN ?=
WRITE ?=
REPORTS ?= build/conformance-$(shell date +%Y%m%d-%H%M%S)
THRESHOLD ?= 95
SECONDS ?= 600
SEED ?= 1
TESTERS ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN) + 1 )))
TRIALS ?= 10000
ADAPTERS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test pytest lint format types imports check selftest conformance gnuhealth fhir-servers requirements breaks planted mutate docs chaos crash faults powerloss explore mutated simulate bench profile growth lock clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/demo.stamp ## set up, then book, reschedule and cancel against a real calendar server
	$(BIN)/gateway demo

test: check pytest ## set up, then everything that must hold: lint, types, import rules, tests

# In the order of their names, not of their length in tests: the longest files are of few tests and must not come last.
pytest: $(VENV)/dev.stamp ## the tests alone, a file to a processor at a time
	$(BIN)/python -m pytest -q -n $(TESTERS) --dist loadfile --no-loadscope-reorder

check: lint types imports ## everything but the tests

lint: $(VENV)/dev.stamp ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/dev.stamp ## let ruff mend and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/dev.stamp ## mypy, strict
	$(BIN)/mypy

imports: $(VENV)/dev.stamp ## import rules: who may know whom
	$(BIN)/lint-imports --no-logo

gnuhealth: $(VENV)/dev.stamp $(CLINIC)/stamp ## try the GNU Health adapter on a real server, installed apart (REPORTS=directory)
	GATEWAY_GNUHEALTH=$(CLINIC) $(BIN)/gateway conformance run gnuhealth --target adapters/gnuhealth/conformance.toml --report $(REPORTS)/gnuhealth

selftest: $(VENV)/dev.stamp ## try the conformance suite on adapters broken on purpose (MUTANTS="retries …" for some)
	$(BIN)/gateway conformance selftest $(MUTANTS)

conformance: $(VENV)/dev.stamp $(if $(ADAPTERS),$(if $(filter gnuhealth,$(ADAPTERS)),$(CLINIC)/stamp),$(CLINIC)/stamp) ## try our own adapters on peers from Python packages (ADAPTERS="caldav …" REPORTS=directory; WRITE=1: keep it)
	$(BIN)/python -m conformance.rounds $(ADAPTERS) --reports $(REPORTS) $(if $(WRITE),--write)

fhir-servers: ## build HAPI FHIR, for adapters/fhir/hapi.toml (needs Java 17 and Maven)
	mvn --quiet --batch-mode --file adapters/fhir/servers/hapi/pom.xml compile

requirements: $(VENV)/dev.stamp ## run the tests, print which rows of the catalogue they hold (THRESHOLD=95)
	$(BIN)/python -m conformance.catalogue.coverage --threshold $(THRESHOLD)

breaks: $(VENV)/dev.stamp ## replay the recorded breaks of the code; each must be noticed (BREAKS="STATE-03 …")
	$(BIN)/python -m conformance.catalogue.breaks $(BREAKS)

planted: $(VENV)/dev.stamp ## plant realistic bugs; two layers must catch each (BUGS="resent-after-a-timeout …" for some; WRITE=1 for the page)
	$(BIN)/python -m conformance.catalogue.planted $(BUGS) $(if $(WRITE),--write)

mutate: $(VENV)/mutation.stamp ## try the tests on mutants of the code (MODULES="lifecycle …" for some; AGAIN=1 goes on, WRITE=1: the page)
	$(BIN)/python -m mutation $(MODULES) $(if $(AGAIN),--again) $(if $(WRITE),--write)

docs: $(VENV)/dev.stamp ## make what is made from the code again: failures, audit events, conformance, adapters and replies, hostile peers
	$(BIN)/python -m conformance.documents.reference
	$(BIN)/python -m tests.peers.page
	$(BIN)/python -m mutation.report

chaos: $(VENV)/dev.stamp ## kill gateways and their PostgreSQL server at random, and check every key (SECONDS=600 SEED=1)
	$(BIN)/python -m tests.chaos --seconds $(SECONDS) --seed $(SEED)

crash: $(VENV)/dev.stamp ## kill -9 at 200 random instants and at every durable and socket call (needs strace)
	GATEWAY_KILLS=200 GATEWAY_CRASH_CALLS=all $(BIN)/python -m pytest -q tests/processes/test_crash.py tests/processes/test_archiving.py

faults: $(VENV)/dev.stamp ## a failing and a full disk at every durable call of a commit (needs strace)
	GATEWAY_FAULT_CALLS=all GATEWAY_FAULT_ERRORS=EIO,ENOSPC $(BIN)/python -m pytest -q tests/processes/test_disk_faults.py

powerloss: $(VENV)/dev.stamp ## judge every image that a power loss could leave (strace; POWERLOSS="--images 500 --json")
	$(BIN)/python -m tests.power $(POWERLOSS)

explore: $(VENV)/dev.stamp ## walk every order, fault and crash of a few callers (SCENARIOS="two-callers …"; WHOLE=1: the large ones, too)
	$(BIN)/python -m exploration $(SCENARIOS) $(if $(WHOLE),--whole)

mutated: $(VENV)/dev.stamp ## 10,000 mutated replies for each adapter (ADAPTERS="caldav …" for some; TRIALS=500 SEED=1)
	$(BIN)/python -m tests.mutated $(ADAPTERS) --trials $(TRIALS) --seed $(SEED)

simulate: $(VENV)/dev.stamp ## a million attempts in random histories (SEEDS=3-90 or ATTEMPTS=20000 for some; WRITE=1: and write it down)
	$(BIN)/python -m exploration.simulation $(if $(SEEDS),--seeds $(SEEDS)) $(if $(ATTEMPTS),--attempts $(ATTEMPTS)) $(if $(WRITE),--write)

bench: $(RACE)/stamp ## measure one commit beside a floor and the closest peers (QUICK=1: in a minute; WRITE=1: and write it down)
	$(RACE)/bin/python -m benchmarks $(if $(QUICK),--quick) $(if $(WRITE),--write)

profile: $(VENV)/dev.stamp ## show where the time of one commit goes (WRITE=1: and write it down)
	$(BIN)/python -m benchmarks profile $(if $(WRITE),--write)

growth: ATTEMPTS ?= 5000000
growth: $(VENV)/dev.stamp ## measure a commit in a journal of ATTEMPTS=5000000 beside one of 10000 (DIRECTORY=where 30 GB are free)
	$(BIN)/python -m benchmarks growth --attempts $(ATTEMPTS) $(if $(DIRECTORY),--directory $(DIRECTORY)) $(if $(WRITE),--write)

lock: ## make the locks again from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --all-extras $(LOCK) -o requirements/dev.txt
	uv pip compile pyproject.toml --extra demo --extra build $(LOCK) -c requirements/dev.txt -o requirements/demo.txt
	uv pip compile pyproject.toml --extra postgres --extra build --group bench $(LOCK) -c requirements/dev.txt -o requirements/bench.txt
	uv pip compile --group gnuhealth $(LOCK) --no-emit-package psycopg2 -o requirements/gnuhealth.txt
	uv pip compile pyproject.toml --all-extras --group mutation $(LOCK) -c requirements/dev.txt -o requirements/mutation.txt

LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header

clean: ## remove what the targets above made
	rm -rf $(VENV) $(RACE) $(CLINIC) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find gateway adapters conformance benchmarks exploration tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The development lock holds all that the demo needs, so its stamp stands for both.
$(VENV)/dev.stamp: requirements/dev.txt pyproject.toml | $(BIN)/python
	$(INSTALL) --require-hashes -r requirements/dev.txt
	$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $(VENV)/dev.stamp $(VENV)/demo.stamp

$(VENV)/demo.stamp: requirements/demo.txt pyproject.toml | $(BIN)/python
	$(INSTALL) --require-hashes -r requirements/demo.txt
	$(INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

# What this lock adds to the development lock changes none of it, so both stand in one environment.
$(VENV)/mutation.stamp: requirements/mutation.txt $(VENV)/dev.stamp
	$(INSTALL) --require-hashes -r requirements/mutation.txt
	@touch $@

# The contestants of the benchmark live apart: nothing that is developed or shipped here depends on them.
$(RACE)/stamp: requirements/bench.txt pyproject.toml | $(BIN)/python
	test -x $(RACE)/bin/python || $(BIN)/python -m venv $(RACE)
	$(RACE)/bin/python -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r requirements/bench.txt
	$(RACE)/bin/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps --no-build-isolation -e .
	@touch $@

# GNU Health and Tryton are processes here, never modules. psycopg2, which one of them asks for, would have to be compiled;
# psycopg2-binary is the same module.
$(CLINIC)/stamp: requirements/gnuhealth.txt | $(BIN)/python
	test -x $(CLINIC)/bin/python || $(BIN)/python -m venv $(CLINIC)
	$(CLINIC)/bin/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps --require-hashes -r requirements/gnuhealth.txt
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "$(PYTHON) must be Python 3.11 or later; name another: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "$(PYTHON) cannot make environments with pip; on Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "setting up $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
