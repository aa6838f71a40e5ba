"""A network with a lookahead: which frames an SR frame depends on, and what it is at the ends of a stream."""

import pytest
import torch

from sr_experiments.checkpoints.initialise import load_weights
from sr_experiments.checkpoints.loading import load_generator
from sr_experiments.checkpoints.reading import read
from sr_experiments.errors import SRError
from sr_experiments.evaluation.cost import macs_per_pixel
from sr_experiments.generators import GENERATORS

NET, LUCAS_KANADE, UNWARPED = {"flow": "net"}, {"flow": "lucas_kanade"}, {"memory": "unwarped"}


def network(lookahead, **more):
    torch.manual_seed(0)
    return GENERATORS["basicvsr_uni"](scale=2, features=8, blocks=1, lookahead=lookahead, **more).eval()


@pytest.mark.parametrize(
    ("lookahead", "way"), [(0, NET), (1, NET), (1, LUCAS_KANADE), (2, LUCAS_KANADE), (2, UNWARPED)]
)
@torch.no_grad()
def test_a_frame_depends_on_all_before_it_and_on_as_many_after_it(lookahead, way):
    generator, clip = network(lookahead, **way), torch.rand(2, 5, 3, 24, 32)
    sr = generator(clip).sr
    for changed in range(5):
        other = clip.clone()
        other[:, changed] += 0.1 * torch.rand(3, 24, 32)
        differs = (generator(other).sr != sr).flatten(2).any(2).all(0)
        assert differs.tolist() == [changed - lookahead <= t for t in range(5)], changed


@pytest.mark.parametrize(("length", "way"), [(1, NET), (2, LUCAS_KANADE), (4, NET), (4, UNWARPED)])
@torch.no_grad()
def test_a_stream_is_the_clip(length, way):
    generator, clip = network(2, **way), torch.rand(2, length, 3, 21, 30)
    expected, state = generator(clip), None
    for t in range(length):
        sr, state = generator.step(clip[:, t], state, *clip[:, t + 1 :].unbind(1))
        torch.testing.assert_close(sr, expected.sr[:, t], rtol=0, atol=1e-6)
        assert len(state.ahead) == min(2, length - 1 - t)
        if t == 0:
            assert state.flow is None
        else:
            torch.testing.assert_close(state.flow, expected.flow[:, t - 1], rtol=0, atol=1e-5)


@pytest.mark.slow
@torch.no_grad()
def test_a_lookahead_costs_little():
    causal, ahead = (GENERATORS["basicvsr_uni"](lookahead=n) for n in (0, 1))  # 15 blocks of 64 features, a flow net
    assert 1 < macs_per_pixel(ahead) / macs_per_pixel(causal) < 1.15


@pytest.mark.parametrize("lookahead", [1, 3])
def test_weights_alone_tell_the_lookahead(weights, lookahead):
    generator, _ = load_generator(weights("basicvsr_uni", 2, lookahead=lookahead))
    assert generator.lookahead == lookahead


@torch.no_grad()
def test_it_takes_all_weights_of_a_causal_network(weights):
    causal, _ = load_generator(path := weights("basicvsr_uni", 2, seed=1))
    generator, lr = network(2), torch.rand(1, 3, 24, 32)
    report = load_weights(generator, read(path))
    assert not report.mismatched and not report.unexpected
    assert {name.rpartition(".")[0] for name in report.missing} == {"srnet.fuse.0", "srnet.fuse.2"}
    assert torch.equal(generator.step(lr, None)[1].memory, causal.step(lr, None)[1].memory)


def test_without_recurrence_it_is_refused():
    with pytest.raises(SRError, match=r"model\.lookahead=1 needs model\.memory=warped or unwarped"):
        network(1, memory="none")
