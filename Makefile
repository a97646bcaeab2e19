# The commands of the README. Everything is installed into .venv.
PYTHON ?= python3
MODEL_ID ?= demo
CACHE_DIR ?= $(CURDIR)/.cache
TORCH_INDEX ?=
HOURS ?= 7
LEAK ?=
export MODEL_ID CACHE_DIR

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# What tests of the page need besides; not in .venv, where `make test` would find it and run them too.
WEB_TESTS := $(CURDIR)/.cache/web-tests/site

.DEFAULT_GOAL := demo
.PHONY: help demo demo-jobs serve test test-web real test-images clients check format bench accuracy diarization live engines card first-words reliability soak kill-test clean

help:                          ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: .venv/installed          ## transcribe the shipped samples with the embedded model
	@MODEL_ID=demo $(BIN)/python -m benchmark.demo

demo-jobs: .venv/installed     ## show jobs: 20 minutes with progress, a cancel, a signed webhook
	@MODEL_ID=demo $(BIN)/python -m benchmark.demo_jobs

serve: .venv/installed         ## run the server; settings are environment variables, such as PORT=8000
	@echo "serving MODEL_ID=$(MODEL_ID)" \
	  $(if $(filter demo,$(MODEL_ID)),"(the embedded demo model knows few words; set MODEL_ID for real speech)")
	@$(BIN)/python server.py

# Compiled modules are kept, whatever the environment says: tests start servers by the hundred.
test: check                    ## run all checks and all tests
	OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

test-web: .cache/web-tests/installed  ## test the page in Debian's Chromium
	@PYTHONPATH="$(WEB_TESTS)" $(BIN)/python -m pytest tests/web $(ARGS)

.cache/web-tests/installed: tests/web/requirements.txt .venv/developed
	@command -v chromium >/dev/null || { $$([ $$(id -u) = 0 ] || echo sudo) apt-get update -q \
	  && $$([ $$(id -u) = 0 ] || echo sudo) apt-get install -y -q --no-install-recommends chromium; }
	$(PIP) --upgrade --target $(WEB_TESTS) -r $<
	@touch $@

real: .venv/developed          ## test with a real model: WHISPER_CHECKPOINT=openai/whisper-base make real (tests/README.md)
	@PYTHONPATH="$(WEB_TESTS)" $(BIN)/python -m pytest tests/real $(ARGS)

test-images: .venv/developed .cache/images/tools/installed  ## build, run and test the CPU images with Docker
	.cache/images/tools/bin/hadolint images/*.Dockerfile images/deploy/salad/*.Dockerfile
	PYTHONPATH="$$(echo .cache/images/tools/lib/python3*/site-packages)" $(BIN)/python -m pytest tests/images
	@$(BIN)/python -m tests.images.proof $(ARGS)

.cache/images/tools/installed: tests/images/requirements.txt | .venv/bin/python
	$(BIN)/python -m venv .cache/images/tools
	.cache/images/tools/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

clients: .venv/developed       ## test the clients of OpenAI, Deepgram, Bazarr and Home Assistant: all that they can ask
	@$(BIN)/python -m tests.clients

check: .venv/developed         ## check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/developed        ## format the code, and repair what the linter can repair
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

kill-test: .venv/developed     ## kill the servers of jobs at random moments, and count what is lost
	@$(BIN)/python -m tests.jobs.kill_test
	@$(BIN)/python -m tests.jobs.kill_servers $(ARGS)

bench: .venv/developed         ## measure a running server under load: make bench ARGS="--concurrency 1,8"
	$(BIN)/python -m benchmark.load $(ARGS)

accuracy: .venv/developed      ## measure word error rate and coverage: make accuracy ARGS="--folder LibriSpeech/test-clean"
	@$(BIN)/python -m benchmark.accuracy $(ARGS)

diarization: .venv/developed   ## measure who speaks when: make diarization ARGS="--install --folder speech/"
	@$(BIN)/python benchmark/diarization.py $(ARGS)

live: .venv/developed          ## measure live text: make live ARGS="--folder speech/english --language en"
	@$(BIN)/python benchmark/live.py $(ARGS)

engines: .venv/developed       ## compare the speed of engines: make engines ARGS="--weights random:tiny"
	@$(BIN)/python -m benchmark.engines $(ARGS)

card: .venv/developed          ## measure a GPU against its goals, in ten minutes: make card ARGS="--json card.json"
	@$(BIN)/python -m benchmark.gpu $(ARGS)

first-words: .venv/developed   ## measure when the first words of a streamed file come
	@$(BIN)/python -m benchmark.load.first_words $(ARGS)

reliability: .venv/developed   ## run the reliability tests at full size, an hour: make reliability ARGS="--only burst idle"
	@$(BIN)/python -m benchmark.reliability $(ARGS)

soak: .venv/developed          ## load a server for HOURS=7 with crashing clients and restarts; LEAK=1 plants a leak
	@$(BIN)/python -m benchmark.soak --hours $(HOURS) --leak "$(LEAK)" $(ARGS)

clean:                         ## remove .venv and .cache
	rm -rf .venv .cache asr/engines/whisper/kernels/*.so asr/engines/whisper/kernels/build-*

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with make PYTHON=...")'
	@$(PYTHON) -m venv .venv || { echo "trying again with the package python3-venv"; rm -rf .venv; \
	  $$([ $$(id -u) = 0 ] || echo sudo) apt-get install -y -q python3-venv && $(PYTHON) -m venv .venv; }

.venv/installed: requirements.txt | .venv/bin/python
ifneq ($(TORCH_INDEX),)
	$(PIP) --index-url $(TORCH_INDEX) $(shell grep -o '^torch==[0-9.]*' requirements.txt)
endif
	$(PIP) -r requirements.txt
	@$(BIN)/python -m asr.engines.whisper.kernels.build >/dev/null \
	  || echo "int8 will be slower on a CPU than it could be: its kernels could not be compiled, which gcc can (apt-get install gcc)"
	@touch $@

.venv/developed: requirements-dev.txt .venv/installed
	$(PIP) -r requirements-dev.txt
	@touch $@
