"""HDR to SDR: PQ or HLG to the colours of BT.709, by the tone curve of Report ITU-R BT.2390.

HDR becomes light on a display (BT.2100, tables 4 and 5; HLG's is of 1000 cd/m^2), the curve brings its brightest light
to that of SDR's white, the primaries become BT.709's, where colours outside of them are clipped, and the light becomes
numbers. SDR's white is 203 cd/m^2, HDR's reference white (BT.2408).
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np

from sr_experiments.data.depth import to_srgb
from sr_experiments.video.hdr import HDRMetadata

WHITE = 203.0  # cd/m^2
# Codes of H.273.
PQ, HLG = 16, 18
_BT2020, _P3 = 9, 12
HLG_PEAK, _HLG_GAMMA = 1000.0, 1.2
USUAL_PEAK = 1000.0  # cd/m^2, of PQ that states none
_LUMA_2020 = np.array([0.2627, 0.6780, 0.0593], np.float32)
# Chromaticities x, y of red, green and blue; white is D65 in all.
_CHROMATICITIES = {
    1: ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
    _BT2020: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    _P3: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
_D65 = (0.3127, 0.3290)
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128  # constants of PQ
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_A = 0.17883277  # constants of HLG
_B, _C = 1 - 4 * _A, 0.5 - _A * np.log(4 * _A)


@dataclass(frozen=True)
class ToneMap:
    """Conversion of HDR pixels to SDR.

    Attributes:
        transfer: of the input, `PQ` or `HLG`.
        primaries: of the input, a code of H.273; unknown ones are taken for BT.2020's.
        peak: the brightest light of the input, in cd/m^2.
        srgb: whether the output is encoded as images are (IEC 61966-2-1), in the place of video (BT.1886).
    """

    transfer: int
    primaries: int = _BT2020
    peak: float = USUAL_PEAK
    srgb: bool = False

    @classmethod
    def of(cls, frame: Any) -> "ToneMap | None":
        """Return the conversion of a video by its first frame, PyAV's VideoFrame; None if it is not HDR."""
        transfer = int(frame.color_trc)
        if transfer not in (PQ, HLG):
            return None
        hdr = HDRMetadata.of(frame)
        stated = [float(hdr.display[-1])] if hdr.display else []
        stated += [float(hdr.light[0])] if hdr.light and hdr.light[0] else []
        peak = HLG_PEAK if transfer == HLG else min(stated, default=USUAL_PEAK)
        return cls(transfer, int(frame.color_primaries), peak)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Convert RGB or RGBA, uint8 or uint16 (H, W, C), to SDR of the same type; alpha stays."""
        top = np.iinfo(pixels.dtype).max
        light = _light(self.transfer, top)[pixels[..., :3]]
        if self.transfer == HLG:  # the system's gamma, which acts on the luminance
            luminance = np.maximum(light @ _LUMA_2020, np.float32(1e-6))[..., None]
            light *= np.float32(HLG_PEAK) * luminance ** np.float32(_HLG_GAMMA - 1)
        brightest = np.maximum(light.max(2, keepdims=True), np.float32(1e-6))
        light *= (eetf(brightest, self.peak) / brightest).astype(np.float32)
        light = cv2.transform(light, to_bt709(self.primaries) / WHITE)
        values = _encoded(np.clip(light, 0, 1, out=light), self.srgb)
        return np.dstack((np.rint(values * top).astype(pixels.dtype), pixels[..., 3:]))


def eetf(light: np.ndarray, peak: float, target: float = WHITE) -> np.ndarray:
    """Return the light of an SDR display for that of an HDR display, both in cd/m^2 (BT.2390-11, section 5.4.1).

    Both displays are black at 0. Light up to a knee stays as it is, that at the `peak` becomes `target`.
    """
    if peak <= target:
        return np.minimum(light, target)
    scale, most = pq_inverse(np.float64(peak)), pq_inverse(np.float64(target)) / pq_inverse(np.float64(peak))
    e1 = np.minimum(pq_inverse(light) / scale, 1)
    knee = 1.5 * most - 0.5
    t = np.clip((e1 - knee) / (1 - knee), 0, 1)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * most
    return np.where(e1 < knee, light, pq(spline * scale))


def pq(values: np.ndarray) -> np.ndarray:
    """Return light in cd/m^2 for PQ's numbers from 0 to 1 (BT.2100, table 4)."""
    power = values ** (1 / _M2)
    return 10_000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1)


def pq_inverse(light: np.ndarray) -> np.ndarray:
    """Return PQ's numbers for light in cd/m^2."""
    power = (light / 10_000) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


def hlg(values: np.ndarray) -> np.ndarray:
    """Return the light of the scene, from 0 to 1, for HLG's numbers (BT.2100, table 5)."""
    return np.where(values <= 0.5, values**2 / 3, (np.exp((values - _C) / _A) + _B) / 12)


@cache
def to_bt709(primaries: int) -> np.ndarray:
    """Return the matrix (3, 3) from linear RGB of these primaries to that of BT.709."""
    given = _CHROMATICITIES.get(primaries, _CHROMATICITIES[_BT2020])
    return np.linalg.inv(_to_xyz(_CHROMATICITIES[1])) @ _to_xyz(given)


def _to_xyz(primaries: tuple[tuple[float, float], ...]) -> np.ndarray:
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in primaries]).T
    white = np.array((_D65[0] / _D65[1], 1, (1 - sum(_D65)) / _D65[1]))
    return columns * np.linalg.solve(columns, white)


@cache
def _light(transfer: int, top: int) -> np.ndarray:
    """Return the light of each number up to `top`, float32: of PQ in cd/m^2, of HLG that of the scene."""
    values = np.arange(top + 1) / top
    return (pq(values) if transfer == PQ else hlg(values)).astype(np.float32)


def _encoded(light: np.ndarray, srgb: bool) -> np.ndarray:
    return to_srgb(light) if srgb else light ** np.float32(1 / 2.4)
