# make run     the daemon in the foreground on this machine's kernel
# make test    everything that is tested
# make bench   side by side with the C daemon
VENV ?= .venv
CONF ?= etc/auditd_py
ARGS ?=

.PHONY: run test quick bench format

run:
	@sh tools/bootstrap.sh run
	@exec sh tools/run.sh "$(VENV)" "$(CONF)" $(ARGS)

test:
	@sh tools/bootstrap.sh test
	@exec $(VENV)/bin/python -m pytest $(ARGS)

quick:
	@sh tools/bootstrap.sh test
	@exec $(VENV)/bin/python -m pytest -m "not slow" $(ARGS)

bench:
	@sh tools/bootstrap.sh bench
	@exec $(VENV)/bin/python -m benchmarks $(ARGS)

format:
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix .
