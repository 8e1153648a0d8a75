#!/bin/sh
# make install: the tree below DESTDIR, and settings that are missing in DESTDIR/etc/auditd_py
set -eu
cd "$(dirname "$0")/.."
prefix=${PREFIX:-/usr/local}
destdir=${DESTDIR:-}
umask 022
"${VENV:-build/venv}/bin/python" tools/install_tree.py --prefix "$prefix" --destdir "$destdir"
conf=$destdir/etc/auditd_py
install -d -m 0750 "$conf" "$conf/plugins.d" "$conf/rules.d"
defaults=$destdir$prefix/share/auditd-py/defaults
for file in $(cd "$defaults" && find . -type f); do
    [ -e "$conf/$file" ] || install -m 0640 "$defaults/$file" "$conf/$file"
done
[ -d "$destdir/var/log/audit" ] || install -d -m 0700 "$destdir/var/log/audit"
echo "installed in $destdir$prefix; the service: systemctl daemon-reload; systemctl enable --now auditd-py audit-rules-py"
