#!/usr/bin/env bash
# On a CPU, scaled_dot_product_attention takes its unfused path for the usual views of a convolution's output, silently.
#
# One would expect: strided views of query, key and value are as good as copies, up to a copy made inside: attention
#   takes the fused kernel (_scaled_dot_product_flash_attention_for_cpu), which never holds the L x L matrix of weights.
# What happens: if the last dimension (the channels of a head) of just one of the three isn't contiguous, the whole call
#   goes to _scaled_dot_product_attention_math: bmm, softmax, bmm, and the L x L matrix of every head is in memory.
#   The results agree and nothing warns. "flatten(2).transpose(1, 2)" of a 1x1 convolution's output is such a view,
#   in float32 and bfloat16, with and without gradients. The same module in channels_last takes the fused kernel.
#   The docs say that fused kernels have "specific input limitations" without naming this one, and that outside of
#   CUDA there is no fused kernel at all.
# Why it matters: attention in super-resolution often starts from NCHW features. For a region of 128x128 pixels the
#   matrix is 1 GiB for each head in float32.
# Instead: .contiguous() on all three. To be told, disable the unfused path: under
#   sdpa_kernel(SDPBackend.FLASH_ATTENTION) such views raise an error.
# Versions: torch 2.15.0, Python 3.11, x86-64 CPU.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv -q --python 3.11 "$work/venv"
uv pip install -q --python "$work/venv/bin/python" torch==2.15.0 numpy==2.4.6
cd "$work"
venv/bin/python - 2>stderr <<'PY' || { cat stderr >&2; exit 1; }
import sys
import warnings

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from torch.profiler import ProfilerActivity, profile

print("torch", torch.__version__)
torch.manual_seed(0)
HEADS, CHANNELS = 4, 64
to_qkv = torch.nn.Conv2d(CHANNELS, 3 * CHANNELS, 1)
FUSED, MATH = "_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_attention_math"


def views(features):
    """Query, key and value of shape (B, heads, L, D), each a view of the convolution's output."""
    qkv = to_qkv(features).flatten(2).transpose(1, 2)  # (B, L, 3 * channels)
    return qkv.unflatten(2, (3, HEADS, CHANNELS // HEADS)).permute(2, 0, 3, 1, 4).unbind(0)


def attention(tensors):
    """The result, the path taken, the elements of the largest softmax, and how many warnings there were."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with profile(activities=[ProfilerActivity.CPU], record_shapes=True, acc_events=True) as profiler:
            result = scaled_dot_product_attention(*tensors)
    events = profiler.events()
    (path,) = {event.name.removeprefix("aten::") for event in events} & {FUSED, MATH}
    matrices = [torch.Size(event.input_shapes[0]).numel() for event in events if event.name == "aten::_softmax"]
    return result, path, max(matrices, default=0), len(said)


features = torch.rand(1, CHANNELS, 32, 32)
with torch.no_grad():
    q, k, v = views(features)
    copies = [tensor.contiguous() for tensor in (q, k, v)]
    last = views(features.contiguous(memory_format=torch.channels_last))
    CASES = {
        "contiguous copies": (copies, FUSED),
        "views": ((q, k, v), MATH),
        "only the query is a view": ((q, *copies[1:]), MATH),
        "only the key is a view": ((copies[0], k, copies[2]), MATH),
        "only the value is a view": ((*copies[:2], v), MATH),
        "views, bfloat16": ([tensor.bfloat16() for tensor in (q, k, v)], MATH),
        "contiguous copies, bfloat16": ([tensor.bfloat16() for tensor in copies], FUSED),
        "views, module in channels_last": (last, FUSED),
    }
CASES["contiguous copies, gradients"] = ([tensor.contiguous() for tensor in views(features)], FUSED)
CASES["views, gradients"] = (views(features), MATH)
print(f"{'':32}{'strides of the query':26}{'path':46}{'L x L weights':>14}{'warnings':>10}")
as_found, right = True, attention(copies)[0]
for name, (tensors, expected) in CASES.items():
    result, path, elements, said = attention(tensors)
    print(f"{name:32}{str(tensors[0].stride()):26}{path:46}{elements:14}{said:10}")
    as_found &= path == expected and said == 0 and (elements == HEADS * 1024**2) == (expected == MATH)
    as_found &= torch.allclose(result.float(), right, atol=1e-5 if result.dtype == torch.float32 else 0.02)
with torch.no_grad(), sdpa_kernel(SDPBackend.FLASH_ATTENTION):
    try:
        scaled_dot_product_attention(q, k, v)
        as_found = False
    except RuntimeError as error:
        print("views, the unfused path disabled:", error)
print("As found." if as_found else "The behaviour has changed.")
sys.exit(not as_found)
PY
