"""auditd-py migrate: what it writes, keeps and refuses to touch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auditd_py.cli import migrate

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "audit"
    (folder / "rules.d").mkdir(parents=True)
    (folder / "auditd.conf").write_text("num_logs = 7\n")
    (folder / "rules.d" / "a.rules").write_text("-D\n")
    return folder


def run(source: Path, target: Path, *words: str) -> int:
    return migrate.main(["--from", str(source), "--to", str(target), *words])


def test_files_are_written_for_root_and_its_group(source: Path, tmp_path: Path):
    target = tmp_path / "new"
    assert run(source, target) == migrate.DONE
    assert (target / "auditd.conf").read_text() == "num_logs = 7\n"
    assert (target / "rules.d" / "a.rules").stat().st_mode & 0o777 == 0o640
    assert target.stat().st_mode & 0o027 == 0


def test_a_dry_run_writes_nothing(source: Path, tmp_path: Path):
    assert run(source, tmp_path / "new", "--dry-run") == migrate.DONE
    assert not (tmp_path / "new").exists()


def test_what_differs_is_not_overwritten(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    target = tmp_path / "new"
    target.mkdir()
    (target / "auditd.conf").write_text("mine\n")
    assert run(source, target) == migrate.FAILED
    assert f"nothing was written, these differ: {target}/auditd.conf" in capsys.readouterr().err
    assert [path.name for path in target.iterdir()] == ["auditd.conf"]


def test_force_keeps_each_file_it_replaces(source: Path, tmp_path: Path):
    target = tmp_path / "new"
    target.mkdir()
    for text in ("one\n", "two\n"):
        (target / "auditd.conf").write_text(text)
        assert run(source, target, "--force") == migrate.DONE
    kept = {path.name: path.read_text() for path in target.glob("auditd.conf*")}
    assert kept == {
        "auditd.conf": "num_logs = 7\n", "auditd.conf.bak": "one\n", "auditd.conf.bak.1": "two\n",
    }  # fmt: skip


def test_a_second_run_finds_all_the_same(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run(source, tmp_path / "new")
    capsys.readouterr()
    assert run(source, tmp_path / "new") == migrate.DONE
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()} == {"same"}


def test_a_symbolic_link_is_left_alone(source: Path, tmp_path: Path):
    target = tmp_path / "new"
    target.mkdir()
    (target / "auditd.conf").symlink_to(tmp_path / "elsewhere")
    assert run(source, target, "--force") == migrate.FAILED
    assert not (tmp_path / "elsewhere").exists()


def test_losses_are_told_by_the_exit_status(source: Path, tmp_path: Path):
    (source / "auditd.conf").write_text("nonsense = 1\n")
    assert run(source, tmp_path / "new") == migrate.LOSSES


def test_a_folder_without_settings_is_refused(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "empty", tmp_path / "new") == migrate.FAILED
    assert run(tmp_path / "none", tmp_path / "new") == migrate.FAILED


def test_what_is_not_copied_is_told(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (source / "keys").mkdir()
    (source / "notes.txt").write_text("")
    assert migrate.main(["--from", str(source), "--to", str(tmp_path / "new"), "--dry-run"]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("left")]
    assert said == [
        f"left     {source}/{name}: is no file of settings or rules"
        for name in ("keys", "notes.txt")
    ]
