"""auditd_py.config.hosts_access"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.config.hosts_access import may_connect


@pytest.mark.parametrize(
    ("allow", "deny", "address", "expected"),
    [
        ("", "", "192.0.2.1", True),
        ("", "ALL: ALL", "192.0.2.1", False),
        ("auditd: 192.0.2.1", "ALL: ALL", "192.0.2.1", True),
        ("sshd: 192.0.2.1", "ALL: ALL", "192.0.2.1", False),
        ("auditd, sshd: 192.0.2.", "ALL: ALL", "192.0.2.77", True),
        ("auditd: 192.0.2.", "ALL: ALL", "192.0.20.7", False),
        ("auditd: 192.0.2.0/255.255.255.0", "ALL: ALL", "192.0.2.9", True),
        ("auditd: 192.0.2.0/24", "ALL: ALL", "192.0.3.9", False),
        ("auditd: [2001:db8::]/32", "ALL: ALL", "2001:db8::5", True),
        ("auditd: [2001:db8::]/32", "ALL: ALL", "2001:db9::5", False),
        ("auditd: [::1]", "ALL: ALL", "::1", True),
        ("auditd: 192.0.2.1", "ALL: ALL", "::ffff:192.0.2.1", True),
        ("auditd: ALL EXCEPT 192.0.2.1", "ALL: ALL", "192.0.2.1", False),
        ("auditd: ALL EXCEPT 192.0.2.1", "ALL: ALL", "192.0.2.2", True),
        ("ALL EXCEPT auditd: ALL", "ALL: ALL", "192.0.2.2", False),
        ("auditd: ALL: deny", "", "192.0.2.2", False),
        ("", "auditd: ALL: ALLOW", "192.0.2.2", True),
        ("# auditd: ALL\n\nnonsense\n", "ALL: ALL", "192.0.2.2", False),
        ("auditd: \\\n 192.0.2.2", "ALL: ALL", "192.0.2.2", True),
        ("auditd: .example.org LOCAL @net", "ALL: ALL", "192.0.2.2", False),
        ("auditd: fe80::1", "ALL: ALL", "fe80::1%eth0", False),
        ("auditd: [fe80::]/10", "ALL: ALL", "fe80::1%eth0", True),
    ],
)
def test_the_first_rule_that_matches_decides(allow, deny, address, expected):
    assert may_connect(allow, deny, address) is expected


@given(allow=st.text(max_size=80), deny=st.text(max_size=80))
def test_any_text_gives_an_answer(allow, deny):
    assert may_connect(allow, deny, "192.0.2.1") in (True, False)
