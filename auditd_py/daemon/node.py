"""The name that stands before each record (name_format)."""

from __future__ import annotations

import os
import socket

from auditd_py.errors import AuditError


class NodeError(AuditError):
    """This machine's name cannot be told in the format asked for."""


def node_name(name_format: str, name: str | None) -> bytes:
    """Return the node name for `name_format` (auditd.conf's word, lower case); may block.

    Raises NodeError when the name service does not know this machine.
    """
    try:
        match name_format:
            case "none":
                return b""
            case "user":
                found = name or ""
            case "hostname":
                found = os.uname().nodename
            case "fqd":
                own = os.uname().nodename
                answer = socket.getaddrinfo(own, None, flags=socket.AI_CANONNAME)
                found = answer[0][3] or own
            case "numeric":
                answer = socket.getaddrinfo(os.uname().nodename, None, type=socket.SOCK_STREAM)
                found = str(answer[0][4][0])
            case _:
                raise ValueError(name_format)
    except OSError as error:
        raise NodeError(
            f"name_format = {name_format}: this machine's name cannot be resolved "
            f"({error.strerror}); mend /etc/hosts or DNS, or use another name_format"
        ) from None
    if not found:
        raise NodeError(f"name_format = {name_format}: this machine has no name")
    return found.replace(" ", "_").encode("utf-8", "surrogateescape")
