# Everything a newcomer does: `make help` lists it. All it makes lies inside this checkout, and `make clean` removes it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
VENV := .venv/.made
LOCKED := .venv/.locked
INSTALLED := .venv/.installed
JARS := deploy/jars/.made
DATA := data/.made
CLASSES := .venv/.classes.jsa
PROVIDER ?= openai
# Test processes at once, on two processors: the real commands and the brokers wait for others now and then.
WORKERS ?= 4
SCHEDULES ?= 1000
SEED ?= 1
ROADS ?= 6
# Chaos runs at once, each beside a broker and a database of its own.
SLOTS ?= 4
# A file that keeps each verdict: a campaign that was broken off goes on from there.
REPORT ?=
PYTEST := $(BIN)/python -m pytest
# In the order of the files: those that start the real commands come first, so that none is waited for at the end.
SPREAD := --dist loadfile --no-loadscope-reorder
PACKAGES := submitter poller shared deploy tests

export PROVIDER

.PHONY: help setup demo test test-unit test-integration test-acceptance compiled chaos check audit format bench bench-packing lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(INSTALLED) $(JARS) $(DATA) ## virtual environment, jars and demo data, inside this checkout
	@deploy/preflight.sh java

demo: setup ## 10,604 real movie reviews through the sandbox (PROVIDER=openai|anthropic, LIVE=1 for the real provider)
	@$(BIN)/python -m deploy.demo

test: setup $(CLASSES) compiled ## every test
	@$(PYTEST) $(SPREAD) -n $(WORKERS) tests/acceptance tests/chaos tests/integration tests/contracts tests/faults tests/hostile tests/unit

test-unit: setup ## the tests without I/O, under 30 s
	@$(PYTEST) -n 2 tests/unit

test-integration: setup $(CLASSES) compiled ## contracts, hostile input, and parts on real Kafka, SQL, Flink and the fake provider
	@$(PYTEST) $(SPREAD) -n $(WORKERS) tests/integration tests/contracts tests/faults tests/hostile

test-acceptance: setup $(CLASSES) compiled ## the real commands, killed and restarted
	@$(PYTEST) tests/acceptance

chaos: setup ## SIGKILL at every failpoint and every pair of them, and random faults (SCHEDULES=1000 SEED=1 ROADS=6 SLOTS=4 REPORT=file)
	@$(BIN)/python -m tests.chaos --failpoints --pairs --schedules $(SCHEDULES) --seed $(SEED) --roads $(ROADS) --slots $(SLOTS) --markdown \
	  $(if $(REPORT),--report $(REPORT))

check: setup ## format, lint, strict types, import directions
	@$(BIN)/ruff format --check $(PACKAGES)
	@$(BIN)/ruff check $(PACKAGES)
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

audit: setup ## known vulnerabilities of the locked packages; says it where their database can't be reached
	@$(BIN)/python -m deploy.audit

format: setup ## apply the formatter and the safe fixes
	@$(BIN)/ruff check --fix --quiet $(PACKAGES) || true
	@$(BIN)/ruff format $(PACKAGES)

bench: setup ## speed and memory, as ratios from one run
	@$(BIN)/python -m tests.bench

bench-packing: setup ## 10,000 reviews asked four ways: calls, time, tokens, cost (SHORT=1: with one line of instructions)
	@$(BIN)/python -m tests.bench.packing $(if $(SHORT),--short)

lock: $(INSTALLED) ## choose versions anew from pyproject.toml
	@$(BIN)/uv pip compile pyproject.toml --quiet --upgrade --all-extras --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' --output-file requirements.lock

clean: ## remove all that the targets above made
	rm -rf .venv deploy/jars data build dist *.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each step leaves a mark in the folder it makes, and is redone when that is gone or what it depends on has changed.
$(VENV):
	@deploy/preflight.sh python java maven
	@"$$(deploy/preflight.sh --print-python)" -m venv .venv
	@touch $@

$(LOCKED): requirements.lock $(VENV)
	@echo 'setup: installing the locked Python packages (some minutes the first time)'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@touch $@

$(INSTALLED): pyproject.toml $(LOCKED)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(JARS): deploy/pom.xml
	@deploy/preflight.sh java maven
	@echo 'setup: fetching the jars of the Kafka connector and of the local broker'
	@rm -rf deploy/jars
	@mvn --quiet --batch-mode -Dstyle.color=never --file deploy/pom.xml process-resources
	@touch $@

$(CLASSES): $(INSTALLED) $(JARS)
	@echo 'setup: keeping the classes that a Flink job loads, for the tests (20 s)'
	@$(BIN)/python -m tests.rig.classes

# The hundreds of processes that the tests start are not to compile these files each, whatever PYTHONDONTWRITEBYTECODE says.
compiled: $(INSTALLED)
	@$(BIN)/python -m compileall -q $(PACKAGES)

# The reviews lie in the source distribution; its hash is the lock's.
$(DATA): requirements.lock $(VENV)
	@echo 'setup: fetching the movie reviews of the demo'
	@rm -rf data && mkdir -p data
	@awk '/^vadersentiment==/ {on = 1; print; next} on && /--hash/ {print; next} {on = 0}' requirements.lock > data/reviews.lock
	@$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: --require-hashes \
	  --requirement data/reviews.lock --dest data
	@cd data && tar -xzf vader*.tar.gz && mv vaderSentiment-*/LICENSE.txt vaderSentiment-LICENSE.txt \
	  && tar -xzf vaderSentiment-*/additional_resources/hutto_ICWSM_2014.tar.gz \
	  && mv hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt . && rm -r reviews.lock vaderSentiment-*/ *.tar.gz hutto_ICWSM_2014
	@touch $@
