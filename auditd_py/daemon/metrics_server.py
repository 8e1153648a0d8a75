"""metrics_listen: answers Prometheus on the event loop. One short answer a connection, bounded."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import structlog

from auditd_py.errors import ConfigError, Problem

if TYPE_CHECKING:
    from auditd_py.config.keywords import DaemonConfig
    from auditd_py.config.values import Endpoint
    from auditd_py.daemon.app import Daemon
    from auditd_py.daemon.metrics import Metrics

_MAX_CONNECTIONS: Final = 16
_MAX_HEAD: Final = 8 << 10
_LIMIT_S: Final = 5.0  # for a request to come and its answer to go

_PLAIN: Final = "text/plain; charset=utf-8"

log = structlog.get_logger()


class MetricsServer:
    """Serves /metrics where `metrics_listen` says, or nowhere. `refused`: beyond the bounds."""

    def __init__(self, daemon: Daemon) -> None:
        self.refused = 0
        self._daemon = daemon
        self._metrics: Metrics | None = None
        self._server: asyncio.Server | None = None
        self._where: Endpoint | None = None
        self._connections = 0

    async def start(self, config: DaemonConfig) -> None:
        """Serve as `config` says. What is in the way is told: the daemon does without."""
        try:
            await self.reload(config)
        except (ConfigError, OSError) as error:
            log.error("metrics are not served", reason=str(error))

    async def reload(self, config: DaemonConfig) -> None:
        """Serve as `config` says. Raises ConfigError and OSError: all is what it was."""
        where = config.metrics_listen
        if where == self._where:
            return
        server = await self._listen(where, config.log_group.gid) if where is not None else None
        await self.stop()
        self._server, self._where = server, where
        if where is not None:
            log.info("serving metrics", at=str(where))

    async def stop(self) -> None:
        """Serve no more."""
        if self._server is not None:
            self._server.close()
            if self._where is not None and self._where.path:
                with contextlib.suppress(OSError):
                    os.unlink(self._where.path)
        self._server = self._where = None

    async def _listen(self, where: Endpoint, group: int) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        if self._metrics is None:
            self._metrics = await loop.run_in_executor(None, _metrics, self._daemon)
        if where.path:
            sock = await loop.run_in_executor(None, _unix_listener, where.path, group)
            return await asyncio.start_unix_server(self._connected, sock=sock, limit=_MAX_HEAD)
        return await asyncio.start_server(
            self._connected, where.address, where.port, limit=_MAX_HEAD, backlog=_MAX_CONNECTIONS
        )

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._connections >= _MAX_CONNECTIONS:
            self.refused += 1
            writer.transport.abort()
            return
        self._connections += 1
        try:
            async with asyncio.timeout(_LIMIT_S):
                writer.write(await self._answer(reader))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            self.refused += 1
            writer.transport.abort()
        finally:
            self._connections -= 1

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return _response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        line, *rows = head.decode("latin-1").split("\r\n")
        words = line.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return _response(HTTPStatus.BAD_REQUEST)
        if words[0] not in ("GET", "HEAD"):
            return _response(HTTPStatus.METHOD_NOT_ALLOWED, more="Allow: GET, HEAD\r\n")
        if words[1].partition("?")[0] != "/metrics":
            return _response(HTTPStatus.NOT_FOUND)
        accept = next(
            (row.partition(":")[2].strip() for row in rows if row.lower().startswith("accept:")), ""
        )
        assert self._metrics is not None
        body, kind = await self._metrics.exposition(accept)
        answer = _response(HTTPStatus.OK, body, kind)
        return answer if words[0] == "GET" else answer[: -len(body)]


def _metrics(daemon: Daemon) -> Metrics:
    # late, and not on the event loop: an extra, of some MiB
    try:
        from auditd_py.daemon.metrics import Metrics
    except ImportError as error:
        text = f"needs the Python package prometheus-client (auditd-py[metrics]): {error}"
        problem = Problem(daemon.options.config_path, 0, "metrics_listen", text)
        raise ConfigError([problem]) from None
    return Metrics(daemon)


def _unix_listener(path: str, group: int) -> socket.socket:
    """Return a socket at `path`, for root and `group`; one that nobody serves is replaced.

    Raises OSError.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise FileExistsError(f"{path} is no socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
            other.setblocking(False)
            with contextlib.suppress(ConnectionRefusedError):
                other.connect(path)
                raise FileExistsError(f"{path} is in use")
    new = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(new)  # nobody can connect before it listens
        os.chown(new, -1, group, follow_symlinks=False)
        os.chmod(new, 0o660)
        sock.listen(_MAX_CONNECTIONS)
        sock.setblocking(False)
        os.rename(new, path)
    except OSError:
        sock.close()
        raise
    return sock


def _response(status: HTTPStatus, body: bytes = b"", kind: str = _PLAIN, more: str = "") -> bytes:
    body = body or f"{status.phrase}\n".encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\n{more}Connection: close\r\n\r\n"
    )
    return head.encode("latin-1") + body
