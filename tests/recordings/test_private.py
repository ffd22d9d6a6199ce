"""A place is private if nobody else can write it, or replace it or a folder above it."""

import os
import sys
from pathlib import Path

import pytest

from spikesam.recordings.files import is_private

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
NOBODY = 65534


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "above" / "folder").mkdir(parents=True)
    for path in (tmp_path / "above", tmp_path / "above" / "folder"):
        path.chmod(0o755)
    return tmp_path / "above" / "folder"


def test_what_only_its_owner_writes_is_private(place: Path) -> None:
    assert is_private(place)
    (place / "file").touch(0o600)
    assert is_private(place / "file")


@pytest.mark.parametrize("mode", [0o777, 0o757, 0o1777])
def test_a_folder_that_others_write_is_not(place: Path, mode: int) -> None:
    place.chmod(mode)
    assert not is_private(place)


def test_a_file_that_others_write_is_not(place: Path) -> None:
    (place / "file").touch()
    (place / "file").chmod(0o666)
    assert not is_private(place / "file")


@pytest.mark.parametrize(("mode", "private"), [(0o777, False), (0o1777, True)])
def test_a_folder_above_may_be_shared_if_it_is_sticky(place: Path, mode: int, private: bool) -> None:
    place.parent.chmod(mode)
    assert is_private(place) == private


def test_a_link_counts_as_what_it_leads_to(place: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(place)
    assert is_private(tmp_path / "link")
    place.chmod(0o777)
    assert not is_private(tmp_path / "link")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("which", ["the place", "a folder above"])
def test_what_belongs_to_another_user_is_not(place: Path, which: str) -> None:
    os.chown(place if which == "the place" else place.parent, NOBODY, NOBODY)
    assert not is_private(place)


def test_a_group_with_other_members_is_somebody_else(place: Path) -> None:
    group = next((number for number in os.getgroups() if number not in (0, os.getegid())), None)
    if os.geteuid() == 0:
        group = NOBODY
    if group is None:
        pytest.skip("this user has no other group")
    os.chown(place, -1, group)
    place.chmod(0o775)
    assert not is_private(place)
