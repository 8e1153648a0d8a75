# make run     the daemon in the foreground on this machine's kernel
# make test    everything that is tested
# make vm-test boots Debian in a virtual machine, with our package in the place of auditd
# make bench   side by side with the C daemon
# make fleet-demo   three hosts, a NATS cluster, two collectors, an archive and its reports
# make install PREFIX=/usr/local DESTDIR=    commands, pages, completions, units; settings if missing
# make deb     build/auditd-py_*.deb        make dist   sdist and wheel      make man   pages as roff
VENV ?= .venv
CONF ?= etc/auditd_py
ARGS ?=
PREFIX ?= /usr/local
DESTDIR ?=
# what is installed runs with the system's Python, whatever else is on PATH
PACK = PYTHON=/usr/bin/python3 VENV=build/venv PREFIX="$(PREFIX)" DESTDIR="$(DESTDIR)"

.PHONY: run test quick vm-test bench fleet-demo format man completions install deb dist

run:
	@sh tools/bootstrap.sh run
	@exec sh tools/run.sh "$(VENV)" "$(CONF)" $(ARGS)

test:
	@sh tools/bootstrap.sh test
	@exec $(VENV)/bin/python -m pytest $(ARGS)

quick:
	@sh tools/bootstrap.sh test
	@exec $(VENV)/bin/python -m pytest -m "not slow" $(ARGS)

vm-test:
	@sh tools/bootstrap.sh test
	@sh tools/bootstrap.sh vm
	@exec $(VENV)/bin/python -m pytest -m vm tests/vm $(ARGS)

bench:
	@sh tools/bootstrap.sh bench
	@$(VENV)/bin/python -m benchmarks $(ARGS)
	@$(VENV)/bin/python -m benchmarks.fleet
	@exec $(VENV)/bin/python -m benchmarks.search

fleet-demo:
	@sh tools/bootstrap.sh demo
	@PYTHONPATH=. exec $(VENV)/bin/python tools/fleet_demo.py $(ARGS)

format:
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix .

man:
	@sh tools/bootstrap.sh man
	@sh tools/make_man.sh

completions:
	@env $(PACK) sh tools/bootstrap.sh package
	@build/venv/bin/python tools/gen_completions.py build/completions

install: man completions
	@env $(PACK) sh tools/make_install.sh

deb: man completions
	@env $(PACK) sh tools/make_deb.sh

dist:
	@env $(PACK) sh tools/bootstrap.sh package
	@rm -rf dist
	@build/venv/bin/python -m build --no-isolation --outdir dist . >/dev/null && ls dist
