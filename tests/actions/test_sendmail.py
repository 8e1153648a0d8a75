"""auditd_py.actions.email through the sendmail of Debian's postfix, to a mailbox."""

from __future__ import annotations

import email
import email.policy
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import unavailable

ROOT = Path(__file__).parent.parent.parent

# In mount and process namespaces of its own: nothing of the system's postfix is touched, and
# every process ends with the first. No service listens on the network.
POSTFIX = """
set -e
mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir /mnt/etc /mnt/lib /mnt/mail
cp -a /var/spool/postfix /mnt/spool
chown postfix /mnt/lib
chown nobody /mnt/mail
cp -r /etc/postfix/post* /etc/postfix/dynamicmaps.cf /mnt/etc/
cp /etc/postfix/master.cf.proto /mnt/etc/master.cf
cat >/mnt/etc/main.cf <<END
compatibility_level = 3.6
myhostname = web1.example.com
mydestination = localhost, web1.example.com
inet_interfaces = loopback-only
inet_protocols = ipv4
master_service_disable = inet
alias_maps = inline:{ root=/mnt/mail/root }
alias_database =
maillog_file = /var/log/mail-of-the-test
biff = no
END
mount --bind /mnt/etc /etc/postfix
mount --bind /mnt/spool /var/spool/postfix
mount --bind /mnt/lib /var/lib/postfix
mount -t tmpfs tmpfs /var/log
postfix start
exec "$@"
"""
SEND = """
from pathlib import Path
from tests.actions.conftest import NotedServices
from tests.programs import wait_for
from auditd_py.actions.base import Given
from auditd_py.actions.email import Email
from auditd_py.config.keywords import DaemonConfig
from auditd_py.log.incident import Condition, Incident

given = Given("", DaemonConfig(), "web1", NotedServices())
incident = Incident(Condition.SPACE_LEFT, "/var/log/audit/audit.log", 1, 70 << 20, 75 << 20)
Email(given).run(incident)
box = Path("/mnt/mail/root")
wait_for(lambda: box.exists() and box.read_text().endswith("\\n\\n"), "the mail is delivered")
print(box.read_text())
"""


@pytest.mark.usefixtures("root")
@pytest.mark.slow
def test_a_mail_to_root_is_delivered():
    if not os.path.exists("/etc/postfix/master.cf.proto"):
        unavailable("needs postfix: make test installs it")
    done = subprocess.run(
        [
            "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
            "sh", "-c", POSTFIX, "sh", sys.executable, "-c", SEND,
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    envelope, _, text = done.stdout.partition("\n")
    assert envelope.startswith("From root@web1.example.com ")
    mail = email.message_from_string(text, policy=email.policy.default)
    assert mail["Subject"] == "Audit Disk Space Alert"
    assert mail["To"] == "root@web1.example.com"  # postfix adds the domain
    assert isinstance(mail, email.message.EmailMessage)
    assert "Free space:  70.0 MiB\n" in mail.get_content()
