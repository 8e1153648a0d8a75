"""Rotated logs are indexed beside the daemon."""

from __future__ import annotations

import gzip
import signal
from functools import partial
from pathlib import Path

import pytest

from auditd_py.report import index
from auditd_py.search import reader
from tests.programs import wait_for

GOLDEN = Path(__file__).parent.parent / "data" / "alpha-enriched.log.gz"
IDLE_S = 100  # its program runs when nobody else wants the processor


def index_of(path: Path) -> index.Index | None:
    if not path.exists():
        return None
    file = reader.open_file(str(path))
    found = index.find(file, 2)
    file.close()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("form", ["none", "gzip"])
def test_a_rotated_log_is_indexed(auditd, form):
    daemon = auditd(local_events="no", index_logs="yes", compress_logs=form)
    with gzip.open(GOLDEN) as golden, daemon.log.open("ab") as log:
        text = golden.read()
        while log.tell() < 12 << 20:  # compressed, it is still large enough to be indexed
            log.write(text)
    daemon.process.send_signal(signal.SIGUSR1)
    archive = daemon.log.with_name("audit.log.1" + (".gz" if form == "gzip" else ""))
    # before it is compressed it may have one too, if it was there when the daemon began
    wait_for(partial(index_of, archive), "the index", limit_s=IDLE_S)
    found = index_of(archive)
    assert found is not None
    assert found.events > 1_000
    assert daemon.stop() == 0
    assert "rotated logs cannot be indexed" not in daemon.told()
