#!/usr/bin/env bash
# pillow-heif: the white of 10-bit HEIC isn't white, and the option that its manual names for the transfer is ignored.
#
# One would expect: open_heif(..., convert_hdr_to_8bit=False) gives a 10-bit picture in mode RGB;16 over the range of 16
#   bits: white is 65535, as in every 16-bit PNG. And save(..., transfer_characteristic=16), as the manual of save() lists
#   it, marks the file as PQ.
# What happens: the ten bits are shifted to the top and the rest stays 0: white is 65472 (.99904), of 12 bits 65520. Saved
#   as 16-bit PNG and compared with the same picture from elsewhere, all is darker by up to a level of 10 bits. The option
#   of the manual does nothing, silently: the file says 13, sRGB. The one that works is transfer_characteristics.
# Why it matters: HDR photographs of phones as HR, or beside their PNGs, differ in brightness by what a network then learns;
#   a PQ picture that says sRGB is shown grey and flat.
# Instead: (pixels >> 16 - bits) * 65535 / (2**bits - 1), with bits = info["bit_depth"]; transfer_characteristics=16, and
#   read it back from info["nclx_profile"].
# Versions: pillow-heif 1.8.1 (libheif 1.23.6), numpy 2.4.6, Python 3.11, x86-64.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" pillow-heif==1.8.1 pillow==13.0.0 numpy==2.4.6
cd "$work"
venv/bin/python - <<'PY'
import sys

import numpy as np
import pillow_heif

print("pillow-heif", pillow_heif.__version__, "libheif", pillow_heif.libheif_version())
found = {}
for bits in (8, 10, 12):
    top = 2**bits - 1
    ramp = np.linspace(0, top, 256).round().astype(np.uint16)[None, :, None].repeat(64, 0).repeat(3, 2)
    given = ramp.astype(np.uint8) if bits == 8 else ramp << 16 - bits  # what it takes for 16 bits, too, is the upper ones
    file = pillow_heif.from_bytes("RGB" if bits == 8 else "RGB;16", (256, 64), given.tobytes())
    file.save("ramp.heic", quality=-1, chroma=444, matrix_coefficients=0, bit_depth=bits)  # lossless
    (image,) = pillow_heif.open_heif("ramp.heic", convert_hdr_to_8bit=False)
    pixels = np.asarray(image)
    full = 255 if bits == 8 else 65535
    exact = bool((pixels >> (0 if bits == 8 else 16 - bits) == ramp).all())
    found[bits] = int(pixels.max())
    print(f"{bits:2} bits, as {image.mode:6}: white is {pixels.max():5} of {full:5}; all levels there: {exact}")
    assert exact and image.info["bit_depth"] == bits

for option in ("transfer_characteristic", "transfer_characteristics"):
    told = option in pillow_heif.HeifFile.save.__doc__.replace("transfer_characteristics", "")
    file.save("pq.heic", quality=-1, chroma=444, color_primaries=9, matrix_coefficients=9, **{option: 16})
    says = pillow_heif.open_heif("pq.heic").info["nclx_profile"]
    found[option] = int(says["transfer_characteristics"])
    print(f"save(color_primaries=9, {option}=16): the file says {int(says['color_primaries'])} and {found[option]}; "
          f"in the manual: {told}")
as_found = found == {8: 255, 10: 65472, 12: 65520, "transfer_characteristic": 13, "transfer_characteristics": 16}
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
