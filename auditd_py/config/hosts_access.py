"""hosts.allow and hosts.deny (hosts_access(5)): who may connect, decided by address.

Understood: lists of daemons and clients with commas or blanks, ALL, EXCEPT, addresses, prefixes
that end in a dot, address/mask and address/length, [IPv6]/length, `allow` and `deny` as the last
option. A pattern that needs a name (a host name, LOCAL, KNOWN, PARANOID, @netgroup) matches
nobody: whoever decides must not wait for DNS.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

DAEMON: Final = "auditd"
ALLOW, DENY = "/etc/hosts.allow", "/etc/hosts.deny"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_BRACKETS: Final = re.compile(r"\[[^]]*\](?:/\d+)?")


def may_connect(allow: str, deny: str, address: str, daemon: str = DAEMON) -> bool:
    """Return whether the texts of hosts.allow and hosts.deny let `address` (numeric) in.

    The first rule that matches decides, those of hosts.allow come first; without one it may.
    """
    peer = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped:
        peer = peer.ipv4_mapped
    for text, verdict in ((allow, True), (deny, False)):
        for daemons, clients, options in _rules(text):
            if not _listed(daemons, lambda word: word in ("ALL", daemon)):
                continue
            if _listed(clients, lambda word: _matches(word, peer)):
                last = options[-1].strip().lower() if options else ""
                return last == "allow" if last in ("allow", "deny") else verdict
    return True


def _rules(text: str) -> Iterator[tuple[str, str, list[str]]]:
    for line in text.replace("\\\n", " ").split("\n"):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        # a colon inside brackets belongs to an address
        addresses = _BRACKETS.findall(line)
        fields = _BRACKETS.sub("\0", line).split(":")
        if len(fields) < 2:
            continue
        clients = fields[1]
        for address in addresses:
            clients = clients.replace("\0", address, 1)
        yield fields[0], clients, fields[2:]


def _listed(text: str, matches: object) -> bool:
    words = text.replace(",", " ").split()
    assert callable(matches)
    if "EXCEPT" in words:
        at = words.index("EXCEPT")
        inside = any(matches(word) for word in words[:at])
        return inside and not _listed(" ".join(words[at + 1 :]), matches)
    return any(matches(word) for word in words)


def _matches(word: str, peer: Address) -> bool:
    if word == "ALL":
        return True
    if word.endswith(".") and isinstance(peer, ipaddress.IPv4Address):
        return f"{peer}.".startswith(word)
    try:
        network = ipaddress.ip_network(word.replace("[", "").replace("]", ""), strict=False)
    except ValueError:
        return False
    return peer.version == network.version and peer in network
