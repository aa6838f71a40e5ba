"""Any file under a video's name is used whole or refused in one line, wherever videos are read.

A video that breaks off or has a damaged frame is refused, not shortened: what is finished is kept for `--resume`.
Frames before the first keyframe hold no picture: they are left out, and counted in a warning.
"""

import contextlib
import sys
import time

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sr_experiments.data.packs.pack import INDEX
from sr_experiments.data.videos import VideoFolder, VideoValidation
from sr_experiments.errors import SRError
from sr_experiments.video.decode import VideoFile
from sr_experiments.video.source import VideoSource
from tests.hostile import videos as made
from tests.hostile.conftest import assert_refused

BESIDE = 3  # lines: which network is used, and what is left out of the file


@pytest.fixture
def upscale(commands, weights):
    """`upscale(name, content)`, to `out.mkv`."""
    weights().rename(commands.folder / "net.pth")
    options = ("--runtime", "torch", "--preset", "ultrafast", "-o", "out.mkv", "-c", "net.pth")

    def run(name, content):
        (commands.folder / name).write_bytes(content)
        return commands("sr", "upscale", name, *options)

    return run


def frames_of(path):
    with av.open(str(path)) as container:
        return [(frame.width, frame.height) for frame in container.decode(video=0)]


@pytest.mark.parametrize("name", made.good())
def test_what_is_odd_but_good_is_upscaled(upscale, commands, name):
    content, frames, says = made.good()[name]
    done = upscale(name, content)
    assert done.code == 0 and done.made == {"out.mkv"}, done.err
    sizes = frames_of(commands.folder / "out.mkv")
    assert len(sizes) == frames and len(set(sizes)) == 1
    assert ("could not be read" in done.err) == bool(says) and says in done.err, done.err


@pytest.mark.parametrize("name", made.bad())
def test_what_is_bad_is_refused(upscale, name):
    assert_refused(upscale(name, made.bad()[name]), name, beside=BESIDE)


@pytest.mark.slow
def test_bad_videos_among_those_to_pack_and_to_evaluate_on(commands, weights):
    weights().rename(commands.folder / "net.pth")
    clips = commands.folder / "clips"
    clips.mkdir()
    (clips / "a.mp4").write_bytes(made.encoded("mp4"))
    for name, content in made.bad().items():
        (clips / name).write_bytes(content)
        for command in (("pack", "clips", "packed"), ("evaluate", "--hr", "clips", "--checkpoint", "net.pth")):
            done = commands("sr", *command)
            # What is packed already waits for packing to go on; there is no pack without its index.
            done.made = {path for path in done.made if not path.startswith("packed") or path == f"packed/{INDEX}"}
            assert_refused(done, name.split(".")[0], beside=BESIDE)
        (clips / name).unlink()


@pytest.mark.parametrize("name", made.bad())
def test_bad_videos_among_those_to_train_on(tmp_path, name):
    (tmp_path / "a.mp4").write_bytes(made.encoded("mp4"))
    (tmp_path / name).write_bytes(made.bad()[name])
    with pytest.raises(SRError, match=name.split(".")[0]) as training:
        clips = VideoFolder(str(tmp_path), crop=16, scale=2)
        for number in range(40):
            clips[number, 3]
    with pytest.raises(SRError, match=name.split(".")[0]) as validating:
        frames = VideoValidation(2, root=str(tmp_path))
        for number in range(len(frames)):
            frames[number]
    assert "\n" not in str(training.value) + str(validating.value)


def damaged(whole):
    """Cut short anywhere, any bytes changed, more often where a file says what is in it."""
    where = st.integers(0, len(whole) - 1)
    telling = st.sampled_from([i for i in range(len(whole)) if i < 1200 or i > len(whole) - 1200])
    flips = st.lists(st.tuples(st.one_of(telling, where), st.integers(1, 255)), max_size=4)

    def made_of(length, flips):
        content = bytearray(whole if flips else whole[:length])
        for position, bits in flips:
            content[position] ^= bits
        return bytes(content)

    return st.builds(made_of, st.one_of(where, telling), flips)


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", made.WHOLE)
def test_damaged_videos_are_read_whole_or_not_at_all(tmp_path, kind):
    """Both readers, of training and of `sr upscale`, see the same frames, or each says in one line what is wrong."""
    path, counted = tmp_path / f"x.{kind}", {"read": 0, "refused": 0}

    @settings(max_examples=10 * settings().max_examples)
    @given(damaged(made.WHOLE[kind]()))
    def attempt(content):
        path.write_bytes(content)
        began = time.process_time()
        try:
            source = VideoSource(path)
            frames = sum(1 for _ in source.frames())
            assert frames == len(source) > 0
            counted["read"] += 1
        except SRError as error:
            assert path.name in str(error) and "\n" not in str(error)
            counted["refused"] += 1
        with contextlib.suppress(SRError):
            video = VideoFile(path)
            assert len(video.read(range(video.frames))) == video.frames
        assert time.process_time() - began < 20

    attempt()
    sys.stdout.write(f"\n{kind}: {counted}\n")


@pytest.mark.fuzz
@pytest.mark.parametrize("kind", made.WHOLE)
def test_damaged_videos_leave_no_half_output(upscale, commands, kind):
    name = f"x.{kind}"

    @settings(max_examples=settings().max_examples // 4)
    @given(damaged(made.WHOLE[kind]()))
    def attempt(content):
        done = upscale(name, content)
        if done.code == 0:
            assert done.made == {"out.mkv"}
            assert len(set(frames_of(commands.folder / "out.mkv"))) == 1
            (commands.folder / "out.mkv").unlink()
        else:
            assert_refused(done, name, beside=BESIDE)

    attempt()
