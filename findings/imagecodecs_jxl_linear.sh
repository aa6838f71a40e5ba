#!/usr/bin/env bash
# imagecodecs marks 16-bit JPEG XL as linear in light: every other program shows the picture far too bright.
#
# One would expect: jpegxl_encode writes what its numbers are, or at least the same for both depths: a photograph, whose
#   numbers are sRGB's as in its 16-bit PNG, is shown alike from 8 and from 16 bits.
# What happens: 8 bits are marked sRGB, 16 bits (and floating-point numbers) linear. No option changes it. jpegxl_decode
#   gives the numbers back, so a round trip shows nothing; a reader that knows colours shows middle grey, 128, as 188.
# Why it matters: 16-bit HR kept as JPEG XL to save space looks washed out everywhere, and converters and loaders that apply
#   the profile (libvips, browsers, Pillow with ImageCms) hand out other numbers than were put in.
# Instead: 16-bit PNG or TIFF; or, lossless, change the code of the transfer function in the header: 4 bits.
# Versions: imagecodecs 2026.3.6, read with pillow-jxl-plugin 1.3.8 and pillow 13.0.0, Python 3.11, x86-64.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" \
    imagecodecs==2026.3.6 pillow-jxl-plugin==1.3.8 pillow==13.0.0 numpy==2.4.6 packaging==26.0 scikit-image==0.26.0
cd "$work"
venv/bin/python - <<'PY'
import io
import sys

import imagecodecs
import numpy as np
import skimage.data
from PIL import Image, ImageCms
from pillow_jxl import Decoder

print("imagecodecs", imagecodecs.__version__, imagecodecs.jpegxl_version())
photograph = skimage.data.astronaut()
deep = photograph.astype(np.uint16) * 257
grey = np.full((16, 16, 3), 128, np.uint8)


def shown(content):
    """What a reader shows that heeds the profile, in 8 bits of sRGB, and the profile's name."""
    _, info, pixels, icc, _ = Decoder()(content)
    image = Image.frombytes("RGB", (info.width, info.height), pixels)
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    made = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"))
    return np.asarray(made), ImageCms.getProfileDescription(profile).strip()


found = {}
for name, picture, small in (("uint8", photograph, grey), ("uint16", deep, grey.astype(np.uint16) * 257)):
    content = imagecodecs.jpegxl_encode(picture, lossless=True)
    same = bool((imagecodecs.jpegxl_decode(content) == picture).all())
    pixels, profile = shown(content)
    middle = int(shown(imagecodecs.jpegxl_encode(small, lossless=True))[0].mean())
    found[name] = middle
    print(f"{name:6} its own round trip equal: {same}; profile {profile}: "
          f"mean {photograph.mean():.0f} is shown as {pixels.mean():.0f}, grey 128 as {middle}")

as_found = found == {"uint8": 128, "uint16": 188}
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
