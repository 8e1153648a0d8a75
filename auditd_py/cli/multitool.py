"""auditd-py TOOL …: every command under one name, where the C tools are on PATH too."""

from __future__ import annotations

import importlib
import sys
import textwrap
from typing import Final

from auditd_py.plugins import start

TOOLS: Final = {
    "audisp-af_unix": "auditd_py.plugins.af_unix",
    "audisp-filter": "auditd_py.plugins.filter",
    "audisp-json": "auditd_py.plugins.json",
    "audisp-nats": "auditd_py.plugins.nats",
    "audisp-remote": "auditd_py.plugins.remote",
    "audisp-syslog": "auditd_py.plugins.syslog",
    "auditctl": "auditd_py.cli.auditctl",
    "auditd": "auditd_py.cli.auditd",
    "augenrules": "auditd_py.cli.augenrules",
    "ausearch": "auditd_py.cli.ausearch",
    "aulast": "auditd_py.cli.aulast",
    "aulastlog": "auditd_py.cli.aulastlog",
    "aureport": "auditd_py.cli.aureport",
    "ausyscall": "auditd_py.cli.ausyscall",
    "mkbar": "auditd_py.cli.mkbar",
    "mkgraph": "auditd_py.cli.mkgraph",
    "archive": "auditd_py.cli.archive",
    "migrate": "auditd_py.cli.migrate",
    "restore": "auditd_py.cli.restore",
}


def main() -> int:
    """Run the tool that the first argument names; return its exit status."""
    if len(sys.argv) > 1 and sys.argv[1] in TOOLS:
        if sys.argv[1].startswith("audisp-"):
            return start.run(TOOLS[sys.argv[1]].rpartition(".")[2], sys.argv[2:])
        module = importlib.import_module(TOOLS[sys.argv[1]])
        status: int = module.main(sys.argv[2:])
        return status
    wanted = len(sys.argv) > 1 and sys.argv[1] in ("-h", "--help")
    tools = textwrap.fill(
        f"tools: {', '.join(TOOLS)}", 78, subsequent_indent="       ", break_on_hyphens=False
    )
    print(f"usage: auditd-py TOOL [ARGUMENTS]\n{tools}", file=sys.stdout if wanted else sys.stderr)
    return 0 if wanted else 2
