from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditd_py.errors import RuleError
from auditd_py.record.interpret import Interpreter, Names
from auditd_py.record.record import parse_record
from auditd_py.search.expression import MOST_NESTED, Expression

RECORD = parse_record(
    b"node=web1 type=SYSCALL msg=audit(1795332010.694:7): arch=c000003e syscall=59 success=yes"
    b' exit=0 a0=1 items=1 ppid=1 pid=2 auid=1000 uid=0 comm="ls" exe="/bin/ls" key="k"'
)
KEYS = parse_record(b"type=SYSCALL msg=audit(1.000:7): key=6B01006C01")
AVC = parse_record(b"type=AVC msg=audit(1.5:7): avc:  denied  { read } for  pid=1 comm=6C73")
INTERPRETER = Interpreter(Names(user={1000: b"alice"}.get))


def matches(text: str, *records) -> bool:
    return Expression(text).matches(records or [RECORD], INTERPRETER)


@pytest.mark.parametrize(
    "text",
    [
        "uid r= 0",
        'comm r= "\\"ls\\""',
        "comm i= ls",
        'exe i= "/bin/ls"',
        "uid i= root",
        "auid i= alice",
        "syscall i= execve",
        "arch i= x86_64",
        "uid r!= 1",
        "auid i!= root",
        "node r= web1",
        "type r= SYSCALL",
        '"uid"r="0"',
        "  uid\tr=\n0 ",
        r"\record_type == SYSCALL",
        r"\record_type == syscall",
        r"\record_type == 1300",
        r"\record_type !== PATH",
        r"\record_type >= 1300",
        r"\timestamp == ts:1795332010.694",
        r"\timestamp > ts:1795332010.693",
        r"\timestamp <= ts:1795332010.694",
        r"\timestamp_ex == ts:1795332010.694:7",
        r"\timestamp_ex < ts:1795332010.694:8",
        r"\timestamp_ex !== ts:1795332010.694:8",
        r"\regexp /exe=.*ls/",
        r'\regexp "comm=.ls"',
        r"\regexp /\/bin\/ls/",
        r"\regexp /pid=[[:digit:]]+ /",
        r"\regexp /^node=web[0-9]/",
        r"\regexp exe",
        "! uid r= 1",
        "!! uid r= 0",
        "uid r= 1 || uid r= 0",
        "uid r= 0 && auid r= 1000",
        "uid r= 0 || uid r= 1 && uid r= 2",
        "(uid r= 0)",
        "! (uid r= 1 || uid r= 2)",
        "!(uid r= 1)&&!(uid r= 2)",
    ],
)
def test_a_record_matches(text):
    assert matches(text)


@pytest.mark.parametrize(
    "text",
    [
        "uid r= root",
        "uid r= 1",
        "comm r= ls",
        "uid i!= root",
        "egid r= 0",
        "egid r!= 0",
        "egid i= root",
        "egid i!= root",
        "(uid r= 0 || uid r= 1) && uid r= 2",
        "! uid r= 0",
        r"\timestamp < ts:1795332010.694",
        r"\timestamp_ex > ts:1795332010.694:7",
        r"\record_type == 1302",
        r"\regexp /exe$/",
    ],
)
def test_a_record_does_not_match(text):
    assert not matches(text)


def test_a_missing_field_is_false_but_can_be_negated():
    assert matches("! egid r!= 0")


def test_one_record_is_enough():
    assert matches(r"seresult r= denied", RECORD, AVC)
    assert not matches(r"seresult r= denied && uid r= 0", RECORD, AVC)


def test_each_key_of_many_counts():
    assert matches("key i= k", KEYS) or matches('key r= "\\"k\\""', KEYS)


def test_what_the_daemon_added_is_the_name():
    record = parse_record(b'type=SYSCALL msg=audit(1.0:1): uid=1000\x1dUID="bob"')
    assert matches("uid i= bob", record)


@pytest.mark.parametrize(
    ("text", "reason", "marked"),
    [
        ("", "an expression is missing", " "),
        ("uid r= ", "a value is missing", " "),
        ("uid = 0", "r=, r!=, i= or i!= must follow a field", "="),
        ("uid", "must follow a field", "uid"),
        ("uid == 0", "compares only", "=="),
        ("uid r= 0 gid r= 0", "&& or ||", "gid"),
        ("uid r= 0 &&", "a field is missing", " "),
        ("uid r= 0 & gid r= 0", "&& or ||", "&"),
        ("(uid r= 0", "not closed", "("),
        ("uid r= 0)", "&& or ||", ")"),
        ('uid r= "0', "the quote is not closed", '"0'),
        ('uid r= "\\n"', 'only \\\\ and \\" are', "\\n"),
        ("uid r= /bin", "in quotes", "/bin"),
        (r"\record == 1", "are known", r"\record"),
        (r"\record_type r= 1", "must follow", "r="),
        (r"\record_type == NONE", "no such record type", "NONE"),
        (r"\timestamp == 5", "ts:SECONDS.MILLISECONDS is allowed", "5"),
        (r"\timestamp == ts:5.1:7", "is allowed", "ts:5.1:7"),
        (r"\timestamp_ex == ts:5.1", ":SERIAL is allowed", "ts:5.1"),
        (r"\regexp /(/", "no regular expression", "/(/"),
        (r"\regexp", "is missing", " "),
        ("(" * (MOST_NESTED + 1), "are open", "("),
    ],
)
def test_an_error_points_at_the_place(text, reason, marked):
    with pytest.raises(RuleError) as found:
        Expression(text)
    start, end = found.value.span
    assert reason in found.value.reason
    assert found.value.text[start:end] == marked


@given(st.text(alphabet=st.characters(max_codepoint=0x7F), max_size=60))
def test_any_text_is_an_expression_or_a_rule_error(text):
    with suppress(RuleError):
        Expression(text).matches([RECORD], INTERPRETER)


@given(
    st.lists(
        st.sampled_from(
            ["(", ")", "!", "&&", "||", "uid", "r=", "i!=", "==", '"a"', r"\regexp", "/a/", "0",
             r"\record_type", r"\timestamp", "ts:1.2", "PATH"]
        ),
        max_size=12,
    )
)  # fmt: skip
def test_any_words_are_an_expression_or_a_rule_error(words):
    with suppress(RuleError):
        Expression(" ".join(words)).matches([RECORD, AVC], INTERPRETER)
