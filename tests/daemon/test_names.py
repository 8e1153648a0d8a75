"""auditd_py.daemon.names."""

from __future__ import annotations

import asyncio
import pwd
import threading
from typing import TYPE_CHECKING

import pytest

from auditd_py.daemon.names import NameService

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def stuck(monkeypatch) -> Iterator[threading.Event]:
    """Let look-ups of users hang until the event is set."""
    answered, find = threading.Event(), pwd.getpwuid

    def hang(uid: int) -> pwd.struct_passwd:
        assert answered.wait(60)
        return find(uid)

    monkeypatch.setattr(pwd, "getpwuid", hang)
    yield answered
    answered.set()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def test_users_and_groups_are_found():
    service = NameService(asyncio.get_running_loop())
    assert await service.look_up([0], [0]) == ({0: b"root"}, {0: b"root"})
    assert service.timeouts == 0


async def test_what_does_not_exist_has_no_name():
    service = NameService(asyncio.get_running_loop())
    ids = [0x7FFFFF01, 1 << 40]
    assert await service.look_up(ids, ids) == (dict.fromkeys(ids), dict.fromkeys(ids))
    assert service.timeouts == 0


async def test_a_look_up_that_hangs_is_given_up_and_counted(stuck):
    service = NameService(asyncio.get_running_loop(), limit_s=0.02)
    assert await service.look_up([0], [0]) == ({0: None}, {0: None})
    assert service.timeouts == 1


async def test_nobody_waits_while_a_look_up_hangs(stuck):
    service = NameService(asyncio.get_running_loop(), limit_s=0.02)
    await service.look_up([0], [])
    with pytest.raises(StopIteration) as answer:
        # it would return here to wait
        service.look_up([1], [2]).send(None)
    assert answer.value.value == ({1: None}, {2: None})
    assert service.timeouts == 2


async def test_names_are_found_again_when_the_service_answers(stuck):
    service = NameService(asyncio.get_running_loop(), limit_s=0.02)
    await service.look_up([0], [])
    stuck.set()
    hung = service._stuck
    assert hung is not None
    await until(hung.done)
    assert await service.look_up([0], []) == ({0: b"root"}, {})
    assert service.timeouts == 1


async def test_the_loop_turns_while_a_look_up_hangs(stuck):
    service = NameService(asyncio.get_running_loop(), limit_s=60)
    waiting = asyncio.ensure_future(service.look_up([0], []))
    turns = 0
    while turns < 5:
        await asyncio.sleep(0)
        turns += 1
    assert not waiting.done()
    stuck.set()
    assert await waiting == ({0: b"root"}, {})
