# Everything is installed into this folder (.tools, .venv) and nowhere else.
.DEFAULT_GOAL := help
.PHONY: help install dev run wheel test coverage pages journeys ordinary calendar races firefox breakages clients image \
  fuzz check lint types format bench map pictures lock clean
PYTHON ?= python3
BIN := .venv/bin
CHART := src/corral/web/static/vendor/uplot.js
AXE := .tools/axe/axe.min.js
SANDBOX := distributions/corral-sandbox
BUILD = $(UV) build --quiet --wheel --no-build-isolation --python $(BIN)/python --out-dir dist
CLIENTS := .tools/clients/.installed
# Compiled tests are kept whatever the surroundings say: to compile them anew takes each worker longer than to run them.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest --numprocesses=6 --dist=loadscope --no-loadscope-reorder --max-worker-restart=0
EVERY_LINE := $(BIN)/coverage report --fail-under=100 \
  --include='src/corral/vault/*,src/corral/database/*,src/corral/identity/*,src/corral/people/*,src/corral/credentials/*,src/corral/grants/*,\
src/corral/audit/*,src/corral/backup/*'
# All but those that start the program or a browser, which wait long and compute much. The demo does both, once.
QUICK := $(wildcard tests/test_*.py) tests/browser/test_demo.py \
  $(filter-out tests/browser/ tests/journeys/ %/__pycache__/,$(wildcard tests/*/))
# Files, permissions, terminals, signals, processes, and the user that the embedded database has.
BY_WHOM := tests/vault $(wildcard tests/database/test_embedded*.py) tests/database/test_nameless_user.py \
  $(patsubst %,tests/journeys/test_%.py,at_home backup_commands commands docs doctor health_command process_memory \
  refused_starts serve signals terminal tls)
# A Friday's close, its weekend, a Monday's first minutes, a half day, turns of years, both changes of daylight saving
# time, holidays, a leap day.
ODD_MOMENTS := 2026-12-04T16:00-05:00 2026-12-05T23:59-05:00 2026-12-06T12:00-05:00 2026-12-07T04:02-05:00 \
  2026-12-24T13:30-05:00 2026-12-31T23:59:45-05:00 2027-01-01T12:00-05:00 2027-03-14T03:00-04:00 2027-03-26T09:29:45-04:00 \
  2027-07-05T10:00-04:00 2027-11-07T01:30-05:00 2028-02-29T15:59:45-05:00 2031-06-15T12:00-04:00
USE_A_BROKER := tests/sandbox tests/accounts/test_reads_of_the_sandbox.py tests/web/test_account_page.py tests/web/test_sparklines.py
# The other tests of pages need what only Chromium emulates: a touch screen, colors, or a window that has the focus.
PAGES_IN_FIREFOX := $(patsubst %,tests/browser/test_%.py,account account_updates demo every_page foreign_pages holdings \
  home home_updates journeys members payloads secrets whole_journey)
UV := $(or $(shell command -v uv 2>/dev/null),.tools/bin/uv)
export UV_LINK_MODE ?= copy
export UV_PYTHON_DOWNLOADS := never

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

install: .venv/.installed $(CHART) ## install Corral into .venv
run: .venv/.installed $(CHART) ## start the demo: a sandbox broker, a user, two accounts
	@exec $(BIN)/corral demo
dev: .venv/.dev-installed $(CHART) $(AXE) ## install what tests and checks need, too
wheel: .venv/.installed $(CHART) ## build both wheels into dist/, and constraints with the hashes of all that they need
	@rm -f dist/corral*.whl dist/constraints.txt
	@$(BUILD) $(SANDBOX)
	@echo 'Only the sandbox:' && echo "  pip install $$(echo dist/corral_sandbox-*.whl)"
	@test -e $(CHART) || { echo "Corral's own wheel needs npm, which fetches the chart: install it and run make wheel again." >&2; exit 1; }
	@$(BUILD) .
	@requirements/write-constraints dist
	@requirements/print-installations dist
test: .venv/.dev-installed ## run the tests, with real PostgreSQL and real HTTP; see also pages, journeys and coverage
	$(PYTEST) $(QUICK)
coverage: .venv/.dev-installed ## run these, pages and journeys, as CI does, and see that they reach all that they must
	$(PYTEST) --cov --cov-fail-under=95
	@$(EVERY_LINE) --format=total >/dev/null || $(EVERY_LINE)
pages: .venv/.dev-installed ## the tests of pages in Debian's Chromium
	$(PYTEST) tests/browser
journeys: .venv/.dev-installed ## the tests that start the program itself
	$(PYTEST) tests/journeys
ordinary: .venv/.dev-installed ## of the tests, those in which an ordinary user does otherwise than root
	$(PYTEST) $(BY_WHOM)
calendar: .venv/.dev-installed ## what knows a calendar, at each half hour of two weeks and on the odd days of years
	$(PYTEST) tests/sandbox/test_any_day.py --every-moment
	@for at in $(ODD_MOMENTS); do echo "At $$at:"; $(PYTEST) --at=$$at $(USE_A_BROKER) || exit 1; done
firefox: .venv/.dev-installed ## every page and the journeys through them, in Debian's Firefox
	$(PYTEST) --numprocesses=3 --browser=firefox $(PAGES_IN_FIREFOX)
races: .venv/.dev-installed ## changes of a password against sign-ins by the old one, 2,000 rounds
	$(BIN)/python -m pytest tests/identity/test_races.py --race-rounds=2000 -rP
breakages: .venv/.dev-installed ## break Corral in each of the ways of tests/breakages, and look whether the tests notice
	$(BIN)/python -m tests.breakages $(BREAKAGES)
clients: .venv/.dev-installed $(CLIENTS) ## run other people's clients of Alpaca against the sandbox and through grants
	$(BIN)/python -m pytest tests/clients/with_clients.py tests/clients/with_grants.py tests/clients/with_snippets.py $(RECORD)
image: .venv/.dev-installed ## build the container image and run it, its Compose files and its pod; needs root on Debian
	@tests/containers/get-tools
	$(BIN)/python -m pytest -rP tests/containers/with_image.py tests/containers/with_compose.py tests/containers/with_kubernetes.py
fuzz: .venv/.dev-installed ## ask the sandbox at random by Alpaca's OpenAPI documents, for a quarter of an hour
	$(BIN)/python -m pytest tests/sandbox/test_fuzzing.py tests/sandbox/test_control_fuzzing.py --fuzz-minutes=10
check: .venv/.dev-installed ## linters, types, architecture
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target types lint
lint: .venv/.dev-installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache
types: .venv/.dev-installed
	$(BIN)/basedpyright
format: .venv/.dev-installed ## format the code, mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
bench: .venv/.dev-installed ## measure, side by side, with ratios
	$(BIN)/python -m benchmarks
map: .venv/.dev-installed ## the structure in figures, and the way of one request through the files
	$(BIN)/python -m benchmarks.structure
pictures: .venv/.dev-installed $(CHART) ## take the README's pictures anew, and one of every page to look at
	@PYTHONPATH=src $(BIN)/python -m tests.browser.pictures
lock: .tools/bin/uv ## pin every dependency anew, with hashes
	requirements/lock $(abspath $(UV))
clean: ## remove what make made, but never data
	rm -rf .venv .tools $(dir $(CHART)) .pytest_cache .ruff_cache .hypothesis .coverage*

.tools/bin/uv:
	@requirements/get-uv $(PYTHON)

$(CHART): requirements/package-lock.json
	@requirements/get-chart

$(AXE): requirements/package-lock.json
	@requirements/get-axe

$(CLIENTS): $(wildcard requirements/clients/*) | $(UV)
	@requirements/get-clients $(abspath $(UV)) $(PYTHON)

.venv/.installed: requirements/runtime.txt pyproject.toml $(SANDBOX)/pyproject.toml | $(UV)
	@test -x $(BIN)/python || $(UV) venv --quiet --python $(PYTHON) .venv
	@echo "Installing Corral into .venv ..."
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/build.txt -r requirements/runtime.txt
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable . --editable $(SANDBOX)
	@touch $@

.venv/.dev-installed: .venv/.installed requirements/dev.txt requirements/openapi-document.txt
	@echo "Installing the developers' tools into .venv ..."
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r requirements/openapi-document.txt
	@touch $@
