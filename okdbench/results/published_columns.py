"""The columns of published numbers beside ours: CSV has facts, tables for people have words."""

from __future__ import annotations

from okdbench.results.table import FILES, TABLES, Column, Row, spell

#: a published number is reproduced if ours is surely within so many points of it
MARGIN = 1.0
#: title of the table of published numbers
TITLE = "published numbers and ours"
#: what a paper's teacher started from
_STARTS = {"true": "ImageNet weights", "false": "random weights", "": "unknown weights"}


def place(row: Row) -> str:
    """The setting; where okdbench has none, the domains as the source calls them."""
    domains = " -> ".join(filter(None, (row["teacher_domain"], row["student_domain"])))
    return str(row["setting"] or domains)


def conditions(row: Row) -> str:
    """What the paper's teacher started from, and the size of the images."""
    size = f"{row['image_size']} px" if row["image_size"] else "unknown size"
    return f"{_STARTS[row['pretrained']]}, {size}"


def _networks(row: Row) -> str:
    return f"{row['teacher'] or 'unknown'} -> {row['student'] or 'unknown'}"


def _paper(row: Row) -> str:
    return spell(row["paper"]) + (f" ± {spell(row['paper_std'])}" if row["paper_std"] is not None else "")


def _budget(row: Row) -> str:
    return row["budget"] or "unknown"


def _difference(row: Row) -> str:
    if row["difference_low"] is None:
        return ""
    return f"{row['ours'] - row['paper']:+.2f} ({row['difference_low']:+.2f} to {row['difference_high']:+.2f})"


def _source(row: Row) -> str:
    return f"{row['source']} ({row['confidence']})"


#: columns of :func:`okdbench.results.published.compare_published`; networks have the names that they have in okdbench
PUBLISHED_COLUMNS: tuple[Column, ...] = (
    Column("dataset", "the data set", dtype="str", forms=FILES),
    Column("method", "the method, as the paper calls it", dtype="str", folds=True),
    Column("row", "the method here; empty where okdbench has none", dtype="str", forms=FILES),
    Column("setting", "the setting; where okdbench has none, the domains of the source", dtype="str", text=place),
    *(
        Column(name, meaning, dtype="str", forms=FILES)
        for name, meaning in (
            ("task", "adapt, transfer or data-free"),
            ("track", "which labels of the student's domain the method sees"),
            ("teacher_domain", "what the paper's teacher is trained on"),
            ("student_domain", "what the paper's method sees"),
            ("teacher", "the paper's teacher"),
            ("student", "the paper's student"),
            ("pretrained", "whether the paper's teacher started from ImageNet weights; empty where unknown"),
            ("image_size", "pixels of the paper's images; empty where unknown"),
            ("selection", "what the paper selected its evaluation on; empty where unknown"),
        )
    ),
    Column("networks", "teacher -> student of the paper", heading="teacher -> student", dtype="str", forms=TABLES,
           drop=2, folds=True, text=_networks),
    Column("conditions", "what the paper's teacher started from, and the size of its images", dtype="str",
           forms=TABLES, drop=5, folds=True, text=conditions),
    Column("budget", "how long the paper trained", dtype="str", drop=6, folds=True, text=_budget),
    Column("our_budget", "how long we trained", heading="our budget", dtype="str", drop=7, folds=True),
    Column("metric", "top1 or top5", dtype="str", drop=1),
    Column("paper", "the published number", unit="%", text=_paper),
    Column("paper_std", "its standard deviation", unit="%", forms=FILES),
    Column("ours", "our number, selected as theirs", unit="%"),
    Column("difference", "ours - theirs, with its 95 % interval", unit="points", forms=TABLES, drop=1,
           text=_difference),
    Column("difference_low", "lower end of the 95 % interval of ours - theirs", unit="points", forms=FILES),
    Column("difference_high", "upper end of the 95 % interval of ours - theirs", unit="points", forms=FILES),
    Column("verdict", f"reproduced: the interval is within {MARGIN:g} point; not reproduced: it is outside; "
           "inconclusive; or not comparable", dtype="str"),
    Column("why", "the reason", dtype="str", drop=3, folds=True),
    Column("source", "where the number is from, and how sure that is", dtype="str", drop=4, folds=True, text=_source),
    Column("confidence", "official, third_party or secondary", dtype="str", forms=FILES),
)  # fmt: skip
