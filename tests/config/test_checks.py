import os
import stat

import pytest

from auditd_py.config.checks import NO_CHOICE
from auditd_py.config.daemon import KEYWORDS, DaemonConfig, Host, parse
from auditd_py.config.values import Action, Group
from auditd_py.config.words import ActionWord, CryptoProfile, Transport
from auditd_py.errors import ConfigError


def status(mode: int = 0o750, uid: int = 0, kind: int = stat.S_IFREG) -> os.stat_result:
    return os.stat_result((kind | mode, 0, 0, 1, uid, 0, 0, 0, 0, 0))


def host(
    files: dict[str, os.stat_result] | None = None,
    directories: tuple[str, ...] = ("/var/log/audit", "/var/log", "/srv"),
    modules: frozenset[str] = frozenset({"json"}),
    *,
    shared_keys: bool = True,
) -> Host:
    files = files or {}

    def status_of(path: str) -> os.stat_result:
        if path not in files:
            raise FileNotFoundError(2, "No such file or directory")
        return files[path]

    def open_directory(path: str) -> None:
        if path in files:
            raise NotADirectoryError(20, "Not a directory")
        if path not in directories:
            raise FileNotFoundError(2, "No such file or directory")

    return Host(
        {"root": 0, "adm": 4}.__getitem__,
        status_of,
        status_of,
        open_directory,
        lambda: frozenset({"page-somebody"}),
        modules.__contains__,
        shared_keys,
    )


HOST = host()
CERTIFICATES = "transport = tls\ntls_cert_file = /c\ntls_key_file = /k\ntls_ca_file = /a\n"


def config_of(text: str, on: Host = HOST) -> DaemonConfig:
    return parse(text.encode(), "auditd.conf", on).config


def warnings_of(text: str, on: Host = HOST) -> list[str]:
    return [str(warning) for warning in parse(text.encode(), "auditd.conf", on).warnings]


def problems_of(text: str, on: Host = HOST) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text.encode(), "auditd.conf", on)
    return [str(problem).removeprefix("auditd.conf:") for problem in caught.value.problems]


# settings that depend on each other


@pytest.mark.parametrize("flush", ["incremental", "incremental_async"])
def test_incremental_flushing_needs_a_freq(flush: str) -> None:
    assert problems_of(f"flush = {flush}\nfreq = 0\n") == [
        f"2: freq: 0 with flush = {flush}: set it to 1 or more, or set another flush"
    ]


@pytest.mark.parametrize("flush", ["none", "data", "sync"])
def test_a_freq_without_effect_warns_only_if_it_was_given(flush: str) -> None:
    assert warnings_of(f"flush = {flush}\n") == []
    assert warnings_of(f"flush = {flush}\nfreq = 0\n") == []
    assert warnings_of(f"flush = {flush}\nfreq = 50\n") == [
        f"auditd.conf:2: freq: 50 has no effect with flush = {flush}"
    ]


def test_space_left_must_be_larger_than_admin_space_left() -> None:
    assert problems_of("space_left = 50\nadmin_space_left = 50\n") == [
        "1: space_left: 50: must be larger than admin_space_left (50)"
    ]


def test_a_contradiction_to_a_default_says_so() -> None:
    assert problems_of("space_left = 40\n") == [
        "1: space_left: 40: must be larger than admin_space_left (50, the default)"
    ]


def test_percent_and_mib_are_not_compared_here() -> None:
    assert warnings_of("space_left = 1%\nadmin_space_left = 50\n") == []


def test_percentages_in_the_wrong_order_warn() -> None:
    assert warnings_of("space_left = 5%\nadmin_space_left = 10%\n") == [
        "auditd.conf:1: space_left: 5%: must be larger than admin_space_left (10%)"
    ]


def test_a_refused_value_is_not_compared_by_its_default() -> None:
    assert problems_of("space_left = x\nadmin_space_left = 100\n") == [
        "1: space_left: x: a number of MiB, or a percentage from 0% to 99% is allowed"
    ]


def test_name_format_user_needs_a_name() -> None:
    assert problems_of("name_format = user\n") == [
        "1: name_format: user needs the name: add a line name = NODE"
    ]
    assert config_of("name_format = user\nname = Here\n").name == "Here"


@pytest.mark.parametrize("account", ["root", "a.b-c_d+e", "someone@mail.example.org"])
def test_a_mail_account_is_accepted(account: str) -> None:
    assert config_of(f"action_mail_acct = {account}\n").action_mail_acct == account


@pytest.mark.parametrize("account", ["r", "ro;ot", "a.b@localhost", "r\u00f6\u00f6t"])
def test_a_malformed_mail_account_is_refused(account: str) -> None:
    assert problems_of(f"action_mail_acct = {account}\n")[0].startswith(
        f"1: action_mail_acct: {account}: "
    )


@pytest.mark.parametrize("order", [1, -1])
def test_verify_email_no_accepts_any_account_on_either_side_of_it(order: int) -> None:
    lines = ["verify_email = no", "action_mail_acct = a!b"][::order]
    assert config_of("\n".join(lines)).action_mail_acct == "a!b"


def test_a_group_may_not_be_given_var_log() -> None:
    text = "log_file = /var/log/audit.log\n"
    assert config_of(text).log_group == Group(0)
    assert problems_of(text + "log_group = adm\n")[0].startswith(
        "2: log_group: adm with the log directly in /var/log would give that directory"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "transport = tls",
            "1: transport: tls needs tls_cert_file, tls_key_file and tls_ca_file, or tls_psk_file",
        ),
        (
            "transport = tls\ntls_psk_file = /k",
            "2: tls_psk_file: needs tls_psk_identity or tls_allowed_clients, too",
        ),
        (
            "transport = tls\ntls_cert_file = /c\ntls_ca_file = /a",
            " tls_key_file: needed for tls with certificates",
        ),
        (
            f"{CERTIFICATES}tls_cipher_suites = X",
            f"5: tls_cipher_suites: {NO_CHOICE}",
        ),
        (
            f"{CERTIFICATES}tls_psk_file = /k",
            "5: tls_psk_file: contradicts the certificates: use one or the other",
        ),
        (
            f"{CERTIFICATES}tls_crypto_profile = pqc",
            "5: tls_crypto_profile: Python cannot insist on a key exchange",
        ),
        (
            "tls_require_pqc = yes\ntls_crypto_profile = system",
            "1: tls_require_pqc: yes contradicts tls_crypto_profile = system: remove one",
        ),
    ],
)
def test_tls_settings_must_fit_together(text: str, problem: str) -> None:
    assert [found[: len(problem)] for found in problems_of(text)] == [problem]


@pytest.mark.parametrize("text", ["tls_allowed_clients = /c\n", "tls_psk_identity = i\n"])
def test_shared_keys_are_accepted_where_python_has_them(text: str) -> None:
    text = f"transport = tls\ntls_psk_file = /k\n{text}"
    assert config_of(text).transport is Transport.TLS
    (problem,) = problems_of(text, host(shared_keys=False))
    assert problem.startswith("2: tls_psk_file: tls with keys needs Python 3.13 or newer")


def test_certificates_are_accepted() -> None:
    assert config_of(CERTIFICATES).transport is Transport.TLS


def test_kerberos_needs_its_package() -> None:
    text = "transport = krb5\n"
    assert config_of(text, host(modules=frozenset({"gssapi"}))).transport is Transport.KRB5
    assert problems_of(text) == [
        '1: transport: krb5 needs the Python package gssapi: pip install "auditd-py[kerberos]"'
    ]


def test_tls_require_pqc_selects_the_profile() -> None:
    assert config_of("tls_require_pqc = yes\n").tls_crypto_profile is CryptoProfile.PQC


@pytest.mark.parametrize(("depth", "count"), [(511, 1), (512, 0)])
def test_a_small_q_depth_warns(depth: int, count: int) -> None:
    assert len(warnings_of(f"q_depth = {depth}\n")) == count


@pytest.mark.parametrize(("interval", "count"), [("6h", 0), ("7h", 1), ("40d", 1)])
def test_a_long_report_interval_warns(interval: str, count: int) -> None:
    assert len(warnings_of(f"report_interval = {interval}\n")) == count


# files of the machine


def test_a_missing_log_directory_is_refused_with_the_command_that_makes_it() -> None:
    assert problems_of("log_file = /srv/a/audit.log\n") == [
        "1: log_file: the directory /srv/a does not exist: mkdir -p -m 0700 /srv/a"
    ]


def test_the_default_log_directory_must_exist_too() -> None:
    with pytest.raises(ConfigError, match=r"^auditd\.conf: log_file: the directory /var/log/audit"):
        parse(b"", "auditd.conf", host(directories=()))


def test_a_log_directory_that_is_a_file_is_refused() -> None:
    on = host({"/srv/a": status()})
    assert problems_of("log_file = /srv/a/audit.log\n", on) == [
        "1: log_file: /srv/a cannot be used: Not a directory"
    ]


def test_without_write_logs_the_log_is_not_looked_at() -> None:
    assert not config_of("write_logs = no\nlog_file = /srv/a/audit.log\n").write_logs


def test_a_log_file_that_is_not_regular_is_refused() -> None:
    on = host({"/srv/audit.log": status(kind=stat.S_IFLNK)})
    assert problems_of("log_file = /srv/audit.log\n", on) == [
        "1: log_file: /srv/audit.log is not a regular file: name another, or remove it"
    ]


def test_a_log_file_of_somebody_else_is_refused() -> None:
    on = host({"/srv/audit.log": status(0o600, uid=1000)})
    assert problems_of("log_file = /srv/audit.log\n", on) == [
        "1: log_file: /srv/audit.log is owned by uid 1000: chown root /srv/audit.log"
    ]


@pytest.mark.parametrize("mode", [0o400, 0o700, 0o620, 0o610, 0o604])
def test_an_odd_mode_of_the_log_file_warns(mode: int) -> None:
    on = host({"/srv/audit.log": status(mode)})
    assert len(warnings_of("log_file = /srv/audit.log\n", on)) == 1


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_a_usual_mode_of_the_log_file_does_not_warn(mode: int) -> None:
    on = host({"/srv/audit.log": status(mode)})
    assert warnings_of("log_file = /srv/audit.log\n", on) == []


EXEC_KEYWORDS = [name for name, keyword in KEYWORDS.items() if "exec" in keyword.words]


def test_five_actions_can_run_a_program() -> None:
    assert EXEC_KEYWORDS == [
        "max_log_file_action",
        "space_left_action",
        "admin_space_left_action",
        "disk_full_action",
        "disk_error_action",
    ]


@pytest.mark.parametrize("keyword", EXEC_KEYWORDS)
@pytest.mark.parametrize("mode", [0o750, 0o755, 0o555, 0o550])
def test_exec_takes_a_program(keyword: str, mode: int) -> None:
    config = config_of(f"{keyword} = EXEC /bin/Prog\n", host({"/bin/Prog": status(mode)}))
    assert getattr(config, keyword) == Action(ActionWord.EXEC, "/bin/Prog")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("exec", "exec needs the program to run: write exec /PATH"),
        ("exec prog", "prog: exec needs an absolute path"),
        ("exec /p -x", "/p -x: one path only, the program gets no arguments"),
        ("exec /none", "/none cannot be run: No such file or directory"),
        ("exec /dir", "/dir is not a regular file"),
        ("exec /alien", "/alien is owned by uid 7: chown root /alien"),
        ("exec /wide", "/wide has mode 0777, 0750, 0755, 0555 or 0550 is allowed: chmod 0750 /wide"),
        ("exec /suid", "/suid has mode 4755, 0750, 0755, 0555 or 0550 is allowed: chmod 0750 /suid"),
        ("syslog /p", "/p: nothing may follow syslog"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("keyword", EXEC_KEYWORDS)
def test_an_unsafe_program_is_refused(keyword: str, value: str, problem: str) -> None:
    on = host(
        {
            "/dir": status(kind=stat.S_IFDIR),
            "/alien": status(uid=7),
            "/wide": status(0o777),
            "/suid": status(0o4755),
        }
    )
    assert problems_of(f"{keyword} = {value}\n", on) == [f"1: {keyword}: {problem}"]


# actions


def test_an_action_of_the_site_is_taken_with_one_word_after_it() -> None:
    config = config_of("space_left_action = page-somebody at-night\n")
    assert config.space_left_action == Action("page-somebody", "at-night")


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (
            "page-nobody",
            "page-nobody: ignore, syslog, rotate, email, exec /PATH, suspend or single",
        ),
        ("page-somebody a b", "a b: one word may follow page-somebody"),
    ],
)
def test_an_action_of_the_site_must_be_installed(value: str, problem: str) -> None:
    assert problems_of(f"space_left_action = {value}\n")[0].startswith(
        f"1: space_left_action: {problem}"
    )


def test_a_site_cannot_bring_back_an_action_that_is_not_allowed() -> None:
    assert problems_of("space_left_action = halt\n") != []


@pytest.mark.parametrize(
    ("action", "what"),
    [
        ("single", "takes this host to single user mode"),
        ("halt", "powers this host off"),
    ],
)
def test_settings_that_can_end_this_host_warn(action: str, what: str) -> None:
    assert warnings_of(f"disk_full_action = {action}\n") == [
        f"auditd.conf:1: disk_full_action: {action}: {what}, with all that runs on it"
    ]


def test_mail_without_any_way_to_send_it_warns() -> None:
    (warning,) = warnings_of("space_left_action = email\n")
    assert warning.endswith(
        "email: nothing sends mail here: set smtp_server, or install /usr/sbin/sendmail"
    )


def test_a_mail_account_without_a_domain_warns_where_a_server_gets_it() -> None:
    assert warnings_of("smtp_server = m\nspace_left_action = email\n") == [
        "auditd.conf: action_mail_acct: root without a domain: many mail servers refuse that"
    ]


@pytest.mark.parametrize(
    "settings", ["smtp_server = mail.example.org\naction_mail_acct = a@example.org\n", ""]
)
def test_mail_with_a_way_to_send_it_does_not_warn(settings: str) -> None:
    on = host({"/usr/lib/sendmail": status(0o755)} if not settings else {})
    assert warnings_of(f"{settings}space_left_action = email\n", on) == []


SECRET = {"/secret": status(0o100600)}
LOGIN = "smtp_server = m\nsmtp_security = tls\nsmtp_user = u\nsmtp_password_file = /secret\n"


def test_a_mail_login_is_accepted() -> None:
    assert warnings_of(LOGIN, host(SECRET)) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            LOGIN.replace("tls", "none"),
            "3: smtp_user: the password would cross the network in clear",
        ),
        (
            LOGIN.replace("smtp_user = u\n", ""),
            "3: smtp_password_file: needs the other of smtp_user",
        ),
        (LOGIN.replace("/secret", "/none"), "4: smtp_password_file: /none cannot be read"),
        (LOGIN.replace("/secret", "/wide"), "4: smtp_password_file: /wide can be read by others"),
        (LOGIN.replace("/secret", "/dir"), "4: smtp_password_file: /dir is not a regular file"),
    ],
)
def test_a_mail_login_that_is_not_safe_is_refused(text: str, problem: str) -> None:
    on = host({**SECRET, "/wide": status(0o640), "/dir": status(kind=stat.S_IFDIR)})
    assert [found[: len(problem)] for found in problems_of(text, on)] == [problem]


# rotation


def test_rotation_by_the_clock_needs_a_file_to_rotate_to() -> None:
    text = "rotate_interval = daily\nnum_logs = 1\n"
    assert problems_of(text + "max_log_file_action = ignore\n") == [
        "1: rotate_interval: daily needs num_logs = 2 or more, or keep_logs"
    ]
    assert warnings_of(text + "max_log_file_action = keep_logs\n") == []


def test_one_log_file_warns_that_nothing_rotates() -> None:
    assert warnings_of("num_logs = 1\n") == [
        "auditd.conf:1: num_logs: 1: below 2 nothing rotates and the log grows without limit"
    ]


def test_zstd_needs_its_package() -> None:
    (problem,) = problems_of("compress_logs = zstd\n")
    assert problem.startswith("1: compress_logs: zstd needs the Python package zstandard: pip")
    (problem,) = problems_of("index_logs = yes\n")
    assert problem.startswith("1: index_logs: needs the Python packages duckdb and pyarrow: pip")
    assert config_of("compress_logs = gzip\n").compress_logs == "gzip"
