# make demo and make test do all set-up on a bare machine with Python and pip.
# make help lists the rest.

PYTHON ?=
BIN := .venv/bin
CORPUS ?=

SEEDS ?= 2000
FIRST_SEED ?= 0
PARTS ?=
LARGE ?=
export PYTHON

# Each folder of tests is in one lane.
LANE_fast := unit contracts
LANE_services := canary earlier fuzz noetl_client oracle security standin
LANE_acceptance := acceptance
LANE_cluster := chaos cluster corpus lifetimes
LANE_simulation := simulation
LANES := fast services acceptance cluster simulation
PYTEST = $(BIN)/pytest --numprocesses $(or $(PROCESSES),auto) --dist worksteal

.PHONY: help demo docs coverage test $(LANES:%=test-%) check lock audit fuzz security noetl-client corpus corpus-api chaos lifetimes canary bench-local bench-cluster bench-api bench-hot-path bench-templates bench-tools \
	simulate simulate-corpus simulate-mutants mutation oracle exhaust environment services clean

help: ## List what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

demo: ## Install, and run a playbook that does real work
	@sh scripts/environment demo
	@$(BIN)/arcbook --home tmp/demo run examples/demo/prime_gaps.yaml
	@echo "next: . .venv/bin/activate, then arcbook --help; README.md has a playbook to begin with"

test: environment services ## Run every suite; starts and stops the servers that it needs
	@sh scripts/check
	@$(PYTEST)

test-fast: check ## Check, and run the suites of units and contracts
test-services: ## Run the suites of security, clients and random documents
test-acceptance: ## Run the suites of the command line and the Python API
test-cluster: ## Run the suites of the cluster, the corpus and chaos
test-simulation: ## Run the suites of the simulator and the small worlds
$(LANES:%=test-%): test-%: environment services
	@$(PYTEST) $(addprefix tests/,$(LANE_$*))

check: environment ## Format, lint, types, import contract, ratchets
	@sh scripts/check

docs: environment ## Build the documentation's site in tmp/site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet && echo "the site is in tmp/site"

coverage: environment ## Measure what the unit suite runs of the code; below the floor it fails
	@$(PYTEST) tests/unit --cov=arcbook --cov-branch --cov-report=term:skip-covered

corpus: environment services ## Run real playbooks and those of the documentation; CORPUS=FOLDER runs others
	@PYTHONPATH=tests $(BIN)/python -m corpus $(CORPUS)

corpus-api: environment services ## Run the corpus through the API of a cluster, and compare
	@PYTHONPATH=tests $(BIN)/python -m corpus.cluster $(CORPUS)

lock: environment ## Make requirements.lock anew
	@$(BIN)/python scripts/supply.py lock

audit: environment ## Ask for known vulnerabilities of what is locked
	@$(BIN)/python scripts/supply.py audit

fuzz: environment ## Give everything that reads input what nobody meant; SECONDS_EACH=60
	@PYTHONPATH=tests $(BIN)/python -m fuzz --seconds $(or $(SECONDS_EACH),60)

security: environment services ## Try every attack, and say what became of it
	@PYTHONPATH=tests $(BIN)/python -m security

noetl-client: environment services ## Run NoETL's own command line against a server
	@PYTHONPATH=tests $(BIN)/python -m noetl_client

chaos: environment services ## Kill everything in turn while executions run, and look
	@PYTHONPATH=tests $(BIN)/python -m chaos.run

lifetimes: environment services ## Run EXECUTIONS=100000 short executions; nothing may grow with them
	@PYTHONPATH=tests $(BIN)/python -m lifetimes --executions $(or $(EXECUTIONS),100000)

canary: environment services ## Use a secret in 200 ways, and look for it everywhere
	@PYTHONPATH=tests $(BIN)/python -m canary.run

bench-cluster: environment services ## Measure a cluster beside the floors of this machine
	@$(BIN)/python -m benchmarks.cluster

bench-api: environment services ## Measure the API: starts, lists among 5 million events, memory
	@$(BIN)/python -m benchmarks.api

bench-hot-path: environment services ## Measure what taking one input costs, by phase
	@$(BIN)/python -m benchmarks.hot_path

bench-tools: environment services ## Measure tool calls beside the bare libraries
	@$(BIN)/python -m benchmarks.tools

bench-templates: environment ## Measure templates beside plain Jinja2
	@$(BIN)/python -m benchmarks.templates

bench-local: environment ## Measure the embedded runtime against floors and a peer
	@$(BIN)/python -m benchmarks.local

simulate: environment ## Run SEEDS simulations from FIRST_SEED: the runtime under faults
	@$(BIN)/python -m arcbook.testing.simulate --seeds $(SEEDS) --first-seed $(FIRST_SEED)

simulate-corpus: environment ## Simulate the documents of CORPUS (../shared/corpus/noetl-e2e), tools scripted
	@$(BIN)/python -m arcbook.testing.simulate --seeds $(SEEDS) --first-seed $(FIRST_SEED) \
		--corpus $(or $(CORPUS),../shared/corpus/noetl-e2e)

simulate-mutants: environment ## Plant bugs one at a time; the simulator must find each
	@$(BIN)/python -m arcbook.testing.simulate.mutants

mutation: environment ## Change the core in small ways, SAMPLE=40 of them; the unit suite must notice
	@PYTHONPATH=tests $(BIN)/python -m mutation --sample $(or $(SAMPLE),40) --seed $(or $(SEED),1) $(PARTS)

oracle: environment ## Compare SEEDS random playbooks with a plain interpreter of the language
	@PYTHONPATH=tests $(BIN)/python -m oracle --seeds $(SEEDS) --first-seed $(FIRST_SEED)

exhaust: environment ## Go through all small worlds; LARGE=1 larger ones, PARTS="graphs model" some
	@$(BIN)/python -m arcbook.testing.exhaust $(PARTS) $(if $(LARGE),--large)

environment:
	@sh scripts/environment dev

services:
	@sh scripts/services

clean: ## Remove what was made
	rm -rf .venv tmp dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
