"""auditd: the command line of the daemon."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Final, NoReturn

from auditd_py import __version__
from auditd_py.errors import ActionError, AuditError, ConfigError
from auditd_py.netlink.privilege import CAP_AUDIT_CONTROL, has_capability

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditd_py.config.daemon import Loaded

EXIT_USAGE: Final = 2
EXIT_PRIVILEGE: Final = 4
EXIT_CONFIG: Final = 6

CONFIG_DIRECTORY: Final = "/etc/auditd_py"
_STATES: Final = ("disable", "enable", "nochange")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EXIT_USAGE, f"auditd: {message}\n")


def _state(word: str) -> str:
    # any beginning of a word will do, as it always has; an empty one means disable
    for state in _STATES:
        if state.startswith(word):
            return state
    raise argparse.ArgumentTypeError(f"{word}: disable, enable or nochange is allowed")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="auditd",
        description="The Linux audit daemon: writes the kernel's audit records to disk.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("-f", "--foreground", action="store_true", help="records to standard output, no log file")
    add("-l", "--allow_links", action="store_true", help="auditd.conf may be a symbolic link")
    add("-n", "--disable_fork", action="store_true", help="stay in the foreground, for systemd")
    add("-s", "--enable_state", type=_state, default="enable", metavar="STATE",
        help="auditing at start: enable (default), disable, nochange")  # fmt: skip
    add("-c", "--config_file", default=CONFIG_DIRECTORY, metavar="DIR",
        help=f"directory of auditd.conf (default {CONFIG_DIRECTORY})")  # fmt: skip
    add("--check-config", action="store_true", help="report every error of auditd.conf and exit")
    add("--test-actions", nargs="?", const="", metavar="NAME",
        help="rehearse the actions of auditd.conf, or those of one keyword or word, and exit")  # fmt: skip
    add("--check-privilege", action="store_true", help="say whether this process may be the daemon")
    add("--clients", action="store_true", help="list the hosts that send records to the daemon")
    add("--release-claims", metavar="COLLECTOR",
        help="have others write what a collector of a fleet claimed that never comes back")  # fmt: skip
    add("--reexec", action="store_true", help="have the running daemon execute its new version")
    add("--check-takeover", type=int, metavar="FORMAT",
        help="say whether a daemon of such a state could execute this version; for --reexec")  # fmt: skip
    add("--observe", action="store_true", help="show records beside another daemon, change nothing")
    add("--output", metavar="FILE", help="with --observe: append to FILE")
    add("--version", action="version", version=f"auditd {__version__}")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run auditd with `arguments`, the process's own by default; return the exit status."""
    options = _parser().parse_args(arguments)
    if options.check_privilege:
        return 0 if _may_be_daemon() else EXIT_PRIVILEGE
    path = os.path.join(options.config_file, "auditd.conf")
    from auditd_py.config.daemon import load

    try:
        loaded = load(path, allow_links=options.allow_links)
    except ConfigError as error:
        print(error, file=sys.stderr)
        if not options.check_config:
            _may_be_daemon()  # an ordinary user is told that as well
        return EXIT_CONFIG
    return _run(path, loaded, options)


def _run(path: str, loaded: Loaded, options: argparse.Namespace) -> int:
    if options.check_config:
        return _check(path, loaded)
    if options.check_takeover is not None:
        return _check_takeover(path, loaded, options.check_takeover)
    if options.test_actions is not None:
        return _rehearse(loaded, options.test_actions)
    if options.clients or options.reexec or options.release_claims:
        return _ask(loaded, options)
    if options.observe:
        return _observe(loaded, options.output)
    return _start(path, loaded, options)


def _ask(loaded: Loaded, options: argparse.Namespace) -> int:
    from auditd_py.cli.clients import show_clients
    from auditd_py.cli.reexec import reexec
    from auditd_py.cli.release_claims import release

    if options.release_claims:
        return release(loaded.config, options.release_claims)
    return (show_clients if options.clients else reexec)(loaded.config.run_dir)


def _start(path: str, loaded: Loaded, options: argparse.Namespace) -> int:
    if loaded.config.local_events and not _may_be_daemon():
        return EXIT_PRIVILEGE
    return _serve(path, loaded, options)


def _check(path: str, loaded: Loaded) -> int:
    import platform

    from auditd_py.actions.base import NoServices, make_actions

    for warning in loaded.warnings:
        print(warning, file=sys.stderr)
    try:
        make_actions(loaded.config, platform.node(), NoServices())
    except ActionError as error:
        for line in str(error).splitlines():
            print(f"{path}: {line}", file=sys.stderr)
        return EXIT_CONFIG
    print(f"{path}: no errors")
    return 0


def _check_takeover(path: str, loaded: Loaded, state_format: int) -> int:
    import uvloop  # noqa: F401  whether it can be imported

    from auditd_py.config.plugin import load_plugins
    from auditd_py.daemon import app, handover  # noqa: F401
    from auditd_py.daemon.collector import check_transport

    if state_format != handover.FORMAT:
        print(f"auditd: takes over state {handover.FORMAT}, not {state_format}", file=sys.stderr)
        return 1
    problems = load_plugins(loaded.config.plugin_dir).problems
    try:
        check_transport(loaded.config)
    except ConfigError as error:
        problems += error.problems
    for problem in problems:
        print(problem, file=sys.stderr)
    return _check(path, loaded) or (EXIT_CONFIG if problems else 0)


def _may_be_daemon() -> bool:
    if has_capability(CAP_AUDIT_CONTROL):
        return True
    who = "root without CAP_AUDIT_CONTROL" if os.geteuid() == 0 else f"uid {os.geteuid()}"
    print(
        f"auditd: the kernel's audit daemon needs the capability CAP_AUDIT_CONTROL; this is {who}.\n"
        "  as root:                          run it with sudo\n"
        "  in a container:                   add the capability (--cap-add AUDIT_CONTROL, host pid\n"
        "                                    namespace), or set local_events = no in auditd.conf to\n"
        "                                    only store other hosts' records\n"
        "  to look on beside another daemon: auditd --observe (CAP_AUDIT_READ is enough)",
        file=sys.stderr,
    )
    return False


def _rehearse(loaded: Loaded, name: str) -> int:
    import platform

    from auditd_py.actions.rehearsal import rehearse

    table, status = rehearse(loaded.config, name, platform.node())
    print(table, end="")
    return status


def _observe(loaded: Loaded, output: str | None) -> int:
    import uvloop

    from auditd_py.daemon.observe import observe
    from auditd_py.daemon.syslog import MessageSink, configure

    configure(MessageSink(to_syslog=False, to_stderr=True))
    return uvloop.run(observe(loaded.config, output))


def _serve(path: str, loaded: Loaded, options: argparse.Namespace) -> int:
    import uvloop

    from auditd_py.daemon import handover, process, reexec
    from auditd_py.daemon.app import Daemon, Options
    from auditd_py.daemon.syslog import MessageSink, configure

    folder = os.getcwd()
    before = handover.found()
    terminal = sys.stderr is not None and sys.stderr.isatty()
    attached = options.foreground or options.disable_fork
    messages = MessageSink(
        to_syslog=not options.foreground, to_stderr=options.foreground or (attached and terminal)
    )
    log = configure(messages)
    process.ignore_signals()
    reexec.hold_signal()
    process.lift_limits()
    try:
        boost = before.state["priority_boost"] if before else 0
        process.raise_priority(loaded.config.priority_boost, boost)
    except OSError as error:
        log.error("Cannot change priority", reason=error.strerror)
        print(f"auditd: cannot change priority: {error.strerror}", file=sys.stderr)
        return 1
    for warning in loaded.warnings:
        log.warning(str(warning))
    pipe = process.ReadyPipe()
    if not options.foreground:
        os.umask(os.umask(0o022) | 0o022)
    if not attached and before is None:
        pipe.detach()
    elif not attached:
        os.chdir("/")

    config_path = os.path.abspath(path)

    async def run() -> int:
        live = terminal and options.disable_fork and not options.foreground
        daemon_options = Options(
            config_path,
            options.allow_links,
            options.foreground,
            options.enable_state,
            live,
            (sys.executable, *sys.orig_argv[1:]),
            folder,
        )
        daemon = Daemon(daemon_options, loaded.config, messages, pipe.report, before)
        return await daemon.run()

    try:
        return uvloop.run(run())
    except AuditError as error:
        log.error(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
