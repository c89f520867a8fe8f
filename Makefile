# `make demo` and `make test` do everything on a fresh machine. ACCELERATOR=cpu|gpu overrides what is found.
ACCELERATOR ?= $(shell nvidia-smi -L >/dev/null 2>&1 && echo gpu || echo cpu)
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && echo $$p && break; done)
READY = .venv/ready-$(ACCELERATOR)
# vLLM's GPU build serves nothing without a GPU. Training stays on CPUs: two workers of the demo want two GPUs.
DEMO_gpu = --set resources.engines=1 --set resources.engine_gpus=1
RUN = PATH="$(CURDIR)/.venv/bin:$$PATH" .venv/bin/python

.PHONY: demo test check environment clean

demo: environment
	$(RUN) jobs/grid.py $(DEMO_$(ACCELERATOR))

test: environment
	$(RUN) -m pytest

check: environment
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy
	.venv/bin/lint-imports

environment: $(READY)

$(READY): pyproject.toml constraints.txt .ci/install.py .ci/overrides-cpu.txt
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or 3.12 found; name one: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) .ci/install.py $(ACCELERATOR)
	@touch $@

clean:
	rm -rf .venv store
