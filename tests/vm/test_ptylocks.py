"""Locks of other users on pseudo-terminals. Their files are real; whose they are is told by the user that asks."""

import os

from imgkit.vm.ptylocks import locked_ones_taken


def next_terminal():
    master, slave = os.openpty()
    name = os.ttyname(slave)
    os.close(master)
    os.close(slave)
    return name


def lock_file(folder, terminal):
    return folder / f"LCK..{terminal.removeprefix('/dev').replace('/', '_')}"


def test_a_terminal_that_nobody_has_locked_is_given(tmp_path):
    first = next_terminal()
    lock_file(tmp_path, first).write_text("")  # ours: libvirt removes it
    with locked_ones_taken(tmp_path):
        assert next_terminal() == first


def test_a_terminal_that_another_user_has_locked_is_not(tmp_path, monkeypatch):
    first = next_terminal()
    lock_file(tmp_path, first).write_text("")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with locked_ones_taken(tmp_path):
        assert next_terminal() != first
    assert next_terminal() == first
