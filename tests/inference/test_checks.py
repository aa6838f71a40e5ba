"""Options of a video that can't work are refused before torch is imported, in one line."""

import json
import subprocess
import sys

from tests.conftest import ROOT

MISTAKES = {
    "absent.mp4 -o out.mp4": "no absent.mp4: give an image, a video",
    "in.mp4 -o out.avi": "can't write video out.avi: choose one of .mp4 .m4v .mov .mkv .webm",
    "in.mp4 -o there.mkv": "there.mkv exists: give --overwrite to replace",
    "in.mp4 -o out.mkv --codec libx999": "no video encoder --codec libx999: choose one of h264 hevc av1 vp9",
    "in.mp4 -o out.mkv --codec prores --lossless": "prores_ks has no --lossless: choose --codec ffv1",
    "in.mp4 -o out.mkv --codec hevc --lossless --crf 3": "--lossless leaves nothing to --crf",
    "in.mp4 -o out.mkv --start soon": "--start soon is no time",
    "in.mp4 -o out.mkv --scale 2 --longest 9": "--scale and --longest are two ways to give a size",
    "in.mp4 -o out.mkv --codec libx264 --crf 70": "--crf 70 is out of range",
    "in.mp4 -o out.mkv --pix-fmt yuv421": "no pixel format --pix-fmt yuv421",
    "in.mp4 -o out.mkv --codec libx264 --pix-fmt bgra": "libx264 can't encode --pix-fmt bgra",
    "in.mp4 -o out.webm --codec libx264": ".webm can't hold the video of libx264: give --codec libvpx-vp9",
    "in.mp4 -o out.mp4 --codec prores_ks": ".mp4 can't hold the video of prores_ks: choose an output in .mkv",
    "frames -o out.mp4 --codec aac": "--codec aac encodes audio",
}
RUN = """
import json, sys
from sr_experiments.cli import main
codes = []
for line in json.loads(sys.argv[1]):
    sys.argv = ["sr", "upscale", *line.split(), "-c", "none.pth"]
    try:
        main()
    except SystemExit as stop:
        codes.append(stop.code)
print(codes, "torch" in sys.modules)
"""


def test_mistakes_are_found_before_torch_is_imported(tmp_path):
    (tmp_path / "frames").mkdir()
    for name in ("in.mp4", "there.mkv"):
        (tmp_path / name).write_bytes(b"not looked at")
    command = [sys.executable, "-c", RUN, json.dumps(list(MISTAKES))]
    done = subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert done.stdout.split() == [*str([2] * len(MISTAKES)).split(), "False"], done.stderr
    for line, message in zip(done.stderr.splitlines(), MISTAKES.values(), strict=True):
        assert line.startswith(f"error: {message}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["frames", "in.mp4", "there.mkv"]
