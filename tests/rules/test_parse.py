"""auditd_py.rules.parse and build: what command lines ask for, and how they can be wrong."""

from __future__ import annotations

import pytest
from hypothesis import given

from auditd_py.errors import RuleError
from auditd_py.netlink.uapi import StatusMask
from auditd_py.rules.codec import decode_rule, encode_rule
from auditd_py.rules.command import Setting, Verb
from auditd_py.rules.host import LOCKED, Host
from auditd_py.rules.parse import parse_command, parse_words
from auditd_py.rules.rule import ALL_CALLS, DIR, EQUAL, KEY, NO_LIST, PATH, PERM, Field, Rule
from auditd_py.rules.words import Line
from auditd_py.tables.machines import ARCHES
from tests.rules.strategies import WORDS

B64 = "-a always,exit -F arch=b64"


def added(text: str, host: Host | None = None) -> Rule:
    """Return the rule that a command line adds."""
    rule = parse_words(text, host).added()
    assert rule is not None
    return rule


def error(text: str, host: Host | None = None) -> RuleError:
    """Return what is wrong with a command line."""
    with pytest.raises(RuleError) as caught:
        parse_words(text, host)
    return caught.value


def marked(caught: RuleError) -> str:
    """Return the part of the line that an error points at."""
    return caught.text[slice(*caught.span)]


@pytest.mark.parametrize(
    ("text", "reason", "part"),
    [
        (f"{B64} -S opnat", "Syscall name unknown: opnat", "opnat"),
        (f"{B64} -S open,opnat,close", "Syscall name unknown: opnat", "opnat"),
        (f"{B64} -S 2048", "Syscall name unknown: 2048", "2048"),
        (f"{B64} -S -1", "Syscall name unknown: -1", "-1"),
        ("-a always,exit -S open -F arch=b64", "arch must be before -S", "arch=b64"),
        ("-a always,exit -F arch=b46", "arch machine type not found", "b46"),
        ("-a always,exit -F arch=0x9999", "arch elf mapping not found", "0x9999"),
        ("-a always,exit -F arch>b64", "arch only takes = or != operators", ">"),
        (f"{B64} -S open -F uids=0", "-F unknown field: uids", "uids"),
        (f"{B64} -S open -F uid", "-F missing operation for uid", "uid"),
        (f"{B64} -S open -F uid=", "-F missing value after operation for uid", "="),
        (f"{B64} -S open -F =0", "-F missing field name before operator for =0", "="),
        (f"{B64} -S open -F pid=x", "-F value should be number for pid", "x"),
        (f"{B64} -S open -F pid=12x", "-F value should be number for pid", "12x"),
        (f"{B64} -S open -F pid=08", "-F value should be number for pid", "08"),
        (f"{B64} -S open -F pid=-1", "-F value should be number for pid", "-1"),
        (f"{B64} -S open -F pid==1", "-F value should be number for pid", "=1"),
        (f"{B64} -S open -F pid=4294967296", "value is too large for field: pid", "4294967296"),
        (f"{B64} -S open -F saddr_fam=46", "value is too large for field: saddr_fam", "46"),
        (f"{B64} -S open -F saddr_fam=inet", "-F value should be number for saddr_fam", "inet"),
        (f"{B64} -S open -F auid=nobody1", "Unknown user: nobody1", "nobody1"),
        (f"{B64} -S open -F gid=nogroup1", "Unknown group: nogroup1", "nogroup1"),
        (f"{B64} -S open -F exit=EACESS", "-F unknown errno - exit", "EACESS"),
        (f"{B64} -S open -F perm=wz", "Permission can only contain  'rwxa'", "wz"),
        (f"{B64} -S open -F perm=rwxaa", "Permission can only contain  'rwxa'", "rwxaa"),
        (f"{B64} -S open -F perm!=w", "perm only takes = operator", "!="),
        (f"{B64} -S open -F inode>1", "inode only takes = or != operators", ">"),
        (f"{B64} -S open -F filetype=pipe", "-F unknown file type -  filetype", "pipe"),
        (f"{B64} -S open -F fstype=tracefs", "fstype field is not valid for the filter", "fstype"),
        ("-a always,filesystem -F fstype=nfs", "file system type is unknown for field: fstype", "nfs"),
        (f"{B64} -S open -F path={'a' * 4096}", "String value too long", "a" * 4096),
        (f"{B64} -S open -F msgtype=CWD",
         "msgtype field can only be used with exclude or user filter list", "msgtype"),
        ("-a always,user -F path=/x", "path can only be used with exit filter list", "path"),
        ("-a always,task -F ppid=1", "ppid can only be used with exit filter list", "ppid"),
        ("-a always,task -F sessionid=1",
         "sessionid must be used with exclude, user, or exit filter", "sessionid"),
        ("-a always,user -F perm=r", "perm field is not valid for the filter", "perm"),
        (f"{B64} -S open -C uid>euid", "uid only takes = or != operators", ">"),
        (f"{B64} -S open -C uid=", "-C missing value after operation for  uid", "="),
        (f"{B64} -S open -C =uid", "-C missing field name before operator for =uid", "="),
        (f"{B64} -S open -C uid", "-C missing operation for uid", "uid"),
        (f"{B64} -S open -C uids=uid", "-C unknown field: uids", "uids"),
        (f"{B64} -S open -C uid=uids",
         "-C unknown right hand value for comparison with: uid", "uids"),
        (f"{B64} -S open -C uid=gid", "-C incompatible comparison uid", "uid=gid"),
        ("-a always,user -C uid=euid", "uid can only be used with exit filter list", "uid"),
        ("-C uid=euid", "List must be given before field", "-C"),
        ("-a always,filesystem -S open",
         "Error: syscall auditing being added to filesystem list", "-S"),
        ("-a always,user -S open", "Error: syscall auditing being added to user list", "-S"),
        ("-a always,exit -A always,exit",
         "Multiple rule insert/delete operations are not allowed", "-A"),
        ("-a possible,exit -S open",
         "Append rule - bad keyword possible,exit: the action possible is deprecated", "possible"),
        ("-A alway,exit", "Add rule - bad keyword alway,exit", "alway"),
        ("-d exit,alway", "Delete rule - bad keyword exit,alway", "alway"),
        ("-a Always,exit", "Append rule - bad keyword Always,exit", "Always"),
        ("-a always,exit -F uid=0 -k x", "key option needs a watch or syscall given prior to it", "-k"),
        ("-a always,exit -F uid=0 -F key=x",
         "Key field needs a watch, syscall or exe path given prior to it", "key=x"),
        (f"-w /x -k {'k' * 200} -k {'k' * 56}", "key option exceeds size limit", "k" * 56),
        ("-w etc", "The path must start with '/'", "etc"),
        (f"-w /{'a' * 256}", "The base name is too long", "/" + "a" * 256),
        (f"-w {'/a' * 2048}", "The path is too long", "/a" * 2048),
        ("-w /x -p rwxaa", "permission rwxaa is too long", "rwxaa"),
        ("-w /x -p z", "Permission z isn't supported", "z"),
        ("-p r -w /x", "permission option needs a watch given prior to it", "-p"),
        (f"{B64} -w /x", "Watches may not include fields or actions", "-w"),
        ("-a always,exit -w /x", "watch option can't be given with a syscall", "-w"),
        ("-k x", "key option needs a watch or syscall given prior to it", "-k"),
        ("-q /mnt", "two paths with a comma between them are needed", "/mnt"),
        ("-m one -m two", "-m has to stand alone", "-m"),
        ("-l -s", "Only -k or -i options are allowed", "-s"),
        ("-e 3", "Enable must be 0, 1, or 2 was 3", "3"),
        ("-b 4294967296", "Backlog must be a numeric value was 4294967296", "4294967296"),
        ("-b 8 stray", "an option is missing before this word", "stray"),
    ],
)  # fmt: skip
def test_an_error_says_what_and_points_at_it(text, reason, part):
    caught = error(text)
    assert (caught.reason, marked(caught)) == (reason, part)


def test_a_glued_argument_is_pointed_at():
    assert marked(error("-a always,exit -Farch=b46")) == "b46"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (f"{B64} -S opnat", "openat"),
        (f"{B64} -S open -F uids=0", "uid"),
        (f"{B64} -S open -F exit=EACCESS", "EACCES"),
        ("-a always,exclude -F msgtype=SYSCAL", "SYSCALL"),
        ("-a alway,exit", "always"),
        ("-a always,exit -F arch=x86-64", "x86_64"),
        (f"{B64} -S open -F saddr_fam=inet", "2"),
        (f"{B64} -S open -C uid=uids", "uid"),
        ("-a always,io_uring -S opnat", "openat"),
    ],
)
def test_the_nearest_valid_word_is_named(text, meant):
    assert error(text).suggestion == meant


def test_an_error_shows_the_line_with_marks_below():
    assert str(error(f"{B64} -S opnat -k x")) == (
        "Syscall name unknown: opnat\n"
        "  -a always,exit -F arch=b64 -S opnat -k x\n"
        "                                ^^^^^ did you mean openat?"
    )


def test_of_a_long_line_the_part_is_shown():
    shown = str(error(f"{B64} -S {'read,' * 50}opnat,{'write,' * 50}close")).splitlines()
    assert len(shown[1]) == 102
    start = shown[2].index("^")
    assert shown[1][start : start + 5] == "opnat"


def test_list_and_action_stand_in_either_order():
    assert added("-a exit,always -F uid=0") == added("-a always,exit -F uid=0")


def test_the_entry_list_is_taken_as_exit():
    command = parse_words("-a entry,always -F arch=b64 -S ptrace")
    assert command.added() == added("-a always,exit -F arch=b64 -S ptrace")
    assert command.warnings == ["the list entry is no more: entry,always is taken as always,exit"]


def test_a_word_that_is_no_list_is_told():
    assert parse_words("-a always,exti -F uid=0").warnings == [
        "unknown list exti, did you mean exit?"
    ]


@pytest.mark.parametrize("word", ["ARCH=B64", "Arch=b64", "arch=0xc000003e", "arch=c000003e"])
def test_names_of_fields_machines_and_calls_have_no_case(word):
    assert added(f"-a always,exit -F {word} -S OpenAt") == added(f"{B64} -S openat")


def test_calls_and_permissions_add_up():
    rule = added(f"{B64} -F path=/x -F perm=x -S read")
    assert rule.call_numbers() == (0, 59, 322)


def test_a_permission_before_the_machine_stands_for_no_calls():
    assert added("-a always,exit -F perm=x -F arch=b64").calls == ALL_CALLS


def test_no_calls_are_all_calls_but_on_the_task_list():
    assert added("-a always,exit -F uid=0").calls == ALL_CALLS
    assert added("-a never,task -F uid=0").calls == 0


@pytest.mark.parametrize("path", ["/etc/", "/etc//", "/etc"])
def test_a_watch_on_a_directory_is_one_on_the_tree(path):
    rule = added(f"-w {path} -p wa", Host(is_directory=lambda name: name == "/etc"))
    assert rule.fields == (Field(DIR, EQUAL, b"/etc"), Field(PERM, EQUAL, 10))


def test_a_watch_on_a_file_has_all_permissions_at_first():
    assert added("-w /etc/x").fields == (Field(PATH, EQUAL, b"/etc/x"), Field(PERM, EQUAL, 15))


def test_the_root_keeps_its_slash():
    assert added("-w /").fields[0].value == b"/"


def test_what_a_key_field_needs_may_follow():
    rule = added("-a always,exit -F key=x -F arch=b64 -S open")
    assert (rule.key, [f.code for f in rule.fields]) == (b"x", [11, KEY])


@pytest.mark.parametrize("text", ["-t", "-t -F arch=b64", "-F arch=b64 -t"])
def test_trimming_may_have_a_machine(text):
    assert parse_words(text).steps == [(Verb.TRIM, None)]


@pytest.mark.parametrize("text", ["-F arch=b64", "-F arch=b64 -a always,exit", "-F uid=0 -t"])
def test_other_fields_need_a_list(text):
    caught = error(text)
    assert (caught.reason, marked(caught)) == ("List must be given before field", "-F")


@pytest.mark.parametrize("machine", sorted(ARCHES))
def test_permissions_stand_for_calls_of_every_machine(machine):
    host = Host(machine)
    word = host.arch_word(host.arch)
    rule = added(f"-a always,exit -F arch={word} -F perm=rwxa", host)
    assert 40 < len(rule.call_numbers()) < 100


def test_the_key_is_the_last_field():
    assert [f.code for f in added("-w /x -k key -F uid=0").fields] == [PATH, PERM, 1, KEY]


def test_odd_paths_are_told():
    assert parse_words("-w /a/../b*").warnings == [
        "Warning - relative path notation is not supported",
        "Warning - wildcard notation is not supported",
    ]


@pytest.mark.parametrize(("calls", "warned"), [("open", 1), ("execve", 1), ("5", 0), ("all", 0)])
def test_calls_with_two_numbers_need_a_machine(calls, warned):
    assert len(parse_words(f"-a always,exit -S {calls}").warnings) == warned


def test_63_fields_are_all():
    uids = " -F uid!=0" * 63
    assert len(added(f"-a always,exit{uids}").fields) == 63
    assert error(f"-a always,exit{uids} -F uid!=0").reason == "Too many fields in rule: uid!=0"
    assert error(f"-w /x{uids[: 61 * 10]} -k x").reason.startswith("Too many fields in rule")


@pytest.mark.parametrize(
    ("text", "bit", "reason"),
    [
        (f"{B64} -S open -F exe=/x", 0x04, "Field option not supported by kernel: exe"),
        (f"{B64} -S open -F sessionid=1", 0x10, "Field option not supported by kernel: sessionid"),
        ("-a never,filesystem -F uid=0", 0x40, "uid filter is not supported by the kernel"),
        ("-a never,exclude -F ppid=1", 0x08,
         "Only msgtype, *uid, *gid, pid, and subj* fields can be used with exclude filter"),
    ],
)  # fmt: skip
def test_what_an_old_kernel_lacks_is_refused(text, bit, reason):
    assert error(text, Host(features=lambda: 0x7F & ~bit)).reason == reason


def test_the_kernel_is_asked_only_when_it_matters():
    asked: list[str] = []
    host = Host(
        enabled=lambda: len([*map(asked.append, ["enabled"])]),
        features=lambda: len([*map(asked.append, ["features"])]),
    )
    parse_words("-s", host)
    parse_words(f"{B64} -S open -F uid=0", host)
    assert asked == ["enabled"]


def test_a_locked_kernel_is_noted():
    assert parse_words("-b 5 -a always,exit -F uid=0", Host(enabled=lambda: LOCKED)).locked


def test_users_and_groups_are_looked_up():
    host = Host(user_id={"joe": 1000}.get, group_id={"adm": 4}.get)
    values = [f.value for f in added(f"{B64} -S open -F auid=joe -F gid=adm", host).fields[1:]]
    assert values == [1000, 4]


@pytest.mark.parametrize(
    ("value", "number"),
    [("010", 8), ("0x10", 16), ("0X1F", 31), ("0", 0), ("-1", 0xFFFFFFFF), ("unset", 0xFFFFFFFF)],
)
def test_numbers_are_written_as_in_c(value, number):
    assert added(f"{B64} -S open -F auid={value}").fields[1].value == number


def test_settings_are_done_in_their_order():
    steps = parse_words("-b 5 -f 1 -e 1 -r 7 --backlog_wait_time 9").steps
    assert [(verb, what.mask, what.value) for verb, what in steps if isinstance(what, Setting)] == [
        (Verb.SET, StatusMask.BACKLOG_LIMIT, 5),
        (Verb.SET, StatusMask.FAILURE, 1),
        (Verb.SET, StatusMask.ENABLED, 1),
        (Verb.SET, StatusMask.RATE_LIMIT, 7),
        (Verb.SET, StatusMask.BACKLOG_WAIT_TIME, 9),
    ]


def test_locking_and_panic_are_settings_like_others():
    assert [
        what.option for _, what in parse_words("-f 2 -e 2").steps if isinstance(what, Setting)
    ] == [
        "-f 2",
        "-e 2",
    ]


@pytest.mark.parametrize(
    ("text", "verb", "key"),
    [
        ("-l -k a", Verb.LIST, "a"),
        ("-D -k a -k b", Verb.DELETE_ALL, "a\x01b"),
        ("-D", Verb.DELETE_ALL, ""),
    ],
)
def test_a_key_selects_what_is_listed_or_deleted(text, verb, key):
    command = parse_words(text)
    assert (command.steps, command.key) == ([(verb, None)], key)


def test_a_line_of_a_file_can_let_errors_pass():
    assert parse_words("-i").ignore_errors
    assert parse_words("-c").continue_on_error
    assert not parse_words("-s -i").ignore_errors


@given(WORDS)
def test_random_words_give_rule_error_only(words):
    try:
        command = parse_command(Line.of_words(words), Host())
    except RuleError as found:
        str(found)
        return
    for rule in (command.added(), command.deleted()):
        if rule is not None and rule.list != NO_LIST:
            assert decode_rule(encode_rule(rule)) == rule
