import multiprocessing
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from sr_experiments.data.image_files import read_image
from sr_experiments.data.sample import sample_paths
from sr_experiments.video import decode
from sr_experiments.video.decode import UnreadableVideo, VideoFile
from tests.conftest import ROOT

FRAMES = 40
COCKATOO = ROOT.parent / "shared" / "data" / "clips" / "cockatoo.mp4"


def film(frames: int = FRAMES, height: int = 96, width: int = 128) -> list[np.ndarray]:
    """A pan over a photograph."""
    photograph = read_image(sample_paths(("astronaut.png",))[0])
    return [np.ascontiguousarray(photograph[2 * i : 2 * i + height, 3 * i : 3 * i + width]) for i in range(frames)]


def write(path: Path, frames: list[np.ndarray], codec: str = "libx264", **options: str) -> Path:
    """Encode RGB frames with B-frames and short GOPs."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = 7
        if codec in ("libx264", "mpeg4", "mpeg2video"):
            stream.codec_context.max_b_frames = 2
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def h264(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("video") / "pan.mp4", film())


def frames_seen(path: Path) -> list[int]:
    """Which frame of the film each frame of the file shows."""
    video, shown = VideoFile(path), film()
    return [
        int(np.argmin([np.abs(picture.astype(int) - frame).mean() for frame in shown]))
        for picture in video.read(range(video.frames))
    ]


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("closed.mp4", "libx264", {}),
        ("open.mp4", "libx264", {"x264-params": "open-gop=1:keyint=7:bframes=3"}),
        ("open.ts", "libx264", {"x264-params": "open-gop=1:keyint=7:bframes=3"}),
        ("b_frames.avi", "mpeg4", {}),
        ("b_frames.mpg", "mpeg2video", {}),
        ("hidden_frames.webm", "libvpx", {"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "realtime"}),
        ("lossless.mkv", "ffv1", {}),
    ],
)
def test_any_frame_is_the_one_that_decoding_in_order_gives(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    path = write(tmp_path / name, film(), codec, **options)
    assert frames_seen(path) == list(range(FRAMES))
    video = VideoFile(path)
    in_order = video.read(range(FRAMES))
    jumps = [FRAMES - 1, 0, *np.random.default_rng(0).integers(0, FRAMES, 20).tolist(), 5, 5, 4]
    for index in jumps:
        assert (video.read([index])[0] == in_order[index]).all(), index
    for first in (20, 3, 13):
        assert all((a == b).all() for a, b in zip(video.read(range(first, first + 9)), in_order[first:], strict=False))


@pytest.mark.skipif(not COCKATOO.is_file(), reason=f"no 4:4:4 video of an old x264 at {COCKATOO}")
def test_a_later_keyframe_is_decoded_by_the_version_of_x264_that_the_first_packet_states() -> None:
    in_order = VideoFile(COCKATOO).read([80])[0]  # one keyframe after the first
    assert (VideoFile(COCKATOO).read([79, 80])[1] == in_order).all()
    with av.open(str(COCKATOO)) as container:
        independent = next(frame for i, frame in enumerate(container.decode(video=0)) if i == 80).to_ndarray(
            format="gray"
        )
    assert np.abs(in_order.mean(axis=2) - independent).mean() < 4  # rubbish differs by more than 50


def test_a_palette_that_comes_with_the_first_packet_is_that_of_all_frames(tmp_path: Path) -> None:
    path = tmp_path / "palette.avi"
    palette = np.zeros((256, 4), np.uint8)
    palette[:8] = [(255, 30 * i, 200 - 20 * i, 7 * i) for i in range(8)]  # alpha, red, green, blue
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "pal8"
        for i in range(8):
            container.mux(stream.encode(av.VideoFrame.from_ndarray((np.full((48, 64), i, np.uint8), palette), "pal8")))
        container.mux(stream.encode())
    for order in (range(8), (5, 2, 7), (0,)):
        video = VideoFile(path)
        for i in order:
            [picture] = video.read([i])
            assert (picture == palette[i, 1:]).all(), (order, i)


def test_frames_in_order_are_decoded_once(h264: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video = VideoFile(h264)
    decoded = []
    packets = decode.Decoder._packets

    def counted(self, key):
        for packet in packets(self, key):
            decoded.append(packet.pts)
            yield packet

    monkeypatch.setattr(decode.Decoder, "_packets", counted)
    for index in range(0, FRAMES, 2):
        video.read([index])
    assert len(decoded) <= FRAMES + 8 + 1
    decoded.clear()
    video.read([30])
    assert len(decoded) <= 12  # from the keyframe before, and as many as B-frames delay


def test_a_file_can_be_pickled_while_it_is_read(h264: Path) -> None:
    video = VideoFile(h264, "pan")
    expected = video.read(range(12, 15))
    copy = pickle.loads(pickle.dumps(video))
    assert (copy.name, copy.frames, copy.size) == ("pan", FRAMES, (96, 128))
    assert all((a == b).all() for a, b in zip(copy.read(range(12, 15)), expected, strict=True))


def test_a_forked_process_opens_its_own_decoder(h264: Path) -> None:
    video = VideoFile(h264)
    expected = video.read(range(10, 20))
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for frames in pool.map(video.read, [range(15, 20), range(10, 15), range(15, 20)]):
            assert (frames[0] == expected[0]).all() or (frames[0] == expected[5]).all()
    assert (video.read([20])[0] == VideoFile(h264).read([20])[0]).all()


def test_few_decoders_stay_open(tmp_path: Path) -> None:
    videos = [VideoFile(write(tmp_path / f"{i}.mp4", film(4))) for i in range(7)]
    for video in videos:
        video.read([1])
    assert sum(video._decoder is not None for video in videos) == decode.MAX_OPEN
    assert (videos[0].read([2])[0] == videos[6].read([2])[0]).all()


def yuv(rgb: np.ndarray, red: float, blue: float, full: bool) -> np.ndarray:
    """RGB to Y'CbCr by the definition (ITU-R BT.601 and BT.709), (H, W, 3) to (3, H, W)."""
    r, g, b = (rgb.astype(float) / 255).transpose(2, 0, 1)
    y = red * r + (1 - red - blue) * g + blue * b
    chroma = [(b - y) / (2 - 2 * blue), (r - y) / (2 - 2 * red)]
    scaled = [y * 255, *(c * 255 + 128 for c in chroma)] if full else [y * 219 + 16, *(c * 224 + 128 for c in chroma)]
    return np.stack(scaled).round().clip(0, 255).astype(np.uint8)


BT601, BT709 = (0.299, 0.114), (0.2126, 0.0722)


@pytest.mark.parametrize(
    ("stated", "full", "height", "weights"),
    [
        (5, False, 96, BT601),
        (6, True, 96, BT601),
        (1, False, 96, BT709),
        (1, True, 96, BT709),
        (None, False, 96, BT601),
        (None, False, 720, BT709),
    ],
)
def test_colours_follow_the_matrix_and_range_of_the_file(
    tmp_path: Path, stated: int | None, full: bool, height: int, weights: tuple[float, float]
) -> None:
    # Patches of all colours, without the edges where chroma matters.
    patches = np.random.default_rng(0).integers(0, 256, (height // 16, 8, 3), dtype=np.uint8)
    rgb = patches.repeat(16, 0).repeat(16, 1)
    with av.open(str(tmp_path / "colours.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = *rgb.shape[:2], "yuv444p"
        if stated is not None:
            stream.codec_context.colorspace = stated
            stream.codec_context.color_range = 2 if full else 1
        frame = av.VideoFrame.from_ndarray(yuv(rgb, *weights, full), format="yuv444p")
        if stated is not None:
            frame.colorspace, frame.color_range = stated, 2 if full else 1
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    decoded = VideoFile(tmp_path / "colours.mkv").read([0])[0].astype(int)
    assert np.abs(decoded - rgb).max() <= 3 and np.abs(decoded - rgb).mean() < 1


def test_grey_is_the_luma_that_images_have(h264: Path) -> None:
    colour, grey = VideoFile(h264).read([3])[0], VideoFile(h264, channels=1).read([3])[0]
    assert grey.shape == (96, 128, 1)
    assert (grey[:, :, 0] == np.array(Image.fromarray(colour).convert("L"))).all()


def test_a_stated_rotation_is_applied(tmp_path: Path, h264: Path) -> None:
    content = bytearray(h264.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40
    one = 1 << 16
    for turn, values in ((-1, (0, one, 0, -one, 0, 0)), (1, (0, -one, 0, one, 0, 0)), (2, (-one, 0, 0, 0, -one, 0))):
        content[matrix : matrix + 24] = struct.pack(">6i", *values)
        (tmp_path / "turned.mp4").write_bytes(content)
        turned = VideoFile(tmp_path / "turned.mp4")
        expected = np.rot90(VideoFile(h264).read([7])[0], turn)
        assert turned.size == expected.shape[:2]
        assert (turned.read([7])[0] == expected).all()


def audio_alone(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("garbage.mp4", lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)), "can't read video"),
        ("garbage.mkv", lambda path: path.write_text("no video" * 99), "can't read video"),
        ("empty.avi", lambda path: path.touch(), "can't read video"),
        ("sound.mp4", audio_alone, "no video stream"),
        ("gone.mp4", lambda path: None, "does not exist"),
    ],
)
def test_what_is_no_video_is_named(tmp_path: Path, name: str, make: Callable[[Path], object], message: str) -> None:
    make(tmp_path / name)
    with pytest.raises(UnreadableVideo, match=f"{message}.*|.*{message}") as caught:
        VideoFile(tmp_path / name)
    assert name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [{}, {"movflags": "faststart"}])
def test_a_truncated_mp4_is_named(tmp_path: Path, truncate, options: dict[str, str]) -> None:
    path = tmp_path / "cut.mp4"
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
        for frame in film(20):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    truncate(path)
    with pytest.raises(UnreadableVideo, match=r"cut\.mp4"):
        VideoFile(path)


def test_a_damaged_frame_is_named_and_the_others_can_be_read(tmp_path: Path) -> None:
    path = write(tmp_path / "damaged.mkv", film())
    expected = VideoFile(path).read([2, 30])
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 200] = b"\xaa" * 200
    path.write_bytes(content)
    video = VideoFile(path)
    assert (video.read([2])[0] == expected[0]).all()
    with pytest.raises(UnreadableVideo, match=r"frame \d+ of .*damaged\.mkv") as caught:
        video.read(range(FRAMES))
    assert "\n" not in str(caught.value)
    assert (video.read([30])[0] == expected[1]).all()
