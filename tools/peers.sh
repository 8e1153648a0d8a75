#!/bin/sh
# Unpack Debian's auditd and its tools into .cache/peers, to run beside ours in tests and
# benchmarks. They are not installed: their service would take the kernel's audit slot.
set -eu
dest=${PEERS:-.cache/peers}
[ -x "$dest/sbin/auditd" ] && [ -x "$dest/sbin/audisp-syslog" ] && [ -x "$dest/usr/sbin/laurel" ] && exit 0
command -v apt-get >/dev/null 2>&1 || { echo "no apt-get: tests beside the C daemon need Debian's auditd" >&2; exit 1; }
rm -rf "$dest"
mkdir -p "$dest/deb"
here=$(cd "$dest/deb" && pwd)
echo "fetching Debian's auditd to compare with (unpacked to $dest, not installed)" >&2
fetch() { (cd "$here" && apt-get -qq -o APT::Sandbox::User=root download auditd libauparse0 libaudit1 audispd-plugins laurel 2>/dev/null); }
fetch || { [ "$(id -u)" = 0 ] && apt-get update -qq; fetch; }
for package in "$here"/*.deb; do dpkg -x "$package" "$dest"; done
rm -rf "$here"
