"""The image of the Dockerfile, built with buildah and run with runc as its file tells."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from typing import TYPE_CHECKING, Any

from tests.production.debian import ROOT, TREE
from tests.programs import wait_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HOST_NAMESPACES = {"pid", "network"}  # --pid=host --net=host
BASE = "localhost/debian:12"
NAME = "auditd-py"


class Store:
    """Images in a folder of their own."""

    def __init__(self, place: Path) -> None:
        subprocess.run(["sh", "tools/debian_tree.sh"], cwd=ROOT, check=True, timeout=300)
        self.place = place
        self._containers: list[str] = []
        base = self.buildah("from", "scratch")
        mounted = self.buildah("mount", base)
        subprocess.run(["cp", "-a", f"{TREE}/.", mounted], check=True, timeout=120)
        self.buildah("commit", "--quiet", "--disable-compression", "--rm", base, BASE)
        self.buildah(
            "bud", "--quiet", "--isolation=chroot", "--format=docker", "--layers=false",
            f"--build-arg=BASE={BASE}", f"--tag={NAME}", str(ROOT),
        )  # fmt: skip
        inspected = json.loads(self.buildah("inspect", "--type=image", NAME))
        self.config: dict[str, Any] = inspected["Docker"]["config"]

    def buildah(self, *words: str) -> str:
        place = [f"--root={self.place}/images", f"--runroot={self.place}/run"]
        done = subprocess.run(
            ["buildah", *place, "--storage-driver=overlay", *words],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def root(self) -> Path:
        """Mount the image's tree."""
        self._containers.append(self.buildah("from", "--pull-never", NAME))
        return self.place / self.buildah("mount", self._containers[-1])

    def close(self) -> None:
        for container in self._containers:
            self.buildah("rm", container)
        self.buildah("rmi", "--all", "--force")
        subprocess.run(["umount", "--quiet", self.place / "images" / "overlay"], timeout=30)


class Container:
    """A container that runs; its root is read-only."""

    def __init__(
        self,
        folder: Path,
        store: Store,
        volumes: dict[str, Path],
        *,
        command: Sequence[str] = (),
        user: str = "",
        capabilities: Sequence[str] = (),
        host_namespaces: bool = False,
    ) -> None:
        self.name = f"{NAME}-{folder.name}"
        self._state = folder / "state"
        folder.mkdir()
        subprocess.run(["runc", "spec"], cwd=folder, check=True, timeout=30)
        file = folder / "config.json"
        spec = json.loads(file.read_text())
        uid, gid = map(int, (user or store.config["User"]).split(":"))
        spec["root"] = {"path": str(store.root()), "readonly": True}
        spec["process"].update(
            terminal=False, user={"uid": uid, "gid": gid}, args=[*command] or store.config["Cmd"],
            env=store.config["Env"], noNewPrivileges=False,
            capabilities={
                kind: [f"CAP_{name}" for name in capabilities]
                for kind in ("bounding", "effective", "permitted")
            },
        )  # fmt: skip
        tmpfs = {"destination": "/run/audit", "type": "tmpfs", "source": "tmpfs"}
        spec["mounts"].append({**tmpfs, "options": [f"uid={uid}", "mode=0755"]})
        spec["mounts"] += [
            {
                "destination": place,
                "type": "bind",
                "source": str(source),
                "options": ["rbind", "rw"],
            }
            for place, source in volumes.items()
        ]
        if host_namespaces:
            spec["linux"]["namespaces"] = [
                one for one in spec["linux"]["namespaces"] if one["type"] not in HOST_NAMESPACES
            ]
        file.write_text(json.dumps(spec))
        self.messages = folder / "messages"
        with self.messages.open("wb") as messages:
            self.process = subprocess.Popen(
                ["runc", "--root", str(self._state), "run", self.name],
                cwd=folder, stdin=subprocess.DEVNULL, stdout=messages, stderr=messages,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Its first process, as this host counts."""
        return int(json.loads(self._runc("state", self.name).stdout)["pid"])

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as its user."""
        return self._runc("exec", self.name, *command)

    def wait_for_text(self, path: Path, text: bytes) -> None:
        def there() -> bool:
            assert self.process.poll() is None, self.messages.read_text()
            return path.exists() and text in path.read_bytes()

        wait_for(there, f"{text!r} in {path.name}")

    def stop(self) -> int:
        """Stop it as docker stop does; return its exit status."""
        self._runc("kill", self.name, "TERM")
        return self.process.wait(20)

    def close(self) -> None:
        if self.process.poll() is None:
            self._runc("kill", self.name, "KILL")
            self.process.wait(20)

    def _runc(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["runc", "--root", str(self._state), *words], capture_output=True, text=True, timeout=30
        )


def documented_command(variant: str) -> list[str]:
    """Return the words of `docker run` that the Dockerfile's head has below `variant`."""
    head = (ROOT / "Dockerfile").read_text().partition("\nARG ")[0].replace("\n#", "\n")
    _, _, rest = head.partition(variant)
    found = re.search(r"docker run (?:[^\n]*\\\n)*[^\n]*", rest)
    assert found, variant
    return shlex.split(found[0].replace("\\\n", " "))
