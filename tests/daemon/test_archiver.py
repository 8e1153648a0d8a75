"""Rotated logs are archived beside the daemon."""

from __future__ import annotations

import gzip
import signal
from functools import partial
from pathlib import Path

import pytest

from auditd_py.archive.commits import load
from auditd_py.archive.place import place
from auditd_py.archive.restore import restore
from tests.programs import wait_for

GOLDEN = Path(__file__).parent.parent / "data" / "alpha-enriched.log.gz"
IDLE_S = 100  # its program runs when nobody else wants the processor


def committed(archive: Path, number: int) -> bool:
    return load(place(str(archive))).number == number


@pytest.mark.slow
@pytest.mark.parametrize("form", ["none", "gzip"])
def test_a_rotated_log_is_archived(auditd, form, tmp_path):
    archive = tmp_path / "archive"
    daemon = auditd(local_events="no", archive_to=str(archive), compress_logs=form)
    text = gzip.decompress(GOLDEN.read_bytes())
    for number in range(1, 3):
        with daemon.log.open("ab") as log:
            log.write(text.replace(b"audit(179", b"audit(17%d" % number))
        daemon.process.send_signal(signal.SIGUSR1)
        wait_for(partial(committed, archive, number), "a commit", limit_s=IDLE_S)
    found = list(restore(place(str(archive)), str(tmp_path / "back")))
    assert [log.same for log in found] == [True, True]
    # one that is archived before it is compressed has its name of then
    back = {path.read_bytes() for path in (tmp_path / "back").iterdir()}
    ending = ".gz" if form == "gzip" else ""
    archives = [daemon.log.with_name(f"audit.log.{number}{ending}") for number in (1, 2)]
    wait_for(lambda: all(path.exists() for path in archives), "the archives", limit_s=IDLE_S)
    texts = [path.read_bytes() for path in archives]
    assert back == {gzip.decompress(text) if ending else text for text in texts}
    assert daemon.stop() == 0
    assert "cannot be archived" not in daemon.told()


@pytest.mark.slow
def test_an_archive_that_cannot_be_written_is_told(auditd, tmp_path):
    (tmp_path / "file").write_text("")
    daemon = auditd(local_events="no", archive_to=str(tmp_path / "file" / "archive"))
    daemon.process.send_signal(signal.SIGUSR1)
    wait_for(
        lambda: "rotated logs cannot be archived" in daemon.told(), "the fault", limit_s=IDLE_S
    )
    assert daemon.stop() == 0
