"""Settings of the local stack, and who owns its folder."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from local.ownership import FolderLock, end_leftovers, mark, marked
from local.settings import SettingError, Settings


def test_nothing_set_means_ports_of_its_own_choice_and_400_titles() -> None:
    settings = Settings.read({})
    ports = (settings.ui_port, settings.s3_port, settings.s3_page_port, settings.sandbox_port)
    assert (*ports, settings.borrower_port, settings.database_port) == (None,) * 6
    assert settings.titles == 400


def test_a_new_folder_is_left_empty_on_demand() -> None:
    assert [Settings.read({"ALMA_UP_EMPTY": value}).empty for value in ("", "0", "1")] == [False, False, True]


def test_settings_are_read() -> None:
    settings = Settings.read(
        {"ALMA_UI_PORT": " 8081 ", "ALMA_SANDBOX_TITLES": "1000", "ALMA_PARALLELISM": ""}
    )
    assert (settings.ui_port, settings.titles, settings.parallelism) == (8081, 1000, 8)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALMA_UI_PORT", "http"),
        ("ALMA_UI_PORT", "65536"),
        ("ALMA_S3_PORT", "0"),
        ("ALMA_SANDBOX_TITLES", "399"),
        ("ALMA_PARALLELISM", "-1"),
        ("ALMA_UP_EMPTY", "yes"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=f"{name}={value} cannot be used: give a whole number from"):
        Settings.read({name: value})


def test_one_holder_of_a_folder(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    assert second.holder() is None
    assert first.take()
    assert not second.take()
    holder = second.holder()
    assert holder is not None
    assert holder.pid == os.getpid()
    first.release()
    assert second.holder() is None
    assert second.take()
    second.release()


@pytest.mark.heavy
def test_only_marked_processes_are_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('up', flush=True); input()"]

    def start(**environment: str) -> "subprocess.Popen[str]":
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
            start_new_session=True,
        )
        assert child.stdout is not None
        child.stdout.readline()
        return child

    ours, another, stranger = start(**mark(tmp_path)), start(**mark(tmp_path / "other")), start()
    try:
        assert [process.pid for process in marked(tmp_path)] == [ours.pid]
        assert end_leftovers(tmp_path) == 1
        ours.wait(10)
        assert not psutil.pid_exists(ours.pid)
        assert another.poll() is None
        assert stranger.poll() is None
        assert end_leftovers(tmp_path) == 0
    finally:
        for child in (ours, another, stranger):
            child.kill()
            child.communicate()
