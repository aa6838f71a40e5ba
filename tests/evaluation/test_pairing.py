"""Finished pictures under other programs' names find the true ones, or are refused with both names."""

import unicodedata

import pytest

from sr_experiments.errors import SRError
from sr_experiments.evaluation.pairing import pair_finished

HR = ["baby.png", "bird.png", "img_1.png", "img_10.png"]


@pytest.mark.parametrize(
    "written",
    [
        "{}.jpg",
        "{}_out.png",
        "{}x4.png",
        "{}_x4.png",
        "{}x4_out.png",
        "{}-ESRGAN.webp",
        "{}_ESRGAN_SRx4_DF2KOST_official-ff704c30.png",
        "{} (enlarged).png",
        "{}.out.png",
        "{}_5000.png",
    ],
)
def test_names_of_other_programs_pair(written):
    stems = [name.removesuffix(".png") for name in HR]
    expected = {f"{stem}.png": written.format(stem) for stem in stems}
    assert pair_finished(HR, sorted(expected.values()), 4) == expected
    folders = {f"set/{hr}": f"set/{sr}" for hr, sr in expected.items()}
    assert pair_finished(list(folders), list(folders.values()), 4) == folders


@pytest.mark.parametrize(
    ("true", "finished"),
    [("{}_HR", "{}_SR"), ("{}_SRF_4_HR", "{}_SRF_4_SRGAN"), ("gt_{}", "{}_out"), ("set/{}_HR", "set/{}x4_out")],
)
def test_true_names_may_have_an_ending_of_their_own(true, finished):
    stems = [name.removesuffix(".png") for name in HR]
    expected = {true.format(stem) + ".png": finished.format(stem) + ".png" for stem in stems}
    assert pair_finished(list(expected), sorted(expected.values()), 4) == expected


def test_one_ending_for_all_decides_between_names_that_begin_alike():
    hr = ["a.png", "a_2.png", "a_2_2.png"]
    expected = {name: name.replace(".png", "_2_out.png") for name in hr}
    assert pair_finished(hr, list(expected.values()), 4) == expected
    clips = ["v1.0", "v1.0_b"]
    assert pair_finished(clips, ["v1.0_b_out", "v1.0_out"], 4, extensions=False) == {c: f"{c}_out" for c in clips}


@pytest.mark.parametrize(
    ("hr", "sr", "says"),
    [
        (["a.png", "a_b.png"], ["a_b_c.png", "a_d.png"], r"SR a_b_c\.png could belong to HR a\.png or a_b\.png"),
        (["a.png", "c.png"], ["a_x.png", "a_y.png"], r"HR a\.png could belong to SR a_x\.png or a_y\.png"),
        (["a.png", "b.png"], ["a_x.png", "bx.png"], r"SR bx\.png has no HR; HR b\.png has no SR"),
        (["a.png", "a.jpg"], ["a.png"], r"HR a\.png, a\.jpg could each belong to SR a\.png"),
    ],
)
def test_what_does_not_pair_is_named_with_what_to_do(hr, sr, says):
    with pytest.raises(SRError, match=says + r".*; if the names of SR end alike, give --suffix"):
        pair_finished(hr, sr, 4)


def test_a_suffix_chooses_among_several_results():
    hr = ["a.png", "a_b.png"]
    sr = ["a_b_c.png", "a_c.png", "a_d.png", "a.png", "a_b_d.png"]
    assert pair_finished(hr, sr, 4, "_c") == {"a.png": "a_c.png", "a_b.png": "a_b_c.png"}
    with pytest.raises(SRError, match=r"HR a\.png has no SR a_e"):
        pair_finished(hr, sr, 4, "_e")


def test_names_in_either_form_of_unicode_pair():
    one, other = (unicodedata.normalize(form, "Zoë é") for form in ("NFC", "NFD"))
    assert pair_finished([f"{one}.png"], [f"{other}_out.png"], 4) == {f"{one}.png": f"{other}_out.png"}
