"""GeoTIFF: pixels of the enlarged picture lie where they lay, by the formulas of OGC GeoTIFF 1.1."""

import numpy as np
import pytest
import tifffile
import torch

from sr_experiments.data.image_files import UnreadableImage, read_image
from sr_experiments.generators.generator import Generator
from sr_experiments.inference.engine import Engine
from sr_experiments.inference.images import read_picture, upscale_picture, write_picture
from sr_experiments.inference.sizes import Enlarger, WantedSize

SCALE, TIE, MATRIX, KEYS, DOUBLES, TEXTS, GDAL, NO_DATA = 33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113
AREA, POINT = 1, 2
ITEMS = '<Item name="SENSOR">ü</Item>\n  <Item name="STATISTICS_MAXIMUM" sample="0">9</Item>'
XML = f"<GDALMetadata>\n  {ITEMS}\n</GDALMetadata>"


class Nearest(Generator):
    """Every pixel scale^2 times."""

    def __init__(self, scale=4, channels=1, phase=None):
        super().__init__(scale, channels, phase)

    def forward(self, lr):
        return torch.nn.functional.interpolate(lr, scale_factor=self.scale)


def enlarger(scale=4, channels=1, phase=None, **wanted):
    return Enlarger(Engine(Nearest(scale, channels, phase), "cpu", "fp32", runtime="torch"), WantedSize(**wanted))


def keys(raster):
    """A projected model (UTM 33N) with a citation in GeoAsciiParams and a number in GeoDoubleParams."""
    texts = "WGS 84 / UTM zone 33N|"
    entries = [
        (1024, 0, 1, 1),
        (1025, 0, 1, raster),
        (1026, TEXTS, len(texts), 0),
        (2057, DOUBLES, 1, 0),
        (3072, 0, 1, 32633),
    ]
    directory = (1, 1, 0, len(entries), *(value for entry in entries for value in entry))
    return [
        (KEYS, 3, len(directory), directory, True),
        (DOUBLES, 12, 1, (6378137.0,), True),
        (TEXTS, 2, 0, texts, True),
    ]


def numbers(tag, *values):
    return (tag, 12, len(values), tuple(map(float, values)), True)


def scene(path, tags, pixels=None, **options):
    pixels = np.arange(35, dtype=np.uint16).reshape(5, 7) if pixels is None else pixels
    tifffile.imwrite(path, pixels, extratags=tags, metadata=None, software=False, **options)


def enlarged(path, by, channels=1, bits=8):
    """The tags of the enlarged picture, by number, and what was said to be lost."""
    picture = upscale_picture(by, read_picture(path / "in.tif", channels, bits))
    said = write_picture(path / "out.tif", picture)
    with tifffile.TiffFile(path / "out.tif") as tiff:
        return {tag.code: tag.value for tag in tiff.pages[0].tags}, (*picture.lost, *filter(None, [said]))


# The corner of the first pixel is at (500000, 4000000), where pixels are 10 m wide and high: in a model of areas that
# is the tie point of (0, 0), in one of points the tie point is the centre of the first pixel.
@pytest.mark.parametrize(("raster", "first"), [(AREA, (500000, 4000000)), (POINT, (500005, 3999995))])
def test_scale_and_tie_points(tmp_path, raster, first):
    ties = (0, 0, 0, *first, 0, 4, 2, 0, first[0] + 40, first[1] - 20, 0)
    scene(tmp_path / "in.tif", [numbers(SCALE, 10, 10, 0), numbers(TIE, *ties), *keys(raster)])
    tags, lost = enlarged(tmp_path, enlarger(4))
    assert lost == ()
    assert tags[SCALE] == (2.5, 2.5, 0)
    shift = 1.5 if raster == POINT else 0  # the centre of the first LR pixel lies between HR pixels 1 and 2
    assert tags[TIE] == (shift, shift, 0, *first, 0, 16 + shift, 8 + shift, 0, first[0] + 40, first[1] - 20, 0)
    with tifffile.TiffFile(tmp_path / "in.tif") as before:
        assert all(tags[tag] == before.pages[0].tags[tag].value for tag in (KEYS, DOUBLES, TEXTS))


def test_a_matrix_and_another_size_than_the_network_s(tmp_path):
    matrix = np.array([[10, 2, 0, 500000], [3, -10, 0, 4000000], [0, 0, 0, 0], [0, 0, 0, 1]], float)
    scene(tmp_path / "in.tif", [numbers(MATRIX, *matrix.ravel()), *keys(AREA)])
    tags, _ = enlarged(tmp_path, enlarger(4))
    assert np.array_equal(np.reshape(tags[MATRIX], (4, 4)), matrix / [4, 4, 1, 1])
    scene(tmp_path / "in.tif", [numbers(MATRIX, *matrix.ravel()), *keys(POINT)])
    tags, _ = enlarged(tmp_path, enlarger(4, height=15))  # three times: of 5 rows 15, of 7 columns 21
    found = np.reshape(tags[MATRIX], (4, 4))
    for column, row in ((0, 0), (2, 4)):  # the centre of an LR pixel is where it was
        place = found @ (3 * column + 1, 3 * row + 1, 0, 1)
        np.testing.assert_allclose(place, matrix @ (column, row, 0, 1), rtol=1e-12)


def test_a_network_whose_first_pixels_coincide_moves_the_corner(tmp_path):
    scene(tmp_path / "in.tif", [numbers(SCALE, 10, 10, 0), numbers(TIE, 0, 0, 0, 500000, 4000000, 0), *keys(AREA)])
    tags, _ = enlarged(tmp_path, enlarger(4, phase="corner"))
    # The centre of LR pixel 0, 5 m from the corner, is that of HR pixel 0, 1.25 m from its own corner.
    x, y = 500000 - tags[TIE][0] * 2.5, 4000000 + tags[TIE][1] * 2.5  # the corner of HR pixel 0
    assert (x + 1.25, y - 1.25) == (500005, 3999995)


def test_GDAL_s_tags_and_pixels_without_data(tmp_path):
    pixels = np.full((5, 7, 2), 1000, np.uint16)
    pixels[1, 2, 0] = pixels[4, 6] = 7
    tags = [(GDAL, 2, 0, XML.encode(), True), (NO_DATA, 2, 0, "7", True), *keys(AREA)]
    scene(tmp_path / "in.tif", tags, pixels, photometric="minisblack", planarconfig="contig")

    class Brighter(Nearest):
        def forward(self, lr):
            return super().forward(lr) + 0.1

    found, lost = enlarged(tmp_path, Enlarger(Engine(Brighter(2, 2), "cpu", "fp32", runtime="torch")), 2)
    assert found[NO_DATA] == "7" and "SENSOR" in found[GDAL] and "ü" in found[GDAL] and "STATISTICS" not in found[GDAL]
    assert lost == ()
    large, empty = tifffile.imread(tmp_path / "out.tif"), (pixels == 7).repeat(2, 0).repeat(2, 1)
    assert (large[empty] == 7).all() and (large[~empty] > 7000).all()

    class Darker(Nearest):
        def forward(self, lr):
            return super().forward(lr) - 0.5

    scene(tmp_path / "in.tif", [(NO_DATA, 2, 0, "0", True)])
    enlarged(tmp_path, Enlarger(Engine(Darker(2), "cpu", "fp32", runtime="torch")))
    large = tifffile.imread(tmp_path / "out.tif")  # of the first pixel, 0
    assert (large[:2, :2] == 0).all() and large[:2, 2:].min() == large[2:].min() == 1
    # For networks of 8 and 16 bits, floating-point numbers become integers.
    scene(tmp_path / "in.tif", [numbers(SCALE, 1, 1, 0), *tags], np.full((5, 7), 0.5, np.float32))
    found, lost = enlarged(tmp_path, enlarger(2))
    assert SCALE in found and GDAL not in found and NO_DATA not in found
    assert lost == ("floating-point numbers", "the value of pixels without data", "GDAL's metadata")
    found, lost = enlarged(tmp_path, enlarger(2), bits="float")
    assert found[NO_DATA] == "7" and lost == ()


@pytest.mark.parametrize("no_data", ["-9999", "nan", "-3.4028234663852886e+38", "0", "1"])
def test_floating_point_numbers_without_data_are_black_for_the_network(tmp_path, no_data):
    pixels = np.linspace(0.2, 0.8, 70, dtype=np.float32).reshape(5, 7, 2)
    pixels[1, 2, 0] = pixels[4, 6] = np.float32(no_data)
    layout = {"photometric": "minisblack", "planarconfig": "contig"}
    scene(tmp_path / "in.tif", [(NO_DATA, 2, 0, no_data, True)], pixels, **layout)

    class White(Nearest):
        def forward(self, lr):
            return torch.ones_like(super().forward(lr))

    taken = read_picture(tmp_path / "in.tif", 2, "float").pixels
    assert (taken == np.where(pixels == pixels.clip(0, 1), pixels, 0)).all()
    found, lost = enlarged(tmp_path, Enlarger(Engine(White(2, 2), "cpu", "fp32", runtime="torch")), 2, "float")
    assert found[NO_DATA] == no_data and lost == ()
    large = tifffile.imread(tmp_path / "out.tif")
    empty = (np.isnan(pixels) if no_data == "nan" else pixels == np.float32(no_data)).repeat(2, 0).repeat(2, 1)
    assert np.array_equal(large[empty], np.full(empty.sum(), no_data, np.float32), equal_nan=True)
    assert (large[~empty] == (np.nextafter(np.float32(1), np.float32(0)) if no_data == "1" else 1)).all()
    # Other formats, and networks of other depths, have no such value.
    found, lost = enlarged(tmp_path, enlarger(2, 2), 2, 16)
    assert NO_DATA not in found and lost == ("floating-point numbers", "the value of pixels without data")
    assert no_data == "1" or (tifffile.imread(tmp_path / "out.tif")[empty] == 0).all()


@pytest.mark.parametrize("no_data", ["-9999", "nan"])
def test_floating_point_numbers_without_data_are_named_in_training(tmp_path, no_data):
    pixels = np.linspace(0.2, 0.8, 140, dtype=np.float32).reshape(5, 7, 4)
    pixels[4, 6] = no_data
    scene(
        tmp_path / "in.tif", [(NO_DATA, 2, 0, no_data, True)], pixels, photometric="minisblack", planarconfig="contig"
    )
    said = rf"in\.tif: some of its pixels have no data \({no_data}\): fill them, or cut the image;"
    with pytest.raises(UnreadableImage, match=said):
        read_image(tmp_path / "in.tif", 4, "float")
    pixels[0, 0] = 2  # another fault
    pixels[4, 6] = 0
    scene(tmp_path / "in.tif", [(NO_DATA, 2, 0, "0", True)], pixels, photometric="minisblack", planarconfig="contig")
    with pytest.raises(UnreadableImage, match="only 0"):
        read_image(tmp_path / "in.tif", 4, "float")


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_EXR_has_no_value_of_pixels_without_data(tmp_path, kind):
    OpenEXR = pytest.importorskip("OpenEXR")
    pixels = np.full((5, 7), 0.25, np.float32) if kind is np.float32 else np.full((5, 7), 51, np.uint8)
    pixels[0, 0], no_data = (-9999, "-9999") if kind is np.float32 else (255, "1")
    scene(tmp_path / "in.tif", [(NO_DATA, 2, 0, no_data, True)], pixels)

    class Grey(Nearest):
        def forward(self, lr):
            return torch.full_like(super().forward(lr), 0.5)

    picture = read_picture(tmp_path / "in.tif", 1, "float", floats=True)
    picture = upscale_picture(Enlarger(Engine(Grey(2), "cpu", "fp32", runtime="torch")), picture)
    assert write_picture(tmp_path / "out.exr", picture) == "the value of pixels without data"
    made = OpenEXR.File(str(tmp_path / "out.exr")).channels()["Y"].pixels
    assert (made == made[0, 0]).all()


def test_what_is_lost_is_named(tmp_path):
    tags = [numbers(SCALE, 10, 10, 0), numbers(TIE, 0, 0, 0, 5, 4, 0), (NO_DATA, 2, 0, "0", True), *keys(AREA)]
    scene(tmp_path / "in.tif", tags)
    said = write_picture(tmp_path / "out.png", upscale_picture(enlarger(), read_picture(tmp_path / "in.tif", 1)))
    assert said == "the place on Earth (GeoTIFF) and the value of pixels without data"
    scene(tmp_path / "in.tif", [*tags, numbers(50844, *range(92)), (274, 3, 1, 6, True)])
    found, lost = enlarged(tmp_path, enlarger())
    assert TIE not in found and lost == (
        "the camera (RPC)", "the place on Earth (GeoTIFF)", "the value of pixels without data"
    )  # fmt: skip
    with tifffile.TiffWriter(tmp_path / "in.tif") as tiff:
        tiff.write(np.zeros((5, 7), np.uint16), metadata=None)
        tiff.write(np.ones((5, 7), bool), photometric="minisblack", subfiletype=4, metadata=None)
    assert enlarged(tmp_path, enlarger())[1] == ("the mask of pixels with data",)
    for damaged, tag in ((numbers(SCALE, 10, 10), SCALE), ((KEYS, 4, 4, (1, 1, 0, 70000), True), KEYS)):
        scene(tmp_path / "in.tif", [damaged, numbers(TIE, *range(6))])
        found, lost = enlarged(tmp_path, enlarger())
        assert TIE not in found and lost == (f"the place on Earth (GeoTIFF), whose tag {tag} is damaged,",)
