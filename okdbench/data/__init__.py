"""From image files on disk to batches on the device.

A data-set file imports of okdbench only the names below: ``from okdbench.data import Dataset, Sample``. This import is
light: it loads neither torch nor numpy nor the libraries that download.
"""

from __future__ import annotations

from okdbench.core.errors import UserError, unknown
from okdbench.core.resize import Resize
from okdbench.core.seeding import derive_seed
from okdbench.data.array_source import ArrayFiles
from okdbench.data.dataset import Augmentation, Dataset, Sample, TeacherRecipe
from okdbench.data.folder_dataset import FolderDataset, read_table
from okdbench.data.image_files import images_in
from okdbench.data.remote import Remote
from okdbench.data.sample_store import kept_samples

__all__ = [
    "ArrayFiles",
    "Augmentation",
    "Dataset",
    "FolderDataset",
    "Remote",
    "Resize",
    "Sample",
    "TeacherRecipe",
    "UserError",
    "derive_seed",
    "images_in",
    "kept_samples",
    "read_table",
    "unknown",
]
