"""The action email: a mail through a server, or through this host's sendmail if none is set."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import ssl
import stat
import subprocess
import time
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import formatdate, make_msgid
from typing import TYPE_CHECKING, ClassVar, Final

from auditd_py.actions import texts
from auditd_py.actions.base import Action
from auditd_py.actions.syslog import Syslog
from auditd_py.config.checks import SENDMAIL
from auditd_py.config.words import SmtpSecurity
from auditd_py.errors import ActionError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import aiosmtplib

    from auditd_py.log.incident import Incident

_TRY_LIMIT_S: Final = 45.0
_PORTS: Final = {SmtpSecurity.NONE: 25, SmtpSecurity.STARTTLS: 587, SmtpSecurity.TLS: 465}
_ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
_TRY_LATER: Final = 75  # EX_TEMPFAIL, sysexits.h
_ADDRESS: Final = re.compile(r"[!-~]+")
_PASSWORD_MAX: Final = 4096


class _LaterError(Exception):
    """The mail could not be sent now; another try may succeed."""


class Email(Action):
    """Sends a mail to action_mail_acct, and a line to the system log as the action syslog does."""

    delays_s: ClassVar[tuple[float, ...]] = (10, 30, 90, 240)  # between tries
    limit_s = sum(delays_s) + (len(delays_s) + 1) * _TRY_LIMIT_S + 5

    def run(self, incident: Incident) -> None:
        services = self.given.services
        try:
            Syslog(self.given).run(incident)
        except ActionError as error:
            services.tell("error", f"{incident.condition} = email: no line in the log: {error}")
        message = self._message(texts.mail(incident, self.given.config, self.given.host))
        for delay_s in self.delays_s:
            try:
                self._send(message)
                return
            except _LaterError as error:
                services.tell("warning", f"mail not sent, next try in {delay_s:.0f} s: {error}")
            time.sleep(delay_s)
        self._send_now(message, f"after {len(self.delays_s) + 1} tries: ")

    def rehearse(self, incident: Incident) -> str:
        config = self.given.config
        mail = texts.mail(incident, config, self.given.host)
        test = "This is a TEST (auditd --test-actions): nothing has happened to the disk.\n\n"
        message = self._message(texts.Mail(f"TEST: {mail.subject}", test + mail.body))
        self._send_now(message)
        way = f"{config.smtp_server}:{_port(self)}" if config.smtp_server else "sendmail"
        return f"a mail marked TEST was given to {way} for {config.action_mail_acct}"

    def _send_now(self, message: EmailMessage, after: str = "") -> None:
        try:
            self._send(message)
        except _LaterError as error:
            raise ActionError(f"mail not sent: {after}{error}") from None

    def _send(self, message: EmailMessage) -> None:
        """Send it now. Raises _LaterError or ActionError."""
        if self.given.config.smtp_server:
            asyncio.run(self._send_to_server(message))
        else:
            _give_to_sendmail(message, self.given.config.mail_from or str(message["To"]))

    def _message(self, mail: texts.Mail) -> EmailMessage:
        config = self.given.config
        host = _host_name(self.given.host)
        sender = config.mail_from or (f"root@{host}" if config.smtp_server else "root")
        for address in (sender, config.action_mail_acct):
            if not _ADDRESS.fullmatch(address):
                raise ActionError(f"{address!r} cannot be a mail address")
        message = EmailMessage()
        message["From"] = sender
        message["To"] = config.action_mail_acct
        message["Subject"] = mail.subject
        message["Date"] = formatdate(localtime=True)
        message["Message-ID"] = make_msgid(domain=host)
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday replies
        # bytes of a path that are no text cannot be in a mail
        body = mail.body.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        message.set_content(body, cte="8bit" if not body.isascii() else "7bit")
        return message

    async def _send_to_server(self, message: EmailMessage) -> None:
        import aiosmtplib  # 40 ms and several MiB, for mail only

        config = self.given.config
        security = config.smtp_security
        client = aiosmtplib.SMTP(
            hostname=config.smtp_server,
            port=_port(self),
            local_hostname=_host_name(self.given.host),  # else it would ask the name service
            timeout=_TRY_LIMIT_S,
            use_tls=security is SmtpSecurity.TLS,
            start_tls=False,
            tls_context=None if security is SmtpSecurity.NONE else ssl.create_default_context(),
        )
        try:
            async with asyncio.timeout(_TRY_LIMIT_S):
                await client.connect()
                try:
                    await self._talk(client, message)
                finally:
                    _hang_up(client)
        except (aiosmtplib.SMTPException, OSError) as error:
            raise _failure(error) from error

    async def _talk(self, client: aiosmtplib.SMTP, message: EmailMessage) -> None:
        config = self.given.config
        if config.smtp_security is SmtpSecurity.STARTTLS:
            await client.starttls()
        if config.smtp_user:
            await client.login(config.smtp_user, _password(config.smtp_password_file or ""))
        await client.sendmail(
            str(message["From"]), [str(message["To"])], message.as_bytes(policy=SMTP)
        )
        with contextlib.suppress(OSError):  # the mail is the server's by now
            await client.execute_command(b"QUIT")


def _hang_up(client: aiosmtplib.SMTP) -> None:
    # close() would wait for the server's goodbye, which outlives the event loop
    if isinstance(client.transport, asyncio.WriteTransport):
        client.transport.abort()
    client.close()


def _host_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "-", name) or "localhost"


def _port(action: Email) -> int:
    config = action.given.config
    return config.smtp_port or _PORTS[config.smtp_security]


def _failure(error: Exception) -> Exception:
    """Return what a failed try means: another one, or the end."""
    import aiosmtplib

    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ActionError(f"the mail server's certificate: {cause.verify_message}")
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        error = error.recipients[0]
    if isinstance(error, aiosmtplib.SMTPResponseException):
        text = f"the mail server answered {error.code} {' '.join(error.message.split())}"
        return _LaterError(text) if error.code < 500 else ActionError(text)
    if not isinstance(error, OSError):  # what the server does not know, STARTTLS for one
        return ActionError(f"the mail server cannot do it: {error}")
    return _LaterError(str(error) or f"no answer from the mail server in {_TRY_LIMIT_S:.0f} s")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _password(path: str) -> bytes:
    """Return the first line of a file that only root can have read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ActionError(f"smtp_password_file {path}: {error.strerror}") from None
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o077:
            raise ActionError(f"smtp_password_file {path}: must be root's and for root alone")
        line = os.read(fd, _PASSWORD_MAX).split(b"\n", 1)[0].rstrip(b"\r")
    finally:
        os.close(fd)
    if not line:
        raise ActionError(f"smtp_password_file {path}: the first line is empty")
    return line


def _give_to_sendmail(message: EmailMessage, sender: str) -> None:
    program = next((path for path in SENDMAIL if os.access(path, os.X_OK)), None)
    if program is None:
        raise ActionError(f"{' and '.join(SENDMAIL)} are missing: install one or set smtp_server")
    try:
        done = subprocess.run(  # noqa: S603  one of two fixed paths
            [program, "-i", "-t", f"-f{sender}"],
            # lines end as this host's programs expect them
            input=message.as_bytes(policy=SMTPUTF8.clone(linesep="\n")),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env=_ENVIRONMENT, cwd="/", timeout=_TRY_LIMIT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise _LaterError(f"{program} took longer than {_TRY_LIMIT_S:.0f} s") from None
    except OSError as error:
        raise ActionError(f"{program}: {error.strerror}") from None
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())
        text = f"{program}: exit status {done.returncode}: {said}"
        raise _LaterError(text) if done.returncode == _TRY_LATER else ActionError(text)
