"""Print the path of the photo of a cat that ships with scikit-image (CC0, by Stefan van der Walt;
no download).
"""

from pathlib import Path

import skimage

print(Path(skimage.data_dir) / "chelsea.png")
