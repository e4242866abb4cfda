"""What can be told before torch is imported, which takes seconds: whether the pictures are there at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from okdbench import registry
from okdbench.places import default_data_root
from okdbench.protocol import Setting


def find_pictures(datasets: Sequence[str], settings: Sequence[str], data_root: Path | None) -> None:
    """Look for the domains of these settings (the default ones without any).

    Raises:
        UserError: one is not there; the message says how to get it.
    """
    for name in datasets:
        dataset = registry.load_dataset(name.strip())
        for text in settings or dataset.settings:
            setting = Setting.parse(text.strip(), dataset.domains)
            for domain in (*setting.teacher_domains, setting.student_domain):
                dataset.find(domain, data_root or default_data_root())
