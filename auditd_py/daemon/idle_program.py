"""Runs a program of the daemon's own beside it, to its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import Final

from auditd_py.errors import LogError

_PACKAGES: Final = str(Path(__file__).parent.parent.parent)  # where this package is found
_LIMIT_S: Final = 3600.0
_SHOWN: Final = 400  # characters of what the program says when it fails


async def run(*arguments: str, source: int | None = None, target: int | None = None) -> None:
    """Run Python with `arguments`; the descriptors are its standard input and output.

    Raises LogError if it fails or takes longer than an hour, OSError if it cannot be run.
    """
    nothing = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", *arguments,
        stdin=nothing if source is None else source, stdout=nothing if target is None else target,
        stderr=asyncio.subprocess.PIPE, env={"PYTHONPATH": _PACKAGES, **_keys_of_s3()},
    )  # fmt: skip
    try:
        async with asyncio.timeout(_LIMIT_S):
            _, said = await process.communicate()
    except BaseException as error:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if isinstance(error, TimeoutError):
            raise LogError(arguments[0], f"took longer than {_LIMIT_S:.0f} s") from None
        raise
    if process.returncode:
        text = said.decode(errors="replace").strip()[-_SHOWN:]
        raise LogError(arguments[0], f"exit status {process.returncode}: {text}")


def _keys_of_s3() -> dict[str, str]:
    """Return what archive_to may need of the environment."""
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
