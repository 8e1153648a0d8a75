"""auditd_py.actions.email against real mail servers: aiosmtpd here, postfix in test_sendmail."""

from __future__ import annotations

import email
import email.policy
import os
import socket
import ssl
import subprocess
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from auditd_py.actions import email as email_action
from auditd_py.actions.email import Email
from auditd_py.errors import ActionError
from auditd_py.log.incident import Condition, Incident

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aiosmtpd.smtp import Envelope, Session

    from tests.actions.conftest import NotedServices

LOW = Incident(Condition.SPACE_LEFT, "/var/log/audit/audit.log", 1, 70 << 20, 75 << 20)
ADMIN = Incident(Condition.ADMIN_SPACE_LEFT, "/var/log/audit/audit.log", 1, 1 << 20, 50 << 20)


class QuickEmail(Email):
    """Waits as long as a test may."""

    delays_s = (0.01, 0.02)


@dataclass(slots=True)
class Mailbox:
    """A server's handler: keeps mail, and answers with `answers` first."""

    mails: list[Envelope] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    greeted: list[str] = field(default_factory=list)
    secure: list[bool] = field(default_factory=list)
    users: list[bytes] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.greeted.append(str(session.host_name))
        self.secure.append(session.ssl is not None)
        login: Any = session.auth_data
        if login is not None:
            self.users.append(login.login)
        if self.answers:
            return self.answers.pop(0)
        self.mails.append(envelope)
        return "250 taken"


@pytest.fixture(scope="session")
def certificates(tmp_path_factory) -> Path:
    """Give a folder with a CA of the test's and a certificate for localhost."""
    folder = Path(tmp_path_factory.mktemp("ca"))
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
           "-noenc", "-days", "2"]  # fmt: skip
    for command in (
        [*new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test CA"],
        [*new, "-keyout", "server.key", "-out", "server.pem", "-subj", "/CN=localhost",
         "-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "subjectAltName=DNS:localhost",
         "-addext", "basicConstraints=critical,CA:FALSE"],
    ):  # fmt: skip
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=30)
    return folder


@pytest.fixture
def tls(certificates: Path, monkeypatch) -> ssl.SSLContext:
    """Give the server's side of TLS; the test's CA stands among the system's."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    return context


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def serve(mailbox: Mailbox) -> Iterator[Callable[..., int]]:
    """Start a mail server in a thread of its own; give its port."""
    servers: list[Controller] = []

    def start(**options: Any) -> int:
        with socket.create_server(("127.0.0.1", 0)) as found:
            port: int = found.getsockname()[1]
        server = Controller(mailbox, hostname="127.0.0.1", port=port, **options)
        server.start()
        servers.append(server)
        return port

    yield start
    for server in servers:
        server.stop()


@dataclass(slots=True)
class Post:
    """What a mail goes through: the action, the server, and what is noted on the way."""

    mailbox: Mailbox
    services: NotedServices
    listener: socket.socket
    serve: Callable[..., int]
    given: Callable[..., Any]

    def action(self, kind: type[Email] = QuickEmail, **settings: object) -> Email:
        """Return the action; without a port among the settings it has a new server."""
        if "smtp_port" not in settings:
            settings["smtp_port"] = self.serve()
        common = {"smtp_server": "localhost", "action_mail_acct": "admin@example.com"}
        return kind(self.given(**{**common, **settings}))


@pytest.fixture
def post(mailbox, services, listener, serve, given) -> Post:
    return Post(mailbox, services, listener, serve, given)


def text_of(envelope: Envelope) -> EmailMessage:
    assert isinstance(envelope.content, bytes)
    found = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    assert not found.defects
    return found


@pytest.mark.parametrize(
    ("incident", "subject"),
    [(LOW, "Audit Disk Space Alert"), (ADMIN, "Audit Admin Space Alert")],
)
def test_a_mail_arrives(post, incident, subject):
    post.action(Email).run(incident)
    (envelope,) = post.mailbox.mails
    assert envelope.mail_from == "root@web1"
    assert envelope.rcpt_tos == ["admin@example.com"]
    mail = text_of(envelope)
    assert mail["From"] == "root@web1"
    assert mail["To"] == "admin@example.com"
    assert mail["Subject"] == subject
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"].endswith("@web1>")
    assert mail["Date"].datetime is not None
    assert "Log:         /var/log/audit/audit.log" in mail.get_content()
    assert post.mailbox.greeted == ["web1"]
    assert post.services.told == []
    assert b"Audit daemon is low on disk space for logging." in post.listener.recv(4096)


def test_the_sender_can_be_set(post):
    post.action(mail_from="audit@example.com").run(LOW)
    assert post.mailbox.mails[0].mail_from == "audit@example.com"
    assert text_of(post.mailbox.mails[0])["From"] == "audit@example.com"


def test_a_path_that_is_no_text_can_be_mailed(post):
    path = os.fsdecode(b"/var/log/\xff\xc3\xbc.log")
    post.action().run(Incident(Condition.SPACE_LEFT, path, 1, 2, 3))
    assert "Log:         /var/log/\ufffd\u00fc.log" in text_of(post.mailbox.mails[0]).get_content()


def test_starttls_protects_the_mail(post, tls):
    port = post.serve(tls_context=tls, require_starttls=True)
    post.action(smtp_port=port, smtp_security="starttls").run(LOW)
    assert len(post.mailbox.mails) == 1
    assert post.mailbox.secure == [True]


def test_tls_from_the_start_protects_the_mail(post, tls):
    post.action(smtp_port=post.serve(ssl_context=tls), smtp_security="tls").run(LOW)
    assert len(post.mailbox.mails) == 1


@pytest.mark.parametrize(
    ("security", "option"), [("starttls", "tls_context"), ("tls", "ssl_context")]
)
def test_a_server_whose_certificate_nobody_vouches_for_gets_no_mail(
    post, tls, monkeypatch, security, option
):
    monkeypatch.delenv("SSL_CERT_FILE")
    action = post.action(smtp_port=post.serve(**{option: tls}), smtp_security=security)
    with pytest.raises(ActionError, match="certificate: unable to get local issuer certificate"):
        action.run(LOW)
    assert post.mailbox.mails == []
    assert post.services.told == []  # another try would be no better


def test_a_certificate_of_another_name_is_refused(post, tls):
    port = post.serve(ssl_context=tls)
    action = post.action(smtp_server="127.0.0.1", smtp_port=port, smtp_security="tls")
    with pytest.raises(ActionError, match="certificate: IP address mismatch"):
        action.run(LOW)
    assert post.mailbox.mails == []


def test_a_server_without_starttls_gets_no_mail_in_clear(post, tls):
    with pytest.raises(ActionError, match="cannot do it: SMTP STARTTLS extension"):
        post.action(smtp_security="starttls").run(LOW)
    assert post.mailbox.mails == []


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("s\u00e9cret word\nsecond line\n")
    path.chmod(0o600)
    return path


def _authenticator(server, session, envelope, mechanism, data) -> AuthResult:
    assert isinstance(data, LoginPassword)
    good = (data.login, data.password) == (b"audit", "s\u00e9cret word".encode())
    return AuthResult(success=good, handled=False, auth_data=data)


@pytest.fixture
def login(root, post, tls, password_file) -> dict[str, object]:
    """Give settings for a server that wants a login over TLS."""
    port = post.serve(tls_context=tls, auth_required=True, authenticator=_authenticator)
    return {
        "smtp_port": port, "smtp_security": "starttls", "smtp_user": "audit",
        "smtp_password_file": str(password_file),
    }  # fmt: skip


def test_the_daemon_logs_in(post, login):
    post.action(**login).run(LOW)
    assert post.mailbox.users == [b"audit"]


def test_a_login_that_is_refused_is_final_and_shows_no_password(post, login):
    with pytest.raises(ActionError, match="answered 535") as caught:
        post.action(**{**login, "smtp_user": "other"}).run(LOW)
    assert post.mailbox.mails == []
    assert post.services.told == []
    assert "cret" not in str(caught.value)


def exchange_by_link(path: Path) -> None:
    path.rename(f"{path}2")
    path.symlink_to(f"{path}2")


def exchange_by_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.chmod(0o640), "must be root's and for root alone"),
        (lambda path: os.chown(path, 65534, 0), "must be root's and for root alone"),
        (lambda path: path.write_text("\nsecret\n"), "first line is empty"),
        (lambda path: path.unlink(), "No such file"),
        (exchange_by_link, "Too many levels"),
        (exchange_by_fifo, "must be root's"),
    ],
    ids=["group", "owner", "empty", "missing", "link", "fifo"],
)
def test_a_password_others_could_have_read_is_not_used(post, login, password_file, spoil, message):
    spoil(password_file)
    with pytest.raises(ActionError, match=message):
        post.action(**login).run(LOW)


def test_a_server_that_is_busy_is_tried_again(post):
    post.mailbox.answers = ["451 try again", "452 full"]
    post.action().run(LOW)
    assert len(post.mailbox.mails) == 1
    assert post.services.told == [
        ("warning", f"mail not sent, next try in 0 s: the mail server answered {answer}")
        for answer in ("451 try again", "452 full")
    ]


def test_a_server_that_stays_busy_is_given_up(post):
    post.mailbox.answers = ["451 try again"] * 9
    with pytest.raises(ActionError, match="after 3 tries: the mail server answered 451"):
        post.action().run(LOW)
    assert len(post.mailbox.answers) == 6


def test_a_refusal_is_final(post):
    post.mailbox.answers = ["554 no such mail here"]
    with pytest.raises(ActionError, match="answered 554 no such mail here"):
        post.action().run(LOW)
    assert post.mailbox.mails == []
    assert post.services.told == []


def test_a_refused_recipient_is_final(post, monkeypatch):
    async def refuse(*_: object) -> str:
        return "550 nobody of that name"

    monkeypatch.setattr(Mailbox, "handle_RCPT", refuse, raising=False)
    with pytest.raises(ActionError, match="answered 550 nobody of that name"):
        post.action().run(LOW)


def test_a_server_that_is_down_is_tried_again(post):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ActionError, match="after 3 tries: Error connecting to localhost"):
        post.action(smtp_port=port).run(LOW)
    assert len(post.services.told) == 2


def test_a_server_that_says_nothing_is_not_waited_for(post, monkeypatch):
    monkeypatch.setattr(email_action, "_TRY_LIMIT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as server:
        action = post.action(smtp_port=server.getsockname()[1])
        with pytest.raises(ActionError, match="after 3 tries: "):
            action.run(LOW)


def test_a_rehearsal_sends_a_mail_marked_test(post):
    port = post.serve()
    shown = post.action(smtp_port=port).rehearse(LOW)
    mail = text_of(post.mailbox.mails[0])
    assert mail["Subject"] == "TEST: Audit Disk Space Alert"
    assert mail.get_content().startswith("This is a TEST")
    assert shown == f"a mail marked TEST was given to localhost:{port} for admin@example.com"


def test_a_rehearsal_tries_once(post):
    post.mailbox.answers = ["451 try again"]
    with pytest.raises(ActionError, match="mail not sent: the mail server answered 451"):
        post.action(Email).rehearse(LOW)
    assert post.services.told == []


@pytest.mark.parametrize("keyword", ["action_mail_acct", "mail_from"])
@pytest.mark.parametrize(
    "address",
    ["a@example.com\r\nBcc: b@example.com", "a@example.com\nX: y", "two words", " ", "r\u00f6t"],
)
def test_no_address_adds_a_header(post, keyword, address):
    with pytest.raises(ActionError, match="cannot be a mail address"):
        post.action(**{keyword: address}).run(LOW)
    assert post.mailbox.mails == []


def test_a_mail_goes_out_without_a_log_daemon(post, log_path):
    log_path.unlink()
    post.action().run(LOW)
    assert len(post.mailbox.mails) == 1
    assert [level for level, _ in post.services.told] == ["alert", "error"]


def test_without_server_and_sendmail_it_says_what_to_do(post, monkeypatch, tmp_path):
    monkeypatch.setattr(email_action, "SENDMAIL", (str(tmp_path / "sendmail"),))
    with pytest.raises(ActionError, match="install one or set smtp_server"):
        post.action(smtp_server=None, smtp_port=None).run(LOW)


@pytest.mark.parametrize(
    ("status", "message", "tries"),
    [(75, r"after 3 tries: .*exit status 75: busy", 3), (67, "exit status 67: busy", 1)],
)
def test_sendmail_is_tried_again_when_it_asks_for_that(post, sendmail, status, message, tries):
    program, out = sendmail
    program.write_text(f'#!/bin/sh\necho "$@" >>{out}\necho busy >&2\nexit {status}\n')
    with pytest.raises(ActionError, match=message):
        post.action(smtp_server=None, smtp_port=None, action_mail_acct="root").run(LOW)
    assert out.read_text() == "-i -t -froot\n" * tries


@pytest.fixture
def sendmail(monkeypatch, tmp_path) -> tuple[Path, Path]:
    """Give the place of a sendmail, and of a file for what it was told."""
    program = tmp_path / "sendmail"
    program.touch(0o755)
    monkeypatch.setattr(email_action, "SENDMAIL", ("/no/sendmail", str(program)))
    return program, tmp_path / "out"
