"""The page of the oddest images: found, expected, and where the two differ as they rarely do.

One HTML file without scripts, its pictures inside; the network is forbidden to it, and every name is escaped.
"""

import math
from base64 import b64encode
from io import BytesIO
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from scorewise.files import put_text
from scorewise.outliers.odd_images import OddImages
from scorewise.outliers.page import POLICY, document, safe

STRONGEST = torch.tensor([232.0, 101.0, 43.0]) / 255
"""The colour of the least p-value that there can be."""
WEAKEST = 1.0
"""- log10 of the p-value from which on there is colour."""
FAINT = 0.35
"""How much of the image itself is seen below the map."""
OF_PICTURES = f"{POLICY}; img-src data:"


def write_image_page(odd: OddImages, path: Path, most: int = 30, title: str = "The oddest images") -> None:
    """Write one HTML file of the oddest images, which needs nothing from elsewhere.

    Args:
        odd: the images.
        path: the file, in a folder that exists.
        most: images that it shows.
        title: its heading.
    """
    places = odd.oddest(most)
    size, count = odd.regions.window, len(odd.names)
    said = (
        f"{len(places)} of {count:,} images, the oddest first. Expected is what the model makes of the image with "
        f"noise added and removed, the mean of four draws. The map is coloured by the p-value of the {size} x {size} "
        "window around each pixel, the difference between the two beside that of held-out images in the same place: "
        "none above .1, the full colour at the least that there can be. In ordinary images 5 % of all windows have "
        "p <= .05 too, so look for areas."
    )
    put_text(path, document(title, [f"<p>{said}</p>", *(_image(odd, place) for place in places)], OF_PICTURES))


def coloured(x_CHW: Tensor, p_HW: Tensor, ordinary: int) -> Tensor:
    """Return a faint grey image under the colours of p-values, in [-1, 1], shape (3, H, W).

    Args:
        x_CHW: the image, in [-1, 1].
        p_HW: of its pixels.
        ordinary: images that these come from, which say how small they can be.
    """
    grey_HW = 1 - FAINT * (1 - (x_CHW.double().mean(0).clamp(-1, 1) / 2 + 0.5))
    range_ = math.log10(ordinary + 1) - WEAKEST
    strength_HW = ((-p_HW.log10() - WEAKEST) / max(range_, WEAKEST)).clamp(0, 1)
    colour_3HW = STRONGEST.double()[:, None, None]
    return 2 * (grey_HW * (1 - strength_HW) + colour_3HW * strength_HW) - 1


def _image(odd: OddImages, place: int) -> str:
    regions, name = odd.regions, safe(odd.names[place])
    tiles = {
        "found": regions.found_BCHW[place],
        "expected": regions.expected_BCHW[place],
        "where": coloured(regions.found_BCHW[place], regions.map(place), regions.ordinary),
    }
    figures = "".join(
        f'<figure><img src="{_png(x_CHW)}" alt="{name}: {what}"><figcaption>{what}</figcaption></figure>'
        for what, x_CHW in tiles.items()
    )
    return f'<section><h3>{name}</h3>\n<p>{safe(odd.told(place))}</p>\n<div class="tiles">{figures}</div></section>'


def _png(x_CHW: Tensor) -> str:
    """Return an image in [-1, 1] as a data URL."""
    bytes_HWC = ((x_CHW.double().clamp(-1, 1) / 2 + 0.5) * 255).round().to(torch.uint8).permute(1, 2, 0)
    picture, file = Image.fromarray(bytes_HWC.squeeze(-1).contiguous().cpu().numpy()), BytesIO()
    picture.save(file, format="PNG", optimize=True)
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"
