# Everything a person types. Each target works on a fresh machine: it makes what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Trying hanode must never touch anybody's real cloud.
CLEAN := env -u OS_CLOUD -u OS_CLIENT_CONFIG_FILE $(shell env | sed -n 's/^\(OS_[A-Z_0-9]*\)=.*/-u \1/p')

# Another day, other seeds: CI never tries the same ones twice, and who repeats a day repeats its seeds.
SEEDS ?= $(shell date -u +%Y%m%d)00000

.PHONY: help venv test computed-tests daemon-tests lint crash-points audit fuzz bench demo sample lab lab-test cloud-test lab-bench lab-chaos lab-down clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

venv: $(VENV)/.done

$(VENV)/.done: pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "hanode needs Python 3.11 or newer, this is " + sys.version.split()[0]'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[test,demo,redis]'
	touch $@

lint: venv ## ruff, mypy --strict
	$(BIN)/ruff check .
	$(BIN)/mypy

test: venv lint ## everything that needs no root and no cloud: lint, unit, contract, scenarios, crash points, end to end
	$(MAKE) --no-print-directory --jobs=2 --keep-going computed-tests daemon-tests

# Side by side: real daemons with real leases mostly wait for a clock, and what only computes takes what they leave of the processors.
computed-tests: venv
	$(CLEAN) nice $(BIN)/pytest -n 3 -m 'not lab and not e2e'

daemon-tests: venv
	@mkdir -p build
	@$(CLEAN) $(BIN)/pytest -m e2e > build/daemon-tests.log 2>&1; status=$$?; cat build/daemon-tests.log; exit $$status

crash-points: venv ## the leader dies at every single point of every plot, and in more pairs of points than `make test` tries
	$(CLEAN) HANODE_EVERY_CRASH_POINT=1 $(BIN)/pytest tests/sim/test_crash_points.py

audit: venv ## look every dependency up in the database of known vulnerabilities (needs the internet)
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/pip install --quiet pip-audit
	$(BIN)/python -m pip freeze --exclude-editable > $(VENV)/audit/frozen.txt
	$(VENV)/audit/bin/pip-audit --strict --disable-pip --no-deps -r $(VENV)/audit/frozen.txt

fuzz: venv ## five minutes of the simulator with seeds of the day; what fails is printed with how to see it again
	$(CLEAN) $(BIN)/hanode simulate --minutes 5 --seed-base $(SEEDS) --jobs 2

bench: venv ## how fast and how calm, in virtual time and CPU time; SMALL=1 takes a minute
	$(CLEAN) $(BIN)/python -m tests.bench

demo: venv ## a host dies, then the leader; watch the instances come back
	$(CLEAN) $(BIN)/hanode demo

sample: venv ## regenerate etc/hanode/hanode.conf.sample
	$(BIN)/oslo-config-generator --namespace hanode --output-file etc/hanode/hanode.conf.sample

lab: venv ## a real OpenStack on this machine (Debian or Ubuntu, root)
	$(CLEAN) $(BIN)/python -m tests.lab.stack up

lab-test: venv ## failures of real hosts, judged from Nova and from the disks
	$(CLEAN) $(BIN)/python -m tests.lab.stack up
	$(CLEAN) $(BIN)/pytest -m lab tests/lab

cloud-test: venv ## what any OpenStack can play: HANODE_TEST_CLOUD names it, on hosts of its aggregate hanode-test-target only
	@test -n "$$HANODE_TEST_CLOUD" || { echo 'HANODE_TEST_CLOUD must name a cloud of HANODE_TEST_CLOUDS_FILE: see docs/testing.md'; exit 2; }
	$(CLEAN) $(BIN)/pytest -m anywhere tests/lab

lab-bench: venv ## how fast, beside bare loops on the same lab
	$(CLEAN) $(BIN)/python -m tests.lab.stack up
	$(CLEAN) $(BIN)/python -m tests.lab.bench

lab-chaos: venv ## many failures at once, at random, on the lab
	$(CLEAN) $(BIN)/python -m tests.lab.stack up
	$(CLEAN) $(BIN)/python -m tests.lab.chaos

lab-down: venv ## stop the lab and remove every file of it
	$(BIN)/python -m tests.lab.stack down --purge

clean: ## forget the virtual environment and what was built
	rm -rf $(VENV) build dist *.egg-info
