"""auditd_py.rules.perform on a kernel in memory."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.errors import KernelError, RuleError
from auditd_py.rules.command import Verb
from auditd_py.rules.file import parse_file
from auditd_py.rules.host import Host
from auditd_py.rules.load import IMMUTABLE
from auditd_py.rules.parse import parse_command, parse_words
from auditd_py.rules.perform import Performer, StepError, file_problem, watch_note
from auditd_py.rules.words import Line
from tests.rules.kernels import MemoryKernel
from tests.rules.strategies import WORDS


class Session:
    """A performer, what it said, and its kernel."""

    def __init__(self, kernel: MemoryKernel | None = None) -> None:
        self.kernel = kernel or MemoryKernel()
        self.shown: list[str] = []
        self.told: list[str] = []
        self.others: list[tuple[Verb, str]] = []
        self.host = Host(
            enabled=lambda: self.kernel.state.enabled,
            features=lambda: self.kernel.state.feature_bitmap,
        )
        self.performer = Performer(
            self.kernel, self.host, self.shown.append, self.told.append, self.other
        )

    def other(self, verb: Verb, what: str) -> int:
        self.others.append((verb, what))
        return 2

    def perform(self, text: str) -> int:
        return self.performer.perform(parse_words(text, self.host))

    def load(self, *lines: str, whole: bool = False) -> int:
        parsed = parse_file("\n".join(lines).encode(), "a", self.host)
        if whole:
            return self.performer.load_whole(parsed)
        return self.performer.load(parsed, "a")

    def listing(self) -> str:
        self.shown.clear()
        self.perform("-l")
        return self.shown.pop()


def test_a_rule_is_added_listed_and_deleted():
    session = Session()
    assert session.perform("-w /a -p wa -k k") == 0
    assert session.listing() == "-w /a -p wa -k k\n"
    assert session.perform("-W /a -p wa -k k") == 0
    assert session.listing() == "No rules\n"


def test_a_rule_added_twice_exists():
    session = Session()
    session.perform("-w /a")
    with pytest.raises(StepError) as caught:
        session.perform("-w /a")
    assert caught.value.status == 255
    assert session.told == ["Error sending add rule data request (Rule exists)"]


def test_a_rule_that_is_not_there_cannot_be_deleted():
    session = Session()
    with pytest.raises(StepError):
        session.perform("-W /a")
    assert session.told == [
        "Error sending delete rule data request (No such file or directory)"
    ]  # fmt: skip


def test_a_setting_shows_the_status():
    session = Session()
    assert session.perform("-b 5 -r 6") == 0
    assert [text.splitlines()[3:5] for text in session.shown] == [
        ["rate_limit 0", "backlog_limit 5"],
        ["rate_limit 6", "backlog_limit 5"],
    ]


def test_deleting_all_shows_what_remains():
    session = Session()
    session.load("-w /a -k one", "-w /b -k two")
    assert session.perform("-D -k on") == 0
    assert session.shown == ["-w /b -p rwxa -k two\n"]


def test_the_lost_counter_is_shown_and_reset():
    kernel = MemoryKernel()
    kernel.state = replace(kernel.state, lost=7)
    session = Session(kernel)
    assert session.perform("--reset-lost") == 0
    assert session.shown == ["lost: 7\n"]
    assert kernel.state.lost == 0


def test_an_old_kernel_cannot_reset_the_lost_counter():
    kernel = MemoryKernel()
    kernel.state = replace(kernel.state, feature_bitmap=0)
    session = Session(kernel)
    with pytest.raises(StepError):
        session.perform("--reset-lost")
    assert session.told == ["Error in reset lost (Operation not supported)"]


def test_login_uids_are_made_immutable():
    session = Session()
    session.perform("--loginuid-immutable")
    features = session.kernel.features_set
    assert (features.mask, features.features, features.lock) == (2, 2, 2)
    session.perform("-s")
    assert session.shown[0].endswith("loginuid_immutable 1 locked\n")


def test_what_is_no_request_of_auditctl_is_done_by_others():
    session = Session()
    assert session.perform("-m hello") == 2
    assert session.perform("--signal stop") == 2
    assert session.others == [(Verb.MESSAGE, "hello"), (Verb.SIGNAL, "stop")]


def test_where_audit_is_off_that_is_no_failure():
    class Off(MemoryKernel):
        def rules(self) -> list[bytes]:
            raise KernelError(errno.ECONNREFUSED, "LIST_RULES")

    session = Session(Off())
    with pytest.raises(StepError) as caught:
        session.perform("-l")
    assert (caught.value.status, session.told) == (0, ["The audit system is disabled"])


def test_a_locked_kernel_takes_no_rules_but_other_settings_are_tried():
    session = Session(MemoryKernel(enabled=2))
    with pytest.raises(StepError):
        session.perform("-b 5 -w /a")
    assert session.told[0] == "Error setting -b 5 (Operation not permitted)"
    assert session.told[1].startswith(IMMUTABLE)
    assert "reboot" in session.told[1]
    session.told.clear()
    assert session.perform("-w /a") == 1
    assert session.told[0].startswith(IMMUTABLE)


def test_a_file_stops_at_its_first_error_and_tells_the_rest():
    session = Session()
    status = session.load("-w /a", "-w b", "-w /c", "-S x")
    assert status == 1
    assert session.listing() == "-w /a -p rwxa\n"
    assert [text.splitlines()[0] for text in session.told[:3]] == [
        "a:2: The path must start with '/'",
        "There was an error in line 2 of a",
        "a:4: Error - no list specified",
    ]


@pytest.mark.parametrize(("option", "status"), [("-i", 0), ("-c", 1)])
def test_a_file_can_ask_to_go_on(option, status):
    session = Session()
    assert session.load(option, "-w /a", "-w b", "-w /a", "-w /c") == status
    assert session.listing() == "-w /a -p rwxa\n-w /c -p rwxa\n"


def test_a_rule_refused_by_the_kernel_is_shown_with_its_line():
    session = Session()
    assert session.load("-w /a", "-w /a") == 1
    assert session.told[:3] == [
        "Error sending add rule data request (Rule exists)",
        "  -w /a",
        "There was an error in line 2 of a",
    ]


def test_a_file_is_not_begun_when_the_kernel_is_locked():
    session = Session(MemoryKernel(enabled=2))
    assert session.load("-D", "-w /a") == 1
    assert session.told[0].startswith(IMMUTABLE)


def test_watches_in_a_file_are_told_once():
    session = Session()
    assert session.load("-w /a", "-w /b") == 0
    assert session.told == [
        "a: 2 old style watch rules are slower; auditctl --check a shows the faster form"
    ]


def test_a_whole_file_is_counted():
    session = Session()
    assert session.load("-D", "-w /a", "-w /b", "-w /a", "-t", whole=True) == 0
    assert session.shown == ["2 rules wanted, 2 live\n"]
    assert session.told == ["a:4: this rule is there already: -w /a"]
    assert session.kernel.changes == 3


def test_of_a_whole_file_with_errors_nothing_is_done():
    session = Session()
    assert session.load("-w /a", "-w b", "-S x", whole=True) == 1
    assert session.kernel.changes == 0
    assert session.told[-1] == "2 errors: nothing was changed"


def test_a_whole_file_that_fails_says_what_is_live():
    session = Session()
    session.load("-w /old")
    session.told.clear()
    assert session.load("-D", "-w /a", "-a always,nolist -F uid=0", whole=True) == 1
    assert session.listing() == "-w /old -p rwxa\n"
    session.load("-D", "-w /a", "-q /a,/b", whole=True)
    assert session.shown == ["1 rules wanted, 0 live: the old rules are back\n"]


def test_a_locked_kernel_is_told_for_a_whole_file():
    session = Session(MemoryKernel(enabled=2))
    assert session.load("-D", "-w /a", whole=True) == 1
    assert session.shown == ["1 rules wanted, 0 live: nothing was changed\n"]
    assert "reboot" in session.told[-1]


def test_a_watch_is_told_its_faster_form():
    note = watch_note(parse_words("-w /a"), Host())
    assert note.startswith(
        "Old style watch rules are slower; faster:\n  -a always,exit -F arch=b64"
    )
    assert watch_note(parse_words("-W /a"), Host()) == ""


@given(st.lists(WORDS, max_size=3))
def test_random_command_lines_end_in_rule_and_step_errors_only(lines):
    session = Session()
    for words in lines:
        try:
            session.performer.perform(parse_command(Line.of_words(words), session.host))
        except (RuleError, StepError) as error:
            str(error)


@pytest.mark.parametrize(
    ("mode", "reason"),
    [(0o100640, ""), (0o040755, "is not a regular file"), (0o100642, "is world writable")],
)
def test_a_file_that_others_can_write_is_not_read(mode, reason):
    found = file_problem("a", mode)
    assert reason in found
    assert bool(reason) == bool(found)
