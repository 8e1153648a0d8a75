#!/bin/sh
# Build build/auditd-py_VERSION_ARCH.deb with the Python that runs this machine's commands.
# The same commit and the same wheels give the same bytes.
set -eu
cd "$(dirname "$0")/.."
python=${VENV:-build/venv}/bin/python
root=build/deb
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}
export SOURCE_DATE_EPOCH
umask 022
rm -rf "$root"
mkdir -p "$root/DEBIAN"
"$python" tools/install_tree.py --prefix /usr --destdir "$root" --debian
doc=$root/usr/share/doc/auditd-py
install -D -m 0644 packaging/debian/copyright "$doc/copyright"
gzip -9nc CHANGELOG.md > "$doc/changelog.gz"
cp -r docs "$doc/docs"
rm -r "$doc/docs/man"
find "$doc" -type f -exec chmod 0644 {} +

version=$("$python" -c 'import auditd_py; print(auditd_py.__version__)')
next=$("$python" -c 'import sys; print("3.%d" % (sys.version_info[1] + 1))')
this=$("$python" -c 'import sys; print("3.%d" % sys.version_info[1])')
arch=$(dpkg --print-architecture)
for script in postinst prerm postrm; do
    install -m 0755 "packaging/debian/$script" "$root/DEBIAN/$script"
done
cat > "$root/DEBIAN/control" <<END
Package: auditd-py
Version: $version
Architecture: $arch
Maintainer: the authors of auditd-py <root@localhost>
Installed-Size: $(du -sk --apparent-size --exclude=DEBIAN "$root" | cut -f1)
Depends: python3 (>= $this), python3 (<< $next), init-system-helpers (>= 1.54~)
Conflicts: auditd, audispd-plugins
Replaces: auditd, audispd-plugins
Provides: auditd, audispd-plugins
Section: admin
Priority: optional
Description: Linux audit userspace in Python
 The audit daemon with its control, rules, searches and plugins: auditd, auditctl,
 augenrules, ausearch, audisp-remote and the others, in place of the C programs.
 .
 At the first installation it takes over the settings and rules of /etc/audit, which
 stay as they are: installing auditd again gives everything back.
END
(cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum > DEBIAN/md5sums)
chmod 0644 "$root/DEBIAN/control" "$root/DEBIAN/md5sums"
chmod 0755 "$root/DEBIAN"
find "$root" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zxz -z2 --build "$root" build/ >/dev/null
echo "build/auditd-py_${version}_$arch.deb"
