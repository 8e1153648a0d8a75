#!/bin/sh
# Start the daemon in the foreground: run.sh VENV CONFDIR [auditd's arguments]
set -eu
venv=$1
conf=$2
shift 2
"$venv/bin/auditd" --check-privilege || exit $?
if [ "$(stat -c %u "$conf/auditd.conf")" != 0 ]; then
    # a checkout that belongs to somebody else: settings of root's daemon must be root's
    install -d -m 0755 "$venv/etc/auditd_py"
    install -o root -g root -m 0640 "$conf/auditd.conf" "$venv/etc/auditd_py/auditd.conf"
    conf=$venv/etc/auditd_py
fi
log=$(sed -n 's/^ *log_file *= *//p' "$conf/auditd.conf" | tail -n 1)
[ -z "$log" ] || [ -d "$(dirname "$log")" ] || install -d -m 0700 "$(dirname "$log")"
echo "settings: $conf/auditd.conf; log: ${log:-none}; Ctrl-C ends it" >&2
exec "$venv/bin/auditd" -n -c "$conf" "$@"
