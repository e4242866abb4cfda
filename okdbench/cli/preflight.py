"""What can be told before torch is imported, which takes seconds: whether the pictures are there at all."""

from __future__ import annotations

from pathlib import Path

from okdbench import registry
from okdbench.core.files import default_data_root
from okdbench.core.protocol import Setting
from okdbench.core.yaml_files import load_yaml


def find_pictures(
    datasets: str | None, settings: str | None, test_split: str | None, file: Path | None, data_root: Path | None
) -> None:
    """Look for the domains of these settings, or the default ones; what is not given may stand in the YAML ``file``.

    Raises:
        UserError: one is not there; the message says how to get it.
    """
    in_file = load_yaml(file) if file else {}
    names = datasets or in_file.get("dataset")
    chosen = settings or in_file.get("setting")
    official = (test_split or in_file.get("test_split")) == "official"
    for name in str(names).split(",") if names else ():
        dataset = registry.load_dataset(name.strip())
        for text in str(chosen).split(",") if chosen else dataset.settings:
            setting = Setting.parse(text.strip(), dataset.domains)
            own_test = dataset.official_tests.get(setting.student_domain) if official else None
            for domain in (*setting.teacher_domains, setting.student_domain, *([own_test] if own_test else [])):
                dataset.find(domain, data_root or default_data_root())
