# make idr and make test set up what they need; see README.md.
PYTHON ?= python3.11
DEVICE ?= cpu
PORT ?= 8000
RUNS ?= 20
PRESET ?= gpu24gb
SEED ?= 0
# processes of the tests, each with a Ray cluster of its own
WORKERS ?= 2
VENV ?= .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready-$(DEVICE)
PINS := $(wildcard requirements/*.txt)

export HF_HUB_OFFLINE := 1
export OMP_NUM_THREADS ?= 1

.PHONY: help setup idr tables styles models serve serve-lmm test test-quick test-random test-slow check format bench full-size chaos zoo clean

help:  ## what there is to make
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

setup: $(READY)  ## the pinned environment in .venv (DEVICE=cuda for NVIDIA GPUs)

$(READY): $(PINS) tools/setup.sh tools/p2i_ray_torchvision.py
	sh tools/setup.sh $(PYTHON) $(VENV) $(DEVICE)
	@touch $@

idr: $(READY)  ## three rounds of data refinement on the mini preset, into runs/mini
	$(PY) jobs/idr.py --config mini

tables: $(READY)  ## the paper's tables and the loop's controls on the toy world (40 minutes), into runs/tables
	@test -d data/mini || $(PY) -m p2i_ray.mini.data --out data/mini
	$(PY) -m p2i_ray.mini.gold --data data/mini --out runs/gold.parquet
	$(PY) jobs/evaluate.py --tables --config mini-tables data=data/mini out=runs/tables

models: $(READY)  ## fetch the models that a preset names from the hub (PRESET=gpu24gb)
	HF_HUB_OFFLINE=0 $(PY) jobs/models.py --config $(PRESET)

serve: $(READY)  ## the generator service at http://127.0.0.1:8000 (PORT=…): the model of runs/mini, or the base model
	$(PY) jobs/serve.py --config mini serve.port=$(PORT) $(if $(wildcard runs/mini/model),serve.model=runs/mini/model)

serve-lmm: $(READY)  ## the LMM alone at http://127.0.0.1:8001/v1, as OpenAI's chat completions
	$(PY) jobs/serve_lmm.py --config mini

test: $(READY)  ## the tests, those that start clusters, engines, a browser or jobs first (WORKERS=2)
	$(PY) -m pytest -m "not slow" -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-quick: $(READY)  ## the tests that start no other process and don't train, on two cores (WORKERS=2)
	$(PY) -m pytest -m "not heavy and not long and not slow" -n $(WORKERS) --dist loadfile

test-random: $(READY)  ## the property tests with new examples (make test has the same ones every time)
	$(PY) -m pytest -m "hypothesis and not heavy" --hypothesis-profile random

test-slow: $(READY)  ## the tests that take minutes: kill and resume, agreement of engines
	$(PY) -m pytest -m slow

check: $(READY)  ## ruff and mypy
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: $(READY)  ## fix what ruff can fix
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

bench: $(READY)  ## the figures of docs/results.md, into bench.json (ONLY=name for one)
	$(PY) -m bench $(ONLY)

full-size: $(READY)  ## the whole way on models of full size with random weights (half an hour, 14 GB)
	$(PY) -m bench full_size

styles: $(READY)  ## the generators by category and style on a toy world of styles, three seeds (two hours), into runs/styles
	$(PY) -m bench styles

chaos: $(READY)  ## short runs with seeded faults, compared with an undisturbed one (RUNS=20 SEED=0), into runs/chaos
	$(PY) -m chaos --runs $(RUNS) --seed $(SEED)

zoo: $(READY)  ## rebuild the tiny models of the mini preset (about 45 minutes on two cores)
	$(PY) jobs/build_mini.py

clean:  ## remove runs and data, not the environment
	rm -rf runs data bench.json
