#!/usr/bin/env python3
"""PyTorch on a card: images a second of timm's model of the same shape, with random weights, batch by batch.

    torch_gpu.py MODEL f32|f16 BATCH SECONDS

MODEL is one of engraft's names. Bytes are uploaded from pinned memory and normalised on the card. Prints one line of
JSON; "skipped" with the reason where torch, timm or a card is missing.
"""

import json
import sys
import time

NAMES = {"vit-s14": "vit_small_patch14_dinov2", "efficientnet-lite0": "tf_efficientnet_lite0"}


def measure(name, precision, batch, seconds):
    import timm
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError("torch sees no card")
    # 32 bits mean 32 bits, as in engraft.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    extra = {"img_size": 224} if name.startswith("vit") else {}
    model = timm.create_model(NAMES[name], num_classes=0, **extra).eval().cuda()
    dtype = torch.float16 if precision == "f16" else torch.float32
    model = model.to(dtype)
    pixels = torch.randint(0, 256, (batch, 224, 224, 3), dtype=torch.uint8).pin_memory()

    def step():
        image = pixels.cuda(non_blocking=True).permute(0, 3, 1, 2).to(dtype)
        return model((image / 255 - 0.5) / 0.25).float().cpu()

    with torch.inference_mode():
        for _ in range(5):
            step()
        batches, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            step()
            batches += 1
        return batches * batch / (time.perf_counter() - started)


def main():
    name, precision, batch, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    try:
        print(json.dumps({"images_per_second": measure(name, precision, batch, seconds)}))
    except Exception as error:  # whatever is missing, the other contestants go on
        print(json.dumps({"skipped": f"{type(error).__name__}: {error}".splitlines()[0]}))


if __name__ == "__main__":
    main()
