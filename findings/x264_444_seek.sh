#!/usr/bin/env bash
# Seeking in a 4:4:4 video of an older x264 gives green rubbish, most of it not marked as damaged.
#
# One would expect: each keyframe of an H.264 file (IDR, in MP4's table of sync samples) is a place at which decoding can
#   begin. A frame that is sought and the same frame decoded in order are the same pixels.
# What happens: x264 before build 151 (September 2017) coded 4:4:4 with other CABAC contexts than the standard has.
#   FFmpeg knows that, and takes the build number from a message (SEI) that x264 writes before the first frame only.
#   A decoder that begins at a later keyframe never sees it, decodes by the standard, and yields rubbish until the end of
#   the file. is_corrupt is set on a part of these frames. Decoding in order is right, and so is 4:2:0.
#   OpenCV decodes the first frame before it seeks, and is right.
# Why it matters: a training set of clips is read at random, so random-access readers train on rubbish where a check that
#   plays the file from its start finds nothing. 4:4:4 H.264 is what screen recordings and "lossless" clips are.
# Instead: decode the first packet once, then seek. The decoder keeps the number.
# Versions: av 18.1.0 (its own FFmpeg), opencv-python-headless 5.0.0.93, numpy 2.4.6, Python 3.11, x86-64; made by
#   FFmpeg 3.1 with x264 148 out of ffmpeg-static 2.0.0 (npm).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" av==18.1.0 opencv-python-headless==5.0.0.93 numpy==2.4.6
cd "$work"
npm pack --silent ffmpeg-static@2.0.0 >/dev/null
tar xzf ffmpeg-static-2.0.0.tgz package/bin/linux/x64/ffmpeg
for chroma in 444 420; do
  package/bin/linux/x64/ffmpeg -v error -f lavfi -i testsrc2=size=320x240:rate=25:duration=2 -pix_fmt yuv${chroma}p \
    -c:v libx264 -g 25 -sc_threshold 0 old$chroma.mp4
done
venv/bin/python - <<'PY'
import sys

import av
import cv2
import numpy as np

print("av", av.__version__, {n: ".".join(map(str, v)) for n, v in av.library_versions.items() if n == "libavcodec"},
      "opencv", cv2.__version__)


def grey(frame):
    return frame.to_ndarray(format="gray").astype(int)


def difference(path, first_packet):
    """Mean difference of frames 25 to 49, sought, from those decoded in order; and how many are marked as damaged."""
    with av.open(path) as container:
        in_order = {frame.pts: grey(frame) for frame in container.decode(video=0)}
    with av.open(path) as container:
        stream = container.streams.video[0]
        if first_packet:
            stream.codec_context.decode(next(container.demux(stream)))
        container.seek(sorted(in_order)[25], stream=stream)
        sought = list(container.decode(stream))
    assert [frame.pts for frame in sought] == sorted(in_order)[25:] and sought[0].key_frame
    return np.mean([np.abs(grey(f) - in_order[f.pts]).mean() for f in sought]), sum(f.is_corrupt for f in sought)


def opencv(path):
    """Mean difference of frame 30, sought, from the one read in order."""
    video = cv2.VideoCapture(path)
    frames = [video.read()[1] for _ in range(31)]
    video = cv2.VideoCapture(path)
    video.set(cv2.CAP_PROP_POS_FRAMES, 30)
    return np.abs(video.read()[1].astype(int) - frames[30]).mean()


found = {(path, first): difference(path, first) for path in ("old444.mp4", "old420.mp4") for first in (False, True)}
for (path, first), (levels, damaged) in found.items():
    print(f"{path} {'after its first packet' if first else 'from the keyframe':22}: sought frames are {levels:5.1f} levels "
          f"off, {damaged} of 25 marked as damaged")
print(f"OpenCV, frame 30 of old444.mp4: {opencv('old444.mp4'):.1f} levels off, of old420.mp4: {opencv('old420.mp4'):.1f}")
levels, damaged = found["old444.mp4", False]
as_found = levels > 50 and 0 < damaged < 20 and all(v == (0, 0) for k, v in found.items() if k != ("old444.mp4", False))
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
