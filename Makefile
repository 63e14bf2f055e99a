# Two commands for a newcomer: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
ONLY   ?= *

.PHONY: help demo test lint unit browser bench screenshots soak fuzz check-removal lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/run.stamp: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Bauhinia needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing Bauhinia into $(VENV) …"
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp requirements-dev.lock
	@echo "Installing the development tools …"
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@

demo: $(VENV)/run.stamp ## the journey, end to end, on this machine (ARGS=--serve keeps it running)
	@$(BIN)/bauhinia demo $(ARGS)

test: lint unit ## everything that CI runs

lint: $(VENV)/dev.stamp ## formatting, types, direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/pyright

unit: $(VENV)/dev.stamp browser ## all tests
	$(BIN)/pytest $(ARGS)

browser: ## Chromium and a CJK font, where this runs as root with apt
	@if command -v chromium >/dev/null && command -v chromedriver >/dev/null && fc-list :lang=zh-hk 2>/dev/null | grep -q .; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "Installing Chromium and a CJK font …"; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	    chromium chromium-driver fonts-noto-cjk fontconfig >/dev/null; \
	else echo "Browser tests will skip. To run them: sudo apt-get install chromium chromium-driver fonts-noto-cjk"; fi

bench: $(VENV)/dev.stamp ## figures with ratios in one run, to build/bench.json (ONLY=sdjwt* runs some)
	@mkdir -p build
	$(BIN)/python tests/bench/run.py --only '$(ONLY)' --out build/bench.json

screenshots: $(VENV)/dev.stamp browser ## the pictures in the README, from the real pages
	$(BIN)/python tests/browser/screenshots.py docs/pictures

check-removal: $(VENV)/dev.stamp ## delete each check of the kernel in turn: some test must fail
	$(BIN)/python tests/check_removal.py

soak: $(VENV)/dev.stamp ## kill -9 and load runs, bounded, loopback only
	$(BIN)/pytest -m soak $(ARGS)

fuzz: $(VENV)/dev.stamp ## long random runs of the parsers (SECONDS=600)
	$(BIN)/python tests/fuzz.py --seconds $(or $(SECONDS),600)

lock: ## renew both lock files (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --group build pyproject.toml -o requirements.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --group dev -c requirements.lock -o requirements-dev.lock

clean: ## remove what the other commands made
	rm -rf $(VENV) build dist demo-data
