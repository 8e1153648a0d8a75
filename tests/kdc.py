"""A Kerberos realm of its own: a KDC on loopback, its principals and their keytabs."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from tests.programs import free_port, wait_for

if TYPE_CHECKING:
    from pathlib import Path

REALM = "AUDIT.TEST"
_CLIENTS = """[libdefaults]
 {more}
 default_realm = {realm}
 dns_lookup_realm = false
 dns_lookup_kdc = false
 dns_canonicalize_hostname = false
 qualify_shortname = ""
 rdns = false
[realms]
 {realm} = {{
  kdc = 127.0.0.1:{port}
 }}
[domain_realm]
 {host} = {realm}
"""
_SERVER = """[kdcdefaults]
 kdc_listen = 127.0.0.1:{port}
 kdc_tcp_listen = 127.0.0.1:{port}
[realms]
 {realm} = {{
  database_name = {folder}/principal
  key_stash_file = {folder}/stash
  acl_file = {folder}/acl
 }}
[logging]
 kdc = FILE:{folder}/kdc.log
"""


class Kdc:
    """A running MIT KDC; `environment` is for those who are to use it, `more` for krb5.conf."""

    def __init__(self, folder: Path, more: str = "") -> None:
        folder.mkdir(mode=0o700)
        self.folder = folder
        self.host = os.uname().nodename.lower()
        port = free_port()
        values = {"realm": REALM, "port": port, "folder": folder, "host": self.host, "more": more}
        (folder / "krb5.conf").write_text(_CLIENTS.format(**values))
        (folder / "kdc.conf").write_text(_SERVER.format(**values))
        self.environment = {
            "KRB5_CONFIG": str(folder / "krb5.conf"), "KRB5_KDC_PROFILE": str(folder / "kdc.conf"),
            "KRB5RCACHEDIR": str(folder),
        }  # fmt: skip
        self._run("kdb5_util", "create", "-s", "-P", "only for tests")
        self.principal = f"auditd/{self.host}@{REALM}"
        self.keytab = self.key_of(f"auditd/{self.host}")
        self.start()

    def start(self) -> None:
        """Start the KDC."""
        with (self.folder / "kdc.out").open("ab") as out:
            self.process = subprocess.Popen(
                ["/usr/sbin/krb5kdc", "-n"], env={**os.environ, **self.environment},
                stdout=out, stderr=out,
            )  # fmt: skip
        log = self.folder / "kdc.log"
        wait_for(
            lambda: log.exists() and "commencing operation" in log.read_text(), "the KDC answers"
        )

    def key_of(self, principal: str) -> Path:
        """Make a principal and return its keytab."""
        keytab = self.folder / f"{principal.replace('/', '-')}.keytab"
        self._run("kadmin.local", "addprinc", "-randkey", principal)
        self._run("kadmin.local", "ktadd", "-k", str(keytab), principal)
        keytab.chmod(0o400)
        return keytab

    def limit(self, principal: str, seconds: int) -> None:
        """Have tickets of a principal expire that soon."""
        self._run("kadmin.local", "modprinc", "-maxlife", f"{seconds} seconds", principal)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [f"/usr/sbin/{program}", *arguments], env={**os.environ, **self.environment},
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    @property
    def enter(self) -> list[str]:
        """What goes before a command that is to use it."""
        return ["env", *(f"{key}={value}" for key, value in self.environment.items())]

    def end(self) -> None:
        """End it."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(15)
