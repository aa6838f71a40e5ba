from itertools import permutations
from pathlib import Path

import cv2
import numpy as np
import pytest

from sr_experiments.data.image_files import read_image
from sr_experiments.data.sample import TRAINING, VALIDATION, sample_paths
from sr_experiments.errors import SRError
from sr_experiments.video.scene_cuts import DIFFERENT, difference, find_cuts, is_cut, read_cuts, thumbnail

# Three of the photographs are textures that look alike in the small, and are no shots of a film.
PATHS = [path for path in sample_paths((*TRAINING, *VALIDATION)) if path.stem not in ("brick", "grass", "gravel")]
PHOTOGRAPHS = {path.stem: read_image(path) for path in PATHS if path.stem != "motorcycle_right"}


def view(name: str, x: float = 0.0, y: float = 0.0, zoom: float = 1.0, turn: float = 0.0) -> np.ndarray:
    """256x256 of a photograph, (x, y) pixels off its middle, `turn` degrees."""
    photograph = PHOTOGRAPHS[name]
    height, width = photograph.shape[:2]
    k = 0.7 * min(height, width) / 256
    cosine, sine = np.cos(np.deg2rad(turn)) * k / zoom, np.sin(np.deg2rad(turn)) * k / zoom
    linear = np.array([[cosine, -sine], [sine, cosine]])
    shift = np.array([width / 2 + k * x, height / 2 + k * y]) - linear @ (128, 128)
    matrix = np.column_stack((linear, shift))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(photograph, matrix, (256, 256), flags=flags, borderMode=cv2.BORDER_REFLECT)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize(("x", "y"), [(30, 0), (0, -30), (-21, 21), (10, 3)])
def test_a_pan_is_no_cut(name: str, x: float, y: float) -> None:
    assert not is_cut(view(name, -x / 2, -y / 2), view(name, x / 2, y / 2))


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_zoom_turn_and_shake_are_no_cuts(name: str) -> None:
    still = view(name)
    for other in (view(name, zoom=1.1), view(name, zoom=0.9), view(name, turn=6), view(name, 20, -12, 1.05, 3)):
        assert not is_cut(still, other)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_flashes_and_passing_objects_are_no_cuts(name: str) -> None:
    still = view(name)
    for gain, offset in ((1.0, 40), (1.3, 20), (0.6, 0)):
        assert not is_cut(still, np.clip(still * gain + offset, 0, 255).astype(np.uint8))
    for colour in (0, 255):
        object_ = still.copy()
        object_[90:160, 60:130] = colour
        assert not is_cut(still, object_)


def test_different_photographs_are_cuts() -> None:
    for one, other in permutations(PHOTOGRAPHS, 2):
        assert is_cut(view(one), view(other)), (one, other)


def test_the_difference_is_that_of_the_thumbnails_where_they_fit_best() -> None:
    black, grey = (thumbnail(np.full((90, 160, 3), level, np.uint8)) for level in (0, 100))
    assert difference(grey, grey) == 0
    assert difference(black, grey) == pytest.approx(100)
    still, moved, other = map(thumbnail, (view("coffee"), view("coffee", 25, 0), view("chelsea")))
    assert difference(still, moved) == pytest.approx(difference(moved, still))
    assert difference(still, moved) < 0.7 * DIFFERENT < difference(still, other)


@pytest.mark.parametrize("shape", [(256, 144, 3), (144, 256, 1), (24, 24, 3), (17, 40, 1)])
def test_any_shape_and_grey_will_do(shape: tuple[int, int, int]) -> None:
    pictures = [cv2.resize(PHOTOGRAPHS[name], shape[1::-1])[:, :, : shape[2]] for name in ("coffee", "astronaut")]
    assert find_cuts([pictures[0]] * 2 + [pictures[1]] * 3 + [pictures[0]]) == [2, 5]


def test_cuts_are_the_first_frames_of_shots() -> None:
    shots = [[view(name, 8 * i) for i in range(4)] for name in ("coffee", "rocket", "chelsea")]
    assert find_cuts([frame for shot in shots for frame in shot]) == [4, 8]
    assert find_cuts(shots[0]) == find_cuts(shots[0][:1]) == find_cuts([]) == []


def test_a_list_of_cuts_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cuts.txt"
    path.write_text("# cuts\na 30 10\n\n  two words 2 5\nscene 12 7\na 20\nno_cuts\n")
    lengths = {"a": 40, "two words": 9, "scene 12": 8, "no_cuts": 3}
    assert read_cuts(path, lengths) == {"a": [10, 20, 30], "two words": [2, 5], "scene 12": [7], "no_cuts": []}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("b 3", r"cuts\.txt line 2: 'b 3' does not begin with the name of a clip; there are a"),
        ("a 3 40", r"cuts\.txt line 2: 40 is not a frame of a, which has frames 0 to 39"),
        ("a 3 x", r"cuts\.txt line 2: x is not a frame of a"),
        ("a -3", r"cuts\.txt line 2: -3 is not a frame of a"),
    ],
)
def test_mistakes_in_a_list_name_the_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "cuts.txt"
    path.write_text(f"a 1\n{line}\n")
    with pytest.raises(SRError, match=message):
        read_cuts(path, {"a": 40})


def test_a_missing_list_says_what_scene_cuts_can_be(tmp_path: Path) -> None:
    with pytest.raises(SRError, match=r"dectect.*detect, none or a file"):
        read_cuts("dectect", {"a": 40})
