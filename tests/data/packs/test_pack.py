import errno
import os
import pickle
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from sr_experiments.commands import pack as command
from sr_experiments.data.image_files import UnreadableImage, read_image
from sr_experiments.data.images import ImageFolder, ImageValidation
from sr_experiments.data.packs import decoding
from sr_experiments.data.packs.decoding import Written, decode
from sr_experiments.data.packs.pack import INDEX, JOURNAL, LOCK, Pack
from sr_experiments.data.packs.packing import pack
from sr_experiments.data.paired import PairedFolder, PairedValidation
from sr_experiments.data.reds import REDS, REDS4, REDSValidation
from sr_experiments.data.videos import VideoFolder, VideoValidation
from sr_experiments.data.vimeo90k import Vimeo90K, Vimeo90KValidation
from sr_experiments.errors import SRError
from tests.data.test_videos import save_clip
from tests.video.test_decode import film, write


@pytest.fixture
def photos(tmp_path: Path, save_image) -> Path:
    """Images of all sorts, in several folders, of several sizes."""
    root = tmp_path / "photos"
    for i in range(4):
        save_image(root / f"{i + 8}.png", 40 + i, 48 - i, seed=i)
    noise = Image.fromarray(save_image(root / "below" / "a.png", seed=9))
    noise.convert("L").save(root / "below" / "grey.png")
    noise.save(root / "below" / "b.jpg")
    noise.quantize(8).save(root / "palette.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    noise.save(root / "turned.jpg", exif=turned)
    return root


def same(one, other, keys) -> None:
    for key in keys:
        first, second = one[key], other[key]
        assert first.keys() == second.keys()
        for name, value in first.items():
            assert torch.equal(value, second[name]) if torch.is_tensor(value) else value == second[name]


def relative(paths, root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


# -- a pack stands for its folder ----------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("workers", [0, 2])
def test_images_of_a_pack_are_those_of_its_folder(photos: Path, tmp_path: Path, channels: int, workers: int) -> None:
    place = tmp_path / "packed"
    pack(photos, place, workers)
    arguments = {"crop": 16, "scale": 2, "channels": channels, "seed": 3}
    folder, packed = ImageFolder(str(photos), **arguments), ImageFolder(str(place), **arguments)
    assert relative(folder.paths, photos) == relative(packed.paths, place)
    same(folder, packed, range(60))
    arguments = {"scale": 4, "channels": channels, "limit": 7}
    folder, packed = ImageValidation(str(photos), **arguments), ImageValidation(str(place), **arguments)
    assert len(folder) == len(packed) == 7
    same(folder, packed, range(7))


def test_grey_is_made_as_reading_makes_it(photos: Path, tmp_path: Path) -> None:
    packed = pack(photos, tmp_path / "packed", 0)
    for name in packed.index.names:
        expected = read_image(photos / name, 1)
        picture = packed.read(name, 1)
        assert picture.shape == expected.shape
        assert (np.asarray(picture) == expected).all()
        assert (picture[5:20, 7:30] == expected[5:20, 7:30]).all()


@pytest.mark.parametrize("channels", [3, 1])
def test_pairs_of_packs_are_those_of_their_folders(tmp_path: Path, save_image, capsys, channels: int) -> None:
    for i in range(5):
        save_image(tmp_path / "hr" / f"{i}.png", 41, 48, seed=i)
        save_image(tmp_path / "lr" / "X2" / f"{i}x2.png", 20, 24, seed=10 + i)
    place = tmp_path / "packed"
    command.pack(tmp_path / "hr", place, [tmp_path / "lr"], 0)
    assert f"data.train.hr={place / 'HR'} data.train.lr={place / 'lr'}" in capsys.readouterr().out
    folders = {"hr": str(tmp_path / "hr"), "lr": str(tmp_path / "lr")}
    packs = {"hr": str(place / "HR"), "lr": str(place / "lr")}
    arguments = {"scale": 2, "channels": channels}
    same(PairedFolder(**folders, **arguments, crop=16), PairedFolder(**packs, **arguments, crop=16), range(40))
    same(PairedValidation(**folders, **arguments), PairedValidation(**packs, **arguments), range(5))


@pytest.mark.parametrize("channels", [3, 1])
def test_clips_of_a_pack_are_those_of_its_folder(tmp_path: Path, channels: int) -> None:
    root, place = tmp_path / "clips", tmp_path / "packed"
    for i, name in enumerate(("b/10", "b/9", "a")):
        save_clip(root / name, i, frames=9)
    write(root / "b" / "9a.mp4", film(7))
    pack(root, place, 0)
    arguments = {"scale": 4, "channels": channels}
    folder = VideoFolder(str(root), crop=16, **arguments)
    packed = VideoFolder(str(place), crop=16, **arguments)
    assert [clip.name for clip in packed.hr_clips] == ["a", "b/9", "b/9a", "b/10"]
    assert relative(folder.paths, root) == relative(packed.paths, place)
    assert [(c.frames, c.size) for c in folder.hr_clips] == [(c.frames, c.size) for c in packed.hr_clips]
    same(folder, packed, [(n, frames) for n in range(25) for frames in (1, 4)])
    folder, packed = VideoValidation(root=str(root), **arguments), VideoValidation(root=str(place), **arguments)
    same(folder, packed, range(len(folder)))


def test_paired_clips_and_a_root_of_frames(tmp_path: Path) -> None:
    save_clip(tmp_path / "walk", frames=6)
    save_clip(tmp_path / "lr" / "X4" / "walk", 7, frames=6, size=(8, 12))
    pack(tmp_path / "walk", tmp_path / "packs" / "hr", 0)
    pack(tmp_path / "lr", tmp_path / "packs" / "lr", 0)
    one = VideoValidation(4, hr=str(tmp_path / "walk"), lr=str(tmp_path / "lr"))
    other = VideoValidation(4, hr=str(tmp_path / "packs" / "hr"), lr=str(tmp_path / "packs" / "lr"))
    same(one, other, range(6))


def test_reds_and_vimeo_are_found_in_packs_of_their_roots(tmp_path: Path) -> None:
    reds, vimeo = tmp_path / "REDS", tmp_path / "vimeo"
    for number in (*map(int, REDS4), 1):
        save_clip(reds / f"train_sharp/{number:03d}", number)
        save_clip(reds / f"train_sharp_bicubic/X4/{number:03d}", number, size=(8, 12))
    for name in ("00001/0001", "00001/0002"):
        save_clip(vimeo / "sequences" / name, frames=7, first=1)
        for frame in range(1, 8):
            (vimeo / "sequences" / name / f"{frame:08d}.png").rename(vimeo / "sequences" / name / f"im{frame}.png")
    (vimeo / "sep_trainlist.txt").write_text("00001/0001\n")
    (vimeo / "sep_testlist.txt").write_text("00001/0002\n")
    for root in (reds, vimeo):
        pack(root, tmp_path / "packs" / root.name, 0)
    packs = tmp_path / "packs"
    for make, root in ((REDS, reds), (REDSValidation, reds), (Vimeo90K, vimeo), (Vimeo90KValidation, vimeo)):
        arguments: dict = {"scale": 4, **({} if "Validation" in make.__name__ else {"crop": 8})}
        if root == reds:
            arguments["lr"] = "bicubic"
        folder, packed = make(root=str(root), **arguments), make(root=str(packs / root.name), **arguments)
        cached = make(root=str(root), **arguments, cache=str(tmp_path / "cache"))
        keys = range(len(folder)) if "crop" not in arguments else [(n, 3) for n in range(12)]
        same(folder, packed, keys)
        same(folder, cached, keys)
    # One pack each for HR and LR of REDS, and one each for the two lists of Vimeo-90K.
    assert len(list((tmp_path / "cache").glob(f"*/{INDEX}"))) == 4


def test_workers_read_what_the_main_process_reads(photos: Path, tmp_path: Path) -> None:
    pack(photos, tmp_path / "packed", 0)
    data = ImageFolder(str(tmp_path / "packed"), crop=16, scale=2)
    alone = [batch["hr"] for batch in DataLoader(data, sampler=range(12), batch_size=4)]
    helped = [batch["hr"] for batch in DataLoader(data, sampler=range(12), batch_size=4, num_workers=2)]
    assert all(torch.equal(one, other) for one, other in zip(alone, helped, strict=True))
    copied = pickle.dumps(data)
    assert len(copied) < 20_000 and torch.equal(pickle.loads(copied)[3]["hr"], data[3]["hr"])


# -- interruptions -------------------------------------------------------------------------------------------


def count_decoding(monkeypatch: pytest.MonkeyPatch, fail_at: int | None = None, error: BaseException | None = None):
    decoded: list[str] = []
    original: Callable[..., Written] = decoding.decode

    def decode(task) -> Written:
        if len(decoded) == fail_at:
            assert error is not None
            raise error
        decoded.append(task.source.name)
        return original(task)

    monkeypatch.setattr(decoding, "decode", decode)
    return decoded


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a bug")])
def test_interrupted_packing_goes_on(photos: Path, tmp_path: Path, monkeypatch, error: BaseException) -> None:
    place = tmp_path / "packed"
    with monkeypatch.context() as patched, pytest.raises(type(error)):
        count_decoding(patched, 5, error)
        pack(photos, place, 0)
    with pytest.raises(SRError, match="was interrupted: continue with the same sr pack"):
        ImageFolder(str(place), crop=16, scale=2)
    with (place / JOURNAL).open("ab") as journal:
        journal.write(b"[5, 12")  # as if the machine had gone off meanwhile
    decoded = count_decoding(monkeypatch)
    packed = pack(photos, place, 0)
    assert len(decoded) == len(packed.index.names) - 5
    assert list(packed.damaged()) == [] and not (place / JOURNAL).exists()
    assert all((packed.read(name) == read_image(photos / name)).all() for name in packed.index.names)
    pack(photos, place, 0)
    assert len(decoded) == len(packed.index.names) - 5


def test_what_was_packed_of_other_files_is_not_kept(photos: Path, tmp_path: Path, monkeypatch, save_image) -> None:
    place = tmp_path / "packed"
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        count_decoding(patched, 5, KeyboardInterrupt())
        pack(photos, place, 0)
    save_image(photos / "new.png", seed=77)
    decoded = count_decoding(monkeypatch)
    packed = pack(photos, place, 0)
    assert len(decoded) == len(packed.index.names) and list(packed.damaged()) == []
    assert sorted(path.name for path in place.iterdir()) == sorted([INDEX, LOCK, packed.pixels_path.name])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_disk_that_fills_up_is_one_line_and_packing_goes_on(photos, tmp_path, monkeypatch, workers: int) -> None:
    place = tmp_path / "packed"
    with monkeypatch.context() as patched:
        if workers:
            patched.setattr(decoding, "decode", _disk_full)
        else:
            count_decoding(patched, 5, OSError(errno.ENOSPC, "No space left on device"))
        with pytest.raises(SRError, match=r"no space left for .*packed: free some and continue"):
            pack(photos, place, workers)
    assert list(pack(photos, place, 0).damaged()) == []


def _disk_full(task) -> Written:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(("free", "said"), [(999, "999 bytes"), (1234, r"1\.2 kB")])
def test_space_is_looked_for_first(photos: Path, tmp_path: Path, monkeypatch, free: int, said: str) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, free))
    with pytest.raises(SRError, match=rf"9 files of .*photos unpack to 51\.9 kB, but .*packed has {said} free"):
        pack(photos, tmp_path / "packed", 0)


# -- damage and change ---------------------------------------------------------------------------------------


def test_a_changed_source_is_noticed(photos: Path, tmp_path: Path, save_image) -> None:
    place = tmp_path / "packed"
    pack(photos, place, 0)
    expected = save_image(photos / "9.png", 40, 40, seed=50)
    with pytest.raises(SRError, match=rf"9\.png has changed since it was packed.*: pack again with sr pack {photos}"):
        ImageFolder(str(place), crop=16, scale=2)
    with pytest.raises(SRError, match=r"photos has changed since it was packed: 9\.png"):
        command.pack(place, verify=True)
    assert (pack(photos, place, 0).read("9.png") == expected).all()
    shutil.rmtree(photos)
    assert len(ImageFolder(str(place), crop=16, scale=2).paths) == 9


def test_a_cut_off_pack_is_noticed_when_it_is_opened(photos: Path, tmp_path: Path) -> None:
    pixels = pack(photos, tmp_path / "packed", 0).pixels_path
    os.truncate(pixels, 1000)
    with pytest.raises(SRError, match=r"has 1000 bytes instead of \d+: damaged or cut off; remove .*sr pack"):
        ImageFolder(str(tmp_path / "packed"), crop=16, scale=2)


def test_a_flipped_bit_is_found_by_verify(photos: Path, tmp_path: Path, capsys) -> None:
    packed = pack(photos, tmp_path / "packed", 0)
    command.pack(tmp_path, verify=True)  # all packs in a folder
    assert "9 files, " in capsys.readouterr().out
    with packed.pixels_path.open("rb+") as file:
        file.seek(int(packed.index.columns["offset"][packed.rows["turned.jpg"]]) + 99)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 4]))
    with pytest.raises(SRError, match=r"packed is damaged at turned\.jpg; remove"):
        command.pack(tmp_path / "packed", verify=True)


def test_a_decoder_that_is_killed_is_one_line_and_packing_goes_on(photos: Path, tmp_path: Path, monkeypatch) -> None:
    with monkeypatch.context() as patched, pytest.raises(SRError, match="use fewer workers"):
        patched.setattr(decoding, "decode", _killed)
        pack(photos, tmp_path / "packed", 2)
    assert list(pack(photos, tmp_path / "packed", 2).damaged()) == []


def _killed(task) -> Written:
    if task.row == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(task)


@pytest.mark.parametrize("kept", [0.3, 0.98])
def test_a_damaged_index_is_one_line(photos: Path, tmp_path: Path, kept: float) -> None:
    pack(photos, tmp_path / "packed", 0)
    index = tmp_path / "packed" / INDEX
    index.write_bytes(index.read_bytes()[: int(kept * index.stat().st_size)])
    with pytest.raises(SRError, match=r"pack\.index is damaged \(.*\): remove .*packed and pack"):
        Pack(tmp_path / "packed")


def test_flipped_bits_of_the_index_are_noticed(photos: Path, tmp_path: Path) -> None:
    pack(photos, tmp_path / "packed", 0)
    index = tmp_path / "packed" / INDEX
    content = bytearray(index.read_bytes())
    content[content.find(b"turned.jpg")] ^= 1
    index.write_bytes(content)
    with pytest.raises(SRError, match="is damaged"):
        Pack(tmp_path / "packed")


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_files_stop_packing_or_are_remembered(photos: Path, tmp_path: Path, truncate, workers: int) -> None:
    (photos / "8.png").write_text("no image")
    truncate(photos / "9.png")
    place = tmp_path / "packed"
    with pytest.raises(UnreadableImage, match=r"8\.png: .*, or skip such files with on_error=skip"):
        pack(photos, place, workers)
    packed = pack(photos, place, workers, on_error="skip")
    assert list(packed.damaged()) == [] and len(packed.index.unreadable) == 2
    with pytest.raises(UnreadableImage, match=r"8\.png.*on_error=skip"):
        ImageFolder(str(place), crop=16, scale=2)
    arguments = {"crop": 16, "scale": 2, "on_error": "skip"}
    same(ImageFolder(str(photos), **arguments), ImageFolder(str(place), **arguments), range(40))
    with pytest.raises(UnreadableImage) as of_file:
        ImageValidation(str(photos), 2)[1]
    with pytest.raises(UnreadableImage) as of_pack:
        ImageValidation(str(place), 2)[1]
    assert str(of_pack.value) == str(of_file.value)


def test_a_damaged_image_stops_packing_in_one_line(photos: Path, tmp_path: Path, truncate) -> None:
    truncate(photos / "9.png")
    for workers in (0, 2):
        with pytest.raises(UnreadableImage, match=r"^can't read image .*9\.png: .*on_error=skip$"):
            pack(photos, tmp_path / "packed", workers)


def test_mistakes_are_one_line(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(SRError, match=r"no folder .*nowhere"):
        pack(tmp_path / "nowhere", tmp_path / "packed")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SRError, match=r"nothing to pack in .*empty"):
        pack(tmp_path / "empty", tmp_path / "packed")
    with pytest.raises(SRError, match="exists and is not a pack: choose an empty folder"):
        pack(photos, photos, 0)
    with pytest.raises(SRError, match="say where to write"):
        command.pack(photos)
    with pytest.raises(SRError, match="no pack in"):
        command.pack(photos, verify=True)
    with pytest.raises(SRError, match="packed into one folder"):
        command.pack(photos, tmp_path / "packed", [tmp_path / "hr"])
    pack(photos / "below", tmp_path / "packed", 0)
    with pytest.raises(SRError, match=r"contains a pack of .*below: choose another place"):
        pack(photos, tmp_path / "packed", 0)
    (tmp_path / "file").write_text("")
    with pytest.raises(SRError, match=r"cannot write .*file"):
        pack(photos, tmp_path / "file" / "packed", 0)
