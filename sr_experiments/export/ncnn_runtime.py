"""Run a network in ncnn: `python -m sr_experiments.export.ncnn_runtime NET.param IN.npy OUT.npy`.

A process of its own, for ncnn ends the process where a layer can't be run. IN.npy and OUT.npy are images (N, C, H, W),
float32 in [0, 1]; computed in fp32, whatever the weights are.
"""

import sys
from pathlib import Path

import numpy as np

IMAGE_IN, IMAGE_OUT = "data", "output"  # names that Upscayl and realesrgan-ncnn-vulkan look for
REDUCED = ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage", "int8_packed", "int8_storage")


def main(param: Path, source: Path, target: Path) -> int:
    """Return 1 where ncnn can't load or run the network, else 0."""
    import ncnn

    images = np.load(source)
    network = ncnn.Net()
    network.opt.num_threads = 1  # the images are small, and waiting threads take the processor from others
    for option in (*REDUCED, "vulkan_compute"):
        setattr(network.opt, f"use_{option}", False)
    if network.load_param(str(param)) or network.load_model(str(param.with_suffix(".bin"))):
        return 1
    outputs = []
    for image in images:
        with network.create_extractor() as extractor:
            # Mat ignores strides, and its memory must outlive the extractor's use.
            extractor.input(IMAGE_IN, ncnn.Mat(np.ascontiguousarray(image)).clone())
            failed, output = extractor.extract(IMAGE_OUT)
            if failed:
                return 1
            outputs.append(np.array(output))
    np.save(target, np.stack(outputs))
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
