"""Writes the images and the expected pixels that tests/preprocess.rs compares with.

pip install pillow==13.0.0 numpy==2.4.6
python make_preprocess.py

cases.json lists the cases; expected.bin holds their uint8 pixels one after the other, each height x width x RGB.
"""

import io
import json
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps

HERE = pathlib.Path(__file__).parent
FILTERS = ["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]  # in the order of Pillow's numbers


def picture(height, width, seed=0):
    """Smooth colours, stripes as fine as a pixel, hard edges and some noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(float)
    red = 255 * (x + 0.5) / width
    green = 127.5 + 127.5 * np.sin(0.9 * x + 0.02 * y * y)
    blue = np.where((x // 5 + y // 7) % 2 == 0, 255, 255 * (y + 0.5) / height)
    noise = rng.normal(0, 12, (height, width, 3))
    return np.clip(np.stack([red, green, blue], -1) + noise, 0, 255).astype(np.uint8)


def png16(array):
    """A PNG of 16-bit RGB or grey, which Pillow cannot write in RGB."""
    height, width = array.shape[:2]
    colour = 2 if array.ndim == 3 else 0
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def inputs():
    rgb = Image.fromarray(picture(30, 40))
    alpha = Image.fromarray((255 * np.indices((30, 40)).sum(0) // 68).astype(np.uint8))
    rgba = rgb.copy()
    rgba.putalpha(alpha)
    grey_alpha = Image.merge("LA", [rgb.convert("L"), alpha])
    cmyk = rgb.convert("CMYK")
    cmyk.paste((30, 200, 90, 120), (5, 5, 20, 20))
    fine = np.random.default_rng(3).integers(0, 65536, (12, 10, 3))
    # Softer, for JPEG: two decoders differ on coarse noise by what they do with it, not by what they are.
    soft = rgb.resize((10, 8), Image.Resampling.BOX).resize((80, 60), Image.Resampling.BICUBIC)
    yield "photo.png", encoded(Image.fromarray(picture(90, 121, 1)), "PNG", optimize=True)
    yield "landscape.png", encoded(Image.fromarray(picture(32, 48, 2)), "PNG", optimize=True)
    yield "portrait.png", encoded(Image.fromarray(picture(41, 25, 3)), "PNG", optimize=True)
    yield "one.png", encoded(Image.new("RGB", (1, 1), (12, 200, 77)), "PNG")
    yield "tall.png", encoded(Image.fromarray(picture(4000, 1, 4)), "PNG", optimize=True)
    yield "wide.png", encoded(Image.fromarray(picture(1, 700, 5)), "PNG", optimize=True)
    yield "grey.png", encoded(rgb.convert("L"), "PNG")
    yield "bits.png", encoded(rgb.convert("1"), "PNG")
    yield "palette.png", encoded(rgb.quantize(13), "PNG")
    yield "palette-transparent.png", encoded(rgb.quantize(13), "PNG", transparency=3)
    yield "rgba.png", encoded(rgba, "PNG")
    yield "grey-alpha.png", encoded(grey_alpha, "PNG")
    yield "rgb16.png", png16(fine)
    yield "grey16.png", png16(fine[..., 0])
    yield "upright.png", encoded(rgb, "PNG", exif=orientation(5))
    yield "first-frame.gif", encoded(
        rgb.quantize(200), "GIF", save_all=True, append_images=[Image.new("P", rgb.size)], transparency=3
    )
    yield "lossless.webp", encoded(rgba, "WEBP", lossless=True, exact=True)
    yield "lossy.webp", encoded(soft, "WEBP", quality=80)
    yield "rgb.bmp", encoded(rgb, "BMP")
    yield "palette.bmp", encoded(rgb.quantize(13), "BMP")
    yield "lzw.tiff", encoded(rgb, "TIFF", compression="tiff_lzw")
    yield "turned.tiff", encoded(rgb, "TIFF", compression="tiff_deflate", tiffinfo={274: 6})
    yield "cmyk.tiff", encoded(cmyk, "TIFF", compression="tiff_deflate")
    yield "colour.jpg", encoded(soft, "JPEG", quality=90)
    yield "progressive.jpg", encoded(soft, "JPEG", quality=90, progressive=True, subsampling=0)
    yield "grey.jpg", encoded(soft.convert("L"), "JPEG", quality=90)
    yield "cmyk.jpg", encoded(soft.convert("CMYK"), "JPEG", quality=90)
    yield "turned.jpg", encoded(soft, "JPEG", quality=90, exif=orientation(6))
    yield from jpegs(soft.resize((64, 64), Image.Resampling.BICUBIC))


def jpegs(square):
    """Other kinds of JPEG, and two that libjpeg only warns about."""
    odd = square.crop((0, 0, 37, 23))
    yield "odd-420.jpg", encoded(odd, "JPEG", quality=85, subsampling="4:2:0", restart_marker_blocks=2)
    yield "odd-422.jpg", encoded(odd, "JPEG", quality=85, subsampling="4:2:2", restart_marker_rows=1)
    yield "one.jpg", encoded(Image.new("RGB", (1, 1), (12, 200, 77)), "JPEG")
    yield "rgb.jpg", encoded(odd, "JPEG", quality=85, keep_rgb=True)
    # As many blocks as before in another order: another picture, and valid.
    yield "440.jpg", sampled(encoded(square, "JPEG", subsampling="4:2:2"), 0x21, 0x12)
    yield "411.jpg", sampled(encoded(square, "JPEG", subsampling="4:2:0"), 0x22, 0x41)
    cmyk = bytearray(encoded(odd.convert("CMYK"), "JPEG", quality=85))
    cmyk[cmyk.index(b"Adobe") + 11] = 2
    yield "ycck.jpg", bytes(cmyk)
    # Without its last scans: libjpeg smooths what it does not know.
    progressive = encoded(odd, "JPEG", quality=85, progressive=True)
    scans = [i for i in range(len(progressive)) if progressive[i : i + 2] == b"\xff\xda"]
    fourth = progressive.rindex(b"\xff\xc4", scans[2], scans[3])
    yield "three-scans.jpg", progressive[:fourth] + b"\xff\xd9"
    plain = encoded(odd, "JPEG", quality=85)
    tables = plain.index(b"\xff\xdb")
    yield "garbage.jpg", plain[:tables] + b"\0garbage" + plain[tables:] + b"and more"


def sampled(jpeg, before, after):
    """With other sampling factors of the luma."""
    jpeg = bytearray(jpeg)
    at = jpeg.index(b"\xff\xc0") + 11
    assert jpeg[at] == before
    jpeg[at] = after
    return bytes(jpeg)


def orientation(value):
    exif = Image.Exif()
    exif[274] = value
    return exif


def center_crop(image, height, width):
    """transformers.image_transforms.center_crop, in its own words, for height x width x channels."""
    orig_height, orig_width = image.shape[:2]
    top = (orig_height - height) // 2
    left = (orig_width - width) // 2
    bottom, right = top + height, left + width
    if top >= 0 and bottom <= orig_height and left >= 0 and right <= orig_width:
        return image[top:bottom, left:right]
    new_height, new_width = max(height, orig_height), max(width, orig_width)
    padded = np.zeros((new_height, new_width, 3), np.uint8)
    top_pad = -((orig_height - new_height) // 2)
    left_pad = -((orig_width - new_width) // 2)
    padded[top_pad : top_pad + orig_height, left_pad : left_pad + orig_width] = image
    top, bottom, left, right = top + top_pad, bottom + top_pad, left + left_pad, right + left_pad
    return padded[max(0, top) : min(new_height, bottom), max(0, left) : min(new_width, right)]


def process(data, steps, interpolation, exif, transparency="drop"):
    image = Image.open(io.BytesIO(data))
    if exif == "apply":
        image = ImageOps.exif_transpose(image)
    if transparency == "white":
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
    resample = FILTERS.index(interpolation)
    for step in steps:
        ((kind, value),) = step.items()
        if kind == "resize":
            image = image.resize((value[1], value[0]), resample)
        elif kind == "shortest_edge":
            short, long = min(image.size), max(image.size)
            other = int(value * long / short)
            image = image.resize((value, other) if image.width <= image.height else (other, value), resample)
        elif kind == "center_crop":
            image = Image.fromarray(center_crop(np.asarray(image), *value))
        elif kind == "central_square":
            side = max(1, min(image.size) * value["size"] // (value["size"] + value["margin"]))
            top, left = (image.height - side + 1) // 2, (image.width - side + 1) // 2
            image = image.crop((left, top, left + side, top + side))
    return np.asarray(image)


def cases(files):
    for filter in FILTERS:
        for name in ("landscape.png", "portrait.png"):
            height, width = process(files[name], [], "box", "apply").shape[:2]
            for size in ([37, 40], [13, 9], [50, 7], [height, 11], [45, width]):
                yield name, [{"resize": size}], filter
        yield "photo.png", [{"resize": [17, 23]}], filter
        yield "photo.png", [{"resize": [10, 90]}], filter  # Pillow 13 resizes vertically first
        yield "portrait.png", [{"shortest_edge": 28}, {"center_crop": [19, 26]}], filter
        yield "one.png", [{"resize": [5, 7]}], filter
        yield "tall.png", [{"resize": [33, 6]}], filter
        yield "tall.png", [{"shortest_edge": 32}, {"center_crop": [24, 28]}], filter
        yield "wide.png", [{"shortest_edge": 20}, {"center_crop": [18, 21]}], filter
        for name in ("photo.png", "portrait.png"):
            yield name, [{"shortest_edge": 32}, {"center_crop": [25, 24]}], filter
            yield name, [{"central_square": {"size": 20, "margin": 3}}, {"resize": [20, 20]}], filter
    for size in ([40, 50], [45, 20], [20, 61], [33, 49], [31, 47], [9, 10]):
        yield "landscape.png", [{"center_crop": size}], "bicubic"
    yield "portrait.png", [{"shortest_edge": 40}, {"center_crop": [50, 51]}, {"resize": [20, 22]}], "bicubic"
    yield "one.png", [{"center_crop": [2, 2]}, {"center_crop": [1, 1]}, {"resize": [3, 3]}], "bilinear"
    for name in files:
        if name not in ("photo.png", "one.png", "tall.png", "wide.png", "grey16.png"):
            height, width = process(files[name], [], "box", "ignore").shape[:2]
            yield name, [{"resize": [height, width]}], "bicubic"
    for name in ("upright.png", "turned.jpg", "turned.tiff"):
        height, width = process(files[name], [], "box", "apply").shape[:2]
        yield name, [{"resize": [height, width]}], "bicubic", "apply"
    for name in ("rgba.png", "grey-alpha.png", "palette-transparent.png", "lossless.webp", "landscape.png"):
        height, width = process(files[name], [], "box", "ignore").shape[:2]
        yield name, [{"resize": [height, width]}], "bicubic", "ignore", "white"


def main():
    files = dict(inputs())
    for name, data in files.items():
        (HERE / name).write_bytes(data)
    lines, pixels = [], []
    for name, steps, interpolation, *policies in cases(files):
        exif, transparency = policies + ["ignore", "drop"][len(policies) :]
        result = process(files[name], steps, interpolation, exif, transparency)
        lines.append(json.dumps({
            "input": name,
            "steps": steps,
            "interpolation": interpolation,
            "exif": exif,
            "transparency": transparency,
            "size": result.shape[:2],
        }))
        pixels.append(result.tobytes())
    (HERE / "cases.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")
    (HERE / "expected.bin").write_bytes(b"".join(pixels))


main()
