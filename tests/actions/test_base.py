"""auditd_py.actions.base: the actions there are, and those a site installs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from auditd_py.actions.base import Action, find_action
from auditd_py.config.host import THIS_HOST
from auditd_py.config.words import ActionWord
from auditd_py.errors import ActionError
from auditd_py.log.incident import Condition, Incident, Response
from tests.actions.site import install_site_package

if TYPE_CHECKING:
    from pathlib import Path

RESPONSES = {
    "ignore": Response.GO_ON, "syslog": Response.GO_ON, "email": Response.GO_ON,
    "rotate": Response.ROTATE, "keep_logs": Response.KEEP_LOGS, "exec": Response.SUSPEND,
    "suspend": Response.SUSPEND, "single": Response.SUSPEND, "halt": Response.SUSPEND,
}  # fmt: skip


@pytest.fixture
def _site(tmp_path: Path, monkeypatch) -> None:
    install_site_package(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "site_actions", raising=False)


@pytest.mark.parametrize("word", list(ActionWord))
def test_every_word_is_an_action_with_its_response(word):
    assert find_action(word).response is RESPONSES[word]


def test_every_action_runs_a_limited_time(given):
    for word in ActionWord:
        action = find_action(word)(given("/bin/true", exec_timeout=100))
        assert 0 < action.limit_s <= 700


@pytest.mark.usefixtures("_site")
def test_an_installed_package_adds_actions(given, services):
    assert "paging" in THIS_HOST.site_actions()
    action = find_action("paging")(given("night"))
    assert isinstance(action, Action)
    action.run(Incident(Condition.DISK_FULL, "/x"))
    assert services.told == [("notice", "paging night: disk_full_action")]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("not_an_action", "not_an_action: .* is not an Action"),
        ("odd_response", "odd_response: its response 'go on' is not a Response"),
        ("not_there", "not_there: site_actions:NotThere cannot be loaded: AttributeError"),
        ("no_module", "no_module: no_such_module:X cannot be loaded: ModuleNotFoundError"),
        ("pageing", "pageing: no such action is installed"),
    ],
)
@pytest.mark.usefixtures("_site")
def test_what_is_no_action_is_refused_by_name(word, message):
    with pytest.raises(ActionError, match=message):
        find_action(word)
