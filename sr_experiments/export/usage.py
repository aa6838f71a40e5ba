"""How to use an exported network, for its card: a command, and Python that runs as it stands."""

from pathlib import Path

from sr_experiments.config.quoting import shell_path
from sr_experiments.export.onnx_int8 import EXACT_SUMS
from sr_experiments.generators.generator import Generator
from sr_experiments.generators.recurrent import RecurrentGenerator

LARGE = "photo_large.png"
IN_TORCH = """\
lr = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255  # (1, channels, H, W) in [0, 1]
with torch.inference_mode():
    sr = network(lr).clamp(0, 1)
pixels = (255 * sr[0].permute(1, 2, 0)).round().byte().numpy()
"""
IN_ONNX = """\
[given] = session.get_inputs()
dtype = np.float16 if given.type == "tensor(float16)" else np.float32
lr = (pixels.transpose(2, 0, 1)[None] / 255).astype(dtype)  # (1, channels, H, W) in [0, 1]
[sr] = session.run(None, {given.name: lr})
pixels = (255 * sr[0].astype(np.float32).clip(0, 1).transpose(1, 2, 0)).round().astype(np.uint8)
"""
ONNX_INT8 = f"""\
options = onnxruntime.SessionOptions()
options.add_session_config_entry{EXACT_SUMS}  # else pixels can be wrong on CPUs without VNNI
session = onnxruntime.InferenceSession({{file!r}}, options)
"""
IMPORTS = "import numpy as np\nimport {module}\nfrom PIL import Image\n"
OURS = "\nfrom sr_experiments.checkpoints.loading import load_generator\n"
# By kind of file: the imports, how the network is loaded, and how it is used.
PROGRAMS = {
    "onnx": (IMPORTS.format(module="onnxruntime"), "session = onnxruntime.InferenceSession({file!r})\n", IN_ONNX),
    "onnx, int8": (IMPORTS.format(module="onnxruntime"), ONNX_INT8, IN_ONNX),
    "exported_program": (IMPORTS.format(module="torch"), "network = torch.export.load({file!r}).module()\n", IN_TORCH),
    "torchscript": (IMPORTS.format(module="torch"), "network = torch.jit.load({file!r})\n", IN_TORCH),
    "pth": (IMPORTS.format(module="torch") + OURS, "network, _ = load_generator({file!r})\n", IN_TORCH),
    "safetensors": (IMPORTS.format(module="torch") + OURS, "network, _ = load_generator({file!r})\n", IN_TORCH),
}


def usage(file: Path, kind: str, precision: str, generator: Generator) -> str:
    """Return the section of a card, in Markdown.

    Networks of bands, and those that hand on a state from frame to frame or draw noise, have the command alone, where
    `sr upscale` reads the file.

    Args:
        file: the export, named without its folder.
        kind: its format, as of `export`.
        precision: its precision, as of `export`.
        generator: the network in it.
    """
    parts = ["## Use", ""]
    if kind in ("safetensors", "pth", "ncnn"):
        names = "clip.mp4 -o clip_large.mp4" if isinstance(generator, RecurrentGenerator) else f"photo.png -o {LARGE}"
        if generator.channels not in (1, 3):
            names = "bands.tif -o bands_large.tif"
        parts += ["```sh", f"sr upscale {names} --checkpoint {shell_path(file.name)}", "```", ""]
    of_photographs = generator.channels in (1, 3) and not isinstance(generator, RecurrentGenerator)
    if kind in PROGRAMS and of_photographs and not generator.sampling:
        imports, load, use = PROGRAMS["onnx, int8" if precision == "int8" else kind]
        mode, grey = ("L", ".squeeze(2)") if generator.channels == 1 else ("RGB", "")
        read = f'pixels = np.atleast_3d(np.array(Image.open("photo.png").convert("{mode}")))\n'
        write = f'Image.fromarray(pixels{grey}).save("{LARGE}")'
        parts += ["```python", f"{imports}\n{load.format(file=file.name)}{read}{use}{write}", "```", ""]
    return "\n".join(parts) if len(parts) > 2 else ""
