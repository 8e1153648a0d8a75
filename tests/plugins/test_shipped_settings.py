from pathlib import Path

import pytest

from auditd_py.config.plugin import load_plugins
from auditd_py.plugins import af_unix, filter, json, json_sinks, syslog  # noqa: A004

FOLDER = Path(__file__).parents[2] / "etc" / "auditd_py" / "plugins.d"
NAMES = ["af_unix", "filter", "json", "syslog"]


def active(name: str, folder: Path):
    text = (FOLDER / f"{name}.conf").read_text()
    folder.chmod(0o755)
    path = folder / f"{name}.conf"
    path.write_text(text.replace("active = no", "active = yes").replace(
        f"/usr/sbin/audisp-{name}\ntype", "/bin/sh\ntype"))  # fmt: skip
    path.chmod(0o644)
    loaded = load_plugins(str(folder))
    assert [str(problem) for problem in loaded.problems + loaded.warnings] == []
    return loaded.plugins[name]


@pytest.mark.parametrize("name", NAMES)
def test_plugins_are_shipped_inactive(name):
    assert "active = no\n" in (FOLDER / f"{name}.conf").read_text()


@pytest.mark.usefixtures("root")
def test_the_arguments_that_are_shipped_are_understood(tmp_path):
    args = {name: active(name, tmp_path).args for name in NAMES}
    assert af_unix.parse(args["af_unix"]) == af_unix.Request()
    assert filter.parse(args["filter"]).mode == "allowlist"
    assert syslog.parse(args["syslog"]) == syslog.Request()
    request = json.parser().parse_args(args["json"])
    assert (request.schema, callable(json_sinks.sink_maker(request.output, 0o600))) == ("own", True)
