# The collector: stores records of other hosts, as an ordinary user, on a read-only root.
#
#   make deb && docker build -t auditd-py .
#   docker run --read-only --tmpfs /run/audit:uid=10001,mode=0755 --cap-drop=ALL \
#     -v auditd-log:/var/log/audit -p 6000:6000 auditd-py
#
# With podman or buildah the build needs --format=docker: images of OCI's format have no HEALTHCHECK.
#
# The host's own audit daemon: as root, with the kernel's audit. No other daemon may run.
#
#   docker run --read-only --tmpfs /run/audit:uid=0,mode=0755 --user=0:0 --pid=host --net=host \
#     --cap-drop=ALL --cap-add=AUDIT_CONTROL --cap-add=AUDIT_WRITE \
#     --cap-add=SYS_NICE --cap-add=SYS_RESOURCE --cap-add=NET_ADMIN \
#     --cap-add=CHOWN --cap-add=DAC_OVERRIDE \
#     -v /var/log/audit:/var/log/audit -v /etc/auditd_py:/etc/auditd_py:ro auditd-py
#
#   AUDIT_CONTROL, AUDIT_WRITE   the kernel's records and the daemon's place
#   SYS_NICE, SYS_RESOURCE       priority_boost, protection from the OOM killer
#   NET_ADMIN                    receive_buffer above net.core.rmem_max
#   CHOWN, DAC_OVERRIDE          a log with log_group
ARG BASE=debian:12-slim
FROM ${BASE}
COPY build/auditd-py_*.deb /tmp/
COPY packaging/container/auditd.conf /etc/auditd_py/auditd.conf
RUN (dpkg -i /tmp/auditd-py_*.deb || { apt-get update && apt-get install -y --no-install-recommends /tmp/auditd-py_*.deb; }) \
    && rm -rf /tmp/*.deb /var/lib/apt/lists/* \
    && chmod -R a+rX /etc/auditd_py && chmod 0644 /etc/auditd_py/auditd.conf \
    && install -d -o 10001 -g 10001 -m 0700 /var/log/audit && install -d -o 10001 -g 10001 /run/audit
USER 10001:10001
EXPOSE 6000
VOLUME /var/log/audit
HEALTHCHECK --interval=30s --timeout=5s CMD ["/usr/bin/auditd-py", "auditd", "--clients"]
CMD ["/usr/bin/auditd-py", "auditd", "-n"]
