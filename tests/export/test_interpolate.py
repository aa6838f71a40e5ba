"""`sr interpolate`: networks between two others."""

import pytest
import torch

from sr_experiments.checkpoints.reading import read


@pytest.mark.parametrize("name", ["srresnet", "rrdbnet", "compact"])
def test_weights_lie_between_those_of_both_networks(sr, weights, tmp_path, name):
    first, second = weights(name, 4), weights(name, 4, seed=1)
    done = sr("interpolate", first, second, "-w", "0.25", "-o", tmp_path / "between.safetensors")
    assert done.code == 0, done.err
    assert f"0.75 of {first.name}" in done.out
    assert f"0.25 of {second.name}" in done.out
    one, other, between = (read(path).state_dict for path in (first, second, tmp_path / "between.safetensors"))
    assert between.keys() == one.keys()
    for key, tensor in between.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, 0.75 * one[key] + 0.25 * other[key], msg=key)


def test_the_ends_are_the_networks_themselves_to_the_bit(sr, weights, tmp_path):
    first, second = weights("compact", 2), weights("compact", 2, seed=1)
    for weight, end in (("0", first), ("1", second)):
        file = tmp_path / f"end_{weight}.pth"
        assert sr("interpolate", first, second, "-w", weight, "-o", file).code == 0
        assert all(torch.equal(tensor, read(end).state_dict[key]) for key, tensor in read(file).state_dict.items())


@pytest.mark.parametrize(
    "of_second, options, said",
    [
        ({"scale": 4}, [], "are different networks"),
        ({"features": 12}, [], "features=8, convolutions=1; name=compact, scale=2, channels=3, features=12"),
        ({}, ["-w", "1.5"], "--weight 1.5: give a number from 0"),
    ],
)
def test_what_cannot_be_averaged_is_one_line(sr, weights, tmp_path, of_second, options, said):
    first, second = weights("compact", 2), weights("compact", **{"scale": 2, "seed": 1, **of_second})
    done = sr("interpolate", first, second, *options, "-o", tmp_path / "between.pth")
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "between.pth").exists()


def test_an_existing_file_is_kept(sr, weights, tmp_path):
    first, second = weights("compact", 2), weights("compact", 2, seed=1)
    done = sr("interpolate", first, second, "-o", second)
    assert done.code == 2
    assert "exists: give --overwrite" in done.err
