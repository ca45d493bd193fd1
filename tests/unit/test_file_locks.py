"""A file that one process holds is held by no other, also while it is removed."""

from __future__ import annotations

import os
import threading

from arcbook.locks import lock, unlock


def test_a_file_is_held_once_and_again_when_it_is_free(tmp_path):
    path = tmp_path / "owned" / "7"
    held = lock(path)

    assert held is not None
    assert lock(path) is None
    unlock(path, held, remove=True)
    assert not path.exists()
    again = lock(path)
    assert again is not None
    unlock(path, again)
    assert path.exists()


def test_a_file_that_was_removed_after_it_was_opened_is_not_what_is_held(tmp_path, monkeypatch):
    """The next holder opens the file; the one before removes it; a third makes a new one."""
    path = tmp_path / "lock"
    first = lock(path)
    opened = os.open
    between = []

    def open_then_lose(*args, **options):
        handle = opened(*args, **options)
        if not between:
            between.append(handle)
            unlock(path, first, remove=True)
        return handle

    monkeypatch.setattr(os, "open", open_then_lose)
    second = lock(path)

    assert second is not None
    assert os.path.samestat(path.stat(), os.fstat(second))
    assert lock(path) is None
    unlock(path, second)


def test_of_many_who_take_and_remove_a_file_no_two_hold_it_at_once(tmp_path):
    path = tmp_path / "lock"
    holders: list[int] = []
    wrong: list[list[int]] = []

    def work(number: int) -> None:
        for _ in range(300):
            handle = lock(path)
            if handle is None:
                continue
            holders.append(number)
            if len(holders) != 1:
                wrong.append(holders[:])
            holders.remove(number)
            unlock(path, handle, remove=True)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not wrong
