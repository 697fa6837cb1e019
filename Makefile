# Everything runs in .venv, which is made on first use from nothing but Python 3.10 or newer.
PYTHON ?= python3
BIN := .venv/bin
# Where the real vLLM and the chat templates for `make test-vllm` are kept, outside the tree.
export ROLE_GUARD_VLLM_HOME ?= $(HOME)/.cache/role-guard/vllm-cpu
# The browser of `make test-browser`, which installs Debian's where there is none.
export ROLE_GUARD_CHROMIUM ?= /usr/bin/chromium
# The agents of `make test-agents`, where they are kept outside the tree, which of them are tried, and
# on which of the templates; none for all four.
export ROLE_GUARD_AGENTS ?= $(HOME)/.cache/role-guard/agents
AGENT_MODELS ?=
AGENTS ?= codex claude-code opencode openai anthropic openai-agents langgraph pydantic-ai autogen google-adk
# The environments and results of `make test-matrix`, outside the tree, and which of it is run.
export ROLE_GUARD_MATRIX ?= $(HOME)/.cache/role-guard/matrix
MATRIX ?= litellm vllm
# A file's tests share their processes, so that a file stays with one worker. Files with many tests
# come first, but for the real vLLM's: there the longest have few.
WORKERS := 2
PYTEST = $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile
OFFLINE_TESTS := tests $(addprefix --ignore tests/,vllm browser agents open_webui)
# uv resolves LiteLLM's many pins in seconds, for which pip takes minutes; pip serves where uv cannot.
# Compiled at once as pip does: else each of the many processes of the tests would compile it again.
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check
install = { { $(PIP) uv && $(BIN)/python -m uv pip install -q --compile-bytecode --python $(BIN)/python -e '.[$(1)]'; } \
  || $(PIP) -e '.[$(1)]'; } 2>.venv/pip.log || { cat .venv/pip.log; exit 1; }
LAW_TESTS := tests/repair/test_laws.py tests/repair/test_scan.py tests/relax/test_relax.py
SEED ?= random
SECONDS ?= 3600

.PHONY: demo run test test-all test-laws test-vllm test-browser test-agents test-open-webui test-matrix check screenshots shapes fleet batch bench growth fuzz docs dist sbom images lint format clean help

help:  ## show this list
	@grep -E '^[a-z][a-z-]*:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 16

demo: $(BIN)/.ready  ## the user's story, told without the guard and with it
	@$(BIN)/python -m demo.story

run: $(BIN)/.ready  ## keep the demo's proxy and backends up, to talk to
	@$(BIN)/python -m demo.run

test: $(BIN)/.ready .tested-with  ## the tests in eight minutes: no slow ones, few drawn conversations
	@ROLE_GUARD_TESTS=quick $(PYTEST) $(OFFLINE_TESTS)

test-all: WORKERS := 3  # many of the slow tests wait for a process
test-all: $(BIN)/.ready .tested-with  ## all tests that need no vLLM, at full size (15 minutes)
	@ROLE_GUARD_TESTS=full $(PYTEST) --durations=15 $(OFFLINE_TESTS)

test-laws: $(BIN)/.ready .tested-with  ## the laws on fresh conversations; SEED=<number> for those again
	@seed=$(SEED); [ "$$seed" != random ] || seed=$$($(BIN)/python -c 'import secrets; print(secrets.randbelow(2**32))'); \
	  echo "The seed is $$seed: make test-laws SEED=$$seed draws the same."; \
	  ROLE_GUARD_TESTS=fresh $(PYTEST) --hypothesis-seed=$$seed $(LAW_TESTS)

check:  ## everything that a change is held to, as .ci/run does it (35 minutes)
	@.ci/run

.PHONY: .templates .tested-with .vllm
.templates:
	@PYTHON=$(PYTHON) scripts/vllm_cpu/fetch_templates.sh "$(ROLE_GUARD_VLLM_HOME)/templates"

.tested-with: .templates
	@scripts/install_redis.sh
	@scripts/install_prometheus.sh

.vllm: .templates
	@PYTHON=$(PYTHON) scripts/vllm_cpu/setup.sh "$(ROLE_GUARD_VLLM_HOME)"

test-vllm: $(BIN)/.ready .vllm  ## the same proxy in front of a real vLLM on the CPU (3 GB on first use)
	@ROLE_GUARD_TESTS=full $(PYTEST) --no-loadscope-reorder --durations=15 tests/vllm --ignore tests/vllm/test_fleet.py
	@ROLE_GUARD_TESTS=full $(BIN)/python -m pytest -q tests/vllm/test_fleet.py  # alone: it moves chats away from busy servers

test-browser: $(BIN)/.browser  ## LiteLLM's own Playground in a real Chromium
	@scripts/install_chromium.sh "$(ROLE_GUARD_CHROMIUM)"
	@$(BIN)/python -m pytest -q tests/browser

test-agents: $(BIN)/.ready .templates  ## today's agents through a guarded proxy, and docs/agents.md; AGENTS="codex" for one
	@PYTHON=$(BIN)/python scripts/agents/setup.sh "$(ROLE_GUARD_AGENTS)" $(AGENTS)
	@ROLE_GUARD_AGENT_NAMES="$(AGENTS)" ROLE_GUARD_AGENT_MODELS="$(AGENT_MODELS)" $(BIN)/python -m pytest -q tests/agents

test-open-webui: $(BIN)/.browser .templates  ## Open WebUI's own page in a real Chromium (1 GB on first use)
	@PYTHON=$(BIN)/python scripts/agents/setup.sh "$(ROLE_GUARD_AGENTS)" open-webui
	@scripts/install_chromium.sh "$(ROLE_GUARD_CHROMIUM)"
	@$(BIN)/python -m pytest -q tests/open_webui

test-matrix: $(BIN)/.ready .tested-with  ## several LiteLLMs and vLLMs, and docs/versions.md (an hour); MATRIX="litellm(1.100.0)" for one
	@$(BIN)/nox --envdir "$(ROLE_GUARD_MATRIX)" -s $(foreach each,$(MATRIX),"$(each)"); status=$$?; \
	  $(BIN)/python scripts/version_table.py && exit $$status

screenshots: $(BIN)/.browser  ## take docs/images anew
	@scripts/install_chromium.sh "$(ROLE_GUARD_CHROMIUM)"
	@$(BIN)/python -m pytest -q tests/browser/screenshots.py

shapes: $(BIN)/.ready .templates  ## measure docs/shapes.md: refused, lost, whole, right on real templates
	@$(BIN)/python -m benchmarks.shapes

fleet: $(BIN)/.ready  ## measure docs/fleet.md: routing, many requests, chaos (20 minutes)
	@$(BIN)/python -m benchmarks.fleet
	@$(BIN)/python -m benchmarks.soak
	@$(BIN)/python -m benchmarks.chaos

batch: $(BIN)/.ready .templates  ## measure docs/batch.md: memory, files, 50,000 lines, other senders (an hour)
	@$(BIN)/python -m benchmarks.batch_memory
	@$(BIN)/python -m benchmarks.batch_files
	@$(BIN)/python -m benchmarks.batch large
	@$(BIN)/python -m benchmarks.batch senders

bench: $(BIN)/.bench .vllm  ## measure docs/benchmarks.md: what the guard costs and saves (20 minutes)
	@for part in repair_time learning_time proxy_time refusal_time prefix_cache proxy_memory observing_time summary; do \
	  echo "== $$part"; $(BIN)/python -m benchmarks.$$part || exit 1; done

growth: $(BIN)/.ready  ## measure how time grows with a request's size, place by place (4 minutes)
	@$(BIN)/python -m benchmarks.growth

fuzz: $(BIN)/.ready  ## odd bodies through LiteLLM's proxy, new ones for an hour; SECONDS=60 for a minute
	@ROLE_GUARD_TESTS=fresh ROLE_GUARD_FUZZ_SECONDS=$(SECONDS) $(BIN)/python -m pytest -q tests/fuzz

lint: $(BIN)/.browser $(BIN)/.bench  ## ruff and mypy, both strict; the layers; the files' sizes
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m scripts.check_files

docs: $(BIN)/.docs  ## the docs as a site, in .site; every link is checked
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

dist: $(BIN)/.release  ## wheel and sdist in dist/, checked in a clean environment
	@rm -rf dist
	@$(BIN)/python -m build --quiet --outdir dist
	@$(BIN)/python -m twine check --strict dist/*
	@$(BIN)/python -m scripts.release.check_wheel dist/*.whl

sbom: $(BIN)/.release  ## what the wheel brings along, of the environment of `make dist`, as CycloneDX
	@$(BIN)/cyclonedx-py environment build/clean --pyproject pyproject.toml --output-reproducible -o build/sbom.cdx.json
	@echo "sbom: build/sbom.cdx.json"

images: $(BIN)/.ready  ## build and run both images without Docker, as root on Debian (ten minutes)
	@$(BIN)/python -m scripts.images

format: $(BIN)/.ready  ## bring the code into ruff's form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:  ## remove what the other targets made
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .site build dist *.egg-info

$(BIN)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.12 ...")'
	@echo "Setting up .venv (about a minute, once) ..."
	@$(PYTHON) -m venv .venv
	@$(call install,dev)
	@touch $@

# What the benchmarks compare with, and draw with.
$(BIN)/.bench: $(BIN)/.ready
	@$(call install,bench)
	@touch $@

# mkdocs, and its theme.
$(BIN)/.docs: $(BIN)/.ready
	@$(call install,docs)
	@touch $@

# What builds and checks a release.
$(BIN)/.release: $(BIN)/.ready
	@$(call install,release)
	@touch $@

# Playwright without a browser of its own, which only the browser's tests, and their types, need.
$(BIN)/.browser: $(BIN)/.ready
	@$(call install,browser)
	@touch $@
