#!/bin/sh
# A clean Debian 12 with Python in .cache/debian12, made once: tests install the package in copies.
# No service starts in it: its programs would meet this machine's kernel.
set -eu
dest=${DEBIAN_TREE:-.cache/debian12}
[ ! -e "$dest/.complete" ] || exit 0
[ "$(id -u)" = 0 ] || { echo "debian_tree.sh: needs root" >&2; exit 1; }
mirror=$(sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)*\([^ ]*\) bookworm main.*/\2/p' \
    /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | head -n 1)
rm -rf "$dest"
mkdir -p "$dest"
# without an archive of this machine's apt, debootstrap takes Debian's own
# shellcheck disable=SC2086  # empty: no argument
PATH=$PATH:/usr/sbin:/sbin debootstrap --variant=minbase \
    --include=python3,init-system-helpers,make,python3-venv,ca-certificates \
    bookworm "$dest" $mirror >&2
printf '#!/bin/sh\nexit 101\n' > "$dest/usr/sbin/policy-rc.d"
chmod 0755 "$dest/usr/sbin/policy-rc.d"
rm -f "$dest"/var/cache/apt/archives/*.deb
touch "$dest/.complete"
