"""Certificates that openssl makes for tests."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


_SETTINGS = """
[ca]
default_ca = here
[here]
database = {folder}/index
new_certs_dir = {folder}
rand_serial = yes
unique_subject = no
default_md = sha256
copy_extensions = copy
policy = any
[any]
commonName = supplied
"""


def openssl(*arguments: object) -> None:
    command = ["openssl", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, timeout=20)
    assert done.returncode == 0, done.stderr


class Authority:
    """Signs certificates: <name>.crt and <name>.key in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        usage = "keyUsage=critical,keyCertSign,cRLSign"  # Python 3.13 insists on it
        self._new("ca", "/CN=test authority", "-x509", "-days", 2, "-addext", usage)

    def _new(self, name: str, subject: str, *more: object, request: bool = False) -> None:
        out = ("-keyout", self.folder / f"{name}.key", "-out", self.folder / f"{name}.crt")
        kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        new = ("-new",) if request else ()
        openssl("req", *new, *kind, "-subj", subject, *out, *more)
        (self.folder / f"{name}.key").chmod(0o400)

    def sign(self, name: str, alternative: str, *dates: str) -> None:
        ca = ("-CA", self.folder / "ca.crt", "-CAkey", self.folder / "ca.key")
        self._new(
            name, f"/CN={name}", "-x509", *ca, "-days", 2,
            "-addext", f"subjectAltName={alternative}",
            "-addext", "basicConstraints=critical,CA:FALSE", *dates,
        )  # fmt: skip

    def sign_expired(self, name: str, alternative: str) -> None:
        self._new(name, f"/CN={name}", "-addext", f"subjectAltName={alternative}", request=True)
        folder = self.folder
        self._ca("-in", folder / f"{name}.crt", "-out", folder / f"{name}.crt",
                 "-startdate", "20200101000000Z", "-enddate", "20200102000000Z", "-notext")  # fmt: skip

    def revoke(self, *names: str) -> str:
        """Return the file of the certificates revoked up to now."""
        for name in names:
            self._ca("-revoke", self.path(f"{name}.crt"))
        self._ca("-gencrl", "-crldays", 1, "-out", self.path("ca.crl"))
        return self.path("ca.crl")

    def _ca(self, *arguments: object) -> None:
        settings = self.folder / "ca.cnf"
        if not settings.exists():
            settings.write_text(_SETTINGS.format(folder=self.folder))
            (self.folder / "index").touch()
        ca = ("-cert", self.folder / "ca.crt", "-keyfile", self.folder / "ca.key")
        openssl("ca", "-batch", "-config", settings, *ca, *arguments)

    def path(self, name: str) -> str:
        return str(self.folder / name)
