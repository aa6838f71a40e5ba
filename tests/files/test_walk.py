"""A walk over a folder finds each folder and file once, nothing of the system's, and says what it leaves out."""

import logging
import os
import unicodedata
from pathlib import Path

import pytest

from sr_experiments.data.image_files import EXTENSIONS, UnreadableImage, list_images, read_image
from sr_experiments.data.packs.packing import scan
from sr_experiments.errors import SRError
from sr_experiments.files.walk import UNREAD, composed, walk
from sr_experiments.runs.reading import find_runs
from sr_experiments.video.formats import EXTENSIONS as VIDEO_EXTENSIONS


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


def found(root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in list_images(root)]


def all_of(name: str) -> bool:
    return name.endswith(".png")


def test_links_that_lead_back_up_end_and_count_nothing_twice(tmp_path: Path) -> None:
    root = tmp_path / "root"
    touch(root, "a/p.png", "b/q.png", "c/deep/r.png")
    for place in ("a", "b", "c", "c/deep"):  # with two of them, paths without end
        (root / place / "up").symlink_to(root, target_is_directory=True)
        (root / place / "here").symlink_to(".", target_is_directory=True)
    assert found(root) == ["a/p.png", "b/q.png", "c/deep/r.png"]
    assert len(scan(root)) == 3


def test_a_link_to_a_folder_above_the_root_is_named_and_not_followed(tmp_path: Path, caplog) -> None:
    touch(tmp_path, "others/x.png", "root/p.png")
    (tmp_path / "root" / "all").symlink_to(tmp_path, target_is_directory=True)
    assert found(tmp_path / "root") == ["p.png"]
    assert "all, a link to a folder above" in caplog.text


def test_the_way_without_links_names_a_file_and_a_link_to_elsewhere_is_followed(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/1.png", "elsewhere/2.png", "root/z/p.png", "root/z/q.png")
    root = tmp_path / "root"
    (root / "a").symlink_to("z", target_is_directory=True)
    (root / "latest.png").symlink_to("z/q.png")
    (root / "other").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (root / "other again").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (root / "single.png").symlink_to(tmp_path / "elsewhere" / "1.png")
    assert found(root) == ["other/1.png", "other/2.png", "z/p.png", "z/q.png"]


def test_links_to_files_that_are_not_listed_themselves_are_kept_once(tmp_path: Path) -> None:
    root = tmp_path / "root"  # as in the cache of a hub: blobs without extension, and links with the names
    touch(root, "blobs/0a1b", ".store/2c3d.png")
    (root / "named.png").symlink_to("blobs/0a1b")
    (root / "same.png").symlink_to("blobs/0a1b")
    (root / "hidden.png").symlink_to(".store/2c3d.png")
    assert found(root) == ["hidden.png", "named.png"]


def test_a_broken_link_is_named(tmp_path: Path, caplog) -> None:
    touch(tmp_path, "p.png")
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "folder").symlink_to("nowhere", target_is_directory=True)
    (tmp_path / "itself").symlink_to("itself")
    assert found(tmp_path) == ["gone.png", "p.png"]  # where files are read it is an error, as a damaged file is
    assert "folder, a broken link; itself, a broken link" in caplog.text
    with pytest.raises(UnreadableImage, match=r"gone\.png is a broken link, nowhere\.png is missing"):
        read_image(tmp_path / "gone.png")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user, and only others lack permission")
def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "p.png", "secret/q.png")
    (tmp_path / "secret").chmod(0)
    for parent in (tmp_path, *tmp_path.parents):
        parent.chmod(parent.stat().st_mode | 0o055)
    os.seteuid(65534)
    try:
        result = walk(tmp_path, all_of)
    finally:
        os.seteuid(0)
    assert list(result.paths()) == [f"{tmp_path}/p.png"]
    assert result.left_out() == "left out: secret (Permission denied)"


def test_thumbnails_and_deleted_files_are_left_out_and_other_formats_counted_in_one_line(tmp_path, caplog) -> None:
    system = ("@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg", "@eaDir/b.jpg/SYNOPHOTO_THUMB_SM.jpg", "sub/@eaDir/c.jpg/T.jpg",
              "#recycle/old.png", "__MACOSX/sub/._a.jpg", "$RECYCLE.BIN/x.png", "System Volume Information/y.png",
              "lost+found/z.png", ".thumbnails/a.png", ".a.png", "sub/._b.jpg", "Thumbs.db", ".DS_Store")  # fmt: skip
    touch(tmp_path, *system, "a.jpg", "sub/b.jfif", "sub/c.JPE", "d.TIFF", "notes.txt", "a.jp2", "b.JP2", "sub/c.gif")
    with caplog.at_level(logging.WARNING):
        assert found(tmp_path) == ["a.jpg", "d.TIFF", "sub/b.jfif", "sub/c.JPE"]
        list_images(tmp_path)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == (
        f"{tmp_path}: left out: 1 .gif, 2 .jp2 (formats that aren't read); 1 in #recycle; 1 in $RECYCLE.BIN; "
        "3 in @eaDir; 1 in System Volume Information; 1 in __MACOSX; 1 in lost+found"
    )


def test_a_folder_of_other_formats_only_says_what_to_do(tmp_path: Path) -> None:
    touch(tmp_path, "a.jp2", "b.jp2")
    with pytest.raises(SRError, match=r"no images in .*left out: 2 \.jp2 .*: convert it to PNG"):
        list_images(tmp_path)
    with pytest.raises(SRError, match=r"nothing to pack in .*left out: 2 \.jp2 .*: convert it to PNG"):
        scan(tmp_path)


def test_no_format_that_is_read_is_said_not_to_be() -> None:
    assert not set(UNREAD) & {*EXTENSIONS, *VIDEO_EXTENSIONS}


def test_runs_are_found_once_each(tmp_path: Path) -> None:
    touch(tmp_path, "m/1/config.yaml", "m/1/checkpoints/config.yaml", "m/2/config.yaml", ".old/3/config.yaml")
    (tmp_path / "a latest").symlink_to("m/2", target_is_directory=True)
    (tmp_path / "m" / "up").symlink_to(tmp_path, target_is_directory=True)
    assert find_runs([tmp_path]) == [tmp_path / "m/1", tmp_path / "m/2"]


def test_composed_names_are_equal_whatever_system_wrote_them() -> None:
    assert composed(unicodedata.normalize("NFD", "é")) == composed("é")
