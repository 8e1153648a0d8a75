"""auditctl: the command line of the kernel's audit rules and settings."""

from __future__ import annotations

import errno
import io
import os
import signal
import stat
import sys
from typing import TYPE_CHECKING, Final

from auditd_py import __version__
from auditd_py.errors import KernelError, RuleError
from auditd_py.netlink.control import Control
from auditd_py.netlink.privilege import CAP_AUDIT_CONTROL, has_capability
from auditd_py.rules.command import Command, Verb
from auditd_py.rules.file import errors, merged, parse_file
from auditd_py.rules.host import Host
from auditd_py.rules.message import user_message
from auditd_py.rules.parse import parse_command
from auditd_py.rules.perform import (
    DISABLED,
    DONE,
    FAILED,
    GENERIC,
    WRONG,
    Performer,
    StepError,
    file_problem,
    loginuid_immutable,
    watch_note,
)
from auditd_py.rules.words import Line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from auditd_py.rules.file import FileLine

EXIT_PRIVILEGE: Final = 4
EXIT_NOT_RUNNING: Final = 2
STOP_TIMEOUT_S: Final = 20.0

USAGE: Final = """\
usage: auditctl [OPTIONS]
  -a LIST,ACTION   add a rule at the end       -A LIST,ACTION  at the start
  -d LIST,ACTION   delete a rule               -D [-k KEY]  delete all rules
     LIST: exit task user exclude filesystem io_uring    ACTION: always never
  -S CALL,...      system calls by name or number, or all
  -F FIELD=VALUE   condition (= != < > <= >= & &=)
  -C FIELD=FIELD   compare two fields
  -k KEY           name the rule's events
  -w PATH [-p rwxa]  watch a file or a tree    -W PATH      remove that watch
  -l [-i] [-k KEY] list the rules              -s [-i]      show the status
  -b N             backlog limit               -r N         messages a second
  -f 0..2          on failure: silent, printk, panic
  -e 0..2          off, on, locked until reboot
  -R FILE          read rules from a file      -c, -i       go on after errors
  -m TEXT          send a user-space record    -t           trim watched trees
  -q MOUNT,TREE    a tree was mounted elsewhere too
  -v               version                     -h           this text
  --backlog_wait_time N                        --loginuid-immutable
  --reset-lost                                 --reset_backlog_wait_time_actual
  --signal stop|reload|rotate|resume|state     to the audit daemon
  --transaction    with -R: load all of the file or leave everything as it was
  --check FILE...  find errors and weak spots in rule files or folders
  --drift FILE|DIR compare the kernel's rules with files
  --json           with -s, -l, --check, --drift: print JSON
"""

OWN_OPTIONS: Final = ("--check", "--drift", "--json", "--transaction")

_ENDING: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_SIGNALS: Final = {
    "term": signal.SIGTERM, "stop": signal.SIGTERM,
    "hup": signal.SIGHUP, "reload": signal.SIGHUP,
    "usr1": signal.SIGUSR1, "rotate": signal.SIGUSR1,
    "usr2": signal.SIGUSR2, "resume": signal.SIGUSR2,
    "cont": signal.SIGCONT, "state": signal.SIGCONT,
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Run auditctl with `arguments`, the process's own by default; return the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # paths and keys are bytes, and go out as they came
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
    own: set[str] = {option for option in OWN_OPTIONS if option in words}
    words = [word for word in words if word not in own]
    try:
        if _needs_no_kernel(words, own):
            return _without_kernel(words, own)
        return _with_kernel(words, own)
    except KernelError as error:
        disabled = error.errno == errno.ECONNREFUSED
        _tell(DISABLED if disabled else str(error))
        return DONE if disabled else WRONG
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w", encoding="ascii")  # noqa: SIM115  for the last flush
        return FAILED


def _needs_no_kernel(words: list[str], own: set[str]) -> bool:
    return "--check" in own or (not own and words in ([], ["-h"], ["--help"], ["-v"]))


def _without_kernel(words: list[str], own: set[str]) -> int:
    if "--check" in own:
        return _check(words, as_json="--json" in own)
    if words == ["-v"]:
        print(f"auditctl version {__version__}")
        return DONE
    sys.stdout.write(USAGE)
    return DONE if words else FAILED


def _with_kernel(words: list[str], own: set[str]) -> int:
    if not has_capability(CAP_AUDIT_CONTROL):
        _tell("You must be root to run this program.")
        return EXIT_PRIVILEGE
    with Control() as kernel:
        if "--drift" in own:
            return _drift(words, kernel, as_json="--json" in own)
        return run(words, kernel, own)


def run(words: list[str], kernel: Control, own: AbstractSet[str] = frozenset()) -> int:
    """Do what the words ask of the kernel; `own` are those of OWN_OPTIONS that stood there."""
    host = _host(kernel)
    try:
        command = parse_command(Line.of_words(words), host)
    except RuleError as error:
        _tell(f"{error}\n{GENERIC}")
        return WRONG
    for warning in (*command.warnings, watch_note(command, host)):
        if warning:
            _tell(warning)
    return _perform(command, kernel, host, own)


def _perform(command: Command, kernel: Control, host: Host, own: AbstractSet[str]) -> int:
    performer = Performer(kernel, host, sys.stdout.write, _tell, _Others(kernel).do)
    if command.does(Verb.READ_FILE):
        return _load(str(command.steps[0][1]), performer, host, whole="--transaction" in own)
    if "--json" in own:
        return _print_json(command, kernel, host)
    if "--transaction" in own or not command.steps:
        _tell(f"{'--transaction is' if '--transaction' in own else '-c and -i are'} for rule files")
        return WRONG
    try:
        return performer.perform(command)
    except StepError as failure:
        if failure.status:
            _tell(GENERIC)
        return failure.status


def _load(path: str, performer: Performer, host: Host, *, whole: bool) -> int:
    lines = _lines([path], host)
    if lines is None:
        return FAILED
    if not whole:
        return performer.load(lines, path)
    # to be ended halfway is what a transaction must not be
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        return performer.load_whole(lines)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _check(paths: list[str], *, as_json: bool) -> int:
    from auditd_py.rules.check import check

    if not paths:
        _tell("--check needs the names of rule files")
        return WRONG
    host = _host(None)
    lines = _lines([file for path in paths for file in _rule_files(path)], host)
    if lines is None:
        return FAILED
    findings = check(lines, host)
    if as_json:
        _print([{"where": f.where, "kind": f.kind, "text": f.text} for f in findings])
    else:
        for finding in findings:
            print(finding)
        print(f"{len(lines)} lines, {len(findings)} findings")
    return FAILED if findings else DONE


def _drift(paths: list[str], kernel: Control, *, as_json: bool) -> int:
    from auditd_py.rules.load import drift, live_rules

    if len(paths) != 1:
        _tell("--drift needs the name of a rule file or of a folder")
        return WRONG
    host = _host(kernel)
    files = _rule_files(paths[0])
    lines = _lines(files, host)
    if lines is None:
        return FAILED
    if wrong := errors(lines):
        for error in wrong:
            _tell(str(error))
        return FAILED
    differences = drift(
        merged(lines) if len(files) > 1 else lines, live_rules(kernel), kernel.status(), host
    )
    if as_json:
        _print({"differs": bool(differences), "diff": differences})
    else:
        for difference in differences:
            print(difference)
    return FAILED if differences else DONE


def _rule_files(path: str) -> list[str]:
    if not os.path.isdir(path):
        return [path]
    from auditd_py.rules.merge import merged_names

    return [os.path.join(path, name) for name in merged_names(os.listdir(path))]


def _lines(paths: list[str], host: Host) -> list[FileLine] | None:
    lines: list[FileLine] = []
    for path in paths:
        try:
            with open(path, "rb") as file:
                problem = file_problem(path, os.fstat(file.fileno()).st_mode)
                data = b"" if problem else file.read()
        except FileNotFoundError:
            problem = f"audit rules file {path} doesn't exist"
        except OSError as error:
            problem = f"Error - {path}: {error.strerror}"
        if problem:
            _tell(problem)
            return None
        lines += parse_file(data, path, host)
    return lines


def _print_json(command: Command, kernel: Control, host: Host) -> int:
    from auditd_py.rules.load import live_rules
    from auditd_py.rules.show import rule_object, status_object

    if command.does(Verb.LIST):
        key = command.key.encode("utf-8", "surrogateescape")
        _print([rule_object(rule, host) for rule in live_rules(kernel) if key in rule.key])
    elif [verb for verb, _ in command.steps] == [Verb.STATUS]:
        _print(status_object(kernel.status(), loginuid_immutable(kernel)))
    else:
        _tell("--json is for -s, -l, --check and --drift")
        return WRONG
    return DONE


def _print(value: object) -> None:
    import json

    print(json.dumps(value, indent=1))


class _Others:
    """The steps that take more than the rules: messages and signals."""

    def __init__(self, kernel: Control) -> None:
        self._kernel = kernel

    def do(self, verb: Verb, what: str) -> int:
        if verb is Verb.MESSAGE:
            self._kernel.user_message(user_message(what, _program(), _terminal()))
            return DONE
        if verb is Verb.SIGNAL:
            return self._signal(what)
        sys.stdout.write(USAGE if verb is Verb.HELP else f"auditctl version {__version__}\n")
        return DONE

    def _signal(self, name: str) -> int:
        number = _SIGNALS.get(name.lower().removeprefix("sig"))
        if number is None:
            _tell(f"{name} is an unsupported signal")
            return FAILED
        pid = self._kernel.status().pid
        if pid <= 0:
            _tell("Auditd is not running")
            return EXIT_NOT_RUNNING
        try:
            daemon = os.pidfd_open(pid)
            try:
                signal.pidfd_send_signal(daemon, number)
                if number is signal.SIGTERM and not _ended(daemon):
                    _tell(f"auditd (pid {pid}) has not ended after {STOP_TIMEOUT_S:g} s")
            finally:
                os.close(daemon)
        except OSError as error:
            _tell(f"Error sending the signal to auditd (pid {pid}): {error.strerror}")
            return FAILED
        return DONE


def _ended(daemon: int) -> bool:
    import select

    poll = select.poll()
    poll.register(daemon, select.POLLIN)
    return bool(poll.poll(STOP_TIMEOUT_S * 1000))


def _program() -> str:
    return os.path.abspath(sys.argv[0]) if sys.argv[0] else "auditctl"


def _terminal() -> str:
    try:
        return os.ttyname(0).removeprefix("/dev/")
    except OSError:
        return ""


def _host(kernel: Control | None) -> Host:
    machine = os.uname().machine
    if kernel is None:
        return Host(machine, user_id=_user_id, group_id=_group_id, is_directory=os.path.isdir)
    known: dict[str, int] = {}

    def field(name: str) -> int:
        # two questions, each asked once
        if name not in known:
            known[name] = getattr(kernel.status(), name)
        return known[name]

    return Host(
        machine,
        lambda: field("enabled"),
        lambda: field("feature_bitmap"),
        _user_id,
        _group_id,
        _is_directory,
        _user_name,
        _group_name,
    )


def _is_directory(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def _user_id(name: str) -> int | None:
    import pwd

    try:
        return pwd.getpwnam(name).pw_uid
    except (KeyError, ValueError):
        return None


def _group_id(name: str) -> int | None:
    import grp

    try:
        return grp.getgrnam(name).gr_gid
    except (KeyError, ValueError):
        return None


def _user_name(number: int) -> bytes | None:
    import pwd

    try:
        return pwd.getpwuid(number).pw_name.encode("utf-8", "surrogateescape")
    except KeyError:
        return None


def _group_name(number: int) -> bytes | None:
    import grp

    try:
        return grp.getgrgid(number).gr_name.encode("utf-8", "surrogateescape")
    except KeyError:
        return None


def _tell(text: str) -> None:
    sys.stdout.flush()
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
