#!/bin/sh
# Make the environment this project runs in: bootstrap.sh run|test|vm|bench|demo|man|package
# As root it installs missing Debian packages, saying so; otherwise it names them and stops.
set -eu
purpose=$1
venv=${VENV:-.venv}

say() { printf '%s\n' "$*" >&2; }

python=${PYTHON:-}
if [ -z "$python" ]; then
    for candidate in python3 python3.13 python3.12 python3.11; do
        if command -v "$candidate" >/dev/null 2>&1 \
            && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            python=$candidate
            break
        fi
    done
fi

missing=""
need() { missing="$missing $1"; }
if [ -z "$python" ]; then need python3; need python3-venv
elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then need python3-venv
fi
case $purpose in man | test)
    command -v pandoc >/dev/null 2>&1 || need pandoc ;;
esac
case $purpose in test | bench | demo)
    # a cluster that carries the records of many hosts; its service is not used
    command -v nats-server >/dev/null 2>&1 || need nats-server ;;
esac
case $purpose in test | bench)
    # libraries of the C daemon that tests and benchmarks run beside ours (tools/peers.sh)
    ldconfig -p 2>/dev/null | grep -q 'libwrap\.so\.0' || /sbin/ldconfig -p 2>/dev/null | grep -q 'libwrap\.so\.0' || need libwrap0
    ldconfig -p 2>/dev/null | grep -q 'libgssapi_krb5\.so\.2' || /sbin/ldconfig -p 2>/dev/null | grep -q 'libgssapi_krb5\.so\.2' || need libgssapi-krb5-2
    ldconfig -p 2>/dev/null | grep -q 'libfuse3\.so\.3' || /sbin/ldconfig -p 2>/dev/null | grep -q 'libfuse3\.so\.3' || need libfuse3-3
    # to build gssapi, and a real key distribution center
    command -v krb5-config >/dev/null 2>&1 || need libkrb5-dev
    [ -x /usr/sbin/krb5kdc ] || need krb5-kdc
    [ -x /usr/sbin/kadmin.local ] || need krb5-admin-server
    command -v gcc >/dev/null 2>&1 || need gcc
    [ -e /usr/include/stdio.h ] || need libc6-dev
    [ -e /usr/include/linux/audit.h ] || need linux-libc-dev
    command -v openssl >/dev/null 2>&1 || need openssl
    # a sendmail for the email action; a mail system that is there already stays
    [ -e /usr/sbin/sendmail ] || [ -e /usr/lib/sendmail ] || need postfix
    # namespaces with a bad line between them (tests/link.py)
    command -v ip >/dev/null 2>&1 || [ -x /sbin/ip ] || need iproute2
    # Spark, on a cluster of this machine alone
    command -v java >/dev/null 2>&1 || need openjdk-17-jre-headless
    # the checks of metrics and alert rules; its server is not started
    command -v promtool >/dev/null 2>&1 || need prometheus
    # pages of charts are tried in a real browser
    command -v chromium >/dev/null 2>&1 || need chromium
    command -v mkfs.ext4 >/dev/null 2>&1 || [ -x /sbin/mkfs.ext4 ] || need e2fsprogs ;;
esac
if [ "$purpose" = test ]; then
    # the package is installed in a Debian of its own, the completions are asked of their shells
    [ -x /usr/sbin/debootstrap ] || need debootstrap
    command -v systemd-analyze >/dev/null 2>&1 || need systemd
    command -v fish >/dev/null 2>&1 || need fish
    command -v zsh >/dev/null 2>&1 || need zsh
    # the image is built and run
    command -v buildah >/dev/null 2>&1 || need buildah
    command -v runc >/dev/null 2>&1 || [ -x /usr/sbin/runc ] || need runc
    [ -e /usr/share/bash-completion/bash_completion ] || need bash-completion
fi
if [ "$purpose" = vm ]; then
    command -v qemu-system-x86_64 >/dev/null 2>&1 || need qemu-system-x86
    command -v debootstrap >/dev/null 2>&1 || [ -x /usr/sbin/debootstrap ] || need debootstrap
fi
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "installing with apt-get:$missing"
        export DEBIAN_FRONTEND=noninteractive
        case $missing in *postfix*)  # without a configuration it cannot start; a test has its own
            echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections ;;
        esac
        # shellcheck disable=SC2086  # a list of package names
        apt-get install -qq -y --no-install-recommends $missing >/dev/null 2>&1 || {
            apt-get update -qq >/dev/null
            # shellcheck disable=SC2086
            apt-get install -qq -y --no-install-recommends $missing >/dev/null
        }
        [ -n "$python" ] || python=python3
    else
        say "missing packages, install them as root:  apt-get install$missing"
        exit 1
    fi
fi

[ "$purpose" != man ] || exit 0
extras=""
case $purpose in
    test | bench) extras="[test,dev]" ;;
    demo) extras="[archive,fleet,report]" ;;
esac
stamp="$venv/.installed-$purpose"
if [ ! -e "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
    say "making the environment in $venv"
    [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
    if [ "$purpose" = package ]; then
        "$venv/bin/pip" install -q --disable-pip-version-check build "hatchling>=1.25"
    else
        "$venv/bin/pip" install -q --disable-pip-version-check -e ".$extras"
    fi
    touch "$stamp"
fi
case $purpose in test | bench) sh tools/peers.sh ;; esac
