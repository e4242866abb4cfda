"""What tells records of equal names apart: the weights of a teacher from a file, and the images of a data set.

Both are known by their content. One teacher under two paths is one, and a file that was overwritten between two runs
is two. A hash is shown only where the name alone would be ambiguous among the records at hand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from pathlib import PurePath

from okdbench.core.files import printable
from okdbench.results.records import Record

#: letters of a hash that is shown
SHORT = 8


def weights_names(records: Sequence[Record]) -> list[str]:
    """The file of each record's teacher, with the start of a hash where files of one name differ.

    A file of several names has the first of them. The text is empty for a teacher that okdbench has trained.
    """
    # A failed run may not know the hash of the weights, but that of the file.
    known = {r.weights_digest: r.teacher_score.fingerprint for r in records if r.weights_digest and r.teacher_score}
    contents = [_content(record, known) for record in records]
    names: dict[str, str] = {}
    for record, content in zip(records, contents, strict=True):
        if content:
            name = printable(PurePath(str(record.config["teacher_weights"])).name)
            names[content] = min(name, names.get(content, name))
    shared = Counter(names.values())
    texts = {
        content: name if shared[name] == 1 else f"{name} {printable(content[:SHORT])}"
        for content, name in names.items()
    }
    return [texts.get(content, "") for content in contents]


def _content(record: Record, known: dict[str, str]) -> str:
    """What the weights of the record's teacher are known by; empty if they are no file's."""
    if not record.config.get("teacher_weights"):
        return ""
    own = record.teacher_score.fingerprint if record.teacher_score else ""
    # A failed run of an older version has neither hash.
    return own or known.get(record.weights_digest) or record.weights_digest or str(record.config["teacher_weights"])


def image_versions(records: Sequence[Record], groups: Sequence[Hashable]) -> list[str]:
    """The start of a hash for each record of a group whose data set has had several contents, else the empty text.

    Records are of one content if no domain and no setting has different images in them. Of a record that fits several
    contents, the one with which it shares most is meant, and of these the newest.

    Args:
        records: of any groups.
        groups: of each record, what else it is compared within.
    """
    found: dict[Hashable, list[dict[str, str]]] = {}
    chosen: dict[int, dict[str, str]] = {}
    for index in sorted(range(len(records)), key=lambda index: records[index].finished, reverse=True):
        record, contents = records[index], found.setdefault(groups[index], [])
        # Older records do not know their domains.
        parts = {f"setting {record.setting}": record.data_digest, **record.domain_digests}
        fitting = [
            content for content in contents if all(content.get(name, text) == text for name, text in parts.items())
        ]
        if not fitting:
            contents.append({})
            fitting = contents[-1:]
        chosen[index] = max(fitting, key=lambda content: len(content.items() & parts.items()))
        chosen[index].update(parts)
    several = [len(found[group]) > 1 for group in groups]
    return [_short(chosen[index]) if several[index] else "" for index in range(len(records))]


def _short(content: dict[str, str]) -> str:
    first = min(name for name in content if name.startswith("setting "))
    return printable(content[first][:SHORT])
