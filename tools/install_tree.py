"""Lay out an installation below a folder: the package with its libraries, commands, pages, units.

    python tools/install_tree.py --prefix /usr --destdir build/root [--debian]

The libraries are wheels, kept in build/wheels; what they are is written to vendored.txt. Nothing
outside the tree is touched, and two runs with the same wheels make the same bytes.
"""

from __future__ import annotations

import argparse
import compileall
import gzip
import os
import py_compile
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
WHEELS = ROOT / "build" / "wheels"
USER_COMMANDS = {"aulast", "aulastlog", "auvirt", "ausyscall", "auditd-py"}  # the others: sbin
SOURCES = ("*.c", "*.h", "*.pyx", "*.pxd", "*.pxi", "direct_url.json", "REQUESTED", "RECORD")
LAUNCHER = """\
#!{python} -I
import sys

sys.path.insert(0, "{library}")

from {module} import {function}

sys.exit({function}())
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prefix", default="/usr/local")
    parser.add_argument("--destdir", default="")
    parser.add_argument("--python", default="/usr/bin/python3", help="that runs the commands")
    parser.add_argument("--debian", action="store_true", help="places of Debian's packages")
    options = parser.parse_args()
    prefix, dest = options.prefix.rstrip("/"), options.destdir.rstrip("/")
    tree = Path(f"{dest}{prefix}")
    library = f"{prefix}/lib/auditd-py"
    _library(Path(f"{dest}{library}"), library)
    _commands(tree, options.python, library)
    _pages(tree)
    _completions(tree)
    _units(
        tree, prefix, Path(f"{dest}/lib") if options.debian else tree / "lib", debian=options.debian
    )
    _settings(tree, prefix)
    for folder in [tree, *tree.rglob("*")]:
        if folder.is_dir():
            folder.chmod(0o755)


def _library(place: Path, shown: str) -> None:
    WHEELS.mkdir(parents=True, exist_ok=True)
    for old in WHEELS.glob("auditd_py-*.whl"):
        old.unlink()
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    stamp = WHEELS / ".complete"
    settings = max(ROOT / "pyproject.toml", Path(__file__), key=lambda path: path.stat().st_mtime)
    if not stamp.exists() or stamp.stat().st_mtime < settings.stat().st_mtime:
        subprocess.run([*pip, "wheel", "-w", WHEELS, f"{ROOT}[zstd]"], check=True)
        stamp.touch()
    else:
        subprocess.run(
            [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", WHEELS, ROOT], check=True
        )
    if place.exists():
        shutil.rmtree(place)
    wheels = sorted(WHEELS.glob("*.whl"))
    subprocess.run(
        [*pip, "install", "--no-index", "--no-deps", "--no-compile", "--target", place, *wheels],
        check=True,
    )
    shutil.rmtree(place / "bin", ignore_errors=True)
    for pattern in SOURCES:
        for file in place.rglob(pattern):
            file.unlink()
    # checked by nobody at run time: the package manager changes sources and these together
    compileall.compile_dir(
        place, quiet=1, stripdir=place, prependdir=shown,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )  # fmt: skip
    names = [wheel.name for wheel in wheels if not wheel.name.startswith("auditd_py-")]
    (place / "vendored.txt").write_text("".join(f"{name}\n" for name in names))
    for file in place.rglob("*"):
        if file.is_file():
            file.chmod(0o644)


def _commands(tree: Path, python: str, library: str) -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    for name, target in scripts.items():
        folder = tree / ("bin" if name in USER_COMMANDS else "sbin")
        folder.mkdir(parents=True, exist_ok=True)
        module, function = target.split(":")
        file = folder / name
        file.write_text(
            LAUNCHER.format(python=python, library=library, module=module, function=function)
        )
        file.chmod(0o755)


def _pages(tree: Path) -> None:
    for page in sorted((ROOT / "build" / "man").glob("*.[1-8]")):
        folder = tree / "share" / "man" / f"man{page.suffix[1:]}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{page.name}.gz").write_bytes(gzip.compress(page.read_bytes(), 9, mtime=0))


def _completions(tree: Path) -> None:
    places = {
        "bash": "share/bash-completion/completions",
        "zsh": "share/zsh/vendor-completions",
        "fish": "share/fish/vendor_completions.d",
    }
    for shell, place in places.items():
        built = ROOT / "build" / "completions" / shell
        if built.is_dir():
            shutil.copytree(built, tree / place, dirs_exist_ok=True)


def _units(tree: Path, prefix: str, lib: Path, *, debian: bool) -> None:
    folder = lib / "systemd" / "system"
    folder.mkdir(parents=True, exist_ok=True)
    for unit in sorted((ROOT / "systemd").glob("*.service")):
        text = unit.read_text().replace("/usr/bin/auditd-py", f"{prefix}/bin/auditd-py")
        if debian and unit.name == "auditd-py.service":
            # the package takes the place of the C daemon's: its unit's name is ours as well
            text = text.replace("Conflicts=auditd.service ", "Conflicts=")
            (folder / "auditd.service").unlink(missing_ok=True)
            (folder / "auditd.service").symlink_to(unit.name)
        (folder / unit.name).write_text(text)
        (folder / unit.name).chmod(0o644)
    tmpfiles = (tree if debian else lib.parent) / "lib" / "tmpfiles.d"
    tmpfiles.mkdir(parents=True, exist_ok=True)
    file = tmpfiles / "auditd-py.conf"
    shutil.copyfile(ROOT / "systemd" / "auditd-py.tmpfiles.conf", file)
    file.chmod(0o644)


def _settings(tree: Path, prefix: str) -> None:
    """Put the settings where nothing reads them: a package or `make install` takes those missing."""
    share = tree / "share" / "auditd-py"
    shutil.rmtree(share, ignore_errors=True)
    shutil.copytree(ROOT / "etc" / "auditd_py", share / "defaults")
    (share / "defaults" / "rules.d-samples").rename(share / "rules.d-samples")
    rules = share / "defaults" / "rules.d"
    rules.mkdir()
    base = "10-base-config.rules"
    shutil.copyfile(share / "rules.d-samples" / base, rules / base)
    for file in (share / "defaults" / "plugins.d").iterdir():
        file.write_text(file.read_text().replace("/usr/sbin/", f"{prefix}/sbin/"))
    for path in share.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


if __name__ == "__main__":
    os.umask(0o022)
    main()
