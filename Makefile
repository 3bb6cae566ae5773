# Each target sets up .venv by itself and installs again only when pyproject.toml has changed.
#
#   make demo     a real Kafka, the worker, and reviews classified as they arrive
#   make test     the whole test suite, against a real Kafka; builds the tools that it starts the first time
#   make check    linters, types, import contract, reference pages
#   make chaos    faults on purpose: kills, cut networks, lost brokers; report in build/chaos/
#   make fuzz     a million mutated events through a broker and a worker
#   make bench    the benchmarks; results in build/bench/
#   make bench-model  one ALBERT-base, computed in the ways that people would choose from
#   make bench-delivery  what exactly once costs, beside at least once
#   make bench-rebalance  how long no output comes when a worker joins, leaves or dies
#   make bench-overload  ten times the capacity, and a backlog of a million
#   make bench-memory    the most memory that a worker takes, under loads of many kinds
#   make bench-gpu  the model on an NVIDIA GPU, or what is missing for it
#   make tools    what checks deploy/, into build/tools/: helm, kubeconform, promtool ...
#   make image-test    the image, really built and run (Debian, as root)
#   make cluster-test  the chart on a control plane of its own; `make cluster-tools` builds that
#   make lock     the exact versions in the images, from pyproject.toml
#   make clean    everything that was built

PY := .venv/bin/python
# Most tests wait for Kafka. A file stays together: its tests share clusters and scenarios. In the order of the files, as
# the longest come first.
SIDE_BY_SIDE := --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder
# Tests of deploy/ start tools; not so where ARGS name other folders or files alone.
TOOLS := $(if $(findstring tests/,$(ARGS)),$(if $(findstring tests/deploy,$(ARGS)),tools),tools)

.PHONY: demo test check format reference chaos fuzz bench bench-delivery bench-rebalance bench-overload bench-memory bench-model \
        bench-gpu tools cluster-tools image-test cluster-test lock wheel clean

demo: .venv/.installed-demo
	@$(PY) -m worker.cli demo $(ARGS)

test: .venv/.installed-test $(TOOLS)
	$(PY) -m pytest $(SIDE_BY_SIDE) $(ARGS)

check: .venv/.installed-test
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	.venv/bin/lint-imports --no-logo
	$(PY) -m worker.cli.reference --check
	$(PY) -m deploy.dashboard.render --check
	$(PY) deploy/helm/settings_schema.py --check

format: .venv/.installed-test
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

reference: .venv/.installed-test
	$(PY) -m worker.cli.reference
	$(PY) -m deploy.dashboard.render
	$(PY) deploy/helm/settings_schema.py

chaos: .venv/.installed-test
	@PYTHONPATH=.:tests $(PY) -m tests.chaos $(ARGS)

fuzz: .venv/.installed-test
	@PYTHONPATH=.:tests $(PY) -m tests.fuzz $(ARGS)

bench: .venv/.installed-test
	@PYTHONPATH=.:tests $(PY) -m tests.benchmarks.bench_stream $(ARGS)

bench-model: .venv/.installed-test
	PYTHONPATH=tests $(PY) -m tests.benchmarks.bench_model $(ARGS)

bench-delivery: .venv/.installed-test
	$(PY) -m tests.benchmarks.bench_delivery $(ARGS)

bench-rebalance: .venv/.installed-test
	@PYTHONPATH=.:tests $(PY) -m tests.benchmarks.bench_rebalance $(ARGS)

bench-overload: .venv/.installed-test
	@PYTHONPATH=.:tests $(PY) -m tests.benchmarks.bench_overload $(ARGS)

bench-memory: .venv/.installed-test
	@PYTHONPATH=.:tests $(PY) -m tests.benchmarks.bench_memory $(ARGS)

bench-gpu: .venv/.installed-test
	@$(PY) -m tests.benchmarks.bench_gpu $(ARGS)

tools: .venv/.installed-test
	@$(PY) -m deploy.tools

cluster-tools: .venv/.installed-test
	@$(PY) -m deploy.tools --cluster

image-test: .venv/.installed-test
	$(PY) -m pytest --capture=no tests/deploy/image $(ARGS)

cluster-test: cluster-tools
	$(PY) -m pytest tests/deploy/cluster $(ARGS)

lock: .venv/.installed-test
	$(PY) -m deploy.docker.lock

wheel: .venv/.installed-test
	$(PY) -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir build/dist .

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find worker tests -name __pycache__ -type d -prune -exec rm -rf {} +

# What the tests need includes what the demo needs, so that either satisfies the demo.
.venv/.installed-demo: pyproject.toml | .venv/bin/python
	@sh .ci/install demo
.venv/.installed-test: pyproject.toml | .venv/bin/python
	@sh .ci/install test

.venv/bin/python:
	@sh .ci/make-venv
